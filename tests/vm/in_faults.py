"""In guest 1 of two: forks over a wire that loses, delays and reorders packets. None of that is the death of a node: every
call is answered rightly."""
import guest_cluster
from guest_cluster import cluster, netem

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


if __name__ == "__main__":
    cluster.main("root", "tc")
