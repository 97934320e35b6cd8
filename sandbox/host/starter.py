"""How the next sandbox is started: restored from a snapshot, or from cold.

Trusts: the runtime and the snapshots it was given. Fails: SandboxUnavailableError where none came up. Bounds: ATTEMPTS
at each way; a snapshot from which none came up rests for a while, and its kind is started from cold meanwhile.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from sandbox.client import SandboxUnavailableError
from sandbox.host.snapshot import FLAGS, Kind, Snapshots
from sandbox.host.standing import Standing, stand_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.host.runtime.base import OuterRuntime, Plan

log = structlog.get_logger(__name__)

ATTEMPTS = 2  # a start that failed once may have met a machine short of something for a moment
REST_SECONDS = 60.0


@dataclass(slots=True)
class Starter:
    """Starts sandboxes by `runtime`; `snapshots` is None where there are none."""

    runtime: OuterRuntime
    plan: Plan
    snapshots: Snapshots | None = None
    resting: dict[Kind, float] = field(default_factory=dict)  # until when, time.monotonic()

    def stand_up(self, kind: Kind = Kind.OTHER, *, early: bool = False) -> Standing:
        """A sandbox that waits for its document; `early`: nobody waits for it yet, so that it may prepare itself."""
        snapshot = self.snapshots.of(kind) if self.snapshots else None
        draws = early and kind is not Kind.HWP  # seldom wanted: its memory is worth more than its time
        if snapshot and time.monotonic() >= self.resting.get(kind, 0.0):
            plan = replace(self.plan, snapshot=snapshot, early=early)
            try:
                return self._try(lambda: stand_up(self.runtime.start(plan, new_name()), plan.limits, early=draws))
            except SandboxUnavailableError as error:
                self.resting[kind] = time.monotonic() + REST_SECONDS
                log.warning("snapshot_failed", kind=kind, reason=str(error), rest_seconds=REST_SECONDS)
        plan = replace(self.plan, early=early)
        prepare = FLAGS[kind] if early else None
        return self._try(lambda: stand_up(self.runtime.start(plan, new_name()), plan.limits, prepare))

    def _try(self, start: Callable[[], Standing]) -> Standing:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return start()
            except (SandboxUnavailableError, OSError, subprocess.SubprocessError) as error:
                if attempt == ATTEMPTS:
                    raise SandboxUnavailableError(f"{self.runtime.name}: {error}") from error
        raise SandboxUnavailableError(f"{self.runtime.name}: no attempt was made")


def new_name() -> str:
    """A container's name, which says whose it is."""
    return f"lazaretto-{os.getpid()}-{secrets.token_hex(6)}"
