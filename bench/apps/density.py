"""bench/run isolate, case density: 50 functions in four languages, each called once and idle, against a process for each
and against one process per language. Prints "series value" lines: functions per GiB of memory (PSS of all processes, and
what the node's memory files hold besides)."""
import collections
import contextlib
import ctypes
import json
import os
import pathlib
import re
import select
import shutil
import subprocess
import sys
import tempfile

COUNT = 50
BIN = os.environ["RAMET_BIN"]
DIR = pathlib.Path(os.environ["RAMET_DIR"])
NATIVE = pathlib.Path(BIN).parent / "lib" / "libbench_invoke.so"
WASM = pathlib.Path(BIN).parent / "bench" / "modules" / "isolate.wasm"

PLAIN = """import json


def handler(event, context):
    return json.loads(json.dumps(event))
"""
NUMPY = """import numpy


def handler(event, context):
    return int(numpy.array([event]).sum())
"""
LUA = "return { handler = function(event) return event end }\n"
ENDS = {"python": "py", "lua": "lua", "js": "mjs"}
JS = "export function handler(event) { return event; }\n"

# Each takes lines of JSON and answers them: the least that a process of its own is. With several files it holds them all.
SERVERS = {
    "python": ["/usr/bin/python3", "-S", "-c", """
import importlib.util, json, sys
sys.path.append("/usr/lib/python3/dist-packages")
handlers = []
for path in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location("m%d" % len(handlers), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handlers.append(module.handler)
for line in sys.stdin:
    print(json.dumps([handler(json.loads(line), None) for handler in handlers][0]), flush=True)
"""],
    "lua": ["luajit", "-e", """
local handlers = {}
for i = 1, #arg do handlers[i] = dofile(arg[i]).handler end
for line in io.lines() do
    local last
    for i = 1, #handlers do last = handlers[i](tonumber(line)) end
    print(last) io.flush()
end
"""],
    "js": ["node", "-e", """
Promise.all(process.argv.slice(1).map((path) => import(path))).then((modules) => {
    require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
        console.log(JSON.stringify(modules.map((module) => module.handler(JSON.parse(line)))[0]));
    });
});
"""],
    "wasm": ["node", "-e", """
const { readFileSync } = require("fs");
const handlers = process.argv.slice(1).map((path) => {
    let text = "";
    const output = (ptr, len) => { text = Buffer.from(memory.buffer, ptr, len).toString(); };
    const { memory, ramet_alloc, echo } =
        new WebAssembly.Instance(new WebAssembly.Module(readFileSync(path)), { ramet: { output } }).exports;
    return (line) => {
        const ptr = ramet_alloc(line.length);
        Buffer.from(memory.buffer).write(line, ptr);
        if (echo(ptr, line.length) !== 0) throw new Error("echo failed");
        return text;
    };
});
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
    console.log(handlers.map((handler) => handler(line))[0]);
});
"""],
    "native": ["cat"],  # the least of a process that echoes
}


def has_engine(lang):
    return os.path.exists(os.path.join(BIN, "..", "lib", "ramet", f"engine_{lang}.so"))


def languages():
    """Four of them where there are so many; native where WebAssembly is missing."""
    found = ["python"]
    for lang in ("lua", "js", "wasm"):
        if has_engine(lang) and shutil.which(SERVERS[lang][0]) and (lang != "wasm" or WASM.exists()):
            found.append(lang)
        else:
            print(f"density: without {lang}: no engine in this build, or no {SERVERS[lang][0]}", file=sys.stderr)
    return found if len(found) == 4 else [*found, "native"]


