"""What functions tell before their end: futures' events, callbacks, bounds, listeners that do not listen, handlers that do not stop."""
import concurrent.futures
import gc
import threading

import support

import ramet
from ramet import Chunk, Progress

TELLS = """
def handler(event, context):
    for n in range(event):
        context.progress(n / event, "step %d" % n)
        context.emit({"n": n})
        context.emit(b"raw %d" % n)
    context.progress(1.0)
    return context.listened
"""
LOTS = """
import sys
def handler(event, context):
    size, count = event
    for n in range(count):
        context.emit(n.to_bytes(4, "little") * (size // 4))
        print(n, file=sys.stderr, flush=True)
    return count
"""
ENDLESS = """
def handler(event, context):
    while True:
        if event == "progress":
            context.progress(0.5, "again")
        elif event == "small":
            context.emit(0)
        else:
            context.emit(bytes(event))
"""
CATCHES = """
from ramet_host.context import OutputLimit
def handler(event, context):
    try:
        context.emit(bytes(event))
    except OutputLimit as exc:
        return str(exc)
"""
THREADS = """
import threading
def handler(event, context):
    kept = []
    def tell(n):
        for i in range(50):
            context.emit([n, i])
    threads = [threading.Thread(target=tell, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    globals()["late"] = context
"""
LATE = """
import os
before = None
def handler(event, context):
    global before
    if event == "fork":
        pid = os.fork()
        context.emit("from %d" % (pid == 0))
        if pid == 0:
            os._exit(0)
        return os.waitpid(pid, 0)[1]
    late, before = before, context
    if late is not None:
        try:
            late.emit("too late")
        except RuntimeError as exc:
            return str(exc)
"""
NODES = (1, 2)


