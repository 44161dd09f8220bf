"""JavaScript functions in a cluster: deployed once, forked to another node with their machine code, brought back after each call,
kept apart, ended by name, and called through leases."""
import re

import cluster
from cluster import DEADLINE, FAILED

APP = """
import { word } from './lib/words.js';
let calls = 0;
export const echo = (event) => event;
export const count = () => ++calls;
export const say = (event) => { console.log('said', event); };
export const words = () => word;
export const random = () => Math.random();
export function fail() { throw new TypeError('no luck today'); }
export function spin() { for (;;); }
export async function wait(event) {
    await new Promise((resolve) => setTimeout(resolve, event));
    return 'waited';
}
export function tell(event, context) {
    for (let i = 1; i <= event; i++) {
        context.emit([i]);
        context.progress(i / event, `at ${i}`);
    }
    return 'told';
}
export const about = (event, context) => [context.function, context.node, typeof context.deadline, context.cancelled,
    new TextDecoder().decode(new TextEncoder().encode('é')), typeof process, typeof require];
"""
NAMES = ["echo", "count", "say", "words", "random", "fail", "spin", "wait", "tell", "about"]
YAML = """app: js
lang: LANG
functions:
""" + "".join(f"  - {{name: {name}, handler: \"app.js:{name}\"}}\n" for name in NAMES) + """fresh: FRESH
limits: {deadline: 5s}
"""
# a kernel that runs for some milliseconds, and longer as long as it is not optimised
HOT = """
export function handler(event) {
    let s = 0;
    for (let i = 0; i < event; i++)
        s = (s + i * 7 + (i ^ (s & 255))) % 1000003;
    return s;
}
"""
# asked before it runs anything, the function tells what V8 has made of its kernel
STATUS = """
function kernel(n) {
    let s = 0;
    for (let i = 0; i < n; i++)
        s = (s + i * 7 + (i ^ (s & 255))) % 1000003;
    return s;
}
export function handler(event) {
    const status = %GetOptimizationStatus(kernel);
    return [status, event > 0 ? kernel(event) : null];
}
"""
OPTIMISED, TURBOFANNED = 1 << 4, 1 << 6  # of V8 10.2


