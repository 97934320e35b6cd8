"""What can be seen of a sandbox from outside: its cgroup, its processes, what it wrote.

A sandbox is recognised by its bound on memory, of which each run gets one of its own, whatever engine made the cgroup and
however it named it. Where a runtime gives no cgroup, it is by the path of its root file system in `mountinfo`, which all
attempts share: those then run one at a time.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tests.security.attempt import Usage

if TYPE_CHECKING:
    from sandbox.host.runtime.base import OuterContainer, OuterRuntime, Plan

PAGE = 4096
KEPT = 8 * 1024 * 1024  # bytes of a stream that are looked at; a flood's rest is counted only
EVERY = 0.1  # seconds between two looks
GONE_SECONDS = 5.0  # for the processes of a destroyed sandbox to be gone
CGROUPS = Path("/sys/fs/cgroup")

serials = itertools.count(1)


def own_memory_bound(memory: int) -> int:
    """`memory` with a few pages more, so that no two runs have the same bound."""
    return memory + PAGE * next(serials)


class Copied:
    """A pipe's reading end that keeps a copy of what passes, up to KEPT."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.seen = bytearray()
        self.total = 0

    def _keep(self, data: bytes | memoryview) -> None:
        self.total += len(data)
        self.seen += data[: max(0, KEPT - len(self.seen))]

    def readinto(self, view: memoryview) -> int:
        got = int(self.stream.readinto(view) or 0)  # type: ignore[attr-defined]
        self._keep(view[:got])
        return got

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self._keep(data)
        return data

    def read1(self, size: int = -1) -> bytes:
        data: bytes = self.stream.read1(size)  # type: ignore[attr-defined]
        self._keep(data)
        return data

    def close(self) -> None:
        self.stream.close()


class Watched:
    """An outer runtime that starts another one's containers and watches each."""

    def __init__(self, runtime: OuterRuntime, *, bound: bool) -> None:
        self._runtime = runtime
        self._bound = bound
        self.name = runtime.name
        self.watches: list[Watch] = []

    def version(self) -> str:
        return self._runtime.version()

    def sweep(self, state: Path) -> None:
        self._runtime.sweep(state)

    def start(self, plan: Plan, job: str) -> OuterContainer:
        watch = Watch(plan, job, bound=self._bound)
        container = self._runtime.start(plan, job)
        process = container.process
        for name, copied in (("stdout", watch.stdout), ("stderr", watch.stderr)):
            copied.stream = getattr(process, name)
            setattr(process, name, copied)
        self.watches.append(watch)
        watch.begin()
        return container


class Watch:
    """Looks at one sandbox while it runs."""

    def __init__(self, plan: Plan, job: str, *, bound: bool) -> None:
        self.stdout = Copied(io.BytesIO())  # the container's own pipe takes its place
        self.stderr = Copied(io.BytesIO())
        self.usage = Usage()
        self.growth = 0
        self._bound = bound
        self._memory = plan.limits.memory_bytes
        self._root = str(plan.image.rootfs)
        self._job = job
        self._cgroups: dict[str, Path] = {}
        self._seen: dict[int, int] = {}  # processes by their start, which tells a number that is used again
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="security-watch")
        self._before = resident()
        # no sandbox of ours: this process's own, that of a process that went meanwhile, one that ran before
        self._foreign = set() if bound else set(pids_rooted_at(self._root))

    def begin(self) -> None:
        self._thread.start()

    @property
    def seen(self) -> int:
        """How many processes of it were seen: what was never seen cannot be found gone."""
        return len(self._seen)

    def end(self) -> tuple[str, ...]:
        """Stop looking; what of the sandbox is still there after GONE_SECONDS, which is then killed from here."""
        self._over.set()
        self._thread.join()
        give_up = time.monotonic() + GONE_SECONDS
        while (left := self._left()) and time.monotonic() < give_up:
            time.sleep(EVERY)
        named = tuple(f"{pid} {command_of(pid)[:80]}" for pid in left)
        for pid in left:  # a bomb that was not stopped must not run on while others are tried
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return named

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            self.growth = max(self.growth, resident() - self._before)
            self._look()

    def _look(self) -> None:
        if self._bound and not self._cgroups:
            self._cgroups = cgroups_bound_to(self._memory)
        if self._cgroups:
            self.usage = merged(self.usage, used(self._cgroups))
            pids = members(self._cgroups["memory"])
        else:
            pids = [] if self._bound else pids_rooted_at(self._root)
        inside = {pid: start_of(pid) for pid in pids if pid not in self._foreign and is_elsewhere(pid)}
        self._seen |= {pid: start for pid, start in inside.items() if start}
        self.usage = replace(self.usage, favoured=max(self.usage.favoured, sum(is_favoured(pid) for pid in inside)))

    def _left(self) -> list[int]:
        # the container's first process was seen; when it has ended, so has everybody in its process namespace, for which
        # the kernel sees: one that was started between two looks need not have been seen
        left = [pid for pid, start in self._seen.items() if start_of(pid) == start]
        left += [pid for pid in all_pids() if self._job in command_of(pid)]
        left += members(self._cgroups["memory"]) if self._cgroups else []
        return sorted(set(left))


