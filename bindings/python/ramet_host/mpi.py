"""mpi4py in a host: importing it must not initialise MPI, for a clone would be no rank of that."""
import sys


class _Finder:
    """Finds mpi4py as the other finders do."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "mpi4py":
            return None
        for finder in sys.meta_path:
            spec = None if isinstance(finder, _Finder) else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    """Sets mpi4py's rc.initialize before anything can use it."""

    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        module.rc.initialize = False


def stay_off():
    """From now on. An application that wants MPI calls MPI.Init() in its handler."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
