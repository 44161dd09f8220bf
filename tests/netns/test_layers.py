"""Layers: a redeploy begins from what an app's versions have in common, here and as other nodes see it."""
import os
import pathlib
import shutil
import tempfile

import cluster

APP = """
import os
import sys

import numpy

{more}
MARK_{number} = numpy.arange({number})


def setup():
    numpy.random.seed(7)
    print("setup of {number}", flush=True)
    sys.modules[__name__].READY = {number}


def handler(event, context):
    if event == "environment":
        return os.environ.get("COLOUR"), os.getcwd().endswith(context.version) or os.getcwd()
    if event == "random":
        return [numpy.random.random(), os.urandom(4).hex()]
    if event == "secret":
        return context.secret("KEY")
    return [{number}, READY, sorted(name for name in globals() if name.startswith("MARK")), int(MARK_{number}.sum())]
"""
# no part of the app, so that what it maps is the base's
AREAS = """
import mmap
import os

PLACE = os.getcwd()


def area(pages):
    made = mmap.mmap(-1, pages * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    made[:] = b"x" * len(made)
    return made


WHOLE, CUT, GROWN = area(64), area(64), area(64)
"""
GIVER = """
import mmap

import areas_of_tests

areas_of_tests.CUT[32 * mmap.PAGESIZE] = {number}


def handler(event, context):
    whole, cut, grown = areas_of_tests.WHOLE, areas_of_tests.CUT, areas_of_tests.GROWN
    before = [sorted(set(area[:])) for area in (whole, cut, grown)]
    whole.madvise(mmap.MADV_DONTNEED)
    cut.madvise(mmap.MADV_DONTNEED, 8 * mmap.PAGESIZE, 48 * mmap.PAGESIZE)
    size = len(grown)
    grown.resize(2 * size)
    pages = range(0, len(cut), mmap.PAGESIZE)
    return [before, max(whole[:]), [page // mmap.PAGESIZE for page in pages if any(cut[page: page + mmap.PAGESIZE])],
            min(grown[:size]), max(grown[size:]), areas_of_tests.PLACE]
"""
CONFIG = """
name: {name}
lang: python
handler: {name}.py:handler
init: {name}.py:setup
"""


