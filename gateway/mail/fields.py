"""Reads the MIME fields of one header: strictly for what every parser agrees on, tolerantly for all it could be.

`read_fields` never raises and is linear. Where the strict grammar (RFC 2045 section 5.1, RFC 2183, RFC 2231) does not
match, the ambiguity is noted and the field is searched for every type, encoding and boundary a tolerant parser could
find in it: the tree is then cut at all of them, and nothing that could be an attachment stays inside a text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.mail import ambiguity, decode
from gateway.mail.filename import candidates, decode_words, is_plainly_encoded, to_text
from gateway.mail.tree import Kind

if TYPE_CHECKING:
    from gateway.mail.tree import Bounds, Header

TEXT = "text/plain"
UNREADABLE = "application/octet-stream"  # RFC 2045 section 5.2 would have text; we take what nobody displays

_TOKEN = rb"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+"
_QUOTED = rb'"(?:[^"\\\r\n]|\\[ -~]|\r\n[ \t])*"'
_TYPE = re.compile(rb"[ \t]*(" + _TOKEN + rb")/(" + _TOKEN + rb")[ \t]*(?=;|\Z)")
_WORD = re.compile(rb"[ \t]*(" + _TOKEN + rb")[ \t]*(?=;|\Z)")
_PARAM = re.compile(rb";[ \t]*(?:\r\n[ \t]+)?(" + _TOKEN + rb")=(" + _TOKEN + rb"|" + _QUOTED + rb")[ \t]*(?=;|\Z)")
_ESCAPE = re.compile(rb'\\[^"]')  # some keep the backslash, some take the quote behind an escaped one for escaped
_LAST = re.compile(rb";?[ \t]*")
_LOOSE_PARAM = re.compile(rb"([A-Za-z][A-Za-z0-9*-]{0,40})[ \t\r\n]*=[ \t\r\n]*(\"[^\"]{0,4096}\"?|[^;\r\n]{0,4096})")
_LOOSE_BOUNDARY = re.compile(rb"(?i)b?oundary[^=]{0,64}=[ \t\r\n]*(\"(?:[^\"\\]|\\.){0,2048}\"?|[^;\r\n]{0,2048})")
_LOOSE_TYPE = re.compile(
    r"(multipart|message|text|image|audio|video|application|font|model)\s*/\s*([a-z0-9!#$&^_.+-]{1,100})"
)
_COMMENT = re.compile(rb"\([^()]{0,1024}\)")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BOUNDARY = re.compile(r"[0-9A-Za-z()+_./:=?-]{1,70}")  # RFC 2046 section 5.1.1, without comma, space and single quote
_ENCODINGS = {
    "7bit": decode.IDENTITY,
    "8bit": decode.IDENTITY,
    "binary": decode.IDENTITY,
    "base64": decode.BASE64,
    "quoted-printable": decode.QUOTED_PRINTABLE,
}
_LOOSE_ENCODINGS = (
    (re.compile(r"uu|x-uue"), decode.UUENCODE),
    (re.compile(r"base.{0,3}64|b64"), decode.BASE64),
    (re.compile(r"quoted|print|\bqp?\b"), decode.QUOTED_PRINTABLE),
    (re.compile(r"^\W*$|[78].{0,2}bit|binary|identity|none"), decode.IDENTITY),
)
_MIME_FIELDS = frozenset(
    {"content-type", "content-transfer-encoding", "content-disposition", "content-id", "mime-version"}
)
_VERSION = re.compile(rb"[ \t]*1\.0[ \t]*(?:\([^\r\n]*\)[ \t]*)?")  # RFC 2045 section 4 allows a comment here
_LONG = 998  # RFC 5322 section 2.1.1
_MAX_BOUNDARIES = 12  # of one multipart; more readings than that of one field are noise


@dataclass(slots=True)
class Fields:
    """What the MIME fields of one header say; `notes` collects ambiguities."""

    types: list[str] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    encodings: list[str] = field(default_factory=list)
    disposition: str = ""
    filenames: list[str] = field(default_factory=list)
    stray_filenames: list[str] = field(default_factory=list)  # under the parameter of the other field
    content_id: str = ""
    boundaries: list[bytes] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)

    @property
    def is_multipart(self) -> bool:
        """True where any reading of the header makes the part a multipart."""
        return any(name.startswith("multipart") for name in self.types)

    @property
    def is_message(self) -> bool:
        """True where any reading makes it a message that holds a message."""
        return any(
            name in {"message/rfc822", "message/global", "message/news", "message/rfc2822"} for name in self.types
        )

    @property
    def kind(self) -> Kind:
        """What the part is read as; what can be read as a file too stays whole, and is replaced as one."""
        if len(self.types) > 1:
            as_text = all(name.startswith("multipart") or name in ("text/plain", "text/html") for name in self.types)
            as_file = not as_text or bool(self.filenames) or self.disposition == "attachment"
            return Kind.MULTIPART if self.is_multipart and not as_file else Kind.LEAF
        if self.is_multipart:
            return Kind.MULTIPART
        return Kind.MESSAGE if self.is_message else Kind.LEAF


def read_fields(headers: list[Header], bounds: Bounds, default: str = TEXT) -> Fields:
    """Read Content-Type, -Transfer-Encoding, -Disposition and -ID, however often each is given."""
    found = Fields()
    seen: set[str] = set()
    for header in headers:
        if header.name not in _MIME_FIELDS:
            continue
        if header.name in seen:
            found.notes.add(ambiguity.DUPLICATE_HEADER)
        seen.add(header.name)
        value = header.value[: bounds.header_field]
        if _CONTROL.search(value) or not value.isascii():
            found.notes.add(ambiguity.HEADER_BYTES)
        if len(value) > _LONG - len(header.name) and _has_long_line(header.name.encode() + b":" + value):
            found.notes.add(ambiguity.LONG_LINE)
        _READERS[header.name](found, value)
    found.types = list(dict.fromkeys(found.types)) or [default]
    found.encodings = list(dict.fromkeys(found.encodings)) or [decode.IDENTITY]
    if not found.is_multipart:
        if found.boundaries:
            found.notes.add(ambiguity.BOUNDARY_SYNTAX)  # some part what has a boundary, whatever its type
        found.boundaries = []
    elif not found.boundaries:
        found.notes.add(ambiguity.BOUNDARY_MISSING)
    found.boundaries = [b for b in dict.fromkeys(found.boundaries) if 0 < len(b) <= bounds.boundary][:_MAX_BOUNDARIES]
    found.filenames = _one_spelling(found)
    if {"message/partial", "message/external-body"} & set(found.types):
        found.notes.add(ambiguity.FRAGMENT)
    return found


def _has_long_line(field_bytes: bytes) -> bool:
    return max(map(len, field_bytes.split(b"\r\n"))) > _LONG


def _one_spelling(found: Fields) -> list[str]:
    given = [*found.filenames, *found.stray_filenames]
    names = {" ".join(name.split()).casefold(): name for name in reversed(given)}
    if len(names) > 1 or (names and not found.filenames):
        found.notes.add(ambiguity.FILENAME_CONFLICT)
    return list(reversed(names.values()))


def _content_type(found: Fields, value: bytes) -> None:
    match = _TYPE.match(value)
    params = _strict_params(found, value, match.end()) if match else None
    if match and params is not None:
        found.types.append(f"{match[1].decode()}/{match[2].decode()}".lower())
        if found.is_multipart and match[1].lower() != b"multipart":
            found.notes.add(ambiguity.CONTENT_TYPE)  # "multiparts" is one for those who compare beginnings
    else:
        found.notes.add(ambiguity.CONTENT_TYPE)
        found.types.extend(_loose_types(value))
        params = _loose_params(value)
        found.boundaries.extend(_loose_boundaries(value))
    if any(_LOOSE_BOUNDARY.search(text.encode("latin-1")) for name, text in params):  # for those who cut at semicolons
        found.notes.add(ambiguity.BOUNDARY_SYNTAX)
        found.boundaries.extend(_loose_boundaries(value))
    for name, text in params:
        found.params.setdefault(name, text)
    _names(found, params, "name", "filename")
    _boundary(found, params)


def _names(found: Fields, params: list[tuple[str, str]], *bases: str) -> None:
    """The first base is the field's own; the other one is read by some only."""
    for base, names in zip(bases, (found.filenames, found.stray_filenames), strict=True):
        names.extend(candidates(params, base))
        if not is_plainly_encoded(params, base):
            found.notes.add(ambiguity.FILENAME_CONFLICT)


