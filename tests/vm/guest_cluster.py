"""In guest 1: a daemon in each guest, for the cases of in_*.py there; they are driven from guest 1."""
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "netns"))
import cluster  # noqa: E402

ON = str(HERE / "on")
TRANSPORT = os.environ.get("RAMET_VM_TRANSPORT", "auto")


def netem(*options, nodes=(1, 2)):
    """What guests do to the packets that they send; nothing: no harm. The queue is long enough for what RDMA sends at once."""
    for node in nodes:
        subprocess.run([*([ON, str(node)] if node > 1 else []), "tc", "qdisc", "replace", "dev", "eth0", "root", "netem",
                        "limit", "20000", *options], check=True)


class Guests(cluster.ByHand):
    """Configurations, logs and what sanitizers say are in the build directory, which all guests see; the rest is in the
    /run of each. extra: lines for each configuration."""

    patience = 90  # one that ends may be reading what the app may need later, which takes long through 9p

    def __init__(self, extra="", transport=TRANSPORT):
        addresses = os.environ["RAMET_VM_ADDRESSES"].split()
        self.make([f"{address}:7870" for address in addresses], cluster.Scratch(below=HERE.parent.parent / "build/vm"),
                  directory=pathlib.Path("/run/ramet"), extra=f"transport: {transport}\n{extra}",
                  prefixes={node: [ON, str(node)] for node in range(2, len(addresses) + 1)})

    def stood_still(self):
        """Seconds in which daemons noticed that they had not run, all together."""
        logs = "".join(path.read_text() for path in self.logs.values())
        return sum(int(ms) for ms in re.findall(r"node\.stood_still ms=(\d+)", logs)) / 1000

    def __enter__(self):
        for prefix in self.prefixes.values():  # reading Python through 9p for the first time takes seconds
            subprocess.run([*prefix, "/usr/bin/python3", "-c", "import numpy"], check=True)
        return super().__enter__()

    def __exit__(self, *exception):
        try:
            super().__exit__(*exception)
        finally:  # the guest may end with the test
            cluster.eventually("the scratch directory is gone", lambda: not self.scratch.path.exists())
