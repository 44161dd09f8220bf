"""The one thread of a client that waits for futures' calls, on a connection of its own."""
from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Dict, List, Optional, Tuple

from ramet import _ramet, errors

Settle = Callable[[Any], Optional[Callable[[], None]]]
Args = Tuple[str, Any, int, int, float]  # function, data, flags, node, deadline


class Waiter:
    """Calls that are sent here end in settle(a Result, or an Error when there is none), in this object's thread, a
    daemon that starts with the first call and ends with close(). What settle returns is called once for all calls
    that were found done together."""

    def __init__(self, handle: _ramet.Handle) -> None:
        self._handle = handle
        self._changed = threading.Condition(threading.Lock())
        self._resting = False
        self._closing = False
        self._thread: Optional[threading.Thread] = None
        self.broken = False

    def send(self, args: Args, settle: Settle, instances: int = 0) -> Optional[_ramet.Call]:
        """args: of Handle.send() before the user's. None: not now, for flags that ask for that. Closed."""
        if self._thread is None:
            self._start()
        call = self._handle.send(*args, settle, instances)
        if self._resting:
            with self._changed:
                self._changed.notify_all()
        return call

    def _start(self) -> None:
        with self._changed:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="ramet", daemon=True)
                self._thread.start()

    def _rest(self) -> bool:
        """Until there is something to wait for; False: never again, for the handle refuses what is sent."""
        with self._changed:
            self._resting = True
            self._changed.wait_for(lambda: self._closing or not self._handle.idle())
            self._resting = False
        return not self._closing or not self._handle.idle()

    def _run(self) -> None:
        while True:
            try:
                done = self._handle.collect(-1)
            except errors.Error as exc:
                self._break(exc)
                return
            if done:
                self._end_all(done)
            elif done is None and not self._rest():
                break
        self._handle.close()

    def _end_all(self, done: List[Tuple[Settle, Any]]) -> None:
        after: Dict[Callable[[], None], None] = {}
        done.reverse()
        while done:
            settle, outcome = done.pop()
            try:
                hook = settle(outcome)
                if outcome.code == _ramet.EPEER:
                    self.broken = True
                if hook:
                    after[hook] = None
            except BaseException:
                logging.getLogger("ramet").exception("completing a future")
        del settle, outcome
        for hook in after:
            try:
                hook()
            except BaseException:
                logging.getLogger("ramet").exception("after completing futures")

    def _break(self, exc: errors.Error) -> None:
        """Nothing can be waited for any more."""
        self._handle.refuse()
        self.broken = True
        calls = self._handle.calls()
        self._end_all([(call.user, exc) for call in calls])
        for call in calls:
            call.drop()
        self._handle.close()

    def close(self, seconds: float) -> None:
        """Cancel all that is under way; it is settled when this returns, if that takes no longer. Any thread."""
        self._handle.refuse()
        with self._changed:
            self._closing = True
            thread = self._thread
            self._changed.notify_all()
        for call in self._handle.calls():
            try:
                call.cancel()
            except errors.Error:
                pass  # it is over
        if thread is None:
            self._handle.close()
        elif thread is not threading.current_thread():
            thread.join(seconds)
