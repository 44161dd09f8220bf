"""What tests of chaos share: seeds are made, forked on other nodes, and meanwhile, at a random moment, a daemon is killed or
started again, or packets are lost. Every call is answered rightly, or told to be lost; none hangs. Where nodes run, and
how harm is done to them, the test says.

    TEST.py [--forks N] [--seed S] [--seconds S] [--verbose]

The seed of the random choice is printed; the same one makes the same choices."""
import argparse
import json
import random
import signal
import subprocess
import sys
import time

import cluster
from cluster import NATIVE, OK

PAGES = 64
RESULT = {"pages": PAGES, "wrong": 0}
EVENTS = ("nothing", "kill origin", "kill worker", "end worker")
WIRES = ("loss 1%", "loss 5%")  # as netem writes them
GONE = {"ELOST", "EPEER", "ECLOSED"}

options = argparse.Namespace()


class Chaos(cluster.Case):
    """wires: what may be done to packets; at_once: calls in each round."""

    wires = WIRES
    at_once = 4

    def begin(self):
        """Starts a cluster; sets self.cluster and self.nodes."""
        raise NotImplementedError

    def client_of(self, node):
        """Verbs that go to a node."""
        raise NotImplementedError

    def set_wire(self, wire):
        """Does that to packets of all nodes; None: no harm any more."""
        raise NotImplementedError

    def end_daemon(self, node, how):
        """Sends a signal, and waits until it has ended."""
        raise NotImplementedError

    def start_daemon(self, node):
        raise NotImplementedError

    def setUp(self):
        self.random = random.Random(options.seed)
        self.down = []
        self.tally = {}
        self.longest = {}  # seconds after each kind of event
        self.begin()

    def happen(self, event, origin, worker):
        if event == "kill origin":
            self.stop(origin, signal.SIGKILL)
        elif event == "kill worker":
            self.stop(worker, signal.SIGKILL)
        elif event == "end worker":
            self.stop(worker, signal.SIGTERM)

    def stop(self, node, how):
        self.end_daemon(node, how)
        self.down.append(node)

    def mend(self):
        self.set_wire(None)
        for node in self.down:
            self.start_daemon(node)
        self.down = []
        for node in self.nodes:
            cluster.eventually(f"node {node} sees all", lambda c=self.client_of(node): self.states(c) == ["up"] * len(
                self.nodes), 60)

    def states(self, client):
        ran = client.run("nodes", "--json", code=None)
        return [row["state"] for row in ran.json()] if ran.code == OK else []

    def slack(self):
        """Seconds that slow nodes are granted on top of the time limit."""
        return 0.0

    def fetched(self, name, node):
        """Bytes of the seed that a node has, where bad wires make that slow; None: it is no excuse."""
        return None

    def end_of(self, call, since, what, fetched):
        before = 0
        while True:
            limit = options.seconds + self.slack()
            try:
                return call.communicate(timeout=max(0.1, since + limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                if options.seconds + self.slack() > limit:
                    continue
                now = fetched()
                if not now or now == before:
                    self.fail(f"a call hangs for {limit:.1f} s: {what}")
                before, since = now, time.monotonic()

    def check(self, call, since, what, event, fetched):
        """A call's end: within time, right, or lost."""
        out, err = self.end_of(call, since, what, fetched)
        took = time.monotonic() - since
        self.longest[event] = max(self.longest.get(event, 0), took)
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

    def start_calls(self, client, name, nodes):
        """One on each of the nodes."""
        calls = []
        for node in nodes:
            call = client.start("invoke", name, "--node", node, "--json", "--data", str(PAGES))
            for stream in (call.stdout, call.stderr):
                self.addCleanup(stream.close)
            calls.append(call)
        return calls

    def round(self, number, forks):
        origin, worker = self.random.sample(self.nodes, 2)
        event = self.random.choice((*EVENTS, *self.wires))
        # asks, and is not harmed
        other = next((node for node in self.nodes if node not in (origin, worker)),
                     worker if event == "kill origin" else origin)
        delay = self.random.uniform(0, 0.15)
        idempotent = ["--idempotent"] if self.random.random() < 0.5 else []
        what = f"round {number}: {event}, origin {origin}, worker {worker}, after {delay * 1000:.0f} ms"
        name = f"chaos{number}"
        client = self.client_of(other)
        client.deploy(NATIVE, "--handler", "scatter", "--name", name, "--node", origin, *idempotent)
        if event in self.wires:
            self.set_wire(event)
        both = len(self.nodes) > 2
        calls = self.start_calls(client, name, [other if both and n % 2 else worker for n in range(forks)])
        time.sleep(delay)  # the moment is what is random
        self.happen(event, origin, worker)
        since = time.monotonic()
        ends = [self.check(call, since, what, event, lambda: self.fetched(name, worker) if event in self.wires else None)
                for call in calls]
        if options.verbose:
            print(f"{what}: {', '.join(ends)}", flush=True)
        self.mend()
        client.run("remove", name)

    def test_chaos(self):
        forks = 0
        while forks < options.forks:
            self.round(forks, self.at_once)
            forks += self.at_once
        longest = ", ".join(f"{event} {seconds:.2f} s" for event, seconds in sorted(self.longest.items()))
        print(f"seed {options.seed}: {forks} forks, {self.tally}, the last answer after {longest}")


def main(*needs, forks, seconds=5):
    """The end of each test file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--forks", type=int, default=forks)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.parse_args(namespace=options)
    print(f"seed {options.seed}", flush=True)
    sys.argv = sys.argv[:1]
    cluster.main(*needs)
