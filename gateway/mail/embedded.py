"""Finds files inside kept text. Pure, never raises, linear.

These are uuencoded, yEnc and BinHex blocks, data: URIs, ATTACH of calendars, raw base64, and parts of other messages.
A block says where it stands in the decoded text and what it decodes to. `plan` gives each one a step of its own, and
`rebuild` writes the text without it.
"""

from __future__ import annotations

import bisect
import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from gateway.mail import content, decode
from gateway.mail.filename import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable

_FOUND = 1000  # after so many data: URIs no more is looked for, and the rest is taken out in one piece
BLOCKS = 100  # of one text; what lies behind the last one is taken out in one piece
_LINE = re.compile(rb"[^\r\n]+")
_UU_FULL = re.compile(rb"(?m)^[ -`]{40,90}(?=\r|$)")
_YENC_BEGIN = re.compile(rb"(?im)^=ybegin [^\r\n]*")
_YENC_END = re.compile(rb"(?im)^=yend[^\r\n]*")
_YENC_CONTROL = re.compile(rb"(?im)^=y(?:part|end|begin)[^\r\n]*")
_YENC_NAME = re.compile(rb"name=([^\r\n]{1,256})")
_BINHEX = re.compile(rb"(?im)^[^\r\n]{0,80}must be converted with BinHex[^\r\n]*(?:[\r\n]+:[^:]*:?)?")
_DATA_URI = re.compile(
    rb"(?i)([=\"'(][ \t\r\n]*+)?data:[ \t\r\n]*+([a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127})?"
    rb"((?:[ \t\r\n]*+;[ \t\r\n]*+[a-z0-9._-]{1,60}(?:=[^;,\"'<>()\r\n]{0,200})?){0,8}+)[ \t\r\n]*+,"
)
_CLOSING = {b'"': b'"', b"'": b"'", b"(": b")"}
_URI_BASE64 = re.compile(rb"[A-Za-z0-9+/=%\t\r\n_-]*")  # in HTML, where a browser joins lines and a space ends it
# elsewhere: lines that are folded, or that are nothing but more of it
_URI_LINES = re.compile(
    rb"[A-Za-z0-9+/=%_-]*(?:\r?\n(?:[ \t>|]{1,4}[A-Za-z0-9+/=%_-]++|[A-Za-z0-9+/=]{16,}+)(?=[ \t]*(?:[\r\n]|\Z)))*"
)
_URI_BARE = re.compile(rb"[^\s\"'<>)]*")
_ICS_PROPERTY = re.compile(
    rb"(?im)^([a-z0-9-]++)((?:[^:\"\r\n]|\"[^\"\r\n]*\"|\r?\n[ \t])*+):((?:[^\r\n]|\r?\n[ \t])*+)(?:\r?\n)?"
)
_ICS_BINARY = re.compile(rb"(?i);\s*+(?:encoding\s*+=\s*+\"?b(?:ase64)?|value\s*+=\s*+\"?binary)")
_ICS_FILES = frozenset({b"attach", b"image", b"photo", b"logo", b"sound", b"key", b"structured-data"})
_ICS_BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}\s*")
_ICS_FOLD = re.compile(rb"\r?\n[ \t]")
_ICS_ESCAPE = re.compile(rb"\\([,;\\])")
_ICS_NAME = re.compile(rb"(?i)(?:filename|x-label)=\"?([^\";:\r\n]{1,200})")
_ICS_TYPE = re.compile(rb"(?i)fmttype=\"?([a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+)")
_HEX = re.compile(rb"[0-9a-fA-F\s]+")  # lists of checksums
_B64_RUN = re.compile(
    rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{16,}={0,2}"
    rb"(?:(?:\r\n|\n|\r)[ \t>|]{0,4}[A-Za-z0-9+/]{4,}={0,2}(?=[ \t]*(?:[\r\n\"'<,)]|\Z)))*"
)
_LINK = frozenset(b"%c" % byte for byte in b"=/&?%#._-")  # what stands before a token of a link
# what stands before base64 that is no token of a link
_B64_FREE = frozenset({b""} | {b"%c" % byte for byte in b"\r\n\"'>, \t(\x0b\x0c\x1c\x1d\x1e\x1f"})
_B64_LINE = 40  # bytes from which on a run is looked at
_B64_GAP = 80  # bytes between two runs that are one file, broken by junk
_ARMOR_BEFORE = re.compile(rb"-----BEGIN [A-Z0-9 ]+-----(?:[\r\n]+[A-Za-z0-9-]+: [^\r\n]*)*\s*\Z")
_CTE_BEFORE = re.compile(rb"(?i)content-transfer-encoding[ \t]*:[ \t]*base64")
_PARAGRAPH = re.compile(rb"[^\r\n]*(?:(?:\r\n|\n|\r)(?!--)[^\r\n]+)*")
_MIME_LINES = re.compile(
    rb"(?im)^[^A-Za-z\r\n]{0,20}content-(?:type|transfer-encoding|disposition)[^A-Za-z\r\n]{0,20}:"
)
# the header of a part that is quoted in a text, with its empty line; more lines than these no program writes
_PART_HEADER = re.compile(
    rb"(?im)^(?:content-(?:type|transfer-encoding|disposition)[ \t]*:[^\r\n]*)"
    rb"(?:\r\n(?:[!-9;-~]{1,60}:[^\r\n]*|[ \t]+[^\r\n]+)){0,30}\r\n[ \t]*\r\n"
)
_PART_FILE = re.compile(
    rb"(?i)content-disposition[ \t]*:[ \t]*attach|name[*0-9]*[ \t]*="
    rb"|content-type[ \t]*:[ \t]*(?!text/|multipart/|message/)[a-z]+/"
)
_PART_ENCODING = re.compile(rb"(?i)content-transfer-encoding[ \t]*:[^\r\n]{0,80}?(?:(quoted)|(base)|(uu))")
_ESCAPES = re.compile(rb"(?m)^(?:(?:=[0-9A-Fa-f]{2}){12,}=?(?:\r\n|\Z))+")  # lines of nothing but escapes
_PART_NAME = re.compile(rb"(?i)name=\"?([^\";\r\n]{1,200})")
_PART_END = re.compile(rb"\r\n--[^\s-]|\Z")
_B64_SUSPICIOUS = 60  # bytes from which on any run counts as one in a message that parsers read differently
_LOOK_BACK = 600  # bytes before a run in which an armor line or a MIME field is looked for


