"""In guest 1 of two: forks from one guest to the other, and that what they compute is right."""
import importlib.util

import guest_cluster
from guest_cluster import cluster

EVENT = {"iterations": 5, "top": 3}


def pagerank(event):
    """The example, run here."""
    spec = importlib.util.spec_from_file_location("pagerank", cluster.SOURCE / "examples/pagerank/pagerank.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.rank(event, None)


class Forks(cluster.Case):
    def setUp(self):
        self.cluster = self.use(guest_cluster.Guests())
        self.first = self.cluster.nodes[1]

    def test_python_with_numpy(self):
        expected = pagerank(EVENT)
        deployed = self.first.deploy(cluster.SOURCE / "examples/pagerank")
        self.assertEqual((deployed["start"], deployed["node"], deployed["error"]), ("cold", 1, None))
        call = self.first.invoke("pagerank", EVENT, node=2)
        self.assertEqual((call["start"], call["node"], call["source_node"]), ("remote-fork", 2, 1))
        self.assertEqual(call["output"], expected)
        calls, summary = self.first.burst("pagerank", 8, EVENT)
        self.assertEqual((summary["ok"], summary["failed"], summary["cold"]), (8, 0, 0), summary)
        self.assertEqual([call["output"] for call in calls], [expected] * 8)
        cluster.eventually("the copy is complete", lambda: self.first.list("seeds", node=2, role="copy"), 60)


if __name__ == "__main__":
    cluster.main("root", "numpy")
