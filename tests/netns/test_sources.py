"""Where pages come from when their first source is gone: instances that page do not notice that a node dies which is not the
only one to have their pages, nor that a node's memory cannot be read any more while it can be talked to."""
import json
import os
import signal
import subprocess

import cluster
from cluster import NATIVE, OK

PAGES = 8192
RESULT = {"pages": PAGES, "wrong": 0}
SECONDS = 60


class Sources(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(3))
        self.client = self.cluster.client_of(3)

    def start_sweep(self):
        """A call on node 3 that pages from node 1, and can be seen to miss pages."""
        call = self.client.start("invoke", "sweep", "--node", 3, "--json", "--data", "0")
        for stream in (call.stdout, call.stderr):
            self.addCleanup(stream.close)
        self.addCleanup(call.kill)
        cluster.eventually("it runs", lambda: self.client.list("ps", function="sweep", node=3, state="busy"))
        row = cluster.only(self.client.list("seeds", node=3))
        self.assertGreater(row["image_bytes"], row["cached_bytes"])
        self.assertEqual(row["source_node"], 1)
        return call

    def check_right(self, call):
        out, err = call.communicate(timeout=SECONDS)
        self.assertEqual(call.returncode, OK, out + err)
        ended = json.loads(out)
        self.assertEqual((ended["node"], ended["start"], ended["output"]), (3, "remote-fork", RESULT))

    def log_of(self, node):
        return (self.cluster.directory / f"node{node}" / "log").read_text()

    def test_seed_node_dies_and_a_copy_goes_on(self):
        self.cluster.deploy(NATIVE, "--handler", "sweep", "--name", "sweep", "--node", 1)
        self.slow_down(1)
        call = self.start_sweep()
        # the copy on node 2 becomes complete while node 3 pages, and is a source from then on
        self.speed_up()
        self.slow_down(3)
        self.assertEqual(self.cluster.client_of(2).invoke("sweep", 0, node=2)["output"], RESULT)
        os.kill(self.cluster.pids[1], signal.SIGKILL)
        self.check_right(call)

    def test_pages_come_by_message(self):
        """The port of node 1's memory cannot be reached any more; its control port can."""
        self.cluster.deploy(NATIVE, "--handler", "sweep", "--name", "sweep", "--node", 1)
        port = cluster.only(self.client.list("nodes", node=1))["data"].rpartition(":")[2]
        self.slow_down(1)
        call = self.start_sweep()
        rules = ("table inet sources {\n chain input {\n  type filter hook input priority 0;\n"
                 f"  tcp dport {port} drop\n }}\n}}\n")
        subprocess.run(["ip", "netns", "exec", self.cluster.netns[1], "nft", "-f", "-"], input=rules, text=True, check=True)
        self.speed_up()
        self.check_right(call)
        self.assertIn("seed.source_lost", self.log_of(3))


if __name__ == "__main__":
    cluster.main("root", "netns", "ip", "tc", "nft")
