"""The tree of a message: parts with the spans of their bytes. Values only, all frozen.

Every span counts bytes of the part's own `source`: the message as received, or, where a sender put a transfer encoding
around a whole message (which RFC 2046 section 5.2.1 forbids), what that encoding gave. What senders chose (file names,
types, parameters) stays untrusted here; `filename` and `plan` make it safe.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `end` (not included) of a source."""

    start: int
    end: int

    def of(self, source: bytes) -> bytes:
        """Cut the span out of `source`."""
        return source[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Header:
    """One header field: name in lower case, value raw with its folding, the span with its line ends."""

    name: str
    value: bytes
    span: Span


class Kind(enum.StrEnum):
    """What a part is made of."""

    LEAF = "leaf"
    MULTIPART = "multipart"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Part:
    """One node of the tree. A message's root is a part too."""

    path: str  # as IMAP numbers them (RFC 3501 section 6.4.5); TEXT and 2.TEXT for a multipart that is a message's root
    kind: Kind
    source: bytes = field(repr=False)
    span: Span
    header_span: Span  # without the empty line
    body_span: Span
    headers: tuple[Header, ...]
    content_type: str  # lower case; text/plain where none was given, application/octet-stream where it cannot be read
    types: tuple[str, ...]  # every type that the headers can be read as; more than one: ambiguous
    params: Mapping[str, str]  # of Content-Type, decoded
    encoding: str  # "identity", "base64", "quoted-printable", "x-uuencode" or "unknown"
    encodings: tuple[str, ...]  # every encoding the headers can be read as
    disposition: str  # "", "inline", "attachment" or what else was said
    untrusted_filename: str  # "" where none was given
    content_id: str  # without angle brackets
    boundary: bytes = b""
    children: tuple[Part, ...] = ()
    limit: str = ""  # the bound over which the contents were not read any further

    @property
    def body(self) -> bytes:
        """The body's bytes, still in their transfer encoding."""
        return self.body_span.of(self.source)

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in the order of the message."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.children))


@dataclass(frozen=True, slots=True)
class Message:
    """A message as we read it; `ambiguities` are names of `ambiguity.MEANING`, sorted. None: every parser agrees."""

    raw: bytes = field(repr=False)
    root: Part
    ambiguities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a message is read. What lies over a bound is never passed: it is dropped or becomes a notice.

    `parts`, `depth` and what is unpacked are one budget for the message and all that is in its containers.
    """

    parts: int = 1000  # digests and forwarded threads stay well under; each part may cost a sandbox
    depth: int = (
        32  # nested multiparts, messages and archives together; the longest forward chains in use have about 20
    )
    unpacked_bytes: int = 268_435_456  # out of all containers together: four times the largest message
    unpacked_ratio: float = 200.0  # of these to those received; logs and tables are packed 100 to 1, bombs 1000 to 1
    headers: int = 1000  # fields kept of one header; mail that went round a loop carries some hundreds
    header_lines: int = 200_000  # lines read of all headers together, so that many short lines cost a bounded time
    delimiters: int = 10_000  # lines looked at that could part the message, for the same reason
    header_field: int = 65_536  # bytes kept of one field; the longest To: fields in use have some thousand addresses
    header_bytes: int = 1_048_576  # bytes kept of one header
    boundary: int = 1000  # bytes of a boundary that is still looked for (RFC 2046 section 5.1.1 allows 70)
