"""ramet.Client: calls with JSON and bytes, futures, threads, errors by class, and that nothing is left behind."""
import concurrent.futures
import gc
import os
import signal
import sys
import threading

import support

import numpy
import ramet

ECHO = "def handler(event, context):\n    return bytes(event) if isinstance(event, memoryview) else event\n"
SLOW = """import time
def handler(event, context):
    time.sleep(event)
    return event
"""
FAILS = """import ctypes, os, sys
def handler(event, context):
    if event == "raise":
        raise ValueError("no good")
    if event == "big":
        return "x" * 100000
    print("last words", flush=True)
    ctypes.string_at(0)
"""


class Calls(support.Case):
    def setUp(self):
        self.client = ramet.Client()
        self.addCleanup(self.client.close)

    def test_json(self):
        name = self.app(ECHO)
        for value in (None, 7, "π", [1, {"a": 2.5}], {}):
            self.assertEqual(self.client.call(name, value), value)
        with self.assertRaises(ValueError):
            self.client.call(name, float("nan"))

    def test_bytes(self):
        name = self.app(ECHO)
        for data in (b"", b"abc", bytearray(1000), memoryview(b"xyz"), numpy.arange(10)):
            self.assertEqual(bytes(self.client.call_bytes(name, data)), bytes(data))
        self.assertEqual(bytes(self.client.call(name, "text").encode()), b"text")
        with self.assertRaises(TypeError):
            self.client.call_bytes(name, "text")
        with self.assertRaisesRegex(ValueError, "contiguous"):
            self.client.call_bytes(name, numpy.arange(10)[::2])

    def test_what_calls_touch_is_recorded_where_each_has_a_clone(self):
        name = self.app(ECHO, fresh="fresh")

        def recorded():
            self.assertEqual(self.client.call(name, 1), 1)
            return any(row["working_set_bytes"] for row in self.cluster.list("seeds", app=name))
        support.eventually("a call is recorded", recorded, 10)

    def test_output_is_the_results_own_memory(self):
        name = self.app(ECHO)
        sent = numpy.random.default_rng(1).random(2 << 20)
        view = self.client.call_bytes(name, sent)
        got = numpy.frombuffer(view)
        self.assertTrue(numpy.array_equal(got, sent))
        self.assertTrue(numpy.shares_memory(got, numpy.asarray(view)))
        self.assertIsInstance(view.obj, ramet._ramet.Result)
        del view
        self.client.close()
        gc.collect()
        got += 1  # it lives as long as what was made of it, and is its owner's to write to
        self.assertTrue(numpy.array_equal(got, sent + 1))

    def test_futures(self):
        name = self.app(ECHO)
        futures = {self.client.submit(name, n): n for n in range(50)}
        for future in concurrent.futures.as_completed(futures, 60):
            self.assertEqual(future.result(), futures[future])
            self.assertIn(future.info["node"], (1, 2))
        data = self.client.submit_bytes(name, b"abc")
        self.assertEqual(bytes(data.result(60)), b"abc")
        told = []
        data.add_done_callback(told.append)
        self.assertEqual(told, [data])

    def test_a_future_is_cancelled_while_it_runs(self):
        name = self.app(SLOW)
        future = self.client.submit(name, 60)
        self.assertEqual(concurrent.futures.wait([future], 0).not_done, {future})
        self.assertTrue(future.running())
        self.assertTrue(future.cancel())
        self.assertTrue(future.cancelled() and future.done() and future.cancel())
        with self.assertRaises(concurrent.futures.CancelledError):
            future.result()
        support.eventually("the call is killed", lambda: not self.cluster.list("ps", function=name, state="busy"))
        self.assertEqual(self.client.call(name, 0), 0)
        done = self.client.submit(name, 0)
        self.assertEqual(done.result(60), 0)
        self.assertFalse(done.cancel())

    def test_close_cancels(self):
        name = self.app(SLOW)
        future = self.client.submit(name, 60)
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            waits = threads.submit(self.client.call, name, 60)
            support.eventually("both run", lambda: len(self.cluster.list("ps", function=name, state="busy")) == 2)
            self.client.close()
            self.assertIsInstance(future.exception(60), ramet.Cancelled)
            self.assertIsInstance(waits.exception(60), (ramet.Cancelled, ramet.Closed))
        with self.assertRaises(ramet.Closed):
            self.client.call(name, 0)
        with self.assertRaises(ramet.Closed):
            self.client.submit(name, 0)

    def test_threads_share_a_client(self):
        name = self.app(ECHO)
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            def work(n):
                if n % 2:
                    return self.client.call(name, n)
                return self.client.submit(name, n).result(60)
            self.assertEqual(list(threads.map(work, range(200))), list(range(200)))

    def test_waiting_gives_up_the_interpreters_lock(self):
        name = self.app(SLOW)
        meanwhile = threading.Event()
        thread = threading.Thread(target=lambda: (self.client.call(name, 0), meanwhile.set()))
        future = self.client.submit(name, 60)
        thread.start()
        waits = threading.Thread(target=future.exception)
        waits.start()
        self.assertTrue(meanwhile.wait(60))
        self.client.close()
        for t in (thread, waits):
            t.join()

    def test_nothing_is_left(self):
        name = self.app(ECHO)

        def work():
            with ramet.Client() as client:
                client.call(name, 1)
                client.call_bytes(name, bytes(1 << 20))
                concurrent.futures.wait([client.submit(name, n) for n in range(10)], 60)
        work()
        gc.collect()
        before = _all()
        for _ in range(10):
            work()
        gc.collect()
        self.assertEqual(_all(), before)

    def test_an_interrupt_ends_a_wait(self):
        name = self.app(SLOW)

        def interrupt():
            support.eventually("it runs", lambda: self.cluster.list("ps", function=name, state="busy"))
            os.kill(os.getpid(), signal.SIGINT)
        thread = threading.Thread(target=interrupt)
        thread.start()
        with self.assertRaises(KeyboardInterrupt):
            self.client.call(name, 60)
        thread.join()
        support.eventually("the call is killed", lambda: not self.cluster.list("ps", function=name, state="busy"))
        self.assertEqual(self.client.call(name, 0), 0)


