"""Outlook's rich text: packed ([MS-OXRTFCP]), and HTML or plain text in the disguise of it ([MS-OXRTFEX]).

A body that was HTML is found again as the HTML it was; what was rich text from the start stays it, and is for
LibreOffice. Trusts nothing: what is cut off ends there, what is no number is none. Bounds: unpacking grows at most
ninefold; the reader of tokens keeps a state for each open group, and no more of them than MAX_GROUPS.
"""

from __future__ import annotations

import codecs
import re
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox import contract
from sandbox.guest.failure import GuestFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct("<II4sI")  # size, size unpacked, how, checksum
PACKED, PLAIN = b"LZFu", b"MELA"
WINDOW = 4096
# what the window holds at first ([MS-OXRTFCP] 2.1.2.1)
STARTING = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor "
    rb"MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)


def unpacked(compressed: bytes) -> bytes:
    """The rich text of PidTagRtfCompressed; raises GuestFailure where it is none."""
    if len(compressed) < HEADER.size:
        raise GuestFailure(contract.CORRUPT)
    _, size, how, _ = HEADER.unpack_from(compressed)
    if how == PLAIN:
        return compressed[HEADER.size :][:size]
    if how != PACKED:
        raise GuestFailure(contract.CORRUPT)
    return _unpack(compressed[HEADER.size :])


def _unpack(data: bytes) -> bytes:
    window = bytearray(STARTING.ljust(WINDOW, b"\0"))
    write, at, out = len(STARTING), 0, bytearray()
    while at < len(data):
        control = data[at]
        at += 1
        for bit in range(8):
            if control >> bit & 1:
                if at + 2 > len(data):
                    return bytes(out)
                pair = data[at] << 8 | data[at + 1]
                at += 2
                start, length = pair >> 4, (pair & 15) + 2
                if start == write % WINDOW:  # the end mark
                    return bytes(out)
                piece = [start + step for step in range(length)]
            else:
                if at >= len(data):
                    return bytes(out)
                window[write % WINDOW] = data[at]
                piece = [write]
                at += 1
            for place in piece:
                byte = window[place % WINDOW]
                window[write % WINDOW] = byte
                out.append(byte)
                write += 1
    return bytes(out)


MAX_GROUPS = 1000
TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?[0-9]{1,10})? ?|\\'([0-9a-fA-F]{2})|\\(.)|([{}])|([^\\{}\r\n]+)|[\r\n]+", re.DOTALL
)
HIDDEN = frozenset(
    (b"fonttbl colortbl stylesheet info pict object header footer headerl headerr footerl footerr mhtmltag").split()
)
SPOKEN = {  # [MS-OXRTFEX] 2.1.3.1.5 and the like: words that stand for characters
    b"par": "\r\n",
    b"line": "\r\n",
    b"tab": "\t",
    b"lquote": "\u2018",
    b"rquote": "\u2019",
    b"ldblquote": "\u201c",
    b"rdblquote": "\u201d",
    b"bullet": "\u2022",
    b"endash": "\u2013",
    b"emdash": "\u2014",
}
SIGNS = {b"~": "\u00a0", b"_": "\u00ad", b"{": "{", b"}": "}", b"\\": "\\"}
CHARSETS = {  # \fcharset to code page
    128: 932, 129: 949, 134: 936, 136: 950, 161: 1253, 162: 1254, 163: 1258, 177: 1255, 178: 1256, 186: 1257,
    204: 1251, 222: 874, 238: 1250, 0: 1252,
}  # fmt: skip
FROM_HTML = re.compile(rb"\\fromhtml1?\b")
FROM_TEXT = re.compile(rb"\\fromtext\b")
HEAD = 4096  # bytes in which a text says that it was something else


@dataclass(frozen=True, slots=True)
class _Group:
    hidden: bool = False
    html_off: bool = False  # \htmlrtf: what follows is for readers of rich text alone
    in_fonts: bool = False
    skip: int = 1  # characters after \u for those who know no Unicode
    font: int = -1