class Layers(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2))

    def deploy(self, number, name="layered", more="", config="", files=()):
        below = self.cluster.scratch.path / name
        below.mkdir(exist_ok=True)
        below.joinpath(f"{name}.py").write_text(APP.format(number=number, more=more))
        below.joinpath("ramet.yaml").write_text(CONFIG.format(name=name) + config)
        for file, text in files:
            below.joinpath(file).write_text(text)
        return self.cluster.deploy(below)

    def seed(self, version, node=1):
        row, = self.cluster.list("seeds", version=version, node=node)
        return row

    def memory(self, node=1):
        """The names of the memory files that a daemon holds."""
        directory = f"/proc/{self.cluster.pids[node]}/fd"
        names = []
        for fd in os.listdir(directory):
            try:
                names.append(os.readlink(f"{directory}/{fd}"))
            except FileNotFoundError:
                pass
        return [name for name in names if name.startswith("/memfd:ramet-seed")]

    def log(self, node=1):
        return (pathlib.Path(self.cluster.directory) / f"node{node}" / "log").read_text()

    def complete(self, version, node):
        return cluster.eventually("the copy is complete", lambda: [
            row for row in self.cluster.list("seeds", version=version, node=node)
            if row["cached_bytes"] == row["image_bytes"]], 60)[0]

    def test_redeploy_is_a_fork_of_the_base(self):
        first = self.deploy(3)
        self.assertEqual(first["start"], "cold")
        self.assertEqual(self.cluster.invoke("layered")["output"], [3, 3, ["MARK_3"], 3])
        self.cluster.invoke("layered", node=2)
        self.complete(first["version"], 2)
        second = self.deploy(4)
        self.assertEqual(second["start"], "local-fork")
        row = self.seed(second["version"])
        self.assertLess(row["own_bytes"], 0.2 * row["image_bytes"])
        # the old version's globals are not there, on no node, and init ran for this one
        for node in (1, 2, 1, 2):
            self.assertEqual(self.cluster.invoke("layered", node=node)["output"], [4, 4, ["MARK_4"], 6])
        self.assertEqual(self.cluster.invoke("layered", "environment")["output"], [None, True])
        copy = self.complete(second["version"], 2)
        self.assertLess(copy["own_bytes"], 0.2 * copy["image_bytes"])  # it had the base's pages already
        ours = {self.cluster.invoke("layered", "random", "--node", "1")["output"][0] for _ in range(2)}
        lines, _ = self.cluster.burst("layered", 6, "random")
        seen = [line["output"][0] for line in lines]
        self.assertEqual(len(set(seen) | ours), len(seen) + len(ours))
        self.assertEqual([row["cold"] for row in self.cluster.list("functions", function="layered")], [0])

    def test_memory_of_the_base_that_is_given_back_is_zeros(self):
        outside = tempfile.mkdtemp(prefix="ramet-layers-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, outside)
        os.chmod(outside, 0o755)
        pathlib.Path(outside, "areas_of_tests.py").write_text(AREAS)
        below = self.cluster.scratch.path / "giver"
        below.mkdir()
        below.joinpath("ramet.yaml").write_text(f"lang: python\nhandler: giver.py:handler\npath: [{outside}]\nfresh: fresh\n")
        x, kept = ord("x"), [*range(8), *range(56, 64)]
        for number, start in ((1, "cold"), (2, "local-fork")):
            below.joinpath("giver.py").write_text(GIVER.format(number=number))
            deployed = self.cluster.deploy(below)
            self.assertEqual(deployed["start"], start)
            row = self.seed(deployed["version"])
            self.assertLess(row["own_bytes"], 0.5 * row["image_bytes"])
            then = [[[x], [number, x], [x]], 0, kept, x, 0, "/"]
            for node in (2, 1):
                self.assertEqual(self.cluster.invoke("giver", node=node)["output"], then, node)
            self.complete(deployed["version"], 2)
            self.assertEqual(self.cluster.invoke("giver", node=2)["output"], then)

    def test_base_goes_with_the_last_seed(self):
        for number in (1, 2, 3):
            self.deploy(number)
        self.assertEqual(self.cluster.invoke("layered", node=2)["output"][0], 3)
        self.assertTrue(self.memory(1))
        self.assertTrue(self.memory(2))
        self.cluster.run("remove", "layered")
        for node in (1, 2):
            cluster.eventually("nothing is left of the base", lambda node=node: not self.memory(node), 90)
        self.assertEqual(self.deploy(4)["start"], "cold")

    def test_one_version_gone_leaves_the_others(self):
        version = self.deploy(1)["version"]
        self.cluster.invoke("layered", node=2)
        self.deploy(2)
        cluster.eventually("the first is gone", lambda: not self.cluster.list("seeds", version=version), 90)
        for node in (1, 2):
            self.assertEqual(self.cluster.invoke("layered", node=node)["output"][0], 2)
        lines, _ = self.cluster.burst("layered", 4)
        self.assertEqual({line["output"][0] for line in lines}, {2})
        self.assertEqual(self.deploy(3)["start"], "local-fork")

    def test_what_does_not_suit_the_base_starts_cold(self):
        self.deploy(1)
        # numpy would see another environment
        changed = self.deploy(2, more="")
        self.assertEqual(changed["start"], "local-fork")
        path = self.cluster.scratch.path / "layered" / "layered.py"
        path.write_text("import os\nos.environ['SET'] = 'before'\n" + APP.format(number=3, more=""))
        self.assertEqual(self.cluster.deploy(path.parent)["start"], "cold")
        self.assertIn("do not begin by importing", self.log())
        self.assertEqual(self.cluster.invoke("layered")["output"], [3, 3, ["MARK_3"], 3])
        # of an own module that is named as one of numpy's, all get the app's
        self.assertEqual(self.deploy(5)["start"], "cold")  # from a base of its own, now
        self.assertEqual(self.deploy(6)["start"], "local-fork")
        own = self.deploy(7, more="import secrets", files=[("secrets.py", "from random import getrandbits as randbits\nMINE = 1\n")])
        self.assertEqual(own["start"], "cold")
        self.assertIn("the app's own secrets", self.log())

    def test_variables_make_another_base(self):
        self.deploy(1)
        other = self.deploy(2, config="env: {COLOUR: red}\n")
        self.assertEqual(other["start"], "cold")
        self.assertEqual(self.cluster.invoke("layered", "environment")["output"], ["red", True])
        self.assertEqual(self.deploy(3, config="env: {COLOUR: red}\n")["start"], "local-fork")
        self.assertEqual(self.cluster.invoke("layered", "environment", "--node", "2")["output"], ["red", True])

    def test_failure_of_a_new_version_is_told(self):
        self.deploy(1)
        ran = self.cluster.scratch.path / "layered"
        ran.joinpath("layered.py").write_text(APP.format(number=2, more="raise ValueError('not today')"))
        error = self.cluster.deploy(ran, code=cluster.FAILED)["error"]
        self.assertIn("not today", error["message"])
        self.assertEqual(self.cluster.invoke("layered")["output"][0], 1)
        self.assertEqual(self.deploy(3)["start"], "local-fork")


if __name__ == "__main__":
    cluster.main("root", "netns", "numpy")
