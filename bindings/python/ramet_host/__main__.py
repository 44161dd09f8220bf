"""Start of a Python host: the control socket and the engine, then the app's own files on sys.path."""
import os
import sys

# Only single-threaded processes can be captured, and numeric libraries start threads when they are imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.pop("LD_PRELOAD", None)  # has done its work: libramet-host's madvise() is the one that is used

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[0] = os.path.dirname(_here)  # in place of this directory, whose names are nobody's business

import _ramet_host  # noqa: E402
from ramet_host import engine  # noqa: E402

del sys.path[0]
os._exit(_ramet_host.run(engine))
