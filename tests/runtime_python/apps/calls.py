"""What tests of calls call."""
import os
import sys
import threading
import time


def echo(event, context):
    return event


def context(event, context):
    remaining = context.remaining
    return [context.function, context.version, context.node, context.rank, context.size, context.id, context.cancelled,
            context.deadline, remaining is not None and 0 < remaining <= 20]


def environment(event, context):
    return [os.environ.get(name) for name in event]


def write(event, context):
    """Without a newline at the end: only a flush brings it out."""
    print("to stdout")
    print("to stderr", file=sys.stderr)
    context.log("logged")
    sys.stdout.write("the rest")


def result(event, context):
    """Results that are not plain JSON values."""
    loop = []
    loop.append(loop)
    return {
        "bytearray": bytearray(b"ab\0c"),
        "memoryview": memoryview(b"a-b-c")[::2],
        "tuple": (1, "\u00e9"),
        "set": {1, 2},
        "nan": [float("nan")],
        "keys": {(1, 2): 3},
        "loop": loop,
        "deep": deep(100_000),
        "surrogate": "\ud800",
    }[event]


def deep(levels):
    value = None
    for _ in range(levels):
        value = [value]
    return value


def kind(event, context):
    """What a binary call gets."""
    return "%s %d %s" % (type(event).__name__, len(event), event.readonly)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def inner(what):
    if what == "exit":
        sys.exit(4)
    if what == "interrupt":
        raise KeyboardInterrupt
    if what == "mute":
        raise Mute
    if what == "recursion":
        inner(what)
    if what == "long":
        raise ValueError("x" * 100_000)
    if what == "cause":
        try:
            inner("value")
        except ValueError as exc:
            raise LookupError("second") from exc
    raise ValueError("no luck \u00e9 today")


def fail(event, context):
    inner(event)


def one_argument(event):
    return event


def spin(event, context):
    while True:
        pass


def sleep(event, context):
    time.sleep(1000)


def swallow(event, context):
    """Goes on after the first interrupts."""
    for _ in range(3):
        try:
            while True:
                pass
        except BaseException:
            pass
    while True:
        pass


def cleanup(event, context):
    """What an interrupted handler does last is done."""
    try:
        while True:
            pass
    finally:
        print("cleaned up")


def fork(event, context):
    """Whatever the child does, only the parent answers."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if event == "raise":
        raise ValueError("in the child")
    return "the child's answer"


def start_thread(event, context):
    answered = threading.Event()

    def run():
        for _ in range(20):
            answered.wait(0.001)  # gives up the interpreter's lock, which the host must give back
        print("ticked")

    threading.Thread(target=run, daemon=True).start()