@dataclass(frozen=True, slots=True)
class Block:
    """A file inside a text."""

    kind: str  # uu, yenc, binhex, data, ics, b64, qp, part or mime; of armor.py: pgp, wrap or sig
    start: int
    end: int
    untrusted_name: str = ""
    media_type: str = "application/octet-stream"
    content: bytes = field(default=b"", repr=False)
    said: str = ""  # what it said of itself, in words


def find_blocks(untrusted_text: bytes, media_type: str, *, suspicious: bool, more: Iterable[Block] = ()) -> list[Block]:
    """All blocks in the order of the text, `more` among them, none inside another.

    `suspicious` looks harder (ambiguous messages).
    """
    found = [*more]
    if media_type == "text/calendar":
        found += _calendar(untrusted_text)
        untrusted_text = untrusted_text.replace(b"\\n", b"\r\n").replace(b"\\N", b"\r\n")  # RFC 5545 section 3.3.11
    found += [*_uu(untrusted_text), *_yenc(untrusted_text), *_binhex(untrusted_text)]
    is_html = media_type not in ("text/plain", "text/calendar")
    found += _data_uris(untrusted_text, only_base64=media_type == "text/plain", is_html=is_html)
    found += _base64(untrusted_text, suspicious=suspicious)
    found += _escapes(untrusted_text)
    found += _mime(untrusted_text) if suspicious else _quoted_parts(untrusted_text)
    return apart(found, len(untrusted_text))


def hides_urls(untrusted_html: bytes) -> bool:
    """True where a data: URI appears once entities are decoded as a browser does, and not before."""
    plain = {b"".join(block.content.split()) for block in _data_uris(content.plain_html(untrusted_html))}
    return not plain <= {b"".join(block.content.split()) for block in _data_uris(untrusted_html)}


def apart(found: list[Block], length: int) -> list[Block]:
    """Drop what lies inside an earlier block; over the bound, one block takes the rest."""
    apart: list[Block] = []
    end = 0
    for block in sorted(found, key=lambda b: (b.start, -b.end)):
        if block.start < end:
            if block.end > end:  # overlapping: cut the rest out as well, without content of its own
                apart.append(Block(block.kind, end, block.end, content=block.content))
                end = block.end
            continue
        if len(apart) >= BLOCKS:
            apart.append(Block("mime", block.start, length))
            break
        apart.append(block)
        end = block.end
    return apart


