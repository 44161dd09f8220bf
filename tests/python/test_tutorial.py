"""docs/tutorial.md, followed word for word: its commands run in one shell, in a new directory, and print what it says.

A block ```sh has commands; a block ```text behind it is what they print, where … stands for anything, and a line of
nothing else for any lines. A block ```sh setup, installing and building, was done by who runs this."""
import os
import re
import subprocess
import threading
import unittest

import support

from support import cluster

BLOCK = re.compile(r"^```(sh|text)( setup)?\n(.*?)^```$", re.M | re.S)
END = "-- the end of a block --"


def blocks(text):
    """[commands, what they print or None]"""
    found = []
    for kind, setup, body in BLOCK.findall(text):
        if kind == "text":
            found[-1][1] = body
        elif not setup:
            found.append([body, None])
    return found


def pattern(expected):
    lines = [".*" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"\n"
             for line in expected.rstrip("\n").split("\n")]
    return re.compile("".join(f"(?s:{line})" if line == ".*" else line for line in lines))


class Shell:
    """Of somebody who follows a page: a directory of its own, and what the setup would have left."""

    def __init__(self, scratch):
        bin = scratch.path / "bin"
        scratch.write("bin/python3", f'#!/bin/sh\nLD_PRELOAD="{support.PRELOAD}" exec /usr/bin/python3 -B "$@"\n').chmod(0o755)
        home = scratch.path / "home"
        home.mkdir()
        env = dict(scratch.env, PATH=f"{bin}:{cluster.BIN}:{os.environ['PATH']}", HOME=str(home),
                   PYTHONPATH=support.PACKAGE, RAMET_DIR=str(scratch.path / "c"))
        env["ASAN_OPTIONS"] += ":detect_leaks=0"
        self.process = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, env=env, cwd=home)

    def run(self, commands, seconds=240):
        """What they print; AssertionError if the last one fails."""
        timer = threading.Timer(seconds, self.process.kill)
        timer.start()
        self.process.stdin.write(f"{commands}\nstatus=$?; echo; echo '{END}' $status\n")
        self.process.stdin.flush()
        printed = []
        for line in self.process.stdout:
            if line.startswith(END):
                break
            printed.append(line)
        else:
            raise AssertionError(f"not within {seconds} s, or the shell ended:\n{commands}\n{''.join(printed)}")
        timer.cancel()
        text = "".join(printed)[:-1]
        if line.split()[-1] != "0":
            raise AssertionError(f"exit status {line.split()[-1]}:\n{commands}\n{text}")
        return text

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Tutorial(unittest.TestCase):
    def test_word_for_word(self):
        scratch = cluster.Scratch()
        self.addCleanup(scratch.close)
        scratch.write("c.up", "")
        shell = Shell(scratch)
        self.addCleanup(shell.close)
        found = blocks((cluster.SOURCE / "docs/tutorial.md").read_text())
        self.assertGreater(len(found), 8)
        self.assertGreater(sum(expected is not None for _, expected in found), 5)
        for commands, expected in found:
            printed = shell.run(commands)
            if expected is not None:
                self.assertRegex(printed, re.compile(r"\A" + pattern(expected).pattern + r"\Z"), commands)
        self.assertFalse((scratch.path / "c").exists(), "the tutorial ends with ramet down")
        self.assertEqual(scratch.complaints(), "")


if __name__ == "__main__":
    support.main("numpy", "cloudpickle", "joblib")
