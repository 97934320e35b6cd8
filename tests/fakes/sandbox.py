"""A sandbox that is none: answers safe files, reasons, failures, or not at all, as a script of the document's bytes says.

A document that begins with a key of `script` gets that answer; every other one becomes a PDF of a fixed size.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.client import Flattened, NotFlattened, SandboxBusyError, SandboxUnavailableError, Want

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.client import Answer, Room

HANG = "hang"
UNAVAILABLE = "unavailable"
BUSY = "busy"
FULL_DISK = "full_disk"
BUG = "bug"
SAFE_PDF = b"%PDF-1.7 made by the fake sandbox\n"
SAFE_PNG = b"\x89PNG made by the fake sandbox\n"


@dataclass
class FakeSandbox:
    script: dict[bytes, str] = field(default_factory=dict)
    size: int = 100
    chosen: str = "fake"
    fingerprint: str = "fake"
    documents: list[bytes] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(
        default_factory=asyncio.Event
    )  # ends every HANG with what the script says by then, or a safe file

    async def flatten(
        self,
        untrusted_document: bytes,
        output: Path,
        want: Want = Want.PDF,
        *,
        message: str = "",
        room: Room | None = None,
    ) -> Answer:
        self.documents.append(untrusted_document)
        self.messages.append(message)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.entered.set()
        try:
            await asyncio.sleep(0)
            return await self._answer(untrusted_document, output, want)
        finally:
            self.at_once -= 1

    def _scripted(self, document: bytes) -> str:
        return next((answer for start, answer in self.script.items() if document.startswith(start)), "")

    async def _answer(self, document: bytes, output: Path, want: Want) -> Flattened | NotFlattened:
        answer = self._scripted(document)
        if answer == HANG:
            await self.release.wait()
            answer = self._scripted(document).replace(HANG, "")
        if answer == BUSY:
            raise SandboxBusyError("too many documents wait")
        if answer == UNAVAILABLE:
            raise SandboxUnavailableError("no runtime found; install runc")
        if answer == FULL_DISK:
            raise OSError(28, "No space left on device")
        if answer == BUG:
            raise ValueError("secret internals")
        if answer and not answer.isdigit():
            return NotFlattened(answer, "application/x-found", 0.5)
        start, media_type = (SAFE_PNG, "image/png") if want is Want.IMAGE else (SAFE_PDF, "application/pdf")
        size = int(answer or self.size)
        await asyncio.to_thread(output.write_bytes, start.ljust(size, b"."))
        return Flattened(output, media_type, "application/x-found", 3, size, 0.25)
