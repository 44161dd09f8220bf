"""Secrets: they reach the functions that name them, in instances that live already too, and nobody else."""
import os
import secrets
import shutil
import subprocess
import threading
import time

import support
from support import cluster

import ramet

HANDLER = """import hashlib, os
def handler(event, context):
    value = context.secrets[event or "KEY"]
    kind = type(value).__name__
    value = value if isinstance(value, bytes) else value.encode()
    return [hashlib.sha256(value).hexdigest(), kind, os.getpid(), repr(context.secrets)]
"""


def digest(value):
    import hashlib

    return hashlib.sha256(value).hexdigest()


def data_of(path):
    """What a memfd has, part by part: it may be sparse."""
    if not os.readlink(path).startswith("/memfd:"):
        return
    with open(path, "rb") as file:
        at = 0
        while True:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # there is no more
                return
            at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            yield os.pread(file.fileno(), at - begin, begin)


class Secrets(support.Case):
    def setUp(self):
        self.client = ramet.Client()
        self.addCleanup(self.client.close)

    def set(self, name, value, *options, cli=None):
        cli = cli or self.cluster
        ran = subprocess.run([*cli.prefix, cluster.RAMET, "secret", "set", name, *options], env=cli.env, input=value,
                             capture_output=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)

    def keyed(self, names, cli=None, **more):
        path = self.cluster.scratch.path / self._testMethodName
        path.mkdir(exist_ok=True)
        (path / "app.py").write_text(HANDLER)
        config = "".join(f"{key}: {value}\n" for key, value in more.items())
        (path / "ramet.yaml").write_text(f"handler: app.py:handler\nsecrets: [{', '.join(names)}]\n{config}")
        (cli or self.cluster).deploy(path)
        return self._testMethodName

    def value(self, name, key=None, node=None, cli=None):
        return (cli or self.cluster).invoke(name, key, node=node)["output"][0]

    def test_missing_is_refused_by_name_and_set_reaches_all_nodes(self):
        name = self.keyed(["DB"])
        for node in (1, 2):
            error = self.cluster.invoke(name, "DB", node=node, code=cluster.REFUSED)["error"]
            self.assertIn(f"secret DB of app {name} is not set", error["message"])
            self.assertEqual(error["kind"], "refused")
        self.set("DB", b"one\n")
        for node in (1, 2, 1, 2):
            self.assertEqual(self.value(name, "DB", node), digest(b"one"))  # the newline is the shell's
        error = self.cluster.invoke(name, "OTHER", code=cluster.FAILED)["error"]
        self.assertIn("secret OTHER is not named in secrets:", error["message"])
        self.cluster.run("secret", "remove", "DB")
        for node in (1, 2):
            self.cluster.invoke(name, "DB", node=node, code=cluster.REFUSED)
        self.cluster.run("secret", "remove", "DB", code=cluster.REFUSED)

    def test_apps_tenants_and_bytes(self):
        other = cluster.Cli(self.cluster.env, uid=4001)
        self.set("KEY", b"of root")
        self.set("KEY", b"\xff\x00raw\n", "--app", self._testMethodName, "--raw")
        self.set("KEY", b"of 4001", cli=other)
        name = self.keyed(["KEY"])
        self.assertEqual(self.cluster.invoke(name, node=2)["output"][:2], [digest(b"\xff\x00raw\n"), "bytes"])
        self.cluster.run("secret", "remove", "KEY", "--app", name)
        self.assertEqual(self.cluster.invoke(name, node=2)["output"][:2], [digest(b"of root"), "str"])
        self.assertEqual(self.cluster.invoke(name)["output"][3], "<secrets: KEY>")
        rows = self.cluster.run("secret", "list", "--json").json()
        self.assertEqual({(row["name"], row["app"], row["uid"], row["bytes"]) for row in rows if row["name"] == "KEY"},
                         {("KEY", None, 0, 7), ("KEY", None, 4001, 7)})
        rows = other.run("secret", "list", "--json").json()
        self.assertEqual([(row["name"], row["uid"]) for row in rows], [("KEY", 4001)])
        self.assertNotIn("of root", self.cluster.run("secret", "list").out)
        file = self.cluster.scratch.write("value", "from a file\n")
        self.cluster.run("secret", "set", "KEY", f"@{file}")
        self.assertEqual(self.value(name), digest(b"from a file"))
        for wrong in (["set"], ["set", "KEY", "on the command line"], ["get", "KEY"], ["list", "KEY"]):
            self.cluster.run("secret", *wrong, code=cluster.USAGE)

    def check_rotation(self, **more):
        """Calls that begin after `set` has ended see the new value, also those by shared memory."""
        self.set("TURN", b"0")
        name = self.keyed(["TURN"], **more)
        known = {digest(str(turn).encode()): turn for turn in range(30)}
        for _ in range(5):  # it is leased from the second on
            self.assertEqual(known[self.client.call(name, "TURN")[0]], 0)
        latest, seen, failures, pids = 0, 0, [], set()
        done = threading.Event()

        def load():
            nonlocal seen
            with ramet.Client() as client:
                while not done.is_set():
                    least = latest
                    value, _, pid, _ = client.call(name, "TURN")
                    pids.add(pid)
                    seen += 1
                    if known[value] < least:
                        failures.append((least, known[value]))

        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        for turn in range(1, 12):
            self.set("TURN", str(turn).encode())
            latest = turn
            enough = seen + 20
            support.eventually("calls go on", lambda: seen > enough or failures)
        done.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        return pids

    def test_rotation_reaches_living_instances(self):
        self.assertLess(len(self.check_rotation()), 8)  # they were not made anew

    def test_rotation_with_a_clone_for_each_call(self):
        self.check_rotation(fresh="fresh")

    def test_nowhere_to_be_found(self):
        value = secrets.token_hex(24).encode()
        self.set("HIDDEN", value)
        name = self.keyed(["HIDDEN"])
        for node in (1, 2):
            self.assertEqual(self.value(name, "HIDDEN", node), digest(value))
        images, looked = 0, set()
        for daemon in self.cluster.pids.values():
            for pid in [daemon, *cluster.descendants([daemon])]:
                for file in ("cmdline", "environ"):
                    try:
                        with open(f"/proc/{pid}/{file}", "rb") as text:
                            self.assertNotIn(value, text.read(), f"{file} of {cluster.name_of(pid)}")
                        looked.add(pid)
                    except (FileNotFoundError, ProcessLookupError):  # ended meanwhile, as sandboxes that were used do
                        continue
            for fd in os.listdir(f"/proc/{daemon}/fd"):
                try:
                    parts = list(data_of(f"/proc/{daemon}/fd/{fd}"))
                except FileNotFoundError:  # closed meanwhile
                    continue
                images += len(parts) > 0
                for part in parts:
                    self.assertNotIn(value, part, "a seed")
        self.assertGreaterEqual(images, 2)
        served = {row["pid"] for row in self.cluster.list("ps", function=name)}
        self.assertGreaterEqual(len(served), 2)
        self.assertLessEqual(served | set(self.cluster.pids.values()), looked)
        for top, _, files in os.walk(self.cluster.directory):
            for file in files:
                path = os.path.join(top, file)
                if os.path.isfile(path):
                    with open(path, "rb") as text:
                        self.assertNotIn(value, text.read(), path)

    def test_native_functions(self):
        path = self.cluster.scratch.path / "native"
        path.mkdir()
        shutil.copy(cluster.NATIVE, path / "libnetns.so")
        (path / "ramet.yaml").write_text("name: native\nhandler: libnetns.so:secret\nsecrets: [N1, N2]\n")
        self.cluster.deploy(path)
        self.set("N1", b"first")
        self.set("N2", b"")
        self.assertEqual(self.cluster.invoke("native", node=2)["output"], ["first", 5, "", 0, None])
        self.set("N2", b"x")
        self.assertEqual(self.cluster.invoke("native", node=2)["output"], ["first", 5, "x", 1, None])


class Later(support.Case):
    def test_a_daemon_that_is_started_anew_learns_them(self):
        ran = subprocess.run([cluster.RAMET, "secret", "set", "LATE"], env=self.cluster.env, input=b"v", capture_output=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        os.kill(self.cluster.pids[2], 9)
        support.eventually("it is dead", lambda: not cluster.alive(self.cluster.pids[2]))
        self.cluster.start_again(2)
        second = self.cluster.client_of(2)

        def known():
            ran = second.run("secret", "list", "--json", code=None)
            return ran.code == cluster.OK and [row["name"] for row in ran.json()] == ["LATE"]

        support.eventually("node 2 knows it", known)


if __name__ == "__main__":
    support.main()
