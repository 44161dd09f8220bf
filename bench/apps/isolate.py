"""bench/run isolate, in a cluster: first calls of forked, trained functions on another node, and calls in new clones of
seeds with one language and with two. Prints "series value" lines."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from ramet import _ramet

RAMET = os.path.join(os.environ["RAMET_BIN"], "ramet")
CALLS = 40
WARM_UP = 5
# kernels of about 2 ms once they are compiled
HOT = {
    "js": ("app.js", 400_000, """
export function handler(event) {
    let s = 0;
    for (let i = 0; i < event; i++)
        s = (s + i * 7 + (i ^ (s & 255))) % 1000003;
    return s;
}
"""),
    "lua": ("app.lua", 280_000, """
return { handler = function(event)
    local s = 0
    for i = 1, event do s = (s + i * 7 + i % 256) % 1000003 end
    return s
end }
"""),
}
PYTHON = "import numpy\n\n\ndef handler(event, context):\n    return event\n"


def deploy(directory, name, config, files):
    below = pathlib.Path(directory) / name
    below.mkdir()
    for file, text in files.items():
        (below / file).write_text(text)
    (below / "ramet.yaml").write_text(config)
    subprocess.run([RAMET, "deploy", str(below), "--json"], check=True, capture_output=True)


def call(handle, name, event, node):
    result = handle.send(name, json.dumps(event).encode(), 0, node, 0.0).wait(60000)
    if result.code:
        raise SystemExit(f"{name}: {result.message}")
    return result.info()


def first_calls(handle, name, event, node):
    """Each in a clone of its own, but for those that make templates and record what is touched."""
    for i in range(WARM_UP + CALLS):
        info = call(handle, name, event, node)
        if i >= WARM_UP:
            yield info["run_us"]


def hot(directory, handle):
    for lang, (file, event, text) in HOT.items():
        yaml = f"handler: {file}:handler\n"
        trained = {"samples": f"{event}\n"}
        deploy(directory, f"{lang}_first", f"name: {lang}_first\n{yaml}samples: samples\nfresh: fresh\n", {file: text, **trained})
        deploy(directory, f"{lang}_untrained", f"name: {lang}_untrained\n{yaml}fresh: fresh\n", {file: text})
        deploy(directory, f"{lang}_steady", f"name: {lang}_steady\n{yaml}samples: samples\n", {file: text, **trained})
    for lang, (_, event, _) in HOT.items():
        for _ in range(50):
            call(handle, f"{lang}_steady", event, 2)
        series = {name: first_calls(handle, f"{lang}_{name}", event, 2) for name in ("first", "untrained", "steady")}
        for values in zip(*series.values()):  # in turn: the machine is shared
            for name, us in zip(series, values):
                print(f"{lang}_{name}", us)


def tax(directory, handle):
    python = {"app.py": PYTHON}
    deploy(directory, "python", "app: python\nfunctions:\n  - {name: python, handler: \"app.py:handler\"}\nfresh: fresh\n", python)
    deploy(directory, "poly", "app: poly\nfunctions:\n  - {name: poly, handler: \"app.py:handler\"}\n"
           "  - {name: sum, handler: \"app.js:handler\"}\nfresh: fresh\n",
           {**python, "app.js": "export const handler = (event) => event;\n"})
    for i in range(WARM_UP + 3 * CALLS):
        for name in ("python", "poly"):
            # by the socket: a clone is made for the call, and is not there before it
            done = json.loads(subprocess.run([RAMET, "invoke", name, "--data", "1", "--json"], check=True, capture_output=True,
                                             text=True).stdout)
            if i >= WARM_UP and done["start"] == "local-fork":
                print(name, done["us"]["start"] + done["us"]["run"])


def main():
    handle = _ramet.Handle(os.path.join(os.environ["RAMET_DIR"], "node1", "client.sock"))
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        {"hot": hot, "tax": tax}[sys.argv[1]](directory, handle)
    handle.close()


main()
