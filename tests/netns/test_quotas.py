"""What one tenant may have on a node (limits.tenant): instances, waiting calls, memory, processes, page cache. What exceeds it is
refused by name, and another tenant is unharmed. And that two tenants share no process, no namespace that matters, no memory that
either can write to, and no file."""
import os
import pathlib
import stat
import time

import cluster
from cluster import FAILED

ALICE, BOB = 64001, 64002
QUOTA = "limits: {tenant: {memory: 160M, pids: 60, cache: 100M, instances: 4, queue: 8}}\n"
APP = """
import os, time

def handler(event, context):
    kind, number = event["do"], event.get("n", 0)
    if kind == "nap":
        time.sleep(number)
    elif kind == "eat":
        return len(bytearray(b"x") * (number << 20))
    while kind == "bomb":
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)
    return number
"""
TABLE = "table = bytearray(b'y') * (%d << 20)\n\ndef handler(event, context):\n    return len(table)\n"
NAMESPACES = ("pid", "mnt", "net", "ipc", "uts")


class Quotas(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2, extra=QUOTA))
        env = dict(self.cluster.env, RAMET_SOCKET=self.cluster.up[0]["socket"])
        self.alice, self.bob = cluster.Cli(env, ALICE), cluster.Cli(env, BOB)
        self.app = self.cluster.scratch.write("app.py", APP)
        for who in (self.alice, self.bob):
            who.deploy(self.app, "--node", 1)

    def tearDown(self):
        for node in (1, 2):
            self.assertEqual(self.bob.invoke("app", {"do": "nap", "n": 0}, node=node)["output"], 0)

    def tenants(self, node=1):
        return cluster.only([row for row in self.alice.run("doctor", "--json").json()
                             if row["node"] == node and row["name"] == "tenants"])

    def error(self, call, code, words):
        self.assertEqual((call["error"]["code"], call["error"]["kind"]), (code, "limit"))
        self.assertRegex(call["error"]["message"], words)

    def groups(self):
        """control groups of tenants"""
        return [path for path in pathlib.Path("/sys/fs/cgroup").rglob("ramet/*/t6400[12]")]

    def test_nothing_is_left_of_what_was_counted(self):
        for node in (1, 2):
            self.alice.burst("app", 6, {"do": "nap", "n": 0}, "--node", node)
            self.assertRegex(self.tenants(node)["detail"], r"of [12] have all")
        self.assertTrue(self.groups())
        for who in (self.alice, self.bob):
            who.run("remove", "app")
        for node in (1, 2):
            cluster.eventually("no tenant has anything", lambda n=node: " 0 of 0 have all" in self.tenants(n)["detail"])
        cluster.eventually("no seed is left", lambda: not self.cluster.list("seeds"))
        cluster.eventually("no group is left", lambda: not self.groups())
        for who in (self.alice, self.bob):  # and all of it may be had again
            who.deploy(self.app, "--node", 1)
            self.assertEqual(who.burst("app", 4, {"do": "nap", "n": 0}, "--node", 1)[1]["ok"], 4)

    def test_an_instance_of_another_function_makes_room(self):
        other = self.cluster.scratch.write("other.py", "def handler(event, context):\n    return event\n")
        self.alice.deploy(other, "--node", 1)
        for n in range(3):
            self.assertEqual(self.alice.burst("app", 4, {"do": "nap", "n": 0.1}, "--node", 1)[1]["ok"], 4)
            self.assertEqual(self.alice.burst("other", 4, n, "--node", 1)[1]["ok"], 4)

    def test_instances_and_queue(self):
        self.assertEqual(self.tenants()["state"], "ok")
        napping = self.alice.start("burst", "app", "-n", 8, "--node", 1, "--json", "--data", '{"do": "nap", "n": 2}')
        self.addCleanup(napping.communicate)
        cluster.eventually("calls wait", lambda: self.tenants()["state"] == "warn", 10)
        self.assertRegex(self.tenants()["detail"], r"instances 4, queue 8; 1 of \d have all their instances, \d calls wait")
        busy = [row for row in self.alice.list("ps", node=1) if row["state"] != "host"]
        self.assertLessEqual(len(busy), 4)
        # another one gets instances at once, and as many
        begin = time.monotonic()
        self.assertEqual(self.bob.burst("app", 3, {"do": "nap", "n": 0}, "--node", 1)[1]["ok"], 3)
        self.assertIsNone(napping.poll(), f"{time.monotonic() - begin:.1f} s")
        out, err = napping.communicate()
        self.assertEqual(napping.returncode, 0, err + out)
        # what is more than may wait is refused, the others are served
        calls, summary = self.alice.burst("app", 30, {"do": "nap", "n": 0.2}, "--node", 1, code=FAILED)
        self.assertGreaterEqual(summary["ok"], 8)
        self.assertGreater(summary["failed"], 0)
        for call in calls:
            if call["error"]:
                self.error(call, "ELIMIT", rf"calls of user {ALICE} wait on node 1, .*limits\.tenant\.queue")

    def test_memory(self):
        for node in (1, 2):
            call = self.alice.invoke("app", {"do": "eat", "n": 400}, node=node, code=FAILED)
            self.error(call, "ELIMIT", r"limits\.tenant\.memory .*: 167772160 bytes")
            self.assertEqual(self.bob.invoke("app", {"do": "eat", "n": 60}, node=node)["output"], 60 << 20)
            self.assertEqual(self.alice.invoke("app", {"do": "eat", "n": 60}, node=node)["output"], 60 << 20)

    def test_what_begins_from_a_base(self):
        path = self.cluster.scratch.path / "grows.py"
        for number, start in ((1, "cold"), (2, "local-fork")):
            path.write_text(f"import json\nimport decimal\nNUMBER = {number}\n" + TABLE % 1)
            self.assertEqual(self.alice.deploy(path, "--node", 1)["start"], start)
        host = cluster.only([row for row in self.alice.list("ps", node=1) if row["start"] == "local-fork"])
        self.assertIn(f"/t{ALICE}/", pathlib.Path(f"/proc/{host['pid']}/cgroup").read_text(), host)
        path.write_text("import json\nimport decimal\n" + TABLE % 400)
        failed = self.alice.deploy(path, "--node", 1, code=FAILED)
        self.error(failed, "ELIMIT", r"limits\.tenant\.memory .*: 167772160 bytes")

    def test_processes(self):
        for node in (1, 2):
            call = self.alice.invoke("app", {"do": "bomb"}, "--deadline", 1500, node=node, code=FAILED)
            self.error(call, "ELIMIT", r"limits\.tenant\.pids")
            self.assertEqual(self.bob.burst("app", 3, {"do": "nap", "n": 0}, "--node", node)[1]["ok"], 3)

    def test_page_cache(self):
        tables = {name: self.cluster.scratch.write(f"{name}.py", f"# {name}\n" + TABLE % 50) for name in ("one", "two")}
        self.alice.deploy(tables["one"], "--node", 1)
        self.assertEqual(self.alice.invoke("one", node=2)["start"], "remote-fork")
        failed = self.alice.deploy(tables["two"], "--node", 1, code=FAILED)
        self.error(failed, "ELIMIT", rf"user {ALICE} has \d+ KiB of seeds on node 1, .*limits\.tenant\.cache")
        self.assertEqual(self.alice.invoke("one", node=1)["output"], 50 << 20)
        self.bob.deploy(tables["two"], "--node", 1)
        # on node 2 a copy that nobody uses makes room; a removed one does anywhere
        self.alice.run("remove", "one")
        cluster.eventually("its seeds are gone", lambda: not [row for row in self.alice.list("seeds") if row["app"] == "one"])
        cluster.eventually("its instances are gone", lambda: not [row for row in self.alice.list("ps") if row["function"] == "one"])
        self.alice.deploy(tables["two"], "--node", 1)
        self.assertEqual(self.alice.invoke("two", node=2)["output"], 50 << 20)


