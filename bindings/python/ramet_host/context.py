"""What a function may know about the call it runs."""
import sys
import threading
import time

import _ramet_host


class Secrets(dict):
    """What the app names in `secrets:`, by name; printed, it shows no values."""

    __slots__ = ()

    def __missing__(self, name):
        raise KeyError("secret %s is not named in secrets: of ramet.yaml" % name)

    def __repr__(self):
        return "<secrets: %s>" % ", ".join(sorted(self))

    __str__ = __repr__


_secrets = Secrets()


def tell_secrets(items):
    """Those of the calls from now on: [(name, bytes)]."""
    global _secrets
    secrets = Secrets()
    for name, value in items:
        try:
            secrets[name] = value.decode()
        except UnicodeDecodeError:
            secrets[name] = value
    _secrets = secrets


class OutputLimit(Exception):
    """More is emitted than the function may put out; the call ends with ELIMIT."""


class Listener:
    """Whom a call tells what it emits: threads of a handler's take turns, and none does when the call is over."""

    _silent = False  # in a child of the process, which has nobody to tell anything

    def __init__(self, pack):
        self._pack = pack
        self._lock = threading.Lock()
        self._over = False

    @classmethod
    def silence(cls):
        cls._silent = True

    def _tell(self, function, *args):
        if self._silent:
            return
        with self._lock:
            if self._over:
                raise RuntimeError("the call is over")
            function(*args)

    def emit(self, chunk):
        data, binary = self._pack(chunk)
        try:
            self._tell(_ramet_host.emit, data, binary)
        except OverflowError as exc:
            raise OutputLimit(str(exc)) from None

    def progress(self, fraction, text):
        self._tell(_ramet_host.progress, fraction, text)

    def leave(self):
        """Nothing is told after this."""
        if self._silent:
            return
        with self._lock:
            self._over = True


class Context(_ramet_host.CallContext):
    """Passed as the second argument of a handler. Valid during the call.

    function, version: names; node: number of the node; rank, size: place in the group of a burst, and how many they
    are; id: random id of the call (hex); deadline: time.monotonic() at which the call is interrupted, or None.
    """

    __slots__ = ()

    @property
    def remaining(self):
        """Seconds until the deadline, or None."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    @property
    def cancelled(self):
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def secrets(self):
        """The app's secrets, by name: str, or bytes where they are not UTF-8."""
        return _secrets

    @property
    def listened(self):
        """Whether somebody gets what the call emits."""
        return self._listener is not None

    def emit(self, chunk):
        """Tell whoever listens to the call (Future.events(), `ramet invoke --follow`) a part of its output: bytes, or what
        JSON can say; at most 1 MiB, and all of them count towards the function's output limit, as 64 bytes at least
        (OutputLimit). Waits while the listener is behind. Nobody listens: nothing is done. Any thread, while the call
        runs."""
        if self._listener is not None:
            self._listener.emit(chunk)

    def progress(self, fraction, text=""):
        """Tell whoever listens how far the call is, 0 to 1, and a line for people. It may be told often: what is overtaken
        soon is left out."""
        if self._listener is not None:
            self._listener.progress(fraction, text)

    def log(self, text):
        """A line of the instance's log."""
        print(text, file=sys.stderr, flush=True)
