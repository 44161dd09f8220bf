"""What users get wrong: each mistake is told as what it is, with its own exit code, and the next good call is served."""
import signal
import socket
import subprocess
import unittest

import cluster
from cluster import BIN, DEADLINE, FAILED, NATIVE, REFUSED, USAGE

GOOD = "def handler(event, context):\n    return event * 2\n"

BAD = '''
import os

def handler(event, context):
    what = event["do"]
    if what == "raise":
        return inner(event["with"])
    if what == "spin":
        while True:
            pass
    if what == "stubborn":
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass
    if what == "output":
        return "x" * event["size"]
    if what == "exit":
        print("leaving", flush=True)
        os._exit(event["status"])
    if what == "not json":
        return {1, 2}
    return what

def inner(text):
    raise LookupError(text)
'''


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(cluster.Cluster(2))
        cls.scratch = cls.cluster.scratch
        cls.cluster.deploy(cls.scratch.write("good.py", GOOD))
        cls.cluster.deploy(cls.scratch.write("bad.py", BAD))

    def tearDown(self):
        for node in (1, 2):
            self.assertEqual(self.cluster.invoke("good", 21, node=node)["output"], 42)

    def check_served(self, name="bad"):
        """The function that misbehaved serves the next call."""
        for node in (1, 2):
            call = self.cluster.invoke(name, {"do": "well"}, node=node)
            self.assertEqual(call["output"], "well")
            self.assertIsNone(call["error"])

    def fail_deploy(self, name, text, code, *options):
        """The error of a deployment that must fail, and must leave no function."""
        path = self.scratch.write(name + ".py", text)
        ran = self.cluster.run("deploy", path, "--json", *options, code=code)
        self.assertEqual(self.cluster.list("functions", function=name), [])
        return ran.json()["error"] if ran.out else {"message": ran.err}

    # --- calls ---

    def test_unknown_function(self):
        ran = self.cluster.run("invoke", "nobody", code=REFUSED)
        self.assertIn("nobody", ran.err)
        self.cluster.run("burst", "nobody", "-n", 3, code=REFUSED)
        self.cluster.run("remove", "nobody", code=REFUSED)

    def test_unknown_node(self):
        ran = self.cluster.run("invoke", "good", "--node", 9, "--data", "1", code=REFUSED)
        self.assertIn("node 9", ran.err)

    def test_data_that_is_not_json(self):
        ran = self.cluster.run("invoke", "good", "--data", "{oops", code=USAGE)
        self.assertIn("JSON", ran.err)

    def test_handler_raises(self):
        for node in (1, 2):
            call = self.cluster.invoke("bad", {"do": "raise", "with": "no such key: é"}, node=node, code=FAILED)
            error = call["error"]
            self.assertEqual((error["code"], error["kind"], error["type"]), ("EUSER", "user", "LookupError"))
            self.assertEqual(error["message"], "no such key: é")
            self.assertEqual((error["node"], error["retryable"], error["signal"]), (node, False, None))
            self.assertRegex(error["traceback"], r'(?s)bad\.py", line \d+, in handler.*line \d+, in inner.*LookupError')
            self.assertIsNone(call["output"])
            self.assertGreater(call["pid"], 0)
        text = self.cluster.run("invoke", "bad", "--data", '{"do": "raise", "with": "plainly"}', code=FAILED)
        self.assertRegex(text.err, r"(?s)LookupError: plainly.*Traceback")
        self.check_served()

    def test_result_is_not_json(self):
        error = self.cluster.invoke("bad", {"do": "not json"}, code=FAILED)["error"]
        self.assertEqual(error["type"], "TypeError")
        self.assertIn("set", error["message"])
        self.check_served()

    def test_some_of_a_burst_fail(self):
        path = self.scratch.write("odd.py", "def handler(event, context):\n"
                                            "    if context.rank % 2:\n"
                                            "        raise ValueError(context.rank)\n"
                                            "    return context.rank\n")
        self.cluster.deploy(path)
        calls, summary = self.cluster.burst("odd", 8, None, code=FAILED)
        self.assertEqual((summary["ok"], summary["failed"]), (4, 4))
        for call in calls:
            odd = call["rank"] % 2 == 1
            self.assertEqual(call["error"]["message"] if odd else call["output"], str(call["rank"]) if odd
                             else call["rank"])

    # --- deployments ---

    def test_handler_is_missing(self):
        error = self.fail_deploy("missing", "def other(event, context):\n    pass\n", REFUSED)
        self.assertRegex(error["message"], "missing.py has no handler")
        error = self.fail_deploy("missing", "x = 1\n", USAGE, "--handler", "x")
        self.assertRegex(error["message"], "x in missing.py is not callable")
        ran = self.cluster.run("deploy", NATIVE, "--handler", "nothing", code=REFUSED)
        self.assertIn("nothing", ran.err)

    def test_file_is_missing(self):
        ran = self.cluster.run("deploy", self.scratch.path / "nowhere.py", code=None)
        self.assertIn("nowhere.py", ran.err)
        self.assertIn(ran.code, (USAGE, REFUSED))

    def test_module_raises_at_import(self):
        text = "import json\n\ndef load():\n    return json.loads('{')\n\nload()\n"
        error = self.fail_deploy("broken", text, FAILED)
        self.assertEqual((error["code"], error["type"]), ("EUSER", "JSONDecodeError"))
        self.assertRegex(error["traceback"], r"broken\.py\", line 4, in load")
        error = self.fail_deploy("broken", "def handler(:\n", FAILED)
        self.assertEqual(error["type"], "SyntaxError")
        error = self.fail_deploy("broken", "import nosuchmodule\n", FAILED)
        self.assertEqual(error["type"], "ModuleNotFoundError")
        error = self.fail_deploy("broken", "import os\nprint('bye', flush=True)\nos._exit(3)\n", FAILED)
        self.assertRegex(error["message"], "status 3")
        self.assertIn("bye", error["log_tail"])

    def test_connected_socket_at_capture(self):
        server = "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        client = "client = socket.create_connection(server.getsockname())\nother, _ = server.accept()\nserver.close()\n"
        for name, text, what in (
                ("listening", server, r"a TCP socket listening at 127\.0\.0\.1:\d+"),
                ("connected", server + client, r"a TCP socket connected to 127\.0\.0\.1:\d+")):
            error = self.fail_deploy(name, text + GOOD, REFUSED)
            self.assertEqual((error["code"], error["kind"]), ("EREFUSED", "refused"))
            self.assertRegex(error["message"], r"descriptor \d+ is " + what)

    def test_file_open_for_writing_at_capture(self):
        error = self.fail_deploy("writing", "file = open('/tmp/notes', 'w')\n" + GOOD, REFUSED)
        self.assertEqual(error["code"], "EREFUSED")
        self.assertRegex(error["message"], r"descriptor \d+ is a file open for writing \(/tmp/notes\)")

    def test_child_process_at_capture(self):
        text = "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\n" + GOOD
        error = self.fail_deploy("parent", text, REFUSED)
        self.assertEqual(error["code"], "EREFUSED")
        self.assertIn("child", error["message"])

    def test_configuration_of_a_deployment(self):
        self.scratch.write("app/app.py", GOOD)
        yaml = self.scratch.write("app/ramet.yaml", "handlr: app.py:handler\n")
        ran = self.cluster.run("deploy", yaml.parent, code=USAGE)
        self.assertRegex(ran.err, r"ramet\.yaml.*handlr.*handler")
        yaml.write_text("handler: app.py:handler\nlimits: {output: 1M, memory: 3M}\n")
        ran = self.cluster.run("deploy", yaml.parent, code=USAGE)
        self.assertRegex(ran.err, r"memory")
        yaml.write_text("handler: app.py:handler\nfresh: sometimes\n")
        self.assertRegex(self.cluster.run("deploy", yaml.parent, code=USAGE).err, "sometimes")

    # --- limits ---

    def test_result_over_the_limit(self):
        self.scratch.write("small/bad.py", BAD)
        directory = self.scratch.write("small/ramet.yaml", "handler: bad.py:handler\nlimits: {output: 1000}\n").parent
        self.cluster.deploy(directory)
        for node in (1, 2):
            self.assertEqual(len(self.cluster.invoke("small", {"do": "output", "size": 998}, node=node)["output"]), 998)
            call = self.cluster.invoke("small", {"do": "output", "size": 999}, node=node, code=FAILED)
            self.assertEqual((call["error"]["code"], call["error"]["kind"]), ("ELIMIT", "limit"))
            self.assertRegex(call["error"]["message"], "1001 bytes, its limit is 1000")
        self.check_served("small")

    def test_deadline_interrupts_python(self):
        for node in (1, 2):
            call = self.cluster.invoke("bad", {"do": "spin"}, "--deadline", 3000, node=node, code=DEADLINE)
            self.assertEqual((call["error"]["code"], call["error"]["kind"]), ("EDEADLINE", "limit"))
            self.assertEqual(call["error"]["type"], "DeadlineExceeded", call)
            self.assertRegex(call["error"]["traceback"], r"bad\.py\", line \d+, in handler")
            self.assertTrue(cluster.alive(call["pid"]), "interrupted, not killed")
        self.check_served()

    def check_killed(self, call, node):
        """It passed its deadline by more than it may: who it was is told, and it is gone."""
        self.assertEqual((call["error"]["code"], call["error"]["node"], call["node"]), ("EDEADLINE", node, node))
        self.assertIn("its process was killed", call["error"]["message"])
        self.assertIsNotNone(call["start"])
        self.assertGreater(call["us"]["run"], 0)
        cluster.eventually("the process is gone", lambda: not cluster.alive(call["pid"]))

    def test_deadline_kills_what_does_not_stop(self):
        for node in (1, 2):
            call = self.cluster.invoke("bad", {"do": "stubborn"}, "--deadline", 700, node=node, code=DEADLINE)
            self.check_killed(call, node)
            self.check_served()

    def test_deadline_kills_native(self):
        self.cluster.deploy(NATIVE, "--handler", "spin", "--name", "spin")
        for node in (1, 2, 1, 2):
            call = self.cluster.invoke("spin", None, "--deadline", 700, node=node, code=DEADLINE)  # it is forked first
            self.check_killed(call, node)
            self.assertIn("spinning", call["error"]["log_tail"])

    # --- crashes ---

    def test_native_crash(self):
        self.cluster.deploy(NATIVE, "--handler", "crash", "--name", "crash")
        self.cluster.deploy(NATIVE, "--handler", "square", "--name", "square")
        for node in (1, 2):
            call = self.cluster.invoke("crash", None, node=node, code=FAILED)
            error = call["error"]
            self.assertEqual((error["code"], error["kind"]), ("ECRASH", "user"))
            self.assertEqual((error["signal"], error["fault_address"]), (signal.SIGSEGV, 0xdead000))
            self.assertIn("about to crash", error["log_tail"])
            self.assertEqual(error["node"], node)
            again = self.cluster.invoke("crash", None, node=node, code=FAILED)
            self.assertEqual(again["error"]["code"], "ECRASH")
            self.assertNotEqual(again["pid"], call["pid"])
            self.assertEqual(self.cluster.invoke("square", 7, node=node)["output"]["square"], 49)

    def test_handler_ends_the_process(self):
        for node in (1, 2):
            for status in (0, 5):
                call = self.cluster.invoke("bad", {"do": "exit", "status": status}, node=node, code=FAILED)
                self.assertEqual(call["error"]["code"], "ECRASH")
                self.assertRegex(call["error"]["message"], f"ended by itself with status {status}")
                self.assertIn("leaving", call["error"]["log_tail"])
                self.check_served()


