"""tests/vm/run itself: output, exit codes, other guests, kernels that complain or hang, and that nothing is left."""
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
RUN, ON = str(HERE / "run"), str(HERE / "on")


def run(*arguments):
    return subprocess.run([RUN, *arguments], capture_output=True, text=True, cwd=HERE)


def guests_of(pid):
    """QEMU processes below one."""
    found = []
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            if b"qemu" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0]:
                found.append(int(child))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


class Run(unittest.TestCase):
    def test_one_guest(self):
        mark = HERE.parent.parent / "build" / "vm" / f"written-{os.getpid()}"
        self.addCleanup(mark.unlink, missing_ok=True)
        done = run("sh", "-c", f"pwd; uname -r; echo to-err >&2; rdma link; echo $RAMET_VM_ADDRESSES; echo x >{mark}; "
                               f"touch {HERE}/x; [ -e /dev/infiniband/uverbs0 ] && exit 7")
        self.assertEqual(done.returncode, 7, done)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], str(HERE))
        self.assertRegex(lines[1], r"^6\.1\.")
        self.assertRegex(lines[2], "link rxe0/1 state ACTIVE .* netdev eth0")
        self.assertEqual(lines[3:], ["10.77.0.1"])
        self.assertTrue(done.stderr.startswith("to-err\n"), done.stderr)
        self.assertIn("Read-only file system", done.stderr)
        self.assertEqual(mark.read_text(), "x\n")

    def test_three_guests(self):
        done = run("-n", "3", "sh", "-c", f"""
            V=1 {ON} 2 sh -c 'echo $RAMET_VM_NODE of $RAMET_VM_NODES $V; echo there >&2; exit 9'; echo $?
            {ON} 3 busybox ping -q -c 1 -s 4000 10.77.0.2 | grep -c ' 0% packet loss'
            {ON} 2 sleep 1000 & child=$!
            until {ON} 2 pidof sleep >/dev/null; do :; done
            kill $child; wait $child; echo $?
            (for n in 1 2 3; do {ON} $n cat /proc/sys/kernel/random/uuid; done) | sort -u | wc -l
            {ON} 2 pidof sleep; echo $?
            {ON} 3 sleep 1000 & child=$!
            {ON} --kill 3; wait $child; echo $?
            {ON} 3 true; echo $?""")
        self.assertEqual(done.stdout.split("\n"), ["2 of 3 1", "9", "1", "143", "3", "1", "125", "125", ""], done)
        self.assertIn("there\n", done.stderr)
        self.assertEqual(done.returncode, 0)

    def test_warning_in_another_guest(self):
        done = run("-n", "2", ON, "2", "sh", "-c", "echo '<4>WARNING: CPU: 0 PID: 1 at a test' >/dev/kmsg")
        self.assertEqual(done.returncode, 125)
        self.assertRegex(done.stderr, "(?s)kernel of guest 2.*WARNING: CPU: 0 PID: 1 at a test")

    def test_panic(self):
        done = run("sh", "-c", "echo c >/proc/sysrq-trigger")
        self.assertEqual(done.returncode, 125)
        self.assertIn("Kernel panic", done.stderr)

    def test_timeout(self):
        done = run("--timeout", "15", "sleep", "1000")
        self.assertEqual(done.returncode, 124)
        self.assertIn("running took longer than 15", done.stderr)

    def test_killed(self):
        for how in (signal.SIGKILL, signal.SIGTERM):
            process = subprocess.Popen([RUN, "-n", "2", "sleep", "1000"])
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            end = time.monotonic() + 60
            while len(found := guests_of(process.pid)) < 2:
                self.assertLess(time.monotonic(), end)
                self.assertIsNone(process.poll())
            fds = [os.pidfd_open(pid) for pid in found]
            process.send_signal(how)
            for fd in fds:
                self.assertTrue(select.select([fd], [], [], 20)[0], "a guest is left")
                os.close(fd)


if __name__ == "__main__":
    if subprocess.run([RUN, "--prepare"]).returncode == 77:
        sys.exit(77)
    unittest.main(verbosity=2)
