"""A module of the user's own with functions of the cluster; on nodes it is imported without the package."""
import ramet

factor = None


def load():
    global factor
    factor = 2


@ramet.function(init=load)
def scale(x):
    return x * factor, plain(1) == 2


@ramet.function(init=load)
def twice(x):
    return scale(x * factor)


def plain(x):
    return x + 1


def fails():
    raise ramet.NotFound("no such thing")
