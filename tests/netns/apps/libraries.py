"""An app of the libraries that people use, each imported before the capture and used after the fork."""
import asyncio
import hashlib
import io
import multiprocessing
import os
import random
import sqlite3
import ssl
import time
import uuid

import numpy
import pandas
from PIL import Image

TABLE = pandas.DataFrame({"group": [n % 7 for n in range(1000)], "value": numpy.arange(1000.0)})
PICTURE = Image.linear_gradient("L")
CONTEXT = ssl.create_default_context()
CPU_SECONDS_BEFORE = time.process_time()


def square(n):
    return n * n


def use_pandas():
    sums = TABLE.groupby("group")["value"].sum()
    csv = TABLE.head(3).to_csv(index=False)
    return [float(total) for total in sums], pandas.read_csv(io.StringIO(csv)).shape


def use_pil():
    out = io.BytesIO()
    PICTURE.resize((32, 32)).rotate(90).save(out, "PNG")
    again = Image.open(io.BytesIO(out.getvalue()))
    return again.size, again.getpixel((0, 31)) != again.getpixel((31, 31))


def use_sqlite():
    base = sqlite3.connect(":memory:")
    base.execute("create table t (n integer, sha text)")
    base.executemany("insert into t values (?, ?)",
                     ((n, hashlib.sha256(str(n).encode()).hexdigest()) for n in range(100)))
    return base.execute("select count(*), max(sha) from t").fetchone()


def use_ssl():
    """A handshake between two ends in this process, as far as one without certificates goes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = CONTEXT.wrap_bio(incoming, outgoing, server_hostname="example.org")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read(3)[:1] == b"\x16", len(CONTEXT.get_ciphers()) > 0


def use_multiprocessing():
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        return pool.map(square, range(10))


async def _timers():
    """How late, in seconds, timers are that should fire after so many."""
    loop = asyncio.get_running_loop()
    late = {}

    async def one(after):
        begin = time.monotonic()
        await asyncio.sleep(after)
        late[after] = time.monotonic() - begin - after

    fired = loop.create_future()
    begin = loop.time()
    loop.call_at(begin + 0.05, lambda: fired.set_result(loop.time() - begin - 0.05))
    await asyncio.gather(*(one(after) for after in (0.0, 0.01, 0.1)))
    return [*late.values(), await fired]


def use_asyncio():
    return asyncio.run(_timers())


def handler(event, context):
    return {"pandas": use_pandas(), "pil": use_pil(), "sqlite": use_sqlite(), "ssl": use_ssl(),
            "multiprocessing": use_multiprocessing(), "late": use_asyncio(),
            "sha": hashlib.sha256(b"ramet").hexdigest(), "cpu": time.process_time() - CPU_SECONDS_BEFORE}


def numbers(event, context):
    """One of each kind of random number."""
    return {"urandom": os.urandom(16).hex(), "random": random.getrandbits(128),
            "ssl": ssl.RAND_bytes(16).hex(), "uuid4": str(uuid.uuid4()), "numpy": int(numpy.random.randint(2**62)),
            "generator": int(numpy.random.default_rng().integers(2**62))}
