"""A function that does what its input says, "kind id": well, or harm. See functions.c."""
import ctypes
import os
import signal
import time

LIBRARY = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), "libhostile.so"))


def loop():
    while True:
        pass


def stubborn():
    while True:
        try:
            loop()
        except BaseException:
            pass


def memory():
    kept = []
    while len(kept) < 1024:
        kept.append(bytearray(b"x") * (1 << 20))


def recursion():
    recursion()


def flood():
    for _ in range(4096):
        print("x" * 1023)


def bomb():
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.001)


def close():
    os.closerange(0, 65536)
    while True:
        time.sleep(60)


def signals():
    everything = set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
    for number in everything:
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass  # the C library keeps some for itself
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    stubborn()


KINDS = {
    "loop": loop, "stubborn": stubborn, "memory": memory, "recursion": recursion, "print": flood, "bomb": bomb,
    "child": os.fork, "exit": lambda: os._exit(3), "segfault": lambda: ctypes.string_at(0xdead000), "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL), "close": close, "scribble": LIBRARY.hostile_scribble,
    "signals": signals, "good": lambda: None,
}


def behave(event, context):
    kind, number = event.split()
    number = int(number)
    if LIBRARY.hostile_count(number) < 0:
        raise ValueError(event)
    if kind == "output":
        return "x" * (2 << 20)
    if kind == "raise":
        raise LookupError(f"no {number}")
    KINDS[kind]()
    return number
