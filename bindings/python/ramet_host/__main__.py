"""Start of a Python host: what must hold before the application is imported, then the engine."""
import os
import sys

if sys.version_info < (3, 9):
    sys.exit("ramet: Python 3.9 or newer is needed, %s is %s" % (sys.executable, sys.version.split()[0]))

# Many instances share a node, and each thread of a pool costs every start 20 µs: whoever wants pools says so.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Preloading has done its work: libramet-host's madvise() is the one that is used. Not for programs that functions run.
_preload = os.environ.pop("LD_PRELOAD", "").replace(" ", ":").split(":")
_preload = [_path for _path in _preload if _path and not os.path.basename(_path).startswith("libramet-host.so")]
if _preload:
    os.environ["LD_PRELOAD"] = ":".join(_preload)
os.environ.pop("LD_BIND_NOW", None)

sys.dont_write_bytecode = True  # the app's files are what was deployed
sys.argv = [""]  # as in any program that embeds Python: modules that read it find no option of ours
for _stream in (sys.stdout, sys.stderr):
    _stream.reconfigure(line_buffering=True)  # a crash loses no line

_here = os.path.dirname(os.path.abspath(__file__))
if sys.path and os.path.abspath(sys.path[0]) == _here:
    del sys.path[0]  # put there by the interpreter; what it holds is nobody's business
sys.path.insert(0, os.path.dirname(_here))

import _ramet_host  # noqa: E402
from ramet_host import engine  # noqa: E402

del sys.path[0]
os._exit(_ramet_host.run(engine))
