"""Stands for the package ramet on the nodes, as ramet.py of every app: a user's module that imports it and decorates
functions can be imported there, where they are just functions."""
from typing import Any


def function(__function: Any = None, **_: Any) -> Any:
    def decorate(f: Any) -> Any:
        f.local = f
        return f

    return decorate if __function is None else decorate(__function)


def _absent(*_args: Any, **_kwargs: Any) -> None:
    raise RuntimeError("functions that run on a node cannot use the cluster")


Client = Executor = default_client = _absent


def __getattr__(name: str) -> Any:
    """Exceptions, for `except` and `raise`; they are those of the package when they reach the caller."""
    if name.startswith("__"):
        raise AttributeError(name)
    found = globals()[name] = type(name, (Exception,), {"__module__": "ramet"})
    return found
