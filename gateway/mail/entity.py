"""Writes parts of our own making: fields, transfer encoding and boundaries that every parser reads in the same way.

Pure. Everything written here is ASCII with CRLF, lines of at most 78 bytes where the content allows it; nothing of the
sender's stands in a field but names and identifiers that were made safe first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.mail.content import crlf
from gateway.mail.filename import flattened_name, header_parameters, safe_filename
from gateway.mail.notice import held_notice, notice

if TYPE_CHECKING:
    from gateway.mail.result import Removed, Safe

CRLF = b"\r\n"
MESSAGE = "message/rfc822"  # of what is in a container: a message with its header
PARTS = "multipart/mixed"  # likewise: a MIME entity, which stands as a part
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,100}")
_CONTENT_ID = re.compile(r"[!-;=?-~]{1,250}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}")
_NOT_PLAIN = bytes(sorted({*range(32), *range(127, 256)} - {9, 10, 13}))
# what begins a delimiter, a message in a mailbox, a uuencoded or yEnc block, the end of SMTP data
_LINE_STARTS = (
    (b"-", b"=2D"),
    (b"From ", b"=46rom "),
    (b"begin", b"=62egin"),
    (b"=3Dybegin", b"=3D=79begin"),
    (b".", b"=2E"),
)
_MOSTLY = 4  # one byte in this many that quoted-printable would triple: base64 is shorter then


@dataclass(frozen=True, slots=True)
class Entity:
    """A part as it will be written: its fields (one or more lines each, no final CRLF), and its body."""

    fields: tuple[bytes, ...]
    body: bytes = field(repr=False)

    def written(self) -> bytes:
        """Header, empty line, body."""
        return CRLF.join([*self.fields, b"", self.body])


class Boundaries:
    """Fresh boundaries for one message, derived from its bytes, so that the same message gives the same mail.

    `place` is that of a message inside another one, so that no two have the same. No sender can know the digest of
    a message that he is still writing; what stands in the message is skipped anyway.
    """

    def __init__(self, raw: bytes, place: str = "") -> None:
        self._raw = raw
        self._digest = hashlib.sha256(place.encode() + raw).hexdigest()[:32]
        self._count = 0

    def fresh(self) -> str:
        """One more boundary; `=_` cannot stand in quoted-printable or base64 (RFC 2045 section 6.7)."""
        while True:
            self._count += 1
            boundary = f"=_{self._digest}_{self._count:05d}"
            if boundary.encode() not in self._raw:
                return boundary


def content_field(name: str, value: str, params: list[str]) -> bytes:
    """One field, each parameter on a line of its own."""
    return (";\r\n\t".join([f"{name}: {value}", *params])).encode("ascii")


def content_id_field(untrusted_id: str) -> list[bytes]:
    """Content-ID, where it is one that can be written without quoting."""
    return [f"Content-ID: <{untrusted_id}>".encode("ascii")] if _CONTENT_ID.fullmatch(untrusted_id) else []


def base64_body(content: bytes) -> bytes:
    """Lines of 76 digits (RFC 2045 section 6.8), no CRLF behind the last one."""
    return base64.encodebytes(content).replace(b"\n", CRLF).removesuffix(CRLF)


def text_body(content: bytes) -> tuple[str, bytes]:
    """Encode a text so that nothing in it can look like structure: line ends CRLF, NULs out."""
    text = crlf(content.replace(b"\0", b""))
    odd = len(text) - len(text.translate(None, _NOT_PLAIN))
    if odd * _MOSTLY > len(text):
        return "base64", base64_body(text)
    return "quoted-printable", _quoted(text)


def _quoted(text: bytes) -> bytes:
    lines = binascii.b2a_qp(text, istext=True).replace(b"\r\n", b"\n").replace(b"\r", b"=0D").replace(b"\n", CRLF)
    lines = CRLF + lines
    for start, escape in _LINE_STARTS:
        lines = lines.replace(CRLF + start, CRLF + escape)
    return lines.removeprefix(CRLF)


def text_entity(media_type: str, params: list[str], content: bytes, more: list[bytes]) -> Entity:
    """A text in an encoding of ours."""
    encoding, body = text_body(content)
    fields = [content_field("Content-Type", media_type, params), b"Content-Transfer-Encoding: " + encoding.encode()]
    return Entity((*fields, *more), body)


def safe_entity(safe: Safe, content_id: str, *, inline: bool) -> Entity:
    """A file from our side of the sandbox, or what was in a container."""
    if safe.media_type == MESSAGE:
        return _message_entity(safe, content_id)
    if safe.media_type == PARTS:
        header, _, body = safe.content.partition(CRLF + CRLF)
        return Entity((header, *content_id_field(content_id)), body)
    media_type = safe.media_type if _MEDIA_TYPE.fullmatch(safe.media_type) else "application/octet-stream"
    name = safe_filename(safe.name, flattened_name("attachment", media_type))
    shown = "inline" if inline and media_type.startswith("image/") else "attachment"
    fields = (
        content_field("Content-Type", media_type, header_parameters("name", name)),
        b"Content-Transfer-Encoding: base64",
        content_field("Content-Disposition", shown, header_parameters("filename", name)),
        *content_id_field(content_id),
    )
    return Entity(fields, base64_body(safe.content))


def _message_entity(safe: Safe, content_id: str) -> Entity:
    """A message that was in a file: attached as one, without a transfer encoding (RFC 2046 section 5.2.1)."""
    name = safe_filename(safe.name, flattened_name("message", MESSAGE))
    fields = [content_field("Content-Type", MESSAGE, [])]
    if not safe.content.isascii():
        fields.append(b"Content-Transfer-Encoding: 8bit")
    fields.append(content_field("Content-Disposition", "attachment", header_parameters("filename", name)))
    return Entity((*fields, *content_id_field(content_id)), safe.content)


def notice_entity(name: str, declared: str, removed: Removed, *, displayed: bool, said: str = "") -> Entity:
    """The notice of a removed part; `displayed` where it is all that the message holds."""
    text = notice(name, declared, removed.found, removed.reason, removed.id, said=said, members=removed.members)
    file_name = safe_filename(f"{name or 'part'}.removed.txt")
    disposition = content_field("Content-Disposition", "attachment", header_parameters("filename", file_name))
    return text_entity("text/plain", ["charset=utf-8"], text.encode(), [] if displayed else [disposition])


def held_entity(entity: Entity, reason: str, removal_id: str, boundary: str) -> Entity:
    """A message that is held: the notice that says so, then what goes on of it."""
    note = text_entity("text/plain", ["charset=utf-8"], held_notice(reason, removal_id).encode(), [])
    return multipart_entity("mixed", [], [note, entity], boundary)


def multipart_entity(subtype: str, params: list[str], parts: list[Entity], boundary: str) -> Entity:
    """A multipart without preamble and epilogue (RFC 2046 section 5.1.1)."""
    mark = b"--" + boundary.encode()
    body = b"".join(mark + CRLF + part.written() + CRLF for part in parts) + mark + b"--" + CRLF
    fields = [content_field("Content-Type", f"multipart/{subtype}", [*params, f'boundary="{boundary}"'])]
    if not body.isascii():
        fields.append(b"Content-Transfer-Encoding: 8bit")
    return Entity(tuple(fields), body)


def token_param(name: str, untrusted_value: str) -> list[str]:
    """A parameter whose value is a token, or nothing."""
    return [f"{name}={untrusted_value}"] if _TOKEN.fullmatch(untrusted_value) else []
