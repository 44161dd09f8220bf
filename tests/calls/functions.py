"""Python functions of tests/calls."""
import json
import os
import threading
import time


def echo(event, context):
    return event


def fail(event, context):
    raise ValueError(f"no {event}")


def loop(event, context):
    while event:
        pass
    return 0


def deep(event, context):
    return deep(event, context) + 1 if event else 0


def who(event, context):
    return {"function": context.function, "node": context.node, "rank": context.rank, "size": context.size, "id": context.id}


number = 0
kept = {"list": [1, [2]], "set": {3}, "bytes": bytearray(b"4")}


class Kept:
    total = 0

    def __init__(self):
        self.mine = []


one = Kept()


def touch(event, context, late=[]):
    """What it finds of the calls before it, and it changes all of that. event: what else it does."""
    global number
    found = [number, kept["list"], sorted(kept["set"]), kept["bytes"].decode(), Kept.total, one.mine, late, "TOUCHED" in os.environ,
             os.getcwd() == "/tmp", "added" in globals()]
    found = json.loads(json.dumps(found))
    number += 1
    kept["list"][1].append(number)
    kept["set"].add(number)
    kept["bytes"] += b"!"
    Kept.total += 1
    one.mine.append(number)
    late.append(number)
    os.environ["TOUCHED"] = "1"
    os.chdir("/tmp")
    globals()["added"] = True
    if event == "raise":
        raise ValueError("no luck")
    if event == "thread":
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    if event == "child" and os.fork() == 0:
        time.sleep(1000)
    while event == "loop":
        pass
    return found
