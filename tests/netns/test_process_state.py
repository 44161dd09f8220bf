"""What a deployment is told of process state that a fork cannot carry over, and what becomes of it where ramet.yaml says
close_on_fork. (What is carried over: tests/rfork/state_*.c.)"""
import cluster
from cluster import REFUSED

HANDLER = """
import os

def is_closed(fd):
    try:
        os.fstat(fd)
    except OSError:
        return True
    return False

def handler(event, context):
    return [is_closed(fd) for fd in numbers]
"""
CONNECTED = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
accepted, _ = server.accept()
"""
WRITING = "file = open('/tmp/notes', 'w')\n"


class ProcessState(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2))
        self.scratch = self.cluster.scratch

    def write_app(self, name, text, close=None):
        app = self.scratch.write(f"{name}/app.py", text + HANDLER).parent
        kinds = f"close_on_fork: [{close}]\n" if close else ""
        self.scratch.write(f"{name}/ramet.yaml", f"name: {name}\nhandler: app.py:handler\n{kinds}")
        return app

    def check_refused(self, name, text, message, close=None):
        error = self.cluster.deploy(self.write_app(name, text, close), code=REFUSED)["error"]
        self.assertEqual((error["code"], error["kind"]), ("EREFUSED", "refused"))
        self.assertRegex(error["message"], message)
        self.assertEqual(self.cluster.list("functions", name=name), [])

    def test_refusals_are_named(self):
        for name, text, message in (
                ("shared", "import mmap\nfile = open('/tmp/shared', 'w+b')\nfile.truncate(4096)\n"
                 "memory = mmap.mmap(file.fileno(), 4096)\nfile.close()\n",
                 r"descriptor \d+ is a file open for writing \(/tmp/shared\)|shared with other processes \(/tmp/shared\)"),
                ("unlinked", "import os, tempfile\nfile = tempfile.TemporaryFile()\n", r"descriptor \d+ is a file that was deleted"),
                ("pidfd", "import os\nfd = os.pidfd_open(os.getpid())\n", r"descriptor \d+ is a pidfd"),
                ("pair", "import os\nread, write = os.pipe()\nif os.fork() == 0:\n    os.close(write)\n    os.read(read, 1)\n"
                 "    os._exit(0)\n", "has a child process")):
            self.check_refused(name, text, message)

    def test_close_on_fork(self):
        numbers = "numbers = [server.fileno(), client.fileno(), accepted.fileno(), file.fileno()]\n"
        self.cluster.deploy(self.write_app("closing", CONNECTED + WRITING + numbers, "sockets, files"))
        calls, summary = self.cluster.burst("closing", 8)
        self.assertEqual((summary["ok"], summary["nodes"]), (8, 2))
        self.assertGreater(summary["remote-fork"], 0)
        self.assertGreater(summary["local-fork"], 0)
        for call in calls:
            forked = call["start"] != "warm"  # else it is the captured process, which goes on with what it has
            self.assertEqual(call["output"], [forked] * 4, call)

    def test_other_kinds_are_refused_as_ever(self):
        self.check_refused("half", CONNECTED + WRITING, r"a file open for writing \(/tmp/notes\)", "sockets, pipes")


if __name__ == "__main__":
    cluster.main("root", "netns", "ip")
