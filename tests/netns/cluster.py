"""Clusters for the tests in this directory: each in a directory of its own, driven through the command line, and ended
whatever happens to the test. Waiting is for conditions with a time limit, never for a time to pass."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BIN = pathlib.Path(os.environ.get("RAMET_BIN", "build/dev/bin")).resolve()
SOURCE = pathlib.Path(os.environ.get("RAMET_SRC", ".")).resolve()
NATIVE = BIN.parent / "tests" / "netns" / "libnetns.so"
RAMET = str(BIN / "ramet")

MODULES = {"numpy", "pandas", "PIL", "joblib", "dask", "mpi4py", "cloudpickle"}

OK, FAILED, USAGE, NO_CLUSTER, REFUSED, DEADLINE, LOST, CANCELLED = range(8)


# --- what a test needs of the machine ---


def _lacks_root():
    return None if os.geteuid() == 0 else "needs root"


def _lacks_netns():
    if _lacks_root():
        return _lacks_root()
    if not shutil.which("ip"):
        return "needs the program ip (package iproute2)"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    return f"needs network namespaces: {tried.stderr.strip()}" if tried.returncode else None


def _lacks_module(name):
    tried = subprocess.run(["/usr/bin/python3", "-c", f"import {name}"], capture_output=True)
    return f"needs {name} for /usr/bin/python3" if tried.returncode else None


def _lacks_program(name):
    return None if shutil.which(name) else f"needs the program {name}"


def lacks(*needs):
    """Why the test cannot run here, or None."""
    known = {"root": _lacks_root, "netns": _lacks_netns}
    for need in needs:
        if need in known:
            reason = known[need]()
        else:
            reason = _lacks_module(need) if need in MODULES else _lacks_program(need)
        if reason:
            return reason
    return None


def main(*needs):
    """The end of each test file. Exit code 77: skipped."""
    reason = lacks(*needs)
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main(verbosity=2, failfast=False)


# --- waiting ---


def eventually(what, condition, seconds=20):
    """The condition's value once it is true; AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


# --- processes ---


def alive(pid):
    """Whether a process runs: zombies do not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _parents():
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            fields = stat.rpartition(")")[2].split()
            if fields[0] not in "ZX":
                parents[int(entry)] = int(fields[1])
    return parents


def descendants(pids):
    """The processes below some, without themselves."""
    parents = _parents()
    found, level = set(), set(pids)
    while level:
        level = {pid for pid, parent in parents.items() if parent in level} - found
        found |= level
    return found


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def namespaces(pids):
    """The namespaces in which processes are, as the kernel names them: "pid:[4026531836]"."""
    found = set()
    for pid in pids:
        try:
            for kind in os.listdir(f"/proc/{pid}/ns"):
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass
    return found


def groups(node, pid):
    """The control groups that a daemon of this number and pid has made."""
    part = f"/ramet/node{node}.{pid}/"
    return {top for top, _, _ in os.walk("/sys/fs/cgroup") if part in top + "/"}  # others come and go meanwhile


# --- the command line ---


class Case(unittest.TestCase):
    """A test case that uses a cluster of its own."""

    def use(self, cluster):
        """A cluster until the end of the test, which shows its logs if the test failed."""
        self.addCleanup(cluster.__exit__, None, None, None)
        self.addCleanup(self._show, cluster)
        return cluster.__enter__()

    def slow_down(self, node=1):
        """The node of self.cluster sends 4 MB/s at most, so that an image of 32 MB takes a while."""
        done = subprocess.run(["tc", "-n", self.cluster.netns[node], "qdisc", "add", "dev", "eth0", "root", "tbf", "rate",
                               "32mbit", "burst", "32kb", "limit", "128kb"], capture_output=True, text=True)
        if done.returncode:
            self.skipTest(f"needs the kernel's token bucket filter: {done.stderr.strip()}")

    def speed_up(self, node=1):
        subprocess.run(["tc", "-n", self.cluster.netns[node], "qdisc", "del", "dev", "eth0", "root"], check=True)

    def _show(self, cluster):
        result = self._outcome.result
        if any(test is self for test, _ in result.failures + result.errors):
            cluster.show_logs()


class Ran:
    """What a run of the command line left."""

    def __init__(self, args, done):
        self.args, self.code, self.out, self.err = args, done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)

    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]

    def __str__(self):
        return f"ramet {' '.join(self.args)}: exit code {self.code}\n{self.out}{self.err}"


class Cli:
    """Verbs of the command line against one client socket, as this user or another. prefix: a command that runs them
    elsewhere."""

    def __init__(self, env, uid=None, prefix=()):
        self.env = env
        self.prefix = [*prefix]
        if uid:
            self.prefix += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]

    def run(self, *args, code=OK, timeout=120):
        """Runs a verb; AssertionError unless it ends with this exit code (None: with any)."""
        args = [str(a) for a in args]
        done = subprocess.run([*self.prefix, RAMET, *args], env=self.env, capture_output=True, text=True, timeout=timeout)
        ran = Ran(args, done)
        if code is not None and done.returncode != code:
            raise AssertionError(f"exit code {code} expected: {ran}")
        return ran

    def start(self, *args):
        """A verb that goes on by itself."""
        return subprocess.Popen([*self.prefix, RAMET, *map(str, args)], env=self.env, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def deploy(self, path, *options, code=OK):
        return self.run("deploy", path, "--json", *options, code=code).json()

    def invoke(self, name, data=None, *options, node=None, code=OK):
        args = ["invoke", name, "--json", *options]
        if data is not None:
            args += ["--data", json.dumps(data)]
        if node:
            args += ["--node", node]
        return self.run(*args, code=code).json()

    def burst(self, name, n, data=None, *options, code=OK):
        """(one object for each instance, the summary)"""
        args = ["burst", name, "-n", n, "--json", *options]
        if data is not None:
            args += ["--data", json.dumps(data)]
        lines = self.run(*args, code=code).lines()
        return lines[:-1], lines[-1]["summary"]

    def list(self, what, **where):
        """Rows of ps, nodes, functions or seeds that have these values."""
        rows = self.run(what, "--json").json()
        return [row for row in rows if all(row[key] == value for key, value in where.items())]


# --- the end, whatever happens ---


def _reap(descriptor, directory):
    """In a process of its own: when the test's end of the pipe is closed, all that is left of it goes."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.read(descriptor, 1)
    for up in pathlib.Path(directory).glob("*.up"):
        subprocess.run([RAMET, "down", "--dir", str(up.with_suffix(""))])
    for file in pathlib.Path(directory).glob("*.pid"):
        pid, started = map(int, file.read_text().split())
        if start_time(pid) == started:
            for process in [pid, *descendants([pid])]:
                try:
                    os.kill(process, 9)
                except ProcessLookupError:
                    pass
    shutil.rmtree(directory, ignore_errors=True)


