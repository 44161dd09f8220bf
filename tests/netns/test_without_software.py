"""A node that has nothing but Ramet itself runs Python with numpy, by forking the process that another node initialised: what
the application opens only after the fork comes from there, too."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import cluster
from cluster import BIN, SOURCE

APP = '''
import os
import numpy

def strptime():
    import datetime
    return str(datetime.datetime.strptime("2024-02-29", "%Y-%m-%d"))

def stdlib():
    import wave, colorsys, xml.etree.ElementTree
    return [colorsys.rgb_to_hls(0.2, 0.4, 0.4), xml.etree.ElementTree.fromstring("<a b='1'/>").get("b"), wave.__name__]

def extensions():
    import lzma, sqlite3, bz2
    rows = sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()[0]
    return [lzma.decompress(lzma.compress(b"abc")).decode(), rows, bz2.decompress(bz2.compress(b"d")).decode()]

def certificates():
    import ssl
    context = ssl.create_default_context()
    bundle = ssl.create_default_context(cafile="/etc/ssl/certs/ca-certificates.crt")
    capath = ssl.get_default_verify_paths().capath
    return [context.verify_mode.name, len(bundle.get_ca_certs()), sorted(os.listdir(capath))]

def zone():
    import zoneinfo, datetime
    when = datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    return str(when.utcoffset())

def data():
    import hashlib, importlib.resources
    text = (importlib.resources.files("numpy") / "core/include/numpy/arrayobject.h").read_bytes()
    return hashlib.sha256(text).hexdigest()

def listing():
    here = os.path.dirname(numpy.__file__)
    return [sorted(os.listdir(here)), os.stat(numpy.__file__).st_size, os.path.realpath("/usr/bin/python3")]

def lazy_numpy():
    import numpy.testing
    return numpy.testing.__name__

def product():
    return float((numpy.arange(10000.0).reshape(100, 100) @ numpy.eye(100)).sum())

PARTS = (strptime, stdlib, extensions, certificates, zone, data, listing, lazy_numpy, product)

def handler(event, context):
    return {part.__name__: part() for part in PARTS if not event or part.__name__ in event}
'''


# what everybody may read is shared between tenants, a directory of mode 0700 is not
PRIVATE = '''
import os, sys
HOME = {home!r}
sys.path.append(HOME)

def handler(event, context):
    found = []
    for name in event:
        try:
            found.append(open(os.path.join(HOME, name)).read() if "/" not in name else os.listdir(name))
        except OSError as error:
            found.append(type(error).__name__)
    import module_of_mine
    return [found, module_of_mine.NAME]
'''

TENANTS = (4001, 4002)


def file_systems():
    """The FUSE file systems that any process sees, by device number."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
        except OSError:
            continue
        found |= {line.split()[2] for line in mounts.splitlines() if re.search(r" - (fuse|overlay) ramet ", line)}
    return found


class Tenant(cluster.Cli):
    """The command line as another user runs it."""

    def __init__(self, env, uid):
        super().__init__(env)
        self.uid = uid

    def run(self, *args, code=cluster.OK, timeout=120):
        args = [str(a) for a in args]
        done = subprocess.run([cluster.RAMET, *args], env=self.env, capture_output=True, text=True, timeout=timeout,
                              user=self.uid, group=self.uid, extra_groups=[])
        ran = cluster.Ran(args, done)
        if code is not None and done.returncode != code:
            raise AssertionError(f"exit code {code} expected: {ran}")
        return ran


