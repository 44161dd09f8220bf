"""Hostile calls at random among good ones, on three nodes, by socket and through leases, here and there, in the same functions: no good call is
lost, no call is run twice, every harm has its own error, and nothing is left behind.

    test_mixed.py [--hostile N] [--seed S] [--verbose]

The seed of the random choice is printed; the same one makes the same choices."""
import argparse
import dataclasses
import random
import sys
import time

import hostile
import support

GOOD_FOR_EACH = 4  # good calls for each hostile one
AT_ONCE = 8  # of each node
DEADLINE = 0.7  # seconds, of what ends by it
LONG = 120  # seconds without an answer: a call hangs

options = argparse.Namespace()


@dataclasses.dataclass
class About:
    """A call under way."""
    lang: str
    function: str
    kind: str
    number: int
    at: int  # the node where it must run; 0: any
    asked: int  # the node that was asked
    starved: bool = False  # one in the same function took all its memory, meanwhile

    def meet(self, other):
        self.starved = self.starved or (self.function == other.function and other.kind in hostile.GREEDY)


class Mixed(hostile.Case):
    maxDiff = None

    def bombs(self, nodes):
        return any(about.kind == "bomb" for node in nodes for about in node.pending.values())

    def choose(self, nodes):
        """(function, language, kind)"""
        lang = self.random.choice(hostile.LANGS)
        if self.random.randrange(1 + GOOD_FOR_EACH):
            return self.random.choice((lang, *hostile.functions_of(lang))), lang, "good"
        kind = self.random.choice([kind for kind in hostile.KINDS[lang] if kind != "good"])
        if kind == "bomb" and self.bombs(nodes):
            kind = "loop"  # of two bombs one may find nothing left to take
        self.hostile += 1
        # calls that wait in the process whose memory or connection is harmed are harmed as well, as docs/security.md says
        places = [f"{lang}-{path}" for path in hostile.FRESH] if kind in hostile.OWN else hostile.functions_of(lang)
        function = f"{lang}-dirty" if kind in hostile.DIRTY else self.random.choice(places)
        return function, lang, kind

    def send(self, nodes):
        free = [node for node in nodes if len(node.pending) < AT_ONCE]
        node = self.random.choice(free)
        function, lang, kind = self.choose(nodes)
        at = self.random.choice((0, 0, 1, 2, 3))  # where it must run; 0: anywhere
        number = next(self.numbers)
        deadline = DEADLINE if kind in hostile.TIMED else 0.0
        self.kinds[number] = (lang, kind)
        under_way = [about for node in nodes for about in node.pending.values()]
        about = About(lang, function, kind, number, at, node.number)
        for other in under_way:
            about.meet(other)
            other.meet(about)
        node.send(function, kind, number, at, deadline, about)

    def take(self, nodes):
        for node in nodes:
            for result, about in node.done():
                lang, kind, number = about.lang, about.kind, about.number
                self.last = time.monotonic()
                self.ways[hostile.leased(result)] += 1
                late = kind in hostile.TIMED and hostile.too_late(result)
                none_left = kind == "child" and "Resource temporarily unavailable" in result.message  # beside a bomb
                greedy = about.starved and kind in hostile.TIMED
                problem = None if late or none_left else hostile.wrong(lang, kind, number, result, beside=True, greedy=greedy)
                if problem:
                    self.problems.append(f"{lang} {kind} {number}, asked of {about.asked}, pinned {about.at}: {problem}; {result.info()}")
                if options.verbose:
                    print(lang, kind, number, result.code, flush=True)

    def run_lot(self, count):
        nodes = self.open()
        self.hostile, self.last = 0, time.monotonic()
        while self.hostile < count or any(node.pending for node in nodes):
            while self.hostile < count and any(len(node.pending) < AT_ONCE for node in nodes):
                self.send(nodes)
            hostile.wait(nodes, 1)
            self.take(nodes)
            if time.monotonic() - self.last > LONG:
                self.fail(f"no answer for {LONG} s to {[list(node.pending.values()) for node in nodes]}")
        tallies = [node.tally() for node in nodes]
        for node in nodes:
            node.close()
        return tallies

    def check_tallies(self, tallies):
        """Good calls ran once; hostile ones at most once, and so did what was too late to begin. What runs in isolates cannot be counted."""
        for number, (lang, kind) in self.kinds.items():
            if lang in hostile.ISOLATES:
                continue
            runs = sum(tally[number] for tally in tallies)
            if runs > 1 or (runs == 0 and kind not in hostile.TIMED):
                self.problems.append(f"{kind} {number} was run {runs} times")

    def test_mixed(self):
        self.random = random.Random(options.seed)
        self.problems, self.kinds, self.ways = [], {}, {False: 0, True: 0}
        before = self.counts()
        begin = time.monotonic()
        tallies = self.run_lot(options.hostile)
        took = time.monotonic() - begin
        self.check_tallies(tallies)
        after = self.counts()
        good = sum(kind == "good" for _, kind in self.kinds.values())
        print(f"seed {options.seed}: {good} good and {len(self.kinds) - good} hostile calls, {self.ways[True]} through leases, "
              f"{took:.0f} s", flush=True)
        self.assertEqual(self.problems, [], f"seed {options.seed}")
        self.assertEqual(after, before)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hostile", type=int, default=40)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--verbose", action="store_true")
    parser.parse_args(namespace=options)
    print(f"seed {options.seed}", flush=True)
    sys.argv = sys.argv[:1]
    support.main()


if __name__ == "__main__":
    main()