def _uu(text: bytes) -> list[Block]:
    found = []
    position = 0
    begins = list(decode.UU_BEGIN.finditer(text))
    full = [m.start() for m in _UU_FULL.finditer(text) if decode.looks_uu(m[0])] if begins else []
    for begin, following in itertools.zip_longest(begins, begins[1:]):
        if begin.start() < position:
            continue
        stop = following.start() if following else len(text)
        place = bisect.bisect_left(full, begin.end())
        end = _uu_end(text, begin, full[place] if place < len(full) and full[place] < stop else -1)
        position = max(end, begin.end())
        if end > begin.end():
            found.append(
                Block(
                    "uu",
                    begin.start(),
                    end,
                    to_text(begin[3].strip()),
                    content=decode.decode_uu(text[begin.start() : end]),
                )
            )
    return found


def _uu_end(text: bytes, begin: re.Match[bytes], full: int) -> int:
    """Where the block ends: behind its end line, or its last good line; the begin line's own end where none is good.

    `full` is where its first full line stands, -1 without one: all that is odd before it is skipped, as decoders do.
    """
    good, odd = begin.end(), 0
    for line in _LINE.finditer(text, begin.end()):
        if line.start() < full and good == begin.end():
            odd = 0
        after = line.end()
        word = line[0].strip()
        if word in (b"end", b"===="):
            return after if good > begin.end() else good
        if decode.looks_uu(line[0]) or (begin[1] and re.fullmatch(rb"[A-Za-z0-9+/=]+", word)):
            good, odd = after, 0
        elif (odd := odd + 1) > 3:  # noqa: PLR2004 - lines that mailers broke in two; more is text again
            break
    return good


def _yenc(text: bytes) -> list[Block]:
    found = []
    position = 0
    while begin := _YENC_BEGIN.search(text, position):
        end_line = _YENC_END.search(text, begin.end())
        position = end_line.end() if end_line else len(text)
        lines = _YENC_CONTROL.sub(b"", text[begin.end() : position])
        name = _YENC_NAME.search(begin[0])
        found.append(
            Block(
                "yenc",
                begin.start(),
                position,
                to_text(name[1].strip()) if name else "",
                content=decode.decode_yenc(lines),
            )
        )
    return found


def _binhex(text: bytes) -> list[Block]:
    """BinHex 4.0 is handed over as it stands: the sandbox says what it can make of it."""
    return [Block("binhex", m.start(), m.end(), "", "application/mac-binhex40", m[0]) for m in _BINHEX.finditer(text)]


def outside_yenc(untrusted_text: bytes) -> bytes:
    """The text without its yEnc blocks, whose bytes are those of a binary."""
    pieces, position = [], 0
    for block in _yenc(untrusted_text):
        pieces.append(untrusted_text[position : block.start])
        position = block.end
    return b"".join([*pieces, untrusted_text[position:]])


def _data_uris(text: bytes, *, only_base64: bool = False, is_html: bool = True) -> list[Block]:
    found = []
    missing = {b""}  # closing bytes that do not come any more
    position = 0
    while match := _DATA_URI.search(text, position):
        lead, media_type, params = match.groups()
        position = match.end()
        is_base64 = b"base64" in params.lower()
        if not (lead or media_type or is_base64) or (only_base64 and not is_base64):
            continue
        closing = _CLOSING.get((lead or b"")[:1], b"")
        bare = _URI_BARE if not is_base64 else _URI_BASE64 if is_html else _URI_LINES
        position = _uri_end(text, match.end(), closing, missing, bare)
        raw = unquote_to_bytes(text[match.end() : position])
        data = decode.decode_base64(raw.replace(b"-", b"+").replace(b"_", b"/")) if is_base64 else raw
        kind = (media_type or b"text/plain").decode().lower()
        if data:
            found.append(Block("data", match.start() + len(lead or b""), position, "", kind, data))
        if len(found) > _FOUND:
            return [*found, Block("mime", position, len(text))]
    return found


def _uri_end(text: bytes, start: int, closing: bytes, missing: set[bytes], bare: re.Pattern[bytes]) -> int:
    """Where a URI ends: at the quote or bracket it began behind, else where its characters do."""
    end = -1 if closing in missing else text.find(closing, start)
    if end < 0:
        missing.add(closing)
        match = bare.match(text, start)
        end = match.end() if match else start
    return end


def _calendar(text: bytes) -> list[Block]:
    """RFC 5545 section 3.2.7: values of any property that are binary, or a data: URI (RFC 7986 section 5.10)."""
    return [block for match in _ICS_PROPERTY.finditer(text) for block in _property(match, text)]


