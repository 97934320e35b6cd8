"""Sandboxes that stand ready, so that a document need not wait for one. Each is taken once, and never comes back.

A thread of the pool's own refills it, one sandbox at a time. A document that finds none starts its own. Trusts: the
starter. Fails: never by what goes wrong while refilling, which is logged and tried again with growing pauses; `take`
raises SandboxUnavailableError where no sandbox starts at all. Bounds: how many of each kind stand, the memory of all
that stand, and for how long one may.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import structlog

from sandbox.client import SandboxUnavailableError
from sandbox.host.snapshot import Kind

if TYPE_CHECKING:
    from sandbox.client import PoolSettings
    from sandbox.host.standing import Standing
    from sandbox.host.starter import Starter

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0  # between two looks at whether those that stand are alive and fresh
FIRST_PAUSE = 1.0  # seconds after a start that failed
LONGEST_PAUSE = 60.0


class Pool:
    """`take` one; `close` at the end."""

    def __init__(self, starter: Starter, settings: PoolSettings) -> None:
        self._starter = starter
        self._settings = settings
        self._sizes = {kind: getattr(settings, kind) for kind in Kind}
        self._standing: dict[Kind, deque[Standing]] = {kind: deque() for kind in Kind}
        self._changed = threading.Condition()
        self._closed = False
        self._taken = False  # one was, since the refiller last looked
        self._pause = 0.0  # seconds that refilling rests after a failure
        self._thread = threading.Thread(target=self._refill, name="refill", daemon=True)
        self._thread.start()

    def take(self, kind: Kind) -> Standing:
        """One that stands, oldest first, or a fresh one. Raises SandboxUnavailableError."""
        while standing := self._pop(kind):
            if standing.is_alive:
                standing.container.hurry()
                return standing
            self._bury(standing, "died")
        return self._starter.stand_up(kind)

    def counts(self) -> dict[str, int]:
        """How many stand, by kind."""
        with self._changed:
            return {str(kind): len(standing) for kind, standing in self._standing.items()}

    @property
    def is_full(self) -> bool:
        """True while as many stand as should."""
        return self.counts() == self._sizes

    def close(self) -> None:
        """End all that stand; what was taken is its taker's. Safe to call twice."""
        with self._changed:
            self._closed = True
            left = [standing for each in self._standing.values() for standing in each]
            for each in self._standing.values():
                each.clear()
            self._changed.notify_all()
        for standing in left:
            standing.destroy()
        self._thread.join()

    def _pop(self, kind: Kind) -> Standing | None:
        with self._changed:
            self._taken = True
            self._changed.notify_all()
            return self._standing[kind].popleft() if self._standing[kind] else None

    def _refill(self) -> None:
        while not self._closed:
            self._retire()
            kind = self._next_kind()
            if kind is None:
                self._wait(LOOK_SECONDS)
                continue
            try:
                self._add(kind, self._starter.stand_up(kind, early=True))
                self._pause = 0.0
            except SandboxUnavailableError as error:
                self._pause = min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
                log.warning("pool_not_refilled", kind=kind, reason=str(error), retry_seconds=self._pause)
                self._wait(self._pause)

    def _add(self, kind: Kind, standing: Standing) -> None:
        with self._changed:
            if not self._closed:
                self._standing[kind].append(standing)
                return
        standing.destroy()

    def _next_kind(self) -> Kind | None:
        """The kind of which the smallest share stands; None where all do, or there is no memory for more."""
        with self._changed:
            lacking = {
                kind: len(self._standing[kind]) / size
                for kind, size in self._sizes.items()
                if len(self._standing[kind]) < size
            }
            standing = [each for kind in self._standing.values() for each in kind]
        if not lacking or self._closed:
            return None
        used = [each.memory() for each in standing]
        # the next one will be about as large as the largest
        if sum(used) + max(used, default=0) > self._settings.memory_bytes:
            return None
        return min(lacking, key=lambda kind: lacking[kind])

    def _retire(self) -> None:
        """Take out those that died or have stood for too long."""
        now = time.monotonic()
        with self._changed:
            old = [
                (kind, each)
                for kind, standing in self._standing.items()
                for each in standing
                if now - each.since > self._settings.idle_seconds or not each.is_alive
            ]
            for kind, each in old:
                self._standing[kind].remove(each)
        for _, each in old:
            self._bury(each, "idle" if each.is_alive else "died")

    def _bury(self, standing: Standing, why: str) -> None:
        log.info("sandbox_retired", why=why, stood_seconds=round(time.monotonic() - standing.since, 1))
        standing.destroy()

    def _wait(self, seconds: float) -> None:
        """Until somebody took one, or this time has passed; after a failure until the pause is over, whatever comes."""
        until = time.monotonic() + seconds
        with self._changed:
            if not (self._closed or self._taken):
                self._changed.wait(seconds)
            self._taken = False
        while self._pause and not self._closed and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, FIRST_PAUSE))
