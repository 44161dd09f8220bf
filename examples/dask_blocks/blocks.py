"""A Dask graph, computed here and on the cluster: the sum of a product of two matrices that are made and multiplied
block by block.

    ramet up --nodes 3
    PYTHONPATH=build/release/python python3 examples/dask_blocks/blocks.py

Dask's own scheduler for pools of processes does the work: it only gets another pool. Packages: python3-dask.
"""
import os
import time

import dask
import numpy
import ramet

SIZE, BLOCKS = 100, 4


@dask.delayed
def block(name, row, column):
    return numpy.random.RandomState(ord(name) * 100 + row * BLOCKS + column).random_sample((SIZE, SIZE))


@dask.delayed
def multiply(left, right):
    return left @ right


@dask.delayed
def add(*blocks):
    return sum(b.sum() for b in blocks), os.getpid()


def product_sum():
    """Of A·B, whose blocks are made where they are needed."""
    a, b = ({(i, j): block(name, i, j) for i in range(BLOCKS) for j in range(BLOCKS)} for name in "AB")
    rows = [add(*(multiply(a[i, k], b[k, j]) for j in range(BLOCKS) for k in range(BLOCKS))) for i in range(BLOCKS)]
    return dask.delayed(rows)


def main():
    graph = product_sum()
    here = graph.compute(scheduler="synchronous")
    with ramet.Executor(imports=("dask.multiprocessing", "numpy")) as pool:
        begin = time.perf_counter()
        with dask.config.set(scheduler="processes", pool=pool):
            there = graph.compute()
        seconds = time.perf_counter() - begin
    assert [total for total, _ in here] == [total for total, _ in there], (here, there)
    assert os.getpid() not in {pid for _, pid in there}
    print(f"the sum is {sum(total for total, _ in there):.3f}, here and on the cluster, in {seconds:.1f} s")


if __name__ == "__main__":
    main()
