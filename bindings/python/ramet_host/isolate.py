"""Bringing an app back to what it was at the capture, between calls (`fresh: reset`).

What is brought back: the namespaces of the app's own modules (those below its directory), their classes, what functions
keep, the lists, dicts, sets, deques, bytearrays and objects of the app's classes that these lead to; the environment,
the current directory, sys.path, stdout and stderr. Modules of the app that were imported since are forgotten. What stays
as it is: what objects of other modules hold (arrays, their libraries' caches), files. With objects of the app's that keep
more than a __dict__ (__slots__, classes derived from containers) there is no reset, and each call gets a clone.

Only what differs is written to: in a clone each page that is written is a page that is copied.
"""
import collections
import functools
import operator
import os
import sys
import types

try:
    from _ramet_host import restore, same_entries  # without looking anything up
except ImportError:  # another program than a host

    def restore(saved):
        return saved

    def same_entries(found, copy):
        return False

MOST = 100_000  # entries that are looked at after each call; with more there is no reset, and each call gets a clone

_ATOMS = frozenset((type(None), bool, int, float, complex, str, bytes, range, types.BuiltinFunctionType, types.ModuleType))
_DICTS = (dict, collections.defaultdict, collections.OrderedDict, collections.Counter)
_MISSING = object()


def _differs(now, then):
    return len(now) != len(then) or not all(now.get(key, _MISSING) is value for key, value in then.items())


def _reset_dict(found, copy):
    if _differs(found, copy):
        found.clear()
        found.update(copy)


def _reset_list(found, copy):
    if len(found) != len(copy) or not all(map(operator.is_, found, copy)):
        found.clear()
        found.extend(copy)


def _reset_set(found, copy):
    if len(found) != len(copy) or not all(item in found for item in copy):
        found.clear()
        found.update(copy)


def _reset_bytearray(found, copy):
    if found != copy:
        found[:] = copy


def _reset_class(found, copy):
    now = vars(found)
    if not _differs(now, copy):
        return
    for name in [name for name in now if name not in copy]:
        type.__delattr__(found, name)
    for name, value in copy.items():
        if vars(found).get(name, _MISSING) is not value:
            type.__setattr__(found, name, value)


def _reset_cell(found, copy):
    if found.cell_contents is not copy[0]:
        found.cell_contents = copy[0]


def _reset_cache(found, copy):
    if found.cache_info().misses != copy[0]:
        found.cache_clear()  # what it knew at the capture, too: it is found again


_CACHE = type(functools.lru_cache(lambda: None))
_RESETS = {list: _reset_list, collections.deque: _reset_list, set: _reset_set, bytearray: _reset_bytearray,
           **{kind: _reset_dict for kind in _DICTS}}


# an app's class may be derived from: none of them can change
_CONSTANT = (object, int, float, complex, str, bytes, tuple, frozenset)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: it was not built in


def _keeps_more(kind):
    """Objects of this class of an app, or of one derived from it, have a state besides __dict__."""
    return kind not in _CONSTANT and (not kind.__flags__ & _HEAP_TYPE or kind in _RESETS or any(
        isinstance(value, types.MemberDescriptorType) for value in vars(kind).values()))


class _Walk:
    """Everything of the app that can change, each once: [(what resets it, it, a copy of its entries)]."""

    def __init__(self, modules):
        self._names = {module.__name__ for module in modules}
        self._seen = {}  # also keeps them: an address is used once
        self._left = [vars(module) for module in modules] + [sys.path]
        self.saved = []
        self.entries = 0
        while self._left and self.entries <= MOST:
            self._visit(self._left.pop())

    def _keep(self, how, found, copy, leads_to):
        self.saved.append((how, found, copy))
        self.entries += len(copy)
        self._left.extend(leads_to)

    def _visit(self, found):
        kind = type(found)
        if kind in _ATOMS or id(found) in self._seen:
            return
        self._seen[id(found)] = found
        if kind in _DICTS:
            self._keep(_reset_dict, found, dict(found), found.values())
        elif kind is bytearray:
            self._keep(_reset_bytearray, found, bytes(found), ())
        elif kind in _RESETS:
            self._keep(_RESETS[kind], found, list(found), found)
        elif kind in (tuple, frozenset):
            self.entries += len(found)
            self._left.extend(found)
        elif isinstance(found, type):
            if found.__module__ in self._names:
                self._keep(_reset_class, found, dict(vars(found)), vars(found).values())
        elif kind is types.CellType:
            self._visit_cell(found)
        elif kind is _CACHE:
            self._keep(_reset_cache, found, [found.cache_info().misses], (found.__wrapped__,))
        else:
            self._visit_object(found, kind)

    def _visit_cell(self, cell):
        try:
            contents = cell.cell_contents
        except ValueError:  # it is empty
            return
        self._keep(_reset_cell, cell, [contents], (contents,))

    def _visit_object(self, found, kind):
        if kind is types.FunctionType:
            if found.__module__ in self._names:
                self._left += [found.__defaults__, found.__kwdefaults__, found.__dict__, found.__closure__]
        elif kind in (staticmethod, classmethod, types.MethodType):
            self._left.append(found.__func__)
        elif kind is property:
            self._left += [found.fget, found.fset, found.fdel]
        elif kind.__module__ in self._names:
            if any(map(_keeps_more, kind.__mro__)):
                self.entries = MOST + 1
            elif isinstance(found, (tuple, frozenset)):
                self._left.extend(tuple.__iter__(found) if isinstance(found, tuple) else frozenset.__iter__(found))
            self._left.append(getattr(found, "__dict__", None))


class Isolate:
    """Of an app whose files are in this directory."""

    def __init__(self, directory):
        self._below = os.path.join(directory, "")
        self._saved = None

    def _is_ours(self, module):
        place = getattr(module, "__file__", None) if isinstance(module, types.ModuleType) else None
        return isinstance(place, str) and place.startswith(self._below)

    def remember(self):
        """What it is to be brought back to: now."""
        modules = dict(sys.modules)
        walk = _Walk([module for module in modules.values() if self._is_ours(module)])
        self._modules = frozenset(modules)
        self._threads = frozenset(sys._current_frames())
        self._environment = dict(os.environ)
        self._encoded = dict(os.environ._data)
        self._place = os.getcwd()
        self._streams = sys.stdout, sys.stderr
        self._saved = walk.saved if walk.entries <= MOST else None

    def reset(self):
        """False: it cannot be brought back, and may be halfway."""
        if self._saved is None or not self._threads.issuperset(sys._current_frames()):
            return False
        for how, found, copy in restore(self._saved) or ():
            how(found, copy)
        if len(sys.modules) != len(self._modules):
            for name in [name for name in sys.modules if name not in self._modules]:
                if self._is_ours(sys.modules[name]):
                    del sys.modules[name]
        if not same_entries(os.environ._data, self._encoded) and os.environ._data != self._encoded:
            os.environ.clear()
            os.environ.update(self._environment)
        if os.getcwd() != self._place:
            os.chdir(self._place)
        sys.stdout, sys.stderr = self._streams
        return True
