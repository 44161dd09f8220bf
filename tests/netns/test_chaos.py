"""Chaos over three nodes: seeds are made, forked on the other nodes, and meanwhile, at a random moment, a daemon is killed or
started again, or packets are lost. Every call is answered rightly, or told to be lost; none hangs.

    test_chaos.py [--forks N] [--seed S] [--seconds S] [--verbose]

The seed of the random choice is printed; the same one makes the same choices."""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time

import cluster
from cluster import NATIVE, OK

PAGES = 64
RESULT = {"pages": PAGES, "wrong": 0}
NODES = (1, 2, 3)
EVENTS = ("nothing", "kill origin", "kill worker", "end worker", "loss 1 %", "loss 5 %")
GONE = {"ELOST", "EPEER", "ECLOSED"}

options = argparse.Namespace()


class Chaos(cluster.Case):
    def setUp(self):
        self.random = random.Random(options.seed)
        self.cluster = self.use(cluster.Cluster(3))
        self.lossy = False
        self.down = []
        self.tally = {}
        self.longest = 0.0

    def set_loss(self, percent):
        """Of each packet that a node gets; by nftables, since not every kernel has netem."""
        rules = ("table inet chaos {\n chain input {\n  type filter hook input priority 0;\n"
                 f"  iifname eth0 numgen random mod 100 < {percent} drop\n }}\n}}\n")
        for netns in self.cluster.netns.values():
            subprocess.run(["ip", "netns", "exec", netns, "nft", "-f", "-"], input=rules, text=True, check=True)
        self.lossy = True

    def end_loss(self):
        for netns in self.cluster.netns.values() if self.lossy else ():
            subprocess.run(["ip", "netns", "exec", netns, "nft", "delete", "table", "inet", "chaos"], check=True)
        self.lossy = False

    def end_daemon(self, node, how):
        os.kill(self.cluster.pids[node], how)
        cluster.eventually(f"node {node} has ended", lambda: not cluster.alive(self.cluster.pids[node]))
        self.down.append(node)

    def happen(self, event, origin, worker):
        if event == "kill origin":
            self.end_daemon(origin, signal.SIGKILL)
        elif event == "kill worker":
            self.end_daemon(worker, signal.SIGKILL)
        elif event == "end worker":
            self.end_daemon(worker, signal.SIGTERM)

    def mend(self):
        self.end_loss()
        for node in self.down:
            self.cluster.start_again(node)
        self.down = []
        for node in NODES:
            client = self.cluster.client_of(node)
            cluster.eventually(f"node {node} sees all", lambda c=client: self.states(c) == ["up"] * 3, 30)

    def states(self, client):
        ran = client.run("nodes", "--json", code=None)
        return [row["state"] for row in ran.json()] if ran.code == OK else []

    def check(self, call, since, what):
        """A call's end: within time, right, or lost."""
        try:
            out, err = call.communicate(timeout=max(0.1, since + options.seconds - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.fail(f"a call hangs for {options.seconds} s: {what}")
        took = time.monotonic() - since
        self.longest = max(self.longest, took)
        ended = json.loads(out) if out else None
        self.assertIsNotNone(ended, f"{what}: {err}")
        if call.returncode == OK:
            self.assertEqual(ended["output"], RESULT, what)
            result = ended["start"]
        else:
            self.assertIn(ended["error"]["code"], GONE, f"{what}: {ended}")
            result = ended["error"]["code"]
        self.tally[result] = self.tally.get(result, 0) + 1
        return f"{result} {took:.2f} s"

    def round(self, number, forks):
        origin, worker, other = self.random.sample(NODES, 3)
        event = self.random.choice(EVENTS)
        delay = self.random.uniform(0, 0.15)
        idempotent = ["--idempotent"] if self.random.random() < 0.5 else []
        what = f"round {number}: {event}, origin {origin}, worker {worker}, after {delay * 1000:.0f} ms"
        name = f"chaos{number}"
        client = self.cluster.client_of(other)
        client.deploy(NATIVE, "--handler", "scatter", "--name", name, "--node", origin, *idempotent)
        if event.startswith("loss"):
            self.set_loss(int(event[5]))
        calls = []
        for n in range(forks):
            call = client.start("invoke", name, "--node", worker if n % 2 == 0 else other, "--json", "--data",
                                str(PAGES))
            for stream in (call.stdout, call.stderr):
                self.addCleanup(stream.close)
            calls.append(call)
        time.sleep(delay)  # the moment is what is random
        self.happen(event, origin, worker)
        since = time.monotonic()
        ends = [self.check(call, since, what) for call in calls]
        if options.verbose:
            print(f"{what}: {', '.join(ends)}", flush=True)
        self.mend()
        self.cluster.client_of(other).run("remove", name)

    def test_chaos(self):
        forks = 0
        while forks < options.forks:
            self.round(forks, 4)
            forks += 4
        print(f"seed {options.seed}: {forks} forks, {self.tally}, the longest {self.longest:.2f} s after its event")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--forks", type=int, default=24)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--seconds", type=float, default=5)
    parser.parse_args(namespace=options)
    print(f"seed {options.seed}", flush=True)
    sys.argv = sys.argv[:1]
    cluster.main("root", "netns", "ip", "nft", "nsenter")