def cgroups_bound_to(memory: int) -> dict[str, Path]:
    """The directories of the cgroup whose bound on memory is `memory`, by controller; {} where there is none."""
    unified = (CGROUPS / "cgroup.controllers").exists()
    root, name = (CGROUPS, "memory.max") if unified else (CGROUPS / "memory", "memory.limit_in_bytes")
    for directory, _, _ in os.walk(root):
        if text_of(Path(directory, name)).strip() == str(memory):
            found = Path(directory)
            pids = found if unified else CGROUPS / "pids" / found.relative_to(root)
            return {"memory": found, "pids": pids}
    return {}


def used(cgroups: dict[str, Path]) -> Usage:
    """The figures of version 1 or 2; what cannot be read is 0."""
    memory, pids = cgroups["memory"], cgroups["pids"]
    events = fields(memory / "memory.events") | fields(memory / "memory.oom_control")
    return Usage(
        bound=True,
        memory=max(number(memory / name) for name in ("memory.max_usage_in_bytes", "memory.peak", "memory.current")),
        processes=number(pids / "pids.current"),
        memory_refused=max(number(memory / "memory.failcnt"), events.get("max", 0)),
        processes_refused=fields(pids / "pids.events").get("max", 0),
        killed=events.get("oom_kill", 0),
    )


def merged(one: Usage, other: Usage) -> Usage:
    return Usage(*(max(getattr(one, name), getattr(other, name)) for name in Usage.__slots__))


def text_of(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def number(path: Path) -> int:
    text = text_of(path).strip()
    return int(text) if text.isdigit() else 0


def members(cgroup: Path) -> list[int]:
    """Processes of a cgroup and of those below it, which engines make under version 2."""
    lists = [text_of(Path(directory, "cgroup.procs")) for directory, _, _ in os.walk(cgroup)]
    return [int(line) for text in lists for line in text.split()]


def fields(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", text_of(path), re.MULTILINE)}


def all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def start_of(pid: int) -> int:
    """When a living process started, in ticks since boot; 0 for one that is gone, or dead and not yet waited for."""
    fields = text_of(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()  # proc(5): from the third field on
    return int(fields[19]) if fields and fields[0] not in "XZ" else 0


def is_elsewhere(pid: int) -> bool:
    """True for a process in another process namespace than this one: what an engine runs beside a container is in ours."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/pid").stat().st_ino != Path("/proc/self/ns/pid").stat().st_ino
    return False


def command_of(pid: int) -> str:
    return text_of(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")


def is_favoured(pid: int) -> bool:
    """True for a process with a lower nice value or a lower score for the memory killer than this one, or real time."""
    nice, adjust = os.getpriority(os.PRIO_PROCESS, 0), number(Path("/proc/self/oom_score_adj"))
    try:
        own = int(Path(f"/proc/{pid}/oom_score_adj").read_text())
        lower = os.getpriority(os.PRIO_PROCESS, pid) < nice or own < adjust
        return lower or os.sched_getscheduler(pid) not in (os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE)
    except (OSError, ValueError):
        return False


def pids_rooted_at(root: str) -> list[int]:
    token = Path(root).parent.name  # mountinfo has the path within its file system
    return [pid for pid in all_pids() if f"/{token}/" in text_of(Path(f"/proc/{pid}/mountinfo"))]


def resident() -> int:
    """Bytes of memory that this process holds now."""
    matched = re.search(r"^VmRSS:\s+(\d+) kB", text_of(Path("/proc/self/status")), re.MULTILINE)
    return int(matched[1]) * 1024 if matched else 0
