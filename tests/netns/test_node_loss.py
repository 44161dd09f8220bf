"""The node of a seed is killed while others run forks of it that still miss pages. What cannot go on is told so, what may
be run again is, and the cluster makes a new seed elsewhere."""
import json
import os
import signal
import subprocess

import cluster
from cluster import LOST, NATIVE, OK

PAGES = 8192
RESULT = {"pages": PAGES, "wrong": 0}
SECONDS = 30  # for anything to end


class NodeLoss(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(3))
        self.cluster.env["RAMET_SOCKET"] = str(self.cluster.directory / "node2" / "client.sock")

    def missing_pages(self, app, node):
        rows = [row for row in self.cluster.list("seeds", node=node) if row["app"] == app]
        return sum(row["image_bytes"] - row["cached_bytes"] for row in rows)

    def start_sweep(self, name, node):
        """A call that reads all pages of its seed, under way on another node than the seed's."""
        call = self.cluster.start("invoke", name, "--node", node, "--json", "--data", "0")
        self.addCleanup(call.stdout.close)
        self.addCleanup(call.stderr.close)
        self.addCleanup(call.kill)
        cluster.eventually(f"{name} runs on node {node}",
                           lambda: self.cluster.list("ps", function=name, node=node, state="busy"))
        return call

    def end_of(self, call):
        out, err = call.communicate(timeout=SECONDS)
        return json.loads(out) if out else err

    def kill_node_1(self):
        os.kill(self.cluster.pids[1], signal.SIGKILL)

    def check_goes_on(self, name, starts):
        for node in (2, 3):
            call = self.cluster.invoke(name, 0, node=node)
            self.assertEqual((call["node"], call["output"]), (node, RESULT))
            self.assertIn(call["start"], starts[node])
            if call["start"] == "remote-fork":
                self.assertEqual(call["source_node"], 2)
        calls, summary = self.cluster.burst(name, 6, 0)
        self.assertEqual((summary["ok"], summary["nodes"]), (6, 2))
        self.assertTrue(all(call["output"] == RESULT for call in calls))
        states = {row["node"]: row["state"] for row in self.cluster.list("nodes")}
        self.assertEqual(states, {1: "down", 2: "up", 3: "up"})

    def test_calls_that_miss_pages(self):
        self.cluster.deploy(NATIVE, "--handler", "sweep", "--name", "once", "--node", 1)
        self.slow_down()
        calls = {node: self.start_sweep("once", node) for node in (2, 3)}
        for node in calls:
            self.assertGreater(self.missing_pages("once", node), 0)
        self.kill_node_1()
        for node, call in calls.items():
            ended = self.end_of(call)
            self.assertEqual(call.returncode, LOST, ended)
            self.assertEqual((ended["error"]["code"], ended["error"]["kind"]), ("ELOST", "system"))
            self.assertEqual((ended["node"], ended["start"]), (node, "remote-fork"))
        self.check_goes_on("once", {2: ["cold"], 3: ["remote-fork"]})

    def test_idempotent_calls_are_run_again(self):
        self.cluster.deploy(NATIVE, "--handler", "sweep", "--name", "again", "--idempotent", "--node", 1)
        self.slow_down()
        call = self.start_sweep("again", 2)
        self.assertGreater(self.missing_pages("again", 2), 0)
        self.kill_node_1()
        ended = self.end_of(call)
        self.assertEqual(call.returncode, OK, ended)
        self.assertEqual((ended["node"], ended["start"], ended["output"]), (2, "cold", RESULT))
        self.check_goes_on("again", {2: ["warm"], 3: ["remote-fork"]})

    def test_calls_on_the_node_itself(self):
        self.cluster.deploy(NATIVE, "--handler", "spin", "--name", "spin", "--node", 1)
        self.cluster.deploy(NATIVE, "--handler", "sweep", "--name", "sweep", "--node", 1)
        call = self.start_sweep("spin", 1)
        self.kill_node_1()
        ended = self.end_of(call)
        self.assertEqual(call.returncode, LOST, ended)
        self.assertEqual(ended["error"]["code"], "ELOST")
        self.assertIn("node 1", ended["error"]["message"])
        self.check_goes_on("sweep", {2: ["cold"], 3: ["remote-fork"]})

    def test_partition(self):
        """The node is not dead, but out of reach: the same for the others, and it comes back."""
        self.cluster.deploy(NATIVE, "--handler", "sweep", "--name", "far", "--node", 1)
        self.slow_down()
        call = self.start_sweep("far", 2)
        self.assertGreater(self.missing_pages("far", 2), 0)
        subprocess.run(["ip", "-n", self.cluster.netns[1], "link", "set", "eth0", "down"], check=True)
        ended = self.end_of(call)
        self.assertEqual(call.returncode, LOST, ended)
        self.check_goes_on("far", {2: ["cold"], 3: ["remote-fork"]})
        subprocess.run(["ip", "-n", self.cluster.netns[1], "link", "set", "eth0", "up"], check=True)
        self.speed_up()
        cluster.eventually("node 1 is back", lambda: self.cluster.list("nodes", node=1, state="up"), SECONDS)
        call = self.cluster.invoke("far", 0, node=1)
        self.assertEqual((call["node"], call["output"]), (1, RESULT))

    def test_complete_copies_serve_on(self):
        """Who has all pages needs the seed's node no more."""
        self.cluster.deploy(NATIVE, "--handler", "sweep", "--name", "sweep", "--node", 1)
        for node in (2, 3):
            self.assertEqual(self.cluster.invoke("sweep", 0, node=node)["output"], RESULT)
            cluster.eventually("what the call did not read is there, too", lambda node=node: self.missing_pages("sweep", node) == 0)
        self.kill_node_1()
        cluster.eventually("node 1 is down", lambda: self.cluster.list("nodes", node=1, state="down"))
        self.check_goes_on("sweep", {2: ["warm"], 3: ["warm"]})


if __name__ == "__main__":
    cluster.main("root", "netns", "ip", "tc")
