"""Functions of bench/run invoke."""


def echo(event, context):
    return event


def loop(event, context):
    """Without end, if it is asked to."""
    n = 0
    while event:
        n += 1
    return n
