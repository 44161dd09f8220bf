"""Apps whose libraries have pools of threads: numpy on OpenBLAS with pthreads. Its package is unpacked beside the build,
not installed."""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

import cluster
from cluster import BIN, SOURCE

APP = SOURCE / "tests/netns/apps/products.py"
PACKAGE = "libopenblas0-pthread"
LIBRARIES = BIN.parent / "openblas"
THREADS = min(4, os.cpu_count())  # OpenBLAS makes no more than there are CPUs; the caller is one of them
CHILDREN = 8
ROUNDS = 100


def unpack():
    """Where the libraries are; None: they cannot be had."""
    found = next(LIBRARIES.glob("usr/lib/*/openblas-pthread"), None)
    if found:
        return found
    with tempfile.TemporaryDirectory(dir=BIN.parent) as directory:
        if subprocess.run(["apt-get", "download", "-q", PACKAGE], cwd=directory, capture_output=True).returncode:
            return None
        archive = next(pathlib.Path(directory).glob("*.deb"))
        subprocess.run(["dpkg", "-x", archive, f"{directory}/root"], check=True)
        os.rename(f"{directory}/root", LIBRARIES)
    return next(LIBRARIES.glob("usr/lib/*/openblas-pthread"))


class OpenBlas(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2))

    def deploy(self, name, fresh):
        app = self.cluster.scratch.path / name
        self.cluster.scratch.write(f"{name}/products.py", APP.read_text())
        self.cluster.scratch.write(f"{name}/ramet.yaml", f"name: {name}\nhandler: products.py:handler\nfresh: {fresh}\n"
                                   f"env:\n  OPENBLAS_NUM_THREADS: {THREADS}\n  LD_LIBRARY_PATH: {unpack()}\n")
        self.cluster.deploy(app)

    def check(self, call, starts):
        self.assertIn(call["start"], starts)
        output = call["output"]
        self.assertTrue(output["right"], output)
        self.assertEqual(len(output["threads"]), THREADS - 1, output)
        self.assertGreater(output["ran"], 0, output)
        return output["threads"]

    def test_products_in_remote_children_and_the_parent(self):
        self.deploy("children", "fresh")
        self.deploy("parent", "reuse")
        self.cluster.invoke("parent", node=1)
        self.check(self.cluster.invoke("parent", node=2), {"remote-fork"})
        ids = set()
        with concurrent.futures.ThreadPoolExecutor(CHILDREN) as pool:
            for _ in range(ROUNDS):
                calls = list(pool.map(lambda _: self.cluster.invoke("children", node=2), range(CHILDREN)))
                self.assertEqual(len({call["pid"] for call in calls}), CHILDREN)
                for call in calls:
                    ids.add(tuple(self.check(call, {"remote-fork", "local-fork"})))
                self.check(self.cluster.invoke("parent", node=1), {"warm"})
        self.assertEqual(len(ids), 1)  # a clone's threads have the ids that they had


if __name__ == "__main__":
    if THREADS < 2:
        print("skipped: OpenBLAS makes no threads on one CPU")
        sys.exit(77)
    if cluster.lacks("root", "netns", "numpy", "ip", "apt-get", "dpkg") is None and not unpack():
        print(f"skipped: apt cannot fetch {PACKAGE}")
        sys.exit(77)
    cluster.main("root", "netns", "numpy", "ip", "apt-get", "dpkg")
