"""Chaos over three nodes in network namespaces: see chaos.py."""
import os
import subprocess

import chaos
import cluster


class Namespaces(chaos.Chaos):
    def begin(self):
        self.cluster = self.use(cluster.Cluster(3))
        self.nodes = (1, 2, 3)
        self.netns = {row["node"]: os.path.basename(row["netns"]) for row in self.cluster.up}
        self.lossy = False

    def client_of(self, node):
        return self.cluster.client_of(node)

    def set_wire(self, wire):
        """By nftables, since not every kernel has netem: what a node gets is lost."""
        if self.lossy:
            self.each("nft", "delete", "table", "inet", "chaos")
        self.lossy = wire is not None
        if wire:
            percent = wire.removeprefix("loss ").removesuffix("%")
            self.each("nft", "-f", "-", rules="table inet chaos {\n chain input {\n  type filter hook input priority 0;\n"
                                              f"  iifname eth0 numgen random mod 100 < {percent} drop\n }}\n}}\n")

    def each(self, *command, rules=None):
        for netns in self.netns.values():
            subprocess.run(["ip", "netns", "exec", netns, *command], input=rules, text=True, check=True)

    def end_daemon(self, node, how):
        os.kill(self.cluster.pids[node], how)
        cluster.eventually(f"node {node} has ended", lambda: not cluster.alive(self.cluster.pids[node]))

    def start_daemon(self, node):
        self.cluster.start_again(node)


if __name__ == "__main__":
    chaos.main("root", "netns", "ip", "nft", "nsenter", forks=24)
