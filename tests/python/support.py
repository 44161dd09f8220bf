"""A cluster for a test file, and the package ramet as it was built. Waiting is for conditions, never for a time to
pass."""
import os
import sys
import unittest

PRELOAD = os.environ.pop("LD_PRELOAD", "")  # the sanitizer's library: for this process, not for programs of the cluster

_source = os.environ.get("RAMET_SRC", ".")
_bin = os.path.abspath(os.environ.get("RAMET_BIN", "build/dev/bin"))
PACKAGE = os.path.join(os.path.dirname(_bin), "python")
sys.path[:0] = [os.path.join(_source, "tests/netns"), PACKAGE]

import cluster  # noqa: E402

eventually = cluster.eventually


class Case(unittest.TestCase):
    """Cases that share a cluster of two nodes."""

    nodes = 2
    extra = ""  # of the nodes' configurations

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster = cluster.Cluster(cls.nodes, extra=cls.extra, quick_free=bool(cls.extra))
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None, None, None)
        os.environ["RAMET_DIR"] = cls.cluster.env["RAMET_DIR"]

    @classmethod
    def tearDownClass(cls):
        import ramet

        ramet.default_client().close()
        super().tearDownClass()

    def tearDown(self):
        result = self._outcome.result
        if any(test is self for test, _ in result.failures + result.errors):
            self.cluster.show_logs()

    def app(self, text, **options):
        """Deploys the text of a Python file; its function's name."""
        import ramet

        path = self.cluster.scratch.write(f"{self._testMethodName}.py", text)
        with ramet.Client() as client:
            client.deploy(path, **options)
        return options.get("name", self._testMethodName)

    def functions(self):
        return [row["function"] for row in self.cluster.list("functions")]


def main(*needs):
    """The end of each test file. Exit code 77: skipped."""
    reason = cluster.lacks("root", "netns", *needs)
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main(verbosity=2)
