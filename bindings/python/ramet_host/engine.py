"""The engine: what the C module calls, on the host's one thread."""
import gc
import importlib
import os
import signal
import sys
import threading

import _ramet_host
from ramet_host import layers, mpi, software
from ramet_host.context import Context, Listener, tell_secrets
from ramet_host.failure import raised, refusal
from ramet_host.isolate import Isolate
from ramet_host.loading import find, import_all, run_init
from ramet_host.values import decode, encode, encode_apart

handlers = []
_directory = ""  # of the app's files
_isolate = None  # that is reset between calls
_is_child = False  # of the host: an application forked


class DeadlineExceeded(BaseException):
    """Raised in a handler whose deadline has passed; no Exception, so that handlers do not swallow it."""


def _on_deadline(signum, frame):
    if _ramet_host.running():
        raise DeadlineExceeded("the deadline of the call has passed")


def _forked():
    global _is_child
    _is_child = True
    _ramet_host.forked()
    Listener.silence()


def _leave(status, text=""):
    """A child that an application forked is at the handler's end: the answer is its parent's to give."""
    sys.stderr.write(text)
    done()
    os._exit(status)


def end_child(result):
    """It returned from the handler."""
    _leave(0)


def init(deadline_signal):
    """Before anything else. Returns a line about the interpreter."""
    signal.signal(deadline_signal, _on_deadline)
    os.register_at_fork(after_in_child=_forked)
    return "%s %s, %s" % (sys.implementation.name, sys.version.split()[0], sys.executable)


def base(directory, functions, env, init, modules, path, resets):
    """As load(), but for everything of the app's own. None, or why there is no base."""
    os.environ.update(env)
    mpi.stay_off()
    failure = layers.make(layers.App(directory, functions, init, modules, path))
    if not failure:
        layers.rehearse(_rehearsal)
    return failure


def _rehearsal(directory):
    found, failure = find(directory, "rehearsal", "ramet_rehearsal.py:handler")
    if not failure:
        _warm(found)


def load(directory, functions, env, init, modules, path, resets):
    """functions: [(name, handler)]; init: "file.py:symbol" or ""; modules, path: lists; resets: whether reset() will be
    called. None, or a failure."""
    global _directory, _isolate
    _directory = directory
    _isolate = Isolate(directory) if resets else None
    os.environ.update(env)
    failure = layers.leave(layers.App(directory, functions, init, modules, path))
    if failure:
        return failure
    sys.path[0:0] = [directory, *(os.path.join(directory, entry) for entry in path)]
    mpi.stay_off()
    importlib.invalidate_caches()
    failure = import_all(modules)
    if failure:
        return failure
    for name, handler in functions:
        found, failure = find(directory, "function " + name, handler)
        if failure:
            return failure
        handlers.append(found)
    return run_init(directory, init) if init else None


def roots():
    """The files and directories that the application may open later, though it has not yet."""
    return list(software.roots(_directory))


# --- calls ---


def _pack(result, encode=encode):
    """(bytes, whether they are raw)"""
    if isinstance(result, bytes):
        return result, True
    if isinstance(result, (bytearray, memoryview)):
        return bytes(result), True
    return encode(result).encode(), False


def _pack_apart(chunk):
    return _pack(chunk, encode_apart)


# What the C module needs at a call (python_calls.c); only small ones with nothing to say do without.
read = decode


def unread(exc):
    """The input could not be read."""
    if isinstance(exc, UnicodeDecodeError):
        return (False,) + refusal("EINVAL", "the input is not UTF-8")
    return (False,) + refusal("EINVAL", "the input is not JSON: %s" % exc)


def listened(handler, event, context):
    """The handler's result, while somebody gets what it emits."""
    context._listener = listener = Listener(_pack_apart)
    try:
        return handler(event, context)
    finally:
        _ramet_host.returned()
        listener.leave()


def failed(exc):
    """The handler raised this; SystemExit and KeyboardInterrupt do not end the instance either."""
    failure = raised(exc)
    if _is_child:
        _leave(1, failure[-1])
    return (False,) + failure


def outcome(result):
    """(True, bytes, whether they are raw) or (False,) + a failure."""
    try:
        return (True,) + _pack(result)
    except Exception as exc:
        message = "the result of type %s is neither JSON nor bytes: %s" % (type(result).__name__, exc)
        return False, "EUSER", "user", type(exc).__name__, message, ""


def done():
    """The answer is out."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed, replaced: the application's own affair
            pass


def reset():
    """Whether the app is again what it was at the capture."""
    return _isolate is not None and _isolate.reset()


def secrets(items):
    """What functions may see from now on: [(name, bytes)]."""
    tell_secrets(items)


# --- snapshots ---


def _warm(handler=lambda event, context: event):
    """The way of a call, often enough for the interpreter to have specialised it: in a clone that would cost each first
    call a quarter of its page faults."""
    index = len(handlers)
    handlers.append(handler)
    for _ in range(64):
        _ramet_host.rehearse(index, '{"a": [1, 2.5, "x", null]}')
    del handlers[index:]


def _native_id(thread):
    """Thread.native_id: that of the main thread is the process's, which differs in each clone."""
    return os.getpid() if thread is threading.main_thread() else thread._native_id


def renumber():
    """In a clone whose threads have got other ids of the kernel."""
    for ident, thread in threading._active.items():
        thread._native_id = _ramet_host.native_id(ident)


def before_snapshot():
    """Garbage is not worth capturing; what is left is put out of the collector's sight, so that a collection in a clone
    does not write to (and so copy) every page that holds an object."""
    threading.Thread.native_id = property(_native_id)
    _warm()
    done()
    if _isolate:
        _isolate.remember()
        _isolate.reset()  # for its own code
    gc.collect()
    gc.freeze()
