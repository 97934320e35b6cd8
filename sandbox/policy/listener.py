"""Calls with their arguments, from the kernel's own notifications (seccomp_unotify(2)).

The kernel's log has no arguments, and what gVisor traces cannot be traced by strace too. So the OCI runtime installs
the filter with a listener and hands its descriptor over a Unix socket; each call stands still until this side has
written it down and lets it go on. Trusts: the runtime. Bounds: MOST_FORMS different calls of each name are kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Self

from sandbox.policy import kernel

if TYPE_CHECKING:
    from pathlib import Path

# struct seccomp_notif: id, pid, flags; seccomp_data: number, architecture, instruction pointer, six arguments
NOTIFICATION = struct.Struct("=QIIiIQ6Q")
ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp: id, value, error, flags
RECEIVE, SEND = 0xC050_2100, 0xC018_2101  # SECCOMP_IOCTL_NOTIF_RECV and _SEND
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
STATE_BYTES = 1 << 16  # what the runtime tells of the container
MOST_FORMS = 4096  # arguments that are pointers differ each time: callers say which arguments count
WAIT_MILLISECONDS = 200


class Listener:
    """A socket that takes filters' descriptors, and what was called: name -> the arguments that count, of each call."""

    def __init__(self, path: Path, counted: dict[str, tuple[int, ...]]) -> None:
        self.seen: dict[str, set[tuple[int, ...]]] = defaultdict(set)
        self._counted = counted
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        path.chmod(0o666)  # a rootless runtime connects as its own user; the directory above keeps others out
        self._socket.listen()
        self._socket.settimeout(WAIT_MILLISECONDS / 1000)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept, name="listener")]

    def __enter__(self) -> Self:
        """Take filters from now on."""
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let all go: a call that waits for a closed listener fails with ENOSYS."""
        self._over.set()
        for thread in list(self._threads):
            thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            with connection:
                _, descriptors, _, _ = socket.recv_fds(connection, STATE_BYTES, 1)
            for descriptor in descriptors:
                thread = threading.Thread(target=self._serve, args=(descriptor,), name="notifications")
                self._threads.append(thread)
                thread.start()

    def _serve(self, descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not self._over.is_set():
            events = poll.poll(WAIT_MILLISECONDS)
            if events and events[0][1] & select.POLLHUP:  # nobody is left under this filter
                break
            if events:
                # a call whose process was killed or took a signal meanwhile is gone: ENOENT
                with contextlib.suppress(OSError):
                    self._one(descriptor)
        os.close(descriptor)

    def _one(self, descriptor: int) -> None:
        buffer = bytearray(NOTIFICATION.size)
        fcntl.ioctl(descriptor, RECEIVE, buffer)
        identifier, _, _, number, _, _, *arguments = NOTIFICATION.unpack(buffer)
        name = kernel.name_of(number)
        if len(self.seen[name]) < MOST_FORMS:
            self.seen[name].add(tuple(arguments[index] for index in self._counted.get(name, ())))
        fcntl.ioctl(descriptor, SEND, bytearray(ANSWER.pack(identifier, 0, 0, CONTINUE)))
