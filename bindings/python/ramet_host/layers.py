"""Layers: what an app's files import from elsewhere before any code of their own has an effect can be imported once, in
a base that other versions of the app begin from, too.

That is found in their source (plan.py); nothing of theirs runs or stays in the base. A version whose files would not
have had the base's modules imported first, or whose files are named like some of them, is refused: it starts cold.
"""
import importlib
import os
import sys

from ramet_host.failure import refusal

_REHEARSALS = 12  # so often that code is specialised by then
_base = None  # in a base, and what began from it


class App:
    """What load() is told."""

    def __init__(self, directory, functions, init, modules, path):
        self.directory = directory
        self.handlers = [handler for _, handler in functions] + ([init] if init else [])
        self.modules = modules
        self.outside = [entry for entry in path if os.path.isabs(entry)]
        self.own = [directory] + [os.path.join(directory, entry) for entry in path if not os.path.isabs(entry)]


class _Base:
    def __init__(self, asked, outside, tops, stamps):
        self.asked = asked  # imported, as plan.scan() gives them
        self.outside = outside  # of sys.path
        self.tops = tops  # the names of what that has brought
        self.stamps = stamps  # of their files


def _refused(why):
    code, _, type_name, message, trace = refusal("EREFUSED", why)
    return code, "refused", type_name, message, trace


def _stamp(path):
    try:
        st = os.stat(path)
    except OSError:
        return None
    return st.st_mtime_ns, st.st_size, st.st_ino


def _files():
    """Of the modules that are there; directories too, where a file more may come before one of them."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str):
            yield path
    yield from (entry for entry in sys.path if entry)


def _import(name, symbols, optional):
    """False: it cannot be imported, and nothing that comes later is."""
    try:
        module = importlib.import_module(name)
        for symbol in symbols:
            if symbol != "*" and not hasattr(module, symbol):
                importlib.import_module(name + "." + symbol)
    except ImportError:
        return optional
    except BaseException:  # the app's own import tells
        return False
    return True


def _scan(app):
    from ramet_host import plan

    return plan.scan(app)


def _scan_apart(app):
    """_scan() in a child, so that nothing of the app's files stays in this process's memory, and no page of it is
    written to for nothing. None where there can be none: in a process with threads libraries might not like that."""
    import marshal

    if len(os.listdir("/proc/self/task")) > 1:
        return None
    readable, writable = os.pipe()
    try:
        child = os.fork()
    except OSError:  # the app may have no other process
        os.close(readable)
        os.close(writable)
        return None
    if child == 0:
        try:
            os.close(readable)
            with os.fdopen(writable, "wb") as stream:
                marshal.dump(_scan(app), stream)
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as stream:
        data = stream.read()
    os.waitpid(child, 0)
    return marshal.loads(data) if data else []


def _take_off(entries):
    """Of sys.path. Whether all were there."""
    there = [entry for entry in entries if entry in sys.path]
    for entry in there:
        sys.path.remove(entry)
    return len(there) == len(entries)


def make(app):
    """Imports what a base of the app has. None, or why it has none."""
    global _base
    before = set(sys.modules)
    wanted = _scan_apart(app)
    if wanted is None:
        return _refused("its files cannot be looked at in another process")
    sys.path[0:0] = app.outside
    try:
        asked = []
        for item in wanted:
            if not _import(*item):
                break
            asked.append(item)
        tops = {name.partition(".")[0] for name in set(sys.modules) - before}
        _base = _Base(asked, app.outside, tops, {path: _stamp(path) for path in _files()})
    except Exception as exc:  # of a module's own attributes
        _take_off(app.outside)
        return _refused("what it has imported cannot be looked at: %s: %s" % (type(exc).__name__, exc))
    return None


def rehearse(load):
    """Has an app loaded and forgotten some times: what the interpreter keeps of that, and would write to pages all over
    a process that began from the base, is in the base then. load(): loads that of the directory that it is given."""
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rehearsal")
    for _ in range(_REHEARSALS):
        sys.path.insert(0, directory)
        importlib.invalidate_caches()
        load(directory)
        sys.path.remove(directory)
        sys.path_importer_cache.pop(directory, None)
        sys.modules.pop("ramet_rehearsal", None)


def _own_names(app):
    for directory in app.own:
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        yield from (name.partition(".")[0] for name in names)


def leave(app):
    """What begins now is the app's own. None, or why it cannot begin from this base."""
    if _base is None:
        return None
    if not _take_off(_base.outside):
        return _refused("what it has imported has changed sys.path")
    for path, stamp in _base.stamps.items():
        if _stamp(path) != stamp:
            return _refused("%s has changed" % path)
    same = _base.tops.intersection(_own_names(app))
    if same:
        return _refused("the app's own %s would have been imported instead of another" % min(same))
    planned = _scan_apart(app)
    if planned is None:
        planned = _scan(app)
    for item, then in zip(_base.asked, planned + [None] * len(_base.asked)):
        if item != then:
            return _refused("its files do not begin by importing %s" % item[0])
    return None
