"""What `bench/run fork` forks: CPython with numpy, one real call, and fork() itself as the baseline.

A baseline function forks the very process it runs in, by libc's fork(), and times it; where the child has work to do,
it runs the same hooks and the same call that a clone runs, then _exit()s.
"""
import ctypes
import hashlib
import json
import os
import ssl
import time

import numpy

import _ramet_host

_baseline = ctypes.PyDLL(os.environ["BENCH_BASELINE"])
_baseline.baseline_fork.argtypes = [ctypes.POINTER(ctypes.c_uint64), ctypes.POINTER(ctypes.c_uint64)]
_matrix = numpy.arange(64 * 64, dtype=numpy.float64).reshape(64, 64) / 4096
_records = [{"id": i, "name": "row %d" % i, "values": [i * 0.5, i * 1.5]} for i in range(200)]


def noop(event, context):
    return None


def work(event, context):
    """The real call: numpy, json, sha256, ssl."""
    product = _matrix @ _matrix.T
    text = json.dumps(_records)
    return {
        "trace": float(numpy.trace(product)),
        "count": len(json.loads(text)),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "random": ssl.RAND_bytes(8).hex(),
    }


def work_for(event, context):
    """Calls of work() that fit into event["ms"] milliseconds."""
    end = time.monotonic_ns() + event["ms"] * 1_000_000
    count = 0
    while time.monotonic_ns() < end:
        work(None, None)
        count += 1
    return count


def fork_first(event, context):
    """fork(), n times: [[ns to the child's first instruction, ns until it was reaped], ...]"""
    first, total = ctypes.c_uint64(), ctypes.c_uint64()
    out = []
    for _ in range(event["n"]):
        if _baseline.baseline_fork(ctypes.byref(first), ctypes.byref(total)) != 0:
            raise OSError("fork failed")
        out.append([first.value, total.value])
    return out


def _after_clone():
    _ramet_host.after_clone(os.getrandom(32))


def _forks(count, fork, hooks, function):
    """fork(), hooks, call, result through a pipe, exit, wait: [[ns to the result, ns until reaped], ...]"""
    out = []
    for _ in range(count):
        source, sink = os.pipe()
        begin = time.monotonic_ns()
        pid = fork()
        if pid == 0:
            hooks()
            os.write(sink, json.dumps(function(json.loads("null"), None)).encode())
            os._exit(0)
        result = os.read(source, 65536)
        there = time.monotonic_ns()
        os.waitpid(pid, 0)
        end = time.monotonic_ns()
        os.close(source)
        os.close(sink)
        out.append([there - begin, end - begin])
        assert type(json.loads(result)) is type(function(None, None))
    return out


def fork_work(event, context):
    """The real call, with the hooks that a clone runs."""
    return _forks(event["n"], _baseline.baseline_plain_fork, _after_clone, work)


def fork_noop(event, context):
    """A trivial call, with the hooks that a clone runs."""
    return _forks(event["n"], _baseline.baseline_plain_fork, _after_clone, noop)


def fork_call(event, context):
    """A trivial call in a child of os.fork(), which runs the interpreter's hooks."""
    return _forks(event["n"], os.fork, lambda: None, noop)
