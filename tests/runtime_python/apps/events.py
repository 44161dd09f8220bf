"""An event loop, a lock of multiprocessing and an open file, all made before the capture."""
import asyncio
import multiprocessing
import time

loop = asyncio.new_event_loop()
future = loop.create_future()
loop.call_later(0.2, future.set_result, "on time")
due = time.monotonic() + 0.2
loop.run_until_complete(asyncio.sleep(0))
lock = multiprocessing.Lock()
lock.acquire()
source = open(__file__)
first = source.readline()


def asynchronous(event, context):
    async def work():
        result = await future
        late = time.monotonic() - due
        # the loop's own pipe: another thread wakes it
        return [result, late >= 0, await loop.run_in_executor(None, lambda: 7)]

    return loop.run_until_complete(work())


def locked(event, context):
    held = not lock.acquire(block=False)
    lock.release()
    return [held, lock.acquire(block=False)]


def lines(event, context):
    return source.readline().strip()
