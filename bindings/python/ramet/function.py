"""Functions of Python that are called on the cluster."""
from __future__ import annotations

import copy
import functools
import os
import threading
from collections import deque
from typing import Any, Callable, Deque, Generic, Iterable, Iterator, Optional, Sequence, Tuple, TypeVar, Union, overload

from ramet import _pickling, _ramet, _remote
from ramet._app import App
from ramet.client import Client, default_client
from ramet.executor import chunks, workers
from ramet.futures import Future

T = TypeVar("T")


def _value(result: _ramet.Result) -> Any:
    value, exc = _pickling.load_answer(result)
    if exc is not None:
        raise exc
    return value


class Function(Generic[T]):
    """What @ramet.function makes. f(x) calls it on the cluster and waits; f.submit(x) is its future; f.map(xs) an
    ordered iterator; f.local(x) calls it here. Any thread may use it; its first use deploys it and blocks until that
    is done.

    Pickled, in another function's globals or arguments, it is the function that it was made of.
    """

    def __init__(self, function: Callable[..., T], name: Optional[str], imports: Sequence[str],
                 init: Optional[Callable[[], Any]], modules: Optional[Sequence[str]], client: Optional[Client],
                 options: Any) -> None:
        functools.update_wrapper(self, function)
        self.local = function
        self._given = client
        self._settings = dict(name=name, base=function.__name__, imports=imports, init=init, initargs=(),
                              function=function, modules=modules, options=options)
        self._lock = threading.Lock()
        self._app: Optional[App] = None

    def __reduce__(self) -> Any:
        if _pickling.is_decorated(self.local):
            return _remote.named, (self.local.__module__, self.local.__qualname__)
        return copy.copy, (self.local,)  # which is the function itself

    def _deployed(self) -> App:
        with self._lock:
            client = self._given or default_client()
            if self._app is None or self._app.client is not client:
                self._app = App(client, **self._settings)
        self._app.deploy()
        return self._app

    def _args(self, app: App, kind: int, arguments: Any) -> Tuple[str, bytes, int, int, float]:
        return app.name, _pickling.dump_call(kind, app.key, b"", arguments), _ramet.BINARY, 0, 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        app = self._deployed()
        value: T = _value(app.client._call(*self._args(app, _remote.CALL, (args, kwargs))))
        return value

    def submit(self, *args: Any, **kwargs: Any) -> Future[T]:
        """The call as a future."""
        app = self._deployed()
        return app.client._submit(self._args(app, _remote.CALL, (args, kwargs)), _value)

    def map(self, *iterables: Iterable[Any], chunksize: Optional[int] = None) -> Iterator[T]:
        """Results in order. chunksize: items of one call; None: four calls for each worker, or 1 where an iterable
        has no length. The iterables are read as results are taken."""
        app = self._deployed()
        width = workers(app.client)
        if chunksize is None:
            chunksize = _chunksize(iterables, width)
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        calls = (app.client._submit(self._args(app, _remote.EACH, chunk), _value)
                 for chunk in chunks(iterables, chunksize))
        return _ordered(calls, deque(call for _, call in zip(range(2 * width), calls)))

    def remove(self) -> None:
        """Remove it from the cluster, which closing the client does, too, unless it has a name. The next use deploys it
        again."""
        with self._lock:
            app, self._app = self._app, None
        if app:
            app.stays = False
            app.remove()

    def __del__(self) -> None:
        app = getattr(self, "_app", None)
        if app and app.client._pid == os.getpid():
            app.remove()


def _chunksize(iterables: Sequence[Any], width: int) -> int:
    try:
        return max(1, min(map(len, iterables)) // (4 * width))
    except (TypeError, ValueError):
        return 1


def _ordered(calls: Iterator[Future[Any]], sent: Deque[Future[Any]]) -> Iterator[Any]:
    try:
        while sent:
            values = sent.popleft().result()
            sent.extend(call for _, call in zip(range(1), calls))
            yield from values
    finally:
        for call in sent:
            call.cancel()


@overload
def function(__function: Callable[..., T]) -> Function[T]: ...


@overload
def function(__function: None = None, *, name: Optional[str] = None, imports: Sequence[str] = (),
             init: Optional[Callable[[], Any]] = None, modules: Optional[Sequence[str]] = None,
             client: Optional[Client] = None, **options: Any) -> Callable[[Callable[..., T]], Function[T]]: ...


def function(__function: Optional[Callable[..., T]] = None, *, name: Optional[str] = None, imports: Sequence[str] = (),
             init: Optional[Callable[[], Any]] = None, modules: Optional[Sequence[str]] = None,
             client: Optional[Client] = None, **options: Any
             ) -> Union[Function[T], Callable[[Callable[..., T]], Function[T]]]:
    """A decorator: the function runs on the cluster, in forks of one process that has imported and initialised.

    init() runs once, in that process; what it leaves in the globals of the function's module the function finds.
    imports: names of modules to import there. modules: yours to ship, as for Executor. name: it stays on the cluster
    by this name; without one it has a name of its own and goes with the client. options: those of Client.deploy(), as
    deadline=, mem=.
    """
    def decorate(f: Callable[..., T]) -> Function[T]:
        return Function(f, name, imports, init, modules, client, options)

    return decorate if __function is None else decorate(__function)
