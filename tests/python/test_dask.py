"""Dask's scheduler for pools on ramet.Executor: the example, and what becomes of errors."""
import pathlib
import subprocess
import sys
import os

import support

import dask
import ramet

EXAMPLE = pathlib.Path(support.cluster.SOURCE) / "examples/dask_blocks/blocks.py"


@dask.delayed
def divide(a, b):
    return a / b


class Dask(support.Case):
    def test_the_example(self):
        env = dict(os.environ, PYTHONPATH=support.PACKAGE, LD_PRELOAD=support.PRELOAD)
        ran = subprocess.run([sys.executable, "-B", EXAMPLE], env=env, capture_output=True, text=True, timeout=120)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertRegex(ran.stdout, r"^the sum is 16\d{6}\.\d{3}, here and on the cluster")

    def test_an_error_is_told_and_the_pool_goes_on(self):
        with ramet.Executor(2, imports=("dask.multiprocessing",)) as pool, dask.config.set(scheduler="processes", pool=pool):
            with self.assertRaises(ZeroDivisionError):
                dask.compute(divide(1, 0), divide(4, 2))
            self.assertEqual(dask.compute(divide(1, 2), divide(4, 2)), (0.5, 2.0))


if __name__ == "__main__":
    support.main("numpy", "dask")
