"""ramet.Executor and @ramet.function: what travels how, what comes back, init, cancelling, and that nothing is left."""
import collections
import concurrent.futures
import functools
import gc
import itertools
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
import weakref
from unittest import mock

import support

import functions_of_tests as functions
import helpers_of_tests as helpers
import numpy
import ramet

token = None
settings = {"unit": "m"}
FACTOR = 3


def load():
    global token
    token = os.urandom(8).hex()
    settings["loaded"] = True


def fails_to_load():
    raise OSError("no model here")


def look(_):
    return token, settings, FACTOR


class OfMain:
    def __init__(self, value):
        self.value = value


class ErrorOfMain(Exception):
    pass


class Executors(support.Case):
    def executor(self, *args, **kwargs):
        executor = ramet.Executor(*args, **kwargs)
        self.addCleanup(executor.shutdown, cancel_futures=True)
        return executor

    def test_what_travels(self):
        executor = self.executor(4)
        self.assertEqual(executor.submit(pow, 2, 5).result(60), 32)
        self.assertEqual(executor.submit(lambda a, *, b: a + b + FACTOR, 1, b=2).result(60), 6)
        self.assertEqual(executor.submit(functools.partial(divmod, 7), 2).result(60), (3, 1))
        self.assertEqual(executor.submit(helpers.double, helpers.Point(4)).result(60).x, 8)
        self.assertIsInstance(executor.submit(helpers.double, helpers.Point(4)).result(60), helpers.Point)
        self.assertIsInstance(executor.submit(lambda v: OfMain(v.value), OfMain(1)).result(60), OfMain)
        self.assertEqual(executor.submit("a-b".split, "-").result(60), ["a", "b"])
        deep = executor.submit(lambda n: (lambda m: m * n), 6).result(60)
        self.assertEqual(deep(7), 42)

    def test_work_spreads_over_the_nodes(self):
        executor = self.executor()
        each = executor._max_workers * 10
        for _ in range(2):  # first seeds travel
            futures = [executor.submit(time.sleep, 0.02) for _ in range(each)]
            concurrent.futures.wait(futures)
        of_node = collections.Counter(future.info["node"] for future in futures)
        self.assertEqual(set(of_node), {1, 2}, of_node)
        self.assertGreaterEqual(min(of_node.values()), each // 8, of_node)

    def test_arrays_are_not_copied_here_and_may_be_written_to(self):
        executor = self.executor(2)
        sent = numpy.random.default_rng(1).random(2 << 20)

        def add(array):
            array += 1  # in place: the argument is the function's own
            return {"sum": array, "small": array[:3]}
        result = executor.submit(add, sent).result(60)
        self.assertTrue(numpy.array_equal(result["sum"], sent + 1))
        owner = result["sum"].base
        while not isinstance(owner, memoryview):
            owner = owner.base
        self.assertIsInstance(owner.obj, ramet._ramet.Result)
        result["sum"] += 1

    def test_exceptions_keep_type_and_traceback(self):
        executor = self.executor(2)
        for kind, cls in (("mine", helpers.Mine), ("builtin", ZeroDivisionError)):
            exc = executor.submit(helpers.fail, kind).exception(60)
            self.assertIs(type(exc), cls)
            self.assertEqual(exc.args, ("it was " + kind,))
            self.assertIsInstance(exc.__cause__, ramet.RemoteTraceback)
            self.assertIn("helpers_of_tests.py", str(exc.__cause__))
            self.assertIn("raise {", "".join(traceback.format_exception(exc)))
            self.assertNotIn("_ramet_remote", str(exc.__cause__))

        def of_main():
            raise ErrorOfMain(5)
        self.assertIs(type(executor.submit(of_main).exception(60)), ErrorOfMain)
        self.assertIs(type(executor.submit(sys.exit, 3).exception(60)), SystemExit)

    def test_an_exception_that_cannot_be_unpickled(self):
        exc = self.executor(1).submit(helpers.fail, "stubborn").exception(60)
        self.assertIs(type(exc), ramet.RemoteError)
        self.assertEqual((exc.type_name, exc.message), ("Stubborn", "stubborn"))
        self.assertIn("raise {", exc.traceback)

    def test_what_cannot_be_pickled(self):
        executor = self.executor(1)
        self.assertIsInstance(executor.submit(len, threading.Lock()).exception(60), TypeError)
        self.assertIsInstance(executor.submit(threading.Lock).exception(60), TypeError)
        self.assertEqual(executor.submit(len, "abc").result(60), 3)

    def test_a_crash_is_told_and_the_next_call_runs(self):
        executor = self.executor(1)

        def crash():
            import ctypes
            ctypes.string_at(0)
        self.assertIsInstance(executor.submit(crash).exception(60), ramet.Crashed)
        self.assertEqual(executor.submit(len, "abc").result(60), 3)

    def test_init_runs_once(self):
        executor = self.executor(8, init=load)
        seen = [f.result(60) for f in [executor.submit(look, n) for n in range(40)]]
        self.assertEqual(len({found for found, _, _ in seen}), 1)
        self.assertIsNotNone(seen[0][0])
        self.assertIsNone(token)
        self.assertEqual(seen[0][1:], ({"unit": "m", "loaded": True}, 3))
        row, = [row for row in self.cluster.list("functions") if row["function"] == executor._app.name]
        self.assertEqual(row["cold"], 0)  # but for the one that was captured

    def test_an_init_that_fails(self):
        executor = self.executor(1, init=fails_to_load)
        with self.assertRaises(concurrent.futures.BrokenExecutor) as raised:
            executor.submit(len, "")
        self.assertIsInstance(raised.exception, ramet.InitError)
        self.assertEqual(raised.exception.type_name, "OSError")
        self.assertIn("fails_to_load", str(raised.exception.__cause__))

    def test_map(self):
        executor = self.executor(4)
        self.assertEqual(list(executor.map(pow, range(20), range(20))), [n**n for n in range(20)])
        self.assertEqual(list(executor.map(lambda n: n * FACTOR, range(100), chunksize=16)), [n * 3 for n in range(100)])
        self.assertEqual(list(executor.map(len, [])), [])
        results = executor.map(lambda n: 1 // n, [1, 0, 1])
        self.assertEqual(next(results), 1)
        self.assertRaises(ZeroDivisionError, next, results)
        with self.assertRaises(ValueError):
            executor.map(len, [], chunksize=0)

    def test_code_is_sent_once(self):
        executor = self.executor(1)
        blob = os.urandom(1 << 20)

        def size():
            return len(blob)
        sizes = []
        send = ramet._waiter.Waiter.send
        with mock.patch.object(ramet._waiter.Waiter, "send",
                               lambda self, args, *more: (sizes.append(len(args[1])), send(self, args, *more))[1]):
            for _ in range(5):
                self.assertEqual(executor.submit(size).result(60), 1 << 20)
        self.assertEqual(sum(size > 1 << 20 for size in sizes), 1, sizes)

    def test_a_module_that_is_not_shipped_travels_as_code(self):
        executor = self.executor(1, modules=())
        self.assertEqual(executor.submit(helpers.add, 2, 3).result(60), 5)
        self.assertIs(sys.modules["helpers_of_tests"], helpers)
        shipped = self.executor(1, modules=("helpers_of_tests",))
        self.assertEqual(shipped.submit(helpers.double, helpers.Point(2)).result(60).x, 4)

    def test_without_cloudpickle(self):
        self.addCleanup(setattr, ramet._pickling, "cloudpickle", ramet._pickling.cloudpickle)
        ramet._pickling.cloudpickle = lambda: None
        executor = self.executor(1)
        self.assertEqual(executor.submit(helpers.add, 2, 3).result(60), 5)
        with self.assertRaisesRegex(pickle.PicklingError, "python3-cloudpickle"):
            executor.submit(lambda: 1).result(60)

    def test_fresh_instances(self):
        executor = self.executor(2, fresh="fresh", init=load)

        def once():
            settings["calls"] = settings.get("calls", 0) + 1
            return settings["calls"], token
        found = [f.result(60) for f in [executor.submit(once) for _ in range(6)]]
        self.assertEqual({calls for calls, _ in found}, {1})
        self.assertEqual(len({seen for _, seen in found}), 1)

    def test_an_instance_without_the_code_asks_for_it(self):
        executor = self.executor(8)

        def slow():
            time.sleep(0.05)
            return os.getpid()
        pids = [f.result(60) for f in [executor.submit(slow) for _ in range(40)]]
        self.assertGreater(len(set(pids)), 1)

    def test_what_was_sent_ahead_is_not_stuck_behind_a_slow_call(self):
        executor = self.executor(4)
        for _ in range(5):
            futures = [executor.submit(abs, n) for n in range(-300, 0)]
            slow = executor.submit(time.sleep, 60)
            quick = [executor.submit(abs, n) for n in range(-300, 0)]
            self.assertEqual([f.result(60) for f in futures + quick], list(range(300, 0, -1)) * 2)
            self.assertTrue(slow.running())
            self.assertTrue(slow.cancel())

    def test_never_more_run_than_there_are_workers(self):
        for workers in (1, 3, 3, 3):
            executor = self.executor(workers)

            def times(pause):
                begin = time.time()  # clones on another node have a monotonic clock that continues the first one's
                time.sleep(pause)
                return begin, time.time()
            spans = [f.result(60) for f in [executor.submit(times, 0.02 * (n % 40 == 39)) for n in range(400)]]
            events = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
            at_once = list(itertools.accumulate(change for _, change in events))
            self.assertLessEqual(max(at_once), workers)
            if workers == 1:
                self.assertEqual(spans, sorted(spans))  # one after the other, in order

    def test_a_crash_ends_only_its_own_call(self):
        executor = self.executor(2)

        def fails_at(n):
            if n == 150:
                os.abort()
            return n
        futures = [executor.submit(fails_at, n) for n in range(300)]
        self.assertIsInstance(futures[150].exception(60), ramet.Crashed)
        self.assertEqual([f.result(60) for n, f in enumerate(futures) if n != 150], [n for n in range(300) if n != 150])

    def test_timeout_cancels_what_is_left(self):
        executor = self.executor(2)
        started = time.monotonic()
        with self.assertRaises(concurrent.futures.TimeoutError):
            list(executor.map(time.sleep, [0, 60, 60, 60], timeout=1))
        executor.shutdown()
        self.assertLess(time.monotonic() - started, 50)

    def test_cancel(self):
        executor = self.executor(1)
        runs, waits = executor.submit(time.sleep, 60), executor.submit(len, "abc")
        self.assertTrue(runs.running())
        self.assertFalse(waits.running())
        self.assertTrue(waits.cancel())
        self.assertTrue(runs.cancel())
        self.assertEqual(executor.submit(len, "abcd").result(60), 4)

    def test_shutdown(self):
        executor = self.executor(2)
        futures = [executor.submit(time.sleep, 0.05) for _ in range(6)]
        self.assertIn(executor._app.name, self.functions())
        executor.shutdown()
        self.assertTrue(all(f.done() and not f.cancelled() for f in futures))
        self.assertNotIn(executor._app.name, self.functions())
        self.assertRaises(RuntimeError, executor.submit, len, "")

    def test_shutdown_that_cancels_and_does_not_wait(self):
        executor = self.executor(1)
        futures = [executor.submit(time.sleep, 0.2) for _ in range(6)]
        executor.shutdown(wait=False, cancel_futures=True)
        self.assertTrue(all(f.cancelled() for f in futures[1:]))
        self.assertIsNone(futures[0].result(60))
        support.eventually("the app is removed", lambda: executor._app.name not in self.functions())

    def test_collected_without_shutdown(self):
        executor = ramet.Executor(1)
        executor.submit(len, "").result(60)
        name, gone = executor._app.name, weakref.ref(executor)
        del executor
        gc.collect()
        self.assertIsNone(gone())
        self.assertNotIn(name, self.functions())

    def test_nothing_is_left(self):
        def work():
            with ramet.Client() as client, ramet.Executor(2, client=client) as executor:
                list(executor.map(len, ["a"] * 10))
        work()
        gc.collect()
        before = len(os.listdir("/proc/self/fd")), threading.active_count(), len(self.functions())
        for _ in range(3):
            work()
        gc.collect()
        self.assertEqual((len(os.listdir("/proc/self/fd")), threading.active_count(), len(self.functions())), before)

    def test_the_end_of_the_interpreter(self):
        program = ("import ramet, time\nexecutor = ramet.Executor(1)\n"
                   "executor.submit(time.sleep, 0.2).add_done_callback(lambda f: print('done', f.exception()))\n")
        env = dict(os.environ, PYTHONPATH=support.PACKAGE, LD_PRELOAD=support.PRELOAD)
        ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
        self.assertEqual((ran.returncode, ran.stdout), (0, "done None\n"), ran.stderr)
        self.assertEqual(self.functions(), [])


class Functions(support.Case):
    def tearDown(self):
        ramet.default_client().close()
        super().tearDown()
        self.assertEqual([name for name in self.functions() if name != "stays"], [])

    def test_function(self):
        @ramet.function
        def scale(x, by=FACTOR):
            """Scales."""
            return os.getpid(), x * by
        self.assertEqual((scale.__name__, scale.__doc__), ("scale", "Scales."))
        pid, value = scale(5)
        self.assertEqual(value, 15)
        self.assertNotEqual(pid, os.getpid())
        self.assertEqual(scale.local(5, 2), (os.getpid(), 10))
        self.assertEqual(scale.submit(5, by=1).result(60)[1], 5)

    def test_init_and_imports(self):
        @ramet.function(imports=("colorsys",), init=load)
        def found():
            return token, settings.get("loaded"), "colorsys" in sys.modules
        first = found()
        self.assertEqual(first[1:], (True, True))
        self.assertEqual({call.result(60) for call in [found.submit() for _ in range(10)]}, {first})

    def test_map(self):
        @ramet.function
        def add(a, b):
            return a + b
        self.assertEqual(list(add.map(range(200), range(200))), [2 * n for n in range(200)])
        self.assertEqual(list(add.map(iter(range(7)), range(100), chunksize=3)), [2 * n for n in range(7)])
        self.assertEqual(list(add.map([], [])), [])

    def test_map_of_an_endless_iterator(self):
        import itertools

        @ramet.function
        def same(n):
            return n
        results = same.map(itertools.count(), chunksize=4)
        self.assertEqual(list(itertools.islice(results, 50)), list(range(50)))
        results.close()

    def test_exception(self):
        @ramet.function
        def fail():
            raise helpers.Mine("x")
        with self.assertRaises(helpers.Mine) as raised:
            fail()
        self.assertIn("raise helpers.Mine", str(raised.exception.__cause__))

    def test_redefined(self):
        for n in (1, 2):
            @ramet.function(name="stays")
            def redefined(x):
                return x * n
            self.assertEqual(redefined(10), 10 * n)
        self.assertEqual(len({row["generation"] for row in self.cluster.list("functions", function="stays")}), 1)
        self.assertIn("stays", self.functions())

    def test_a_function_that_uses_another(self):
        @ramet.function
        def inner(n):
            return os.getpid(), n + 1

        @ramet.function
        def outer(n):
            return os.getpid(), inner(n)
        pid, (inner_pid, value) = outer(1)
        self.assertEqual((inner_pid, value), (pid, 2))  # there it is the plain function

    def test_functions_of_a_module(self):
        self.assertEqual(functions.scale(5), (10, True))  # init has run in the module, and it is imported there
        self.assertEqual(functions.twice(5), (20, True))
        with ramet.Executor(1) as executor:
            self.assertEqual(executor.submit(functions.plain, 1).result(60), 2)
            self.assertEqual(executor.submit(lambda: functions.scale.local.__name__).result(60), "scale")
            self.assertIsInstance(executor.submit(functions.fails).exception(60), ramet.NotFound)

    def test_deadline(self):
        @ramet.function(deadline=0.2)
        def slow():
            time.sleep(60)
        self.assertRaises(ramet.DeadlineExceeded, slow)


if __name__ == "__main__":
    support.main("numpy")
