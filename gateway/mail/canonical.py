"""Writes a whole message anew from our own reading, so that no two parsers can read it differently. Pure.

Of the sender's header only what cannot bear on structure is kept: fields with well-formed names, folded lines that are
not empty, no control bytes; of what RFC 5322 section 3.6 allows once, the first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.mail import mark
from gateway.mail.entity import (
    CRLF,
    Entity,
    content_field,
    content_id_field,
    held_entity,
    multipart_entity,
    token_param,
)
from gateway.mail.filename import header_parameters, safe_filename
from gateway.mail.tree import Header, Kind, Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.mail.fragments import Fragments

BROKEN_BY_CHANGE = frozenset({"multipart/signed", "multipart/encrypted", "multipart/appledouble"})
_KNOWN_SUBTYPES = frozenset({"mixed", "alternative", "related", "report", "parallel"})
# RFC 5322 section 3.6: once only
_ONCE = frozenset({"from", "sender", "reply-to", "date", "message-id", "in-reply-to", "references", "subject"})
_NAME = re.compile(rb"[!-9;-~]{1,76}")
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")
_UNICODE_LINE_ENDS = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")
# behind what only some take for a line end: another field, and with it all that may follow, down to a body
_ANOTHER_FIELD = re.compile(rb"(?:[\x0b\x0c\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9])[ \t]*[!-9;-~]{1,76}[ \t]*:")
_FIELD_INSIDE = re.compile(rb"(?i)(content-[a-z-]{1,30}|mime-version)[ \t]*:")
_EIGHT_BIT = re.compile(rb"[\x80-\xff]{1,20}")
_WORDS = re.compile(r"[A-Za-z0-9 \x80-\U0010ffff]+")
_WORD_BYTES = 56  # of an encoded word's text (RFC 2047 section 2: 75 of all of it)
_LONG = 998  # RFC 5322 section 2.1.1
_PIECE = 900
_VALUE_BYTES = 60_000  # of one field; with its folding it stays below the bound of what is read


def write(root: Part, fragments: Fragments) -> bytes:
    """The message: kept fields, MIME fields of ours, body; where it is held, behind a notice that says so."""
    told = mark.field(fragments.mark) if fragments.mark else b""
    headers = [header for header in root.headers if not mark.is_mark(header)]
    return told + _written(root, entity_of(root, fragments), fragments, headers)


def entity_of(root: Part, fragments: Fragments) -> Entity:
    """What the message holds, without the fields that it has as a message."""
    entity = _entity(root, fragments, is_root=True)
    if fragments.held:
        entity = held_entity(entity, fragments.held, fragments.held_id, fragments.boundaries.fresh())
    return entity


def _written(root: Part, entity: Entity, fragments: Fragments, headers: Sequence[Header] | None = None) -> bytes:
    kept = _kept_fields(root.headers if headers is None else headers, root.source, ascii_only=fragments.ascii_only)
    lines = [*kept, b"MIME-Version: 1.0", *entity.fields]
    body = entity.body if entity.body.endswith(CRLF) else entity.body + CRLF
    return CRLF.join([*lines, b"", body])


def _entity(part: Part, fragments: Fragments, *, is_root: bool) -> Entity:
    if part.kind is Kind.LEAF:
        return fragments.leaf(part, is_root=is_root)
    if part.kind is Kind.MESSAGE:
        return _message(part, fragments)
    children = [_entity(child, fragments, is_root=False) for child in part.children if not fragments.is_gone(child)]
    subtype = part.content_type.partition("/")[2]
    params: list[str] = []
    if subtype == "encrypted" and all(fragments.is_kept(child) for child in part.children):
        params = ['protocol="application/pgp-encrypted"']
    elif subtype not in _KNOWN_SUBTYPES:
        subtype = "mixed"
    if subtype == "report":
        params = token_param("report-type", part.params.get("report-type", ""))
    return multipart_entity(subtype, params, children, fragments.boundaries.fresh())


def _message(part: Part, fragments: Fragments) -> Entity:
    """An attached message, its own parts written anew inside it (RFC 2046 section 5.2.1)."""
    body = _written(part.children[0], _entity(part.children[0], fragments, is_root=True), fragments)
    fields = [content_field("Content-Type", "message/rfc822", [])]
    if not body.isascii():
        fields.append(b"Content-Transfer-Encoding: 8bit")
    if part.untrusted_filename:
        fields.append(message_disposition(part))
    return Entity((*fields, *content_id_field(part.content_id)), body)


def message_disposition(part: Part) -> bytes:
    """Content-Disposition of an attached message, under a name that says what it is."""
    name = safe_filename(part.untrusted_filename)
    name = name if name.lower().endswith(".eml") else name + ".eml"
    return content_field("Content-Disposition", "attachment", header_parameters("filename", name))


def _kept_fields(headers: Sequence[Header], source: bytes, *, ascii_only: bool) -> list[bytes]:
    kept: list[bytes] = []
    seen: set[str] = set()
    for header in headers:
        name = header.span.of(source)[:200].partition(b":")[0].strip(b"\xef\xbb\xbf \t\r\n\0")
        if not _NAME.fullmatch(name) or header.name.startswith("content-") or header.name in {"", "mime-version"}:
            continue
        if header.name in _ONCE and header.name in seen:
            continue
        seen.add(header.name)
        kept.append(name + b":" + _value(header.value, ascii_only=ascii_only))
    return kept


def _value(untrusted_value: bytes, *, ascii_only: bool) -> bytes:
    """The value with its own folding, without what some parser could stumble over."""
    value = _ANOTHER_FIELD.split(untrusted_value[:_VALUE_BYTES], maxsplit=1)[0]
    try:
        text = value.decode()
        value = _WORDS.sub(_utf8_words, text).encode()[:_VALUE_BYTES] if ascii_only else value
    except UnicodeDecodeError:  # RFC 6532 allows UTF-8 and nothing else
        value = _EIGHT_BIT.sub(_word, value)[:_VALUE_BYTES]
    value = _UNICODE_LINE_ENDS.sub(b" ", value)
    lines = [_CONTROL.sub(b"", line).rstrip() for line in _LINE_ENDS.split(value)]
    first, *folded = lines
    pieces = [_first(first)] + [b" " + line.strip() for line in folded if line.strip()]
    return CRLF.join(short for piece in pieces for short in _short(piece))


def _first(line: bytes) -> bytes:
    return b" " + line.strip() if line.strip() else b""


def _word(match: re.Match[bytes]) -> bytes:
    """RFC 1428: 8-bit bytes of a charset that nobody named."""
    return b" =?unknown-8bit?Q?" + b"".join(b"=%02X" % byte for byte in match[0]) + b"?= "


def _utf8_words(match: re.Match[str]) -> str:
    """RFC 2047 of words that are not ASCII, and of plain ones among them; whole characters: some decode each alone."""
    if match[0].isascii():
        return match[0]
    text = match[0].strip(" ")
    pieces = [""]
    for character in (_q(char) for char in text):
        if len(pieces[-1]) + len(character) > _WORD_BYTES:
            pieces.append("")
        pieces[-1] += character
    return " " + "\r\n ".join(f"=?utf-8?Q?{piece}?=" for piece in pieces) + " "


def _q(char: str) -> str:
    if char.isascii():
        return "_" if char == " " else char
    return "".join(f"={byte:02X}" for byte in char.encode())


def _short(line: bytes) -> list[bytes]:
    """Lines that fit on the wire; cut without regard for words, as no sender of real mail comes here."""
    if len(line) <= _PIECE:
        return [line]
    line = _FIELD_INSIDE.sub(rb"\1", line)  # a cut before it would make it look like a field
    cut = [line[at : at + _PIECE] for at in range(0, len(line), _PIECE)]
    return [cut[0], *(b" " + piece.strip() for piece in cut[1:] if piece.strip())]
