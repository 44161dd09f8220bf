"""What the tests of hostile functions share: the functions, deployed natively and in Python, and how each kind of harm
must end: code, whose failure it was, and words of the message that name the cause."""
import os
import re
import select
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import support  # noqa: E402  (also makes the next two importable)

import census  # noqa: E402
import cluster  # noqa: E402
from ramet import _ramet  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARY = cluster.BIN.parent / "tests" / "hostile" / "libhostile.so"
YAML = "handler: {handler}\nfiles: [{files}]\nlimits: {{mem: 96M, pids: 40, output: 1M, deadline: 30s}}\n"
HANDLERS = {"native": "libhostile.so:behave", "python": "functions.py:behave", "tally": "libhostile.so:tally",
            "lua": "functions.lua:behave", "js": "functions.js:behave", "qjs": "functions.js:behave",
            "wasm": "functions.wasm:behave"}
FILES = {"lua": ["functions.lua"], "js": ["functions.js"], "qjs": ["functions.js"], "wasm": ["functions.wasm"]}
ENGINES = cluster.BIN.parent / "lib" / "ramet"
ISOLATES = tuple(lang for lang in ("lua", "js", "qjs", "wasm") if (ENGINES / f"engine_{lang}.so").exists() and
                 (lang != "wasm" or (shutil.which("wat2wasm") and shutil.which("wasm2c"))))
LANGS = ("native", "python", *ISOLATES)
IDS = 65536

LATE = r"did not (stop|end at its deadline).*killed"
CRASH = ("ECRASH", "user")
LIMIT = ("ELIMIT", "limit")
ENDS = {
    "good": None,
    "print": None,
    "child": None,
    "raise": ("EUSER", "user", r"no \d+"),
    "loop": ("EDEADLINE", "limit", LATE),
    "stubborn": ("EDEADLINE", "limit", LATE),
    "signals": ("EDEADLINE", "limit", LATE),
    "memory": (*LIMIT, r"more memory than its limit \(limits.mem: 100663296 bytes\)"),
    "bomb": (*LIMIT, r"as many processes as its limit allows \(limits.pids: 40\)"),
    "output": (*LIMIT, r"the output of \S+ has \d+ bytes, its limit is 1048576"),
    "recursion": (*CRASH, r"signal 11 .*its stack is full"),
    "segfault": (*CRASH, r"signal 11 .* at address 0xdead000"),
    "abort": (*CRASH, r"signal 6"),
    "exit": (*CRASH, r"ended by itself with status 3"),
    "close": (*CRASH, r"closed the descriptor by which it is called"),
    "kill": ("ELOST", "system", r"was killed \(out of memory, or by somebody\)"),
    "scribble": ("EPROTO", "user", r"sent what it must not|wrote over the memory by which it is called"),
}
PYTHON_ENDS = dict(
    ENDS,
    bomb=(*LIMIT, r"as many processes as its limit allows \(limits.pids"),
    # without a CPU for so long the interpreter does not notice
    loop=("EDEADLINE", "limit", rf"the deadline of the call has passed|{LATE}"),
    # nor is every place of these within their own try
    signals=("EDEADLINE", "limit", rf"the deadline of the call has passed|{LATE}"),
    stubborn=("EDEADLINE", "limit", rf"the deadline of the call has passed|{LATE}"),
    recursion=("EUSER", "user", "maximum recursion depth exceeded"))
PASSED = rf"the deadline of the call has passed|the call was ended|{LATE}"
ISOLATE_ENDS = {
    "good": None,
    "print": None,
    "spoil": None,
    "escape": None,
    "raise": ENDS["raise"],
    "loop": ("EDEADLINE", "limit", PASSED),
    "stubborn": ("EDEADLINE", "limit", PASSED),
    "pattern": ("EDEADLINE", "limit", PASSED),
    "memory": (*LIMIT, r"not enough memory"),
    "output": ENDS["output"],
    "recursion": ("EUSER", "user", "stack overflow"),
}
JS_ENDS = dict(
    ISOLATE_ENDS,
    jobs=ISOLATE_ENDS["loop"],
    timers=ISOLATE_ENDS["loop"],
    never=("EUSER", "user", "the promise cannot settle: nothing is left to run"),
    buffers=(*LIMIT, "not enough memory|more memory than its limit"),
    text=ISOLATE_ENDS["memory"],
    recursion=("EUSER", "user", "Maximum call stack size exceeded"))
