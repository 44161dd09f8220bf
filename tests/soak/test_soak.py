"""A node's working day in short: native code, Python, Python with numpy, and a function whose calls each have an instance of their
own, on three nodes, through leases and sockets, while they are deployed anew and instances are killed. No call is lost but those whose
instance was killed, and of these none whose function is idempotent; the daemons' memory and the slowest calls stay what they were.

    test_soak.py [--minutes M] [--seed S]"""
import argparse
import collections
import json
import os
import random
import select
import signal
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import support  # noqa: E402  (also makes the next ones importable)

import census  # noqa: E402
import cluster  # noqa: E402
from ramet import _ramet  # noqa: E402

PLAIN = "# {version}\n\ndef handler(event, context):\n    return event * 2\n"
NUMPY = "# {version}\nimport numpy\ntable = numpy.arange(1 << 16)\n\ndef handler(event, context):\n    return int(table[:event].sum())\n"
FRESH = "# {version}\nseen = []\n\ndef handler(event, context):\n    seen.append(event)\n    return [len(seen), event]\n"
APPS = {  # text, options, what a number gives
    "native": (None, ["--handler", "square"], lambda n, out: out["square"] == n * n and out["page"] == 1),
    "plain": (PLAIN, [], lambda n, out: out == 2 * n),
    "sums": (NUMPY, ["--idempotent"], lambda n, out: out == n * (n - 1) // 2),
    "fresh": (FRESH, ["--fresh", "fresh"], lambda n, out: out == [1, n]),
}
AT_ONCE = 3  # calls of each app at each node
REDEPLOY, KILL, LOOK = 7, 3, 6  # seconds between two
SLACK = 1.05
UNTRIMMED = 128 << 10  # bytes that a daemon's heap may have grown by before it is trimmed (cluster/heap_trim.c)
SETTLE = 300  # seconds in which replaced versions are gone, and their memory
SAME = 7  # looks between which nothing more has gone
STEADY = 1.5
LONG = 60  # seconds without any answer

options = argparse.Namespace()


class Soak(cluster.Case):
    def deploy(self, name):
        """Begins a new version: another file, which begins from the last one's base, or for native code, whose file is the same,
        another environment."""
        text, more, _ = APPS[name]
        self.versions += 1
        if text is None:
            return self.cluster.start("deploy", cluster.NATIVE, "--name", name, "--env", f"SOAK_VERSION={self.versions}", *more)
        path = self.cluster.scratch.write(f"{name}.py", text.format(version=self.versions))
        return self.cluster.start("deploy", path, "--name", name, *more)

    def setUp(self):
        self.random = random.Random(options.seed)
        self.versions = self.sent = 0
        self.cluster = self.use(cluster.Cluster(3, quick_free=True))
        for name in APPS:
            out, err = self.deploy(name).communicate()
            self.assertFalse(err, out)
        self.census = census.Census(self.cluster)
        self.handles = {row["node"]: _ramet.Handle(row["socket"]) for row in self.cluster.up}
        self.addCleanup(lambda: [handle.close() for handle in self.handles.values()])
        self.poll = select.poll()
        for handle in self.handles.values():
            self.poll.register(handle.fd(), select.POLLIN)
        self.pending = {node: {} for node in self.handles}
        self.killed, self.deploying = set(), None
        self.tally, self.problems, self.times = collections.Counter(), [], []
        self.order = []
        self.next = dict.fromkeys(("deploy", "kill", "look"), 0)
        self.looked, self.sizes = None, []  # {daemon: bytes}, in the same state each

    # --- what happens ---

    def due(self, what, period):
        now = time.monotonic()
        if now < self.next[what]:
            return False
        self.next[what] = now + period
        return True

    def take_deployment(self):
        if self.deploying and self.deploying.poll() is not None:
            out, err = self.deploying.communicate()
            if self.deploying.returncode:
                self.problems.append(f"deploy: {err}{out}")
            self.tally["deployments"] += 1
            self.deploying = None

    def redeploy(self):
        if not self.deploying and self.due("deploy", REDEPLOY):
            if not self.order:  # each as often as the others
                self.order = self.random.sample(list(APPS), len(APPS))
            self.deploying = self.deploy(self.order.pop())

    def kill_one(self):
        if not self.due("kill", KILL):
            return
        rows = [row for row in self.cluster.list("ps") if row["pid"] and row["state"] in ("idle", "busy", "leased")]
        if rows:
            row = self.random.choice(rows)
            self.killed.add((row["node"], row["pid"]))
            try:
                os.kill(row["pid"], signal.SIGKILL)
                self.tally["killed instances"] += 1
            except ProcessLookupError:
                pass  # it ended meanwhile

    def settled(self):
        """With the current versions alone, and nothing deployed or killed: what calls have is there, and is the same each time. Replaced
        versions stay for half a minute, their last instances longer, and have some megabytes each."""
        if self.deploying or not self.due("look", LOOK):
            return False
        before, self.looked = self.looked, self.census.parts()
        same = before and all(abs(size - before[name]) < size / 100 + (64 << 10) for name, size in self.looked.items())
        self.same = self.same + 1 if same else 0
        return self.same == SAME

    # --- calls ---

    def fill(self, node):
        under_way = collections.Counter(name for name, _ in self.pending[node].values())
        for name in APPS:
            while under_way[name] < AT_ONCE:
                number = self.random.randrange(1, 1000)
                at = self.random.choice((0, 0, 0, 1, 2, 3))  # 0: through a lease, where there is one
                self.sent += 1
                self.pending[node][self.sent] = name, number
                self.handles[node].send(name, b"%d" % number, 0, at, 0.0, self.sent)
                under_way[name] += 1

    def check(self, name, number, result):
        info = result.info()
        if result.code == 0:
            self.tally["leased" if "." in info["call"] else "by socket"] += 1
            self.times.append((time.monotonic() - self.begin, name, info["total_us"]))
            if not APPS[name][2](number, json.loads(bytes(memoryview(result)))):
                self.problems.append(f"{name} {number}: {bytes(memoryview(result))[:100]}")
            return
        lost = _ramet.error_name(result.code) == "ELOST" and (info["node"], info["pid"]) in self.killed
        self.tally["lost with their instance" if lost else "failed"] += 1
        if not lost or name == "sums":
            self.problems.append(f"{name} {number}: {_ramet.error_name(result.code)} {result.message} {info}")

    def take(self, node):
        for sent, result in self.handles[node].collect(0) or ():
            self.last = time.monotonic()
            self.check(*self.pending[node].pop(sent), result)

    def p99(self, part):
        """Microseconds, of a quarter of the time."""
        seconds = options.minutes * 60
        times = [us for at, _, us in self.times if part * seconds / 4 <= at < (part + 1) * seconds / 4]
        return statistics.quantiles(times, n=100)[-1]

    def take_all(self):
        self.poll.poll(200)
        for node in self.handles:
            self.take(node)
        self.take_deployment()
        self.assertLess(time.monotonic() - self.last, LONG, f"no answer: {self.pending}")

    def turn(self):
        for node in self.handles:
            self.fill(node)
        self.take_all()

    def measure(self):
        end, self.looked, self.same = time.monotonic() + SETTLE, None, 0
        while not self.settled():
            self.turn()
            self.assertLess(time.monotonic(), end, f"memory does not settle: {self.looked}")
        self.sizes.append(self.looked)

    def run_until(self, seconds):
        while time.monotonic() < self.begin + seconds:
            self.redeploy()
            self.kill_one()
            self.turn()

    def test_soak(self):
        self.begin = self.last = time.monotonic()
        self.run_until(min(120, options.minutes * 60 / 5))
        self.measure()
        self.run_until(options.minutes * 60)
        self.measure()
        while any(self.pending.values()):
            self.take_all()
        self.report()

    def report(self):
        first, last = self.sizes
        print(f"seed {options.seed}, {options.minutes} minutes: {dict(self.tally)}")
        print("p99 of the quarters, ms: " + ", ".join(f"{self.p99(part) / 1000:.1f}" for part in range(4)))
        for name, size in first.items():
            print(f"{name}: {size >> 10} KiB at first, {last[name] >> 10} KiB at the end")
        sys.stdout.flush()
        self.assertEqual(self.problems[:20], [], f"{len(self.problems)} problems")
        for name, size in first.items():
            self.assertLess(last[name], size * SLACK + UNTRIMMED, name)
        self.assertLess(sum(last.values()), sum(first.values()) * SLACK)
        self.assertLess(self.p99(3), self.p99(1) * STEADY)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.parse_args(namespace=options)
    sys.argv = sys.argv[:1]
    support.main("numpy")


if __name__ == "__main__":
    main()
