"""How functions, arguments and answers become bytes here, and values again.

What nodes find by its name goes by name: what is installed, and modules that were shipped with the app. Functions of
__main__, lambdas and what else has no such name go as code, by cloudpickle.
"""
from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import pickle
import site
import sys
import sysconfig
import threading
import types
from typing import Any, Callable, Container, Dict, Iterator, List, Optional, Set, Tuple

from ramet import _ramet, _remote, errors

NEEDS_CLOUDPICKLE = ("%s travels as code, which needs the package cloudpickle (Debian: python3-cloudpickle; pip install "
                     "cloudpickle)")
_by_value_lock = threading.Lock()


def cloudpickle() -> Any:
    """The module, or None."""
    found = sys.modules.get("cloudpickle")
    if found is None and importlib.util.find_spec("cloudpickle"):
        import cloudpickle as found  # type: ignore
    return found


def _roots() -> Tuple[str, ...]:
    paths = {sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths.update(site.getsitepackages())
    paths.add(site.getusersitepackages())
    return tuple(os.path.realpath(path) + os.sep for path in paths)


_installed = _roots()


def is_installed(module: types.ModuleType) -> bool:
    """Whether it belongs to the interpreter or its packages: then nodes have it."""
    file = getattr(module, "__file__", None)
    if file is None:
        return True
    path = os.path.realpath(file)
    return path.startswith(_installed) or not {"site-packages", "dist-packages"}.isdisjoint(path.split(os.sep))


def has_name(function: Any, shipped: Container[str]) -> bool:
    """Whether a node finds it by its name. shipped: top-level modules that go with the app."""
    module = sys.modules.get(getattr(function, "__module__", None) or "__main__")
    if module is None or module.__name__ == "__main__":
        return False
    if module is _remote:
        return True
    if not is_installed(module) and module.__name__.partition(".")[0] not in shipped:
        return False
    found = _by_name(module, function)
    return found is function or is_decorated(function)


def _by_name(module: Any, function: Any) -> Any:
    for part in getattr(function, "__qualname__", "?").split("."):
        module = getattr(module, part, None)
    return module


def is_decorated(function: Any) -> bool:
    """Whether what its module has by its name is the ramet.Function of it. On nodes the name is the function's."""
    module = sys.modules.get(getattr(function, "__module__", None) or "__main__")
    found = _by_name(module, function)
    return module is not None and module.__name__ != "__main__" and found is not function and getattr(
        found, "local", None) is function


class _NamePickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType) and is_decorated(obj):
            return _remote.named, (obj.__module__, obj.__qualname__)
        return NotImplemented


@contextlib.contextmanager
def _by_value(module: Any, code: Any) -> Iterator[None]:
    """Functions of a module that nodes do not have travel as code meanwhile."""
    name = getattr(code, "__module__", None)
    if name in (None, "__main__") or name not in sys.modules:
        yield
        return
    with _by_value_lock:
        known = name in module.list_registry_pickle_by_value()
        if not known:
            module.register_pickle_by_value(sys.modules[name])
        try:
            yield
        finally:
            if not known:
                module.unregister_pickle_by_value(sys.modules[name])


def _dumps(module: Any, value: Any) -> bytes:
    class Pickler(module.CloudPickler):  # type: ignore
        def _dynamic_function_reduce(self, func: Any) -> Any:
            make, args, state, items, pairs, setter = super()._dynamic_function_reduce(func)
            return make, args, (setter, state), items, pairs, _remote.restore

    with io.BytesIO() as file:
        Pickler(file, protocol=5).dump(value)
        return file.getvalue()


def dump_code(value: Any, functions: Tuple[Any, ...], shipped: Container[str]) -> bytes:
    """The pickle of a function, or of a tuple with the functions in it."""
    unnamed = [f for f in functions if f is not None and not has_name(f, shipped)]
    if not unnamed:
        with io.BytesIO() as file:
            _NamePickler(file, protocol=5).dump(value)
            return file.getvalue()
    module = cloudpickle()
    if module is None:
        raise pickle.PicklingError(NEEDS_CLOUDPICKLE % (unnamed[0],))
    stack = contextlib.ExitStack()
    with stack:
        for function in unnamed:
            if isinstance(function, types.FunctionType):
                stack.enter_context(_by_value(module, function))
        data = _dumps(module, value)
    return data


def key_of(code: bytes) -> bytes:
    """What names a function's code on the nodes."""
    return hashlib.blake2b(code, digest_size=_remote.KEY_LEN).digest()


def _arguments_dumps() -> Callable[..., bytes]:
    module = cloudpickle()
    dumps: Callable[..., bytes] = module.dumps if module else pickle.dumps
    return dumps


def dump_call(kind: int, key: bytes, code: bytes, arguments: Any) -> bytes:
    """The frame of a call. arguments: (args, kwargs), or for EACH a list of args."""
    if _ramet.is_plain(arguments):
        data = pickle.dumps(arguments, 5)
        return _remote.pack(kind, key, (code, data)) if code else _remote.pack_second(kind, key, data)
    return _remote.pack(kind, key, [code, *_remote.dump_parts(arguments, _arguments_dumps())])


class UnknownFunction(Exception):
    """The instance needs the function's code."""


def _exception(parts: List[memoryview]) -> BaseException:
    type_name, message, trace = pickle.loads(parts[0])
    exc: Optional[BaseException] = None
    try:
        exc = pickle.loads(parts[1]) if len(parts[1]) else None
    except Exception:
        pass  # then it is told, and not had
    if not isinstance(exc, BaseException):
        told = errors.RemoteError("%s: %s" % (type_name, message))
        told.type_name, told.message, told.traceback = type_name, message, trace
        exc = told
    exc.__cause__ = errors.RemoteTraceback(trace)
    return exc


def load_answer(result: _ramet.Result) -> Tuple[Any, Optional[BaseException]]:
    """(value, None), or (None, exception). Arrays in the value lie in the result's memory."""
    if result.code:
        return None, errors.of_result(result)
    view = memoryview(result)
    try:
        data = _remote.single(view)
        if data is not None:
            return pickle.loads(data), None
        kind, _, parts = _remote.unpack(view)
        if kind == _remote.UNKNOWN:
            return None, UnknownFunction()
        if kind == _remote.RAISED:
            return None, _exception(parts)
        return _remote.load_parts(parts), None
    except BaseException as exc:  # of classes whose unpickling fails
        return None, exc


class Code:
    """Of a function. first: no call was sent with it yet."""

    __slots__ = ("key", "bytes", "first")

    def __init__(self, code: bytes) -> None:
        self.key, self.bytes, self.first = key_of(code), code, True


class Functions:
    """The code of functions, made once each; a plain function's globals are those of that time."""

    def __init__(self, shipped: Container[str]) -> None:
        self._shipped = shipped
        self._known: Dict[types.FunctionType, Code] = {}
        self._sent: Set[bytes] = set()

    def code(self, function: Any) -> Code:
        plain = type(function) is types.FunctionType
        found = self._known.get(function) if plain else None
        if found is None:
            found = Code(dump_code(function, (function,), self._shipped))
            found.first = found.key not in self._sent
            if plain:
                self._known[function] = found
        return found

    def sent(self, code: Code) -> None:
        """It is on its way."""
        code.first = False
        self._sent.add(code.key)