class Bare(cluster.Case):
    """Node 2 has no software."""

    def start(self, environment="", there="", rate=None, **options):
        """A cluster of two; environment: variables of node 1's daemon, and there of node 2's; rate: of the link to node 2."""
        self.fuse = file_systems()
        self.cluster = cluster.Cluster(2, **options)
        wrapper = self.cluster.scratch.write("rametd", f'''#!/bin/sh
if grep -q "^node: 2$" "$2"; then
	{there} exec /usr/bin/python3 -B "{SOURCE}/tests/netns/bare_node.py" "{BIN.parent}" "{BIN}/rametd" "$@"
fi
{environment} exec "{BIN}/rametd" "$@"
''')
        wrapper.chmod(0o755)
        self.cluster.env["RAMET_RAMETD"] = str(wrapper)
        self.addCleanup(self.check_nothing_is_left)
        self.use(self.cluster)
        self.app = self.cluster.scratch.write("app.py", APP)
        if rate:
            self.slow(1, rate)

    def slow(self, node, rate):
        """What leaves a node goes no faster."""
        enter = ["nsenter", "-t", str(self.cluster.pids[node]), "-n"]
        links = json.loads(subprocess.run([*enter, "ip", "-json", "link"], capture_output=True, check=True).stdout)
        device = next(link["ifname"] for link in links if link["ifname"] != "lo")
        subprocess.run([*enter, "tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", rate,
                        "burst", "64kb", "latency", "400ms"], check=True)

    def log(self, node):
        return (self.cluster.directory / f"node{node}" / "log").read_text()

    def has(self, node, path):
        """Whether the machine that a node's daemon runs on has a file."""
        return os.path.exists(f"/proc/{self.cluster.pids[node]}/root{path}")

    def stored(self, node):
        """{whose: names} of the content store."""
        files = self.cluster.directory / f"node{node}" / "store" / "files"
        return {scope.name: os.listdir(scope) for scope in files.iterdir() if scope.is_dir()}

    def check_nothing_is_left(self):
        cluster.eventually("no file system of ours is left", lambda: file_systems() <= self.fuse)

    def test_all_that_an_application_opens_late(self):
        self.start()
        self.cluster.deploy(self.app, "--name", "late")
        for path in ("/usr/bin/python3", "/usr/lib/python3", "/usr/lib/python3.11", "/etc/ssl", "/usr/share/zoneinfo"):
            self.assertTrue(self.has(1, path), path)
            self.assertFalse(self.has(2, path), path)
        expected = self.cluster.invoke("late", node=1)
        call = self.cluster.invoke("late", node=2)
        self.assertEqual((call["start"], call["node"]), ("remote-fork", 2))
        self.assertEqual(call["output"], expected["output"])
        self.assertGreater(call["output"]["certificates"][1], 100)
        again = self.cluster.invoke("late", node=2)
        self.assertEqual((again["start"], again["output"]), ("warm", expected["output"]))
        calls, summary = self.cluster.burst("late", 16)
        self.assertEqual((summary["ok"], summary["cold"]), (16, 0))
        self.assertTrue(all(call["output"] == expected["output"] for call in calls))
        self.assertFalse(self.has(2, "/usr/lib/python3"))
        cluster.eventually("what nobody has opened comes, too", lambda: sum(map(len, self.stored(2).values())) > 1000, 120)
        self.assertNotIn("view.open", self.log(2))

    def test_an_open_that_comes_early_waits_for_its_file_only(self):
        self.start(environment="RAMET_FAULT=manifest.late:0:2", rate="200mbit")
        self.cluster.deploy(self.app, "--name", "late")
        expected = self.cluster.invoke("late", node=1)
        call = self.cluster.invoke("late", node=2)
        self.assertEqual(call["output"], expected["output"])
        self.assertEqual(self.log(2).count("manifest.fetch"), 2)  # the third time it came
        self.assertNotIn("view.complete", self.log(2))  # hundreds of megabytes are still to come

    def test_wrong_bytes_are_not_believed(self):
        self.start(environment="RAMET_FAULT=store.wrong_byte")
        self.cluster.deploy(self.app, "--name", "late")
        call = self.cluster.invoke("late", node=2, code=cluster.REFUSED)
        self.assertIn("SHA-256", call["error"]["message"])
        self.assertEqual({name for names in self.stored(2).values() for name in names}, set())

    def test_without_fuse_all_of_it_is_fetched_first(self):
        self.start(there="RAMET_FAULT=view.fuse")
        app = self.cluster.scratch.write("few.py", """
import sys
sys.path[:] = [path for path in sys.path if "dist-packages" not in path]  # fewer files
def handler(event, context):
    import wave
    return [open("/etc/mime.types").readline(), len(sys.path), wave.__name__]
""")
        self.cluster.deploy(app, "--name", "few")
        expected = self.cluster.invoke("few", node=1)["output"]
        call = self.cluster.invoke("few", node=2)
        self.assertEqual((call["start"], call["output"]), ("remote-fork", expected))
        self.assertFalse(self.has(2, "/etc/mime.types"))
        self.assertIn("view.complete", self.log(2))
        trees = self.cluster.directory / "node2" / "store" / "trees"
        self.assertEqual(len(list(trees.iterdir())), 1)
        doctor = [row for row in self.cluster.run("doctor", "--json", code=None).json() if row["name"] == "software"]
        self.assertEqual({row["node"]: row["state"] for row in doctor}, {1: "ok", 2: "warn"})

    def test_the_origin_dies_in_the_middle(self):
        big = max(pathlib.Path("/usr/lib/python3.11").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
        self.start(rate="200mbit")
        app = self.cluster.scratch.write("big.py", f"""
import numpy
def handler(event, context):
    return len(open({str(big)!r}, "rb").read(1)) if event else 0
""")
        self.cluster.deploy(app, "--name", "big")
        self.assertEqual(self.cluster.invoke("big", node=2)["output"], 0)
        cluster.eventually("all pages are here", lambda: [
            row for row in self.cluster.list("seeds", node=2) if row["cached_bytes"] == row["image_bytes"]], 60)
        self.assertNotIn("view.complete", self.log(2))
        os.kill(self.cluster.pids[1], signal.SIGKILL)
        begin = time.monotonic()
        alone = cluster.Cli(dict(self.cluster.env, RAMET_SOCKET=str(self.cluster.directory / "node2" / "client.sock")))
        call = alone.invoke("big", True, node=2, code=cluster.FAILED)
        self.assertIn("Input/output error", call["error"]["message"])
        self.assertLess(time.monotonic() - begin, 15)
        self.assertRegex(self.log(2), f'view.open.*file="{re.escape(str(big))}"')
        self.assertEqual(alone.invoke("big", node=2)["output"], 0)

    def test_tenants_do_not_see_each_others_files(self):
        self.start()
        for uid in TENANTS:
            home = self.cluster.scratch.path / str(uid)
            private = pathlib.Path(tempfile.mkdtemp(prefix="ramet-tenant-", dir="/var/tmp"))
            self.addCleanup(shutil.rmtree, private)
            (private / "module_of_mine.py").write_text(f"NAME = 'of {uid}'\n")
            (private / "secret").write_text(f"secret of {uid}")
            for path in (private, *private.iterdir()):
                os.chown(path, uid, uid)
            home.mkdir()
            (home / "app.py").write_text(PRIVATE.format(home=str(private)))
            home.chmod(0o755)
            setattr(self, f"home{uid}", private)
            tenant = Tenant(self.cluster.env, uid)
            tenant.deploy(home / "app.py", "--name", f"of{uid}")
        first, second = TENANTS
        mine = Tenant(self.cluster.env, first).invoke(f"of{first}", ["secret"], node=2)
        self.assertEqual((mine["start"], mine["output"]), ("remote-fork", [[f"secret of {first}"], f"of {first}"]))
        theirs = os.path.join("..", getattr(self, f"home{first}").name, "secret")
        other = Tenant(self.cluster.env, second).invoke(
            f"of{second}", ["secret", theirs, "/ramet/files", str(self.cluster.directory / "node2/store/files")], node=2)
        found, name = other["output"]
        self.assertEqual(name, f"of {second}")
        self.assertEqual(found[0], f"secret of {second}")
        self.assertIn(found[1], ("FileNotFoundError", "PermissionError"))
        self.assertEqual(found[2], "PermissionError")
        self.assertIn(found[3], ("FileNotFoundError", "PermissionError"))
        digest = hashlib.sha256(f"secret of {first}".encode()).hexdigest()
        cluster.eventually("the secret is kept", lambda: digest in self.stored(2).get(str(first), []))
        self.assertEqual([scope for scope, names in self.stored(2).items() if digest in names], [str(first)])

    def test_nothing_is_left_of_a_daemon_that_was_killed(self):
        self.start()
        self.cluster.deploy(self.app, "--name", "late")
        self.cluster.invoke("late", ["product"], node=2)
        self.assertTrue(file_systems() - self.fuse)
        everything = cluster.descendants([self.cluster.pids[2]])
        self.assertIn("ramet-files", {cluster.name_of(pid) for pid in everything})
        os.kill(self.cluster.pids[2], signal.SIGKILL)
        cluster.eventually("all its processes have ended", lambda: not any(map(cluster.alive, everything)))


if __name__ == "__main__":
    cluster.main("root", "netns", "numpy", "ip", "tc", "nsenter")
