"""Ends a container that is late or has used too much, whatever state it is in.

Bounds: wall-clock time for the whole and between two pages, processor time, memory. The kernel kills for memory where
the container has a cgroup; where it has none, this is what bounds it, a quarter of a second late at the most.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from sandbox import contract
from sandbox.host.meter import FULL

if TYPE_CHECKING:
    from sandbox.client import Limits
    from sandbox.host.runtime.base import OuterContainer

LOOK_SECONDS = 0.25  # between two looks at what a container has used


class Watch:
    """Destroys the container when it is late, in all or since the last page, and when it has used too much."""

    def __init__(self, container: OuterContainer, limits: Limits, started: float | None = None) -> None:
        self._container = container
        self._limits = limits
        # of the clock time.monotonic(); a document's time begins when it is ready to go, not when its sandbox is
        self._end = (time.monotonic() if started is None else started) + limits.seconds
        self._page_end = time.monotonic() + limits.page_seconds
        self._over = threading.Event()
        self._most = 0
        self.killed = ""  # the reason of the contract, where this watch ended the container
        threading.Thread(target=self._run, daemon=True, name="watch").start()

    @property
    def memory_was_full(self) -> bool:
        """True where the container came up to its bound of memory, whoever then ended it."""
        return self._most >= self._limits.memory_bytes * FULL

    def page_came(self) -> None:
        """Give the next page its time."""
        self._page_end = time.monotonic() + self._limits.page_seconds

    def stop(self) -> None:
        """The job is over."""
        self._over.set()

    def look(self) -> str:
        """The bound that is passed by now, as a reason of the contract; "" where none is."""
        if time.monotonic() >= min(self._end, self._page_end):
            return contract.DEADLINE
        usage = self._container.meter.read() if self._container.meter else None
        if usage is None:
            return ""
        self._most = max(self._most, usage.memory)
        if usage.memory > self._limits.memory_bytes:
            return contract.OUT_OF_MEMORY
        return contract.DEADLINE if usage.cpu > self._limits.cpu_seconds else ""

    def _run(self) -> None:
        while not self._over.wait(self._until_next_look()):
            if reason := self.look():
                self.killed = reason
                self._container.destroy()
                return

    def _until_next_look(self) -> float:
        left = min(self._end, self._page_end) - time.monotonic()
        return max(0.0, min(left, LOOK_SECONDS))
