"""Calls that are followed, left running, waited for and cancelled from elsewhere, on a cluster of three nodes."""
import json
import re

import cluster
from cluster import CANCELLED, OK, REFUSED

ENDLESS = """
def handler(event, context):
    print("begun with", event, flush=True)
    while True:
        pass
"""
ECHO = """
import sys
def handler(event, context):
    print("to stdout", event, flush=True)
    print("to stderr", event, file=sys.stderr, flush=True)
    return event
"""


TELLS = """
def handler(event, context):
    print("before", flush=True)
    for n in range(event):
        context.progress(n / event, "step %d" % n)
        context.emit({"n": n})
    context.emit("bytes\\né\\n".encode())
    return "end"
"""
STREAM = """
def handler(event, context):
    context.emit("begun")
    while True:
        pass
"""


class Following(cluster.Case):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(cluster.Cluster(3))
        cls.cluster.deploy(cls.cluster.scratch.write("endless.py", ENDLESS))
        cls.cluster.deploy(cls.cluster.scratch.write("echo.py", ECHO))
        cls.cluster.deploy(cls.cluster.scratch.write("tells.py", TELLS))
        cls.cluster.deploy(cls.cluster.scratch.write("stream.py", STREAM))

    def detach(self, name, data, node=0, via=None):
        args = ["--node", node] if node else []
        ran = (via or self.cluster).run("invoke", name, "--detach", "--data", json.dumps(data), *args)
        call = ran.out.strip()
        self.assertRegex(call, r"^[0-9a-z.-]+$")
        return call

    def read_until(self, process, stream, text):
        for line in stream:
            if text in line:
                return line
        self.fail(f"it ended with {process.wait()} without {text!r}")

    def test_a_detached_call_is_waited_for_once_from_any_node(self):
        for node in (1, 2, 3):
            call = self.detach("echo", [node], node)
            result = self.cluster.client_of(1 + node % 3).run("wait", call, "--json").json()
            self.assertEqual((result["output"], result["node"], result["call"]), ([node], node, call))
            self.cluster.run("wait", call, code=REFUSED)

    def test_a_detached_call_is_cancelled(self):
        for node in (1, 2):
            call = self.detach("endless", node, node)
            cluster.eventually("it runs", lambda: self.cluster.list("ps", call=call, state="busy"))
            self.cluster.run("cancel", call)
            error = self.cluster.run("wait", call, "--json", code=CANCELLED).json()["error"]
            self.assertEqual(error["code"], "ECANCELED")
            self.cluster.run("cancel", call, code=REFUSED)
            cluster.eventually("nothing runs it", lambda: not self.cluster.list("ps", call=call))

    def test_logs_of_a_call_are_followed_to_its_end(self):
        for node in (1, 3):
            call = self.detach("endless", f"mark {node}", node)
            logs = self.cluster.start("logs", "-f", "--call", call)
            line = self.read_until(logs, logs.stdout, f"begun with mark {node}")
            self.assertIn(call, line)
            other = self.cluster.invoke("echo", "somebody else")
            self.assertEqual(other["output"], "somebody else")
            self.cluster.run("cancel", call)
            rest, err = logs.communicate(timeout=30)  # it ends with the call
            self.assertEqual((logs.returncode, err), (OK, ""))
            self.assertNotIn("somebody else", rest)
            self.cluster.run("wait", call, code=CANCELLED)

    def test_what_a_followed_call_prints_is_seen_while_it_runs(self):
        for node in (1, 2):
            follower = self.cluster.start("invoke", "endless", "--follow", "--data", '"seen"', "--node", node)
            self.read_until(follower, follower.stderr, "begun with seen")
            busy = cluster.only(self.cluster.list("ps", function="endless", state="busy"))
            self.assertEqual(busy["node"], node)
            self.cluster.run("cancel", busy["call"])
            self.assertEqual(follower.wait(timeout=30), CANCELLED)
            follower.communicate()

    def test_output_and_result_are_apart(self):
        for node in (1, 2):
            ran = self.cluster.run("invoke", "echo", "--follow", "--data", "[7]", "--node", node)
            self.assertEqual(json.loads(ran.out), [7])
            self.assertTrue(re.search(r"to stdout \[7\]", ran.err) and re.search(r"to stderr \[7\]", ran.err), ran.err)

    def test_what_a_followed_call_emits_comes_before_its_result(self):
        for node in (1, 2):
            ran = self.cluster.run("invoke", "tells", "--follow", "--data", "2", "--node", node)
            self.assertEqual(ran.out, '{"n": 0}\n{"n": 1}\nbytes\né\n"end"\n')
            self.assertRegex(ran.err, r"before\n")
            self.assertEqual(re.findall(r"^ *\d+% .*$", ran.err, re.M), ["  0% step 0", " 50% step 1"])
            ran = self.cluster.run("invoke", "tells", "--follow", "--json", "--data", "1", "--node", node)
            lines = [json.loads(line) for line in ran.out.splitlines()]
            self.assertEqual(lines[:3], [{"event": "progress", "fraction": 0, "text": "step 0"},
                                         {"event": "chunk", "chunk": {"n": 0}},
                                         {"event": "chunk", "chunk_base64": "Ynl0ZXMKw6kK"}])
            self.assertEqual((lines[3]["output"], lines[3]["node"], len(lines)), ("end", node, 4))
        plain = self.cluster.run("invoke", "tells", "--data", "2")
        self.assertEqual((json.loads(plain.out), plain.err), ("end", ""))

    def test_what_is_emitted_is_seen_while_the_call_runs(self):
        for node in (1, 2):
            follower = self.cluster.start("invoke", "stream", "--follow", "--node", node)
            self.assertEqual(follower.stdout.readline(), '"begun"\n')
            busy = cluster.only(self.cluster.list("ps", function="stream", state="busy"))
            self.assertEqual(busy["node"], node)
            self.cluster.run("cancel", busy["call"])
            self.assertEqual(follower.wait(timeout=30), CANCELLED)
            follower.communicate()


if __name__ == "__main__":
    cluster.main("root", "netns", "ip")
