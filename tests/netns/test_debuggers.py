"""Debuggers and profilers attached to an instance that was forked from another node: they must find the names of its
functions, and read its memory."""
import glob
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import cluster
from cluster import NATIVE

PAGE = 4096
STUB = 0x110000000000  # where a template begins: RFORK_GAP_START
PYTHON = '''
def handler(event, context):
    return outer()

def outer():
    return inner()

def inner():
    while True:
        pass
'''


def run(*args, timeout=60):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL)


def gdb(pid, *commands):
    done = run("gdb", "-nx", "-batch", "-p", pid, *[word for c in commands for word in ("-ex", c)])
    return done.stdout + done.stderr


def mix(n):
    """What functions.c fills its memory with."""
    n = ((n ^ (n >> 31)) * 0x9E3779B97F4A7C15) % 2**64
    return n ^ (n >> 29)


def mappings(pid):
    """(begin, end, permissions, path) of each mapping."""
    found = []
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        area, permissions, _, _, _, *path = line.split(None, 5)
        begin, end = (int(n, 16) for n in area.split("-"))
        found.append((begin, end, permissions, path[0].strip() if path else ""))
    return found


class Debuggers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # not below /tmp or /run, which sandboxes hide: perf looks for a mapped file in the sandbox by its path outside
        cls.cluster = cls.enterClassContext(cluster.Cluster(2, below="/var/tmp"))
        cls.versions = {
            "native": cls.cluster.deploy(NATIVE, "--handler", "spin", "--name", "native")["version"],
            "snake": cls.cluster.deploy(cls.cluster.scratch.write("snake.py", PYTHON))["version"],
        }
        cls.pids = {name: cls.start_on_2(name) for name in ("native", "snake")}

    @classmethod
    def start_on_2(cls, name):
        """The pid of an instance that runs a loop, a fork of a process on the other node."""
        cls.cluster.run("invoke", name, "--node", 2, "--detach")
        row = cluster.only(cluster.eventually(
            f"{name} runs", lambda: cls.cluster.list("ps", function=name, node=2, state="busy")))
        assert (row["start"], row["source_node"]) == ("remote-fork", 1), row
        # a debugger cannot wait for pages of another node: they come within a second or so
        cluster.eventually("all its pages are here", lambda: [
            seed for seed in cls.cluster.list("seeds", node=2, app=name)
            if seed["cached_bytes"] == seed["image_bytes"]])
        return row["pid"]

    def check_goes_on(self, name, pid):
        row = cluster.only(self.cluster.list("ps", function=name, node=2, state="busy"))
        self.assertEqual(row["pid"], pid)
        self.assertNotIn(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0], "tT")

    def test_gdb_native(self):
        reason = cluster.lacks("gdb")
        if reason:
            self.skipTest(reason)
        pid = self.pids["native"]
        text = gdb(pid, "bt", "info sharedlibrary", "print/x ((unsigned long *)big)[512 * 5000]")
        for frame in ("spin_inside", "spin", "ramet_host_run", "main"):
            self.assertRegex(text, rf"(?m)^#\d+ .*\b{frame} \(")
        self.assertNotIn("?? ()", text)
        self.assertRegex(text, r"functions\.c:\d+")
        self.assertRegex(text, rf"(?m)^\$1 = {mix(512 * 5000):#x}$")
        self.assertRegex(text, r"/ramet/apps/\w+/libnetns\.so")
        self.check_goes_on("native", pid)

    def test_gdb_python(self):
        reason = cluster.lacks("gdb")
        if reason:
            self.skipTest(reason)
        pid = self.pids["snake"]
        scripts = glob.glob("/usr/share/gdb/auto-load/usr/bin/python3.[0-9][0-9]-gdb.py")  # of package python3-dbg
        text = gdb(pid, "bt", *[word for script in scripts[:1] for word in (f"source {script}", "py-bt")])
        if scripts:
            self.assertRegex(text, r"(?s)snake\.py\", line \d+, in inner.*in outer.*in handler")
        self.assertRegex(text, r"(?m)^#\d+ .*_PyEval_EvalFrameDefault \(")
        self.assertRegex(text, r"(?m)^#\d+ .*\bramet_host_run \(")
        self.assertNotIn("Error reading shared library", text)
        self.check_goes_on("snake", pid)

    def test_perf(self):
        reason = cluster.lacks("perf")
        if reason:
            self.skipTest(reason)
        pid = self.pids["native"]
        with tempfile.TemporaryDirectory() as directory:
            data = f"{directory}/perf.data"
            done = run("perf", "record", "-o", data, "-g", "-p", pid, "--", "sleep", "0.3")
            if done.returncode:
                self.skipTest(f"perf is not allowed here: {done.stderr.strip().splitlines()[-1]}")
            text = run("perf", "report", "-i", data, "--stdio", "--no-children", "-g", "none").stdout
        match = re.search(r"(\d+\.\d+)%\s+\S+\s+libnetns\.so\s+\[\.\] spin_inside", text)
        self.assertTrue(match, text)
        self.assertGreater(float(match[1]), 50)
        self.check_goes_on("native", pid)

    def test_memory_can_be_read(self):
        """What py-spy and gdb do: read memory without running in the process. All of it is there but pages of zeros that
        the process has not touched: those are nowhere, and get a page at a fault, which such a reader does not cause."""
        for name, pid in self.pids.items():
            origin = cluster.only(self.cluster.list("ps", node=1, version=self.versions[name]))
            pages, unreadable = 0, []
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                for begin, end, permissions, path in mappings(pid):
                    if permissions[0] != "r" or path in ("[vvar]", "[vvar_vclock]", "[vsyscall]"):
                        continue
                    for at in range(begin, end, PAGE):
                        pages += 1
                        try:
                            os.pread(memory.fileno(), 8, at)
                        except OSError:
                            unreadable.append(at)
            self.assertGreater(pages, 1000)
            self.assertLess(len(unreadable), pages / 20)
            with open(f"/proc/{origin['pid']}/mem", "rb", buffering=0) as memory:
                for at in unreadable:
                    self.assertEqual(os.pread(memory.fileno(), PAGE, at), bytes(PAGE), f"{name}: {at:#x}")

    def test_code_is_mapped_from_files(self):
        """Names come from files: no code of a program or library is mapped from the memory of the seed."""
        for name in ("native", "snake"):
            pid = self.pids[name]
            code = [path for start, _, permissions, path in mappings(pid) if "x" in permissions
                    and not path.startswith("[") and start != STUB]
            self.assertGreater(len(code), 3)
            self.assertFalse([m for m in mappings(pid) if "w" in m[2] and "x" in m[2]])
            for path in code:
                self.assertTrue(os.path.exists(path), path)


if __name__ == "__main__":
    cluster.main("root", "netns", "ip")
