"""await client.acall(): through the loop's own poll, without a thread."""
import asyncio
import gc
import os
import threading

import support

import ramet

ECHO = "def handler(event, context):\n    return bytes(event) if isinstance(event, memoryview) else event\n"
SLOW = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return event\n"


class Asyncio(support.Case):
    def setUp(self):
        self.client = ramet.Client()
        self.addCleanup(self.client.close)

    def test_gather(self):
        name = self.app(ECHO)
        before = threading.active_count()

        async def work():
            found = await asyncio.gather(*(self.client.acall(name, n) for n in range(100)))
            self.assertEqual(threading.active_count(), before)
            return found
        self.assertEqual(asyncio.run(work()), list(range(100)))
        self.assertEqual(asyncio.run(work()), list(range(100)))  # another loop

    def test_the_loop_runs_meanwhile(self):
        slow = self.app(SLOW)

        async def work():
            call = asyncio.create_task(self.client.acall(slow, 60))
            await asyncio.wait_for(self.client.acall(slow, 0), 60)
            self.assertFalse(call.done())
            call.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await call
            return await self.client.acall(slow, 0)
        self.assertEqual(asyncio.run(work()), 0)
        support.eventually("the call is killed", lambda: not self.cluster.list("ps", function=slow, state="busy"))

    def test_bytes_and_errors(self):
        name = self.app(ECHO)

        async def work():
            view = await self.client.acall_bytes(name, bytes(1 << 20))
            self.assertEqual(len(view), 1 << 20)
            with self.assertRaises(ramet.NotFound):
                await self.client.acall("nothing")
        asyncio.run(work())

    def test_futures_are_awaited(self):
        name = self.app(ECHO)

        async def work():
            return await asyncio.wrap_future(self.client.submit(name, 3))
        self.assertEqual(asyncio.run(work()), 3)

    def test_closed_while_it_waits(self):
        slow = self.app(SLOW)

        async def work():
            call = asyncio.create_task(self.client.acall(slow, 60))
            await asyncio.sleep(0)
            await asyncio.get_running_loop().run_in_executor(None, self.client.close)
            with self.assertRaises(ramet.Closed):
                await call
        asyncio.run(work())

    def test_nothing_is_left(self):
        name = self.app(ECHO)

        def work():
            with ramet.Client() as client:
                asyncio.run(client.acall(name, 1))
            gc.collect()
            return len(os.listdir("/proc/self/fd"))
        first = work()
        self.assertEqual([work() for _ in range(3)], [first] * 3)


if __name__ == "__main__":
    support.main()
