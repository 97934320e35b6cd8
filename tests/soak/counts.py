"""What could be left behind, counted: processes, mounts, control groups, files, memory. Reads /proc and /sys only."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("runc", "runsc", "crun", "conmon", "exe", "soffice")  # starts of the names of what sandboxes are made of
CGROUPS = Path("/sys/fs/cgroup")
STATE = (Path("/run/lazaretto"), Path(tempfile.gettempdir()))
OURS = ("sandboxes-", "lazaretto-sandbox-", "lazaretto-service-")


@dataclass(frozen=True, slots=True)
class Counts:
    processes: int  # of sandboxes, on the whole host
    mounts: int  # of this mount namespace
    cgroups: int  # below our own
    directories: int  # of state, of all services
    files: int  # open in the service
    memory: int  # megabytes of the service itself, unshared

    def more_than(self, before: Counts) -> dict[str, tuple[int, int]]:
        """What there is more of, memory apart: that of Python grows to its working size and is judged by whoever asks."""
        names = ("processes", "mounts", "cgroups", "directories", "files")
        pairs = {name: (getattr(before, name), getattr(self, name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[1] > pair[0]}


def counted(service: int | None) -> Counts:
    """Now; `service` is the service's process, None where there is none."""
    return Counts(
        processes=len(sandbox_processes()),
        mounts=len(Path("/proc/self/mounts").read_text().splitlines()),
        cgroups=sum(path.is_dir() for group in _groups() for path in group.iterdir()),
        directories=sum(_state(parent) for parent in STATE if parent.is_dir()),
        files=len(list(Path(f"/proc/{service}/fd").iterdir())) if service else 0,
        memory=_memory(service) if service else 0,
    )


def sandbox_processes() -> list[int]:
    """Every process that is in a group of ours, or has the name of a runtime; the dead that init has not reaped are none."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (process / "stat").read_text()
            name, state = status.partition("(")[2].rpartition(")")[0], status.rpartition(")")[2].split()[0]
            ours = "/lazaretto/" in (process / "cgroup").read_text() or name.startswith(PROGRAMS)
            if ours and state not in {"Z", "X"}:
                found.append(int(process.name))
    return found


def _groups() -> list[Path]:
    places = [path / "lazaretto" for path in (CGROUPS, *(each for each in CGROUPS.iterdir() if each.is_dir()))]
    return [place for place in places if place.is_dir() and not place.parent.is_symlink()]


def _state(parent: Path) -> int:
    """Directories of sandboxes and services; in the place where flattened files lie, what is in it."""
    found = 0
    for path in parent.iterdir():
        if path.name.startswith("lazaretto-sandbox-"):
            found += len(list(path.iterdir()))
        elif path.name.startswith(OURS):
            found += 1
    return found


def _memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) // 1024
    return 0
