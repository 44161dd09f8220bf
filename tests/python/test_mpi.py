"""Ranks of MPI that share a cluster, and apps that import mpi4py."""
import os
import subprocess
import sys

import support

import ramet

RANK = """
import sys
from mpi4py import MPI
import ramet

comm = MPI.COMM_WORLD
try:
    with ramet.Client.from_comm(comm) as client:
        told = [comm.Get_rank(), client.node, client.call("who", comm.Get_rank())]
except ramet.Error as exc:
    told = [comm.Get_rank(), exc.name, str(exc)]
for line in comm.gather(told) or ():
    print(*line)
"""
APP = """
from mpi4py import MPI

def handler(event, context):
    return [event, MPI.Is_initialized(), MPI.Get_version()[0] >= 3]
"""
ASKS = """
import mpi4py
mpi4py.rc.initialize = True
from mpi4py import MPI

def handler(event, context):
    return None
"""
# nothing but this machine: no resource manager, no remote shell, no network
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "--mca", "plm", "isolated", "--mca", "btl",
          "self,vader", "--mca", "pml", "ob1", "--mca", "oob_tcp_if_include", "lo"]


class Ranks(support.Case):
    def run_ranks(self, *environments):
        """Lines of their output, for a rank with each environment."""
        script = self.cluster.scratch.write("rank.py", RANK)
        args = []
        for env in environments:
            given = {"PYTHONPATH": support.PACKAGE, "LD_PRELOAD": support.PRELOAD, **env}
            args += [*([":"] if args else []), "-n", "1", "env", "-u", "RAMET_DIR", *(f"{k}={v}" for k, v in given.items()),
                     sys.executable, "-B", str(script)]
        ran = subprocess.run([*MPIRUN, *args], capture_output=True, text=True, timeout=120)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        return ran.stdout.splitlines()

    def socket(self, node):
        return str(self.cluster.directory / f"node{node}" / "client.sock")

    def setUp(self):
        self.client = ramet.Client()
        self.addCleanup(self.client.close)
        self.client.deploy(self.cluster.scratch.write("who.py", "def handler(event, context):\n    return event + 10\n"))

    def test_each_rank_has_a_client(self):
        here = {"RAMET_DIR": self.cluster.directory}
        self.assertEqual(self.run_ranks(here, here), ["0 1 10", "1 1 11"])

    def test_who_is_not_told_follows_the_others(self):
        self.assertEqual(self.run_ranks({}, {"RAMET_SOCKET": self.socket(2)}), ["0 2 10", "1 2 11"])

    def test_each_its_own_daemon(self):
        told = self.run_ranks({"RAMET_SOCKET": self.socket(2)}, {"RAMET_DIR": self.cluster.directory})
        self.assertEqual(told, ["0 2 10", "1 1 11"])

    def test_all_fail_where_one_has_none(self):
        lines = self.run_ranks({"RAMET_SOCKET": "/no/such.sock"}, {"RAMET_SOCKET": self.socket(1)})
        for rank, line in enumerate(lines):
            self.assertEqual(line.split()[:2], [str(rank), "ENOCLUSTER"])
            self.assertIn("/no/such.sock", line)
            self.assertIn(os.uname().nodename, line)


class Apps(support.Case):
    def test_mpi_stays_off(self):
        name = self.app(APP)
        with ramet.Client() as client:
            for node in (1, 2):
                self.assertEqual(client.call(name, 5, node=node), [5, False, True])

    def test_an_app_that_asks_for_it_is_refused(self):
        with self.assertRaisesRegex(ramet.Refused, "MPI is initialised"):
            self.app(ASKS)


if __name__ == "__main__":
    support.main("mpi4py", "mpirun")
