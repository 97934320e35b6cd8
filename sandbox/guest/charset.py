"""Which charset a text is in: it has come as bytes alone, and says so seldom.

In this order: byte order mark; ISO 2022's escapes; UTF-8, which others hardly ever look like, with a few faults too;
what a page of HTML or XML says of itself; what its message says of it, where that is no name that programs put there
unasked; the letters' frequency (chardet), where that is sure of itself; at last FALLBACK.

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
NOT_ASCII = re.compile(rb"[\x80-\xff]")
STRICT, REPLACE = "strict", "replace"
FAULT = "\ufffd"
FEW = 20  # of so many letters that are not ASCII one may be broken, and it is UTF-8 still: cut off, or pasted together
# Python's codec of that name is the standard's, which lacks what the system of that name writes
LARGER = {"euc-kr": "cp949", "shift_jis": "cp932", "gbk": "gb18030", "gb2312": "gb18030", "big5": "big5hkscs"}


def decoded(document: bytes, said: str = "") -> str:
    """The text of `document`, without a byte order mark; `said`: the charset that its message names, or ""."""
    for name, errors in _candidates(document, said):
        try:
            return document.decode(name, errors)
        except (UnicodeError, LookupError):
            continue
    return document.decode(FALLBACK, REPLACE)


def _candidates(document: bytes, said: str) -> Iterator[tuple[str, str]]:
    """Names of Python's codecs and how faults are taken, the likeliest first."""
    yield from ((name, STRICT) for mark, name in MARKS.items() if document.startswith(mark))
    if b"\x1b" in document:
        yield from ((name, STRICT) for escape, name in ESCAPES.items() if escape in document)
    if b"\0" in document[:HEAD]:
        yield str(magic.Magic(mime_encoding=True).from_buffer(document)), STRICT  # UTF-16 without its mark
    yield "utf-8", REPLACE if _is_nearly_utf8(document) else STRICT
    yield _declared(document[:HEAD]), STRICT
    yield _told(said), STRICT
    yield _likely(document), STRICT


def _is_nearly_utf8(document: bytes) -> bool:
    text = document.decode("utf-8", REPLACE)
    faults = text.count(FAULT)
    letters = len(text) - len(text.encode("ascii", "ignore")) - faults
    return letters > FEW * faults


def _declared(head: bytes) -> str:
    """What a page says of itself; "" where it is none, or says nothing that can be true."""
    if not head.lstrip().startswith(b"<"):
        return ""
    found = XML.match(head) or META.search(head)
    return _codec(found[1].decode("ascii", "replace")) if found else ""


def _told(said: str) -> str:
    """What the message says; "" for Western letters (US-ASCII is one to the web), which comes last in any case."""
    codec = _codec(said)
    return "" if codec == FALLBACK else codec


def _likely(document: bytes) -> str:
    """What its letters look like; "" where that is not clear."""
    first = NOT_ASCII.search(document)
    if first is None:
        return ""
    import chardet  # noqa: PLC0415 - 3 MB of letters' frequencies in every sandbox that stands, for a few texts

    line = document.rfind(b"\n", max(0, first.start() - SAMPLE // 2), first.start()) + 1
    start = line or max(0, first.start() - SAMPLE // 2)  # a line may be as long as the whole text
    found = chardet.detect(document[start : start + SAMPLE])
    return _codec(found["encoding"]) if found["confidence"] > SURE else ""


def _codec(label: str) -> str:
    """Python's name for what the web calls `label` (WHATWG, Encoding); "" where the web has no such.

    Python has codecs under more names, which are no charsets, and slow. UTF-16 is never believed: a mark or NULs tell
    it, and as that nearly anything can be read.
    """
    known = webencodings.lookup(label)
    name = LARGER.get(known.name, known.codec_info.name) if known else ""
    return "" if name.startswith("utf-16") else name
