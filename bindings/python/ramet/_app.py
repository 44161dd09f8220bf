"""The apps that functions and executors deploy: a directory with the runner, what init and the function are, and the
user's own modules."""
from __future__ import annotations

import os
import pathlib
import re
import secrets
import sys
import tempfile
import threading
import types
from typing import Any, Callable, Dict, Iterable, Optional, Sequence, Set, Tuple

from ramet import _pickling, _remote, _stub, errors
from ramet.client import Client

_FILE = "import _ramet_remote\n\nhandle = _ramet_remote.start(__file__, %r)\n"
_OURS = {"__main__", "__mp_main__", "ramet", "_ramet_remote", "cloudpickle"}


def own_modules() -> Set[str]:
    """Top-level modules that are imported now and not installed: the user's own."""
    found = set()
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if top not in _OURS and isinstance(module, types.ModuleType) and not _pickling.is_installed(module):
            found.add(top)
    return {top for top in found if getattr(sys.modules.get(top), "__file__", None)}


def _package_files(directory: pathlib.Path) -> Iterable[pathlib.Path]:
    for path in sorted(directory.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
        if path.suffix in (".py", ".so") and path.is_file() and not hidden:
            yield path


def module_files(name: str) -> Dict[str, bytes]:
    """{path in the app: content} of a module, or all Python files of a package."""
    module = sys.modules.get(name) or __import__(name)
    file = getattr(module, "__file__", None)
    if not file:
        raise errors.Invalid(f"module {name} has no file that could be shipped")
    path = pathlib.Path(file)
    if not hasattr(module, "__path__"):
        return {path.name: path.read_bytes()}
    return {str(f.relative_to(path.parent.parent)): f.read_bytes() for f in _package_files(path.parent)}


class App:
    """One app on one client's cluster. With a name it stays there; without, it goes with the client, or by remove()."""

    def __init__(self, client: Client, *, name: Optional[str], base: str, imports: Sequence[str],
                 init: Optional[Callable[..., Any]], initargs: Tuple[Any, ...], function: Any,
                 modules: Optional[Sequence[str]], options: Dict[str, Any]) -> None:
        self.client = client
        self.stays = name is not None
        self.name = name or "%s-%d-%s" % (re.sub(r"[^A-Za-z0-9_.]", "_", base).strip("_.-")[:30] or "f", os.getpid(),
                                          secrets.token_hex(6))
        self.shipped = set(modules) if modules is not None else own_modules()
        self.key = b""
        self._imports, self._init, self._initargs, self._function = tuple(imports), init, initargs, function
        self._options = options
        self._lock = threading.Lock()
        self._deployed = False

    def _pickle(self) -> bytes:
        if self._function is not None:
            code = _pickling.dump_code(self._function, (self._function,), self.shipped)
            self.key = _pickling.key_of(code)
        whole = (self._init, self._initargs, self.key, self._function)
        return _pickling.dump_code(whole, (self._init, self._function), self.shipped)

    def _files(self) -> Dict[str, bytes]:
        files = {"_ramet_app.py": (_FILE % (self._imports,)).encode(), "_ramet_app.pickle": self._pickle(),
                 "_ramet_remote.py": pathlib.Path(_remote.__file__).read_bytes(),
                 "ramet.py": pathlib.Path(_stub.__file__).read_bytes()}
        for name in sorted(self.shipped):
            files.update(module_files(name))
        if _pickling.cloudpickle():
            files.update(module_files("cloudpickle"))
        return files

    def deploy(self) -> None:
        """Deploys it unless that was done. InitError: it does not start."""
        with self._lock:
            if self._deployed:
                return
            with tempfile.TemporaryDirectory(prefix="ramet-app-") as directory:
                for path, content in self._files().items():
                    file = pathlib.Path(directory, path)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
                options: Dict[str, Any] = {"python": sys.executable or None, **self._options}
                self.client.deploy(directory, name=self.name, lang="python", handler="_ramet_app.py:handle", **options)
            self._deployed = True
            if not self.stays:
                self.client._apps.add(self.name)

    def remove(self) -> None:
        """Removes it unless it stays; that it is gone already is no error."""
        with self._lock:
            if not self._deployed or self.stays:
                return
            self._deployed = False
        self.client._removed(self.name)
