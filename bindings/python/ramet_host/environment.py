"""An app's requirements: a virtual environment of its interpreter, made once, before the app's own process is started.

rametd starts ``python environment.py ROOT [--file FILE | REQUIREMENT...]`` with the app's interpreter, as the app's user,
outside of sandboxes: pip needs a network and a directory to write to. The working directory is the app's. It talks to
rametd as a host does (runtime/host_proto.h): ready, then loaded with the environment's interpreter, or failed with what
pip said. Environments are named by what is in them, so that versions of an app, and apps, share them.
"""
import fcntl
import hashlib
import os
import pwd
import shutil
import struct
import subprocess
import sys
import sysconfig

CONTROL = 3  # HOST_CONTROL_FD
COMPLETE = ".ramet-complete"  # written last
PACKAGES = (".whl", ".tar.gz", ".zip", ".tar.bz2")
SAID_MAX = 4000  # bytes of pip's words that go into the error


# --- messages ---


def _pack(value):
    """msgpack, as far as it is needed here."""
    if isinstance(value, dict):
        return bytes([0x80 | len(value)]) + b"".join(_pack(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(_pack, value))
    if isinstance(value, int):
        return b"\xcf" + struct.pack(">Q", value)
    data = value.encode("utf-8", "replace")
    return b"\xdb" + struct.pack(">I", len(data)) + data


def _say(**message):
    data = _pack(message)
    data = struct.pack("<I", len(data)) + data
    while data:
        data = data[os.write(CONTROL, data):]


# --- what it is made of ---


def _files(directory):
    for top, names, files in os.walk(directory):
        names.sort()
        for name in sorted(files):
            yield os.path.join(top, name)


def _name(lines, environ):
    """Of the environment: the same for the same requirements, packages that came along, pip's settings and interpreter."""
    digest = hashlib.sha256()

    def add(*parts):
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode()
            digest.update(b"%d:" % len(data) + data)

    stat = os.stat(os.path.realpath(sys.executable))
    add("1", sys.executable, os.path.realpath(sys.executable), sys.version, sysconfig.get_platform(), stat.st_size)
    add(*lines)
    add(*(f"{key}={value}" for key, value in sorted(environ.items()) if key.startswith("PIP_")))
    for path in _files("."):
        if path.endswith(PACKAGES) or (path.endswith(".txt") and "require" in path) or "constraint" in path:
            with open(path, "rb") as file:
                add(path, file.read())
    return digest.hexdigest()[:32]


# --- making it ---


class Failed(Exception):
    pass


def _outer_packages():
    """Of a virtual environment that the app names as its interpreter: the new one is beside it, not inside."""
    if sys.prefix == sys.base_prefix:
        return []
    return [path for path in sys.path if path.startswith(sys.prefix + os.sep) and os.path.isdir(path)]


def _make_venv(path):
    try:
        import venv
    except ImportError:
        raise Failed(f"{sys.executable} has no module venv: install it (Debian: python3-venv)") from None
    venv.EnvBuilder(system_site_packages=True, symlinks=True, with_pip=False).create(path)
    python = os.path.join(path, "bin", "python")
    site = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip()
    outer = _outer_packages()
    if outer:
        with open(os.path.join(site, "_ramet_outer.pth"), "w") as file:
            file.write("".join(line + "\n" for line in outer))
    return python


def _need_pip(python, environ):
    if subprocess.run([python, "-c", "import pip"], stderr=subprocess.DEVNULL).returncode == 0:
        return
    ran = subprocess.run([python, "-m", "ensurepip"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(ran.stdout, flush=True)
    if ran.returncode:
        raise Failed(f"{sys.executable} has neither pip nor ensurepip: install them (Debian: python3-pip or python3-venv)")


def _what_it_said(lines):
    """The end of pip's errors, or of all that it said."""
    errors = [line.strip() for line in lines if line.lstrip().startswith(("ERROR", "error:", "Invalid requirement"))]
    said = "; ".join(errors or [line.strip() for line in lines if line.strip()][-5:])
    return said.encode()[-SAID_MAX:].decode("utf-8", "replace")


def _install(python, work, requirements, environ):
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-warn-script-location",
               "-r", requirements]
    lines = []
    with subprocess.Popen(command, cwd=work, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as pip:
        for line in pip.stdout:
            print(line, end="", flush=True)  # the log
            lines.append(line)
            del lines[:-200]
    if pip.returncode:
        raise Failed(f"pip: {_what_it_said(lines) or pip.returncode}")


def _make(path, file, lines, environ):
    work = path + ".work"
    for left in (path, work):
        shutil.rmtree(left, ignore_errors=True)
    # pip takes absolute paths, and the way to the deployed files is closed to us
    shutil.copytree(".", work, copy_function=shutil.copyfile)
    for top, names, _ in os.walk(work):
        os.chmod(top, 0o700)
    try:
        if not file:
            file = ".ramet-requirements.txt"
            with open(os.path.join(work, file), "w") as text:
                text.write("".join(line + "\n" for line in lines))
        python = _make_venv(path)
        _need_pip(python, environ)
        _install(python, work, file, environ)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    with open(os.path.join(path, COMPLETE), "w"):
        pass


def _environ():
    """pip finds the user's own settings: ~/.config/pip/pip.conf, ~/.netrc."""
    environ = dict(os.environ, PYTHONNOUSERSITE="1")
    try:
        environ.setdefault("HOME", pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        environ.setdefault("HOME", "/")
    return environ


def prepare(root, arguments):
    """The environment's interpreter."""
    environ = _environ()
    file = arguments[1] if arguments[:1] == ["--file"] else None
    lines = arguments
    if file:
        with open(file) as text:
            lines = text.read().splitlines()
    path = os.path.join(root, _name(lines, environ))
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another deployment, or node of this machine, may be at it
        if not os.path.exists(os.path.join(path, COMPLETE)):
            try:
                _make(path, file, lines, environ)
            except BaseException:
                shutil.rmtree(path, ignore_errors=True)
                raise
    return os.path.join(path, "bin", "python")


def main():
    fcntl.fcntl(CONTROL, fcntl.F_SETFD, fcntl.FD_CLOEXEC)  # not pip's
    _say(t="ready", engine="environment", detail=sys.executable)
    try:
        python = prepare(sys.argv[1], sys.argv[2:])
    except Exception as exc:
        message = str(exc) if isinstance(exc, Failed) else f"{type(exc).__name__}: {exc}"
        _say(t="failed", error={"code": "EUSER", "kind": "user", "type": "", "message": f"requirements: {message}", "traceback": ""})
    else:
        _say(t="loaded", us=0, roots=[python])
    os.read(CONTROL, 1)  # `exit`, or its end


if __name__ == "__main__":
    del sys.path[0]  # this package is no library
    main()
