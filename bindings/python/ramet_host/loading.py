"""From a handler "file.py:symbol" to the callable, through the interpreter's ordinary import."""
import importlib
import os
import sys

from ramet_host.failure import raised, refusal

_MISSING = object()
_by_file = {}


def _importable(path):
    """The module's name, or None where a file cannot be imported by one."""
    stem = path[: -len(".py")]
    if "." in stem:
        return None
    if stem.endswith("/__init__"):
        stem = stem[: -len("/__init__")]
    return stem.replace("/", ".")


def _from_file(full):
    """A file whose name is no module's, or that of one that is there already: "my.app.py", "json.py"."""
    module = _by_file.get(full)
    if module is None:
        import importlib.util

        stem = os.path.basename(full)[: -len(".py")]
        name = "_ramet_app_" + "".join(c if c.isalnum() else "_" for c in stem)
        spec = importlib.util.spec_from_file_location(name, full)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        _by_file[full] = module
    return module


def _import(directory, path):
    full = os.path.join(directory, path)
    name = _importable(path)
    if name is None:
        return _from_file(full)
    module = importlib.import_module(name)
    found = getattr(module, "__file__", None)
    return module if found and os.path.samefile(found, full) else _from_file(full)


def _check(directory, what, handler):
    """(path, symbol, None), or what is wrong with the text."""
    path, colon, symbol = handler.rpartition(":")
    if not colon or not path or not symbol:
        return path, symbol, refusal("EINVAL", '%s: %s is not of the form "file.py:symbol"' % (what, handler))
    path = os.path.normpath(path)
    if os.path.isabs(path) or path.startswith(".."):
        return path, symbol, refusal("EINVAL", "%s: %s is not one of the app's files" % (what, path))
    if not path.endswith(".py"):
        return path, symbol, refusal("EINVAL", "%s: %s is not a Python file (.py)" % (what, path))
    if not os.path.isfile(os.path.join(directory, path)):
        return path, symbol, refusal("ENOTFOUND", "%s: there is no file %s" % (what, path))
    return path, symbol, None


def _failed(doing, exc):
    """SystemExit too: the deployment fails, and says why."""
    code, kind, type_name, message, trace = raised(exc)
    return code, kind, type_name, "%s failed: %s" % (doing, message), trace


def find(directory, what, handler):
    """(callable, None), or (None, failure). what: "function NAME", or another name for messages."""
    path, symbol, failure = _check(directory, what, handler)
    if failure:
        return None, failure
    try:
        found = _import(directory, path)
        for part in symbol.split("."):
            found = getattr(found, part, _MISSING)
    except BaseException as exc:
        return None, _failed("%s: importing %s" % (what, path), exc)
    if found is _MISSING:
        return None, refusal("ENOTFOUND", "%s: %s has no %s" % (what, path, symbol))
    if not callable(found):
        return None, refusal("EINVAL", "%s: %s in %s is not callable" % (what, symbol, path))
    return found, None


def import_all(modules):
    """None, or a failure."""
    for name in modules:
        try:
            importlib.import_module(name)
        except BaseException as exc:
            return _failed("modules: importing %s" % name, exc)
    return None


def run_init(directory, init):
    """Once, when all else is there. None, or a failure."""
    function, failure = find(directory, "init", init)
    if failure:
        return failure
    try:
        function()
    except BaseException as exc:
        return _failed("init: %s" % init, exc)
    return None