class Js(cluster.Case):
    LANG = "js"

    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2))

    def deploy(self, fresh="reuse"):
        self.cluster.scratch.write("app/app.js", APP)
        self.cluster.scratch.write("app/lib/words.js", "export const word = 'module';\n")
        path = self.cluster.scratch.write("app/ramet.yaml", YAML.replace("FRESH", fresh).replace("LANG", self.LANG))
        return self.cluster.deploy(path.parent)

    def output(self, *args, **options):
        return self.cluster.invoke(*args, **options)["output"]

    def test_is_deployed_once_and_forked(self):
        self.assertEqual(self.deploy()["start"], "cold")
        call = self.cluster.invoke("echo", 12, node=2)
        self.assertEqual((call["start"], call["output"]), ("remote-fork", 12))
        for value in (1, "é", [1, [], {"a": [None]}], {}, [], None, True, 0.25):
            self.assertEqual(self.output("echo", value, node=2), value)
        self.assertEqual(self.output("words", node=2), "module")
        self.assertEqual(self.output("wait", 20, node=2), "waited")
        self.assertEqual(self.output("about", node=2), ["about", 2, "number", False, "é", "undefined", "undefined"])
        self.assertEqual(self.cluster.list("functions", function="echo")[0]["lang"], self.LANG)
        self.assertEqual(len({self.output("random", node=node) for node in (1, 2)}), 2)

    def test_ends_by_name_and_goes_on(self):
        self.deploy()
        for node in (1, 2):
            error = self.cluster.invoke("fail", node=node, code=FAILED)["error"]
            self.assertEqual((error["code"], error["type"], error["message"]), ("EUSER", "TypeError", "no luck today"))
            self.assertIn("at fail (app.js:", error["traceback"])
            error = self.cluster.invoke("spin", None, "--deadline", "300ms", node=node, code=DEADLINE)["error"]
            self.assertEqual((error["code"], error["kind"]), ("EDEADLINE", "limit"))
            self.assertEqual(self.output("echo", 3, node=node), 3)

    def test_freshness(self):
        self.deploy()
        self.assertEqual([self.output("count", node=1) for _ in range(3)], [1, 2, 3])
        for fresh in ("reset", "fresh"):
            self.deploy(fresh)
            self.assertEqual([self.output("count", node=node) for node in (1, 1, 2, 2)], [1, 1, 1, 1], fresh)
            self.assertEqual(len({self.output("random", node=node) for node in (1, 1, 1, 2, 2)}), 5, fresh)

    def test_burst(self):
        self.deploy()
        rows, summary = self.cluster.burst("random", 20)
        self.assertEqual(summary["ok"], 20)
        self.assertEqual(len({row["output"] for row in rows}), len(rows))

    def test_tells_before_its_end(self):
        self.deploy()
        ran = self.cluster.run("invoke", "tell", "--follow", "--data", "3", "--node", 2)
        self.assertIn("[2]", ran.out)
        self.assertIn("told", ran.out)
        call = self.cluster.invoke("say", "loud")["call"]
        cluster.eventually("it is in the log", lambda: "said loud" in self.cluster.run("logs", "--call", call).out)

    def test_what_cannot_be_loaded_is_told(self):
        for text, says in (("export const other = 1;", "exports no function handler"),
                           ("import './nowhere.js'; export const handler = 1;", "nowhere.js cannot be read"),
                           ("import '../../etc/passwd'; export const handler = 1;", "is not one of the application's files"),
                           ("export function handler( {", "SyntaxError"),
                           ("throw new Error('at import');", "at import"),
                           ("await new Promise(() => {});", "the promise cannot settle")):
            path = self.cluster.scratch.write("bad.js", text)
            error = self.cluster.run("deploy", path, "--lang", self.LANG, "--json", code=FAILED).json()["error"]
            self.assertIn(says, f"{error['type']} {error['message']}")

    def test_starts_hot_on_another_node(self):
        scratch = self.cluster.scratch
        path = scratch.write("hot/app.js", HOT).parent
        scratch.write("hot/samples", "300000\n")
        scratch.write("hot/ramet.yaml", "name: hot\nhandler: app.js:handler\nsamples: samples\nfresh: fresh\n")
        said = self.cluster.run("deploy", path, "--json").err
        told = re.search(r"hot: first call cold (\S+) ms, in a fork (\S+) ms untrained, (\S+) ms trained \((\d+) pass\w*\), steady (\S+) ms",
                         said)
        self.assertTrue(told, said)
        cold, untrained, trained, _, steady = map(float, told.groups())
        self.assertLess(trained, untrained)
        self.assertLess(trained, 2 * steady + 1)
        calls = [self.cluster.invoke("hot", 300000, node=2) for _ in range(5)]  # each in a new clone
        self.assertEqual({call["start"] for call in calls}, {"remote-fork", "local-fork"})
        self.assertLess(min(call["us"]["run"] for call in calls) / 1000, untrained)

    def test_optimised_code_is_there_on_another_node(self):
        """By V8's own word, before the function's first instruction there."""
        scratch = self.cluster.scratch
        path = scratch.write("status/app.js", STATUS).parent
        scratch.write("status/samples", "300000\n")
        for name, samples, optimised in (("untrained", "", False), ("trained", "samples: samples\n", True)):
            scratch.write("status/ramet.yaml", f"name: {name}\nhandler: app.js:handler\n{samples}fresh: fresh\n"
                          "env: {RAMET_JS_FLAGS: --allow-natives-syntax}\n")
            self.cluster.deploy(path)
            call = self.cluster.invoke(name, 0, node=2)
            self.assertEqual(call["start"], "remote-fork")
            bits = call["output"][0] & (OPTIMISED | TURBOFANNED)
            self.assertEqual(bits, OPTIMISED | TURBOFANNED if optimised else 0, name)


if __name__ == "__main__":
    cluster.main("root", "netns", "ip")
