"""bench/run isolate, case density: the memory of 50 functions in four languages, each called once and idle, in a node of ours
(its daemons, seeds, templates, sandboxes and instances together), as a process each (python3, node, luajit), and as one
process for each language that holds its functions. Prints "series value" lines, in bytes."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

RAMET = os.path.join(os.environ["RAMET_BIN"], "ramet")
COUNT = {"python": 14, "js": 12, "lua": 12, "wasm": 12}
NUMPY = 5  # of those in Python
ROUNDS = 3

PLAIN = "import json, re\n\n\ndef handler(event, context):\n    return {number} + len(re.findall('a', json.dumps(event)))\n"
ARRAYS = "import numpy\n\n\ndef handler(event, context):\n    return float(numpy.sum(numpy.arange({number})))\n"
JS = "export const handler = (event) => event.length + {number};\n"
LUA = "return {{ handler = function(event) return #event + {number} end }}\n"
WAT = """(module (import "ramet" "output" (func $output (param i32 i32 i32))) (memory (export "memory") 2)
  (data (i32.const 0) "{number}")
  (func (export "handler") (result i32)
    (call $output (i32.const 0) (i32.const {digits}) (i32.const 0)) (i32.const 0)))
"""
# the same functions in processes of their own, which stay
ALONE = {
    "python": "import sys, importlib.util\nfor path in sys.argv[1:]:\n    spec = importlib.util.spec_from_file_location('m', path)\n"
              "    module = importlib.util.module_from_spec(spec)\n    spec.loader.exec_module(module)\n    module.handler('aab', None)\n"
              "    globals()[path] = module\nprint('ready', flush=True)\nsys.stdin.read()\n",
    "js": "const kept = [];\nfor (const path of process.argv.slice(2)) {\n  const module = await import(path);\n"
          "  module.handler('aab'); kept.push(module);\n}\nconsole.log('ready');\nprocess.stdin.resume();\n",
    "lua": "kept = {}\nfor i = 1, #arg do kept[i] = dofile(arg[i]) kept[i].handler('aab') end\nprint('ready') io.stdout:flush() io.read('*a')\n",
    "wasm": "import fs from 'node:fs';\nconst kept = [];\nfor (const path of process.argv.slice(2)) {\n"
            "  const made = await WebAssembly.instantiate(fs.readFileSync(path), { ramet: { output() {} } });\n"
            "  made.instance.exports.handler(); kept.push(made);\n}\nconsole.log('ready');\nprocess.stdin.resume();\n",
}
RUNS = {"python": ["/usr/bin/python3", "alone.py"], "js": ["node", "alone.mjs"], "lua": ["luajit", "alone.lua"], "wasm": ["node", "alone_wasm.mjs"]}


def write_all(directory):
    """{language: [file, ...]}"""
    files = {lang: [] for lang in COUNT}
    for lang, count in COUNT.items():
        for number in range(10, 10 + count):
            if lang == "python":
                name, text = f"p{number}.py", ARRAYS if number < 10 + NUMPY else PLAIN
            else:
                name, text = {"js": (f"j{number}.mjs", JS), "lua": (f"l{number}.lua", LUA), "wasm": (f"w{number}.wat", WAT)}[lang]
            (directory / name).write_text(text.replace("{number}", str(number)).replace("{digits}", "2").replace("{{", "{").replace("}}", "}"))
            if lang == "wasm":
                subprocess.run(["wat2wasm", name, "-o", f"w{number}.wasm"], cwd=directory, check=True)
                name = f"w{number}.wasm"
            files[lang].append(name)
    return files


def pss(pids):
    """Bytes of processes, without our memory files, which are counted once each where they are open."""
    total = 0
    for pid in pids:
        ours = False
        try:
            for line in open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace"):
                if line[0] in "0123456789abcdef" and "-" in line.split(" ", 1)[0]:
                    ours = "/memfd:ramet-" in line
                elif line.startswith("Pss:") and not ours:
                    total += int(line.split()[1]) << 10
        except (FileNotFoundError, ProcessLookupError):
            continue  # a sandbox that was used
    return total


def memory_files(pids):
    seen = {}
    for pid in pids:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{fd}"
                if "/memfd:ramet-" in os.readlink(path):
                    stat = os.stat(path)
                    seen[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
        except (FileNotFoundError, ProcessLookupError):
            continue
    return sum(seen.values())


def below(pid):
    """It, and all that it has started, and they."""
    parents = {}
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit():
                parents.setdefault(int(open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()[1]), []).append(int(entry))
        except (FileNotFoundError, ProcessLookupError):
            continue
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += parents.get(found[-1], [])
    return found


def ramet(*args):
    return json.loads(subprocess.run([RAMET, *args, "--json"], check=True, capture_output=True, text=True).stdout)


def in_a_node(directory, files):
    functions = [(f"f{i}", file) for i, file in enumerate(name for names in files.values() for name in names)]
    (directory / "ramet.yaml").write_text("app: density\nbind: shared\nfunctions:\n" + "".join(
        f"  - {{name: {name}, handler: \"{file}:handler\"}}\n" for name, file in functions))
    ramet("deploy", str(directory))
    for name, _ in functions:
        ramet("invoke", name, "--data", '"aab"')
    pid, = [row["pid"] for row in ramet("nodes")]
    pids = below(pid)
    return pss(pids) + memory_files(pids)


def alone(directory, runs):
    """Processes for these [(language, files)], all of them at once."""
    started = []
    for lang, names in runs:
        command = [*RUNS[lang], *(str(directory / name) for name in names)]
        command[1] = str(directory / command[1])
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    for process in started:
        if process.stdout.readline() != b"ready\n":
            raise SystemExit(f"{process.args} failed")
    total = pss([process.pid for process in started])
    for process in started:
        process.communicate()
    return total


def main():
    for program in ("node", "luajit", "wat2wasm", "wasm2c"):
        if not shutil.which(program):
            raise SystemExit(f"density needs the program {program}")
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        directory = pathlib.Path(top) / "density"
        directory.mkdir()
        files = write_all(directory)
        for lang, text in ALONE.items():
            (directory / RUNS[lang][1]).write_text(text)
        for _ in range(ROUNDS):
            print("each", alone(directory, [(lang, [name]) for lang, names in files.items() for name in names]))
            print("language", alone(directory, list(files.items())))
        for lang in ALONE:
            (directory / RUNS[lang][1]).unlink()
        ours = in_a_node(directory, files)
        for _ in range(ROUNDS):
            print("ours", ours)


main()
