"""An Executor as concurrent.futures has them, whose workers are the instances of an app."""
from __future__ import annotations

import atexit
import concurrent.futures
import functools
import itertools
import operator
import os
import threading
import time
import weakref
from collections import deque
from typing import Any, Callable, Deque, Iterable, Iterator, List, Optional, Sequence, Tuple

from ramet import _pickling, _ramet, _remote, errors
from ramet._app import App
from ramet.client import Client, default_client
from ramet.futures import Future


_AHEAD = 16  # calls for each worker, where they are quick
_QUICK_US = 300.0  # sixteen of them are as much as may wait
_FLAGS = _ramet.BINARY | _ramet.ALONE
_AHEAD_FLAGS = _ramet.BINARY | _ramet.BEHIND


class _Task:
    """A call from submit() to its end. It keeps the arguments until then: an instance may ask for the code."""

    __slots__ = ("executor", "future", "kind", "function", "arguments", "number", "frame", "ahead", "again")

    def __init__(self, executor: Executor, kind: int, function: Any, arguments: Any) -> None:
        self.executor = executor
        self.future: Future[Any] = Future()
        self.kind, self.function, self.arguments = kind, function, arguments
        self.frame: Optional[bytes] = None  # when it was made, and may be needed again
        self.again = False  # with the code
        self.ahead: bool  # it was sent before a worker was free
        self.number: int

    def end(self, value: Any, exception: Optional[BaseException], info: Any = None) -> None:
        self.function = self.arguments = self.frame = None  # whoever sees the result finds no reference of ours to them
        self.future._settle(value, exception, info)

    def __call__(self, outcome: Any) -> Callable[[], None]:
        return self.executor._outcome(self, outcome)


_number = operator.attrgetter("number")


def workers(client: Client) -> int:
    """Calls that are under way at the same time unless somebody says otherwise: processors of this node times nodes."""
    return max(1, client.nodes * (os.cpu_count() or 1))


