"""Processes by number and time of start, so that a number that is used again is not taken for the one before."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path


def _stat(pid: str) -> tuple[int, int, str]:
    """Parent, time of start and state (proc(5))."""
    fields = Path("/proc", pid, "stat").read_text().rpartition(") ")[2].split()
    return int(fields[1]), int(fields[19]), fields[0]


def descendants(pid: int) -> set[tuple[int, int]]:
    """(pid, start) of all processes below `pid`."""
    parents: dict[int, list[tuple[int, int]]] = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(OSError):
                parent, start, _ = _stat(directory.name)
                parents.setdefault(parent, []).append((int(directory.name), start))
    found: set[tuple[int, int]] = set()
    below = [pid]
    while below:
        children = parents.get(below.pop(), [])
        found.update(children)
        below.extend(child for child, _ in children)
    return found


def alive(processes: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those that still run; one that waits to be reaped does not."""
    found = set()
    for pid, start in processes:
        with contextlib.suppress(OSError):
            _, began, state = _stat(str(pid))
            if began == start and state not in "ZX":
                found.add((pid, start))
    return found


def all_gone(processes: set[tuple[int, int]], seconds: float) -> set[tuple[int, int]]:
    """What is left of them when `seconds` are over, or at once the empty set."""
    end = time.monotonic() + seconds
    while (left := alive(processes)) and time.monotonic() < end:
        time.sleep(0.05)
    return left
