"""Splits one header into fields, and finds where the body begins. Never raises; linear.

What is no field and no folded line ends a header for some parsers and is skipped by others. We go on reading as long as
a MIME field follows in the same block, since what we do not read as a header could hide a part from us.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.mail import ambiguity
from gateway.mail.tree import Header, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.mail.tree import Bounds

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r|\Z)")
_STRICT = re.compile(rb"[!-9;-~]+:")  # RFC 5322 section 2.2
_NAME_BYTES = 200  # the longest field names in use have some 60
_MIME_NAME = re.compile(r"content-|mime-version$")
_MIME_LINE = re.compile(rb"(?i)[\r\n][\x00-\x20\x7f-\xff]{0,8}(?:content-[a-z-]+|mime-version)[\x00-\x20]{0,8}:")
_BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
# a folded line that those who strip lines first take for a field; in DKIM's h= lists no value follows the name
_FOLDED_MIME = re.compile(
    rb"(?i)[ \t]+(?:content-type[ \t]*:[^:;/]{0,80}/"
    rb"|content-transfer-encoding[ \t]*:[ \t]*(?:base|quoted|x-|uu|7|8|bin)"
    rb"|content-disposition[ \t]*:[ \t]*(?:attach|inline))"
)
_MIME_INSIDE = rb"(?:content-(?:type|transfer-encoding|disposition)|mime-version)[ \t]*:[^:;/]"
_MIME_BEHIND = re.compile(rb"(?i)" + _MIME_INSIDE)
_MIME_BROKEN = re.compile(rb"(?i)(?:\xc2\x85|\xe2\x80[\xa8\xa9])[ \t]*" + _MIME_INSIDE)  # behind NEL, LS, PS
_CUT = 900  # lines of over 998 bytes (RFC 5322 section 2.1.1) are cut by some, and the rest is a line of its own
_KNOWN = re.compile(r"(content-(?:type|transfer-encoding|disposition|id)|mime-version)(?![a-z0-9-])")
_NAME_JUNK = re.compile(rb"[\x00-\x20\x7f-\xff]+")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
_WINDOW = 8192  # how far a MIME field is looked for behind a line that is none
_MIME_FIELDS = 64  # kept of one header even over the bound on fields


@dataclass(slots=True)
class Block:
    """One header: `end` is where its fields end, `body` where the body begins; over `limit` it was not read on."""

    start: int
    end: int = 0
    body: int = 0
    headers: list[Header] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)
    limit: str = ""
    kept: int = 0
    lines: int = 0


def read_block(
    raw: bytes, start: int, bounds: Bounds, *, is_delimiter: Callable[[int], bool], lines_left: int
) -> Block:
    """Read the header at `start`; it ends at an empty line, a delimiter of an open multipart, or `stop`."""
    block = Block(start, end=start, body=start)
    position, stop = start, len(raw)
    last_mime = -1
    for _ in range(lines_left):
        block.lines += 1
        if position >= stop:
            return _ended(block, position, separated=False)
        line = _LINE.match(raw, position, stop)
        text = line[1] if line else b""
        after = line.end() if line else stop
        if not text:
            return _at_empty_line(block, position, after)
        if text[0] in b"-\0\t\v\f " and is_delimiter(position):
            return _ended(block, position, separated=False)
        if _is_field(text):
            _add(block, text, Span(position, after), bounds)
        elif text[0] in b" \t" and block.headers:
            if not text.strip():
                block.notes.add(ambiguity.HEADER_FOLDING)
                if not _goes_on(raw, after, stop):
                    block.end, block.body = position, after
                    block.notes.add(ambiguity.HEADER_SEPARATOR)
                    return block
            _fold(block, text, after, bounds)
        else:
            block.notes.add(ambiguity.HEADER_JUNK)
            last_mime = max(last_mime, _last_mime(raw, position, stop)) if last_mime < position else last_mime
            if last_mime < position:
                return _ended(block, position, separated=False)
        position = after
    block.limit = ambiguity.HEADER_TOO_LARGE
    block.notes.add(ambiguity.HEADER_TOO_LARGE)
    return _ended(block, position, separated=True)


def _at_empty_line(block: Block, position: int, after: int) -> Block:
    """End the header (RFC 5322 section 2.1); who skips empty lines before a header takes what follows for one."""
    block.end, block.body = position, after
    if not block.headers:
        block.notes.add(ambiguity.HEADER_SEPARATOR)
    return block


def _ended(block: Block, position: int, *, separated: bool) -> Block:
    """End the header at `position` without an empty line: right only for a message of nothing but a header."""
    block.end = block.body = position
    if not separated:
        block.notes.add(ambiguity.HEADER_SEPARATOR)
    return block


def _is_field(text: bytes) -> bool:
    """True for a field with a well-formed name, and for one that a tolerant reader would mend."""
    if _STRICT.match(text):
        return True
    colon = text.find(b":", 0, _NAME_BYTES)
    raw_name = text[: max(colon, 0)]
    name = _clean_name(raw_name)
    if text[0] in b" \t":
        return bool(_FOLDED_MIME.match(text))
    return bool(name) and (len(raw_name.split()) == 1 or bool(_MIME_NAME.match(name)))


def _clean_name(untrusted_name: bytes) -> str:
    name = _NAME_JUNK.sub(b"", untrusted_name).decode("ascii").lower()
    known = _KNOWN.match(name)
    return known[1] if known else name


def _add(block: Block, text: bytes, span: Span, bounds: Bounds) -> None:
    raw_name, _, value = text.partition(b":")
    name = _clean_name(raw_name)
    if not _STRICT.match(text) or name != raw_name.decode("latin-1").lower():  # "Content-Type(" is one to us alone
        block.notes.add(ambiguity.HEADER_NAME)
    _note_bytes(block, value)
    is_mime = bool(_MIME_NAME.match(name))
    over = len(block.headers) >= bounds.headers or block.kept > bounds.header_bytes
    if over and not (is_mime and len(block.headers) < bounds.headers + _MIME_FIELDS):
        block.notes.add(ambiguity.TOO_MANY_HEADERS)
        value, name = b"", ""  # what follows folds into a field that nobody reads
    if len(value) > bounds.header_field:
        block.notes.add(ambiguity.HEADER_TOO_LARGE)
        value = value[: bounds.header_field]
    block.kept += len(value)
    if name or not block.headers or block.headers[-1].name:
        block.headers.append(Header(name, value, span))


def _fold(block: Block, text: bytes, after: int, bounds: Bounds) -> None:
    last = block.headers.pop()
    _note_bytes(block, text)
    value = last.value
    if last.name and len(value) + len(text) <= bounds.header_field:
        value = value + b"\r\n" + text
        block.kept += len(text)
    elif last.name:
        block.notes.add(ambiguity.HEADER_TOO_LARGE)
    block.headers.append(Header(last.name, value, Span(last.span.start, after)))


def _note_bytes(block: Block, text: bytes) -> None:
    if _MIME_BEHIND.search(text, _CUT) or _MIME_BROKEN.search(text):
        block.notes.add(ambiguity.HEADER_FOLDING)
    if _CONTROL.search(text):
        block.notes.add(ambiguity.HEADER_BYTES)
    if not text.isascii():
        try:
            text.decode()  # RFC 6532: UTF-8 is what an 8-bit header may hold
        except UnicodeDecodeError:
            block.notes.add(ambiguity.HEADER_BYTES)


def _goes_on(raw: bytes, position: int, stop: int) -> bool:
    """True where a field follows: then a line of white space before it was a folded line, not the header's end."""
    line = _LINE.match(raw, position, min(stop, position + 1000))
    return bool(line and line[1] and (line[1][0] in b" \t" or _is_field(line[1])))


def _last_mime(raw: bytes, position: int, stop: int) -> int:
    """Where the last MIME field of the block that goes on at `position` begins; -1 without one."""
    window = raw[max(position - 1, 0) : min(stop, position + _WINDOW)]
    blank = _BLANK.search(window)
    last = -1
    for match in _MIME_LINE.finditer(window, 0, blank.start() if blank else len(window)):
        last = max(position - 1, 0) + match.start() + 1
    return last