def _property(match: re.Match[bytes], text: bytes) -> list[Block]:
    """The property as a whole, where its value is a file; what is only folded out of sight goes unexamined."""
    name, head, value = match[1].lower(), _ICS_FOLD.sub(b"", match[2]), _ICS_FOLD.sub(b"", match[3])
    start, end = match.span()
    kind = _ICS_TYPE.search(head)
    media_type = kind[1].decode().lower() if kind else "application/octet-stream"
    called = _ICS_NAME.search(head)
    untrusted_name = to_text(called[1]) if called else ""
    if _ICS_BINARY.search(head) or (name in _ICS_FILES and _ICS_BASE64.fullmatch(value)):
        return [Block("ics", start, end, untrusted_name, media_type, decode.decode_base64(value))]
    shown = _ICS_ESCAPE.sub(rb"\1", value)
    inside = _data_uris(shown) if b"data:" in shown.lower() else []
    if len(inside) == 1 and inside[0].start == 0:
        return [Block("ics", start, end, untrusted_name, inside[0].media_type, inside[0].content)]
    as_it_stands = {block.content for block in _data_uris(text[start:end], is_html=False)}
    return [Block("mime", start, end)] if any(block.content not in as_it_stands for block in inside) else []


def _base64(text: bytes, *, suspicious: bool) -> list[Block]:
    """Runs of raw base64 that are files, and the runs right before and behind them, from which junk may part them."""
    runs = list(_B64_RUN.finditer(text))
    taken = [_is_file(text, run, suspicious=suspicious) for run in runs]
    for order in (range(1, len(runs)), range(len(runs) - 2, -1, -1)):
        step = order.step
        for index in order:
            first, second = sorted((index, index - step))
            near = runs[second].start() - runs[first].end() <= _B64_GAP
            taken[index] = taken[index] or (taken[index - step] and near)
    return [_b64_block(text, run) for run, is_taken in zip(runs, taken, strict=True) if is_taken]


def _b64_block(text: bytes, run: re.Match[bytes]) -> Block:
    end = run.end()
    if _CTE_BEFORE.search(text, max(0, run.start() - _LOOK_BACK), run.start()):
        rest = _PARAGRAPH.match(text, end)  # the body of a part that is quoted here: to its end, broken lines and all
        end = rest.end() if rest else end
    return Block("b64", run.start(), end, content=decode.decode_base64(run[0]))


def _is_file(text: bytes, run: re.Match[bytes], *, suspicious: bool) -> bool:
    """True for a run that is a file by its first bytes or behind a MIME field; where suspicious, for any long one."""
    if run.end() - run.start() < _B64_LINE:
        return False
    before = text[max(0, run.start() - _LOOK_BACK) : run.start()]
    if _CTE_BEFORE.search(before):
        return True
    last = before[-1:]
    data = decode.decode_base64(run[0][:8192])
    if content.has_magic(data):
        return not (last in _LINK and content.has_short_magic(data))
    is_odd = suspicious and last in _B64_FREE and run.end() - run.start() >= _B64_SUSPICIOUS
    return is_odd and not _HEX.fullmatch(run[0]) and not _ARMOR_BEFORE.search(before)


def _escapes(text: bytes) -> list[Block]:
    """Lines of quoted-printable that are a file by their bytes; those of a text in another script stay."""
    runs = [(run, decode.content_of(run[0], decode.QUOTED_PRINTABLE)) for run in _ESCAPES.finditer(text)]
    return [Block("qp", run.start(), run.end(), content=data) for run, data in runs if content.is_binary(data)]


def _quoted_parts(text: bytes) -> list[Block]:
    """Encoded files of a message whose source stands in a text: who looks for parts without a boundary finds them."""
    found = []
    position = 0
    while match := _PART_HEADER.search(text, position):
        position = match.end()
        encoding = _PART_ENCODING.search(match[0])
        if not encoding or not _PART_FILE.search(match[0]):
            continue
        end = _PART_END.search(text, position - 2)
        position = max(end.start() if end else len(text), position)  # a part inside it goes with it: each byte once
        name = _PART_NAME.search(match[0])
        how = (decode.QUOTED_PRINTABLE, decode.BASE64, decode.UUENCODE)[(encoding.lastindex or 1) - 1]
        data = decode.content_of(text[match.end() : position], how)
        if data:
            found.append(Block("part", match.end(), position, to_text(name[1]) if name else "", content=data))
    return found


def _mime(text: bytes) -> list[Block]:
    """In a message that parsers read differently, a MIME field inside a text begins a part for some of them."""
    match = _MIME_LINES.search(text)
    return [Block("mime", match.start(), len(text), "", "message/rfc822", text[match.start() :])] if match else []
