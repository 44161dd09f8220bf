"""Without root: as an ordinary user with and without user namespaces, and as the root of a container that has no capability.
Native code and Python with numpy are called on both nodes, through sockets and leases, by local and remote forks; limits hold as
far as they can; what cannot be had is told; nothing is left."""
import rootless
import support

import cluster
from cluster import FAILED, NATIVE

NUMPY = """
import numpy

table = numpy.arange(1 << 20, dtype=float)

def handler(event, context):
    return float(table[:event * 1000].sum())
"""
LOOK = """
import os

def handler(event, context):
    status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
    return {
        "uid": os.getuid(), "caps": status["CapEff"], "no_new_privs": status["NoNewPrivs"], "seccomp": status["Seccomp"],
        "processes": sum(name.isdigit() for name in os.listdir("/proc")),
        "hidden": not os.path.exists(event), "writable": os.access("/usr", os.W_OK)}
"""
BAD = """
import os

def handler(event, context):
    if event == "exit":
        os._exit(3)
    if event == "output":
        return "x" * 10000
    while event == "loop":
        pass
    return event
"""


class Rootless(cluster.Case):
    prefix = rootless.USER
    uid = rootless.UID
    sandbox = True

    def setUp(self):
        self.cluster = self.use(rootless.Cluster(self.prefix, self.uid))

    def checks(self, node):
        return {row["name"]: row for row in self.cluster.run("doctor", "--json").json() if row["node"] == node}

    def forks(self, name, check, *data):
        """Called on both nodes, where it was deployed first, then in several instances at once."""
        self.assertEqual(self.cluster.invoke(name, *data, node=1)["start"], "warm")
        call = self.cluster.invoke(name, *data, node=2)
        self.assertEqual((call["start"], call["source_node"]), ("remote-fork", 1))
        check(call["output"])
        for node in (1, 2):
            calls, summary = self.cluster.burst(name, 6, *data, "--node", node)
            self.assertEqual((summary["ok"], summary["cold"]), (6, 0))
            self.assertIn("local-fork", {call["start"] for call in calls})
            for call in calls:
                check(call["output"])

    def test_native(self):
        self.cluster.deploy(NATIVE, "--handler", "square", "--name", "square", "--node", 1)
        self.forks("square", lambda output: self.assertEqual(output["page"], 1), 7)
        for node in (1, 2):
            self.assertEqual(self.cluster.leased_calls("square", 100, node), 100)
        self.cluster.deploy(NATIVE, "--handler", "crash", "--name", "crash")
        self.assertEqual(self.cluster.invoke("crash", None, code=FAILED)["error"]["code"], "ECRASH")

    def test_python(self):
        self.cluster.deploy(self.cluster.scratch.write("sums.py", NUMPY), "--node", 1)
        self.forks("sums", lambda output: self.assertEqual(output, 3000 * 2999 / 2), 3)

    def test_who_they_are(self):
        self.cluster.deploy(self.cluster.scratch.write("look.py", LOOK), "--node", 1)
        for node in (1, 2):
            found = self.cluster.invoke("look", str(self.cluster.directory / "node1" / "config.yaml"), node=node)["output"]
            self.assertEqual((found["uid"], found["no_new_privs"], found["seccomp"]), (self.uid, "1", "2"))
            self.assertEqual(int(found["caps"], 16), 0)
            self.assertFalse(found["writable"] and self.sandbox)
            self.assertEqual(found["hidden"], self.sandbox)
            if self.sandbox:
                self.assertEqual(found["processes"], 2)  # itself, and the init of its namespace

    def test_harm(self):
        self.cluster.scratch.write("bad/bad.py", BAD)
        yaml = self.cluster.scratch.write("bad/ramet.yaml", "handler: bad.py:handler\nlimits: {output: 1000, mem: 64M}\n")
        self.cluster.deploy(yaml.parent)
        for node in (1, 2):
            for event, code in (("exit", "ECRASH"), ("output", "ELIMIT")):
                self.assertEqual(self.cluster.invoke("bad", event, node=node, code=FAILED)["error"]["code"], code)
            call = self.cluster.invoke("bad", "loop", "--deadline", 500, node=node, code=cluster.DEADLINE)
            self.assertEqual(call["error"]["code"], "EDEADLINE")
            self.assertEqual(self.cluster.invoke("bad", "well", node=node)["output"], "well")

    def test_what_is_missing_is_told(self):
        for node in (1, 2):
            checks = self.checks(node)
            self.assertEqual(checks["pager"]["state"], "missing")
            self.assertIn("remote forks start after all pages have come", checks["pager"]["cost"])
            self.assertEqual(checks["sandbox"]["state"], "ok" if self.sandbox else "missing")
            for name in ("pager", "limits", "sandbox"):
                row = checks[name]
                self.assertTrue(row["state"] == "ok" or (row["remedy"] and row["cost"]), row)
        machine = self.checks(0)
        self.assertNotEqual(machine["pager"]["state"], "ok")
        self.assertEqual(machine["sandbox"]["state"], "warn" if self.sandbox else "missing")


class WithoutNamespaces(Rootless):
    prefix = rootless.NO_USERNS + rootless.USER
    sandbox = False


class Container(Rootless):
    prefix = rootless.NO_USERNS + rootless.CONTAINER
    uid = 0
    sandbox = False


if __name__ == "__main__":
    support.main("setpriv", "numpy")