class Events(support.Case):
    def setUp(self):
        self.client = ramet.Client()
        self.addCleanup(self.client.close)

    def expected(self, count):
        for n in range(count):
            yield Progress(round(n / count, 6), f"step {n}")
            yield Chunk({"n": n})
            yield Chunk(b"raw %d" % n)
        yield Progress(1.0, "")

    def test_a_futures_events_come_in_order_from_any_node(self):
        name = self.app(TELLS)
        for node in NODES * 2:
            future = self.client.submit(name, 5, node=node, events=True)
            self.assertEqual(list(future.events()), list(self.expected(5)))
            self.assertIs(future.result(60), True)
            self.assertEqual(future.info["node"], node)
            self.assertEqual(list(future.events()), [])  # and again none

    def test_a_callback_is_told_before_the_future_is_done(self):
        name = self.app(TELLS)
        told = []
        future = self.client.submit(name, 4, on_event=told.append)
        self.assertIs(future.result(60), True)
        self.assertEqual(told, list(self.expected(4)))
        told.clear()
        self.assertIs(self.client.call(name, 3, on_event=told.append), True)
        self.assertEqual(told, list(self.expected(3)))
        future = self.client.submit_bytes(name, b"", events=True)
        self.assertEqual(list(future.events()), [])
        self.assertIsInstance(future.exception(60), ramet.RemoteError)

    def test_without_a_listener_nothing_is_told(self):
        name = self.app(TELLS)
        for _ in range(3):  # by socket, and through a lease
            future = self.client.submit(name, 3)
            self.assertIs(future.result(60), False)
            with self.assertRaisesRegex(RuntimeError, "events=True"):
                next(future.events())
        with self.assertRaises(ValueError):
            self.client.submit(name, 3, events=True, on_event=print)

    def test_a_callback_that_raises_harms_nobody(self):
        name = self.app(TELLS)
        with self.assertLogs("ramet", "ERROR") as logs:
            future = self.client.submit(name, 1, on_event=lambda event: 1 / 0)
            self.assertIs(future.result(60), True)
        self.assertEqual(len(logs.records), 4)
        with self.assertRaises(ZeroDivisionError):
            self.client.call(name, 1, on_event=lambda event: 1 / 0)
        self.assertIs(self.client.call(name, 1), False)

    def test_what_is_not_taken_makes_the_function_wait(self):
        name = self.app(LOTS, output=60 << 20)
        size, count = 256 << 10, 200
        for node in NODES:
            future = self.client.submit(name, [size, count], node=node, events=True)
            events = future.events()
            first = next(events)
            open_chunks = (4 << 20) // (size + 1024)
            support.eventually("it waits", lambda: self.printed(name, node) == open_chunks)
            with self.assertRaises(concurrent.futures.TimeoutError):
                future.result(0.5)
            self.assertEqual(self.printed(name, node), open_chunks)
            chunks = [first.value, *(event.value for event in events)]
            self.assertEqual(len(chunks), count)
            for n, chunk in enumerate(chunks):
                self.assertEqual(chunk, n.to_bytes(4, "little") * (size // 4))
            self.assertEqual(future.result(60), count)

    def printed(self, name, node):
        return len(self.cluster.run("logs", "--function", name, "-N", node).out.splitlines())

    def test_chunks_count_as_output(self):
        name = self.app(LOTS, output=1 << 20)
        for node in NODES:
            future = self.client.submit(name, [1 << 16, 1000], node=node, events=True)
            self.assertEqual(len(list(future.events())), 16)
            with self.assertRaisesRegex(ramet.LimitExceeded, "count as output .*, whose limit is 1048576"):
                future.result(60)
        future = self.client.submit(self.app(CATCHES), (1 << 20) + 1, events=True)
        self.assertEqual(list(future.events()), [])
        self.assertRegex(future.result(60), "a chunk of 1048577 bytes")

    def test_a_handler_that_emits_endlessly(self):
        name = self.app(ENDLESS, output=1 << 20)
        echo = self.app("def handler(event, context):\n    return event\n", name="echo")
        for node in NODES:
            for event, error in ((1 << 16, ramet.LimitExceeded), ("small", ramet.LimitExceeded),
                                 ("progress", ramet.DeadlineExceeded)):
                seen = 0
                future = self.client.submit(name, event, node=node, deadline=2 if event == "progress" else 0, events=True)
                for _ in future.events():
                    seen += 1
                    if seen == 10:
                        self.assertEqual(self.client.call(echo, seen, node=node), seen)
                with self.assertRaises(error):
                    future.result(60)
                self.assertGreater(seen, 10)
                if event == "progress":
                    self.assertLess(seen, 100)  # 20 a second

    def test_nobody_listens_any_more(self):
        """the deadline ends who waits for a listener; cancelling, and forgetting, end the call"""
        name = self.app(ENDLESS, output=60 << 20)
        for node in NODES:
            future = self.client.submit(name, 1 << 16, node=node, deadline=1, events=True)
            with self.assertRaises(ramet.DeadlineExceeded):
                future.result(60)
            future = self.client.submit(name, 1 << 16, node=node, events=True)
            next(future.events())
            self.assertTrue(future.cancel())
            self.assertLess(len(list(future.events())), 70)
            with ramet.Client() as client:
                future = client.submit(name, 1 << 16, node=node, events=True)
                next(future.events())
            del future
            gc.collect()
            support.eventually("nothing runs", lambda: not self.cluster.list("ps", function=name, state="busy"))

    def test_threads_of_a_handler_take_turns(self):
        name = self.app(THREADS)
        future = self.client.submit(name, None, events=True)
        told = [tuple(event.value) for event in future.events()]
        self.assertIsNone(future.result(60))
        self.assertEqual(sorted(told), [(n, i) for n in range(4) for i in range(50)])
        for n in range(4):
            self.assertEqual([i for m, i in told if m == n], list(range(50)))

    def test_late_and_forked(self):
        name = self.app(LATE)
        self.assertIsNone(self.client.call(name, "first", node=1, on_event=print))
        told = []
        self.assertEqual(self.client.call(name, "second", node=1, on_event=told.append), "the call is over")
        self.assertEqual(self.client.call(name, "fork", node=1, on_event=told.append), 0)
        self.assertEqual(told, [Chunk("from 0")])

    def test_many_at_once(self):
        name = self.app(TELLS)
        told = {n: [] for n in range(24)}
        futures = [self.client.submit(name, n % 5, on_event=told[n].append) for n in told]
        plain = [self.client.submit(name, 2) for _ in range(24)]
        for n, future in enumerate(futures):
            self.assertIs(future.result(60), True)
            self.assertEqual(told[n], list(self.expected(n % 5)))
        self.assertFalse(any(future.result(60) for future in plain))
        self.assertEqual(threading.active_count(), 2)


if __name__ == "__main__":
    support.main()
