"""bench/run invoke, case redeploy: a function of numpy, deployed again and again with a small change, once as apps are
and once as one that has no base (whose processes see data of the node). Prints "series value" lines."""
import json
import os
import pathlib
import subprocess
import tempfile

ROUNDS = 7
FORKS = 12
RAMET = os.path.join(os.environ["RAMET_BIN"], "ramet")
APP = """
import json
import numpy as np

WEIGHTS = np.linspace(0, 1, 4096)


def score(values):
    return float(np.dot(WEIGHTS[: len(values)], values)) + {number}


def handler(event, context):
    return json.dumps(score(event or [1.0, 2.0]))
"""
CONFIG = "name: {name}\nlang: python\nhandler: {name}.py:handler\nfresh: fresh\n"


def ramet(*args):
    return subprocess.run([RAMET, *args, "--json"], check=True, capture_output=True, text=True).stdout


def deploy(directory, name, number, config=""):
    below = pathlib.Path(directory) / name
    below.mkdir(exist_ok=True)
    (below / f"{name}.py").write_text(APP.format(number=number))
    (below / "ramet.yaml").write_text(CONFIG.format(name=name) + config)
    made = json.loads(ramet("deploy", str(below)))
    row, = [row for row in json.loads(ramet("seeds")) if row["version"] == made["version"]]
    return made, row["own_bytes"] / 4096


def forks(name):
    for _ in range(FORKS):
        result = json.loads(ramet("invoke", name, "--data", "[3.0]"))
        if result["start"] == "local-fork":
            yield result["us"]["first_instruction"]


def main():
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        deploy(directory, "layered", 0)
        for number in range(1, ROUNDS + 1):
            for name, config in (("layered", ""), ("whole", "data: [/usr/share/zoneinfo]\n")):
                made, pages = deploy(directory, name, number, config)
                if (made["start"] == "local-fork") != (name == "layered"):
                    raise SystemExit(f"{name} began as {made['start']}")
                print(f"{name}_pages", pages)
                print(f"{name}_deploy", made["us"]["total"])
                for us in forks(name):
                    print(f"{name}_fork", us)


main()