def _boundary(found: Fields, params: list[tuple[str, str]]) -> None:
    for name, text in params:
        if name.split("*")[0] != "boundary":
            continue
        plain = _BOUNDARY.fullmatch(text) and text.strip("-") and decode_words(text) == text
        if name != "boundary" or not plain:
            found.notes.add(ambiguity.BOUNDARY_SYNTAX)
            found.boundaries.extend(reading.encode("latin-1", "replace") for reading in _readings(text))
        found.boundaries.append(text.encode("latin-1", "replace"))
    if any(name.startswith("boundary*") for name, _ in params):
        found.boundaries.extend(text.encode("latin-1", "replace") for text in candidates(params, "boundary"))


def _readings(text: str) -> list[str]:
    """What else a boundary with spaces, escapes, encoded words or commas could be."""
    return [
        text.strip(),
        text.rstrip(),
        text.strip("'"),
        decode_words(text),
        text.split(",", maxsplit=1)[0],
        text.split(" ", maxsplit=1)[0],
    ]


def _loose_boundaries(value: bytes) -> list[bytes]:
    """Every value that a tolerant parser could take for the boundary, with and without comments, quotes and escapes."""
    found: list[bytes] = []
    clean = _CONTROL.sub(b"", value)
    for text in (value, clean, _COMMENT.sub(b"", clean)):
        for match in _LOOSE_BOUNDARY.finditer(text):
            raw = match[1].strip(b" \t\r\n")
            inner = raw.strip(b'"')
            found += [raw, inner, inner.strip(b" \t"), re.sub(rb"\\(.)", rb"\1", inner), inner.strip(b"'")]
            found += [re.split(rb"[ \t;,\"(\r\n]", inner.lstrip(b" \t"))[0], re.sub(rb"\r\n[ \t]*", b"", inner)]
    return found


