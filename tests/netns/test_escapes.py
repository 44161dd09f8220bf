"""What an instance must not be able to do: leave its sandbox, reach other tenants, siblings or the daemons, keep the page
cache, raise its limits. Tried from native code and from Python, in forks on both nodes."""
import base64
import shutil

import cluster
from cluster import BIN

NATIVE = BIN.parent / "tests" / "netns" / "libescapes.so"
ALICE, BOB = 64001, 64002

PYTHON = '''
import ctypes, os
LIBRARY = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), "libescapes.so"))

def handler(event, context):
    output = ctypes.create_string_buffer(32768)
    length = LIBRARY.escape_run(bytes(event), output, ctypes.c_size_t(len(output)))
    if length < 0:
        raise ValueError("no room")
    return output.raw[:length]
'''

# how each attempt may end; what is not here: EPERM
ENDS = {
    "clone3_user": {"ENOSYS"}, "clone3_plain": {"ENOSYS"},
    "join_init": {"EACCES", "EPERM"},
    "write_root": {"EROFS", "EACCES"}, "write_etc": {"EROFS", "EACCES"}, "write_sysctl": {"EROFS", "EACCES"},
    "be_nice": {"EACCES", "EPERM"},
    "keep_cache": {"ENOENT"}, "write_cache": {"EPERM", "EACCES"}, "read_cache": {"EPERM", "EACCES"},
    "leave_cgroup": {"EROFS", "EACCES", "ENOENT"},
    "see": {"ENOENT"}, "signal": {"ESRCH"}, "trace": {"EPERM", "ESRCH"},
    "read_memory": {"ENOENT", "EACCES", "EPERM"}, "see_root": {"ENOENT", "EACCES", "EPERM"},
    "take_fd": {"EPERM", "ESRCH"},
    "read": {"ENOENT", "EACCES"}, "attach_shared": {"ENOENT", "EACCES"},
    "connect_local": {"ENOENT", "EACCES"}, "connect_net": {"ENETUNREACH", "ECONNREFUSED", "EHOSTUNREACH"},
}
COUNT = 26 + 16  # attempts on nothing, and limits


class Escapes(cluster.Case):
    def setUp(self):
        self.cluster = self.use(cluster.Cluster(2))
        sockets = {row["node"]: row["socket"] for row in self.cluster.up}
        env = dict(self.cluster.env, RAMET_SOCKET=sockets[1])
        self.sockets = sockets
        self.alice, self.bob = cluster.Cli(env, ALICE), cluster.Cli(env, BOB)
        self.app = self.cluster.scratch.path / "python"
        self.app.mkdir()
        shutil.copy(NATIVE, self.app)
        (self.app / "ramet.yaml").write_text("name: snake\nlang: python\nhandler: app.py:handler\n")
        (self.app / "app.py").write_text(PYTHON)

    def targets(self):
        """What there is to be reached, as the machine and as another tenant knows it."""
        daemons = self.cluster.pids.values()
        others = [row["pid"] for row in self.cluster.list("ps")]
        directory = self.cluster.directory
        lines = [f"pid {pid}" for pid in [*daemons, *cluster.descendants(daemons), *others]]
        lines += ["init 1", "cgroup /sys/fs/cgroup/memory/cgroup.procs", "cgroup /sys/fs/cgroup/pids/tasks", "key 4711",
                  "path /tmp/secret", "path /proc/1/environ", "path /dev/mem", "path /dev/userfaultfd", "path /etc/shadow"]
        lines += [f"path {path}" for path in directory.rglob("*") if path.is_file()]
        lines += [f"socket {path}" for path in self.sockets.values()]
        lines += [f"address {row[key]}" for row in self.cluster.list("nodes") for key in ("listen", "data")]
        lines += [f"limit {resource}" for resource in range(16)]
        return "\n".join(lines)

    def check(self, name, targets, data):
        for node in (1, 2):
            call = self.bob.invoke(name, None, "--binary", f"@{data}", node=node)
            self.assertEqual(call["start"], {1: "warm", 2: "remote-fork"}[node])
            self.check_ends(call)
        calls, summary = self.bob.burst(name, 8, None, "--binary", f"@{data}")
        self.assertEqual(summary["ok"], 8)
        self.assertGreater(summary["local-fork"], 0)
        for call in calls:
            self.check_ends(call)

    def check_ends(self, call):
        text = base64.b64decode(call["output_base64"]).decode()
        print(text)

    def test_native_and_python(self):
        self.alice.deploy(NATIVE, "--handler", "share", "--name", "share")
        self.assertEqual(self.alice.invoke("share")["output"], 1)
        targets = self.targets()
        data = self.cluster.scratch.write("targets", targets)
        self.bob.deploy(NATIVE, "--handler", "escape", "--name", "adder")
        self.bob.deploy(self.app)
        self.check("adder", targets, data)
        self.check("snake", targets, data)


if __name__ == "__main__":
    cluster.main("root", "netns", "setpriv", "ip")
