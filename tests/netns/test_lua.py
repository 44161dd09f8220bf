"""Lua functions in a cluster: deployed once, forked to another node with their machine code, brought back after each call, kept apart,
ended by name, and called through leases."""
import re

import cluster
from cluster import DEADLINE, FAILED

APP = """
local module = require("lib.words")
local calls, table_of = 0, {}
for i = 1, 1000 do table_of[i] = i * i end

local function sum(n)
    local s = 0
    for i = 1, n do s = (s + i * i) % 1000003 end
    return s
end

local f = {}
function f.echo(event) return event end
function f.count() calls = calls + 1 return calls end
function f.square(event) return table_of[event] end
function f.word() return module.word end
function f.random() return math.random(1, 2 ^ 31) end
function f.spin() while true do end end
function f.fail() error("no luck today") end
function f.say(event) print("said", event) return json.null end
function f.tell(event, context)
    for i = 1, event do
        context.emit({ i })
        context.progress(i / event, "at " .. i)
    end
    return "told"
end
function f.timed(event)
    local begin = os.clock()
    return { sum(event), os.clock() - begin }
end
return f
"""
# a hundred loops, each of which has machine code of its own once it was compiled
HOT = """
local loops = {}
for k = 1, 100 do
    loops[k] = load("local n = ... local s = 0 for i = 1, n do s = (s + i * " .. k .. ") % 1000003 end return s")
end
return function(event)
    local s = 0
    for _, loop in ipairs(loops) do s = s + loop(event) end
    return s
end
"""
NAMES = ["echo", "count", "square", "word", "random", "spin", "fail", "say", "tell", "timed"]
YAML = """app: lua
functions:
""" + "".join(f"  - {{name: {name}, handler: \"app.lua:{name}\"}}\n" for name in NAMES) + """fresh: FRESH
limits: {deadline: 2s}
"""


class Lua(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2))

    def deploy(self, fresh="reuse"):
        self.cluster.scratch.write("app/app.lua", APP)
        self.cluster.scratch.write("app/lib/words.lua", 'return { word = "module" }\n')
        path = self.cluster.scratch.write("app/ramet.yaml", YAML.replace("FRESH", fresh))
        return self.cluster.deploy(path.parent)

    def output(self, *args, **options):
        return self.cluster.invoke(*args, **options)["output"]

    def test_is_deployed_once_and_forked(self):
        self.assertEqual(self.deploy()["start"], "cold")
        call = self.cluster.invoke("square", 12, node=2)
        self.assertEqual((call["start"], call["output"]), ("remote-fork", 144))
        for value in (1, "é", [1, [], {"a": [None]}], {}, [], None, True, 0.25):
            self.assertEqual(self.output("echo", value, node=2), value)
        self.assertEqual(self.output("word", node=2), "module")
        self.assertEqual([row["lang"] for row in self.cluster.list("functions", function="echo")][0], "lua")
        self.assertEqual(len({self.output("random", node=node) for node in (1, 2)}), 2)

    def test_starts_hot_on_another_node(self):
        scratch = self.cluster.scratch
        path = scratch.write("hot/app.lua", HOT).parent
        scratch.write("hot/samples", "200\n")
        scratch.write("hot/ramet.yaml", "name: hot\nhandler: app.lua:handler\nsamples: samples\nfresh: fresh\n")
        said = self.cluster.run("deploy", path, "--json").err
        told = re.search(r"hot: first call cold (\S+) ms, in a fork (\S+) ms untrained, (\S+) ms trained \(\d+ pass\w*\), steady (\S+) ms",
                         said)
        self.assertTrue(told, said)
        _, untrained, trained, steady = map(float, told.groups())
        self.assertLess(trained, untrained / 2)
        self.assertLess(steady, trained * 2)
        calls = [self.cluster.invoke("hot", 200, node=2) for _ in range(5)]  # each in a new clone
        self.assertEqual({call["start"] for call in calls}, {"remote-fork", "local-fork"})
        self.assertLess(min(call["us"]["run"] for call in calls) / 1000, untrained / 2)

    def test_ends_by_name_and_goes_on(self):
        self.deploy()
        for node in (1, 2):
            error = self.cluster.invoke("fail", node=node, code=FAILED)["error"]
            self.assertEqual((error["code"], error["type"]), ("EUSER", "LuaError"))
            self.assertIn("app.lua:", error["message"])
            self.assertIn("no luck today", error["message"])
            error = self.cluster.invoke("spin", None, "--deadline", "300ms", node=node, code=DEADLINE)["error"]
            self.assertEqual((error["code"], error["kind"]), ("EDEADLINE", "limit"))
            self.assertEqual(self.output("square", 3, node=node), 9)

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
        cluster.eventually("it is in the log", lambda: "said\tloud" in self.cluster.run("logs", "--call", call).out)


if __name__ == "__main__":
    cluster.main("root", "netns", "ip")
