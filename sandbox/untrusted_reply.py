"""The only reader of what the sandbox service says: status, fields and short bodies in, checked values out. Pure.

The service is a process of its own, perhaps on a host of its own: what it claims of lengths, reasons and media types
is held against our own bounds and words before any of it is used. Fails with `Lied`, whose text is in our words only.
Bounds: `MAX_BODY` for what is no file; every number against the document's `Limits`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sandbox import contract, protocol
from sandbox.client import NotFlattened, SandboxBusyError, SandboxUnavailableError, Want

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.client import Limits

MAX_BODY: Final = 4096  # bytes of a reason or a problem
MAX_DETAIL: Final = 400  # characters of the service's own line that are handed on
MAX_SECONDS: Final = 86400.0
MEDIA_TYPES: Final = {Want.PDF: {"application/pdf"}, Want.IMAGE: {"image/png", "image/jpeg"}}
# what the files that we make begin with
STARTS: Final = {"application/pdf": b"%PDF-", "image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}

_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\Z")  # RFC 6838 4.2
_NUMBER: Final = re.compile(r"[0-9]{1,12}\Z")
_DECIMAL: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?\Z")
_NOT_PRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")
_SHA256_BYTES: Final = 32


class Lied(Exception):  # noqa: N818 - an outcome of the other side, not an error of ours
    """The reply is none that the protocol knows."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What the service says of the file that follows, each within its bound."""

    media_type: str
    found: str
    pages: int
    size: int
    seconds: float
    digest: bytes  # SHA-256


def announced(untrusted_fields: Mapping[str, str], want: Want, limits: Limits) -> Announced:
    """The fields of a 200; raises Lied."""
    media_type = untrusted_fields.get("Content-Type", "")
    if media_type not in MEDIA_TYPES[want]:
        raise Lied(f"a media type that is not made of a {want.value}")
    if "Content-Encoding" in untrusted_fields or "Transfer-Encoding" in untrusted_fields:
        raise Lied("an encoding")
    found = untrusted_fields.get(protocol.FOUND, "")
    if not _TYPE.match(found):
        raise Lied("no type of what was found")
    size = _number(untrusted_fields, "Content-Length", limits.output_bytes)
    pages = _number(untrusted_fields, protocol.PAGES, limits.pages)
    seconds = untrusted_fields.get(protocol.SECONDS, "")
    if not _DECIMAL.match(seconds):
        raise Lied("no seconds")
    return Announced(media_type, found, pages, size, float(seconds), _digest(untrusted_fields))


def _number(untrusted_fields: Mapping[str, str], name: str, most: int) -> int:
    text = untrusted_fields.get(name, "")
    if not _NUMBER.match(text) or not 0 < int(text) <= most:
        raise Lied(f"a {name} that is none, or past its bound of {most}")
    return int(text)


def _digest(untrusted_fields: Mapping[str, str]) -> bytes:
    value = untrusted_fields.get(protocol.DIGEST, "")
    prefix = f"{protocol.ALGORITHM}=:"
    try:
        digest = base64.b64decode(value.removeprefix(prefix).removesuffix(":"), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if not value.startswith(prefix) or len(digest) != _SHA256_BYTES:
        raise Lied("no digest")
    return digest


def refused(untrusted_body: bytes) -> NotFlattened:
    """The body of a 422; raises Lied."""
    said = _object(untrusted_body)
    reason, found, seconds = said.get("reason"), said.get("found"), said.get("seconds")
    if not isinstance(reason, str) or reason not in contract.REASONS:
        raise Lied("a reason that is none of the contract")
    if not isinstance(found, str) or (found and not _TYPE.match(found)):
        raise Lied("a type that is none")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise Lied("seconds that are no number")
    if not math.isfinite(seconds) or not 0 <= seconds <= MAX_SECONDS:
        raise Lied("seconds that cannot be")
    return NotFlattened(reason, found, float(seconds))


def problem(untrusted_body: bytes, where: str) -> SandboxUnavailableError:
    """The body of a 503, as the error to raise; raises Lied."""
    said = _object(untrusted_body)
    kind, detail = said.get("problem"), said.get("detail")
    if kind not in (protocol.BUSY, protocol.UNAVAILABLE) or not isinstance(detail, str):
        raise Lied("a problem that is none")
    line = f"{where}: {_NOT_PRINTABLE.sub(' ', detail)[:MAX_DETAIL]}"
    return SandboxBusyError(line) if kind == protocol.BUSY else SandboxUnavailableError(line)


def health(untrusted_body: bytes) -> str:
    """The body of a healthy service, as a line; raises Lied."""
    said = _object(untrusted_body)
    version, chosen = said.get("version"), said.get("chosen")
    if not isinstance(version, str) or not isinstance(chosen, str):
        raise Lied("a health that says nothing")
    return _NOT_PRINTABLE.sub(" ", f"Lazaretto {version}, {chosen}")[:MAX_DETAIL]


def _object(untrusted_body: bytes) -> dict[str, Any]:
    if len(untrusted_body) > MAX_BODY:
        raise Lied(f"more than {MAX_BODY} bytes where a line was due")
    try:
        said = json.loads(untrusted_body)
    except (ValueError, RecursionError):
        raise Lied("no JSON") from None
    if not isinstance(said, dict):
        raise Lied("no JSON object")
    return said
