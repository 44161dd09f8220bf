"""What `bench/run isolate` times in the Python engine: a namespace of a module, as new."""
import sys
import time
import types

from ramet_host.isolate import Isolate

_count = 0
_SOURCE = compile("count = 0\ndef handler(event, context):\n    return event\n", "module.py", "exec")


def _reset_us(isolate):
    global _count
    _count += 1
    begin = time.perf_counter_ns()
    done = isolate.reset()
    end = time.perf_counter_ns()
    if not done or _count != 0:
        raise RuntimeError("the module was not brought back")
    return (end - begin) / 1e3


def _made_us():
    begin = time.perf_counter_ns()
    module = types.ModuleType("module")
    exec(_SOURCE, module.__dict__)
    module.handler(None, None)
    return (time.perf_counter_ns() - begin) / 1e3


def module_start(event, context):
    """Medians of n: [a reset as behind each call with `fresh: reset`, a new module whose code is run and called]"""
    isolate = Isolate(sys.modules[__name__].__file__.rpartition("/")[0])
    isolate.remember()
    resets, made = [], []
    for _ in range(event["n"]):
        resets.append(_reset_us(isolate))
        made.append(_made_us())
    return [sorted(each)[len(each) // 2] for each in (resets, made)]
