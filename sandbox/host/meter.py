"""What a sandbox has used: memory and processor time, by its cgroup, or counted by us where it has none.

Trusts the kernel only. Without a cgroup the figures are those of the container's process tree: gVisor keeps the
guest's memory in one memfd, whose blocks are all of it; each process's private pages come on top. Counting is cheap
(a few files of /proc) and late by the time between two looks: a bound kept this way is a bound on what lasts.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sandbox.host.runtime.facts import cgroup_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
MEMFD = "/memfd:runsc-memory"  # gVisor's name for the guest's memory
BLOCK = 512  # st_blocks is in these, whatever the filesystem (stat(2))
KIB = 1024
TICK = os.sysconf("SC_CLK_TCK")
FULL = 0.98  # of the bound: the kernel's kill comes when the last page does not fit, so the peak may be just below it


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used up to now: bytes at the most, processor seconds in all."""

    memory: int
    cpu: float


class Meter(Protocol):
    """Something that tells a container's usage; None where there is nothing to tell, or no more."""

    def read(self) -> Usage | None:
        """Look now."""
        ...


class CgroupMeter:
    """By a cgroup of the container's own, `path` relative to each hierarchy's root."""

    def __init__(self, path: str) -> None:
        self._path = path.strip("/")

    def read(self) -> Usage | None:
        """The peak of memory and the processor time, also after the last process ended, while the group is there."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            return self._version_2() if cgroup_mode(CGROUPS) == "v2" else self._version_1()
        return None

    def _version_1(self) -> Usage:
        memory = int((CGROUPS / "memory" / self._path / "memory.max_usage_in_bytes").read_text())
        return Usage(memory, int((CGROUPS / "cpuacct" / self._path / "cpuacct.usage").read_text()) / 1e9)

    def _version_2(self) -> Usage:
        group = CGROUPS / self._path
        stat = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
        peak = group / "memory.peak"  # since Linux 5.19
        memory = int((peak if peak.exists() else group / "memory.current").read_text())
        return Usage(memory, int(stat["usage_usec"]) / 1e6)


class TreeMeter:
    """By the container's first process and all below it, as `first` finds it (None: not yet started, or ended)."""

    def __init__(self, first: Callable[[], int | None]) -> None:
        self._first = first

    def read(self) -> Usage | None:
        """By the process's own cgroup where an engine made one, else by counting."""
        first = self._first()
        if first is None or not (PROC / str(first)).exists():
            return None
        if group := own_cgroup(first):
            return CgroupMeter(group).read()
        return _sum(first)


def own_cgroup(pid: int) -> str:
    """The memory cgroup of a process, where it is another than ours; "" otherwise.

    A process that has ended is shown in the root group until it is reaped: that group is nobody's own.
    """
    group = _memory_cgroup(str(pid))
    return "" if group in {"/", _memory_cgroup("self")} else group


def _memory_cgroup(pid: str) -> str:
    with contextlib.suppress(OSError):
        for line in (PROC / pid / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)  # cgroups(7)
            if "memory" in controllers.split(",") or (not controllers and cgroup_mode(CGROUPS) == "v2"):
                return path
    return ""


def _sum(first: int) -> Usage:
    private, shared, ticks, files = 0, [0], 0, {}
    for pid in descendants(first):
        with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
            status = dict(re.findall(r"^(Rss\w+):\s+(\d+) kB$", (PROC / str(pid) / "status").read_text(), re.MULTILINE))
            private += int(status["RssAnon"]) * KIB  # proc(5)
            shared.append(int(status["RssShmem"]) * KIB)
            # after the command, which may hold blanks: fields 14 to 17 are the times, of itself and its reaped children
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
        files.update(_memory_files(pid))
    largest = max(shared)
    # where we may not see the memory file: what is mapped of it. The sentry and the guest's processes map the same
    # pages, two processes of the guest mostly do not
    guest = sum(files.values()) if files else max(largest, sum(shared) - largest)
    return Usage(private + guest, ticks / TICK)


def descendants(first: int) -> Iterator[int]:
    """A process and all below it; orphans of a container stay below its first process."""
    yield first
    with contextlib.suppress(OSError):
        for task in (PROC / str(first) / "task").iterdir():
            for child in (task / "children").read_text().split():
                yield from descendants(int(child))


def _memory_files(pid: int) -> dict[int, int]:
    """Inode -> bytes of gVisor's memory files that a process has open; none where we may not look."""
    found = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(PROC / str(pid) / "fd"):
            with contextlib.suppress(OSError):
                if str(Path(entry.path).readlink()).startswith(MEMFD):
                    status = entry.stat()
                    found[status.st_ino] = status.st_blocks * BLOCK
    return found
