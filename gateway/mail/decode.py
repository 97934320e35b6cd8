"""Undoes transfer encodings, tolerantly: the most inclusive reading of what a sender wrote, and what was odd about it.

Trusts nothing, never raises, linear in the input. What decoders disagree about (junk, padding in the middle, broken
escapes) is decoded as the one that reads on would, so that the sandbox sees all that any reader could see.
"""

from __future__ import annotations

import base64
import binascii
import re

from gateway.mail import ambiguity

IDENTITY = "identity"
BASE64 = "base64"
QUOTED_PRINTABLE = "quoted-printable"
UUENCODE = "x-uuencode"
UNKNOWN = "unknown"

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_ALPHABET = bytes(sorted(set(range(256)) - set(_ALPHABET) - {ord("=")}))
_PADDING = re.compile(rb"=+")
_LINE_INSIDE = re.compile(rb"\n\r?\n[ \t\r\n]*[A-Za-z0-9+/]")
# RFC 2045 section 6.7: an escape is two upper-case digits; nothing follows a soft line break, no blank ends a line
# 8-bit bytes stand for nothing there, and some take those of U+2028 for a space or a line
_QP_ODD = re.compile(rb"=(?![0-9A-F]{2}|\r\n|\Z)|[ \t](?=\r\n|\Z)|[\x80-\xff]")
UU_BEGIN = re.compile(rb"(?im)^begin(-base64)?[ \t]*([0-9]{1,20})[ \t]*([^\r\n]*)")


def decode(untrusted_body: bytes, encoding: str) -> tuple[bytes, frozenset[str]]:
    """Give the content, and the names of the ambiguities in its encoding."""
    return content_of(untrusted_body, encoding), oddities(untrusted_body, encoding)


def content_of(untrusted_body: bytes, encoding: str) -> bytes:
    """Give the content; of an unknown encoding, the body as it is."""
    if encoding == BASE64:
        return decode_base64(untrusted_body)
    if encoding == QUOTED_PRINTABLE:
        return binascii.a2b_qp(untrusted_body)
    if encoding == UUENCODE:
        return decode_uu(untrusted_body)
    return untrusted_body


def oddities(untrusted_body: bytes, encoding: str) -> frozenset[str]:
    """Name the ambiguities in an encoded body."""
    if encoding == BASE64:
        return _odd_base64(untrusted_body)
    if encoding == QUOTED_PRINTABLE and _QP_ODD.search(untrusted_body):
        return frozenset({ambiguity.QUOTED_PRINTABLE})
    return frozenset({ambiguity.UUENCODE}) if encoding == UUENCODE else frozenset()


def _odd_base64(body: bytes) -> frozenset[str]:
    """RFC 2045 section 6.8, RFC 4648 section 3.3: only the alphabet and line ends, padding at the end; whole groups."""
    data = body.translate(None, b"\r\n")
    core = data.rstrip(b"=")
    padding = len(data) - len(core)
    odd = (
        bool(core.translate(None, _ALPHABET))
        or len(data) % 4 != 0
        or padding > 2  # noqa: PLR2004 - two is the most that RFC 4648 section 4 knows
        or bool(_LINE_INSIDE.search(body.strip(b"\r\n")))
        or any(length % 4 for length in set(map(len, body.rstrip(b"\r\n").split(b"\r\n"))))  # some decode line by line
    )
    return frozenset({ambiguity.BASE64} if odd else ())


def decode_base64(untrusted_body: bytes) -> bytes:
    """Decode every run of base64, reading on behind padding and over junk."""
    data = untrusted_body.translate(None, _NOT_ALPHABET)
    return b"".join(_whole(run) for run in _PADDING.split(data))


def _whole(run: bytes) -> bytes:
    """Decode one run without padding; a last single digit holds less than a byte and is dropped."""
    if len(run) % 4 == 1:
        run = run[:-1]
    return base64.b64decode(run + b"=" * (-len(run) % 4))


def decode_uu(untrusted_body: bytes) -> bytes:
    """Decode the lines of one uuencoded block; without a begin line, all lines that look like one."""
    begin = UU_BEGIN.search(untrusted_body)
    if begin and begin[1]:
        return decode_base64(untrusted_body[begin.end() :].split(b"====", 1)[0])
    lines = untrusted_body[begin.end() if begin else 0 :].splitlines()
    return b"".join(_uu_line(line) for line in lines if looks_uu(line))


def looks_uu(line: bytes) -> bool:
    """True for a line of the length that its first byte says, give or take what encoders pad or mailers cut."""
    line = line.rstrip(b"\r\n")
    if not line or not 32 < line[0] <= 96 or any(not 32 <= byte <= 96 for byte in line[:90]):  # noqa: PLR2004
        return False
    digits = ((line[0] - 32) & 63) * 4 / 3
    return digits - 4 <= len(line) - 1 <= digits + 6


def _uu_line(line: bytes) -> bytes:
    length = ((line[0] - 32) & 63) * 4 // 3 + 3 & ~3
    try:
        return binascii.a2b_uu(line[: length + 1])
    except binascii.Error:
        return b""


def decode_yenc(untrusted_lines: bytes) -> bytes:
    """Undo yEnc: every byte is moved by 42, one behind an equals sign by 64 more."""
    data = untrusted_lines.translate(None, b"\r\n")
    head, *escaped = data.split(b"=")
    moved = [head] + [bytes([(piece[0] - 64) & 255]) + piece[1:] if piece else b"" for piece in escaped]
    return b"".join(moved).translate(_BY_42)


_BY_42 = bytes((byte - 42) & 255 for byte in range(256))