def write(directory):
    """{name: (lang, file)} of 50 functions; every third of Python imports numpy"""
    functions = {}
    langs = languages()
    for i in range(COUNT):
        lang = langs[i % len(langs)]
        name = f"f{i}_{lang}"
        if lang in ("native", "wasm"):
            functions[name] = lang, (NATIVE if lang == "native" else WASM).name
            continue
        text = {"python": NUMPY if i // len(langs) % 3 == 0 else PLAIN, "lua": LUA, "js": JS}[lang]
        file = f"{name}.{ENDS[lang]}"
        (directory / file).write_text(text)
        functions[name] = lang, file
    for lang, file in (("native", NATIVE), ("wasm", WASM)):
        if lang in langs:
            shutil.copy(file, directory)
    return functions


# --- memory ---

_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ (\S+) (\d+) *(.*)$")


def _smaps(pid):
    """(PSS of the process, {memory file: its part of that})"""
    total, files, key = 0, collections.Counter(), None
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        found = _MAPPING.match(line)
        if found:
            key = (found[1], found[2]) if "memfd:" in found[3] else None
        elif line.startswith("Pss:"):
            size = int(line.split()[1]) * 1024
            total += size
            if key:
                files[key] += size
    return total, files


def _memory_files(pid):
    """{memory file that is open: bytes it holds}"""
    held = {}
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            if "memfd:" not in os.readlink(fd):
                continue
            stat = os.stat(fd)
        except FileNotFoundError:
            continue
        held[f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}", str(stat.st_ino)] = stat.st_blocks * 512
    return held


_SYS_KCMP, _KCMP_VM = 312, 1  # of x86-64


def address_spaces(pids):
    """One process for each: those that share one (the inits of sandboxes, CLONE_VM) are told the same PSS, each of them."""
    found = []
    for pid in sorted(pids):
        compared = (ctypes.CDLL(None, use_errno=True).syscall(_SYS_KCMP, pid, other, _KCMP_VM, 0, 0) for other in found)
        if not any(result == 0 for result in compared):
            found.append(pid)
    return found


def memory(pids):
    """Bytes, by program, and in memory files without being mapped."""
    sizes, mapped, held = collections.Counter(), collections.Counter(), {}
    for pid in address_spaces(pids):
        try:
            size, files = _smaps(pid)
            held.update(_memory_files(pid))
            name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        sizes[name] += size
        mapped.update(files)
    sizes["unmapped"] = sum(max(0, size - mapped[key]) for key, size in held.items())
    return sizes


def descendants(pid):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    found, level = {pid}, {pid}
    while level:
        level = {each for each, parent in parents.items() if parent in level} - found
        found |= level
    return found


# --- ours ---


def ramet(*args):
    ran = subprocess.run([os.path.join(BIN, "ramet"), *args, "--json"], capture_output=True, text=True)
    if ran.returncode != 0:
        raise SystemExit(f"ramet {args[0]}: {ran.stderr.strip() or ran.stdout.strip()}")
    return json.loads(ran.stdout)


def call(name):
    """The pid of the instance that answered."""
    called = ramet("invoke", name, "--data", "7")
    if called["output"] != 7:
        raise SystemExit(f"{name} answered {called['output']}")
    return called["pid"]


def wait_for_end(pid):
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        ended = select.select([fd], [], [], 60)[0]
        os.close(fd)
        if not ended:
            raise SystemExit("the app's host is still there")


def ours(directory, functions):
    rows = "".join(f"  - {{name: {name}, handler: \"{file}:{'echo' if lang in ('native', 'wasm') else 'handler'}\"}}\n"
                   for name, (lang, file) in functions.items())
    bind = "bind: shared\n" if any(lang in ("lua", "js", "wasm") for lang, _ in functions.values()) else ""
    (directory / "ramet.yaml").write_text(f"app: density\nfunctions:\n{rows}{bind}")
    ramet("deploy", str(directory))
    pids = {name: call(name) for name in functions}
    host = next(row["pid"] for row in ramet("ps") if row["start"] == "cold")
    wait_for_end(host)  # the process that initialised the app: idle for 10 s it goes, and a clone takes the next call
    pids.update({name: call(name) for name, pid in pids.items() if pid == host})
    daemon = int((DIR / "node1" / "pid").read_text().split()[0])
    alive = descendants(daemon)
    gone = [name for name, pid in pids.items() if pid not in alive]
    if gone:
        raise SystemExit(f"not resident: {' '.join(gone)}")
    print(f"density: {len(set(pids.values()))} instances, {len(alive)} processes", file=sys.stderr)
    return memory(alive)


# --- theirs ---


def serve(directory, lang, files):
    env = {"PATH": "/usr/bin:/bin", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    argv = SERVERS[lang]
    if lang == "native":
        files = []
    if lang == "lua":  # its option -e takes no arguments but behind a script
        script = directory / "server.lua"
        script.write_text(argv[2])
        argv = [argv[0], str(script)]
    server = subprocess.Popen([*argv, *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=directory, text=True)
    server.stdin.write("7\n")
    server.stdin.flush()
    if server.stdout.readline() != "7\n":
        raise SystemExit(f"a {lang} process did not answer")
    return server


def theirs(directory, groups):
    servers = []
    try:
        for lang, files in groups:
            servers.append(serve(directory, lang, [str(directory / file) for file in files]))
        return memory([server.pid for server in servers])
    finally:
        for server in servers:
            server.kill()
            server.communicate()


def main():
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        directory = pathlib.Path(path)
        functions = write(directory)
        by_language = collections.defaultdict(list)
        for lang, file in functions.values():
            by_language[lang].append(file)
        # first of all theirs: their libraries' files are then shared with none of ours
        sizes = {"each": theirs(directory, [(lang, [file]) for lang, file in functions.values()]),
                 "language": theirs(directory, by_language.items()), "ours": ours(directory, functions)}
        for name, parts in sizes.items():
            size = sum(parts.values())
            told = ", ".join(f"{part} {bytes_ / 2**20:.1f}" for part, bytes_ in parts.most_common())
            print(f"density: {name}: {size / 2**20:.1f} MiB ({told})", file=sys.stderr)
            print(name, COUNT / (size / 2**30))


main()
