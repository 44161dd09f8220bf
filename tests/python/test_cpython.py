"""CPython's own tests of executors (package libpython3.11-testsuite), on ramet.Executor."""
import sys
import unittest

import support

try:
    from test import test_concurrent_futures as theirs
except ImportError as exc:
    print(f"skipped: CPython's tests are not there (package libpython3.11-testsuite): {exc}")
    sys.exit(77)

import ramet

# Not run, and why:
NOT = {
    "test_interpreter_shutdown": "a script that imports the executor from concurrent.futures and looks for what a worker prints, "
                                 "which goes to `ramet logs`; ours: test_executor.test_the_end_of_the_interpreter",
    "test_submit_after_interpreter_shutdown": "the same; a script that imports the executor from concurrent.futures",
    "test_hang_gh83386": "the same",
    # of ProcessPoolExecutorTest
    "test_max_workers_too_large": "Windows",
    "test_killed_child": "kills a child process of the executor's by its pid; there is none here, and a lost instance does not "
                         "break the executor. Ours: test_a_crash_is_told_and_the_next_call_runs",
    "test_traceback": "wants the class concurrent.futures.process._RemoteTraceback; ours: test_exceptions_keep_type_and_traceback",
    "test_ressources_gced_in_workers": "a multiprocessing.Manager as an argument: a socket of this machine",
    "test_saturation": "looks at the pool's idle semaphore and processes",
    "test_idle_process_reuse_one": "the same",
    "test_idle_process_reuse_multiple": "the same",
    "test_max_tasks_per_child": "no such argument: fresh=\"fresh\" gives each call a clone of its own",
    "test_max_tasks_per_child_defaults_to_spawn_context": "the same",
    "test_max_tasks_early_shutdown": "the same",
}
# Classes that are not run: ThreadPool*: look into the thread pool's threads and queue. ProcessPoolShutdownTest: into
# processes and the manager thread. ExecutorDeadlockTest: wants BrokenProcessPool after a crash, for which calls end
# with Crashed here and the executor goes on. FailingInitializerMixin: looks at _broken and logging's messages; ours:
# test_an_init_that_fails. FutureTests: of concurrent.futures.Future itself, which ramet.Future is.


class OnRamet(theirs.ExecutorMixin):
    executor_type = ramet.Executor


class ExecutorTests(OnRamet, theirs.ExecutorTest, theirs.BaseTestCase):
    test_map_chunksize = theirs.ProcessPoolExecutorTest.test_map_chunksize


class WaitTests(OnRamet, theirs.WaitTests, theirs.BaseTestCase):
    pass


class AsCompletedTests(OnRamet, theirs.AsCompletedTests, theirs.BaseTestCase):
    pass


class InitializerTests(OnRamet, theirs.InitializerMixin, theirs.BaseTestCase):
    pass


class ShutdownTests(OnRamet, theirs.ExecutorShutdownTest, theirs.BaseTestCase):
    pass


def applicable(cls):
    loader = unittest.defaultTestLoader
    suite = unittest.TestSuite(test for test in loader.loadTestsFromTestCase(cls) if test._testMethodName not in NOT)
    return suite


class Cluster(support.Case):
    """Holds the cluster of all of them, and the client's thread, which their tests would take for one of the
    executor's."""

    def test_theirs(self):
        ramet.Executor(1).submit(len, "").result()
        for cls in (ExecutorTests, WaitTests, AsCompletedTests, InitializerTests, ShutdownTests):
            result = unittest.TextTestRunner(verbosity=2).run(applicable(cls))
            with self.subTest(cls.__name__):
                self.assertTrue(result.wasSuccessful())
                self.assertGreater(result.testsRun, 0)

    def test_what_is_not_run_exists(self):
        known = {name for cls in vars(theirs).values() if isinstance(cls, type) for name in vars(cls)}
        self.assertLessEqual(set(NOT), known)


if __name__ == "__main__":
    reason = support.cluster.lacks("root", "netns")
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main(verbosity=2, defaultTest=["Cluster"])
