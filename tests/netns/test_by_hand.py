"""Three daemons that are started from configuration files, as an operator does; a program that uses the C library; how
daemons end, in order and killed."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import cluster
from cluster import BIN, NATIVE

BELOW = 1000


def summary_of_primes():
    primes = [n for n in range(2, BELOW) if all(n % d for d in range(2, n))]
    gaps = [b - a for a, b in zip(primes, primes[1:])]
    return {"count": len(primes), "sum": sum(primes), "largest": primes[-1], "widest_gap": max(gaps)}


class ByHand(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.ByHand(3))

    def check_gone(self, node, below):
        """Nothing of a daemon is left on the machine but its files. Namespaces live no longer than the processes in
        them: who could hold one open is gone too."""
        cluster.eventually("its processes are gone", lambda: not [
            (pid, cluster.name_of(pid)) for pid in below if cluster.alive(pid)])
        cluster.eventually("its control groups are gone", lambda: not cluster.groups(
            node, self.cluster.daemons[node].pid))
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        self.assertNotIn(f"{self.cluster.scratch.path}/n{node}/", mounts)

    def run_chain(self, node):
        done = subprocess.run([BIN / "c_chain", str(BELOW)], env=self.cluster.nodes[node].env, timeout=60,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(json.loads(lines[-1]), summary_of_primes())
        # deploys, then calls, of two functions
        self.assertEqual([line.split()[0] for line in lines[:-1]], ["sieve", "summary"] * 2)
        return [(int(line.split()[2]), line.split()[3]) for line in lines[2:-1]]

    def test_chain_and_end_in_order(self):
        self.assertEqual(self.run_chain(1), [(1, "warm")] * 2)
        for node in (2, 3):
            for function in ("sieve", "summary"):
                call = self.cluster.nodes[1].invoke(function, {"below": 50} if function == "sieve" else [2, 3, 7],
                                                    node=node)
                self.assertEqual((call["start"], call["source_node"]), ("remote-fork", 1))
        for node, start in self.run_chain(2) + self.run_chain(3):  # the same versions: nothing is made anew
            self.assertIn(start, ("warm", "local-fork", "remote-fork"))
        for node in (2, 1, 3):
            status, below = self.cluster.end(node, signal.SIGTERM)
            self.assertEqual(status, 0)
            self.assertGreater(len(below), 3)
            self.check_gone(node, below)
            self.assertRegex(self.cluster.logs[node].read_text(), r"node\.down node=\d\n$")

    def test_interrupt_ends_in_order(self):
        status, below = self.cluster.end(2, signal.SIGINT)
        self.assertEqual(status, 0)
        self.check_gone(2, below)

    def test_ends_while_it_hashes(self):
        """A seed whose host maps a file that it takes minutes to hash."""
        large = tempfile.NamedTemporaryFile(dir=BIN.parent)  # hosts see no /tmp of ours
        self.addCleanup(large.close)
        large.truncate(1 << 38)
        app = self.cluster.scratch.write("maps.py", "import mmap\n"
                                         f"f = open({large.name!r}, 'rb')\n"
                                         "m = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)\n"
                                         "def handler(event, context):\n    return 1\n")
        deploy = self.cluster.nodes[1].start("deploy", app, "--json")
        self.addCleanup(deploy.communicate)
        daemon = self.cluster.daemons[1].pid

        def hashes():
            return any(os.path.realpath(f"/proc/{daemon}/fd/{fd}") == large.name
                       for fd in os.listdir(f"/proc/{daemon}/fd"))

        cluster.eventually("it hashes the file", hashes, 60)
        begin = time.monotonic()
        status, below = self.cluster.end(1)
        self.assertEqual(status, 0)
        self.assertLess(time.monotonic() - begin, 5)
        self.check_gone(1, below)

    def test_killed_node(self):
        first = self.cluster.nodes[1]
        first.deploy(NATIVE, "--handler", "square", "--name", "square")
        first.deploy(NATIVE, "--handler", "spin", "--name", "spin")
        calls, summary = first.burst("square", 12, 5)
        self.assertEqual((summary["ok"], summary["nodes"]), (12, 3))
        busy = first.start("invoke", "spin", "--node", 2, "--json")
        cluster.eventually("it spins on node 2", lambda: first.list("ps", function="spin", node=2, state="busy"))

        status, below = self.cluster.end(2, signal.SIGKILL)
        self.assertEqual(status, -signal.SIGKILL)
        self.assertGreaterEqual(len(below), len({c["pid"] for c in calls if c["node"] == 2}) + 2)
        self.check_gone(2, below)
        out, _ = busy.communicate(timeout=20)
        self.assertEqual(busy.returncode, cluster.LOST)
        self.assertEqual(json.loads(out)["error"]["code"], "ELOST")

        cluster.eventually("it is seen to be down", lambda: self.cluster.states(1).get(2) == "down")
        first.run("invoke", "square", "--node", 2, code=None)
        calls, summary = first.burst("square", 12, 5)
        self.assertEqual((summary["ok"], summary["nodes"], summary["cold"]), (12, 2, 0))

        self.cluster.start(2)
        self.cluster.wait_up([1, 2, 3])
        call = first.invoke("square", 6, node=2)
        self.assertEqual((call["output"]["square"], call["start"], call["source_node"]), (36, "remote-fork", 1))


if __name__ == "__main__":
    cluster.main("root")
