"""Guests: QEMU processes without KVM, their network, and the frames (frame.h) by which commands run in them. All sockets
are pairs made here, so that nothing is left in the file system, and the guests die with this process however it ends."""
import ctypes
import os
import random
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time

HELLO, START, CALL, SIGNAL, OUT, ERR, EXIT, KILL = range(1, 9)
HEAD = struct.Struct("<III")
KERNEL_ARGUMENTS = ("panic=-1 oops=panic panic_on_warn=0 mitigations=off nokaslr net.ifnames=0 console=ttyS0 loglevel=5 "
                    "nowatchdog rcupdate.rcu_cpu_stall_suppress=1 tsc=reliable audit=0 random.trust_cpu=on")
# what a kernel says when something is wrong with it
COMPLAINTS = ("WARNING:", "BUG:", "Oops", "Kernel panic", "general protection fault", "cut here",
              "UBSAN:", "refcount_t:", "Out of memory:")


class Failed(Exception):
    """A guest did what no command can be blamed for."""


def address(node):
    return f"10.77.0.{node}"


def _die_with(parent):
    """For the child before exec: the kernel kills it when the parent is gone."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


class Network:
    """The wire between guests: a pair of sockets, or for more than two a multicast group on the loopback interface."""

    def __init__(self, count):
        self.pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) if count <= 2 else ()
        group = f"239.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        self.mcast = f"{group}:{random.randrange(20000, 32000)}" if count > 2 else None

    def arguments(self, node):
        """(arguments for qemu, descriptors that it inherits)"""
        device = ["-device", f"virtio-net-pci,netdev=n0,host_mtu=9000,speed=10000,duplex=full,romfile=,"
                             f"mac=52:54:00:77:00:{node:02x}"]
        if self.pair:
            fd = self.pair[node - 1].fileno()
            return ["-netdev", f"dgram,id=n0,local.type=fd,local.str={fd}", *device], [fd]
        return ["-netdev", f"socket,id=n0,mcast={self.mcast},localaddr=127.0.0.1", *device], []

    def close(self):
        """Only the guests hold it then."""
        for end in self.pair:
            end.close()


class Guest:
    """One QEMU process: its console (text) and its agent (frames)."""

    def __init__(self, node, options, network, snapshot=None):
        self.node = node
        self.console = ""
        self.ready = snapshot is not None  # else a line will say so
        self.ended = False
        self.plug_pulled = False
        self._line, self._bytes = b"", b""
        console, self.console_socket = socket.socketpair()
        agent, self.agent_socket = socket.socketpair()
        monitor, self.monitor_socket = socket.socketpair()
        wire, inherited = network.arguments(node)
        # Without the two features kernels copy by words instead of "rep movsb", which QEMU does byte by byte: six times as fast.
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35,usb=off,vmport=off", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,erms=off,fsrm=off",
            "-m", str(options.mem), "-smp", str(options.smp), "-kernel", str(options.image.kernel),
            "-initrd", str(options.image.initramfs), "-append", KERNEL_ARGUMENTS,
            "-chardev", f"socket,id=monitor,fd={monitor.fileno()}", "-monitor", "chardev:monitor",
            "-chardev", f"socket,id=console,fd={console.fileno()}", "-serial", "chardev:console",
            "-chardev", f"socket,id=agent,fd={agent.fileno()}", "-device", "virtio-serial-pci",
            "-device", "virtserialport,chardev=agent,name=agent",
            "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
            "-fsdev", f"local,id=build,path={options.build},security_model=none,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=build,mount_tag=build", *wire]
        if snapshot:
            command += ["-incoming", f"exec:cat '{snapshot}'"]
        parent = os.getpid()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        pass_fds=[console.fileno(), agent.fileno(), monitor.fileno(), *inherited],
                                        preexec_fn=lambda: _die_with(parent))
        for end in (console, agent, monitor):
            end.close()
        self.console_socket.setblocking(False)

    def begin(self, build):
        """Tells a guest that is ready what it is there for."""
        self.agent_socket.sendall(f"node={self.node} build='{build}' now={time.time():.3f} "
                                  f"seed={os.urandom(32).hex()}\n".encode())

    def save(self, path):
        """Writes the guest's state to a file and ends it."""
        self.monitor_socket.sendall(f"migrate \"exec:cat >'{path}'\"\ninfo migrate\nquit\n".encode())
        answer = b"".join(iter(lambda: self.monitor_socket.recv(65536), b""))
        if b"Migration status: completed" not in answer:
            raise Failed(f"a guest's state could not be saved:\n{answer.decode(errors='replace')}")

    def send(self, kind, number, payload=b""):
        try:
            self.agent_socket.sendall(HEAD.pack(kind, number, len(payload)) + payload)
        except OSError:
            pass  # its end is seen by who reads

    def read_console(self):
        """False at the end."""
        try:
            data = self.console_socket.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.console += data.decode(errors="replace").replace("\r", "")
        return bool(data)

    def frames(self):
        """Frames that have come since; None at the end."""
        try:
            data = self.agent_socket.recv(1 << 20)
        except OSError:
            return None
        if not data:
            return None
        self._bytes += data
        found = []
        if not self.ready:
            line, newline, rest = self._bytes.partition(b"\n")
            if not newline:
                return found
            self.ready, self._bytes = True, rest
            found.append(("ready", 0, line))
        while len(self._bytes) >= HEAD.size:
            kind, number, length = HEAD.unpack_from(self._bytes)
            if len(self._bytes) < HEAD.size + length:
                break
            found.append((kind, number, self._bytes[HEAD.size:HEAD.size + length]))
            self._bytes = self._bytes[HEAD.size + length:]
        return found

    def complaints(self):
        """What the kernel complains of, from there to the end of its log."""
        lines = self.console.splitlines()
        for at, line in enumerate(lines):
            if any(word in line for word in COMPLAINTS):
                return "\n".join(lines[at:])
        return ""

    def end(self):
        self.process.kill()
        self.process.wait()
        while select.select([self.console_socket], [], [], 0)[0] and self.read_console():
            pass


