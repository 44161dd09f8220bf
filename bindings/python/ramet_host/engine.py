"""The engine: what the C module calls, on the host's one thread.

JSON is what RFC 8259 says it is: NaN and infinities are errors in both directions.
"""
import gc
import importlib
import json
import os
import signal
import sys
import threading

import _ramet_host
from ramet_host import software
from ramet_host.context import Context
from ramet_host.failure import raised, refusal
from ramet_host.loading import find

_handlers = []
_names = []
_running = False
_directory = ""  # of the app's files
_is_child = False  # of the host: an application forked


class DeadlineExceeded(BaseException):
    """Raised in a handler whose deadline has passed; no Exception, so that handlers do not swallow it."""


def _on_deadline(signum, frame):
    if _running:
        raise DeadlineExceeded("the deadline of the call has passed")


def _forked():
    global _is_child
    _is_child = True


def _end_child(status, text=""):
    """A child that an application forked returns from the handler: the answer is its parent's to give."""
    sys.stderr.write(text)
    done()
    os._exit(status)


def init(deadline_signal):
    """Before anything else. Returns a line about the interpreter."""
    signal.signal(deadline_signal, _on_deadline)
    os.register_at_fork(after_in_child=_forked)
    return "%s %s, %s" % (sys.implementation.name, sys.version.split()[0], sys.executable)


def load(directory, functions, env):
    """functions: [(name, handler)]. None, or a failure."""
    global _directory
    _directory = directory
    os.environ.update(env)
    sys.path.insert(0, directory)
    importlib.invalidate_caches()
    for name, handler in functions:
        found, failure = find(directory, name, handler)
        if failure:
            return failure
        _handlers.append(found)
        _names.append(name)
    return None


def roots():
    """The files and directories that the application may open later, though it has not yet."""
    return list(software.roots(_directory))


# --- calls ---


def _no_number(text):
    raise ValueError("%s is no JSON number" % text)


_decode = json.JSONDecoder(parse_constant=_no_number).decode
_encode = json.JSONEncoder(allow_nan=False).encode


def _pack(result):
    """(bytes, whether they are raw)"""
    if isinstance(result, bytes):
        return result, True
    if isinstance(result, (bytearray, memoryview)):
        return bytes(result), True
    return _encode(result).encode(), False


def call(index, data, binary, version, node, rank, size, deadline_ns, call_id):
    """data: bytes when binary, else JSON text or None. (True, bytes, binary), or (False,) + a failure."""
    global _running
    context = Context(_names[index], version, node, rank, size, deadline_ns, call_id)
    try:
        event = memoryview(data) if binary else None if data is None else _decode(data)
    except (ValueError, RecursionError) as exc:
        return (False,) + refusal("EINVAL", "the input is not JSON: %s" % exc)
    try:
        _running = True
        result = _handlers[index](event, context)
        _running = False
    except BaseException as exc:  # SystemExit and KeyboardInterrupt do not end the instance either
        _running = False
        failure = raised(exc)
        if _is_child:
            _end_child(1, failure[-1])
        return (False,) + failure
    if _is_child:
        _end_child(0)
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


# --- snapshots ---


def _warm():
    """The way of a call, often enough for the interpreter to have specialised it: in a clone that would cost each first
    call a quarter of its page faults."""
    index = len(_handlers)
    _handlers.append(lambda event, context: event)
    _names.append("")
    for _ in range(64):
        call(index, '{"a": [1, 2.5, "x", null]}', False, "", 0, 0, 1, 0, bytes(16))
    del _handlers[index:], _names[index:]


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
    gc.collect()
    gc.freeze()
