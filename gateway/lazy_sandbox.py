"""A sandbox that is opened when a document first asks for it: most mail needs none.

Fails as `open_sandbox` does, with SandboxUnavailableError; after a failure it tries again with growing pauses, and
answers at once in between, so that a broken house costs a message nothing but its 451.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from sandbox.client import Sandbox, SandboxSettings, SandboxUnavailableError, Want, fingerprint, open_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.client import Answer, Room

log = structlog.get_logger(__name__)

FIRST_PAUSE: Final = 5.0  # seconds before the next try; a try costs the start of a sandbox or two
LONGEST_PAUSE: Final = 300.0  # an administrator who has mended the host waits no longer than this


class LazySandbox:
    """Stands where a `Sandbox` is wanted."""

    def __init__(self, settings: SandboxSettings, opener: Callable[[SandboxSettings], Sandbox] = open_sandbox) -> None:
        self._settings = settings
        self._opener = opener
        self._sandbox: Sandbox | None = None
        self._reason = ""
        self._pause = FIRST_PAUSE
        self._not_before = 0.0
        self._lock = asyncio.Lock()

    @property
    def chosen(self) -> str:
        """As `sandbox.client.Sandbox`; "" before it is opened."""
        return self._sandbox.chosen if self._sandbox else ""

    @property
    def fingerprint(self) -> str:
        """As `sandbox.client.Sandbox`; it needs no sandbox that is open."""
        return fingerprint(self._settings)

    async def flatten(
        self,
        untrusted_document: bytes,
        output: Path,
        want: Want = Want.PDF,
        *,
        message: str = "",
        room: Room | None = None,
        charset: str = "",
    ) -> Answer:
        """As `sandbox.client.Sandbox`."""
        sandbox = await self.opened()
        return await sandbox.flatten(untrusted_document, output, want, message=message, room=room, charset=charset)

    async def opened(self) -> Sandbox:
        """The sandbox; raises SandboxUnavailableError, at once where the last failure is fresh."""
        async with self._lock:
            if self._sandbox is None:
                self._sandbox = await self._open()
            return self._sandbox

    async def _open(self) -> Sandbox:
        clock = asyncio.get_running_loop().time
        if clock() < self._not_before:
            raise SandboxUnavailableError(self._reason)
        try:
            sandbox = await asyncio.to_thread(self._opener, self._settings)
        except SandboxUnavailableError as error:
            self._reason = str(error)
            self._not_before = clock() + self._pause
            log.error("sandbox_unavailable", reason=self._reason, retry_seconds=self._pause)  # noqa: TRY400 - one line
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            raise
        log.info("sandbox_ready", chosen=sandbox.chosen)
        self._pause = FIRST_PAUSE
        return sandbox
