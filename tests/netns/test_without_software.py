"""A node that has nothing but Ramet itself runs Python with numpy, by forking the process that another node initialised: what
the application opens only after the fork comes from there, too."""
import os
import pathlib
import re
import unittest

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


class Bare(cluster.Case):
    """Node 2 has no software."""

    def start(self, faults="", **options):
        """A cluster of two; faults: of node 1."""
        self.cluster = cluster.Cluster(2, **options)
        wrapper = self.cluster.scratch.write("rametd", f'''#!/bin/sh
if grep -q "^node: 2$" "$2"; then
	exec /usr/bin/python3 -B "{SOURCE}/tests/netns/bare_node.py" "{BIN.parent}" "{BIN}/rametd" "$@"
fi
{faults}
exec "{BIN}/rametd" "$@"
''')
        wrapper.chmod(0o755)
        self.cluster.env["RAMET_RAMETD"] = str(wrapper)
        self.use(self.cluster)
        self.app = self.cluster.scratch.write("app.py", APP)

    def log(self, node):
        return (self.cluster.directory / f"node{node}" / "log").read_text()

    def has(self, node, path):
        """Whether the machine that a node's daemon runs on has a file."""
        return os.path.exists(f"/proc/{self.cluster.pids[node]}/root{path}")

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
        cluster.eventually("everything has come", lambda: "view.complete" in self.log(2), 120)
        self.assertIn("failed=0", re.search(r"view\.complete.*", self.log(2)).group())


if __name__ == "__main__":
    cluster.main("root", "netns", "numpy", "ip")
