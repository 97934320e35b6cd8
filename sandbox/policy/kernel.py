"""The kernel's side of learning: names of calls, and its log of those that a policy lets through and notes.

Trusts: the kernel's log for the number of a call only; anyone may write lines to it, and a line that does not look like
an audit record of a logged call is passed over. Fails: OSError where the log cannot be read (it takes root). The log is
a ring: what a run overwrites is lost, which is counted, and why runs are repeated until nothing new comes.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import select
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

X86_64 = 0xC000_003E  # AUDIT_ARCH_X86_64
RECORD = 8192  # bytes: the longest record that /dev/kmsg gives
SETTLE_SECONDS = 0.5  # the audit thread writes a little after the call
RATELIMIT = Path("/proc/sys/kernel/printk_ratelimit")
# SECCOMP_RET_LOG; what gVisor's own filters kill is logged too, with another code
LOGGED = re.compile(rf"type=1326 .* arch={X86_64:x} syscall=(\d+) .* code=0x7ffc0000")


@functools.cache
def _library() -> ctypes.CDLL:
    # libseccomp is what the OCI runtimes make filters with: its table decides what a name in a policy means
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    return library


@functools.cache
def number_of(name: str) -> int | None:
    """The x86_64 number of a call; None where it is a call of other architectures, or unknown."""
    number: int = _library().seccomp_syscall_resolve_name_arch(ctypes.c_uint32(X86_64), name.encode())
    return number if number >= 0 else None


@functools.cache
def name_of(number: int) -> str:
    """The name of an x86_64 call, or "call 471" where libseccomp does not know it."""
    found = _library().seccomp_syscall_resolve_num_arch(ctypes.c_uint32(X86_64), number)
    if not found:
        return f"call {number}"
    name = ctypes.string_at(found).decode()
    ctypes.CDLL(None).free(ctypes.c_void_p(found))
    return name


@contextlib.contextmanager
def unlimited_log() -> Iterator[None]:
    """The kernel writes each record, not some a second; restored afterwards."""
    before = RATELIMIT.read_text()
    RATELIMIT.write_text("0")
    try:
        yield
    finally:
        RATELIMIT.write_text(before)


class Log:
    """Numbers of calls that the kernel has logged since this was opened."""

    def __init__(self) -> None:
        self.lost = 0  # times that the ring had overwritten what was not read yet
        self._descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._descriptor, 0, os.SEEK_END)
        self._numbers: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kmsg")

    def __enter__(self) -> Self:
        """Read from now on, beside the run, or the ring would be full long before its end."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop reading."""
        self._over.set()
        self._thread.join()
        os.close(self._descriptor)

    def names(self) -> set[str]:
        """What was logged up to now."""
        self._over.wait(SETTLE_SECONDS)
        return {name_of(number) for number in frozenset(self._numbers)}

    def _run(self) -> None:
        while not self._over.is_set():
            select.select([self._descriptor], [], [], SETTLE_SECONDS / 2)
            while self._read_one() and not self._over.is_set():
                pass

    def _read_one(self) -> bool:
        try:
            record = os.read(self._descriptor, RECORD).decode("utf-8", "replace")
        except BlockingIOError:
            return False
        except BrokenPipeError:  # overwritten before it was read; the next read goes on with what is there
            self.lost += 1
            return True
        if matched := LOGGED.search(record):
            self._numbers.add(int(matched[1]))
        return True
