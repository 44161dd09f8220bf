"""In guest 1 of two: forks over a wire that loses, delays and reorders packets, and from a guest that loses power while its
pages are read. Every call is answered rightly, or the caller is told; none hangs."""
import subprocess

import guest_cluster
from guest_cluster import ON, cluster

PAGES = 1024
# each version has other bytes in its memory, and a call reads all of it
APP = """
K = {k}
DATA = b"".join((K * 1000 + page).to_bytes(4, "little") * 1024 for page in range({pages}))

def handler(event, context):
    return sum(int.from_bytes(DATA[at:at + 4], "little") for at in range(0, len(DATA), 4096))
"""


def expected(k):
    return sum(k * 1000 + page for page in range(PAGES))


def netem(*options):
    """What each guest does to the packets that it sends; nothing: no harm."""
    for place in ([], [ON, "2"]):
        subprocess.run([*place, "tc", "qdisc", "replace", "dev", "eth0", "root", "netem", *options], check=True)


class Faults(cluster.Case):
    def setUp(self):
        self.cluster = self.use(guest_cluster.Guests())
        self.addCleanup(netem)
        self.first, self.second = self.cluster.nodes[1], self.cluster.nodes[2]

    def deploy(self, k, cli):
        path = self.cluster.scratch.write(f"app{k}.py", APP.format(k=k, pages=PAGES))
        self.assertEqual(cli.deploy(path)["start"], "cold")

    def test_bad_wires(self):
        wires = [["loss", "1%"], ["loss", "5%"], ["delay", "20ms", "5ms"], ["delay", "5ms", "reorder", "25%", "50%"]]
        for k, wire in enumerate(wires, 1):
            with self.subTest(wire=wire):
                netem(*wire)
                self.deploy(k, self.first)
                call = self.first.invoke(f"app{k}", None, node=2)
                self.assertEqual((call["start"], call["output"]), ("remote-fork", expected(k)))
                netem()

    def test_power_cut_while_pages_flow(self):
        self.deploy(7, self.second)
        netem("delay", "40ms")
        call = self.first.start("invoke", "app7", "--node", 1, "--json")
        cluster.eventually("pages flow", lambda: self.first.list("seeds", node=1, app="app7", role="copy"), 60)
        subprocess.run([ON, "--kill", "2"], check=True)
        out, err = call.communicate(timeout=30)
        self.assertIn(call.returncode, (cluster.OK, cluster.LOST), out + err)
        if call.returncode == cluster.OK:
            self.assertIn(str(expected(7)), out)
        cluster.eventually("it is seen to be down", lambda: self.cluster.states(1).get(2) == "down")
        self.deploy(8, self.first)
        self.assertEqual(self.first.invoke("app8", None, node=1)["output"], expected(8))


if __name__ == "__main__":
    cluster.main("root", "tc")