def start_time(pid):
    """With the pid, this names a process for good."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[19])


class Scratch:
    """A directory for a test, and an environment in which sanitizers report into it."""

    def __init__(self, below=None):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="ramet-netns-", dir=below))
        self.path.chmod(0o755)
        reader, self._writer = os.pipe()
        if os.fork() == 0:
            os.close(self._writer)
            if os.fork() == 0:
                _reap(reader, self.path)
            os._exit(0)
        os.close(reader)
        os.wait()
        report = f"log_path={self.path}/sanitizer"
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("RAMET_")}
        self.env.update(ASAN_OPTIONS=report, UBSAN_OPTIONS=f"{report}:print_stacktrace=1", LC_ALL="C.UTF-8")

    def write(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def complaints(self):
        """What sanitizers said; not that a thread ended while LeakSanitizer looked at it, which is no leak."""
        said = "".join(path.read_text() for path in self.path.glob("sanitizer*"))
        return re.sub(r"==\d+==Unable to get registers from thread \d+\.\n", "", said)

    def close(self):
        """Ends the test's right to be there; the process that watches removes everything."""
        if self._writer is not None:
            os.close(self._writer)
        self._writer = None


class Cluster(Cli):
    """A cluster of `ramet up`. extra: lines that are added to each node's configuration; quick_free: freed memory is
    given back also by a daemon that is built with AddressSanitizer; below: another place than /tmp."""

    def __init__(self, nodes=3, extra="", quick_free=False, below=None):
        self.scratch = Scratch(below)
        self.directory = self.scratch.path / "c"
        env = dict(self.scratch.env, RAMET_DIR=str(self.directory))
        if quick_free:
            env["ASAN_OPTIONS"] += ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
        if extra:
            self.scratch.write("extra.yaml", extra)
            rametd = self.scratch.write("rametd", f'#!/bin/sh\ncat "{self.scratch.path}/extra.yaml" >>"$2"\n'
                                                  f'exec "{BIN}/rametd" "$@"\n')
            rametd.chmod(0o755)
            env["RAMET_RAMETD"] = str(rametd)
        super().__init__(env)
        self.nodes = nodes
        self.up = []  # what `ramet up` told of each node
        self.pids = {}

    def __enter__(self):
        self.scratch.write("c.up", "")
        try:
            self.up = self.run("up", "--nodes", self.nodes, "--json").json()
            self.pids = {row["node"]: row["pid"] for row in self.up}
            self.netns = {row["node"]: os.path.basename(row["netns"]) for row in self.up}
        except BaseException:
            self.scratch.close()
            raise
        return self

    def start_again(self, node):
        """A daemon in the place of one that has ended, with the same configuration, as `ramet up` starts them."""
        directory = self.directory / f"node{node}"
        with open(directory / "log", "a") as log:
            daemon = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.netns[node]}", self.env.get("RAMET_RAMETD", str(BIN / "rametd")), "--config",
                 str(directory / "config.yaml")], env=dict(self.env, RAMET_CLUSTER=str(self.directory)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        (directory / "pid").write_text(f"{daemon.pid} {start_time(daemon.pid)}\n")
        self.pids[node] = daemon.pid
        threading.Thread(target=daemon.wait, daemon=True).start()  # reaps it

    def client_of(self, node):
        """Verbs that go to one node's socket."""
        return Cli(dict(self.env, RAMET_SOCKET=str(self.directory / f"node{node}" / "client.sock")))

    def show_logs(self):
        for node in self.pids:
            log = (self.directory / f"node{node}" / "log").read_text()
            print(f"--- log of node {node} ---\n{log[-6000:]}", file=sys.stderr)

    def __exit__(self, *_):
        try:
            self.down()
        finally:
            self.scratch.close()

    def down(self):
        """Stops it and looks whether anything of it is left."""
        pids = [pid for pid in self.pids.values() if alive(pid)]
        everything = set(pids) | descendants(pids)
        self.run("down")
        with contextlib.suppress(AssertionError):  # what was killed takes its time to end on a busy machine
            eventually("all of it has ended", lambda: not any(map(alive, everything)))
        left = [f"process {pid} {name_of(pid)}" for pid in everything if alive(pid)]
        for node, pid in self.pids.items():
            left += groups(node, pid)
        left += [str(self.directory)] if self.directory.exists() else []
        if left:
            raise AssertionError("left after ramet down:\n" + "\n".join(left))
        if self.scratch.complaints():
            raise AssertionError(self.scratch.complaints())


class ByHand:
    """Daemons that are started from configuration files, on ports of the loopback interface. nodes: a Cli for each."""

    patience = 20  # seconds for daemons to find each other, and for one to end

    def __init__(self, count=3):
        self.make(own_addresses(count), Scratch())

    def make(self, addresses, scratch, directory=None, prefixes=None, extra=""):
        """One daemon for each address. directory: for what they keep, each in one of its own; prefixes: commands that
        run a node's programs elsewhere; extra: lines for each configuration."""
        self.scratch = scratch
        self.prefixes = prefixes or {}
        self.configs, self.nodes, self.daemons, self.logs = {}, {}, {}, {}
        for node, address in enumerate(addresses, 1):
            own = (directory or scratch.path) / f"n{node}"
            peers = "".join(f"  - node: {n}\n    listen: {a}\n" for n, a in enumerate(addresses, 1) if n != node)
            self.configs[node] = scratch.write(f"{node}.yaml", f"node: {node}\ndir: {own}\nclient_socket: {own}.sock\n"
                                               f"listen: {address}\n{extra}peers:\n{peers}")
            self.nodes[node] = Cli(dict(scratch.env, RAMET_SOCKET=f"{own}.sock"),
                                   prefix=self.prefixes.get(node, ()))
            self.logs[node] = scratch.path / f"{node}.log"

    def __enter__(self):
        try:
            for node in self.configs:
                self.start(node)
            self.wait_up(self.configs)
        except BaseException:
            self.show_logs()
            self.scratch.close()
            raise
        return self

    def __exit__(self, *_):
        try:
            for node in self.daemons:
                self.end(node)
            if self.scratch.complaints():
                raise AssertionError(self.scratch.complaints())
        finally:
            self.scratch.close()

    def show_logs(self):
        for node, path in self.logs.items():
            print(f"--- log of node {node} ---\n{path.read_text()[-6000:]}", file=sys.stderr)

    def start(self, node):
        with open(self.logs[node], "a") as log:
            daemon = subprocess.Popen([*self.prefixes.get(node, ()), BIN / "rametd", "--config", self.configs[node]],
                                      env=self.scratch.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.daemons[node] = daemon
        self.scratch.write(f"{node}.pid", f"{daemon.pid} {start_time(daemon.pid)}")

    def states(self, seen_from):
        """{node: state}; nothing where no daemon answers."""
        ran = self.nodes[seen_from].run("nodes", "--json", code=None)
        return {row["node"]: row["state"] for row in ran.json()} if ran.code == OK else {}

    def wait_up(self, nodes):
        nodes = set(nodes)
        for node in nodes:
            eventually(f"node {node} sees {nodes}", lambda: {
                n for n, state in self.states(node).items() if state == "up"} == nodes, self.patience)

    def end(self, node, how=signal.SIGTERM):
        """Ends a daemon: (its exit status, the processes that it had)."""
        daemon = self.daemons[node]
        if daemon.poll() is not None:
            return daemon.returncode, set()
        below = descendants([daemon.pid])
        spaces = namespaces(below) - namespaces([os.getpid()])
        below |= {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if namespaces([pid]) & spaces}
        daemon.send_signal(how)
        return daemon.wait(timeout=self.patience), below


def own_addresses(count):
    """Addresses of the loopback network that no other process uses, so that nobody can take their ports."""
    pid = os.getpid()  # less than 2^22
    return [f"127.{64 + (pid >> 16)}.{pid >> 8 & 255}.{pid & 255}:{7000 + n}" for n in range(count)]


def only(rows):
    """The one row of a list of one."""
    if len(rows) != 1:
        raise AssertionError(f"one row expected: {rows}")
    return rows[0]


def primes_below(limit):
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\0\0"
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            sieve[n * n::n] = bytes(len(range(n * n, limit, n)))
    return sum(sieve)

