"""`ramet remove` and a redeploy while instances on another node page: who runs a function that is
removed ends, told so; who runs one that is replaced goes on; nobody starts anew (docs/seeds.md)."""
import json
import time

import cluster
from cluster import NATIVE, OK, REFUSED

PAGES = 8192
RESULT = {"pages": PAGES, "wrong": 0}
SECONDS = 5  # for every call, after the revocation
CHILDREN = 8


class Revocation(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2, extra="limits:\n  capacity: 32\n"))

    def start(self, name, node, pause):
        call = self.cluster.start("invoke", name, "--node", node, "--json", "--data", str(pause))
        for stream in (call.stdout, call.stderr):
            self.addCleanup(stream.close)
        self.addCleanup(call.kill)
        return call

    def wait_busy(self, name, node, count):
        cluster.eventually(f"{count} calls of {name} run on node {node}", lambda: len(
            self.cluster.list("ps", function=name, node=node, state="busy")) == count)

    def end_of(self, call, seconds):
        out, err = call.communicate(timeout=seconds)
        return json.loads(out) if out else err

    def missing(self):
        return sum(row["image_bytes"] - row["cached_bytes"] for row in self.cluster.list("seeds", node=2))

    def start_children(self):
        """Some that have all their pages, on node 1, and some that have not, on node 2."""
        self.cluster.deploy(NATIVE, "--handler", "sweep", "--name", "sweep", "--idempotent", "--node", 1)
        self.slow_down()
        complete = [self.start("sweep", 1, 250) for _ in range(2)]
        self.wait_busy("sweep", 1, len(complete))
        paging = [self.start("sweep", 2, 0) for _ in range(CHILDREN)]
        self.wait_busy("sweep", 2, CHILDREN)
        self.assertGreater(self.missing(), 0)
        return complete, paging

    def test_removed_while_children_page(self):
        complete, paging = self.start_children()
        self.cluster.run("remove", "sweep")
        end = time.monotonic() + SECONDS
        for call in paging + complete:
            ended = self.end_of(call, end - time.monotonic())
            self.assertEqual(call.returncode, REFUSED, ended)
            self.assertEqual(ended["error"]["code"], "EREVOKED", ended)
        cluster.eventually("nothing is left", lambda: not self.cluster.list("ps") and not self.cluster.list("seeds"))
        # the same thing, deployed anew, is a new seed with a later epoch
        self.speed_up()
        self.cluster.deploy(NATIVE, "--handler", "sweep", "--name", "sweep", "--idempotent", "--node", 1)
        self.assertEqual(self.cluster.invoke("sweep", 0, node=2)["output"], RESULT)
        self.assertEqual({row["epoch"] for row in self.cluster.list("seeds")}, {2})

    def test_replaced_while_children_page(self):
        """Calls that were accepted before a redeploy are carried out."""
        complete, paging = self.start_children()
        self.speed_up()
        self.cluster.deploy(NATIVE, "--handler", "square", "--name", "sweep", "--node", 1)
        for call in complete + paging:
            ended = self.end_of(call, 60)
            self.assertEqual((call.returncode, ended["output"]), (OK, RESULT), ended)


if __name__ == "__main__":
    cluster.main("root", "netns", "ip", "tc")
