"""The joblib backend: order, batches, exceptions, nesting, timeouts, what is left."""
import itertools
import os
import time
import unittest
from unittest import mock

import support

import helpers_of_tests as helpers
import joblib
import numpy
import ramet
import ramet.joblib
from joblib import Parallel, delayed

NEW = hasattr(joblib.parallel.ParallelBackendBase, "supports_return_generator")  # joblib 1.3


def square(n):
    return n * n


def where(_):
    return os.getpid()


def nested(n):
    inner = Parallel(n_jobs=4)(delayed(where)(m) for m in range(8))
    return os.getpid(), set(inner)


class Joblib(support.Case):
    def setUp(self):
        context = joblib.parallel_backend("ramet")
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.backend = joblib.parallel.get_active_backend()[0]

    def test_results_in_order(self):
        self.assertEqual(Parallel()(delayed(square)(n) for n in range(500)), [n * n for n in range(500)])
        self.assertEqual(Parallel(n_jobs=3)(delayed(pow)(n, b) for n, b in [(2, 3), (3, 2)]), [8, 9])
        self.assertEqual(Parallel()(delayed(lambda n, by: n + by)(n, by=1) for n in range(3)), [1, 2, 3])
        self.assertEqual(Parallel()([]), [])

    def test_it_runs_on_the_cluster(self):
        self.assertNotIn(os.getpid(), Parallel(n_jobs=2)(delayed(where)(n) for n in range(8)))
        self.assertEqual(self.backend.effective_n_jobs(-1), ramet.executor.workers(ramet.default_client()))
        self.assertEqual(self.backend.effective_n_jobs(-2), max(1, self.backend.effective_n_jobs(-1) - 1))
        with self.assertRaises(ValueError):
            Parallel(n_jobs=0)(delayed(where)(n) for n in range(2))

    def test_one_job_runs_here(self):
        self.assertEqual(set(Parallel(n_jobs=1)(delayed(where)(n) for n in range(3))), {os.getpid()})

    def test_quick_tasks_go_in_batches(self):
        sent = []
        submit = ramet.Executor.submit
        with mock.patch.object(ramet.Executor, "submit", lambda self, fn, batch: (sent.append(len(batch)),
                                                                                  submit(self, fn, batch))[1]):
            Parallel(n_jobs=2)(delayed(square)(n) for n in range(3000))
            self.assertEqual(sum(sent), 3000)
            self.assertLess(len(sent), 1500)
            sent.clear()
            Parallel(n_jobs=2, batch_size=100, pre_dispatch="all")(delayed(square)(n) for n in range(1000))
            self.assertEqual(sent, [100] * 10)

    def test_iterators_are_read_as_results_come(self):
        taken = itertools.count()
        submit = ramet.Executor.submit
        first = []

        def tasks():
            for _ in range(200):
                next(taken)
                yield delayed(abs)(-1)
        with mock.patch.object(ramet.Executor, "submit", lambda self, fn, batch: (first.append(next(taken)),
                                                                                  submit(self, fn, batch))[1]):
            self.assertEqual(Parallel(n_jobs=2, batch_size=1)(tasks()), [1] * 200)
        self.assertLess(first[0], 20)

    def test_an_iterator_that_fails(self):
        with self.assertRaises(KeyError):
            Parallel(n_jobs=2)(delayed(abs)({}["none"]) for _ in range(2))

    def test_exceptions(self):
        with self.assertRaises(helpers.Mine) as raised:
            Parallel(n_jobs=2)(delayed(helpers.fail)("mine") for _ in range(20))
        self.assertIn("raise {", str(raised.exception.__cause__))
        self.assertEqual(Parallel(n_jobs=2)(delayed(square)(n) for n in range(4)), [0, 1, 4, 9])

    def test_a_crash_is_one_batchs(self):
        with self.assertRaises(ramet.Crashed):
            Parallel(n_jobs=2)([delayed(os.abort)()])
        self.assertEqual(Parallel(n_jobs=2)(delayed(square)(n) for n in range(4)), [0, 1, 4, 9])

    def test_nested_runs_inline(self):
        for pid, inner in Parallel(n_jobs=2)(delayed(nested)(n) for n in range(4)):
            self.assertEqual(inner, {pid})

    def test_timeout(self):
        begin = time.monotonic()
        with self.assertRaises(TimeoutError):
            Parallel(n_jobs=2, timeout=0.5)(delayed(time.sleep)(60) for _ in range(4))
        self.assertLess(time.monotonic() - begin, 50)
        support.eventually("the tasks are killed", lambda: not self.cluster.list("ps", state="busy"))

    def test_arrays(self):
        arrays = [numpy.full(100_000, n, dtype=float) for n in range(6)]
        sums = Parallel(n_jobs=2)(delayed(numpy.sum)(a) for a in arrays)
        self.assertEqual(sums, [a.sum() for a in arrays])

    @unittest.skipUnless(NEW, "joblib 1.3 has it, this is " + joblib.__version__)
    def test_return_as_generator(self):
        results = Parallel(n_jobs=2, return_as="generator", batch_size=1)(delayed(square)(n) for n in range(50))
        self.assertEqual(next(results), 0)
        self.assertEqual(list(results), [n * n for n in range(1, 50)])
        left = Parallel(n_jobs=2, return_as="generator")(delayed(time.sleep)(60) for _ in range(4))
        left.close()
        support.eventually("the tasks are killed", lambda: not self.cluster.list("ps", state="busy"))

    def test_one_app_for_all_of_a_block(self):
        with joblib.parallel_backend("ramet", n_jobs=2, imports=("colorsys",)):
            before = set(self.functions())
            with Parallel() as parallel:
                parallel(delayed(square)(n) for n in range(4))
                parallel(delayed(square)(n) for n in range(4))
            Parallel()(delayed(square)(n) for n in range(4))
            self.assertEqual(len(set(self.functions()) - before), 1)
            self.assertIn("colorsys", Parallel()([delayed(lambda: list(__import__("sys").modules))()])[0])


if __name__ == "__main__":
    support.main("numpy", "joblib")
