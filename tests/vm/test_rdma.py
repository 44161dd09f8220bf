"""Pages of a fork between two guests: by RDMA where both have it, over TCP where one is told so."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
EXPECTED = sum(bytes(i * 7 % 251 for i in range(1 << 20))[65::4096])
SKIPPED = 77


def forked(transport):
    done = subprocess.run([str(HERE / "run"), "-n", "2", "--smp", "2", "--mem", "900", "--timeout", "400",
                           "/usr/bin/python3", "-B", str(HERE / "rdma_inside.py"), transport],
                          capture_output=True, text=True, cwd=HERE)
    if done.returncode == SKIPPED:
        print(done.stderr)
        sys.exit(SKIPPED)
    if done.returncode != 0:
        raise AssertionError(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


class Rdma(unittest.TestCase):
    def check(self, seen, paths):
        self.assertEqual((seen["first"]["output"], seen["second"]["output"]), (EXPECTED, EXPECTED))
        self.assertEqual((seen["second"]["start"], seen["second"]["source_node"]), ("remote-fork", 1), seen)
        self.assertEqual(seen["paths"][0], f"node=1 transport={paths} use=memory", seen)

    def test_both_have_it(self):
        seen = forked("auto")
        self.check(seen, "verbs")
        self.assertEqual(seen["nodes"], {"1": "tcp+verbs", "2": "tcp+verbs"})
        rows = {(row["node"], row["name"]): row for row in seen["doctor"]}
        self.assertEqual(rows[1, "transport"]["state"], "ok", rows)
        for node in (0, 1):  # the program itself, and the daemon
            self.assertRegex(rows[node, "rdma"]["detail"],
                             r"rxe0/1: active, RoCE, MTU 4096, .*::ffff:10\.77\.0\.1.*max_rd_atomic \d+.*memlock unlimited")

    def test_one_does_not_want_it(self):
        seen = forked("tcp")
        self.check(seen, "tcp")
        self.assertEqual(seen["nodes"], {"1": "tcp+verbs", "2": "tcp"})


if __name__ == "__main__":
    if "RAMET_BIN" not in os.environ:
        sys.exit("RAMET_BIN names the directory of the programs")
    unittest.main(verbosity=2)
