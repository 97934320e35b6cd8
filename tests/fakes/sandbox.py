"""A sandbox that is none: answers safe files, reasons, failures, or not at all, as a script of the document's bytes says.

A document that begins with a key of `script` gets that answer; zips are opened, and what `container` made, where there
is room; every other one becomes a PDF of a fixed size.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import warnings
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox import contract
from sandbox.client import (
    Flattened,
    Form,
    Member,
    NotFlattened,
    SandboxBusyError,
    SandboxUnavailableError,
    Unpacked,
    Want,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.client import Answer, Room

HANG = "hang"
UNAVAILABLE = "unavailable"
BUSY = "busy"
FULL_DISK = "full_disk"
FOUND = "application/x-found"
BUG = "bug"
SAFE_PDF = b"%PDF-1.7 made by the fake sandbox\n"
SAFE_PNG = b"\x89PNG made by the fake sandbox\n"


_BOX = b"\0BOX"


def container(form: Form, *members: tuple[str, bytes | str]) -> bytes:
    """A file of a kind that only this sandbox can open: names and contents, or the reason why there is none."""
    rows = [
        [name, "", base64.b64encode(content).decode()] if isinstance(content, bytes) else [name, content, ""]
        for name, content in members
    ]
    return _BOX + bytes([form]) + zlib.compress(json.dumps(rows).encode())


def zipped(*members: tuple[str, bytes]) -> bytes:
    """A real zip; the same members give the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # two of one name: senders do that
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _opened(document: bytes) -> tuple[Form, list[tuple[str, bytes, str]]] | None:
    """What is in a container: name, content, reason."""
    if document.startswith(_BOX):
        rows = json.loads(zlib.decompress(document[len(_BOX) + 1 :]))
        return Form(document[len(_BOX)]), [(name, base64.b64decode(text), why) for name, why, text in rows]
    try:
        with zipfile.ZipFile(io.BytesIO(document)) as archive:
            return Form.ARCHIVE, [(entry.filename, archive.read(entry), "") for entry in archive.infolist()]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, zlib.error, ValueError):
        return None


@dataclass
class FakeSandbox:
    script: dict[bytes, str] = field(default_factory=dict)
    size: int = 100
    chosen: str = "fake"
    fingerprint: str = "fake"
    documents: list[bytes] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    rooms: list[Room | None] = field(default_factory=list)
    charsets: list[str] = field(default_factory=list)
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
        charset: str = "",
    ) -> Answer:
        self.documents.append(untrusted_document)
        self.messages.append(message)
        self.rooms.append(room)
        self.charsets.append(charset)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.entered.set()
        try:
            await asyncio.sleep(0)
            return await self._answer(untrusted_document, output, want, room)
        finally:
            self.at_once -= 1

    def _scripted(self, document: bytes) -> str:
        return next((answer for start, answer in self.script.items() if document.startswith(start)), "")

    async def _answer(self, document: bytes, output: Path, want: Want, room: Room | None) -> Answer:
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
            return NotFlattened(answer, FOUND, 0.5)
        if not answer and (opened := _opened(document) if room else None):
            return await asyncio.to_thread(_unpacked, *opened, output, room)
        start, media_type = (SAFE_PNG, "image/png") if want is Want.IMAGE else (SAFE_PDF, "application/pdf")
        size = int(answer or self.size)
        await asyncio.to_thread(output.write_bytes, start.ljust(size, b"."))
        return Flattened(output, media_type, FOUND, 3, size, 0.25)


def _unpacked(form: Form, members: list[tuple[str, bytes, str]], output: Path, room: Room) -> Unpacked | NotFlattened:
    size = sum(len(content) for _, content, _ in members)
    found = f"application/x-{form.name.lower()}"
    if len(members) > room.members:
        return NotFlattened(contract.TOO_MANY_MEMBERS, found, 0.1)
    if size > room.bytes:
        return NotFlattened(contract.UNPACKED_TOO_LARGE, found, 0.1)
    output.write_bytes(b"".join(content for _, content, _ in members))
    told, start = [], 0
    for name, content, reason in members:
        told.append(Member(name, start, len(content), reason))
        start += len(content)
    return Unpacked(output, form, tuple(told), found, size, 0.1)
