"""What runs on the nodes, and the frames in which calls and answers travel.

This one file goes with every app that the package deploys, as _ramet_remote.py: nodes need nothing of the package. So
it imports nothing but the standard library. The client uses its frames, too.
"""
from __future__ import annotations

import functools
import importlib
import os
import pickle
import struct
import sys
import traceback
import types
from collections import OrderedDict
from typing import Any, Callable, Dict, List, Sequence, Tuple

CALL, EACH = 0, 1  # one call; one for each of a list of arguments
VALUE, RAISED, UNKNOWN = 2, 3, 4  # answers; UNKNOWN: the function's code is needed
KEY_LEN = 16  # bytes that name a function's code
FUNCTIONS_MAX = 64  # that an instance keeps
_MAGIC = b"RMT1"
_HEAD = struct.Struct("<4sB3xI%ds" % KEY_LEN)
_ALIGN = 64
_ZEROS = bytes(_ALIGN)
_ATOMS: set[type] = {int, float, complex, str, bytes, bool, type(None)}

sys.modules.setdefault("_ramet_remote", sys.modules[__name__])  # by this name pickles refer to it

_functions: OrderedDict[bytes, Any] = OrderedDict()  # by key
_pinned: Dict[bytes, Any] = {}  # the same, of the app's own
_kept: Dict[str, Dict[str, Any]] = {}  # module: what init left in it


# --- frames: head, length of each part, the parts, each aligned ---


@functools.lru_cache(None)
def _lengths(count: int) -> struct.Struct:
    return struct.Struct("<%dQ" % count)


def pack(kind: int, key: bytes, parts: Sequence[Any]) -> bytes:
    """parts: contiguous buffers of bytes. One copy of them is made."""
    count = len(parts)
    pieces: List[Any] = [_HEAD.pack(_MAGIC, kind, count, key), _lengths(count).pack(*map(len, parts))]
    at = _HEAD.size + 8 * count
    for part in parts:
        pad = -at % _ALIGN
        pieces += (_ZEROS[:pad], part)
        at += pad + len(part)
    return b"".join(pieces)


def unpack(frame: memoryview) -> Tuple[int, bytes, List[memoryview]]:
    """(kind, key, parts) of a memoryview; the parts are views of it. ValueError: it is none of ours."""
    if len(frame) < _HEAD.size:
        raise ValueError("a frame of %d bytes is too short" % len(frame))
    magic, kind, count, key = _HEAD.unpack_from(frame)
    at = _HEAD.size + 8 * count
    if magic != _MAGIC or at > len(frame):
        raise ValueError("this is no frame of the package ramet: was the function deployed by it?")
    parts = []
    for length in _lengths(count).unpack_from(frame, _HEAD.size):
        at += -at % _ALIGN
        if at + length > len(frame):
            raise ValueError("a frame is cut off")
        parts.append(frame[at : at + length])
        at += length
    return kind, key, parts


_TWO = struct.Struct("<4sB3xI%dsQQ20x" % KEY_LEN)  # head and lengths of two parts, as far as the second if the first is empty
_ONE = struct.Struct("<4sB3xI%dsQ28x" % KEY_LEN)
_ONE_LEN = _ONE.size


def pack_second(kind: int, key: bytes, part: bytes) -> bytes:
    """pack() of two parts, the first of which is empty."""
    return _TWO.pack(_MAGIC, kind, 2, key, 0, len(part)) + part


def single(frame: memoryview) -> Any:
    """The one part of an answer that is a value without buffers; None: it is another, or none at all."""
    size = len(frame)
    if size > _ONE_LEN:
        magic, kind, count, _, length = _ONE.unpack_from(frame)
        if magic == _MAGIC and kind == VALUE and count == 1 and size == _ONE_LEN + length:
            return frame[_ONE_LEN:]
    return None


# --- pickles ---


