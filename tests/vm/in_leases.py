"""In a guest: two daemons beside each other, whose data goes by RDMA, and the suites of calls through leases on the other
node (tests/calls) with them."""
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "netns"))
import cluster  # noqa: E402

SUITES = ("leases_far", "leases_end_far", "leases_reset_far", "leases_fresh_far")
ADDRESS = os.environ["RAMET_VM_ADDRESSES"].split()[0]


class Beside(cluster.ByHand):
    patience = 90

    def __init__(self):
        self.make([f"{ADDRESS}:{port}" for port in (7870, 7880)],
                  cluster.Scratch(below=HERE.parent.parent / "build/vm"), directory=pathlib.Path("/run/ramet"))


class Leases(cluster.Case):
    def test_suites(self):
        daemons = self.use(Beside())
        self.assertEqual({row["transport"] for row in daemons.nodes[1].list("nodes")}, {"tcp+verbs"})
        for suite in SUITES:
            with self.subTest(suite):
                ran = subprocess.run([cluster.BIN / f"test_{suite}"], env=dict(
                    os.environ, RAMET_TEST_PATIENCE="4", RAMET_CALLS_SOCKET=daemons.nodes[1].env["RAMET_SOCKET"]))
                self.assertEqual(ran.returncode, 0)
        log = daemons.logs[1].read_text()
        self.assertIn("data.transport node=2 transport=verbs use=leases", log)
        self.assertNotIn("data.no_rdma", log)


if __name__ == "__main__":
    cluster.main("root")
