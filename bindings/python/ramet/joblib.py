"""A backend of joblib (1.2 or newer), registered by importing this module:

    import joblib, ramet.joblib

    with joblib.parallel_backend("ramet", imports=("sklearn",)):
        joblib.Parallel()(joblib.delayed(score)(x) for x in xs)

Options: those of ramet.Executor. The workers are forks of one process that has imported joblib and `imports`; they stay
for all Parallel() of the `with` block. n_jobs is the cluster's processors by default; with n_jobs=1 it runs here, as
with joblib's own backends. Parallel() in a task runs in it, one after the other.
"""
from __future__ import annotations

import concurrent.futures
import functools
import threading
import weakref
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from joblib.parallel import (  # type: ignore[import]
    AutoBatchingMixin, FallbackToBackend, ParallelBackendBase, SequentialBackend, register_parallel_backend)

from ramet import _remote, executor
from ramet.client import Client, default_client
from ramet.futures import Future


_OLD = not hasattr(ParallelBackendBase, "supports_retrieve_callback")  # joblib < 1.3 calls get()


def _get(future: Future[Any], timeout: Optional[float] = None) -> Any:
    try:
        return future.result(timeout)
    except concurrent.futures.TimeoutError:
        if future.done():  # the task raised it
            raise
        raise TimeoutError from None


class Backend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """What joblib calls; see its ParallelBackendBase."""

    # A call costs some 0.1 ms, so batches need not be long.
    MIN_IDEAL_BATCH_DURATION = 0.02
    MAX_IDEAL_BATCH_DURATION = 0.4
    default_n_jobs = -1
    supports_timeout = True
    supports_retrieve_callback = True
    supports_return_generator = True

    def __init__(self, client: Optional[Client] = None, imports: Sequence[str] = (), nesting_level: Optional[int] = None,
                 inner_max_num_threads: Optional[int] = None, **options: Any) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._client = client or default_client()
        self._options = dict(options, imports=("joblib", *imports))
        self._executors: Dict[int, executor.Executor] = {}  # by width; each is an app, which takes a while to deploy
        self._lock = threading.Lock()
        self._calls: "weakref.WeakSet[Future[Any]]" = weakref.WeakSet()

    def effective_n_jobs(self, n_jobs: Optional[int]) -> int:
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(executor.workers(self._client) + 1 + n_jobs, 1)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        with self._lock:
            if n_jobs not in self._executors:
                self._executors[n_jobs] = executor.Executor(n_jobs, client=self._client, **self._options)
            self._executor = self._executors[n_jobs]
        return n_jobs

    def submit(self, func: Callable[[], Any], callback: Optional[Callable[[Any], Any]] = None) -> Future[Any]:
        future = self._executor.submit(_remote.run, func)
        if _OLD:
            future.get = functools.partial(_get, future)  # type: ignore[attr-defined]
        self._calls.add(future)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    apply_async = submit  # its name before joblib 1.5

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        for future in list(self._calls):
            future.cancel()

    def get_nested_backend(self) -> Tuple[Any, Optional[int]]:
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def get_exceptions(self) -> Sequence[Any]:
        return ()


register_parallel_backend("ramet", Backend)
