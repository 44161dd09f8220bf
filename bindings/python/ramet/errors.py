"""What goes wrong, as exceptions.

An exception that a Python function raised reaches its caller with its own type. All else is an `Error`; its subclasses
go by the codes of ramet/error.h.
"""
from __future__ import annotations

from concurrent.futures import BrokenExecutor
from typing import Any, Dict, Optional, Type

from ramet import _ramet


class RemoteTraceback(Exception):
    """The `__cause__` of an exception that was raised on a node: its traceback there, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.tb = text

    def __str__(self) -> str:
        return '\n"""\n%s"""' % self.tb


class Error(Exception):
    """Ramet could not do it.

    code: number of the error (negative, ramet/error.h); name: "ENOTFOUND"; node: where it happened, 0 unknown;
    retryable: calling again may help and does no harm; log_tail: the last that the instance wrote; signal: that ended
    the instance, or 0; info: what is known about the call, the fields of struct ramet_result.
    """

    code: int = 0
    node: int = 0
    retryable: bool = False
    signal: int = 0
    log_tail: str = ""

    def __init__(self, message: str = "", code: Optional[int] = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.info: Dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The code's name: "EDEADLINE"."""
        return _ramet.error_name(self.code)

    def __reduce__(self) -> Any:
        return type(self), (self.args[0], self.code), self.__dict__


class RemoteError(Error):
    """The function raised an exception that cannot be had here by its own type: from a handler that speaks JSON, or one
    that could not be pickled or unpickled. type_name, message, traceback: of that."""

    code = _ramet.EUSER
    type_name: str = ""
    message: str = ""
    traceback: str = ""


class InitError(RemoteError, BrokenExecutor):
    """An app cannot start: importing its modules, or its init, raised an exception."""


class DeadlineExceeded(Error, TimeoutError):
    """The call's deadline has passed."""

    code = _ramet.EDEADLINE


class TimeLimit(Error, TimeoutError):
    """A time limit of the system has passed."""

    code = _ramet.ETIMEOUT


class Cancelled(Error):
    """Somebody else cancelled the call, or removed its function. (A future that was cancelled raises
    CancelledError.)"""

    code = _ramet.ECANCELED


class Lost(Error):
    """The instance or its node is gone; whether the call took effect is unknown."""

    code = _ramet.ELOST


class ConnectionLost(Lost, ConnectionError):
    """The connection to the cluster is gone; the next call makes a new one."""

    code = _ramet.EPEER


class Crashed(Error):
    """The function's process crashed: see signal, log_tail."""

    code = _ramet.ECRASH


class LimitExceeded(Error):
    """A limit was exceeded: memory, size of input or output."""

    code = _ramet.ELIMIT


class NotFound(Error, LookupError):
    """No such function, or node."""

    code = _ramet.ENOTFOUND


class Refused(Error):
    """The fork, capture or placement was refused; the message names why."""

    code = _ramet.EREFUSED


class NotAllowed(Refused, PermissionError):
    """Not this user's."""

    code = _ramet.EPERM


class NoCluster(Error, ConnectionError):
    """No cluster answers there."""

    code = _ramet.ENOCLUSTER


class Busy(Error):
    """No room now: try again later."""

    code = _ramet.EAGAIN


class Invalid(Error, ValueError):
    """An argument is not valid, or a ramet.yaml."""

    code = _ramet.EINVAL


class Closed(Error, ValueError):
    """The client was closed."""

    code = _ramet.ECLOSED


_classes: Dict[int, Type[Error]] = {
    c.code: c for c in (RemoteError, DeadlineExceeded, TimeLimit, Cancelled, Lost, ConnectionLost, Crashed, LimitExceeded,
                        NotFound, Refused, NotAllowed, NoCluster, Busy, Invalid, Closed)}
_classes[_ramet.ECONFIG] = Invalid
_classes[_ramet.ECLASS] = Refused
_classes[_ramet.EREVOKED] = Cancelled


def error(code: int, message: str) -> Error:
    """The exception for a code."""
    return _classes.get(code, Error)(message, code)


def of_result(result: _ramet.Result, cls: Optional[Type[RemoteError]] = None) -> Error:
    """The exception for a result whose code is not 0. cls: for what the function raised."""
    failure = result.failure() or {}
    user = result.code == _ramet.EUSER
    exc = cls(result.message, result.code) if cls and user else error(result.code, result.message)
    exc.info = result.info()
    for field in ("node", "retryable", "signal", "log_tail"):
        if field in failure:
            setattr(exc, field, failure[field])
    if isinstance(exc, RemoteError):
        exc.type_name, exc.message = failure.get("type", ""), failure.get("message", result.message)
        exc.traceback = failure.get("traceback", "")
    if failure.get("traceback"):
        exc.__cause__ = RemoteTraceback(failure["traceback"])
    return exc


_ramet.set_error(error)
