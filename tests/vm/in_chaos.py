"""In guest 1 of two: chaos, as tests/netns/chaos.py has it, with what netem can do to packets; pages go by RDMA where they can.
A guest is slow: what so many calls take undisturbed is measured first, and comes on top of the time limit, and so does
the time in which daemons stood still with their guests."""
import signal
import subprocess
import time

import guest_cluster
from guest_cluster import ON, netem
import chaos

WIRES = (*chaos.WIRES, "delay 20ms 5ms", "delay 5ms reorder 25% 50%")


class Guests(chaos.Chaos):
    wires = WIRES
    at_once = 20

    def begin(self):
        self.cluster = self.use(guest_cluster.Guests())
        self.addCleanup(netem)
        self.nodes = tuple(self.cluster.nodes)
        first = self.client_of(1)
        first.deploy(chaos.NATIVE, "--handler", "scatter", "--name", "calm", "--node", 1)
        begin = time.monotonic()
        for call in self.start_calls(first, "calm", [2] * self.at_once):
            call.communicate()
        self.undisturbed = time.monotonic() - begin
        print(f"{self.at_once} calls take {self.undisturbed:.2f} s undisturbed", flush=True)

    def client_of(self, node):
        return self.cluster.nodes[node]

    def slack(self):
        return self.undisturbed + self.cluster.stood_still()

    def fetched(self, name, node):
        """A read by RDMA begins again where a packet was lost or overtaken, a round trip or a timeout later."""
        return sum(row["cached_bytes"] for row in self.client_of(node).list("seeds", node=node, app=name))

    def set_wire(self, wire):
        netem(*wire.split() if wire else ())

    def end_daemon(self, node, how):
        if how == signal.SIGKILL and node > 1:
            subprocess.run([ON, str(node), "sh", "-c", "kill -KILL $(pidof rametd)"], check=True)
        else:
            self.cluster.daemons[node].send_signal(how)
        self.cluster.daemons[node].wait(60)

    def start_daemon(self, node):
        self.cluster.start(node)


if __name__ == "__main__":
    chaos.main("root", "tc", forks=500)
