"""The guest's end of the contract: commands and one request in, frames out.

Standard input is read without a buffer, no further than asked for: a guest that stands warm may be frozen between any
two reads and go on as another process. Fails: a command or a request that is not whole ends the process; the host then
sees an answer without an end mark.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from sandbox import contract

CHUNK = 1 << 20  # a pipe holds no more (pipe(7), pipe-max-size)


@dataclass(frozen=True)
class Request:
    """The document and the bounds to keep. Pixels are counted, sizes are bytes, pages are measured in points."""

    document: bytes
    charset: str  # what the sender calls it, "" where nothing was said: a hint, for a text
    text: bool
    image: bool
    unpack: bool
    dpi: int
    max_pages: int
    max_page_pixels: int
    max_total_pixels: int
    max_page_points: int
    max_text_bytes: int
    max_members: int
    max_member_bytes: int


@dataclass(frozen=True)
class Command:
    """One command of the host: `kind` is PREPARE or OPEN of the contract."""

    kind: int
    flags: int
    seed: bytes


def read_command() -> Command:
    """Read one command; exits where the host has closed the pipe, or where it is not ours."""
    magic, version, kind, flags, seed = struct.unpack(contract.COMMAND, _exactly(struct.calcsize(contract.COMMAND)))
    if (magic, version) != (contract.MAGIC, contract.VERSION):
        raise SystemExit("command is not ours")
    return Command(kind, flags, seed)


def read_request() -> Request:
    """Read one request; exits where the header is not ours or the document is shorter than it says."""
    header = _exactly(struct.calcsize(contract.REQUEST))
    magic, version, flags, *bounds, length, charset = struct.unpack(contract.REQUEST, header)
    if (magic, version) != (contract.MAGIC, contract.VERSION):
        raise SystemExit("request is not ours")
    document = _exactly(length)
    asked = (bool(flags & flag) for flag in (contract.FLAG_TEXT, contract.FLAG_IMAGE, contract.FLAG_UNPACK))
    return Request(document, charset.rstrip(b"\0").decode("ascii"), *asked, *bounds)


def _exactly(length: int) -> bytes:
    pieces = []
    while length:
        piece = os.read(0, min(length, CHUNK))
        if not piece:
            raise SystemExit("standard input ended early")
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


class Answer:
    """Writes frames in the order the contract asks for. The stream is buffered: a bare pipe takes partial writes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def _frame(self, kind: int, payload: bytes | memoryview = b"") -> None:
        self._stream.write(struct.pack(contract.FRAME, kind, len(payload)))
        self._stream.write(payload)

    def prepared(self) -> None:
        """Say that a PREPARE is done."""
        self._frame(contract.PREPARED)
        self._stream.flush()

    def hello(self) -> None:
        """Open the answer before a byte of the document is read: what fails earlier is not the document's fault."""
        self._frame(contract.HELLO, struct.pack(contract.HELLO_PAYLOAD, contract.MAGIC, contract.VERSION))
        self._stream.flush()

    def found(self, media_type: str) -> None:
        """Say what the document is by its content."""
        self._frame(contract.FOUND, media_type.encode("ascii", "replace")[: contract.MAX_MEDIA_TYPE])
        self._stream.flush()

    def opened(self) -> None:
        """Say that drawing begins."""
        self._frame(contract.OPENED)
        self._stream.flush()

    def page(self, pixels: tuple[int, int], points: tuple[float, float], rgb: memoryview) -> None:
        """Send one page: its size in pixels and points, then its RGB rows in chunks."""
        size = struct.pack(contract.PAGE_PAYLOAD, *pixels, *(max(1, round(1000 * side)) for side in points))
        self._frame(contract.PAGE, size)
        for start in range(0, len(rgb), contract.MAX_CHUNK):
            self._frame(contract.PIXELS, rgb[start : start + contract.MAX_CHUNK])

    def text(self, untrusted_runs: str, limit: int) -> None:
        """Send the page's text runs, whole lines up to `limit` bytes."""
        payload = untrusted_runs.encode("utf-8", "replace")
        if len(payload) > limit:
            payload = payload[: payload.rfind(b"\n", 0, limit) + 1]
        self._frame(contract.TEXT, payload)

    def container(self, form: int) -> None:
        """Say that the document is a container, and of which form; its members follow."""
        self._frame(contract.CONTAINER, struct.pack(contract.CONTAINER_PAYLOAD, form))
        self._stream.flush()

    def member(self, untrusted_name: str) -> None:
        """Begin the next member. Of a name that is too long the end is kept: it says what kind of file that is."""
        name = untrusted_name.encode("utf-8", "replace")
        if len(name) > contract.MAX_NAME:
            name = name[-contract.MAX_NAME :].decode("utf-8", "ignore").encode()
        self._frame(contract.MEMBER, name)

    def bytes(self, untrusted_piece: bytes | memoryview) -> None:
        """Send the next bytes of the member."""
        for start in range(0, len(untrusted_piece), contract.MAX_CHUNK):
            self._frame(contract.BYTES, untrusted_piece[start : start + contract.MAX_CHUNK])

    def left(self, reason: str) -> None:
        """Say why the member is not to be had, whatever came of it."""
        self._frame(contract.LEFT, reason.encode("ascii"))

    def end(self, count: int) -> None:
        """Close a whole answer of so many pages or members."""
        self._frame(contract.END, struct.pack(contract.END_PAYLOAD, count))
        self._stream.flush()

    def failed(self, reason: str) -> None:
        """Close the answer with a reason."""
        self._frame(contract.FAILED, reason.encode("ascii"))
        self._stream.flush()
