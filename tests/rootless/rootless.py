"""Clusters of somebody who is not root: an ordinary user, a batch job, the root of a container. Each is a list of commands before
`ramet`, and a throwaway user for whom nothing on the machine is changed."""
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import support  # noqa: E402  (also makes the next one importable)

import cluster  # noqa: E402

UID = 12345
USER = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
# what the root of a container has not: any capability
CONTAINER = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
HERE = os.path.dirname(os.path.abspath(__file__))
NO_USERNS = ["/usr/bin/python3", "-B", os.path.join(HERE, "without_userns.py")]


def free_ports(count, tries=100):
    """The first of so many ports of the loopback interface that nobody has."""
    start = 20000 + os.getpid() % 10000
    for first in range(start, start + tries * count, count):
        taken = []
        try:
            for port in range(first, first + count):
                taken.append(socket.create_server(("127.0.0.1", port)))
            return first
        except OSError:
            pass
        finally:
            for held in taken:
                held.close()
    raise AssertionError("no free ports")


class Cluster(cluster.Cluster):
    """prefix: how its commands are run; uid: who that is. Below /var/tmp: /tmp is each sandbox's own."""

    def __init__(self, prefix, uid=UID, nodes=2, extra=""):
        super().__init__(nodes, extra=extra, below="/var/tmp")
        self.prefix = [*prefix]
        self.uid = uid
        os.chown(self.scratch.path, uid, uid)

    def __enter__(self):
        self.scratch.write("c.up", "")
        try:
            self.up = self.run("up", "--rootless", "--nodes", self.nodes, "--port", free_ports(2 * self.nodes), "--json").json()
            self.pids = {row["node"]: row["pid"] for row in self.up}
        except BaseException:
            self.scratch.close()
            raise
        return self

    def client_of(self, node):
        return cluster.Cli(dict(self.env, RAMET_SOCKET=str(self.directory / f"node{node}" / "client.sock")), prefix=self.prefix)

    def leased_calls(self, function, count, node):
        """So many calls of the client library's through a lease."""
        env = dict(self.env, RAMET_SOCKET=str(self.directory / f"node{node}" / "client.sock"), PYTHONPATH=support.PACKAGE,
                   LD_PRELOAD=support.PRELOAD, ASAN_OPTIONS="detect_leaks=0")
        done = subprocess.run([*self.prefix, "/usr/bin/python3", "-B", os.path.join(HERE, "lease_client.py"), function, str(count)],
                              env=env, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise AssertionError(done.stderr)
        return int(done.stdout)
