"""WebAssembly functions in a cluster: compiled once when they are deployed, forked to another node without wabt's help, brought
back after each call, ended by name; and what is wrong with a module is told to who deploys it."""
import pathlib
import shutil
import struct
import subprocess
import tempfile

import cluster
from cluster import BIN, DEADLINE, FAILED

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "runtime_host"
NAMES = ["same", "count", "random", "spin", "unreachable", "look", "clones", "tell"]
YAML = """app: wasm
functions:
""" + "".join(f"  - {{name: {name}, handler: \"lib/wasm_functions.wasm:{name}\"}}\n" for name in NAMES) + """\
  - {name: program, handler: "wasm_program.wasm:_start"}
init: lib/wasm_functions.wasm:begin
fresh: FRESH
limits: {deadline: 2s}
"""
TENANT = 4002


def section(number, data):
    return bytes([number, len(data)]) + data


def name(text):
    return bytes([len(text)]) + text.encode()


class Wasm(cluster.Case):
    def start(self, nodes=2):
        self.environments = pathlib.Path(tempfile.mkdtemp(prefix="ramet-environments-", dir="/var/tmp"))
        self.environments.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.environments, ignore_errors=True)
        self.cluster = cluster.Cluster(nodes)
        wrapper = self.cluster.scratch.write("rametd", f"""#!/bin/sh
echo "environments: {self.environments}" >>"$2"
exec "{BIN}/rametd" "$@"
""")
        wrapper.chmod(0o755)
        self.cluster.env["RAMET_RAMETD"] = str(wrapper)
        self.use(self.cluster)

    def modules(self, app="app"):
        path = self.cluster.scratch.path / app
        (path / "lib").mkdir(parents=True, exist_ok=True)
        for source, module in (("wasm_functions", "lib/wasm_functions"), ("wasm_program", "wasm_program")):
            subprocess.run(["wat2wasm", SOURCE / f"{source}.wat", "-o", path / f"{module}.wasm"], check=True)
        return path

    def deploy(self, fresh="reuse"):
        path = self.modules()
        (path / "ramet.yaml").write_text(YAML.replace("FRESH", fresh))
        return self.cluster.deploy(path)

    def objects(self, uid=0):
        return {path: path.stat().st_mtime_ns for path in (self.environments / str(uid) / "wasm" / "objects").iterdir()}

    def output(self, *args, **options):
        return self.cluster.invoke(*args, **options)["output"]

    def test_compiled_once_and_forked(self):
        self.start()
        self.assertEqual(self.deploy()["start"], "cold")
        call = self.cluster.invoke("same", {"a": [1, "é"]}, node=2)
        self.assertEqual((call["start"], call["output"]), ("remote-fork", {"a": [1, "é"]}))
        self.assertEqual([row["lang"] for row in self.cluster.list("functions", function="same")][0], "wasm")
        self.assertEqual(len({self.output("random", node=node) for node in (1, 2)}), 2)
        self.assertEqual([self.output("clones", node=2) for _ in range(2)], [1, 1])
        self.assertEqual([self.output("program", 7, node=node) for node in (1, 2, 2)], [[1, 7]] * 3)
        rows, summary = self.cluster.burst("random", 20)
        self.assertEqual(summary["ok"], 20)
        self.assertEqual(len({row["output"] for row in rows}), len(rows))
        self.assertIn("half", self.cluster.run("invoke", "tell", "--follow", "--node", 2).out)
        # the same modules in another version: nothing is compiled
        made = self.objects()
        self.assertEqual(len(made), 2)
        self.deploy("reset")
        self.assertEqual(self.objects(), made)
        self.assertEqual([path.name for path in (self.environments / "0" / "wasm").iterdir() if path.name.startswith("work")], [])

    def test_freshness(self):
        self.start()
        self.deploy()
        self.assertEqual([self.output("count", node=1) for _ in range(3)], [51, 62, 73])
        for fresh in ("reset", "fresh"):
            self.deploy(fresh)
            self.assertEqual([self.output("count", node=node) for node in (1, 1, 2, 2)], [51] * 4, fresh)

    def test_ends_by_name_and_goes_on(self):
        self.start()
        self.deploy()
        for node in (1, 2):
            error = self.cluster.invoke("unreachable", node=node, code=FAILED)["error"]
            self.assertEqual((error["code"], error["type"], error["message"]), ("EUSER", "WasmTrap", "unreachable"))
            error = self.cluster.invoke("spin", None, "--deadline", "300ms", node=node, code=DEADLINE)["error"]
            self.assertEqual((error["code"], error["kind"]), ("EDEADLINE", "limit"))
            self.assertEqual(self.output("same", 3, node=node), 3)

    def refused(self, data, symbol="f"):
        path = self.cluster.scratch.path / "broken.wasm"
        path.write_bytes(data)
        return self.cluster.deploy(path, "--handler", symbol, code=FAILED)["error"]

    def test_what_is_wrong_with_a_module_is_told(self):
        self.start(1)
        head = b"\0asm" + struct.pack("<I", 1)
        error = self.refused(b"no module at all")
        self.assertEqual(error["code"], "EUSER")
        self.assertIn("broken.wasm: it is no WebAssembly module", error["message"])
        types = section(1, b"\1\x60\0\0")
        self.assertIn('"env" "puts", which Ramet does not have',
                      self.refused(head + types + section(2, b"\1" + name("env") + name("puts") + b"\0\0"))["message"])
        self.assertIn('"ramet" "output" with type :, which has type iii:',
                      self.refused(head + types + section(2, b"\1" + name("ramet") + name("output") + b"\0\0"))["message"])
        # a function whose body is cut short, and one that nobody exports
        self.assertIn("it is not valid", self.refused(head + types + section(3, b"\1\0") + section(10, b"\1\2\0\x41"))["message"])
        self.assertIn("exports no function f", self.refused(head + types)["message"])
        # names are no C
        evil = section(7, b"\1" + name('*/ #error "taken"\n/*') + b"\0\0")
        body = section(10, b"\1\2\0\x0b")
        self.assertIn("exports no function f", self.refused(head + types + section(3, b"\1\0") + evil + body)["message"])
        self.assertEqual(self.cluster.list("functions"), [])
        self.assertEqual([row["state"] for row in self.cluster.run("doctor", "--json", code=None).json() if row["name"] == "wasm"], ["ok"])

    def test_a_tenant_compiles_as_itself(self):
        self.start(1)
        tenant = cluster.Cli(self.cluster.env, uid=TENANT)
        path = self.modules("mine")
        path.chmod(0o755)
        tenant.deploy(path / "wasm_program.wasm", "--name", "mine", "--handler", "_start")
        self.assertEqual(tenant.invoke("mine", 7)["output"], [1, 7])
        self.assertEqual({path.stat().st_uid for path in self.objects(TENANT)}, {TENANT})
        self.assertEqual((self.environments / str(TENANT)).stat().st_mode & 0o777, 0o700)


if __name__ == "__main__":
    cluster.main("root", "netns", "ip", "wat2wasm", "wasm2c")