MORE = (*LIMIT, "is more than this function may have|more memory than its limit")
QJS_ENDS = dict(JS_ENDS, memory=MORE, buffers=MORE, text=MORE)
WASM_ENDS = {
    "good": None,
    "memory": None,  # it gets what there is, and no more
    "loop": ISOLATE_ENDS["loop"],
    "raise": ("EUSER", "user", "no 0"),
    "output": ENDS["output"],
    "bounds": ("EUSER", "user", "out of bounds memory access"),
    "stack": ("EUSER", "user", "call stack exhausted"),
    "unreachable": ("EUSER", "user", "unreachable"),
    "divide": ("EUSER", "user", "integer divide by zero"),
    "indirect": ("EUSER", "user", "indirect call type mismatch"),
}
ENDS_OF = {"native": ENDS, "python": PYTHON_ENDS, "lua": ISOLATE_ENDS, "js": JS_ENDS, "qjs": QJS_ENDS, "wasm": WASM_ENDS}
# where several of these are in one function at a time: they share its limits, and what ends first may be another's doing
BESIDE = {"bomb": (ENDS["memory"], PYTHON_ENDS["loop"]), "kill": (ENDS["memory"],), "memory": (ENDS["kill"], ENDS["bomb"], ENDS["memory"]),
          "buffers": (ENDS["kill"], ENDS["memory"]), "text": (ENDS["kill"], ENDS["memory"])}
GREEDY = {"memory", "buffers", "text", "bomb"}
PATHS = {"native": ("socket", "lease", "fresh"), **{lang: ("socket", "lease", "fresh", "reset") for lang in ("python", *ISOLATES)}}
FRESH = {"fresh", "reset"}
KINDS = {lang: [kind for kind in ENDS_OF[lang] if (lang, kind) != ("native", "stubborn")] for lang in LANGS}
TIMED = {"loop", "stubborn", "signals", "bomb", "pattern", "jobs", "timers"}  # they end by their deadline
# what is the function's own: the next call in the same isolate finds it so, unless it is brought back
OWN = {"spoil"}
# what harms the memory or the connection that calls which wait in the same process share with it
DIRTY = {"scribble", "close"}


def deploy(case, scratch, name, what, *options):
    """A function of the directory; with limits."""
    directory = scratch / name
    directory.mkdir()
    files = FILES.get(what, ["libhostile.so", "functions.py"])
    for file in files:
        if file.endswith(".wasm"):
            text = os.path.join(HERE, file.replace(".wasm", ".wat"))
            subprocess.run(["wat2wasm", text, "-o", directory / file], check=True)
            continue
        shutil.copy(LIBRARY if file.endswith(".so") else os.path.join(HERE, file), directory)
    lang = "lang: qjs\n" if what == "qjs" else ""  # else that of the file
    (directory / "ramet.yaml").write_text(lang + YAML.format(handler=HANDLERS[what], files=", ".join(files)))
    case.deploy(directory, "--name", name, *options)


def functions_of(lang):
    """Those that are called for anything."""
    return [f"{lang}-{path}" if path in FRESH else lang for path in PATHS[lang] if path != "socket"]


def text_of(kind, number):
    return f'"{kind} {number}"'.encode()


def wrong(lang, kind, number, result, beside=False, greedy=False):
    """What is wrong with how a call ended; None: nothing. beside: others like it were under way in its function. greedy:
    and of these one took all its memory, for which the kernel may end any of them."""
    end = ENDS_OF[lang][kind]
    failure = result.failure() or {}
    got = (_ramet.error_name(result.code), failure.get("kind", ""), failure.get("message", result.message))
    if end is None:
        value = bytes(memoryview(result))
        return None if result.code == 0 and value == str(number).encode() else f"{got}, {value[:100]}"
    ends = (end, *(BESIDE.get(kind, ()) if beside else ()), *((ENDS["kill"],) if greedy else ()))
    if not any(got[:2] == end[:2] and re.search(end[2], got[2]) for end in ends):
        return f"{got}, not {end}; log ends: {failure.get('log_tail', '')[-300:]}"
    return None if failure.get("node") else f"{got}: no node"


