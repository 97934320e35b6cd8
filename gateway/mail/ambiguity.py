"""What two parsers could read differently: each class has a name, which is public (report, log), and a meaning.

A message with any of these is never passed as it stands: `rebuild` writes it anew from our own reading, or policy
refuses it. See "Inbox Invasion" (CCS 2024) and draft-chen-email-mime-ambiguity-defense.
"""

from __future__ import annotations

import re

# the bytes
BARE_CR = "bare_cr"
BARE_LF = "bare_lf"
NUL_BYTE = "nul_byte"
# the header
HEADER_JUNK = "header_junk"
HEADER_NAME = "header_name"
HEADER_FOLDING = "header_folding"
HEADER_BYTES = "header_bytes"
HEADER_SEPARATOR = "header_separator"
LONG_LINE = "long_line"
DUPLICATE_HEADER = "duplicate_header"
MIME_VERSION = "mime_version"
CONTENT_TYPE = "content_type"
DEFAULT_TYPE = "default_type"
DUPLICATE_PARAMETER = "duplicate_parameter"
CONTENT_ENCODING = "content_encoding"
CONTENT_DISPOSITION = "content_disposition"
FILENAME_CONFLICT = "filename_conflict"
# boundaries
BOUNDARY_MISSING = "boundary_missing"
BOUNDARY_SYNTAX = "boundary_syntax"
BOUNDARY_PREFIX = "boundary_prefix"
DELIMITER = "delimiter"
NO_PARTS = "no_parts"
NOT_CLOSED = "not_closed"
PREAMBLE = "preamble"
EPILOGUE = "epilogue"
# the body
ENCODED_CONTAINER = "encoded_container"
BASE64 = "base64"
QUOTED_PRINTABLE = "quoted_printable"
UUENCODE = "uuencode"
FRAGMENT = "fragment"
HIDDEN_TEXT = "hidden_text"
# bounds
TOO_MANY_PARTS = "too_many_parts"
TOO_DEEP = "too_deep"
TOO_MANY_HEADERS = "too_many_headers"
HEADER_TOO_LARGE = "header_too_large"

MEANING = {
    BARE_CR: "a CR without LF: a line end for some parsers only",
    BARE_LF: "an LF without CR: a line end for some parsers only",
    NUL_BYTE: "a NUL byte, at which some parsers stop",
    HEADER_JUNK: "a line in a header that is no field: the header's end for some, skipped by others",
    HEADER_NAME: "a field name with white space, control, 8-bit or other bytes in it or around it",
    HEADER_FOLDING: "folding in a place that some parsers do not unfold, a folded line of white space only, or a MIME"
    " field behind what only some take for a line end",
    HEADER_BYTES: "control bytes, or 8-bit bytes that are not UTF-8 or stand in a MIME field",
    HEADER_SEPARATOR: "header and body not parted by an empty line, or an empty line before the header, or none",
    LONG_LINE: "a MIME field with a line of over 998 bytes, which some cut",
    DUPLICATE_HEADER: "a MIME field given more than once",
    MIME_VERSION: "a MIME-Version other than 1.0",
    CONTENT_TYPE: "a Content-Type that is not type/subtype with well-formed parameters, or holds comments",
    DEFAULT_TYPE: "a part of a digest without a type: a message for some, a text for others",
    DUPLICATE_PARAMETER: "a parameter given more than once",
    CONTENT_ENCODING: "a Content-Transfer-Encoding that is unknown, misspelt or commented",
    CONTENT_DISPOSITION: "a Content-Disposition other than inline or attachment with well-formed parameters",
    FILENAME_CONFLICT: "several file names for one part, or one in a charset or with escapes that not all decode",
    BOUNDARY_MISSING: "a multipart without a boundary",
    BOUNDARY_SYNTAX: "a boundary that is overlong, encoded, escaped, nothing but dashes, holds a comma or what RFC 2046"
    " does not allow, stands inside another parameter, or is given for what is no multipart",
    BOUNDARY_PREFIX: "a boundary that equals or begins with that of an enclosing multipart, or the other way round",
    DELIMITER: "a line like a delimiter, but with other dashes, case, leading or trailing bytes, or inside a line",
    NO_PARTS: "a multipart in which no delimiter is found",
    NOT_CLOSED: "a multipart without its closing delimiter",
    PREAMBLE: "more than a plain remark before the first delimiter",
    EPILOGUE: "more than a plain remark after the closing delimiter, or parts there",
    ENCODED_CONTAINER: "a transfer encoding around a multipart or a message",
    BASE64: "base64 with other bytes, padding before the end, of a wrong length, or with lines that end inside a group",
    QUOTED_PRINTABLE: "quoted-printable with broken or lower-case escapes, blanks after a soft line break, 8-bit bytes",
    UUENCODE: "a uuencoded body: no transfer encoding of MIME",
    FRAGMENT: "message/partial or message/external-body: the content is elsewhere",
    HIDDEN_TEXT: "a text in a charset or with escapes that hide what it holds from plain search",
    TOO_MANY_PARTS: "more parts than the bound",
    TOO_DEEP: "nested deeper than the bound",
    TOO_MANY_HEADERS: "more header fields than the bound",
    HEADER_TOO_LARGE: "a header field, or a whole header, larger than the bound",
}
LIMITS = frozenset({TOO_MANY_PARTS, TOO_DEEP, TOO_MANY_HEADERS, HEADER_TOO_LARGE})

_BARE_CR = re.compile(rb"\r(?!\n)")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_REMARK_BYTES = 1024  # the longest preambles in use are a few lines of advice for readers without MIME
# what makes a preamble or epilogue more than a remark: something that a tolerant reader could take for content
_CONTENT_LIKE = re.compile(
    rb"(?im)^[ \t]*-+[^\s-]|^[ \t]*(?:content-|mime-)[a-z-]+[ \t]*:|^[ \t]*begin(?:-base64)?[ \t]+[0-7]"
    rb"|^=ybegin|binhex|data:|(?<!\S)(?!<?https?://|(\S)\1{40})\S{41}|[^\t\r\n -~]"
)


def of_bytes(raw: bytes) -> set[str]:
    """Note what can be seen without any structure: line ends and NULs (RFC 5322 section 2.3)."""
    notes = set()
    pairs = raw.count(b"\r\n")
    if raw.count(b"\r") != pairs and _BARE_CR.search(raw):
        notes.add(BARE_CR)
    if raw.count(b"\n") != pairs and _BARE_LF.search(raw):
        notes.add(BARE_LF)
    if b"\0" in raw:
        notes.add(NUL_BYTE)
    return notes


def is_remark(untrusted_text: bytes) -> bool:
    """True for what preambles and epilogues may hold: a few plain lines that nobody can take for a part."""
    return len(untrusted_text) <= _REMARK_BYTES and not _CONTENT_LIKE.search(untrusted_text)
