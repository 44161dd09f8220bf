"""What is done before a capture."""
import sys

calls = 0


def once():
    global calls
    calls += 1


def fails():
    raise LookupError("no table")


def told(event, context):
    import only_there

    here = sys.path[0] + "/"
    path = [entry[len(here):] if entry.startswith(here) else entry for entry in sys.path[1:3]]
    return [calls, [name in sys.modules for name in event], only_there.NAME, path]
