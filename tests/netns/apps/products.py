"""Products by a BLAS whose threads were there at the capture."""
import os

import numpy

SIZE = 256
_left = (numpy.arange(SIZE * SIZE) % 1021).reshape(SIZE, SIZE)
_right = (numpy.arange(SIZE * SIZE) % 509).reshape(SIZE, SIZE).T
_exact = _left @ _right  # of integers: no BLAS
_floats = _left.astype(float), _right.astype(float)
_floats[0] @ _floats[1]


def _times():
    """{thread: ns for which it ran}, of all but this one"""
    return {tid: int(open("/proc/self/task/%s/schedstat" % tid).read().split()[0])
            for tid in os.listdir("/proc/self/task") if int(tid) != os.getpid()}


def handler(event, context):
    before = _times()
    right = bool(((_floats[0] @ _floats[1]) == _exact).all())
    after = _times()
    return {"right": right, "threads": sorted(map(int, before)), "pid": os.getpid(),
            "ran": sum(after[tid] > before[tid] for tid in before if tid in after)}
