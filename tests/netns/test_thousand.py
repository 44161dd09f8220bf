"""A thousand children of one seed over two nodes, each with a result of its own; afterwards the nodes have exactly what
they had before: descriptors, processes, namespaces, control groups, mounts, and the memory but for a few per cent.

`test_thousand.py Thousand.test_nothing_is_left` is that; `TenThousand` does it with ten thousand children of one seed, at most
200 at once, the last of which must take as long as the first."""
import os
import pathlib
import statistics
import time

import census
import cluster
from cluster import NATIVE

CHILDREN = 1000
AT_ONCE = 100
SLACK = 1.05


def machine(key):
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) << 10
    raise KeyError(key)


def forks(count):
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)


def seconds_of_forks(count):
    """What the machine takes for as many fork()s on all its CPUs just now: others use them too."""
    begin = time.monotonic()
    cpus = len(os.sched_getaffinity(0))
    workers = []
    for _ in range(cpus):
        pid = os.fork()
        if pid == 0:
            forks(count // cpus)
            os._exit(0)
        workers.append(pid)
    for pid in workers:
        os.waitpid(pid, 0)
    return time.monotonic() - begin


class Thousand(cluster.Case):
    maxDiff = None

    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2, extra="limits: {idle: 300ms}\n", quick_free=True))
        self.census = census.Census(self.cluster)

    def deploy(self):
        self.cluster.deploy(NATIVE, "--handler", "square", "--name", "square", "--fresh", "fresh")

    def fork(self, children, at_once=AT_ONCE, after_each=lambda: None):
        """So many children; seconds that each lot of them took. after_each lot that is called."""
        pids, times = set(), []
        for first in range(0, children, at_once):
            begin = time.monotonic()
            calls, summary = self.cluster.burst("square", at_once, first)
            times.append(time.monotonic() - begin)
            self.assertEqual((summary["ok"], summary["failed"], summary["cold"]), (at_once, 0, 0))
            self.assertEqual(sorted(call["rank"] for call in calls), list(range(at_once)))
            for call in calls:
                number = first + call["rank"]
                self.assertEqual(call["output"],
                                 {"rank": call["rank"], "size": at_once, "square": number * number, "page": 1})
                pids.add((call["node"], call["instance"]))
            after_each()
        self.assertEqual(len(pids), children, "each call had a process of its own")
        return times

    def use_seed(self, children):
        """A seed's whole life: deployed, forked so often, removed."""
        self.deploy()
        self.fork(children)
        self.cluster.run("remove", "square")
        cluster.eventually("all instances and seeds are gone", lambda: not self.cluster.list("ps")
                           and not self.cluster.list("seeds"))

    def test_nothing_is_left(self):
        self.use_seed(CHILDREN)  # fills pools, buffers and what is kept of ended instances
        before = self.census.settled()
        memory = self.census.memory()
        available, shared = machine("MemAvailable"), machine("Shmem")
        self.use_seed(CHILDREN)
        self.assertEqual(self.census.settled(before), before)
        for name, size in self.census.memory().items():
            self.assertLess(size, memory[name] * SLACK + (256 << 10), name)
        cluster.eventually("the machine has its memory back", lambda: machine("MemAvailable") > available / SLACK
                           and machine("Shmem") < shared * SLACK + (1 << 20))


class TenThousand(Thousand):
    test_nothing_is_left = None

    def rest(self):
        """Until all have ended. A template keeps a sandbox for its next child if the pool had one to spare at the last:
        so after one more child on each node, with full pools, both do."""
        cluster.eventually("they have ended", lambda: not self.cluster.list("ps"))
        self.census.settled()
        for node in self.cluster.pids:
            self.cluster.invoke("square", 1, node=node)
        cluster.eventually("they have ended", lambda: not self.cluster.list("ps"))

    def test_children_of_one_seed(self):
        at_once, lot = 200, 1000
        self.deploy()
        self.fork(lot, at_once)  # pools fill, buffers grow, the copy becomes complete
        self.rest()
        before = self.census.settled()
        memory = self.census.memory()
        times, plain = [], []
        for _ in range(9):
            times += self.fork(lot, at_once, lambda: plain.append(seconds_of_forks(at_once)))
        fifth = len(times) // 5

        def slower():
            """The last children beside the first ones, both as ratios to fork()."""
            ratios = [ours / theirs for ours, theirs in zip(times, plain)]
            return statistics.median(ratios[-fifth:]) / statistics.median(ratios[:fifth])
        for _ in range(6):  # what grows with the children goes on growing, while a slow phase of the machine passes
            if slower() >= 1.1:
                times += self.fork(2 * lot, at_once, lambda: plain.append(seconds_of_forks(at_once)))
        self.rest()
        self.assertEqual(self.census.settled(before), before)
        for name, size in self.census.memory().items():
            self.assertLess(size, memory[name] * SLACK + (256 << 10), name)
        for what, part in (("beginning", slice(fifth)), ("end", slice(-fifth, None))):
            print(f"in the {what} a child took {statistics.median(times[part]) / at_once * 1e6:.0f} us, "
                  f"a fork() {statistics.median(plain[part]) / at_once * 1e6:.0f} us")
        self.assertLess(slower(), 1.1)


if __name__ == "__main__":
    cluster.main("root", "netns", "ip")
