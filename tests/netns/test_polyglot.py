"""Apps with functions of several languages: one host, one seed, one deployment; functions that share instances; and functions
of another language that come to an app."""
import shutil
import subprocess

import cluster
from cluster import FAILED, SOURCE, USAGE

PY = """
import json

calls = 0

def handler(event, context):
    global calls
    calls += 1
    return ["python", event, calls]
"""
LUA = """
local calls, hoard = 0, {}
local f = {}
function f.tell(event) calls = calls + 1 return { "lua", event, calls } end
function f.other(event) calls = calls + 1 return { "other", event, calls } end
function f.hoard(event)
    for i = 1, event do hoard[i] = ("x"):rep(1000) .. i end
    return #hoard
end
return f
"""
PYTHON, TELL, OTHER, HOARD, SQUARE = (
    "  - {name: py, handler: \"app.py:handler\"}\n",
    "  - {name: tell, handler: \"app.lua:tell\"}\n",
    "  - {name: other, handler: \"app.lua:other\"}\n",
    "  - {name: hoard, handler: \"app.lua:hoard\"}\n",
    "  - {name: square, handler: \"libnetns.so:square\"}\n",
)


class Polyglot(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2))

    def app(self, functions, rest="", name="poly"):
        scratch = self.cluster.scratch
        path = scratch.write(f"{name}/ramet.yaml", f"app: {name}\nfunctions:\n{functions}{rest}").parent
        scratch.write(f"{name}/app.py", PY)
        scratch.write(f"{name}/app.lua", LUA)
        shutil.copy(cluster.NATIVE, path)
        return path

    def output(self, *args, **options):
        return self.cluster.invoke(*args, **options)["output"]

    def pids(self, *functions, node=1):
        return {self.cluster.invoke(name, 1, node=node)["pid"] for name in functions}

    def colds(self):
        return sum(row["cold"] for row in self.cluster.list("functions"))

    def has_all_languages(self):
        return not cluster.lacks("numpy", "wat2wasm", "wasm2c") and all(
            (cluster.BIN.parent / f"lib/ramet/engine_{name}.so").exists() for name in ("js", "lua", "wasm"))

    def test_one_seed_has_them_all(self):
        self.assertEqual(self.cluster.deploy(self.app(PYTHON + TELL + SQUARE))["start"], "cold")
        for node in (2, 1):
            self.assertEqual(self.output("py", 5, node=node)[:2], ["python", 5])
            self.assertEqual(self.output("tell", 6, node=node)[:2], ["lua", 6])
            self.assertEqual(self.output("square", 7, node=node)["square"], 49)
        self.assertEqual({row["function"]: row["lang"] for row in self.cluster.list("functions")},
                         {"py": "python", "tell": "lua", "square": "native"})
        self.assertEqual(self.colds(), 0)  # no call made another one
        self.assertEqual(len({row["version"] for row in self.cluster.list("seeds")}), 1)

    def test_five_languages_in_one_seed(self):
        if not self.has_all_languages():
            self.skipTest("needs numpy, all engines, and wabt")
        scratch = self.cluster.scratch
        functions = SQUARE + TELL + "".join(
            f"  - {{name: {name}, handler: \"{handler}\"}}\n" for name, handler in (
                ("mean", "mean.py:handler"), ("sum", "sum.js:handler"), ("count", "count.wasm:count")))
        path = self.app(functions)
        scratch.write("poly/mean.py", "import numpy\n\n\ndef handler(event, context):\n    return float(numpy.mean(event))\n")
        scratch.write("poly/sum.js", "export const handler = (event) => event.reduce((a, b) => a + b, 0);\n")
        subprocess.run(["wat2wasm", SOURCE / "tests/runtime_host/wasm_functions.wat", "-o", path / "count.wasm"], check=True)
        self.assertEqual(self.cluster.deploy(path)["start"], "cold")
        for node in (1, 2):
            starts = []
            for name, event, expected in (("mean", [1, 2, 6], 3.0), ("sum", [1, 2, 6], 9), ("count", None, 11),
                                          ("tell", 5, ["lua", 5, 1])):
                call = self.cluster.invoke(name, event, node=node)
                self.assertEqual(call["output"], expected, name)
                starts.append(call["start"])
            call = self.cluster.invoke("square", 7, node=node)
            self.assertEqual(call["output"]["square"], 49)
            self.assertNotIn("cold", [*starts, call["start"]])
        self.assertEqual(sorted(row["lang"] for row in self.cluster.list("functions")), ["js", "lua", "native", "python", "wasm"])
        self.assertEqual(len({row["seed"] for row in self.cluster.list("seeds")}), 1)
        self.assertEqual(self.colds(), 0)

    def test_the_example_counts_alike(self):
        example = cluster.BIN.parent / "examples/word_count"
        if not self.has_all_languages() or not (example / "words.wasm").exists():
            self.skipTest("needs all engines, and wabt")
        self.cluster.deploy(example)
        for text, words in (("to be or not to be", 6), ("", 0), (" a\tb\n\nc  d\u00e9 ", 4), ("x" * 100_000, 1), ("a " * 40_000, 40_000)):
            for name in ("python", "lua", "js", "native", "wasm"):
                self.assertEqual(self.output(f"words_{name}", text, node=2), words, (name, text[:20]))

    def test_functions_have_instances_of_their_own(self):
        self.cluster.deploy(self.app(PYTHON + TELL + OTHER))
        self.assertEqual(len(self.pids("py", "tell", "other")), 3)

    def test_what_shares_is_in_one_instance(self):
        self.cluster.deploy(self.app(PYTHON + TELL + OTHER + SQUARE, "bind: shared\n"))
        self.assertEqual(len(self.pids("tell", "other", "tell")), 1)
        self.assertEqual(len(self.pids("py", "tell", "square")), 3)
        counts = [self.output(name, 1, node=2) for name in ("tell", "other", "tell", "other")]
        self.assertEqual([count[0::2] for count in counts], [["lua", 1], ["other", 1], ["lua", 2], ["other", 2]])
        rows, summary = self.cluster.burst("tell", 8)
        self.assertEqual(summary["ok"], 8)

    def test_shared_instances_are_brought_back(self):
        self.cluster.deploy(self.app(TELL + OTHER + SQUARE, "bind: shared\nfresh: reset\n"))
        pids = set()
        for name in ("tell", "other", "tell", "other"):
            call = self.cluster.invoke(name, 1, node=1)
            pids.add(call["pid"])
            self.assertEqual(call["output"][2], 1)
        self.assertEqual(len(pids), 1)
        self.assertEqual(len({self.cluster.invoke("square", 2, node=1)["pid"] for _ in range(2)}), 2)  # native: once each

    def test_a_heap_has_a_limit(self):
        self.cluster.deploy(self.app(HOARD + TELL, "limits: {heap: 4M}\n"))
        self.assertEqual(self.output("hoard", 1000, node=1), 1000)
        error = self.cluster.invoke("hoard", 100000, node=1, code=FAILED)["error"]
        self.assertEqual((error["code"], error["kind"]), ("ELIMIT", "limit"))
        self.assertEqual(self.output("tell", 1, node=1)[1], 1)
        self.assertEqual(self.output("hoard", 10, node=1), 10)  # in another isolate

    def test_another_language_comes_to_an_app(self):
        lua = self.app(TELL)
        self.cluster.deploy(lua)
        self.assertEqual(self.output("tell", 1, node=1)[0], "lua")
        alone = self.cluster.scratch.write("alone.py", PY)
        self.cluster.deploy(alone, "--app", "poly", "--name", "alone")
        for node in (1, 2):
            self.assertEqual(self.output("alone", 3, node=node)[:2], ["python", 3])
            self.assertEqual(self.output("tell", 4, node=node)[:2], ["lua", 4])

    def test_what_cannot_be_is_said(self):
        for functions, rest, said in (
                (PYTHON, "bind: shared\n", "bind: shared is for functions that run in isolates"),
                (SQUARE, "limits: {heap: 4M}\n", "limits.heap is for functions that run in isolates"),
                (TELL, "bind: apart\n", "bind"),
                (TELL.replace("}", ", lang: perl}"), "", "lang")):
            ran = self.cluster.run("deploy", self.app(functions, rest), code=None)
            self.assertIn(said, ran.err)
            self.assertIn(ran.code, (FAILED, USAGE), str(ran))


if __name__ == "__main__":
    cluster.main("root", "netns", "ip")
