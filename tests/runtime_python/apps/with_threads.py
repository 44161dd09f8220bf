"""Threads of an application's own, alive at the capture: each waits or runs in another way."""
import os
import queue
import select
import threading
import time

PATIENCE_S = 20

_changed = threading.Condition()
_turn = 0
_questions = queue.Queue()
_answers = queue.Queue()
_counts = {"sleeps": 0, "selects": 0, "spins": 0}
_end = threading.Event()
_captured_pid = os.getpid()


def _wait_on_condition():
    global _turn
    with _changed:
        while True:
            _changed.wait_for(lambda: _turn % 2 == 1)
            _turn += 1
            _changed.notify_all()


def _serve_queue():
    while True:
        _answers.put(_questions.get() * 2)


def _sleep():
    said = False
    while not _end.is_set():
        time.sleep(0.002)
        _counts["sleeps"] += 1
        if os.getpid() != _captured_pid and not said:
            said = True
            print("a thread runs in the clone")


def _select():
    while not _end.is_set():
        select.select([], [], [], 0.002)
        _counts["selects"] += 1


def _spin():
    while not _end.is_set():
        _counts["spins"] += 1


class _Reporting(threading.Thread):
    """Says what it takes itself for, whenever it is asked."""

    def run(self):
        self.asked, self.said = threading.Event(), queue.Queue()
        ready.set()
        while True:
            self.asked.wait()
            self.asked.clear()
            self.said.put((threading.get_native_id(), threading.get_ident(), threading.current_thread() is self))


ready = threading.Event()
_threads = [threading.Thread(target=target, daemon=True, name=target.__name__)
            for target in (_wait_on_condition, _serve_queue, _sleep, _select, _spin)]
_reporting = _Reporting(daemon=True, name="reporting")
for _thread in _threads + [_reporting]:
    _thread.start()
ready.wait()
time.sleep(0.01)


def condition(event, context):
    """The thread that waits on a condition takes its turn."""
    global _turn
    with _changed:
        before = _turn
        _turn += 1
        _changed.notify_all()
        return _changed.wait_for(lambda: _turn == before + 2, PATIENCE_S)


def answers(event, context):
    _questions.put(event)
    return _answers.get(timeout=PATIENCE_S)


def advance(event, context):
    """Those that sleep, wait in select() and spin go on."""
    before, until = dict(_counts), time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if all(_counts[name] > before[name] for name in _counts):
            return True
        time.sleep(0.001)
    return [name for name in _counts if _counts[name] == before[name]]


def bookkeeping(event, context):
    """threading knows its threads by the ids that they have."""
    _reporting.asked.set()
    native, ident, itself = _reporting.said.get(timeout=PATIENCE_S)
    main = threading.main_thread()
    return [native == _reporting.native_id, ident == _reporting.ident, itself,
            main.native_id == threading.get_native_id() == os.getpid(), threading.current_thread() is main,
            threading.active_count() == len(_threads) + 2, all(thread.is_alive() for thread in _threads)]


def native(event, context):
    return _reporting.native_id


def end(event, context):
    """Threads of the captured process can be joined, and new ones started."""
    done = []
    _end.set()
    ending = [thread for thread in _threads if thread.name in ("_sleep", "_select", "_spin")]
    for thread in ending:
        thread.join(PATIENCE_S)
    fresh = threading.Thread(target=done.append, args=(1,))
    fresh.start()
    fresh.join(PATIENCE_S)
    return [not any(thread.is_alive() for thread in ending), done]
