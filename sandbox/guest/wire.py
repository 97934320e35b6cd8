"""The guest's end of the contract: one request in, frames out.

Fails: a request that is not whole ends the process; the host then sees an answer without an end mark.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from sandbox import contract


@dataclass(frozen=True)
class Request:
    """The document and the bounds to keep. Pixels are counted, sizes are bytes, pages are measured in points."""

    document: bytes
    text: bool
    image: bool
    dpi: int
    max_pages: int
    max_page_pixels: int
    max_total_pixels: int
    max_page_points: int
    max_text_bytes: int


def read_request(stream: BinaryIO) -> Request:
    """Read one request; exits where the header is not ours or the document is shorter than it says."""
    header = stream.read(struct.calcsize(contract.REQUEST))
    magic, version, flags, *bounds, length = struct.unpack(contract.REQUEST, header)
    document = stream.read(length)
    if (magic, version) != (contract.MAGIC, contract.VERSION) or len(document) != length:
        raise SystemExit("request is not whole")
    return Request(document, bool(flags & contract.FLAG_TEXT), bool(flags & contract.FLAG_IMAGE), *bounds)


class Answer:
    """Writes frames in the order the contract asks for. The stream is buffered: a bare pipe takes partial writes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def _frame(self, kind: int, payload: bytes | memoryview) -> None:
        self._stream.write(struct.pack(contract.FRAME, kind, len(payload)))
        self._stream.write(payload)

    def hello(self) -> None:
        """Open the answer before a byte of the document is read: what fails earlier is not the document's fault."""
        self._frame(contract.HELLO, struct.pack(contract.HELLO_PAYLOAD, contract.MAGIC, contract.VERSION))
        self._stream.flush()

    def found(self, media_type: str) -> None:
        """Say what the document is by its content."""
        self._frame(contract.FOUND, media_type.encode("ascii", "replace")[: contract.MAX_MEDIA_TYPE])
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

    def end(self, pages: int) -> None:
        """Close a whole answer."""
        self._frame(contract.END, struct.pack(contract.END_PAYLOAD, pages))
        self._stream.flush()

    def failed(self, reason: str) -> None:
        """Close the answer with a reason."""
        self._frame(contract.FAILED, reason.encode("ascii"))
        self._stream.flush()