def make_snapshot(options):
    """The file with the state of a guest that is ready: starting from it takes a third of the time of booting. A guest
    is not told before it is ready who it is, so one file does for all guests of the same size."""
    path = options.image.snapshot(options.mem, options.smp)
    with options.image.locked():
        if not path.exists():
            guest = Guest(1, options, Network(1))
            try:
                wait_ready(guest, options.timeout)
                guest.save(f"{path}.new")
                os.rename(f"{path}.new", path)
            finally:
                guest.end()
    return path


def wait_ready(guest, seconds):
    end = time.monotonic() + seconds
    while not guest.ready:
        if not select.select([guest.agent_socket], [], [], max(0, end - time.monotonic()))[0]:
            raise TimeoutError(f"booting took longer than {seconds} s")
        if guest.frames() is None:
            guest.end()
            raise Failed(f"a guest has ended while it booted:\n{guest.console}")


class Guests:
    """All guests of a run. run() serves them until a command in guest 1 has ended."""

    def __init__(self, options):
        self.options = options
        self.deadline = time.monotonic() + options.timeout
        self.selector = selectors.DefaultSelector()
        self.sessions = {}  # (node, number) of a command -> (node, number) of who asked, or None: run itself
        self.numbers = 0
        self.status = None
        self.waiting = set()
        snapshot = make_snapshot(options)
        network = Network(options.nodes)
        self.guests = {}
        try:
            for node in range(1, options.nodes + 1):
                self.guests[node] = guest = Guest(node, options, network, snapshot)
                if guest.ready:
                    guest.begin(options.build)
                self.selector.register(guest.console_socket, selectors.EVENT_READ, (guest, self._on_console))
                self.selector.register(guest.agent_socket, selectors.EVENT_READ, (guest, self._on_agent))
        except BaseException:
            self.end()
            raise
        network.close()

    def end(self):
        for guest in self.guests.values():
            guest.end()

    def run(self, cwd, command, environment):
        """The exit status of a command in guest 1, once all guests are up."""
        self.waiting = set(self.guests)
        while self.waiting:
            self._turn("booting")
        environment = dict(environment, RAMET_VM_NODES=str(len(self.guests)),
                           RAMET_VM_ADDRESSES=" ".join(map(address, self.guests)))
        request = [cwd, str(len(command)), *command, *(f"{k}={v}" for k, v in environment.items())]
        self._start(1, "".join(f"{s}\0" for s in request).encode(), None)
        while self.status is None:
            self._turn("running")
        return self.status

    def complaints(self):
        """Text about all guests that complained."""
        return "".join(f"--- kernel of guest {node} ---\n{guest.complaints()}\n"
                       for node, guest in self.guests.items() if guest.complaints())

    def _turn(self, doing):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{doing} took longer than {self.options.timeout} s")
        for key, _ in self.selector.select(left):
            guest, take = key.data
            take(guest)

    def _start(self, node, request, caller):
        self.numbers += 1
        self.sessions[node, self.numbers] = caller
        self.guests[node].send(START, self.numbers, request + f"RAMET_VM_NODE={node}\0".encode())

    def _on_console(self, guest):
        if not guest.read_console():
            self.selector.unregister(guest.console_socket)

    def _on_agent(self, guest):
        frames = guest.frames()
        if frames is None:
            self.selector.unregister(guest.agent_socket)
            self._on_end(guest)
            return
        for kind, number, payload in frames:
            if kind == "ready":
                guest.begin(self.options.build)
            elif kind == HELLO:
                self.waiting.discard(guest.node)
            elif kind in (OUT, ERR, EXIT):
                self._answer(guest.node, number, kind, payload)
            else:
                self._call(guest.node, number, kind, payload)

    def _on_end(self, guest):
        guest.ended = True
        if not guest.plug_pulled:
            guest.end()
            raise Failed(f"guest {guest.node} has ended by itself:\n{guest.console}")
        for node, number in [key for key in self.sessions if key[0] == guest.node]:
            self._answer(node, number, EXIT, b"125\0")

    def _answer(self, node, number, kind, payload):
        """From a command to who asked for it."""
        if (node, number) not in self.sessions:
            return
        caller = self.sessions[node, number]
        if kind == EXIT:
            del self.sessions[node, number]
        if caller:
            self.guests[caller[0]].send(kind, caller[1], payload)
        elif kind == EXIT:
            self.status = int(payload.rstrip(b"\0"))
        else:
            stream = sys.stdout.buffer if kind == OUT else sys.stderr.buffer
            stream.write(payload)
            stream.flush()

    def _call(self, node, number, kind, payload):
        """From `on` in a guest."""
        if kind == SIGNAL:
            for (at, command), caller in self.sessions.items():
                if caller == (node, number):
                    self.guests[at].send(SIGNAL, command, payload)
            return
        name, _, request = payload.partition(b"\0")
        target = self.guests.get(int(name) if name.isdigit() else 0)
        caller = self.guests[node]
        if not target or target.ended:
            caller.send(ERR, number, f"on: there is no guest {name.decode()}\n".encode())
            caller.send(EXIT, number, b"125\0")
        elif kind == CALL:
            self._start(target.node, request, (node, number))
        elif kind == KILL:
            target.plug_pulled = True
            target.end()
            caller.send(EXIT, number, b"0\0")
