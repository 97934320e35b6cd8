"""Who is next, when more documents want a sandbox than may be under way: messages take turns, a document each.

A message of a hundred attachments thus delays another of one by one document's time, not by a hundred. Lives in one
event loop; no locks. Fails: SandboxBusyError where too many wait already. Bounds: `most` under way, `waiting` in line.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sandbox.client import SandboxBusyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Turns:
    """`async with turns.turn(message)`: what is within is one of `most` at once."""

    def __init__(self, most: int, waiting: int) -> None:
        self._free = most
        self._most_waiting = waiting
        # messages in the order of their next turn, each with those of its documents that wait
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(len(line) for line in self._lines.values())

    @asynccontextmanager
    async def turn(self, message: str) -> AsyncIterator[None]:
        """Wait for a turn, and pass it on afterwards. Raises SandboxBusyError."""
        await self._come(message)
        try:
            yield
        finally:
            self._next()

    async def _come(self, message: str) -> None:
        if self._free:
            self._free -= 1
            return
        if self.waiting >= self._most_waiting:
            raise SandboxBusyError(f"{self.waiting} documents wait for a sandbox already")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(message, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._next()  # called up in the very moment it left: the turn is the next one's
            raise

    def _next(self) -> None:
        """Give a turn that is free to whoever comes first now."""
        while self._lines:
            message, line = self._lines.popitem(last=False)
            place = line.popleft()
            if line:
                self._lines[message] = line  # its next document comes after all other messages' next one
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