def _all():
    """Descriptors, threads, futures, and the extension's objects, each of which holds its type."""
    futures = sum(isinstance(o, ramet.Future) for o in gc.get_objects())
    return (len(os.listdir("/proc/self/fd")), threading.active_count(), futures,
            *(sys.getrefcount(t) for t in (ramet._ramet.Result, ramet._ramet.Call, ramet._ramet.Handle)))


class Errors(support.Case):
    def setUp(self):
        self.client = ramet.Client()
        self.addCleanup(self.client.close)

    def test_raised_by_a_handler(self):
        name = self.app(FAILS)
        with self.assertRaises(ramet.RemoteError) as raised:
            self.client.call(name, "raise")
        exc = raised.exception
        self.assertEqual((exc.type_name, exc.message, exc.name), ("ValueError", "no good", "EUSER"))
        self.assertIn('raise ValueError("no good")', exc.traceback)
        self.assertIn('raise ValueError("no good")', str(exc.__cause__))
        self.assertIn(exc.node, (1, 2))

    def test_crash(self):
        name = self.app(FAILS)
        with self.assertRaises(ramet.Crashed) as raised:
            self.client.call(name, "crash")
        self.assertEqual(raised.exception.signal, 11)
        self.assertIn("last words", raised.exception.log_tail)
        self.assertIsInstance(self.client.submit(name, "crash").exception(60), ramet.Crashed)

    def test_deadline(self):
        name = self.app(SLOW)
        with self.assertRaises(ramet.DeadlineExceeded) as raised:
            self.client.call(name, 60, deadline=0.2)
        self.assertIsInstance(raised.exception, TimeoutError)

    def test_limit(self):
        name = self.app(FAILS, output=1000)
        with self.assertRaises(ramet.LimitExceeded):
            self.client.call(name, "big")
        with self.assertRaises(ramet.LimitExceeded):
            self.client.call_bytes(name, bytes(ramet.MAX_PAYLOAD + 1))

    def test_not_found(self):
        with self.assertRaises(ramet.NotFound):
            self.client.call("nothing")
        with self.assertRaises(LookupError):
            self.client.remove("nothing")
        with self.assertRaises(ramet.Error):
            self.client.deploy("/no/such.py")

    def test_removed_while_it_runs(self):
        name = self.app(SLOW)
        future = self.client.submit(name, 60)
        support.eventually("it runs", lambda: self.cluster.list("ps", function=name, state="busy"))
        self.client.remove(name)
        self.assertIsInstance(future.exception(60), ramet.Cancelled)

    def test_app_that_fails(self):
        with self.assertRaises(ramet.InitError) as raised:
            self.app("raise KeyError('at import')")
        self.assertEqual(raised.exception.type_name, "KeyError")

    def test_no_cluster(self):
        with self.assertRaises(ramet.NoCluster) as raised:
            ramet.Client("/no/such.sock")
        self.assertIsInstance(raised.exception, ConnectionError)

    def test_progress_and_its_exception(self):
        path = self.cluster.scratch.write("progress.py", ECHO)
        stages = []
        info = self.client.deploy(path, env={"A": "b"}, progress=lambda stage, text, fraction: stages.append(stage))
        self.assertIn("capture", stages)
        self.assertGreater(info["capture_us"], 0)

        def stop(*_):
            raise KeyError("mine")
        with self.assertRaises(KeyError):
            self.client.deploy(path, progress=stop)
        self.assertEqual(self.client.call("progress", 1), 1)

    def test_after_fork_a_child_opens_its_own(self):
        name = self.app(ECHO)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                try:
                    self.client.call(name, 1)
                except ramet.Error as exc:
                    os.write(writer, b"refused " if "fork" in str(exc) else str(exc).encode())
                self.client.close()
                os.write(writer, b"%d" % ramet.default_client().call(name, 5))
            finally:
                os._exit(0)
        os.close(writer)
        os.waitpid(pid, 0)
        self.assertEqual(os.read(reader, 100), b"refused 5")
        os.close(reader)
        self.assertEqual(self.client.call(name, 2), 2)


class Connection(support.Case):
    nodes = 1

    def test_a_lost_connection_is_told_and_made_again(self):
        name = self.app(SLOW)
        client = ramet.Client()
        self.addCleanup(client.close)
        futures = [client.submit(name, 60) for _ in range(3)]
        support.eventually("one runs", lambda: self.cluster.list("ps", function=name, state="busy"))
        os.kill(self.cluster.pids[1], signal.SIGKILL)
        for future in futures:
            self.assertIsInstance(future.exception(60), ramet.ConnectionLost)
        with self.assertRaises((ramet.ConnectionLost, ramet.NoCluster)):
            client.call(name, 0)
        self.cluster.start_again(1)

        def answers():
            try:
                client.deploy(self.cluster.scratch.path / f"{name}.py")
                return True
            except (ramet.ConnectionLost, ramet.NoCluster):
                return False
        support.eventually("the daemon is there again", answers)
        self.assertEqual(client.call(name, 0), 0)
        self.assertEqual(client.submit(name, 0).result(60), 0)


if __name__ == "__main__":
    support.main("numpy")
