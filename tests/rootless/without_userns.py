"""without_userns.py COMMAND...: runs it where the kernel makes no user namespaces, as in many containers."""
import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
NR = {"clone": 56, "unshare": 272, "clone3": 435}
ALLOW, EPERM, ENOSYS = 0x7fff0000, 0x00050001, 0x00050026
CLONE_NEWUSER = 0x10000000


def _filter():
    """As containers have it: clone3 cannot be looked into, so it is not there."""
    load, jeq, jset, ret = 0x20, 0x15, 0x45, 0x06
    code = [
        (load, 0, 0, 0),  # the number
        (jeq, 0, 1, NR["clone3"]),
        (ret, 0, 0, ENOSYS),
        (jeq, 1, 0, NR["clone"]),
        (jeq, 0, 3, NR["unshare"]),
        (load, 0, 0, 16),  # the first argument
        (jset, 0, 1, CLONE_NEWUSER),
        (ret, 0, 0, EPERM),
        (ret, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in code), len(code)


def forbid_user_namespaces():
    libc = ctypes.CDLL(None, use_errno=True)
    code, count = _filter()
    text = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", count, ctypes.addressof(text))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    forbid_user_namespaces()
    os.execvp(sys.argv[1], sys.argv[1:])
