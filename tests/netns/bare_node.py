#!/usr/bin/python3
"""bare_node.py BUILD PROGRAM [ARG...]: runs a program of Ramet on a machine that has nothing but Ramet: a root of its own,
with the build tree, the shared libraries that its programs need, and /tmp, /run, /proc, /sys and /dev of this machine."""
import ctypes
import os
import pathlib
import re
import shutil
import subprocess
import sys

CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
SYS_PIVOT_ROOT = 155
PROGRAMS = ("rametd", "ramet-spawn", "ramet-sandbox", "ramet-files", "ramet-stub", "ramet")

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result < 0:
        sys.exit(f"bare_node: {what}: {os.strerror(ctypes.get_errno())}")


def mount(source, target, kind, flags=0, data=None):
    encoded = [None if text is None else str(text).encode() for text in (source, target, kind, data)]
    check(libc.mount(*encoded[:3], ctypes.c_ulong(flags), encoded[3]), f"mount {source} on {target}")


def bind(path, root):
    target = root / str(path).lstrip("/")
    target.mkdir(parents=True, exist_ok=True)
    mount(path, target, None, MS_BIND | MS_REC)


def libraries(bin):
    found = set()
    for name in PROGRAMS:
        if (bin / name).exists():
            out = subprocess.run(["ldd", bin / name], capture_output=True, text=True).stdout
            found |= set(re.findall(r"(/\S+) \(0x", out))
    return found


def make_root(build):
    root = pathlib.Path("/mnt")
    mount("bare", root, "tmpfs", 0, "mode=755")
    for name in ("usr/lib", "usr/lib64", "usr/bin", "etc"):
        (root / name).mkdir(parents=True)
    for name in ("lib", "lib64", "bin"):
        (root / name).symlink_to(f"usr/{name}")
    for path in libraries(build / "bin"):
        copy = root / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for path in ("/proc", "/sys", "/dev", "/tmp", "/run", build):
        bind(path, root)
    return root


def main():
    build, program, *arguments = sys.argv[1:]
    check(libc.unshare(CLONE_NEWNS), "unshare")
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    root = make_root(pathlib.Path(build))
    os.chdir(root)
    check(libc.syscall(SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
    check(libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")
    if os.path.exists("/usr/bin/python3") or os.path.exists("/usr/share"):
        sys.exit("bare_node: it is not bare")
    os.execv(program, [program, *arguments])


main()
