"""Calls that are awaited: a connection for each event loop, whose descriptor the loop polls. No thread."""
from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import Set

from ramet import _ramet, errors
from ramet._waiter import Args


class LoopCalls:
    """Of one event loop, and used in its thread only."""

    def __init__(self, handle: _ramet.Handle, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = handle
        self._loop = weakref.ref(loop)  # the key by which this is kept
        self._waiting: Set["asyncio.Future[_ramet.Result]"] = set()
        self._fd = handle.fd()
        self.broken = False
        loop.add_reader(self._fd, self._look)

    async def call(self, args: Args) -> _ramet.Result:
        """args: of Handle.send(). Cancelling the task cancels the call."""
        future: "asyncio.Future[_ramet.Result]" = asyncio.get_running_loop().create_future()
        call = self._handle.send(*args, future)
        self._waiting.add(future)
        self._look()  # tells the library that its descriptor is polled, and what was done already
        try:
            return await future
        except asyncio.CancelledError:
            if future in self._waiting:
                with contextlib.suppress(errors.Error):  # it is over
                    call.cancel()
            raise

    def _look(self) -> None:
        while not self.broken:
            try:
                done = self._handle.collect(0)
            except errors.Error as exc:
                self._break(exc)
                return
            if not done:
                return
            for future, result in done:
                self._waiting.discard(future)
                if result.code == _ramet.EPEER:
                    self.broken = True
                if not future.done():
                    future.set_result(result)
        self._break(errors.ConnectionLost("the connection to the cluster is lost"))

    def _break(self, exc: errors.Error) -> None:
        self.broken = True
        loop = self._loop()
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._fd)
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_exception(exc)
        self._handle.close()

    def close(self) -> None:
        """Any thread."""
        closed = errors.Closed("the client was closed")
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        loop = self._loop()
        if loop is not None and loop.is_running() and loop is not running:
            loop.call_soon_threadsafe(self._break, closed)
        else:
            self._break(closed)
