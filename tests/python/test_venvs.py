"""The same app in the system's interpreter, in virtual environments, and with two versions of a package side by side."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import support

import ramet

SETUP = """from setuptools import setup
setup(name="tiny", version="{0}", packages=["tiny"])
"""
# what is only opened when it is used has to be that of the same environment
TINY = {"__init__.py": "VERSION = '{0}'\n\n\ndef version(*_):\n    from tiny import late\n    return VERSION, late.VERSION\n",
        "late.py": "VERSION = '{0}'\n"}
APP = """import sys

try:
    import tiny
except ImportError:
    tiny = None


def handler(event, context):
    return [tiny and list(tiny.version()), context.node, sys.prefix]
"""
CLIENT = """import ramet, tiny
with ramet.Executor(2) as executor:
    print(*sorted(set(executor.map(tiny.version, range(20)))))
"""


def run(*args, **env):
    ran = subprocess.run([str(a) for a in args], env=dict(os.environ, **env), capture_output=True, text=True)
    if ran.returncode:
        raise AssertionError(f"{args}: {ran.stdout}{ran.stderr}")
    return ran.stdout


def wheel(directory, version):
    """Of the package tiny, made here."""
    source = directory / f"tiny-{version}"
    (source / "tiny").mkdir(parents=True)
    (source / "setup.py").write_text(SETUP.format(version))
    for name, text in TINY.items():
        (source / "tiny" / name).write_text(text.format(version))
    run(sys.executable, "-m", "pip", "wheel", "--no-index", "--no-build-isolation", "--no-deps", "--no-cache-dir",
        "--wheel-dir", directory, source)


def environment(directory, version):
    """Its interpreter."""
    path = directory / f"with-{version}"
    run(sys.executable, "-m", "venv", path)
    run(path / "bin/pip", "install", "--no-index", "--no-cache-dir", "--find-links", directory, f"tiny=={version}")
    return path / "bin/python"


class Environments(support.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.path = pathlib.Path(tempfile.mkdtemp(prefix="ramet-venvs-", dir="/var/tmp"))  # instances have a /tmp of their own
        cls.addClassCleanup(shutil.rmtree, cls.path)
        cls.path.chmod(0o755)
        cls.pythons = {"none": sys.executable}
        for version in ("1.0", "2.0"):
            wheel(cls.path, version)
            cls.pythons[version] = str(environment(cls.path, version))

    def setUp(self):
        self.client = ramet.Client()
        self.addCleanup(self.client.close)

    def versions(self, name, node):
        found, where, prefix = self.client.call(name, node=node)
        self.assertEqual(where, node)
        return found, prefix

    def test_one_app_in_three_environments(self):
        app = self.cluster.scratch.write("app.py", APP)
        for name, python in self.pythons.items():
            self.client.deploy(app, name=f"with-{name}", python=python)
        for _ in range(3):
            for node in (1, 2):
                self.assertEqual(self.versions("with-none", node), (None, sys.prefix))
                for version in ("1.0", "2.0"):
                    self.assertEqual(self.versions(f"with-{version}", node),
                                     ([version, version], str(self.path / f"with-{version}")))

    def test_named_in_ramet_yaml(self):
        for version in ("2.0", "1.0"):
            directory = self.cluster.scratch.path / f"app-{version}"
            self.cluster.scratch.write(f"app-{version}/app.py", APP)
            self.cluster.scratch.write(f"app-{version}/ramet.yaml", f"name: yaml-{version}\nlang: python\nhandler: app.py:handler\n"
                                       f"python: {self.pythons[version]}\n")
            self.cluster.deploy(directory)
        for version in ("2.0", "1.0"):
            for node in (1, 2):
                self.assertEqual(self.versions(f"yaml-{version}", node)[0], [version, version])

    def test_two_apps_are_loaded_at_the_same_time(self):
        app = self.cluster.scratch.write("both.py", APP)
        for version in ("1.0", "2.0"):
            self.client.deploy(app, name=f"both-{version}", python=self.pythons[version])
        calls = [(version, self.client.submit(f"both-{version}")) for _ in range(100) for version in ("1.0", "2.0")]
        for version, call in calls:
            self.assertEqual(call.result(60)[0], [version, version])

    def test_a_client_in_an_environment(self):
        for version in ("1.0", "2.0"):
            told = run(self.pythons[version], "-B", "-c", CLIENT, PYTHONPATH=support.PACKAGE, LD_PRELOAD=support.PRELOAD)
            self.assertEqual(told, f"('{version}', '{version}')\n")

    def test_an_executor_with_an_environment(self):
        def found(_):
            import tiny
            return tiny.version()
        for version in ("1.0", "2.0"):
            with ramet.Executor(2, python=self.pythons[version]) as executor:
                self.assertEqual(set(executor.map(found, range(10))), {(version, version)})


if __name__ == "__main__":
    support.main()