def too_late(result):
    """The deadline passed before the function began: so it goes on a slow machine."""
    return _ramet.error_name(result.code) == "EDEADLINE" and "before" in (result.failure() or {}).get("message", "")


def leased(result):
    return "." in result.info().get("call", "")


class Node:
    """A connection to a node of a cluster."""

    def __init__(self, row):
        self.number = row["node"]
        self.socket = row["socket"]
        self.handle = _ramet.Handle(self.socket)
        self.fd = self.handle.fd()
        self.pending = {}  # by number

    def send(self, function, kind, number, node=0, deadline=0.0, about=None):
        self.pending[number] = about
        self.handle.send(function, text_of(kind, number), 0, node, deadline, number)

    def done(self):
        """[(result, about)] of what has ended."""
        return [(result, self.pending.pop(number)) for number, result in self.handle.collect(0) or ()]

    def call(self, function, kind, number, path, deadline=0.0):
        """path: socket: as the first call of a connection; else through a lease, as soon as there is one."""
        handle = _ramet.Handle(self.socket) if path == "socket" else self.handle
        result = handle.send(function, text_of(kind, number), 0, self.number if path == "socket" else 0, deadline).wait(120000)
        if path == "socket":
            handle.close()
        return result

    def tally(self):
        """How often each id was run on this node."""
        result = self.handle.send("tally", b"", 0, self.number, 0.0).wait(60000)
        if result.code:
            raise AssertionError(result.message)
        return bytes(memoryview(result))

    def close(self):
        self.handle.close()


def wait(nodes, seconds):
    """Until one of them may have something; False: nothing came."""
    poll = select.poll()
    for node in nodes:
        poll.register(node.fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class Case(support.Case):
    """Cases that share a cluster of three nodes with the functions."""

    nodes = 3
    extra = "limits: {idle: 300ms}\n"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        scratch = cls.cluster.scratch.path
        for lang in LANGS:
            deploy(cls.cluster, scratch, lang, lang)
            deploy(cls.cluster, scratch, f"{lang}-dirty", lang)
            for path in FRESH.intersection(PATHS[lang]):
                deploy(cls.cluster, scratch, f"{lang}-{path}", lang, "--fresh", path)
        deploy(cls.cluster, scratch, "tally", "tally")
        cls.census = census.Census(cls.cluster)
        cls.numbers = iter(range(1, IDS))

    @classmethod
    def tearDownClass(cls):
        pass  # no default client was opened

    def open(self):
        """A connection to each node."""
        nodes = [Node(row) for row in self.cluster.up]
        self.addCleanup(lambda: [node.close() for node in nodes])
        return nodes

    def rest(self):
        """Until every instance has ended."""
        support.eventually("all instances have ended", lambda: not [
            row for row in self.cluster.list("ps") if row["state"] != "host"], 60)

    def good(self, node, function, lang, path):
        """A call that must go well, through a lease if that is the path."""
        end = time.monotonic() + 60
        while True:
            number = next(self.numbers)
            result = node.call(function, "good", number, path)
            problem = wrong(lang, "good", number, result)
            self.assertIsNone(problem, f"{function} {path} node {node.number}")
            if path == "socket" or leased(result):
                return
            self.assertLess(time.monotonic(), end, f"no lease of {function}")

    def all_good(self):
        """Each function on each node: templates are made, copies become complete."""
        for node in self.open():
            for lang in LANGS:
                for function in (f"{lang}-dirty", *functions_of(lang)):
                    for path in ("socket", "lease"):
                        self.good(node, function, lang, path)
            node.tally()
            node.close()

    def counts(self):
        """What there is when nothing runs. A template keeps a sandbox for its next child if the pool had one to spare at the
        last: so after one more child of each, with full pools, all do. The first template of a function may only record."""
        for _ in range(3):
            self.all_good()
            self.rest()
            counts = self.census.settled()
        return counts
