"""Forks over a cluster of three nodes: an app is cold once, all else is forked from that, and every instance computes
what the first one would have."""
import importlib.util

import cluster
from cluster import BIN, NATIVE, SOURCE

STARTS = {"warm", "local-fork", "remote-fork", "cold"}
CALL_KEYS = {"function", "version", "call", "node", "instance", "pid", "start", "source_node", "output", "error", "us"}
TIMES = {"queue", "start", "first_instruction", "run", "total"}
SUMMARY_KEYS = {"n", "ok", "failed", "warm", "local-fork", "remote-fork", "cold", "nodes", "us"}
ROW_KEYS = {
    "ps": {"node", "instance", "pid", "function", "version", "state", "start", "source_node", "call", "rank", "calls",
           "rss", "uptime_ms", "uid"},
    "nodes": {"node", "name", "state", "listen", "data", "transport", "pager", "cores", "mem", "instances", "templates",
              "seeds", "cache_bytes", "calls", "version", "pid", "uptime_ms", "class"},
    "functions": {"function", "app", "lang", "version", "generation", "uid", "handler", "fresh", "idempotent", "seeds",
                  "instances", "calls", "failed", "warm", "local_fork", "remote_fork", "cold"},
    "seeds": {"seed", "app", "version", "generation", "epoch", "node", "role", "source_node", "image_bytes",
              "cached_bytes", "own_bytes", "working_set_bytes", "template", "instances", "class"},
}


def pagerank(event):
    """The example, run here."""
    spec = importlib.util.spec_from_file_location("pagerank", SOURCE / "examples/pagerank/pagerank.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.rank(event, None)


class Forks(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(3))

    def check_shape(self, call, extra=frozenset()):
        self.assertEqual(set(call), CALL_KEYS | extra)
        self.assertIn(call["start"], STARTS)
        self.assertEqual(set(call["us"]), TIMES)
        self.assertTrue(all(us >= 0 for us in call["us"].values()))
        self.assertIn(call["node"], (1, 2, 3))
        self.assertGreater(call["pid"], 0)
        self.assertEqual(call["source_node"] is not None, call["start"] == "remote-fork")
        self.assertIsNone(call["error"])
        forked = call["start"] in ("local-fork", "remote-fork")
        self.assertEqual(call["us"]["first_instruction"] > 0, forked)
        self.assertGreaterEqual(call["us"]["total"], call["us"]["start"] + call["us"]["run"])

    def check_each_node(self, name, event, expected):
        """The first call of each node, all ways of starting that there may be, and again: then they are warm."""
        starts = {}
        for node in (1, 2, 3):
            call = self.cluster.invoke(name, event, node=node)
            self.check_shape(call)
            self.assertEqual(call["node"], node)
            self.assertEqual(call["output"], expected)
            starts[node] = call["start"]
            again = self.cluster.invoke(name, event, node=node)
            self.assertEqual((again["start"], again["output"]), ("warm", expected))
            self.assertEqual(again["pid"], call["pid"])
        self.assertEqual(starts, {1: "warm", 2: "remote-fork", 3: "remote-fork"})

    def check_burst(self, name, event, check):
        calls, summary = self.cluster.burst(name, 64, event)
        self.assertEqual(sorted(call["rank"] for call in calls), list(range(64)))
        for call in calls:
            self.check_shape(call, {"rank", "size"})
            self.assertEqual(call["size"], 64)
            check(call)
        self.assertEqual(set(summary), SUMMARY_KEYS)
        self.assertEqual((summary["n"], summary["ok"], summary["failed"]), (64, 64, 0))
        self.assertEqual(summary["nodes"], 3)
        self.assertEqual(summary["cold"], 0)
        for start in STARTS:
            self.assertEqual(summary[start], sum(call["start"] == start for call in calls))
        # those that run at the same time do so in processes of their own
        self.assertEqual(len({(call["node"], call["pid"]) for call in calls}), 64)
        # one remote fork per node would do; local forks are what a burst is made of
        self.assertGreater(summary["local-fork"], 0)

    def check_one_cold(self, name):
        rows = self.cluster.list("ps", function=name)
        self.assertEqual(sum(row["start"] == "cold" for row in rows), 1, rows)
        row = cluster.only(self.cluster.list("functions", function=name))
        self.assertEqual((row["cold"], row["failed"]), (0, 0))
        self.assertEqual(row["warm"] + row["local_fork"] + row["remote_fork"], row["calls"])
        cluster.eventually("the copies are complete", lambda: self.cluster.list("functions", function=name, seeds=3))
        roles = {row["node"]: row["role"] for row in self.cluster.list("seeds", app=name)}
        self.assertEqual(roles, {1: "origin", 2: "copy", 3: "copy"})

    def check_rows(self):
        for what, keys in ROW_KEYS.items():
            rows = self.cluster.list(what)
            self.assertTrue(rows, what)
            for row in rows:
                self.assertEqual(set(row), keys, what)
        self.assertEqual([row["state"] for row in self.cluster.list("nodes")], ["up"] * 3)

    def test_python_with_numpy(self):
        event = {"iterations": 8, "top": 3}
        expected = pagerank(event)
        deployed = self.cluster.deploy(SOURCE / "examples/pagerank")
        self.assertEqual((deployed["start"], deployed["node"], deployed["error"]), ("cold", 1, None))
        self.assertGreater(deployed["us"]["capture"], 0)
        self.check_each_node("pagerank", event, expected)
        self.check_burst("pagerank", event, lambda call: self.assertEqual(call["output"], expected))
        self.check_one_cold("pagerank")
        self.check_rows()

    def test_native(self):
        event = {"from": 1000, "to": 2_000_000}
        count = cluster.primes_below(2_000_000) - cluster.primes_below(1000)
        expected = {"primes": count, **event}
        self.cluster.deploy(BIN.parent / "examples/c_function")
        self.check_each_node("primes", event, expected)
        self.check_burst("primes", event, lambda call: self.assertEqual(call["output"], expected))
        self.check_one_cold("primes")

    def test_ranks_reach_their_instances(self):
        def check(call):
            number = 1000 + call["rank"]
            self.assertEqual(call["output"], {"rank": call["rank"], "size": 64, "square": number * number, "page": 1})

        self.cluster.deploy(NATIVE, "--handler", "square", "--name", "square")
        self.check_burst("square", 1000, check)
        self.check_one_cold("square")

    def test_what_no_json_is(self):
        """Bytes come as base64, under a key of their own."""
        path = self.cluster.scratch.write("raw.py", "def handler(event, context):\n    return b'\\0\\xff' + event\n")
        self.cluster.deploy(path)
        data = self.cluster.scratch.write("input", "abc")
        for node in (1, 2):
            call = self.cluster.invoke("raw", None, "--binary", f"@{data}", node=node)
            self.assertEqual(call["output_base64"], "AP9hYmM=")
            self.assertNotIn("output", call)


if __name__ == "__main__":
    cluster.main("root", "netns", "numpy", "ip")
