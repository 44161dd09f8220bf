"""The functions of engine_cases.h."""
import random
import time

calls = 0
kept = []


def echo(event, context):
    return event


def count(event, context):
    global calls
    calls += 1
    return calls


def total(event, context):
    return calls


def fail(event, context):
    def inner():
        raise ValueError("no luck today")
    inner()


def spin(event, context):
    while True:
        pass


def hoard(event, context):
    global kept
    kept = ["x" * 1000 for _ in range(event)]
    return len(kept)


def large(event, context):
    return "x" * event


def deep(event, context):
    return 1 + deep(event, context)


def draw(event, context):
    return random.random()


def now(event, context):
    return time.time()


def tell(event, context):
    for i in range(1, event + 1):
        context.emit(i)
    return "told"


def loop(event, context):
    s = 0
    for i in range(event // 20):  # it is not compiled
        s = (s + i * i) % 1000003
    return s
