"""In guest 1 of two: guest 2 loses its power while its pages are read here, by RDMA or, with the argument tcp, over TCP. What
cannot go on is told so in time, what may be run again is; and nothing of the lost guest is left here."""
import json
import pathlib
import re
import subprocess
import sys
import time
import unittest

import guest_cluster
from guest_cluster import ON, cluster, netem

PAGES = 8192
RESULT = {"pages": PAGES, "wrong": 0}
SECONDS = 5  # for any call to be told
TRANSPORT = sys.argv.pop() if sys.argv[1:] else "auto"


class Power(cluster.Case):
    def setUp(self):
        self.cluster = self.use(guest_cluster.Guests(transport=TRANSPORT))
        self.addCleanup(netem, nodes=(1,))
        self.first = self.cluster.nodes[1]
        self.queue_pairs = self.queue_pairs_now()

    def queue_pairs_now(self):
        """Of connections by RDMA; the kernel's own are always there."""
        shown = subprocess.run(["rdma", "resource", "show", "qp"], capture_output=True, text=True, check=True).stdout
        return len(re.findall(r"type RC", shown))

    def streams(self):
        """Connections of the daemon to the other guest over TCP that stand."""
        shown = subprocess.run(["ss", "-Htn", "state", "established", "dst", "10.77.0.2"], capture_output=True, text=True,
                               check=True).stdout
        return len(shown.splitlines())

    def log(self):
        return self.cluster.logs[1].read_text()

    def sweep(self, name):
        """A call that reads all pages of its seed, under way."""
        call = self.first.start("invoke", name, "--node", 1, "--json", "--data", "0")
        self.addCleanup(call.stdout.close)
        self.addCleanup(call.stderr.close)
        self.addCleanup(call.kill)
        return call

    def missing(self, name):
        rows = self.first.list("seeds", node=1, app=name)
        return rows and sum(row["image_bytes"] - row["cached_bytes"] for row in rows)

    def test_power_is_cut(self):
        second = self.cluster.nodes[2]
        for name in ("once", "again"):
            options = ["--idempotent"] if name == "again" else []
            second.deploy(cluster.NATIVE, "--handler", "sweep", "--name", name, *options)
        netem("delay", "30ms", "rate", "40mbit", nodes=(2,))
        calls = {name: self.sweep(name) for name in ("once", "again")}
        for name in calls:
            cluster.eventually(f"{name} runs", lambda: self.first.list("ps", function=name, node=1, state="busy"), 60)
            self.assertGreater(self.missing(name), 0)
        way = "tcp" if TRANSPORT == "tcp" else "verbs"
        self.assertIn(f"data.transport node=2 transport={way}", self.log())

        subprocess.run([ON, "--kill", "2"], check=True)
        begin = time.monotonic()
        out, err = calls["once"].communicate(timeout=60)
        lost = time.monotonic() - begin
        cluster.eventually("the other is run again", lambda: "call.retry" in self.log(), 60)
        again = time.monotonic() - begin
        ended = json.loads(out)
        self.assertEqual(calls["once"].returncode, cluster.LOST, out + err)
        self.assertEqual((ended["error"]["code"], ended["error"]["kind"]), ("ELOST", "system"))
        self.assertEqual((ended["node"], ended["start"]), (1, "remote-fork"))
        out, err = calls["again"].communicate(timeout=120)
        self.assertEqual(calls["again"].returncode, cluster.OK, out + err)
        self.assertEqual((json.loads(out)["start"], json.loads(out)["output"]), ("cold", RESULT))
        print(f"{way}: lost after {lost:.2f} s, run again after {again:.2f} s", flush=True)
        self.assertLess(max(lost, again), SECONDS + self.cluster.stood_still())

        cluster.eventually("it is seen to be down", lambda: self.cluster.states(1).get(2) == "down")
        cluster.eventually("nothing leads to it", lambda: self.queue_pairs_now() == self.queue_pairs and
                           self.streams() == 0, 60)
        self.assertEqual(self.first.list("seeds", node=1, role="copy"), [])
        self.assertEqual(self.first.list("ps", node=1, function="once"), [])
        self.assertEqual(self.first.invoke("once", 0, node=1)["output"], RESULT)
        status, below = self.cluster.end(1)
        self.assertEqual(status, 0)
        cluster.eventually("its processes are gone", lambda: not [
            (pid, cluster.name_of(pid)) for pid in below if cluster.alive(pid)])
        self.assertEqual(cluster.groups(1, self.cluster.daemons[1].pid), set())
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        self.assertNotIn("/run/ramet/n1/", mounts)


if __name__ == "__main__":
    reason = cluster.lacks("root", "tc", "ss", "rdma")
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main(verbosity=2)