def _strict_params(found: Fields, value: bytes, position: int) -> list[tuple[str, str]] | None:
    """Read `;name=value` until the end of the field; None where a byte is left over."""
    params: list[tuple[str, str]] = []
    seen: set[str] = set()
    while match := _PARAM.match(value, position):
        name, text = match[1].decode().lower(), match[2]
        if b"\r\n" in text and name.split("*")[0] not in {"name", "filename"}:
            found.notes.add(ambiguity.HEADER_FOLDING)
        if text.startswith(b'"'):
            text = re.sub(rb"\\(.)", rb"\1", text[1:-1].replace(b"\r\n", b""))
            if name == "boundary" and b"\\" in match[2]:
                found.notes.add(ambiguity.BOUNDARY_SYNTAX)
            elif _ESCAPE.search(match[2]):
                is_name = name.split("*")[0] in ("name", "filename")
                found.notes.add(ambiguity.FILENAME_CONFLICT if is_name else ambiguity.CONTENT_TYPE)
        if name in seen:
            found.notes.add(ambiguity.DUPLICATE_PARAMETER)
        seen.add(name)
        params.append((name, text.decode("latin-1")))
        position = match.end()
    return params if _LAST.fullmatch(value, position) else None


def _loose_params(value: bytes) -> list[tuple[str, str]]:
    params = []
    for match in _LOOSE_PARAM.finditer(_CONTROL.sub(b"", value)):
        text = match[2].strip(b' \t\r\n"').replace(b"\r", b"").replace(b"\n", b"")
        params.append((match[1].decode().lower(), text.decode("latin-1")))
    return params


def _loose_types(value: bytes) -> list[str]:
    """Every type named in the field, with comments, controls and encoded words taken away; none: unreadable."""
    text = decode_words(to_text(_CONTROL.sub(b"", _COMMENT.sub(b"", value)))).lower()
    text = re.sub(r"[\s\"]+", "", text.split("boundary", 1)[0])
    found = [f"{match[1]}/{match[2]}" for match in _LOOSE_TYPE.finditer(text)]
    if not found and re.match(r"\W*multi", text):
        found = ["multipart/mixed"]
    if not found and text in {"text", ""}:
        found = [TEXT]  # "Content-Type: text" was written by programs older than MIME
    return found or [UNREADABLE]


def _encoding(found: Fields, value: bytes) -> None:
    text = value.lstrip(b" \t").decode("latin-1").lower()  # blanks behind it make it another word for some
    if text in _ENCODINGS:
        found.encodings.append(_ENCODINGS[text])
        return
    found.notes.add(ambiguity.CONTENT_ENCODING)
    text = _CONTROL.sub(b"", value).decode("latin-1").lower()
    readings = [name for pattern, name in _LOOSE_ENCODINGS if pattern.search(text)]
    found.encodings.extend(readings or [decode.UNKNOWN])


def _disposition(found: Fields, value: bytes) -> None:
    match = _WORD.match(value)
    params = _strict_params(found, value, match.end()) if match else None
    word = match[1].decode().lower() if match else ""
    if params is None or word not in {"inline", "attachment"}:
        found.notes.add(ambiguity.CONTENT_DISPOSITION)
        params = params if params is not None else _loose_params(value)
        word = word or "attachment"  # RFC 2183 section 2.8: what is unknown is an attachment
    found.disposition = "attachment" if "attachment" in {found.disposition, word} else word
    _names(found, params, "filename", "name")


def _content_id(found: Fields, value: bytes) -> None:
    if not found.content_id:
        found.content_id = value.decode("latin-1").strip().strip("<>").strip()


def _mime_version(found: Fields, value: bytes) -> None:
    if not _VERSION.fullmatch(value):
        found.notes.add(ambiguity.MIME_VERSION)


_READERS = {
    "content-type": _content_type,
    "content-transfer-encoding": _encoding,
    "content-disposition": _disposition,
    "content-id": _content_id,
    "mime-version": _mime_version,
}
