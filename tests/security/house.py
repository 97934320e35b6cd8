"""The house around the sandboxes: canaries that a broken wall would show, and what must be as it was afterwards."""

from __future__ import annotations

import os
import secrets
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.security import image as images
from tests.security.watch import command_of, pids_rooted_at, text_of

if TYPE_CHECKING:
    from sandbox.image.cache import Image

CLOCK_SECONDS = 5.0  # by which a host's own time service may step the clock meanwhile
VARIABLE = "LAZARETTO_SECRET"  # in the environment of whoever starts the sandboxes


@dataclass(frozen=True, slots=True)
class State:
    """What a program inside must not be able to change."""

    hostname: str
    domain: str
    clock: float  # seconds from the monotonic clock to the wall's
    interfaces: frozenset[str]
    modules: frozenset[str]
    loops: frozenset[str]  # loop devices in use
    swaps: str
    core_pattern: str
    planted: tuple[str, ...]  # what lies in the planted directories and beside the secrets


@dataclass(frozen=True, slots=True)
class Canaries:
    """What whoever runs attempts has to know of the house, also in a process of another user."""

    image: Image
    secret: str  # the host's
    neighbours: str  # another document's
    words: dict[str, str]  # what programs are told, so that they try it: `@NAME@` in their text


@dataclass(slots=True)
class House:
    """Listeners and secrets, for as long as the suite runs; `heard` must stay empty."""

    image: Image
    secret: str
    neighbours: str = field(default_factory=lambda: f"neighbour-{secrets.token_hex(12)}")
    abstract_name: str = field(default_factory=lambda: f"abstract-{secrets.token_hex(6)}")
    heard: list[str] = field(default_factory=list)
    tcp: socket.socket = field(init=False)
    udp: socket.socket = field(init=False)
    abstract: socket.socket = field(init=False)
    _sockets: list[socket.socket] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)
    _fifo: int = field(init=False)

    def __enter__(self) -> Self:
        os.environ[VARIABLE] = self.secret
        self.tcp, self.udp, self.abstract = socket.socket(), socket.socket(type=socket.SOCK_DGRAM), socket.socket(1)
        for one in (self.tcp, self.udp):
            one.bind(("127.0.0.1", 0))
        self.abstract.bind(f"\0{self.abstract_name}")
        self._sockets = [self.tcp, self.udp, self.abstract, images.listen(self.image)]
        for one in self._sockets:
            if one.type == socket.SOCK_STREAM and one is not self.udp:
                one.listen()
            one.setblocking(False)
        self._fifo = os.open(self.image.rootfs / "inner" / images.PLANTED / "fifo", os.O_RDWR | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._listen, daemon=True, name="security-listen")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for one in self._sockets:
            one.close()
        os.close(self._fifo)
        os.environ.pop(VARIABLE, None)

    @property
    def canaries(self) -> Canaries:
        walked = list(os.walk(self.image.rootfs / "inner"))
        words = {
            "TCP_PORT": str(self.tcp.getsockname()[1]),
            "UDP_PORT": str(self.udp.getsockname()[1]),
            "ABSTRACT": self.abstract_name,
            "PLANTED": f"/{images.PLANTED}",
            "NEIGHBOUR": self.neighbours,
            "HOST_PID": str(os.getpid()),
            "HOST_USER": str(os.geteuid()),
            "IMAGE": str(self.image.path),
            "DIRECTORIES": str(len(walked)),  # so many a walk over the guest's root has to come by
            "FILES": str(sum(len(files) for _, _, files in walked)),
        }
        return Canaries(self.image, self.secret, self.neighbours, words)

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one in self._sockets:
                selector.register(one, selectors.EVENT_READ)
            selector.register(self._fifo, selectors.EVENT_READ)
            while not self._over.is_set():
                for key, _ in selector.select(0.2):
                    self._hear(key.fileobj)

    def _hear(self, source: object) -> None:
        if isinstance(source, int):
            self.heard.append(f"FIFO: {os.read(source, 1000)!r}")
        elif source is self.udp:
            self.heard.append(f"UDP: {self.udp.recvfrom(1000)!r}")
        elif isinstance(source, socket.socket):
            connection, peer = source.accept()
            connection.close()
            self.heard.append(f"connection to {source.getsockname()!r} from {peer!r}")

    def state(self) -> State:
        return State(
            socket.gethostname(),
            text_of(Path("/proc/sys/kernel/domainname")),
            time.time() - time.clock_gettime(time.CLOCK_BOOTTIME),
            frozenset(path.name for path in Path("/sys/class/net").iterdir()),
            frozenset(line.split()[0] for line in text_of(Path("/proc/modules")).splitlines()),
            frozenset(path.parent.parent.name for path in Path("/sys/block").glob("loop*/loop/backing_file")),
            text_of(Path("/proc/swaps")),
            text_of(Path("/proc/sys/kernel/core_pattern")),
            tuple(self._planted()),
        )

    def _planted(self) -> list[str]:
        root = self.image.rootfs
        places = (root, root / "etc", root / "tmp", root / "inner/tmp", root / "inner" / images.PLANTED)
        found = [str(path) for directory in places for path in sorted(directory.iterdir())]
        return [*found, (root / "etc/secret").read_text()]

    def faults(self, before: State) -> list[str]:
        """What is not as it was, and who was heard that should not have come through."""
        now = self.state()
        found = [f"heard from inside: {one}" for one in self.heard]
        found += [
            f"{name} was {getattr(before, name)!r}, is {getattr(now, name)!r}"
            for name in State.__slots__
            if name not in ("clock", "interfaces") and getattr(before, name) != getattr(now, name)
        ]
        if abs(now.clock - before.clock) > CLOCK_SECONDS:
            found.append(f"the clock moved by {now.clock - before.clock:.0f} seconds")
        found += [f"left mounted: {line}" for line in self._mounts()]
        return found + [f"left running: {pid} {command_of(pid)[:80]}" for pid in pids_rooted_at(str(self.image.rootfs))]

    def _mounts(self) -> list[str]:
        token = self.image.path.name
        return [line for line in text_of(Path("/proc/self/mountinfo")).splitlines() if token in line]
