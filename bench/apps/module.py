"""bench/run isolate, case module: how long a Python app takes to be what it was again (`fresh: reset`), and how long a new
module namespace, in which its code is run, takes. Prints "series value" lines, in microseconds."""
import importlib
import os
import pathlib
import sys
import tempfile
import time
import types

sys.path.insert(0, os.environ["PYTHONPATH"])  # with what hosts have in C
from ramet_host.isolate import Isolate  # noqa: E402

APP = """
calls = 0


def handler(event, context):
    global calls
    calls += 1
    return event * 2
"""
ROUNDS = 50
EACH = 200


def timed(function):
    begin = time.perf_counter_ns()
    for _ in range(EACH):
        function()
    return (time.perf_counter_ns() - begin) / EACH / 1e3


def main():
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "app_of_bench.py"
        path.write_text(APP)
        sys.path.insert(0, directory)
        app = importlib.import_module("app_of_bench")
        isolate = Isolate(os.path.realpath(directory))
        isolate.remember()
        code = compile(APP, "app.py", "exec")

        def reset():
            app.handler(21, None)
            if not isolate.reset() or app.calls != 0:
                raise SystemExit("the app was not brought back")

        def namespace():
            module = types.ModuleType("app")
            exec(code, vars(module))
            module.handler(21, None)

        for _ in range(ROUNDS):
            print("reset", timed(reset))
            print("namespace", timed(namespace))


main()
