"""In guest 1 of two: a daemon in each, pages of a fork over RDMA, or over TCP where a node is told so. The argument is
the `transport:` of the node in guest 2; the last line says what was seen, as JSON."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ["RAMET_BIN"])
PORT = 7400
FUNCTION = """
TABLE = bytes(i * 7 % 251 for i in range(1 << 20))
def handler(event, context):
    return sum(TABLE[event::4096])
"""


def config(node, transport):
    other = 3 - node
    return (f"node: {node}\ndir: /run/ramet/n{node}\nclient_socket: /run/ramet/n{node}.sock\n"
            f"listen: \"10.77.0.{node}:{PORT}\"\ntransport: {transport}\n"
            f"peers: [{{node: {other}, listen: \"10.77.0.{other}:{PORT}\"}}]\n")


def start(node, transport):
    script = (f"mkdir -p /run/ramet && cat >/run/ramet/{node}.yaml && exec {BIN}/rametd --config /run/ramet/{node}.yaml "
              f">/run/ramet/{node}.log 2>&1")
    there = [] if node == 1 else [str(HERE / "on"), str(node)]
    text = config(node, transport).replace('"', '\\"')
    script = script.replace("cat >", f'printf "%s" "{text}" >')
    return subprocess.Popen([*there, "sh", "-c", script], stdin=subprocess.DEVNULL)


def log(node):
    there = [] if node == 1 else [str(HERE / "on"), str(node)]
    return subprocess.run([*there, "cat", f"/run/ramet/{node}.log"], capture_output=True, text=True, check=True).stdout


def ramet(*args):
    done = subprocess.run([BIN / "ramet", *args], capture_output=True, text=True,
                          env=dict(os.environ, RAMET_SOCKET="/run/ramet/n1.sock"))
    if done.returncode != 0:
        raise RuntimeError(f"ramet {' '.join(map(str, args))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def insist(*args):
    """Guests on a busy machine stand still now and then: starts take too long, and calls are lost by that."""
    for attempt in range(8):
        try:
            return json.loads(ramet(*args))
        except RuntimeError as error:
            if attempt == 7 or not ("ELOST" in str(error) or "ETIMEOUT" in str(error)):
                raise


def invoke(node):
    return insist("invoke", "table", "--node", node, "--data", "65", "--json")


def wait_up(daemons, transports):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for i, daemon in enumerate(daemons):
            if daemon.poll() is not None:  # its own time limits are for machines that do not stand still
                daemons[i] = start(i + 1, transports[i])
        try:
            if [row["state"] for row in json.loads(ramet("nodes", "--json"))] == ["up", "up"]:
                return
        except RuntimeError:
            pass
        time.sleep(0.1)
    raise RuntimeError("the nodes do not see each other")


def main():
    transports = ["auto", sys.argv[1]]
    daemons = [start(i + 1, transport) for i, transport in enumerate(transports)]
    seen = {}
    try:
        wait_up(daemons, transports)
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "table.py"
            path.write_text(FUNCTION)
            insist("deploy", str(path), "--json")
            seen["first"] = invoke("1")
            seen["second"] = invoke("2")
            seen["nodes"] = {row["node"]: row["transport"] for row in json.loads(ramet("nodes", "--json"))}
            seen["doctor"] = [row for row in json.loads(ramet("doctor", "--json")) if row["name"] in ("rdma", "transport")]
        seen["paths"] = [line.split("data.transport ")[1] for line in log(2).splitlines() if "data.transport " in line]
    except BaseException:
        for node in (1, 2):
            print(f"--- log of node {node}\n{log(node)[-4000:]}", file=sys.stderr)
        raise
    finally:
        daemons[0].terminate()
        subprocess.run([str(HERE / "on"), "2", "pkill", "-x", "rametd"])
        for daemon in daemons:
            daemon.wait()
    seen["warnings"] = [line for node in (1, 2) for line in log(node).splitlines() if " warn " in line]
    print(json.dumps(seen))


main()
