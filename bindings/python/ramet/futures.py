"""Futures of calls."""
from __future__ import annotations

import concurrent.futures
import logging
import queue
from typing import Any, Callable, Dict, Iterator, Optional, TypeVar

from ramet import _ramet, errors
from ramet.events import Event, event_of

T = TypeVar("T")
_KEPT = 4096  # bytes of output that a future may keep for what else is known about its call


class Future(concurrent.futures.Future[T]):
    """A concurrent.futures.Future of a call: `concurrent.futures.wait()`, `as_completed()` and `asyncio.wrap_future()`
    take it. Unlike that of a process pool it can be cancelled while it runs: the call is then killed.

    Callbacks run in the client's thread, in the one that cancels, or in the one that adds them when it is done; a slow
    one delays the client's other futures, and none may wait for another future of the client.
    """

    _call: Optional[_ramet.Call] = None  # while it is under way
    _info: Any = None  # of the call: a Result or what it tells
    _events: Optional["queue.SimpleQueue[Optional[_ramet.Event]]"] = None  # that nobody has taken; at the end, None
    _on_event: Optional[Callable[[Event], Any]] = None

    def __init__(self) -> None:
        super().__init__()
        self._claim = [None]  # whoever takes it out settles the future

    @property
    def info(self) -> Dict[str, Any]:
        """Once it is done: the fields of struct ramet_result."""
        if isinstance(self._info, _ramet.Result):
            self._info = self._info.info()
        return self._info or {}

    # --- what the call tells before its end ---

    def _listen(self, on_event: Optional[Callable[[Event], Any]]) -> None:
        """on_event is told of each, or else they wait for events()."""
        self._on_event = on_event
        if on_event is None:
            self._events = queue.SimpleQueue()

    def _tell(self, event: _ramet.Event) -> None:
        if self._events is not None:
            self._events.put(event)
        elif self._on_event is not None and not self.done():
            try:
                self._on_event(event_of(event))
            except Exception:
                logging.getLogger("ramet").exception("calling on_event")

    def events(self) -> Iterator[Event]:
        """What the call emits, as it comes, until it is done: for calls that were submitted with events=True. A function
        waits when some MiB of what it emitted have not been taken. One thread at a time."""
        events = self._events
        if events is None:
            raise RuntimeError("the call was not submitted with events=True")
        while True:
            event = events.get()
            if event is None:
                events.put(None)  # for the next one who asks
                return
            told = event_of(event)
            del event  # so the function may emit more
            yield told

    def _end_events(self) -> None:
        if self._events is not None:
            self._events.put(None)

    # --- its end ---

    def _claimed(self) -> bool:
        try:
            self._claim.pop()
        except IndexError:
            return False
        return True

    def running(self) -> bool:
        """Whether it was sent off and is not done."""
        return self._call is not None and not self.done()

    def cancel(self) -> bool:
        """Cancel it, also while it runs. False: it was done."""
        if not self._claimed():
            return self.cancelled()
        super().cancel()
        self.set_running_or_notify_cancel()
        self._end_events()
        call, self._call = self._call, None
        if call:
            try:
                call.cancel()
            except errors.Error:
                pass  # it is over, or the connection is
        return True

    def _sent(self, call: _ramet.Call) -> None:
        """It was sent off, maybe after it was cancelled, or is even done."""
        self._call = call
        if not self._claim:
            if self.cancelled():
                call.cancel()
            if self.done():
                self._call = None

    def _settle(self, value: Any, exception: Optional[BaseException], info: Any = None) -> None:
        """Its end, unless it was cancelled before. info: what is known about the call."""
        try:
            self._claim.pop()
        except IndexError:
            return
        if isinstance(info, _ramet.Result) and len(info) > _KEPT:
            info = info.info()  # which lets go of the memory
        self._info = info
        if exception is None:
            self.set_result(value)
        else:
            self.set_exception(exception)
        self._end_events()
        self._call = None
