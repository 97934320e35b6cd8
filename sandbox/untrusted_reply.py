"""The only reader of what the sandbox service says: status, fields and short bodies in, checked values out. Pure.

The service is a process of its own, perhaps on a host of its own: what it claims of lengths, reasons and media types
is held against our own bounds and words before any of it is used. Fails with `Lied`, whose text is in our words only.
Bounds: `MAX_BODY` for what is no file; every number against the document's `Limits`; an index of members against the
room that was asked for.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from sandbox import contract, protocol
from sandbox.client import Form, Member, NotFlattened, SandboxBusyError, SandboxUnavailableError, Stages, Want

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.client import Limits, Room

MAX_BODY: Final = 4096  # bytes of a reason or a problem
MAX_DETAIL: Final = 400  # characters of the service's own line that are handed on
MAX_SECONDS: Final = 86400.0
MAX_ENTRY: Final = 6 * contract.MAX_NAME + 100  # bytes of a member in the index; JSON writes up to 6 for a byte
ENTRY_FIELDS: Final = 3
MEDIA_TYPES: Final = {Want.PDF: {"application/pdf"}, Want.IMAGE: {"image/png", "image/jpeg"}}
# what the files that we make begin with
STARTS: Final = {"application/pdf": b"%PDF-", "image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}

_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\Z")  # RFC 6838 4.2
_NUMBER: Final = re.compile(r"[0-9]{1,12}\Z")
_DECIMAL: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?\Z")
_STAGE: Final = re.compile(r"\b([a-z]{1,20});dur=([0-9]{1,8}(?:\.[0-9]{1,3})?)(?=,|\Z)")
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
    stages: Stages
    index: int = 0  # bytes before the file that say what is in it; 0 where it is a safe file


def announced(untrusted_fields: Mapping[str, str], want: Want, limits: Limits, room: Room | None) -> Announced:
    """The fields of a 200; raises Lied. Members are announced only where there was `room` for them."""
    media_type = untrusted_fields.get("Content-Type", "")
    index = 0
    if room and media_type == protocol.MEMBERS:
        index = _number(untrusted_fields, protocol.INDEX, (room.members + 1) * MAX_ENTRY)
        most = index + min(room.bytes, limits.output_bytes)
    elif media_type in MEDIA_TYPES[want]:
        most = limits.output_bytes
    else:
        raise Lied(f"a media type that is not made of a {want.value}")
    if "Content-Encoding" in untrusted_fields or "Transfer-Encoding" in untrusted_fields:
        raise Lied("an encoding")
    found = untrusted_fields.get(protocol.FOUND, "")
    if not _TYPE.match(found):
        raise Lied("no type of what was found")
    size = _number(untrusted_fields, "Content-Length", most)
    if size < index:
        raise Lied("less than its index")
    pages = 0 if index else _number(untrusted_fields, protocol.PAGES, limits.pages)
    seconds = untrusted_fields.get(protocol.SECONDS, "")
    if not _DECIMAL.match(seconds):
        raise Lied("no seconds")
    digest, stages = _digest(untrusted_fields), _stages(untrusted_fields)
    return Announced(media_type, found, pages, size, float(seconds), digest, stages, index)


def members(untrusted_index: bytes, size: int, room: Room) -> tuple[Form, tuple[Member, ...]]:
    """What a container held, `size` bytes in all; raises Lied."""
    said = _object(untrusted_index, len(untrusted_index))
    form, untrusted_members = said.get("form"), said.get("members")
    if isinstance(form, bool) or form not in contract.FORMS:
        raise Lied("a form that is none")
    if not isinstance(untrusted_members, list) or not 0 < len(untrusted_members) <= room.members:
        raise Lied("members outside the bound")
    found: list[Member] = []
    start = 0
    for untrusted_member in untrusted_members:
        found.append(_member(untrusted_member, start))
        start += found[-1].size
    if start != size:
        raise Lied("members of another size than came")
    if form != contract.ARCHIVE and (len(found) != 1 or found[0].reason):
        raise Lied("a container of one thing that holds another number")
    return Form(form), tuple(found)


def _member(untrusted: object, start: int) -> Member:
    if not isinstance(untrusted, list) or len(untrusted) != ENTRY_FIELDS:
        raise Lied("a member that is none")
    name, size, reason = untrusted
    if not isinstance(name, str) or not _fits(name):
        raise Lied("a name that is none")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise Lied("a size that is none")
    if not isinstance(reason, str) or (reason and (reason not in contract.REASONS or size)):
        raise Lied("a reason that is none of the contract")
    return Member(name, start, size, reason)


def _fits(name: str) -> bool:
    try:
        return len(name.encode("utf-8")) <= contract.MAX_NAME
    except UnicodeEncodeError:
        return False


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


def _stages(untrusted_fields: Mapping[str, str]) -> Stages:
    """Where the seconds went, for the log; what is not said so counts as nothing."""
    names = {field.name for field in fields(Stages)}
    told = _STAGE.findall(untrusted_fields.get(protocol.TIMING, "")[:MAX_BODY])
    return Stages(**{name: float(milliseconds) / 1000 for name, milliseconds in told if name in names})


def refused(untrusted_body: bytes, untrusted_fields: Mapping[str, str]) -> NotFlattened:
    """The body and the fields of a 422; raises Lied."""
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
    return NotFlattened(reason, found, float(seconds), _stages(untrusted_fields))


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


def _object(untrusted_body: bytes, most: int = MAX_BODY) -> dict[str, Any]:
    if len(untrusted_body) > most:
        raise Lied(f"more than {most} bytes where a line was due")
    try:
        said = json.loads(untrusted_body)
    except (ValueError, RecursionError):
        raise Lied("no JSON") from None
    if not isinstance(said, dict):
        raise Lied("no JSON object")
    return said
