"""Requirements of apps: packages that pip installs once, offline from wheels that are deployed along, and that other nodes
get from the node that installed them."""
import base64
import hashlib
import os
import pathlib
import shutil
import tempfile
import zipfile

import cluster
from cluster import BIN, FAILED, SOURCE

HANDLER = '''
import ramet_test_tiny
import sys

def handler(event, context):
    if event:
        from ramet_test_tiny import late
        return late.NAME
    return [ramet_test_tiny.VERSION, sys.prefix != sys.base_prefix, sys.executable]
'''
TENANT = 4001


def wheel(directory, version, depends=""):
    """A wheel of the package ramet_test_tiny, by hand: nothing is needed to build it."""
    name = f"ramet_test_tiny-{version}"
    files = {
        "ramet_test_tiny/__init__.py": f"VERSION = '{version}'\n",
        "ramet_test_tiny/late.py": f"NAME = 'late of {version}'\n",
        f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: ramet_test_tiny\nVersion: {version}\n{depends}\n",
        f"{name}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
                     f"{len(text)}\n" for path, text in files.items())
    files[f"{name}.dist-info/RECORD"] = record + f"{name}.dist-info/RECORD,,\n"
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(directory / f"{name}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)  # the same bytes each time


class Requirements(cluster.Case):
    def start(self, nodes=2, bare=False):
        self.environments = pathlib.Path(tempfile.mkdtemp(prefix="ramet-environments-", dir="/var/tmp"))
        self.environments.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.environments, ignore_errors=True)
        self.cluster = cluster.Cluster(nodes)
        run = f'exec /usr/bin/python3 -B "{SOURCE}/tests/netns/bare_node.py" "{BIN.parent}" "{BIN}/rametd" "$@"' if bare else ""
        wrapper = self.cluster.scratch.write("rametd", f"""#!/bin/sh
echo "environments: {self.environments}" >>"$2"
if grep -q "^node: 2$" "$2"; then
	{run or ":"}
fi
exec "{BIN}/rametd" "$@"
""")
        wrapper.chmod(0o755)
        self.cluster.env["RAMET_RAMETD"] = str(wrapper)
        self.use(self.cluster)

    def app(self, name, version="1.0", requirements="[--no-index, --find-links wheels, ramet_test_tiny]", more="", **files):
        path = self.cluster.scratch.path / name
        wheel(path / "wheels", version)
        (path / "app.py").write_text(HANDLER)
        (path / "ramet.yaml").write_text(f"handler: app.py:handler\nrequirements: {requirements}\n{more}")
        for file, text in files.items():
            (path / file.replace("_txt", ".txt")).write_text(text)
        return path

    def made(self, uid=0):
        return {path.name for path in (self.environments / str(uid)).iterdir() if path.is_dir()}

    def test_installed_once_and_shared_by_content(self):
        self.start()
        first = self.app("first")
        self.cluster.deploy(first)
        version, isolated, python = self.cluster.invoke("first", node=1)["output"]
        self.assertEqual((version, isolated), ("1.0", True))
        self.assertTrue(python.startswith(str(self.environments)))
        self.assertEqual(self.cluster.invoke("first", True, node=2)["output"], "late of 1.0")
        made = self.made()
        self.assertEqual(len(made), 1)
        marker = self.environments / "0" / next(iter(made)) / "pyvenv.cfg"
        when = marker.stat().st_mtime_ns
        # other code, the same requirements: the environment is there
        (first / "app.py").write_text(HANDLER + "\nMORE = 1\n")
        self.cluster.deploy(first)
        self.cluster.deploy(self.app("same"))
        self.assertEqual((self.made(), marker.stat().st_mtime_ns), (made, when))
        # the same words, another package
        second = self.app("second", "2.0", requirements="needs.txt", needs_txt="--no-index\n--find-links wheels\nramet_test_tiny\n")
        self.cluster.deploy(second)
        self.assertEqual(self.cluster.invoke("second")["output"][0], "2.0")
        self.assertEqual(self.cluster.invoke("first")["output"][0], "1.0")
        self.assertEqual(len(self.made()), 2)
        self.assertFalse([path for path in (self.environments / "0").iterdir() if path.name.endswith(".work")])

    def test_what_pip_says_is_told(self):
        self.start(1)
        app = self.app("none", requirements="[--no-index, ramet_test_tiny]")
        error = self.cluster.deploy(app, code=FAILED)["error"]
        self.assertIn("requirements: pip: ERROR", error["message"])
        self.assertIn("No matching distribution found for ramet_test_tiny", error["message"])
        self.assertIn("Could not find a version", error["log_tail"])
        app = self.app("bad", requirements="needs.txt", needs_txt="--no-index\nnot a requirement!\n")
        self.assertIn("not a requirement!", self.cluster.deploy(app, code=FAILED)["error"]["message"])
        absent = self.cluster.deploy(self.app("absent", requirements="gone.txt"), code=None)["error"]
        self.assertIn("requirements: no file gone.txt is deployed", absent["message"])
        self.assertEqual(self.made(), set())
        self.assertEqual(self.cluster.list("functions"), [])
        # what was missing is there now
        self.cluster.deploy(self.app("none", requirements="[--no-index, --find-links wheels, ramet_test_tiny]"))
        self.assertEqual(self.cluster.invoke("none")["output"][0], "1.0")

    def test_a_tenants_environment_is_its_own(self):
        self.start(2)
        tenant = cluster.Cli(self.cluster.env, uid=TENANT)
        tenant.deploy(self.app("mine"))
        for node in (1, 2):
            self.assertEqual(tenant.invoke("mine", node=node)["output"][0], "1.0")
        own = self.environments / str(TENANT)
        self.assertEqual((own.stat().st_mode & 0o777, own.stat().st_uid), (0o700, TENANT))
        owners = {os.lstat(os.path.join(top, name)).st_uid for top, names, files in os.walk(own) for name in names + files}
        self.assertEqual(owners, {TENANT})

    def test_without_root(self):
        home = pathlib.Path(tempfile.mkdtemp(prefix="ramet-home-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        (home / "data").mkdir()
        (home / "data" / "table").write_text("rows")
        os.chown(home, TENANT, TENANT)
        scratch = cluster.Scratch()
        self.addCleanup(scratch.close)
        self.cluster = cluster.Cli(dict(scratch.env, RAMET_DIR=str(home / "run"), HOME=str(home)), uid=TENANT)
        self.cluster.scratch = scratch
        app = self.app("own", more=f"data: [{home}/data]\nsecrets: [KEY]\nlimits: {{cpu: 0.5}}\n")
        (app / "app.py").write_text(HANDLER + f"""
def handler(event, context):
    return [ramet_test_tiny.VERSION, open("{home}/data/table").read(), context.secrets["KEY"]]
""")
        self.cluster.run("up", "--rootless", "--nodes", 2, "--port", 21000 + os.getpid() % 400 * 10)
        try:
            self.cluster.deploy(app)
            file = scratch.write("value", "of own\n")
            self.cluster.run("secret", "set", "KEY", f"@{file}")
            for node in (1, 2):
                self.assertEqual(self.cluster.invoke("own", node=node)["output"], ["1.0", "rows", "of own"])
            self.assertEqual(len(list((home / ".cache/ramet/environments" / str(TENANT)).glob("*/pyvenv.cfg"))), 1)
        finally:
            self.cluster.run("down")
        self.assertEqual(scratch.complaints(), "")

    def test_a_node_without_software_gets_the_packages(self):
        self.start(2, bare=True)
        self.cluster.deploy(self.app("far"), "--node", 1)
        there = f"/proc/{self.cluster.pids[2]}/root"
        self.assertFalse(os.path.exists(there + str(self.environments)))
        call = self.cluster.invoke("far", node=2)
        self.assertEqual((call["output"][0], call["start"]), ("1.0", "remote-fork"))
        self.assertEqual(self.cluster.invoke("far", True, node=2)["output"], "late of 1.0")
        self.assertFalse(os.path.exists(there + str(self.environments)))


if __name__ == "__main__":
    reason = cluster.lacks("root", "netns", "ip")
    missing = cluster.subprocess.run(["/usr/bin/python3", "-c", "import pip, venv"], capture_output=True).returncode
    if not reason and missing:
        print("skipped: needs pip and venv for /usr/bin/python3")
        cluster.sys.exit(77)
    cluster.main("root", "netns", "ip")
