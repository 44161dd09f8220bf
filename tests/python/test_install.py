"""`pip install` of the package from the tree, offline, against an installed libramet; and that its types hold."""
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import support

SOURCE = pathlib.Path(support.cluster.SOURCE)
BUILD = support.cluster.BIN.parent


class Install(unittest.TestCase):
    def setUp(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="ramet-install-"))
        self.addCleanup(shutil.rmtree, self.path)

    def run_ok(self, *args, **env):
        ran = subprocess.run([str(a) for a in args], env=dict(os.environ, **env), capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        return ran.stdout

    def pip(self, **env):
        tree = self.path / "tree/bindings"
        shutil.copytree(SOURCE / "bindings/python", tree / "python")  # pip builds in the source directory
        self.run_ok(sys.executable, "-m", "pip", "install", "--no-index", "--no-build-isolation", "--no-cache-dir", "--target",
                    self.path / "site", tree / "python", **env)
        told = self.run_ok(sys.executable, "-c", "import ramet; print(ramet.__version__, ramet.__file__)",
                           PYTHONPATH=str(self.path / "site"), LD_PRELOAD=support.PRELOAD)
        self.assertEqual(told.split()[1], str(self.path / "site/ramet/__init__.py"))
        self.assertTrue((self.path / "site/ramet/py.typed").exists())
        self.assertTrue(list((self.path / "site/ramet").glob("_ramet.abi3.so")))

    def install(self):
        self.run_ok("cmake", "--install", BUILD, "--prefix", self.path / "usr", "--component", "client")
        return self.path / "usr"

    @unittest.skipUnless(importlib.util.find_spec("pip") and importlib.util.find_spec("wheel"), "needs pip and wheel")
    def test_with_a_given_prefix(self):
        self.pip(RAMET_PREFIX=str(self.install()))

    @unittest.skipUnless(importlib.util.find_spec("pip") and importlib.util.find_spec("wheel"), "needs pip and wheel")
    def test_with_pkg_config(self):
        config, = self.install().rglob("ramet.pc")
        self.pip(PKG_CONFIG_PATH=str(config.parent))

    def test_as_cmake_installs_it(self):
        self.run_ok("cmake", "--install", BUILD, "--prefix", self.path / "usr")
        package, = (self.path / "usr").rglob("ramet/python")
        told = self.run_ok(sys.executable, "-B", "-c", "import ramet; print(ramet.__file__)", PYTHONPATH=str(package),
                           LD_PRELOAD=support.PRELOAD)
        self.assertEqual(told.strip(), str(package / "ramet/__init__.py"))
        for name in ("py.typed", "_ramet.pyi", "_stub.py", "_ramet.abi3.so"):
            self.assertTrue((package / "ramet" / name).exists(), name)

    @unittest.skipUnless(shutil.which("mypy"), "needs mypy")
    def test_types(self):
        self.run_ok("mypy", "--strict", "--no-incremental", "-p", "ramet", MYPYPATH=str(SOURCE / "bindings/python"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
