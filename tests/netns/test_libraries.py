"""An app that imports what people import (ssl, sqlite3, hashlib, random, multiprocessing, asyncio, pandas, PIL) and uses each
of it in forks on this node and on another; no two clones have the same random numbers."""
import hashlib

import cluster
from cluster import SOURCE

APP = SOURCE / "tests/netns/apps/libraries.py"
LATE = 1.0  # seconds; a clock that jumped would be off by hours, or a timer never fire


def table_sums():
    return [float(sum(n for n in range(1000) if n % 7 == group)) for group in range(7)]


class Libraries(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2))

    def check(self, used):
        sums, shape = used["pandas"]
        self.assertEqual((sums, shape), (table_sums(), [3, 2]))
        self.assertEqual(used["pil"], [[32, 32], True])
        shas = max(hashlib.sha256(str(n).encode()).hexdigest() for n in range(100))
        self.assertEqual(used["sqlite"], [100, shas])
        self.assertEqual(used["ssl"], [True, True])
        self.assertEqual(used["multiprocessing"], [n * n for n in range(10)])
        self.assertEqual(used["sha"], hashlib.sha256(b"ramet").hexdigest())
        self.assertEqual(len(used["late"]), 4)
        for late in used["late"]:
            self.assertTrue(-0.001 <= late < LATE, used["late"])

    def test_each_is_used(self):
        self.cluster.deploy(APP, "--name", "use", "--handler", "handler")
        calls, summary = self.cluster.burst("use", 16)
        self.assertEqual((summary["ok"], summary["nodes"]), (16, 2))
        self.assertGreater(summary["remote-fork"], 0)
        self.assertGreater(summary["local-fork"], 0)
        for call in calls:
            self.check(call["output"])

    def test_random_numbers_differ(self):
        self.cluster.deploy(APP, "--name", "numbers", "--handler", "numbers")
        calls, summary = self.cluster.burst("numbers", 64)
        self.assertEqual((summary["ok"], summary["nodes"]), (64, 2))
        self.assertEqual(len({(call["node"], call["pid"]) for call in calls}), 64)
        for kind in calls[0]["output"]:
            drawn = [call["output"][kind] for call in calls]
            self.assertEqual(len(set(drawn)), 64, kind)


if __name__ == "__main__":
    cluster.main("root", "netns", "pandas", "PIL", "ip")
