"""Says whether decoded bytes are the text they claim to be. Prefixes and counts only: nothing is opened here.

A part is displayed and kept only as text. What begins like a known binary format, holds control bytes as binaries do,
or is in a charset in which ASCII means something else, is treated as an attachment, whatever its header says.
"""

from __future__ import annotations

import codecs
import html
import re

_MAGIC = (
    b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"\xd0\xcf\x11\xe0", b"{\\rt", b"\x7fELF", b"\x1f\x8b\x08",
    b"7z\xbc\xaf", b"Rar!\x1a", b"GIF87a", b"GIF89a", b"\x89PNG", b"\xff\xd8\xff", b"\xca\xfe\xba\xbe",
    b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa", b"%!PS-", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"!<arch>\n", b"\x78\x9f\x3e\x22",
    b"L\x00\x00\x00\x01\x14\x02", b"II*\x00", b"MM\x00*", b"AT&TFORM", b"\x00\x00\x01\x00", b'\x04"M\x18',
    b"\x1f\x9d\x90", b"!BDN",
)  # fmt: skip
# these are also words; a byte that no text has must follow soon
_WORDLIKE = re.compile(
    rb"(?:MZ|BZh|RIFF|ID3|OggS|MSCF|ITSF|SQLite format|8BPS|wOF[F2]|xar!|LZIP|[CFZ]WS|BM)"
    rb"[\x00-\xff]{0,62}?[\x00-\x08\x0e-\x1a\x1c-\x1f]"
)
_SHORT = (b"MZ", b"BM")
_PDF_WITHIN = 1024  # readers accept %PDF- that far into a file
_PDF = re.compile(rb"(?:\A|[\r\n\x00-\x20])%PDF-\d")
_JUNK = bytes([*range(9), *range(14, 27), *range(28, 32), 127])  # not TAB, CR, LF, VT, FF; not ESC (ISO 2022)
# ISO 2022 and HZ: what switches between character sets, or joins lines, and is not seen
_SHIFTS = re.compile(r"\x1b[ -/]*[0-~]|~[{}]|~\r?\n|[\x0e\x0f]")
_LAYERS = 3  # a srcdoc attribute is HTML inside HTML
_CSS_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{1,6})[ \t\r\n]?")
_JUNK_SHARE = 100  # one control byte in this many is more than any text has
_PROBE = b"ABCXYZabcxyz0189 :;,.=/+-_<>\"'()%&#@!?*"
_WIDE = re.compile(r"(?i)utf|ucs|unicode|10646|ebcdic|ibm-?037")
_HEADER_FORM = re.compile(rb"(?:[!-9;-~]+[ \t]*:[^\r\n]*|[ \t][^\r\n]*)?")


def crlf(untrusted_text: bytes) -> bytes:
    """Every way to end a line becomes CRLF."""
    return untrusted_text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def is_binary(untrusted_content: bytes) -> bool:
    """True for what begins like a binary format, or holds what texts do not."""
    if has_magic(untrusted_content):
        return True
    junk = len(untrusted_content) - len(untrusted_content.translate(None, _JUNK))
    return junk * _JUNK_SHARE > len(untrusted_content)


def has_magic(untrusted_content: bytes) -> bool:
    """True for what begins like a binary format that some program opens."""
    head = untrusted_content[: _PDF_WITHIN + 16].lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith(_MAGIC) or bool(_PDF.search(head) or _WORDLIKE.match(head))


def has_short_magic(untrusted_content: bytes) -> bool:
    """True where no more than two bytes say so: one random token in 30,000 has those."""
    return untrusted_content.startswith(_SHORT)


def is_ascii_charset(name: str) -> bool:
    """True where ASCII bytes mean ASCII: not so in UTF-7, UTF-16 or EBCDIC, in which text hides from a plain search."""
    try:
        return not name or _PROBE.decode(codecs.lookup(name).name) == _PROBE.decode("ascii")
    except (LookupError, ValueError, UnicodeError):
        return not _WIDE.search(name.replace("utf-8", "").replace("utf8", ""))  # unknown names are read as ASCII


def is_header_form(untrusted_content: bytes) -> bool:
    """True for lines of fields, as reports have them (RFC 3464, RFC 8098; in UTF-8: RFC 6533)."""
    if not _is_utf8(untrusted_content) or is_binary(untrusted_content):
        return False
    return all(_HEADER_FORM.fullmatch(line) and len(line) <= 998 for line in untrusted_content.splitlines())  # noqa: PLR2004


def _is_utf8(untrusted_content: bytes) -> bool:
    try:
        untrusted_content.decode()
    except UnicodeDecodeError:
        return False
    return True


def plain_html(untrusted_content: bytes) -> bytes:
    """HTML as a browser reads URLs in it: entities and CSS escapes decoded, shifts, tabs and line ends out."""
    text = _SHIFTS.sub("", untrusted_content.decode("latin-1"))
    for _ in range(_LAYERS):
        text = html.unescape(text)
    text = _CSS_ESCAPE.sub(lambda m: chr(min(int(m[1], 16), 255)), text)
    return text.translate({9: None, 10: None, 13: None, 0: None}).encode("latin-1", "replace")
