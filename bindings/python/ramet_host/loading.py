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


def _check(directory, name, handler):
    """(path, symbol, None), or what is wrong with the text."""
    path, colon, symbol = handler.rpartition(":")
    if not colon or not path or not symbol:
        return path, symbol, refusal("EINVAL", 'handler of %s: %s is not of the form "file.py:symbol"' % (name, handler))
    path = os.path.normpath(path)
    if os.path.isabs(path) or path.startswith(".."):
        return path, symbol, refusal("EINVAL", "function %s: %s is not one of the app's files" % (name, path))
    if not path.endswith(".py"):
        return path, symbol, refusal("EINVAL", "function %s: %s is not a Python file (.py)" % (name, path))
    if not os.path.isfile(os.path.join(directory, path)):
        return path, symbol, refusal("ENOTFOUND", "function %s: there is no file %s" % (name, path))
    return path, symbol, None


def find(directory, name, handler):
    """(callable, None), or (None, failure)."""
    path, symbol, failure = _check(directory, name, handler)
    if failure:
        return None, failure
    try:
        found = _import(directory, path)
        for part in symbol.split("."):
            found = getattr(found, part, _MISSING)
    except BaseException as exc:  # SystemExit too: the deployment fails, and says why
        code, kind, type_name, message, trace = raised(exc)
        return None, (code, kind, type_name, "function %s: importing %s failed: %s" % (name, path, message), trace)
    if found is _MISSING:
        return None, refusal("ENOTFOUND", "function %s: %s has no %s" % (name, path, symbol))
    if not callable(found):
        return None, refusal("EINVAL", "function %s: %s in %s is not callable" % (name, symbol, path))
    return found, None