class Apart(cluster.Case):
    def writable(self, pid):
        """(device, inode) of what a process can write to: shared mappings, descriptors."""
        found = {}
        with open(f"/proc/{pid}/maps") as maps:
            for line in maps:
                fields = line.split(None, 5)
                if fields[1][1] == "w" and fields[1][3] == "s":
                    found[tuple(fields[3:5])] = line.strip()
        for fd in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{fd}"
            status = os.stat(path)
            with open(f"/proc/{pid}/fdinfo/{fd}") as info:
                flags = int(next(line for line in info if line.startswith("flags:")).split()[1], 8)
            if flags & os.O_ACCMODE == os.O_RDONLY or os.readlink(path).startswith("anon_inode:") or (
                    stat.S_ISCHR(status.st_mode) and os.readlink(path) == "/dev/null"):
                continue  # anonymous inodes have one number
            found[(status.st_dev, status.st_ino)] = os.readlink(path)
        return found

    def test_nothing_is_shared(self):
        self.cluster = self.use(cluster.Cluster(1))
        env = dict(self.cluster.env, RAMET_SOCKET=self.cluster.up[0]["socket"])
        app = self.cluster.scratch.write("app.py", APP)
        whose = {}
        for uid in (ALICE, BOB):
            who = cluster.Cli(env, uid)
            who.deploy(app)
            napping = who.start("burst", "app", "-n", 3, "--json", "--data", '{"do": "nap", "n": 60}')
            self.addCleanup(napping.communicate)
            self.addCleanup(napping.terminate)
            cluster.eventually("they run", lambda w=who: len(w.list("ps", state="busy")) == 3)
            whose[uid] = [row["pid"] for row in who.list("ps")]
        self.assertFalse(set(whose[ALICE]) & set(whose[BOB]))
        files = {}
        for uid, pids in whose.items():
            for pid in pids:
                self.assertEqual(os.stat(f"/proc/{pid}").st_uid, uid)
            files[uid] = {pid: self.writable(pid) for pid in pids}
        for mine, one in files[ALICE].items():
            for theirs, other in files[BOB].items():
                for kind in NAMESPACES:
                    self.assertNotEqual(os.readlink(f"/proc/{mine}/ns/{kind}"), os.readlink(f"/proc/{theirs}/ns/{kind}"), kind)
                self.assertEqual([(one[key], other[key]) for key in set(one) & set(other)], [])


if __name__ == "__main__":
    cluster.main("root", "netns", "setpriv", "ip")
