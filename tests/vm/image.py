"""What guests boot: Debian's kernel for this release, fetched by apt and never installed, and an initramfs of busybox,
the modules that RDMA over Ethernet and 9p need, and the agent. Kept in build/vm, and made anew when what it is made of
changes."""
import contextlib
import fcntl
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUSYBOX = "/bin/busybox"
# rdma_rxe needs crc32_generic and does not say so: without it no link can be added
MODULES = ["virtio_pci", "virtio_console", "virtio_net", "9p", "9pnet_virtio", "crc32_generic", "ib_uverbs", "rdma_rxe",
           "rdma_ucm", "sch_netem", "sch_ingress", "cls_matchall", "act_gact", "fuse", "unix_diag"]
AGENT = ["agent.c", "on.c", "frame.c"]


class Lacking(Exception):
    """The machine lacks something that guests need."""


def _run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise Lacking(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def _package():
    """The kernel that the metapackage stands for now."""
    depends = _run("apt-cache", "depends", "linux-image-amd64")
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if not found:
        raise Lacking("apt knows no linux-image-amd64")
    return found[1]


def _unpack(package, to):
    """Fetches and unpacks the kernel's package."""
    with tempfile.TemporaryDirectory(dir=to.parent) as directory:
        try:
            _run("apt-get", "download", "-q", package, cwd=directory)
        except Lacking:  # the lists are old: a mirror keeps no kernel that has been replaced
            _run("apt-get", "update", "-q")
            _run("apt-get", "download", "-q", _package(), cwd=directory)
        archive = next(pathlib.Path(directory).glob("*.deb"))
        _run("dpkg", "-x", archive, f"{directory}/root")
        os.rename(f"{directory}/root", to)


def _vmlinux(bzimage):
    """The ELF file inside a bzImage: qemu boots it by PVH in a fraction of the time."""
    data = bzimage.read_bytes()
    sectors = data[0x1F1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (sectors + 1) * 512 + offset
    return lzma.LZMADecompressor().decompress(data[start:start + length])


def _modules(root):
    """Files of MODULES and of what they depend on, in the order of loading."""
    files = {path.stem.replace("-", "_"): path for path in root.glob("lib/modules/*/kernel/**/*.ko")}
    order = []

    def add(name):
        depends = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
        for needed in filter(None, depends[1].decode().replace("-", "_").split(",")):
            add(needed)
        if files[name] not in order:
            order.append(files[name])

    for name in MODULES:
        add(name)
    return order


def _initramfs(root, to):
    with tempfile.TemporaryDirectory(dir=to.parent) as directory:
        top = pathlib.Path(directory)
        for name in ["bin", "dev", "proc", "sys", "root", "modules"]:
            (top / name).mkdir()
        shutil.copy(BUSYBOX, top / "bin")
        shutil.copy(HERE / "init", top)
        modules = _modules(root)
        for path in modules:
            shutil.copy(path, top / "modules")
        (top / "modules" / "order").write_text("".join(f"{path.name}\n" for path in modules))
        _run("cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", top / "agent",
             *(HERE / name for name in AGENT))
        _run("sh", "-c", f"find . | cpio -o -H newc --quiet >{to}.new", cwd=top)
        os.rename(f"{to}.new", to)


def _fingerprint(package):
    sources = [HERE / name for name in ["init", "guests.py", "image.py", "frame.h", *AGENT]] + [pathlib.Path(BUSYBOX)]
    digest = hashlib.sha256(package.encode())
    for path in sources:
        digest.update(path.read_bytes())
    qemu = os.stat(shutil.which("qemu-system-x86_64"))  # another version may not read the guests' saved state
    digest.update(f"{qemu.st_size} {qemu.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


class Image:
    """kernel, initramfs: their paths, made below a directory if they are not there. Lacking: what is missing."""

    def __init__(self, directory):
        for program in ["qemu-system-x86_64", "busybox", "cpio", "cc", "apt-get"]:
            if not shutil.which(program):
                raise Lacking(f"guests need the program {program} (scripts/install-packages check)")
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        with self.locked():
            self.kernel = self._kernel()
            self.initramfs = self.kernel.parent / f"initramfs-{_fingerprint(self.kernel.parent.name)}"
            if not self.initramfs.exists():
                for old in [*self.kernel.parent.glob("initramfs-*"), *self.kernel.parent.glob("snapshot-*")]:
                    old.unlink()
                _initramfs(self.kernel.parent, self.initramfs)

    @contextlib.contextmanager
    def locked(self):
        """One at a time makes what is missing."""
        with open(self.directory / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def snapshot(self, mem, smp):
        """Where the state of a booted guest of this size is kept."""
        return self.kernel.parent / f"snapshot-{mem}-{smp}"

    def _kernel(self):
        have = sorted(self.directory.glob("linux-image-*/vmlinux"), key=os.path.getmtime)
        if have:
            return have[-1]
        package = _package()
        root = self.directory / package
        shutil.rmtree(root, ignore_errors=True)
        _unpack(package, root)
        (root / "vmlinux.new").write_bytes(_vmlinux(next(root.glob("boot/vmlinuz-*"))))
        os.rename(root / "vmlinux.new", root / "vmlinux")
        return root / "vmlinux"
