"""`make soak`: 500 mixed documents, then 50 ends by kill -9 under load; what is left is counted before and after."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from sandbox.client import SandboxSettings
from tests.soak import load
from tests.soak.counts import Counts, counted

if TYPE_CHECKING:
    from collections import Counter

WARM_UP = 80  # documents before the first count: Python's heap has its working size then
SETTLE_SECONDS = 30.0
GROWTH = 64  # megabytes of the service that are no leak: heaps of threads that have met their largest document


async def soak(documents: int, tell) -> tuple[Counts, Counts, Counter[str]]:
    """Counted while the service is up and its pool full, before and after; and when it has ended."""
    async with load.served(SandboxSettings()) as served:
        await load.flatten_many(served.sandbox, min(WARM_UP, documents), tell)
        before = await settled(served)
        ended = await load.flatten_many(served.sandbox, documents, tell)
        return before, await settled(served), ended


async def storm(documents: int, kills: int, tell) -> tuple[Counter[str], Counter[str]]:
    """What was killed, and how the documents ended that were under way meanwhile."""
    async with load.served(SandboxSettings()) as served:
        over = asyncio.Event()
        killing = asyncio.create_task(load.kill_at_random(served, kills, over))
        ended = await load.flatten_many(served.sandbox, documents, tell)
        while not killing.done():
            ended += await load.flatten_many(served.sandbox, load.AT_ONCE * 4, tell)
        return await killing, ended


async def settled(served: load.Served) -> Counts:
    """The counts once they no longer change: the pool is full, what has ended is gone."""
    last, since, end = None, time.monotonic(), time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end:
        now = counted(served.pid)
        same = last and (now.processes, now.cgroups) == (last.processes, last.cgroups)
        since = since if same else time.monotonic()
        last = now
        if time.monotonic() - since > 3:
            break
        await asyncio.sleep(0.25)
    return counted(served.pid)


def nothing_left(before: Counts) -> dict[str, tuple[int, int]]:
    """What there is more of than before any service was there, after a moment for the dead to go."""
    end = time.monotonic() + SETTLE_SECONDS
    while (more := counted(None).more_than(before)) and time.monotonic() < end:
        time.sleep(0.25)
    return more


def run(documents: int, kills: int, console: Console) -> list[str]:
    """Both; what speaks against the service."""
    faults: list[str] = []
    empty = counted(None)
    if documents:
        before, after, ended = asyncio.run(soak(documents, _every(console, 100)))
        console.print(_table("a soak", before, after, ended))
        faults += [f"soak: {name}: {pair[0]} before, {pair[1]} after" for name, pair in after.more_than(before).items()]
        if after.memory > before.memory + GROWTH:
            faults.append(f"soak: memory of the service: {before.memory} MB before, {after.memory} MB after")
    if kills:
        killed, ended = asyncio.run(storm(kills * 6, kills, _every(console, 50)))
        console.print(f"killed: {dict(killed)}; documents: {dict(ended)}")
        if sum(killed.values()) < kills:
            faults.append(f"storm: only {sum(killed.values())} of {kills} were killed")
    faults += [f"left at the end: {name}: {pair}" for name, pair in nothing_left(empty).items()]
    return faults


def _every(console: Console, step: int):
    return lambda done: console.print(f"{done} documents") if done % step == 0 else None


def _table(title: str, before: Counts, after: Counts, ended: Counter[str]) -> Table:
    table = Table("what", "before", "after", title=f"{title}: {sum(ended.values())} documents, {dict(ended)}")
    for name in Counts.__slots__:
        table.add_row(name, str(getattr(before, name)), str(getattr(after, name)))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--kills", type=int, default=50)
    options = parser.parse_args()
    started = time.monotonic()
    faults = run(options.documents, options.kills, Console(width=140))
    print(f"{time.monotonic() - started:.0f} s", *(faults or ["nothing leaked, nothing was left"]), sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
