"""A file name from outside becomes one that can be shown and saved. Pure; never raises; the result is bounded.

`candidates` reads the names that a part could be taken to have (RFC 2047 and RFC 2231, and the mixtures that senders
make of them); `safe_filename` leaves of a name no path, control, bidirectional override or reserved Windows name;
`header_parameters` writes one back in the form that every reader understands in the same way.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from urllib.parse import quote, unquote_to_bytes

from gateway.mail.content import is_ascii_charset

# of UTF-8; file systems take 255 and some suffix of ours still has to fit, and `header_parameters` needs no more than
# ten pieces: readers that sort *10 before *2 put more together in another order
NAME_BYTES = 150
_OF_FIELDS = frozenset("=;")  # where some would see another parameter, or an encoded word
_PIECE = 54  # bytes of a name on one line of a header, escapes counted: the line stays within 78
FALLBACK = "attachment"

_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)[ \t\r\n]+(?==\?)")
_SECTION = re.compile(r"^([^*]+)\*?(\d{1,4})?(\*)?$")
# RFC 6266 section 4.3 and Windows: these would make a path, a stream, a wildcard or an option of a shell
_FORBIDDEN = re.compile(r'[<>:"|?*/\\\s]+')
_RESERVED = re.compile(r"(?i)^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)")
_TOKEN = re.compile(r"[A-Za-z0-9!#$&+^_`{}~.-]+")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}$")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# of Python alone, or no charsets of mail
_NOT_OF_MAIL = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "charmap"})
_SLOW_CODECS = frozenset({"punycode", "idna"})  # quadratic, and no charset of mail


def decode_words(untrusted_text: str) -> str:
    """Decode RFC 2047 encoded words wherever they stand, as lenient readers do; what cannot be decoded stays."""
    return _WORD.sub(_word, _BETWEEN_WORDS.sub(r"\1", untrusted_text))


def _word(match: re.Match[str]) -> str:
    charset, encoding, text = match[1].split("*")[0], match[2].lower(), match[3]
    raw = text.encode("utf-8", "surrogateescape")
    try:
        data = base64.b64decode(raw + b"==") if encoding == "b" else binascii.a2b_qp(raw.replace(b"_", b" "))
    except (binascii.Error, ValueError):
        return match[0]
    return to_text(data, charset)


def to_text(untrusted_data: bytes, charset: str = "") -> str:
    """Decode by the charset named, else as UTF-8, else as Latin-1: never fails."""
    for name in ("" if charset.lower() in _SLOW_CODECS else charset, "utf-8"):
        try:
            return untrusted_data.decode(name)
        except (LookupError, ValueError, UnicodeError):
            continue
    return untrusted_data.decode("latin-1")


def candidates(params: list[tuple[str, str]], base: str) -> list[str]:
    """All values that `base` (filename, name) could be read to have, decoded, without doubles.

    `params` are names and raw values in order, as Latin-1 text. RFC 2231 sections count as one value together.
    """
    plain: list[str] = []
    sections: dict[int, tuple[str, bool]] = {}
    extended: list[str] = []
    for name, value in params:
        found = _SECTION.match(name)
        if not found or found[1] != base:
            continue
        if found[2] is not None:
            sections.setdefault(int(found[2]), (value, bool(found[3])))
        elif found[3] or name.endswith("*"):
            extended.append(_extended(value))
        else:
            plain.append(decode_words(to_text(value.encode("latin-1", "replace"))))
    if sections:
        extended.append(_joined(sections))
    return list(dict.fromkeys(value for value in plain + extended if value))


def is_plainly_encoded(params: list[tuple[str, str]], base: str) -> bool:
    """True where all who decode RFC 2047 and RFC 2231 get the same name: charsets that are known, and fit the bytes."""
    for name, value in params:
        found = _SECTION.match(name)
        if not found or found[1] != base:
            continue
        if any(not _fits(word[1].split("*")[0], b"") for word in _WORD.finditer(value)):
            return False
        if (found[3] or name.endswith("*")) and found[2] in (None, "0"):
            charset, _, text = value.partition("'")
            _, quote_mark, text = text.partition("'")
            whole = b"" if found[2] else unquote_to_bytes(text)  # the first of several may end inside a character
            if not quote_mark or not _fits(charset, whole):
                return False
    return True


def _fits(charset: str, data: bytes) -> bool:
    try:
        name = codecs.lookup(charset or "ascii").name
        if name.replace("_", "-") in _NOT_OF_MAIL:
            return False
        data.decode(name)
    except (LookupError, ValueError):
        return False
    return is_ascii_charset(charset)


def _extended(value: str, rest: str = "") -> str:
    """RFC 2231 section 4: charset'language'percent-encoded."""
    charset, _, text = value.partition("'") if value.count("'") > 1 else ("", "", "'" + value)
    return to_text(unquote_to_bytes((text.partition("'")[2] + rest).encode("latin-1", "replace")), charset)


def _joined(sections: dict[int, tuple[str, bool]]) -> str:
    """RFC 2231 section 3: the pieces in the order of their numbers; the first one names the charset."""
    numbers = sorted(sections)
    texts = [sections[n][0] if sections[n][1] else quote(sections[n][0], encoding="latin-1") for n in numbers]
    if sections[numbers[0]][1]:
        return _extended(texts[0], "".join(texts[1:]))
    return decode_words(to_text(unquote_to_bytes("".join(texts))))


def safe_filename(untrusted_name: str, fallback: str = FALLBACK) -> str:
    """Make a name of one path component that says nothing but what it shows."""
    text = unicodedata.normalize("NFC", untrusted_name[:4096])
    text = re.split(r"[/\\]", text.rstrip("/\\ "))[-1]
    text = "".join(" " if ch in "\t\r\n" else ch for ch in text if ch in "\t\r\n" or _visible(ch))
    text = _FORBIDDEN.sub(lambda m: " " if m[0].isspace() else "_", text)
    text = text.strip(" .~-")  # a leading dot hides, a leading dash is an option, a trailing dot vanishes on Windows
    if not text:
        return fallback
    if _RESERVED.match(text):
        text = "_" + text
    return _shortened(text)


def _visible(char: str) -> bool:
    """False for what changes how its neighbours look without being seen (RLO and its kin are Cf)."""
    return unicodedata.category(char) not in _INVISIBLE and char != "�"


def _shortened(name: str) -> str:
    if len(name.encode()) <= NAME_BYTES:
        return name
    found = _EXTENSION.search(name)
    extension = found[0] if found else ""
    stem = name[: len(name) - len(extension)].encode()[: NAME_BYTES - len(extension)]
    return stem.decode("utf-8", "ignore").rstrip(" .") + extension


def flattened_name(safe_name: str, media_type: str = "application/pdf") -> str:
    """The name of what stands in a document's place: report.docx.pdf; what is called so already keeps its name."""
    endings = {
        "application/pdf": (".pdf",),
        "image/png": (".png",),
        "image/jpeg": (".jpg", ".jpeg", ".jpe"),
        "application/zip": (".zip",),
        "message/rfc822": (".eml",),
    }.get(media_type, (".bin",))
    if safe_name.lower().endswith(endings):
        return safe_name
    return safe_name + endings[0]


def header_parameters(parameter: str, safe_name: str) -> list[str]:
    """Write a name as header parameters, one a line: a token or quoted string, else RFC 2231 in pieces of one line."""
    if _TOKEN.fullmatch(safe_name) and len(safe_name) <= 60:  # noqa: PLR2004 - what fits on a line of 76 with its name
        return [f'{parameter}="{safe_name}"']
    if safe_name.isascii() and safe_name.isprintable() and len(safe_name) <= 60 and not _OF_FIELDS & set(safe_name):  # noqa: PLR2004
        escaped = safe_name.replace("\\", "").replace('"', "'")
        return [f'{parameter}="{escaped}"']
    encoded = quote(safe_name, safe="")
    if len(encoded) <= 55:  # noqa: PLR2004
        return [f"{parameter}*=UTF-8''{encoded}"]
    pieces = [""]
    for character in (quote(char, safe="") for char in safe_name):  # whole characters: some decode each piece alone
        if len(pieces[-1]) + len(character) > _PIECE:
            pieces.append("")
        pieces[-1] += character
    pieces[0] = "UTF-8''" + pieces[0]
    return [f"{parameter}*{number}*={piece}" for number, piece in enumerate(pieces)]
