"""Daemons that are killed, stopped for a while, or started again, and ramet-spawns that are killed, while instances page and
while others are being forked. Every call ends within seconds, with the right answer or told why not; nothing is left
over; a daemon that is started again is of use at once."""
import json
import os
import signal
import time

import cluster
from cluster import NATIVE, OK

PAGES = 8192
RESULT = {"pages": PAGES, "wrong": 0}
PAUSE = 150  # microseconds at each page: a second or two for all
SECONDS = float(os.environ.get("RAMET_TEST_SECONDS", 5))  # for every call, after what happens to a daemon
STOPPED = 3  # seconds, longer than a node is waited for
GONE = {"ELOST", "EPEER", "ECLOSED", "ENOCLUSTER"}


class DaemonLoss(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.ByHand(3))
        self.first, self.second, self.third = (self.cluster.nodes[n] for n in (1, 2, 3))
        self.first.deploy(NATIVE, "--handler", "sweep", "--name", "once", "--node", 1)
        self.first.deploy(NATIVE, "--handler", "square", "--name", "square", "--node", 1)
        self.calls = []

    def begin(self, name, client, node, data):
        call = client.start("invoke", name, "--node", node, "--json", "--data", str(data))
        for stream in (call.stdout, call.stderr):
            self.addCleanup(stream.close)
        self.addCleanup(call.kill)
        self.calls.append(call)

    def begin_all(self, client, node):
        """Calls that page on a node, and one after the other that are forked there."""
        for _ in range(2):
            self.begin("once", client, node, PAUSE)
        cluster.eventually("they run", lambda: len(
            client.list("ps", function="once", node=node, state="busy")) == 2)
        for n in range(4):
            self.begin("square", client, node, n)

    def check_all_end(self, since):
        """Every call has ended by then: rightly, or told why not."""
        codes = []
        for call in self.calls:
            out, err = call.communicate(timeout=max(0.1, since + SECONDS - time.monotonic()))
            ended = json.loads(out) if out else None
            if call.returncode == OK:
                if "pages" in ended["output"]:
                    self.assertEqual(ended["output"], RESULT)
                else:
                    self.assertEqual(ended["output"]["page"], 1, ended)
            else:
                self.assertIsNotNone(ended, err)
                self.assertIn(ended["error"]["code"], GONE, ended)
                self.assertTrue(ended["error"]["message"], ended)
            codes.append(ended["error"]["code"] if ended["error"] else "OK")
        self.calls = []
        return codes

    def check_gone(self, node, pid, below):
        cluster.eventually("its processes are gone", lambda: not [
            (p, cluster.name_of(p)) for p in below if cluster.alive(p)], SECONDS)
        cluster.eventually("its control groups are gone", lambda: not cluster.groups(node, pid), SECONDS)

    def check_usable(self, *nodes):
        self.cluster.wait_up([1, 2, 3])
        for node in nodes:
            call = self.third.invoke("square", 7, node=node)
            self.assertEqual((call["node"], call["output"]["square"], call["output"]["page"]), (node, 49, 1))

    def kill(self, node):
        pid = self.cluster.daemons[node].pid
        since = time.monotonic()
        _, below = self.cluster.end(node, signal.SIGKILL)
        return since, pid, below

    def test_seed_node_killed_and_started_again(self):
        self.begin_all(self.second, 2)
        since, pid, below = self.kill(1)
        self.cluster.start(1)  # at once, beside what is left of the other
        self.check_all_end(since)
        self.check_gone(1, pid, below)
        self.check_usable(1, 2, 3)

    def test_working_node_killed_and_started_again(self):
        self.begin_all(self.third, 2)
        since, pid, below = self.kill(2)
        self.cluster.start(2)
        self.assertIn("ELOST", self.check_all_end(since))
        self.check_gone(2, pid, below)
        self.check_usable(2, 1)

    def test_spawn_killed(self):
        """A node without ramet-spawn can do nothing: it ends, and says so."""
        self.begin_all(self.third, 2)
        daemon = self.cluster.daemons[2]
        below = cluster.descendants([daemon.pid])
        spawn = cluster.only([p for p in below if cluster.name_of(p) == "ramet-spawn"])
        since = time.monotonic()
        os.kill(spawn, signal.SIGKILL)
        self.assertIn("ELOST", self.check_all_end(since))
        self.assertNotEqual(daemon.wait(timeout=SECONDS), 0)
        self.check_gone(2, daemon.pid, below)
        self.assertIn("spawn.lost", self.cluster.logs[2].read_text())
        self.cluster.start(2)
        self.check_usable(2)

    def stop_for_a_while(self, node):
        daemon = self.cluster.daemons[node]
        since = time.monotonic()
        daemon.send_signal(signal.SIGSTOP)
        try:
            self.check_all_end(since)
            time.sleep(max(0.0, since + STOPPED - time.monotonic()))  # what is tested is a time
        finally:
            daemon.send_signal(signal.SIGCONT)
        self.check_usable(1, 2, 3)

    def test_seed_node_stops_for_a_while(self):
        self.begin_all(self.second, 2)
        self.stop_for_a_while(1)

    def test_working_node_stops_for_a_while(self):
        self.begin_all(self.third, 2)
        self.stop_for_a_while(2)


if __name__ == "__main__":
    cluster.main("root")
