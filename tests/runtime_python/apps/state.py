"""What tests of clones call: state, and every shared source of random numbers."""
import gc
import json
import os
import random
import secrets
import ssl
import threading
import uuid

random.seed(1)
table = {str(i): i for i in range(1000)}
_kept = []


def total(event, context):
    table["0"] += 1
    return sum(table.values())


def numbers(event, context):
    return [random.random(), random.gauss(0, 1), ssl.RAND_bytes(8).hex(), str(uuid.uuid4()), secrets.token_hex(8),
            os.urandom(8).hex()]


def openssl(event, context):
    return ssl.RAND_bytes(8).hex()


def frozen(event, context):
    """Whether what was there at the capture is out of the collector's sight, and a collection works."""
    return [gc.get_freeze_count() > 1000, gc.isenabled(), gc.collect() >= 0]


def write(event, context):
    print("from a clone")


def fail(event, context):
    raise ValueError("in a clone")


def spin(event, context):
    while True:
        pass


def threads(event, context):
    """Threads work in clones."""
    done = []
    workers = [threading.Thread(target=done.append, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(done)


def keep(event, context):
    """Makes the process unfit for a capture, or fit again."""
    import socket

    if event == "socket":
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        _kept.extend((client, server.accept()[0]))
        server.close()
        return min(kept.fileno() for kept in _kept)
    if event == "nothing":
        for kept in _kept:
            kept.close()
        _kept.clear()
    return json.loads("null")
