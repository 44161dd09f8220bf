"""Loading and calling Python functions. The C module calls what is here, on the host's one thread.

Failures are tuples (code, kind, type, message, traceback): code names a RAMET_E... error, kind is one of "user",
"limit", "system", "refused".
"""
import gc
import importlib
import json
import os
import signal
import sys
import traceback

from ramet_host.context import Context

_handlers = []
_names = []
_running = False
_loads = json.loads
_dumps = json.dumps


class DeadlineExceeded(BaseException):
    """Raised in a handler whose deadline has passed; no Exception, so that handlers do not swallow it."""


def _on_deadline(signum, frame):
    if _running:
        raise DeadlineExceeded("the deadline of the call has passed")


def init(deadline_signal):
    """Before anything else. Returns a line about the interpreter."""
    signal.signal(deadline_signal, _on_deadline)
    return "%s %s, %s" % (sys.implementation.name, sys.version.split()[0], sys.executable)


# --- loading ---


def _failure(code, exc, frames):
    """frames: how many innermost-to-user frames of ours to leave out."""
    trace = exc.__traceback__
    for _ in range(frames):
        if trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
    text = "".join(traceback.format_exception(type(exc), exc, trace))
    return code, "user", type(exc).__name__, str(exc), text


def _refusal(code, message):
    return code, "user", "", message, ""


def _module_name(path):
    stem = path[:-3] if path.endswith(".py") else path
    if stem.endswith("/__init__"):
        stem = stem[: -len("/__init__")]
    return stem.strip("/").replace("/", ".")


def _find(directory, name, handler):
    """The handler "file.py:symbol" of a function, or a failure."""
    path, colon, symbol = handler.rpartition(":")
    if not colon or not path or not symbol:
        return None, _refusal("EINVAL", 'handler of %s: %s is not of the form "file.py:symbol"' % (name, handler))
    if not os.path.exists(os.path.join(directory, path)):
        return None, _refusal("ENOTFOUND", "function %s: there is no file %s" % (name, path))
    try:
        module = importlib.import_module(_module_name(path))
    except BaseException as exc:  # SystemExit too: the deployment fails, and says why
        code, kind, kind_name, message, text = _failure("EUSER", exc, 1)
        return None, (code, kind, kind_name, "function %s: importing %s failed: %s" % (name, path, message), text)
    found = module
    for part in symbol.split("."):
        found = getattr(found, part, None)
    if found is None:
        return None, _refusal("ENOTFOUND", "function %s: %s has no %s" % (name, path, symbol))
    if not callable(found):
        return None, _refusal("EINVAL", "function %s: %s in %s is not callable" % (name, symbol, path))
    return found, None


def load(directory, functions, env):
    """functions: [(name, handler)]. None, or a failure."""
    os.environ.update(env)
    sys.path.insert(0, directory)
    importlib.invalidate_caches()
    for name, handler in functions:
        found, failure = _find(directory, name, handler)
        if failure:
            return failure
        _handlers.append(found)
        _names.append(name)
    return None


# --- calls ---


def _encode(result):
    """(bytes, whether they are raw)"""
    if isinstance(result, bytes):
        return result, True
    if isinstance(result, (bytearray, memoryview)):
        return bytes(result), True
    return _dumps(result).encode(), False


def call(index, data, binary, version, node, rank, size, deadline_ns, call_id):
    """data: bytes when binary, else JSON text or None. (True, bytes, binary), or (False,) + a failure."""
    global _running
    context = Context(_names[index], version, node, rank, size, deadline_ns, call_id)
    try:
        event = memoryview(data) if binary else None if data is None else _loads(data)
    except ValueError as exc:
        return False, "EINVAL", "user", "JSONDecodeError", "the input is not JSON: %s" % exc, ""
    try:
        _running = True
        result = _handlers[index](event, context)
        _running = False
    except BaseException as exc:  # SystemExit and KeyboardInterrupt do not end the instance either
        _running = False
        return (False,) + _failure("EUSER", exc, 1)
    try:
        return (True,) + _encode(result)
    except (TypeError, ValueError, RecursionError) as exc:
        message = "the result of type %s is neither JSON nor bytes: %s" % (type(result).__name__, exc)
        return False, "EUSER", "user", type(exc).__name__, message, ""


def done():
    """The answer is out."""
    sys.stdout.flush()
    sys.stderr.flush()


# --- snapshots ---


def before_snapshot():
    """Garbage is not worth capturing; what is left is put out of the collector's sight, so that a collection in a clone
    does not write to (and so copy) every page that holds an object."""
    sys.stdout.flush()
    sys.stderr.flush()
    gc.collect()
    gc.freeze()
