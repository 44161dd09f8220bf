"""Connections to a cluster."""
from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import threading
import weakref
from typing import Any, Callable, Dict, Mapping, Optional, Set, Tuple, Union

from ramet import _ramet, errors
from ramet._loop import LoopCalls
from ramet._mpi import open_all
from ramet._waiter import Args, Waiter
from ramet.events import Event
from ramet.futures import Future

Path = Union[str, "os.PathLike[str]"]
PATIENCE = 10.0  # seconds that close() gives cancelled calls to end


def json_value(result: _ramet.Result) -> Any:
    """What a handler returned: decoded JSON, or a memoryview of bytes."""
    if result.code:
        raise errors.of_result(result)
    view = memoryview(result)
    return view if result.binary else json.loads(bytes(view))


def bytes_value(result: _ramet.Result) -> memoryview:
    """A memoryview over the result's own memory, JSON or not."""
    if result.code:
        raise errors.of_result(result)
    return memoryview(result)


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


class Client:
    """A connection to a node of a cluster on this machine, and a context manager.

    address: path of the node's client socket; None: what RAMET_SOCKET, RAMET_DIR or the default directory tell. Any
    number of threads may use a client. Waiting gives up the interpreter's lock. Futures are completed by one thread of
    the client's, which starts with the first of them; call() needs none. A process that was forked must not use its
    parent's client: it opens its own.

    Errors: subclasses of ramet.Error, NoCluster when nothing answers.
    """

    def __init__(self, address: Optional[Path] = None) -> None:
        self._address = None if address is None else os.fspath(address)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self._waiter: Optional[Waiter] = None
        self._loops: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopCalls]" = weakref.WeakKeyDictionary()
        self._apps: Set[str] = set()  # to be removed at the end
        self._handle: Optional[_ramet.Handle] = _ramet.Handle(self._address)
        self.node, self.nodes = self._handle.facts()
        _clients.add(self)

    @classmethod
    def from_comm(cls, comm: Any, address: Optional[Path] = None) -> Client:
        """Collective over comm, a communicator of mpi4py: each rank's client of the daemon on its own machine.

        One rank of each machine looks for the daemon; the others follow it, and need not be told where it is (address,
        RAMET_SOCKET, RAMET_DIR). If a machine has none, all ranks raise the same NoCluster, which names it.
        """
        return open_all(comm, None if address is None else os.fspath(address), cls)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "node"):  # it was opened
            self.close()

    def _open(self) -> _ramet.Handle:
        if self._closed:
            raise errors.Closed("the client was closed")
        return _ramet.Handle(self._address)

    def _synchronous(self) -> _ramet.Handle:
        with self._lock:
            if self._handle is None:
                self._handle = self._open()
            return self._handle

    def _lost(self, handle: _ramet.Handle) -> None:
        """The next call makes a new connection."""
        with self._lock:
            if self._handle is handle:
                self._handle = None
        handle.close()

    def close(self) -> None:
        """Cancel what is under way, remove the apps of functions and executors, and disconnect."""
        if self._pid != os.getpid():
            return
        with self._lock:
            closed, self._closed = self._closed, True
            waiter, self._waiter = self._waiter, None
            loops = list(self._loops.values())
        if closed:
            return
        if waiter:
            waiter.close(PATIENCE)
        for loop_calls in loops:
            loop_calls.close()
        for name in list(self._apps):
            self._removed(name)
        handle, self._handle = self._handle, None
        if handle:
            for call in handle.calls():
                try:
                    call.cancel()
                except errors.Error:
                    pass  # it is over
            handle.close()

    # --- functions ---

    def deploy(self, path: Path, *, name: Optional[str] = None, app: Optional[str] = None, lang: Optional[str] = None,
               handler: Optional[str] = None, python: Optional[str] = None, fresh: Optional[str] = None,
               samples: Optional[Path] = None, env: Optional[Mapping[str, str]] = None, idempotent: bool = False,
               node: int = 0, deadline: float = 0, mem: int = 0, output: int = 0,
               progress: Optional[Callable[[str, str, float], Any]] = None) -> Dict[str, Any]:
        """Deploy a .py, .so, .lua or .wasm file, or a directory with ramet.yaml; arguments go over what that says.

        deadline: seconds a call may take; mem, output: bytes; progress(stage, text, fraction) is told what is done.
        Returns the fields of struct ramet_result: version, node, capture_us… Raises InitError when the app raises an
        exception.
        """
        return self._deploy(os.fspath(path), name=name, app=app, lang=lang, handler=handler, python=python, fresh=fresh,
                            samples=None if samples is None else os.fspath(samples), idempotent=idempotent, node=node,
                            deadline_ms=round(deadline * 1000), mem=mem, output=output, progress=progress,
                            env=tuple(f"{key}={value}".encode() for key, value in (env or {}).items())).info()

    def _deploy(self, path: str, **options: Any) -> _ramet.Result:
        result = self._synchronous().deploy(path, **options)
        if result.code:
            raise errors.of_result(result, errors.InitError)
        return result

    def remove(self, name: str) -> None:
        """Remove a function; its running calls end with Cancelled. NotFound: there is none."""
        self._synchronous().remove(name)

    def _removed(self, name: str) -> None:
        """remove() of an app of the package's, also while the client is being closed; without a lock, for
        destructors."""
        self._apps.discard(name)
        with contextlib.suppress(errors.NotFound, errors.Lost, errors.NoCluster, errors.Closed):
            (self._handle or _ramet.Handle(self._address)).remove(name)

    # --- calls ---

    def call(self, name: str, value: Any = None, *, deadline: float = 0, node: int = 0,
             on_event: Optional[Callable[[Event], Any]] = None) -> Any:
        """Call a function with what JSON can say, and wait for what it returns.

        deadline: seconds, 0 the function's own; node: where it must run, 0 anywhere. Bytes that it returns come as a
        memoryview. on_event(event) is told, in this thread, what the function emits meanwhile: a ramet.Chunk or
        ramet.Progress. RemoteError: it raised an exception.
        """
        if on_event is not None:
            return self._followed(self.submit(name, value, deadline=deadline, node=node, events=True), on_event)
        return json_value(self._call(name, _json(value), 0, node, deadline))

    def call_bytes(self, name: str, data: Any, *, deadline: float = 0, node: int = 0) -> memoryview:
        """Call a function with bytes (any contiguous buffer, ≤ 64 MiB). The answer's memory lives as long as views of
        it, numpy arrays made from it included; large answers lie where the function's process put them, and may be
        written to."""
        return bytes_value(self._call(name, data, _ramet.BINARY, node, deadline))

    def _call(self, name: str, data: Any, flags: int, node: int = 0, deadline: float = 0) -> _ramet.Result:
        handle = self._synchronous()
        try:
            call = handle.send(name, data, flags, node, deadline)
        except errors.ConnectionLost:
            self._lost(handle)
            raise
        try:
            result = call.wait()
        except BaseException:  # KeyboardInterrupt
            call.drop()
            raise
        assert result is not None
        if result.code == _ramet.EPEER:
            self._lost(handle)
        return result

    @staticmethod
    def _followed(future: Future[Any], on_event: Callable[[Event], Any]) -> Any:
        try:
            for event in future.events():
                on_event(event)
            return future.result()
        except BaseException:  # of on_event, or KeyboardInterrupt
            future.cancel()
            raise

    def submit(self, name: str, value: Any = None, *, deadline: float = 0, node: int = 0, events: bool = False,
               on_event: Optional[Callable[[Event], Any]] = None) -> Future[Any]:
        """call(), as a future. events: future.events() gives what the function emits; on_event(event): or this is told of
        it, in the client's thread, before the future is done."""
        return self._submit((name, _json(value), 0, node, deadline), json_value, events, on_event)

    def submit_bytes(self, name: str, data: Any, *, deadline: float = 0, node: int = 0, events: bool = False,
                     on_event: Optional[Callable[[Event], Any]] = None) -> Future[memoryview]:
        """call_bytes(), as a future."""
        return self._submit((name, data, _ramet.BINARY, node, deadline), bytes_value, events, on_event)

    def _submit(self, args: Args, decode: Callable[[_ramet.Result], Any], events: bool = False,
                on_event: Optional[Callable[[Event], Any]] = None) -> Future[Any]:
        future: Future[Any] = Future()
        if events and on_event is not None:
            raise ValueError("events are for future.events(), or for on_event")
        if events or on_event is not None:
            future._listen(on_event)
            args = (*args[:2], args[2] | _ramet.EVENTS, *args[3:])

        def settle(outcome: Any) -> None:
            if isinstance(outcome, _ramet.Event):
                future._tell(outcome)
                return
            try:
                if isinstance(outcome, errors.Error):
                    raise outcome
                future._settle(decode(outcome), None, outcome)
            except BaseException as exc:
                future._settle(None, exc, getattr(exc, "info", None))

        call = self._waiting().send(args, settle)
        assert call is not None
        future._sent(call)
        return future

    def _waiting(self) -> Waiter:
        """What futures are sent with."""
        waiter = self._waiter
        if waiter is None or waiter.broken:
            with self._lock:
                if self._waiter is None or self._waiter.broken:
                    self._waiter = Waiter(self._open())
                waiter = self._waiter
        return waiter

    # --- asyncio ---

    async def acall(self, name: str, value: Any = None, *, deadline: float = 0, node: int = 0) -> Any:
        """call() for coroutines. Cancelling the task cancels the call."""
        return json_value(await self._acall((name, _json(value), 0, node, deadline)))

    async def acall_bytes(self, name: str, data: Any, *, deadline: float = 0, node: int = 0) -> memoryview:
        """call_bytes() for coroutines."""
        return bytes_value(await self._acall((name, data, _ramet.BINARY, node, deadline)))

    async def _acall(self, args: Args) -> _ramet.Result:
        loop = asyncio.get_running_loop()
        with self._lock:
            calls = self._loops.get(loop)
            if calls is None or calls.broken:
                calls = self._loops[loop] = LoopCalls(self._open(), loop)
        return await calls.call(args)


_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()
_default: Optional[Client] = None
_default_lock = threading.Lock()


def default_client() -> Client:
    """The client that functions and executors use when they are given none; opened by its first use in a process."""
    global _default
    with _default_lock:
        if _default is None or _default._closed or _default._pid != os.getpid():
            _default = Client()
        return _default


def _forked() -> None:
    global _default_lock
    _default_lock = threading.Lock()


@atexit.register
def _close_all() -> None:
    for client in list(_clients):
        client.close()


os.register_at_fork(after_in_child=_forked)
