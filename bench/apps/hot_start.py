"""bench/run isolate, case hot: the first call in an instance that was forked to another node, over those after it.

A kernel of about 2 ms times itself. It is deployed on node 1 anew for each sample, with samples and without, and called
on node 2; "local" is the first call of an untrained one on node 1. Prints "series value" lines, in microseconds."""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 9
LATER = 15
TARGET_US = 2000
BIN = os.environ["RAMET_BIN"]
LUA = """
local function sum(n)
    local s = 0
    for i = 1, n do s = (s + i * i) % 1000003 end
    return s
end

return function(n, context)
    local before = context.remaining or 0
    local s = sum(n)
    return { (before - (context.remaining or 0)) * 1e6, s }
end
"""
JS = """
function sum(n) {
    let s = 0;
    for (let i = 1; i <= n; i++) s = (s + i * i) % 1000003;
    return s;
}
export function handler(n, context) {
    const before = context.remaining ?? 0;
    const s = sum(n);
    return [(before - (context.remaining ?? 0)) * 1e6, s];
}
"""
KERNELS = {"lua": LUA, "js": JS}


def ramet(*args):
    ran = subprocess.run([os.path.join(BIN, "ramet"), *args, "--json"], capture_output=True, text=True)
    if ran.returncode != 0:
        raise SystemExit(f"ramet {args[0]}: {ran.stderr.strip() or ran.stdout.strip()}")
    return json.loads(ran.stdout)


class Kernel:
    def __init__(self, directory, lang):
        self.directory, self.lang, self.work = pathlib.Path(directory), lang, 100_000
        self.made = 0

    def expected(self):
        s = 0
        for i in range(1, self.work + 1):
            s = (s + i * i) % 1000003
        return s

    def deploy(self, trained):
        """Under a name that no instance has yet."""
        self.made += 1
        name = f"{self.lang}_{self.made}"
        below = self.directory / name
        below.mkdir()
        (below / f"kernel.{self.lang}").write_text(KERNELS[self.lang])
        config = f"name: {name}\nhandler: kernel.{self.lang}:handler\n"
        if trained:
            (below / "samples").write_text(f"{self.work}\n" * 20)
            config += "samples: samples\n"
        (below / "ramet.yaml").write_text(config)
        ramet("deploy", str(below), "--node", "1")
        return name

    def call(self, name, node, answer):
        result = ramet("invoke", name, "--node", str(node), "--data", str(self.work), "--deadline", "30s")
        us, value = result["output"]
        if value != answer:
            raise SystemExit(f"{name} answered {value}, not {answer}")
        return us, result["start"], result["pid"]

    def calibrate(self):
        """Makes the kernel take about 2 ms, once it is compiled."""
        answer, name = self.expected(), self.deploy(True)
        steady = statistics.median(self.call(name, 1, answer)[0] for _ in range(LATER))
        ramet("remove", name)
        self.work = int(self.work * TARGET_US / steady)

    def sample(self, trained, answer):
        name = self.deploy(trained)
        first, start, pid = self.call(name, 2, answer)
        if start != "remote-fork":
            raise SystemExit(f"the first call on node 2 began as {start}")
        later = [self.call(name, 2, answer) for _ in range(LATER)]
        if any(each[2] != pid for each in later):
            raise SystemExit("the instance was replaced between calls")
        ramet("remove", name)
        return first, statistics.median(each[0] for each in later)


def run(directory, lang):
    kernel = Kernel(directory, lang)
    kernel.calibrate()
    answer = kernel.expected()
    for _ in range(ROUNDS):
        for trained in (True, False):
            first, steady = kernel.sample(trained, answer)
            kind = "trained" if trained else "untrained"
            print(f"{lang}_{kind}", first)
            print(f"{lang}_{kind}_steady", steady)
        print(f"{lang}_local", kernel.call(kernel.deploy(False), 1, answer)[0])
        print(f"{lang}_local_steady", steady)
    sys.stdout.flush()


def main():
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        for lang in KERNELS:
            if os.path.exists(os.path.join(BIN, "..", "lib", "ramet", f"engine_{lang}.so")):
                run(directory, lang)
            else:
                print(f"{lang}: this build has no engine of it", file=sys.stderr)


main()
