"""Calls from Python, ours and others', taken in turns; for bench/run invoke, which makes the cluster and the figures.

clients.py trips|executor|dask: prints lines of a series' name and a number: microseconds of a round trip, or tasks per
second.
"""
import concurrent.futures
import os
import sys
import time

WORKERS = max(2, len(os.sched_getaffinity(0)))
DATA = os.urandom(64)


def echo(value):
    return value


def tell(series, value):
    print(series, value, flush=True)


def round_trips(series, calls):
    """Each of some calls by itself."""
    for name, call in calls.items():
        for _ in range(100):
            begin = time.perf_counter()
            answer = call(DATA)
            tell(series + name, (time.perf_counter() - begin) * 1e6)
            if bytes(answer) != DATA:
                sys.exit(f"{name} answered {answer!r}")


def trips():
    import ramet

    with ramet.Client() as client, concurrent.futures.ProcessPoolExecutor(1) as pool, \
            ramet.Executor(1, client=client) as executor:
        client.deploy(os.path.join(os.path.dirname(__file__), "invoke.py"), name="pyecho", handler="echo")
        function = ramet.function(client=client)(echo)
        calls = {
            "pool": lambda data: pool.submit(echo, data).result(),
            "client": lambda data: client.call_bytes("pyecho", data),
            "function": function,
            "executor": lambda data: executor.submit(echo, data).result(),
        }
        for block in range(21):
            round_trips("trip_" if block else "warm_", calls)
        client.remove("pyecho")


def by_submit(pool, count):
    """One task for each number, taken as they are done: the usual way with executors."""
    futures = [pool.submit(echo, n) for n in range(count)]
    total = sum(future.result() for future in concurrent.futures.as_completed(futures))
    return total == count * (count - 1) // 2


def by_map(pool, count):
    return list(pool.map(echo, range(count))) == list(range(count))


def rates(contestants, blocks):
    """contestants: {name: (count, how)}; how(count) runs so many tasks, and tells whether it went well."""
    for block in range(blocks + 1):
        for name, (count, how) in contestants.items():
            begin = time.perf_counter()
            if not how(count):
                sys.exit(f"{name}: a wrong result")
            tell(name if block else "warm_" + name, count / (time.perf_counter() - begin))


def executor():
    import ramet

    with ramet.Executor(WORKERS) as ours, concurrent.futures.ProcessPoolExecutor(WORKERS) as theirs:
        rates({"ours_submit": (5000, lambda n: by_submit(ours, n)), "theirs_submit": (5000, lambda n: by_submit(theirs, n)),
               "ours_map": (5000, lambda n: by_map(ours, n)), "theirs_map": (5000, lambda n: by_map(theirs, n))}, 11)


def dask():
    import dask
    import distributed
    import ramet

    def by_dask(client, count):
        futures = client.map(echo, range(count), pure=False)
        total = sum(result for _, result in distributed.as_completed(futures, with_results=True))
        return total == count * (count - 1) // 2

    def by_gather(client, count):
        return client.gather(client.map(echo, range(count), pure=False)) == list(range(count))

    dask.config.set({"distributed.worker.memory.terminate": False, "distributed.admin.tick.limit": "1h"})
    with distributed.LocalCluster(n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None,
                                  host="127.0.0.1") as cluster, distributed.Client(cluster) as theirs, \
            ramet.Executor(WORKERS) as ours:
        rates({"ours_beside_dask": (5000, lambda n: by_submit(ours, n)), "dask": (500, lambda n: by_dask(theirs, n)),
               "dask_gather": (500, lambda n: by_gather(theirs, n))}, 7)


if __name__ == "__main__":
    {"trips": trips, "executor": executor, "dask": dask}[sys.argv[1]]()
