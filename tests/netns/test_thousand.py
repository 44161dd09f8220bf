"""A thousand children of one seed over two nodes, each with a result of its own; afterwards the nodes have exactly what
they had before: descriptors, processes, namespaces, control groups, mounts, and the memory but for a few per cent.

`test_thousand.py Thousand.test_nothing_is_left` is that; `TenThousand` does it with ten thousand children of one seed, at most
200 at once, the last of which must take as long as the first."""
import os
import pathlib
import statistics
import time

import cluster
from cluster import NATIVE

CHILDREN = 1000
AT_ONCE = 100
SLACK = 1.05


def memory_of(pid):
    """Bytes that only this process has."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Private_"))


def machine(key):
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) << 10
    raise KeyError(key)


def descriptors(pid):
    """What a process has open, by kind: {"socket": 3, "/memfd:x": 1}."""
    kinds = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            kind = os.readlink(f"/proc/{pid}/fd/{fd}").split(":[")[0]
        except FileNotFoundError:
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def mounts(pid):
    """How many; those of `ip netns add` are not counted: other clusters come and go at the same time."""
    lines = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return sum("/run/netns" not in line for line in lines)


def seconds_of_forks(count):
    """What the machine takes for as many fork()s just now: others use it too."""
    begin = time.monotonic()
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return time.monotonic() - begin


class Thousand(cluster.Case):
    maxDiff = None

    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2, extra="limits: {idle: 300ms}\n", quick_free=True))
        self.daemons = {}
        for node, pid in self.cluster.pids.items():
            self.daemons[f"rametd {node}"] = pid
            self.daemons[f"ramet-spawn {node}"] = cluster.only(
                [p for p in cluster.descendants([pid]) if cluster.name_of(p) == "ramet-spawn"])

    def counts(self):
        """What must be the same before and after."""
        below = cluster.descendants(self.cluster.pids.values())
        names = [cluster.name_of(pid) for pid in below]
        found = {
            "processes": {name: names.count(name) for name in set(names)},
            "namespaces": len(cluster.namespaces(below)),
            "groups": sum(len(cluster.groups(node, pid)) for node, pid in self.cluster.pids.items()),
        }
        for name, pid in self.daemons.items():
            found[f"descriptors of {name}"] = descriptors(pid)
            found[f"mounts of {name}"] = mounts(pid)
            found[f"threads of {name}"] = len(os.listdir(f"/proc/{pid}/task"))
        return found

    def settled(self, wanted=None):
        """The counts once they are what is wanted, or, after a time, what they are; without a wish, once the pools are
        full again, which ramet-spawn fills in the background."""
        last = [None, 0]

        def same():
            now = self.counts()
            last[1] = last[1] + 1 if now == last[0] else 0
            last[0] = now
            return now == wanted if wanted else last[1] == 20

        try:
            cluster.eventually("the counts stay", same)
        except AssertionError:
            if not wanted:
                raise
        return last[0]

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
        before = self.settled()
        memory = {name: memory_of(pid) for name, pid in self.daemons.items()}
        available, shared = machine("MemAvailable"), machine("Shmem")
        self.use_seed(CHILDREN)
        self.assertEqual(self.settled(before), before)
        for name, pid in self.daemons.items():
            self.assertLess(memory_of(pid), memory[name] * SLACK + (256 << 10), name)
        cluster.eventually("the machine has its memory back", lambda: machine("MemAvailable") > available / SLACK
                           and machine("Shmem") < shared * SLACK + (1 << 20))


class TenThousand(Thousand):
    test_nothing_is_left = None

    def rest(self):
        """Until all have ended. A template keeps a sandbox for its next child if the pool had one to spare at the last:
        so after one more child on each node, with full pools, both do."""
        cluster.eventually("they have ended", lambda: not self.cluster.list("ps"))
        self.settled()
        for node in self.cluster.pids:
            self.cluster.invoke("square", 1, node=node)
        cluster.eventually("they have ended", lambda: not self.cluster.list("ps"))

    def test_children_of_one_seed(self):
        at_once, lot = 200, 1000
        self.deploy()
        self.fork(lot, at_once)  # pools fill, buffers grow, the copy becomes complete
        self.rest()
        before = self.settled()
        memory = {name: memory_of(pid) for name, pid in self.daemons.items()}
        times, plain = [], []
        for _ in range(9):
            times += self.fork(lot, at_once, lambda: plain.append(seconds_of_forks(at_once)))
        self.rest()
        self.assertEqual(self.settled(before), before)
        for name, pid in self.daemons.items():
            self.assertLess(memory_of(pid), memory[name] * SLACK + (256 << 10), name)
        fifth = len(times) // 5
        for what, part in (("beginning", slice(fifth)), ("end", slice(-fifth, None))):
            print(f"in the {what} a child took {statistics.median(times[part]) / at_once * 1e6:.0f} us, "
                  f"a fork() {statistics.median(plain[part]) / at_once * 1e6:.0f} us")
        ratios = [ours / theirs for ours, theirs in zip(times, plain)]
        self.assertLess(statistics.median(ratios[-fifth:]), statistics.median(ratios[:fifth]) * 1.1)


if __name__ == "__main__":
    cluster.main("root", "netns", "ip")