class Daemon(unittest.TestCase):
    """rametd, started as an operator does."""

    def setUp(self):
        self.scratch = cluster.Scratch()
        self.addCleanup(self.scratch.close)

    def run_rametd(self, text, *options):
        config = self.scratch.write("config.yaml", text)
        done = subprocess.run([BIN / "rametd", "--config", config, *options], env=self.scratch.env, timeout=60,
                              capture_output=True, text=True)
        self.assertEqual(self.scratch.complaints(), "")
        return done

    def test_misspelt_key(self):
        good = f"node: 1\ndir: {self.scratch.path}/d\n"
        self.assertEqual(self.run_rametd(good, "--check").returncode, 0)
        for options in ((), ("--check",)):
            done = self.run_rametd(good + "lsten: 127.0.0.1:0\n", *options)
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr, r"config\.yaml.*lsten.*listen")
            done = self.run_rametd(good + "limits: {idl: 3s}\n", *options)
            self.assertRegex(done.stderr, r"config\.yaml.*idl.*idle")
            done = self.run_rametd(good + "limits: {idle: soon}\n", *options)
            self.assertRegex(done.stderr, r"config\.yaml.*limits\.idle.*soon")

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for key in ("listen", "data"):
                other = "listen: 127.0.0.1:0\n" if key == "data" else ""
                done = self.run_rametd(f"node: 1\ndir: {self.scratch.path}/d\n{other}{key}: 127.0.0.1:{port}\n")
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(f"127.0.0.1:{port}", done.stderr)
                self.assertRegex(done.stderr, "(?i)in use")


if __name__ == "__main__":
    cluster.main("root", "netns", "ip")