class Executor(concurrent.futures.Executor):
    """Runs functions on the cluster, in forks of one process that has imported and initialised.

    max_workers: calls that are under way at the same time. init(*initargs) runs once, before the process is captured:
    what it leaves in its module's globals every worker has. imports: names of modules to import then. modules:
    top-level modules of yours that are shipped; None: all that are imported, and not installed, when the first call
    is submitted. client: None for default_client(). initializer: init by the name that process pools give it.
    deadline: seconds of a call. More options: those of Client.deploy().

    Functions of installed and shipped modules go by name, others as code (cloudpickle), with the globals that they
    use, as these are when a function is first submitted. Any thread may submit; submit() blocks while the app is
    deployed, the first time. Raises InitError when init raises an exception.

    The app is removed by shutdown(). Unlike a process pool's, futures that run can be cancelled.
    """

    def __init__(self, max_workers: Optional[int] = None, init: Optional[Callable[..., Any]] = None,
                 initargs: Tuple[Any, ...] = (), imports: Sequence[str] = (), modules: Optional[Sequence[str]] = None,
                 client: Optional[Client] = None, initializer: Optional[Callable[..., Any]] = None,
                 **options: Any) -> None:
        init = init or initializer
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if init is not None and not callable(init):
            raise TypeError("init must be a callable")
        self._client = client or default_client()
        self._max_workers = max_workers or workers(self._client)
        self._make_app = functools.partial(App, self._client, name=None, base="executor", imports=imports, init=init,
                                           initargs=initargs, function=None, modules=modules, options=options)
        self._forgetful = options.get("fresh", "reuse") != "reuse"  # instances keep no code from call to call
        self._app: Optional[App] = None
        self._ready = False  # deployed, not shut down
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._pumping = threading.Lock()  # tasks are sent by one thread at a time: in order
        self._queue: Deque[_Task] = deque()
        self._running = 0
        self._submitted = itertools.count()
        self._most = self._max_workers  # that may run and wait ahead: while calls are quick, as many as find room
        self._mean_us = 0.0
        self._shutdown = False
        self._cancelling = False  # what has not begun
        _executors.add(self)

    def _deploy(self) -> None:
        with self._changed:
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._app is None:
                self._app = self._make_app()
                self._name = self._app.name
                self._functions = _pickling.Functions(self._app.shipped)
        self._app.deploy()
        self._ready = True

    def _submit(self, task: _Task) -> Future[Any]:
        if not self._ready:
            self._deploy()
        with self._lock:
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            task.number = next(self._submitted)
            self._queue.append(task)
            room = self._running < self._most
        future = task.future
        del task
        if room:
            self._pump()
        return future

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """fn(*args, **kwargs) on the cluster. What it raises, result() raises, with the remote traceback as its
        cause."""
        return self._submit(_Task(self, _remote.CALL, fn, (args, kwargs)))

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], timeout: Optional[float] = None,
            chunksize: int = 1) -> Iterator[Any]:
        """The results in order. chunksize: items of one call. timeout: seconds from now until TimeoutError; what is
        left is then cancelled. The iterables are read at once."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        end = None if timeout is None else time.monotonic() + timeout
        futures = [self._submit(_Task(self, _remote.EACH, fn, chunk)) for chunk in chunks(iterables, chunksize)]
        return _results(futures, end)

    # --- tasks ---
    #
    # As many as there are workers are sent without further ado. While calls are quick, more are sent ahead, to wait in
    # line at a worker (_ramet.BEHIND): they come back (EAGAIN) when what is before them turns out not to be quick.

    def _next(self) -> List[_Task]:
        tasks: List[_Task] = []
        with self._lock:
            queue, running = self._queue, self._running
            while queue and running < self._most:
                task = queue.popleft()
                if task.future._claim:  # it was not cancelled
                    task.ahead = running >= self._max_workers
                    running += 1
                    tasks.append(task)
            self._running = running
        tasks.reverse()
        return tasks

    def _pump(self) -> None:
        more = True
        while more and self._pumping.acquire(blocking=False):  # else: who has it, looks again afterwards
            try:
                tasks = self._next()
                while tasks and self._send(tasks[-1]):
                    tasks.pop()
                if tasks:
                    with self._lock:
                        self._put_back(*reversed(tasks))
                        self._most = max(self._max_workers, self._running)
                del tasks
            finally:
                self._pumping.release()
            more = bool(self._queue) and self._running < self._most
        if self._shutdown:
            self._finish()

    def _frame(self, task: _Task) -> bytes:
        code = self._functions.code(task.function)
        needed = code.first or task.again or self._forgetful
        frame = _pickling.dump_call(task.kind, code.key, code.bytes if needed else b"", task.arguments)
        if code.first:
            self._functions.sent(code)
        return frame

    def _send(self, task: _Task) -> bool:
        """False: not now."""
        try:
            frame = task.frame or self._frame(task)
            how = _AHEAD_FLAGS if task.ahead else _FLAGS
            call = self._client._waiting().send((self._name, frame, how, 0, 0.0), task, self._max_workers)
        except BaseException as exc:  # of classes whose pickling fails; the caller's affair
            self._end(task, None, exc)
            return True
        if task.ahead:
            task.frame = frame
        if call is None:
            return False
        task.future._sent(call)
        return True

    def _put_back(self, *tasks: _Task) -> None:
        """Into the queue, before those that were submitted later; tasks: in order. With the lock."""
        queue = self._queue
        self._running -= len(tasks)
        later: List[_Task] = []
        while queue and queue[0].number < tasks[-1].number:
            later.append(queue.popleft())
        for task in tasks:
            task.future._call = None
        queue.extendleft(sorted([*tasks, *later], key=_number, reverse=True))

    def _outcome(self, task: _Task, outcome: Any) -> Callable[[], None]:
        if isinstance(outcome, errors.Error):
            self._end(task, None, outcome)
            return self._pump
        if outcome.code == _ramet.EAGAIN and task.ahead:
            return self._came_back(task)
        value, exc = _pickling.load_answer(outcome)
        if exc is not None and isinstance(exc, _pickling.UnknownFunction) and task.future._claim:
            with self._lock:
                task.again, task.frame = True, None
                self._put_back(task)
            return self._pump
        self._mean_us += (outcome.run_us - self._mean_us) / 8
        quick = self._mean_us < _QUICK_US and not self._forgetful
        if not quick:
            self._most = self._max_workers
        elif self._most < self._max_workers * _AHEAD:
            self._most += 1
        self._end(task, value, exc, outcome)
        return self._pump

    def _came_back(self, task: _Task) -> Callable[[], None]:
        """It has not begun."""
        if self._cancelling:
            task.future.cancel()
            self._end(task, None, None)
        else:
            with self._lock:
                self._most, self._mean_us = self._max_workers, 2 * _QUICK_US
                self._put_back(task)
        return self._pump

    def _end(self, task: _Task, value: Any, exc: Optional[BaseException], info: Any = None) -> None:
        with self._lock:
            self._running -= 1
        task.end(value, exc, info)

    def _finish(self) -> None:
        with self._changed:
            over = self._shutdown and not self._running and not self._queue
            self._changed.notify_all()
        if over and self._app:
            self._app.remove()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No more calls; then the app is removed, when the last has ended: wait for that or not. cancel_futures: those
        that wait for a worker."""
        with self._changed:
            self._shutdown = True
            queue = list(self._queue)
            if cancel_futures:
                self._cancelling = True
                self._queue.clear()
        if cancel_futures:
            for task in queue:
                task.future.cancel()
        del queue
        self._pump()
        if wait:
            with self._changed:
                self._changed.wait_for(lambda: not self._running and not self._queue)
        self._finish()

    def __del__(self) -> None:
        if getattr(self, "_app", None) is not None and self._client._pid == os.getpid():
            self.shutdown(wait=False)


def chunks(iterables: Sequence[Iterable[Any]], size: int) -> Iterator[List[Any]]:
    """Lists of argument tuples, of one call each."""
    items = zip(*iterables)
    return iter(lambda: list(itertools.islice(items, size)), [])


def _results(futures: List[Future[Any]], end: Optional[float]) -> Iterator[Any]:
    try:
        futures.reverse()
        while futures:
            future = futures.pop()
            try:
                values = future.result(None if end is None else end - time.monotonic())
            finally:
                future.cancel()  # nothing if it is done
            del future
            values.reverse()
            while values:
                yield values.pop()
    finally:
        for future in futures:
            future.cancel()


_executors: "weakref.WeakSet[Executor]" = weakref.WeakSet()


@atexit.register  # after the client's: so it runs before
def _shutdown_all() -> None:
    for executor in list(_executors):
        if executor._client._pid == os.getpid():
            executor.shutdown()
