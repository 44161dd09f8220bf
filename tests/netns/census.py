"""What a cluster's nodes have: processes, namespaces, control groups, descriptors, mounts, threads, memory. To be compared
before and after."""
import os
import pathlib

import cluster


def memory_of(pid):
    """Bytes that only this process has."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Private_"))


def anonymous_of(pid):
    """Bytes that it has allocated."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Anonymous:"))


def images_of(pid):
    """Bytes of the memory files that it has open for seeds."""
    files = {}
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(fd).startswith("/memfd:ramet-seed"):
                stat = os.stat(fd)
                files[stat.st_ino] = stat.st_blocks * 512
        except FileNotFoundError:
            continue
    return sum(files.values())


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


class Census:
    """Of a cluster that runs. daemons: {what: pid} of each rametd and ramet-spawn."""

    def __init__(self, of):
        self.cluster = of
        self.daemons = {}
        for node, pid in of.pids.items():
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

    def memory(self):
        """{what: bytes} of the daemons."""
        return {name: memory_of(pid) for name, pid in self.daemons.items()}

    def parts(self):
        """The same by parts, whoever else has a page, too: what they have allocated, and the images of seeds."""
        found = {f"{name}, allocated": anonymous_of(pid) for name, pid in self.daemons.items()}
        found.update({f"{name}, images": images_of(pid) for name, pid in self.daemons.items() if name.startswith("rametd")})
        return found
