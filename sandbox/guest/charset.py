"""Which charset a text is in: it has come as bytes alone, and says so seldom.

In this order: byte order mark; ISO 2022's escapes; UTF-8, which others hardly ever look like; what a page of HTML or
XML says of itself; what its message says of it, where that is no name that programs put there unasked; the letters'
frequency (chardet), where that is sure of itself; at last FALLBACK.

Trusts nobody. Cannot fail: every byte maps to something. Bounds: chardet is shown SAMPLE bytes.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

import magic
import webencodings

if TYPE_CHECKING:
    from collections.abc import Iterator

FALLBACK = "cp1252"  # what mail in 8 bits without a charset mostly is
SAMPLE = 8192  # bytes for chardet, from the first line on that is not ASCII: a second for 300 kB
SURE = 0.74  # of 1; chardet says 0.73 of any text in Western letters, and calls it by one of five names
HEAD = 4096  # bytes in which a page says what it is in (HTML says 1024, pages are not so careful)
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, with which it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
ESCAPES = {b"\x1b$)C": "iso2022_kr", b"\x1b$": "iso2022_jp_2", b"\x1b(J": "iso2022_jp_2"}
XML = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([\w.:-]{1,40})""")
META = re.compile(rb"""<meta\s[^>]*?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)
NOT_ASCII = re.compile(rb"[^\n]*[\x80-\xff]")
# Python's codec of that name is the standard's, which lacks what the system of that name writes
LARGER = {"euc-kr": "cp949", "shift_jis": "cp932", "gbk": "gb18030", "gb2312": "gb18030", "big5": "big5hkscs"}


def decoded(document: bytes, said: str = "") -> str:
    """The text of `document`, without a byte order mark; `said`: the charset that its message names, or ""."""
    for name in _candidates(document, said):
        try:
            return document.decode(name)
        except (UnicodeError, LookupError):
            continue
    return document.decode(FALLBACK, "replace")


def _candidates(document: bytes, said: str) -> Iterator[str]:
    """Names of Python's codecs, the likeliest first."""
    yield from (name for mark, name in MARKS.items() if document.startswith(mark))
    if b"\x1b" in document:
        yield from (name for escape, name in ESCAPES.items() if escape in document)
    if b"\0" in document[:HEAD]:
        yield str(magic.Magic(mime_encoding=True).from_buffer(document))  # UTF-16 without its mark
    yield "utf-8"
    yield _declared(document[:HEAD])
    yield _told(said)
    yield _likely(document)


def _declared(head: bytes) -> str:
    """What a page says of itself; "" where it is none, or says nothing that can be true."""
    if not head.lstrip().startswith(b"<"):
        return ""
    found = XML.match(head) or META.search(head)
    codec = _codec(found[1].decode("ascii", "replace")) if found else ""
    return "" if codec.startswith("utf-16") else codec  # in letters of one byte: it cannot be


def _told(said: str) -> str:
    """What the message says; "" for Western letters (US-ASCII is one to the web), which comes last in any case."""
    codec = _codec(said)
    return "" if codec == FALLBACK else codec


def _likely(document: bytes) -> str:
    """What its letters look like; "" where that is not clear."""
    line = NOT_ASCII.search(document)
    if line is None:
        return ""
    import chardet  # noqa: PLC0415 - 3 MB of letters' frequencies in every sandbox that stands, for a few texts

    found = chardet.detect(document[line.start() : line.start() + SAMPLE])
    return _codec(found["encoding"]) if found["confidence"] > SURE else ""


def _codec(label: str) -> str:
    """Python's name for what the web calls `label` (WHATWG, Encoding); "" where the web has no such.

    Python has codecs under more names, which are no charsets, and slow.
    """
    known = webencodings.lookup(label)
    return LARGER.get(known.name, known.codec_info.name) if known else ""
