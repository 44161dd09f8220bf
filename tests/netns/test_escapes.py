"""What an instance must not be able to do: leave its sandbox, reach other tenants, siblings or the daemons, keep the page
cache, raise its limits. Tried from native code and from Python, in the first instance and in forks on both nodes."""
import base64
import collections
import shutil

import cluster
from cluster import BIN

NATIVE = BIN.parent / "tests" / "netns" / "libescapes.so"
ALICE, BOB = 64001, 64002

PYTHON = '''
import ctypes, os
LIBRARY = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), "libescapes.so"))

def handler(event, context):
    output = ctypes.create_string_buffer(65536)
    length = LIBRARY.escape_run(bytes(event), output, ctypes.c_size_t(len(output)))
    if length < 0:
        raise ValueError("no room")
    return output.raw[:length]
'''

# how each attempt may end; what is not here: EPERM
ENDS = {
    "clone3_user": {"ENOSYS"}, "clone3_plain": {"ENOSYS"},
    "join_init": {"EACCES", "EPERM"}, "allow_privileges": {"EINVAL"},
    "write_root": {"EROFS", "EACCES"}, "write_etc": {"EROFS", "EACCES"}, "write_sysctl": {"EROFS", "EACCES"},
    "be_nice": {"EACCES", "EPERM"}, "raise_limit": {"EPERM", "ENODATA"},
    "keep_cache": {"ENOENT"}, "write_cache": {"EPERM", "EACCES"}, "read_cache": {"EPERM", "EACCES"},
    "leave_cgroup": {"EROFS", "EACCES", "ENOENT"},
    "see": {"ENOENT"}, "signal": {"ESRCH"}, "trace": {"EPERM"}, "read_vm": {"EPERM"},
    "read_memory": {"ENOENT", "EACCES", "EPERM"}, "write_memory": {"ENOENT", "EROFS", "EACCES", "EPERM"},
    "see_root": {"ENOENT", "EACCES", "EPERM"}, "take_fd": {"EPERM", "ESRCH"},
    "read": {"ENOENT", "EACCES"}, "attach_shared": {"ENOENT", "EACCES"},
    "connect_local": {"ENOENT", "EACCES"}, "connect_net": {"ENETUNREACH"},
}
ONCE = 26  # attempts that are made on nothing in particular
EACH = {"limit": 1, "cgroup": 1, "pid": 8, "init": 6, "path": 1, "key": 1, "socket": 1, "address": 1}


class Escapes(cluster.Case):
    def setUp(self):
        # not below /tmp, which each sandbox has for itself
        self.cluster = self.use(cluster.Cluster(2, below="/var/tmp"))
        env = dict(self.cluster.env, RAMET_SOCKET=self.cluster.up[0]["socket"])
        self.alice, self.bob = cluster.Cli(env, ALICE), cluster.Cli(env, BOB)

    def targets(self):
        """What there is to be reached: as the machine knows it, and as another tenant does."""
        daemons = self.cluster.pids.values()
        instances = [row["pid"] for row in self.alice.list("ps")]
        self.assertTrue(instances)
        files = [path for path in self.cluster.directory.rglob("*") if path.is_file()]
        stores = [self.cluster.directory / f"node{node}" / "store" for node in (1, 2)]
        inside = [f"/ramet/{path.relative_to(store)}" for store in stores for path in files if store in path.parents]
        self.assertTrue(any("libescapes.so" in path for path in inside), inside)
        lines = [f"pid {pid}" for pid in {*daemons, *cluster.descendants(daemons), *instances}]
        lines += [f"limit {resource}" for resource in range(16)]
        lines += ["init 1", "cgroup /sys/fs/cgroup/memory/cgroup.procs", "cgroup /sys/fs/cgroup/pids/tasks", "key 4711"]
        lines += [f"path {path}" for path in [*files, *inside]]
        lines += [f"path {path}" for path in ("/tmp/secret", "/dev/shm/secret", "/proc/1/environ", "/proc/1/maps", "/dev/mem",
                                              "/dev/userfaultfd", "/etc/shadow")]
        lines += [f"socket {row['socket']}" for row in self.cluster.up]
        lines += [f"address {row[key]}" for row in self.cluster.list("nodes") for key in ("listen", "data")]
        return lines

    def check_ends(self, call, targets):
        text = base64.b64decode(call["output_base64"]).decode()
        limits = set()
        for line in text.splitlines():
            attempt, _, end = line.rpartition(": ")
            name = attempt.split()[0]
            allowed = ENDS.get(name, {"EPERM"})
            if name in ("write_cache", "read_cache") and call["start"] == "warm":
                allowed = {"ENOENT"}  # the first instance has none
            self.assertIn(end, allowed, line)
            if name == "raise_limit":
                limits.add(end)
        self.assertIn("EPERM", limits)
        kinds = collections.Counter(line.split()[0] for line in targets)
        self.assertEqual(set(kinds), set(EACH))
        self.assertEqual(len(text.splitlines()), ONCE + sum(EACH[kind] * n for kind, n in kinds.items()))

    def check(self, name, targets):
        data = f"@{self.data}"
        for node, start in ((1, "warm"), (2, "remote-fork")):
            call = self.bob.invoke(name, None, "--binary", data, node=node)
            self.assertEqual(call["start"], start)
            self.check_ends(call, targets)
        calls, summary = self.bob.burst(name, 8, None, "--binary", data)
        self.assertEqual(summary["ok"], 8)
        forks = [call for call in calls if call["start"] == "local-fork"]
        self.assertTrue(forks)
        for call in forks:
            self.check_ends(call, targets)

    def test_native_and_python(self):
        self.alice.deploy(NATIVE, "--handler", "share", "--name", "share")
        for node in (1, 2):
            self.assertEqual(self.alice.invoke("share", node=node)["output"], 1)
        targets = self.targets()
        self.data = self.cluster.scratch.write("targets", "\n".join(targets))
        self.bob.deploy(NATIVE, "--handler", "escape", "--name", "native")
        self.check("native", targets)
        app = self.cluster.scratch.write("python/app.py", PYTHON).parent
        shutil.copy(NATIVE, app)
        (app / "ramet.yaml").write_text("name: python\nlang: python\nhandler: app.py:handler\n")
        self.bob.deploy(app)
        self.check("python", targets)
        # and the daemons, and the other tenant, are as they were
        self.assertEqual(self.alice.invoke("share", node=2)["output"], 1)


if __name__ == "__main__":
    cluster.main("root", "netns", "setpriv", "ip")
