"""Ramet's client: call functions on a cluster where every worker is a fork of one warm process.

    with ramet.Executor(init=load_model) as pool:       # a concurrent.futures.Executor
        for result in pool.map(predict, images, chunksize=16): ...

    @ramet.function(imports=("numpy",))                 # f(x), f.submit(x), f.map(xs), f.local(x)
    def norm(a): ...

    with ramet.Client() as client:                      # functions of any language, JSON or bytes
        client.deploy("square.py")
        client.call("square", 7)

See README.md beside this package's sources.
"""
from ramet import _ramet
from ramet.client import Client, default_client
from ramet.errors import (Busy, Cancelled, Closed, ConnectionLost, Crashed, DeadlineExceeded, Error, InitError, Invalid,
                          LimitExceeded, Lost, NoCluster, NotAllowed, NotFound, Refused, RemoteError, RemoteTraceback,
                          TimeLimit)
from ramet.events import Chunk, Event, Progress
from ramet.executor import Executor
from ramet.function import Function, function
from ramet.futures import Future

__version__: str = _ramet.version
MAX_PAYLOAD: int = _ramet.MAX_PAYLOAD

__all__ = ["Busy", "Cancelled", "Chunk", "Client", "Closed", "ConnectionLost", "Crashed", "DeadlineExceeded", "Error", "Event",
           "Executor", "Function", "Future", "InitError", "Invalid", "LimitExceeded", "Lost", "MAX_PAYLOAD", "NoCluster",
           "NotAllowed", "NotFound", "Progress", "Refused", "RemoteError", "RemoteTraceback", "TimeLimit", "default_client",
           "function"]