def was_html(text: bytes) -> str | None:
    """The HTML that a rich text was made from; None where it was made from none."""
    return "".join(_Reader(text).shown()) if FROM_HTML.search(text[:HEAD]) else None


def was_text(text: bytes) -> str | None:
    """The plain text that a rich text was made from; None where it was made from none."""
    return "".join(_Reader(text).shown()) if FROM_TEXT.search(text[:HEAD]) else None


class _Reader:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self._group = _Group()
        self._outer: list[_Group] = []
        self._starred = False  # the group began with \*
        self._pages: dict[int, int] = {}  # font to code page
        self._page = 1252
        self._to_skip = 0
        self._bytes = bytearray()  # of a character that may take several

    def shown(self) -> Iterator[str]:
        """What a reader would have shown of the original."""
        for token in TOKEN.finditer(self._text):
            word, number, code, sign, brace, plain = token.groups()
            if code is not None:
                self._byte(int(code, 16))
                continue
            yield self._flushed()
            if brace:
                self._brace(brace)
            elif word:
                yield self._said(word, int(number) if number else None)
            elif sign:
                yield self._signed(sign)
            elif plain:
                yield self._plain(plain)
        yield self._flushed()

    def _visible(self, text: str) -> str:
        return "" if self._group.hidden or self._group.html_off else text

    def _codec(self) -> str:
        name = f"cp{self._pages.get(self._group.font, self._page)}"
        try:
            return codecs.lookup("utf-8" if name == "cp65001" else name).name
        except LookupError:
            return "cp1252"

    def _byte(self, value: int) -> None:
        if self._to_skip:
            self._to_skip -= 1
        else:
            self._bytes.append(value)

    def _flushed(self) -> str:
        text = self._visible(self._bytes.decode(self._codec(), "replace")) if self._bytes else ""
        self._bytes.clear()
        return text

    def _plain(self, plain: bytes) -> str:
        self._starred = False
        skipped = min(self._to_skip, len(plain))
        self._to_skip -= skipped
        return self._visible(plain[skipped:].decode(self._codec(), "replace"))

    def _brace(self, brace: bytes) -> None:
        self._to_skip, self._starred = 0, False
        if brace == b"{":
            self._outer.append(self._group)
            if len(self._outer) > MAX_GROUPS:
                raise GuestFailure(contract.CORRUPT)
        elif self._outer:
            self._group = self._outer.pop()

    def _signed(self, sign: bytes) -> str:
        if sign == b"*":
            self._starred = True
            return ""
        return self._visible(SIGNS.get(sign, "\r\n" if sign in b"\r\n" else ""))

    def _said(self, word: bytes, number: int | None) -> str:
        starred, self._starred = self._starred, False
        if word == b"htmltag":
            self._group = replace(self._group, hidden=False, html_off=False)
        elif word in HIDDEN or starred:
            self._group = replace(self._group, hidden=True, in_fonts=word == b"fonttbl")
        elif word == b"htmlrtf":
            self._group = replace(self._group, html_off=number != 0)
        elif word == b"u" and number is not None:
            self._to_skip = self._group.skip
            return self._visible(_character(number))
        elif word in SPOKEN:
            return self._visible(SPOKEN[word])
        else:
            self._set(word, number or 0)
        return ""

    def _set(self, word: bytes, number: int) -> None:
        if word == b"uc":
            self._group = replace(self._group, skip=min(max(number, 0), 8))
        elif word == b"f":
            self._group = replace(self._group, font=number)
        elif word == b"ansicpg":
            self._page = number
        elif word == b"fcharset" and self._group.in_fonts and number in CHARSETS:
            self._pages[self._group.font] = CHARSETS[number]


def _character(number: int) -> str:
    """A UTF-16 unit, written as a signed number; halves of a pair are joined when all is there."""
    return chr(number & 0xFFFF)