def is_plain(value: Any, depth: int = 3) -> bool:
    """Whether the ordinary pickle does: no function or class in it that may have to travel as code."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind in (tuple, list) and depth and len(value) <= 64:
        return all(is_plain(item, depth - 1) for item in value)
    if kind is dict and depth and len(value) <= 64:
        return all(is_plain(item, depth - 1) for pair in value.items() for item in pair)
    return kind.__module__ == "numpy" and kind.__name__ == "ndarray" and value.dtype.hasobject is False


def dump_parts(value: Any, dumps: Callable[..., bytes]) -> List[Any]:
    """[pickle, buffer, …]; dumps: as pickle.dumps()."""
    buffers: List[pickle.PickleBuffer] = []
    if is_plain(value):
        dumps = pickle.dumps
    data = dumps(value, protocol=5, buffer_callback=buffers.append)
    return [data, *(buffer.raw() for buffer in buffers)]


def load_parts(parts: Sequence[Any]) -> Any:
    return pickle.loads(parts[0], buffers=parts[1:])


def restore(function: Any, state: Any) -> None:
    """Sets the state of a function that travelled as code; its module's globals are what init left there."""
    setter, own = state
    setter(function, own)
    function.__globals__.update(_kept.get(function.__module__, ()))


def named(module: str, name: str) -> Any:
    """A function by its name, where the caller has something else by it: that decorated it."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def run(function: Callable[[], Any]) -> Any:
    """For calls whose function is an argument."""
    return function()


restore.__module__ = named.__module__ = run.__module__ = "_ramet_remote"


def _dumps() -> Callable[..., bytes]:
    module = sys.modules.get("cloudpickle")
    dumps: Callable[..., bytes] = module.dumps if module else pickle.dumps
    return dumps


# --- an app ---


def start(app: str, imports: Sequence[str]) -> Callable[[Any, Any], bytes]:
    """app: path of its file; imports: modules that it wants in the seed. Returns the handler."""
    directory = os.path.dirname(os.path.abspath(app))
    for name in imports:
        importlib.import_module(name)
    if os.path.exists(os.path.join(directory, "cloudpickle")):
        importlib.import_module("cloudpickle")
    with open(os.path.join(directory, "_ramet_app.pickle"), "rb") as file:
        init, args, key, function = pickle.load(file)
    if key:
        _pinned[key] = function
    if init is not None:
        _run_init(init, args)
    return handle


def _run_init(init: Any, args: Sequence[Any]) -> None:
    """What init leaves in its module is there for the module's functions; those that travel as code come each with
    globals of their own."""
    namespace = getattr(init, "__globals__", {})
    before = dict(namespace)
    init(*args)
    module = sys.modules.get(getattr(init, "__module__", None) or "")
    if module is None or vars(module) is not namespace:
        code = _ATOMS | {types.FunctionType, types.ModuleType, type}
        _kept[init.__module__] = {
            name: value for name, value in namespace.items() if name != "__builtins__"
            and (type(value) not in code or name not in before or before[name] is not value)}


def _find(key: bytes, code: memoryview) -> Any:
    function = _pinned.get(key)
    if function is None:
        function = _functions.get(key)
    if function is None and len(code):
        function = _functions[key] = pickle.loads(code)
        if len(_functions) > FUNCTIONS_MAX:
            _functions.popitem(last=False)
    return function


def handle(event: memoryview, context: Any) -> bytes:
    """The handler of every app: frame in, frame out. What functions raise is an answer, but not what the engine raises
    in them: at the deadline."""
    kind, key, parts = unpack(event)
    try:
        function = _find(key, parts[0])
        if function is None:
            return pack(UNKNOWN, key, ())
        arguments = load_parts(parts[1:])
        if kind == EACH:
            value = [function(*args) for args in arguments]
        else:
            value = function(*arguments[0], **arguments[1])
        return pack(VALUE, key, dump_parts(value, _dumps()))
    except BaseException as exc:
        if type(exc).__module__ == "ramet_host.engine":
            raise
        return pack(RAISED, key, _raised(exc))


def _trace_of(exc: BaseException) -> str:
    trace = exc.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(exc), exc, trace))


def _raised(exc: BaseException) -> List[bytes]:
    """[type's name, message, traceback, as a pickle; the exception's pickle, or nothing where it has none]"""
    try:
        message, trace = str(exc), _trace_of(exc)
    except BaseException:  # whatever its class does
        message, trace = "(its str() failed)", ""
    try:
        data = _dumps()(exc.with_traceback(None), protocol=5)
    except BaseException:
        data = b""
    return [pickle.dumps((type(exc).__name__, message, trace), protocol=5), data]
