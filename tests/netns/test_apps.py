"""Apps as ramet.yaml describes them: what is done before the capture, and what instances see and may use."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import cluster
from cluster import FAILED, REFUSED, USAGE

SET_UP = '''
import sys
import only_there

calls = []
ready = 0

def prepare():
    global ready
    ready += 1

def handler(event, context):
    calls.append(event)
    return [ready, calls, only_there.NAME, "colorsys" in sys.modules]
'''

READS = '''
import os

def look(path):
    try:
        if os.path.isdir(path):
            return sorted(os.listdir(path))
        return open(path).read()
    except OSError as error:
        return type(error).__name__

def write(path):
    try:
        open(path, "w").close()
        return "written"
    except OSError as error:
        return type(error).__name__

def handler(event, context):
    return [write(event[1:]) if event.startswith("!") else look(event) for event in event]
'''


def directory(test, below, mode=0o755):
    """One that goes with the test; not below /tmp, of which instances have their own."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="ramet-apps-", dir=below))
    path.chmod(mode)
    test.addCleanup(shutil.rmtree, path, ignore_errors=True)
    return path


class Apps(cluster.Case):
    def start(self, nodes=3, hidden=None, **options):
        """A cluster; hidden: a directory of which its last node sees nothing."""
        self.cluster = cluster.Cluster(nodes, **options)
        if hidden:
            wrapper = self.cluster.scratch.write("rametd", f"""#!/bin/sh
if grep -q "^node: {nodes}$" "$2"; then
	exec unshare --mount --propagation private sh -c 'mount -t tmpfs none {hidden} && exec "$@"' sh {cluster.BIN}/rametd "$@"
fi
exec {cluster.BIN}/rametd "$@"
""")
            wrapper.chmod(0o755)
            self.cluster.env["RAMET_RAMETD"] = str(wrapper)
        self.use(self.cluster)

    def app(self, name, config, **files):
        """A directory with ramet.yaml and files, whose names have __ for / and end with _py and the like."""
        path = self.cluster.scratch.path / name
        path.mkdir()
        (path / "ramet.yaml").write_text(config)
        for file, text in files.items():
            target = path / file.replace("__", "/").replace("_py", ".py").replace("_txt", ".txt")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return path

    def error(self, path, *options, code=REFUSED):
        return self.cluster.deploy(path, *options, code=code)["error"]["message"]

    # --- before the capture ---

    def test_init_modules_path_and_samples(self):
        self.start()
        self.cluster.deploy(self.app(
            "ready", "handler: app.py:handler\ninit: app.py:prepare\nmodules: [colorsys]\npath: [lib/python]\n"
            "samples: samples.txt\n", app_py=SET_UP, lib__python__only_there_py="NAME = 'there'\n", samples_txt="1\n2\n"))
        for node in (1, 2, 3):
            output = self.cluster.invoke("ready", node, node=node)["output"]
            self.assertEqual(output, [1, [1, 2, node], "there", True])
        _, summary = self.cluster.burst("ready", 6, 7)
        self.assertEqual((summary["ok"], summary["cold"]), (6, 0))

    def test_what_fails_before_the_capture_is_told(self):
        self.start(1)
        bad = "def fails():\n    raise LookupError('no table')\ndef handler(event, context):\n    return 1\n"
        for name, config, says in (
                ("init", "init: app.py:fails\n", "init: app.py:fails failed: no table"),
                ("modules", "modules: [no_such_module]\n", "modules: importing no_such_module failed")):
            message = self.error(self.app(name, "handler: app.py:handler\n" + config, app_py=bad), code=FAILED)
            self.assertIn(says, message)
        message = self.error(self.app("absent", "handler: app.py:handler\ninit: gone.py:f\n", app_py=bad), code=None)
        self.assertIn("init gone.py:f: no file gone.py is deployed", message)
        ran = self.cluster.run("deploy", self.app("bind", "handler: app.py:handler\nbind: shared\n", app_py=bad), code=USAGE)
        self.assertIn("bind", ran.err)
        self.assertEqual(self.cluster.list("functions"), [])

    # --- several functions ---

    def versions(self, *names):
        return {row["version"] for row in self.cluster.list("functions") if row["function"] in names}

    def test_an_app_that_lists_its_functions(self):
        self.start(2)
        text = "import os\nboot = os.urandom(8).hex()\ndef {}(event, context):\n    return [{!r}, boot, context.function]\n"
        app = self.app("shop", "functions:\n- {name: price, handler: price.py:price}\n- {name: stock, handler: stock.py:stock}\n"
                       "init: price.py:price_init\n", price_py=text.format("price", 1) + "def price_init():\n    pass\n",
                       stock_py=text.format("stock", 2))
        made = self.cluster.deploy(app)
        self.assertEqual(made["function"], "price")
        for node in (1, 2):
            self.assertEqual(self.cluster.invoke("price", node=node)["output"][::2], [1, "price"])
            self.assertEqual(self.cluster.invoke("stock", node=node)["output"][::2], [2, "stock"])
        self.assertEqual(len({self.cluster.invoke("stock", node=node)["output"][1] for node in (1, 2)}), 1)  # one seed
        self.assertEqual(self.versions("price", "stock"), {made["version"]})
        self.assertEqual({row["app"] for row in self.cluster.list("functions")}, {"shop"})
        ran = self.cluster.run("deploy", app, "--name", "x", code=USAGE)
        self.assertIn("lists functions", ran.err)
        for config, says in (("name: a\nfunctions: [{name: b, handler: b.py:b}]\n", "functions: name is not"),
                             ("functions: [{name: b}]\n", "handler"), ("functions: [{name: a b, handler: b.py:b}]\n", "a b")):
            shutil.rmtree(self.cluster.scratch.path / "wrong", ignore_errors=True)
            ran = self.cluster.run("deploy", self.app("wrong", config, b_py="def b(e, c):\n    return 1\n"), code=USAGE)
            self.assertIn(says, ran.err)

    def test_a_function_is_deployed_into_an_app(self):
        self.start(2)
        scratch = self.cluster.scratch
        text = "def handler(event, context):\n    return [{}, context.function]\n"
        self.cluster.deploy(scratch.write("a.py", text.format(1)), "--app", "shop", "--mem", "256M")
        made = self.cluster.deploy(scratch.write("b.py", text.format(2)), "--app", "shop", "--node", 2)
        self.assertEqual(self.versions("a", "b"), {made["version"]})
        for node in (1, 2):
            self.assertEqual(self.cluster.invoke("a", node=node)["output"], [1, "a"])
            self.assertEqual(self.cluster.invoke("b", node=node)["output"], [2, "b"])
        # one is replaced, the other stays
        again = self.cluster.client_of(2).deploy(scratch.write("b.py", text.format(3)), "--app", "shop")
        self.assertNotEqual(again["version"], made["version"])
        self.assertEqual(self.versions("a", "b"), {again["version"]})
        self.assertEqual([self.cluster.invoke(name)["output"][0] for name in "ab"], [1, 3])
        other = scratch.path / "other"
        other.mkdir()
        (other / "a.py").write_text(text.format(4))
        for options, says in ((("--mem", "512M"), "limits.mem: app shop has"), (("--fresh", "fresh"), "fresh: app shop has"),
                              (("--python", "/usr/bin/python3.11"), None), (("--idempotent",), "idempotent"),
                              (("--name", "c"), "file a.py differs from that of app shop, whose function a uses it")):
            path = other / "a.py" if options[0] == "--name" else scratch.write("c.py", text.format(5))
            if says:
                self.assertIn(says, self.error(path, "--app", "shop", *options))
        self.assertEqual(self.versions("a", "b"), {again["version"]})
        # a function that is alone in its app may change everything
        self.cluster.deploy(scratch.path / "b.py", "--name", "alone", "--app", "own", "--mem", "256M")
        self.cluster.deploy(scratch.path / "b.py", "--name", "alone", "--app", "own", "--mem", "300M", "--fresh", "fresh")

    # --- limits ---

    def test_cpu_limit(self):
        self.start(1)
        app = self.app("half", "handler: app.py:handler\nlimits: {cpu: 0.5}\n", app_py="def handler(event, context):\n    return 1\n")
        self.cluster.deploy(app)
        self.assertEqual(self.cluster.invoke("half", node=1)["output"], 1)
        quotas = set()
        for top in cluster.groups(1, self.cluster.pids[1]):
            for file, text in (("cpu.cfs_quota_us", "50000"), ("cpu.max", "50000 100000")):
                path = pathlib.Path(top) / file
                if ".half." in top and path.exists():
                    quotas.add(path.read_text().strip() == text)
        if not quotas:
            self.skipTest("no cgroup of the cpu controller may be written here")
        self.assertEqual(quotas, {True})

    # --- data ---

    def data_app(self, name, *paths):
        return self.app(name, f"handler: app.py:handler\ndata: {json.dumps([str(path) for path in paths])}\n", app_py=READS)

    def test_data_is_seen_read_only_and_calls_go_where_it_is(self):
        hidden, run = directory(self, "/var/tmp"), directory(self, "/run")
        plain = hidden / "set"
        plain.mkdir()
        (plain / "table").write_text("plain")
        (run / "table").write_text("of run")
        (run / "file").write_text("alone")
        self.start(hidden=hidden)
        self.cluster.deploy(self.data_app("reads", plain, run / "table", "/etc/hostname"))
        wish = [str(plain / "table"), str(run / "table"), str(run / "file"), f"!{plain}/new", f"!{run}/table", str(plain)]
        seen = ["plain", "of run", "FileNotFoundError", "OSError", "OSError", ["table"]]
        for node in (1, 2):
            call = self.cluster.invoke("reads", wish, node=node)
            self.assertEqual((call["output"], call["error"]), (seen, None))
        # a host that was initialised there sees it, and so do forks
        self.assertEqual({row["start"] for row in self.cluster.list("ps", function="reads")} - {"cold", "local-fork"}, {"remote-fork"})
        refused = self.cluster.invoke("reads", wish, node=3, code=REFUSED)["error"]
        self.assertIn(f"data: {plain}", refused["message"])
        self.assertEqual(refused["node"], 3)
        third = self.cluster.client_of(3)
        for _ in range(4):
            call = third.invoke("reads", wish)
            self.assertEqual(call["output"], seen)
            self.assertNotEqual(call["node"], 3)
        calls, summary = third.burst("reads", 9, wish)
        self.assertEqual((summary["ok"], {call["node"] for call in calls} - {1, 2}), (9, set()))
        self.assertIn(f"data: {plain}", self.error(self.data_app("there", plain), "--node", 3))

    def test_data_that_cannot_be_shown(self):
        own = directory(self, "/var/tmp")
        (own / "link").symlink_to(own)
        run = directory(self, "/run")
        (own / "to_run").symlink_to(run)
        os.mkfifo(own / "fifo")
        self.start(1)
        for name, path, says in (
                ("absent", own / "absent", f"data: {own}/absent: No such file"),
                ("fifo", own / "fifo", "neither a file nor a directory"),
                ("tmp", "/tmp", "instances have a /tmp of their own"),
                ("linked", own / "to_run", f"is a link to {run}"),
                ("daemons", self.cluster.directory, "cannot be shown")):
            self.assertIn(says, self.error(self.data_app(name, path)), name)
        for name, path in (("proc", "/proc/1"), ("root", "/"), ("dots", "/var/../etc")):
            self.assertIn("data: ", self.error(self.data_app(name, path), code=None), name)
        self.cluster.deploy(self.data_app("behind", own / "link"))
        self.assertEqual(self.cluster.invoke("behind", [str(own / "link")])["output"], [["fifo", "link", "to_run"]])

    def test_data_is_what_its_tenant_may_read(self):
        mine, roots = directory(self, "/run", 0o700), directory(self, "/run", 0o700)
        os.chown(mine, 4001, 4001)
        for path in (mine, roots):
            (path / "inner").mkdir(mode=0o755)
        self.start(2)
        tenant = cluster.Cli(self.cluster.env, uid=4001)
        for name, path in (("roots", roots), ("inner", roots / "inner")):
            message = tenant.deploy(self.data_app(name, path), code=REFUSED)["error"]["message"]
            self.assertIn(f"data: {path}: Permission denied", message)
        tenant.deploy(self.data_app("mine", mine))
        for node in (1, 2):
            self.assertEqual(tenant.invoke("mine", [str(mine)], node=node)["output"], [["inner"]])


if __name__ == "__main__":
    cluster.main("root", "netns", "ip", "unshare")
