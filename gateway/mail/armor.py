"""Finds PGP inside a displayed text: encrypted messages, wrapped ones that are not encrypted, and void signatures.

Pure, linear, never raises; only the first byte behind an armor's header is decoded (RFC 9580 sections 4.2 and 6.2).
Quoting, indentation and the tags of HTML around the lines are looked through, as the programs do that open such texts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.mail.decode import decode_base64
from gateway.mail.embedded import Block
from gateway.mail.sealed import is_session_key
from gateway.mail.signature import said

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGIN: Final = b"-----BEGIN PGP MESSAGE"  # also "..., PART 1/2" of RFC 4880
_END: Final = b"-----END PGP MESSAGE"
_LINE_REST: Final = re.compile(rb"[^\r\n<]{0,40}")
_SIGNED: Final = re.compile(
    rb"(?m)^[^A-Za-z0-9\r\n]{0,20}-----BEGIN PGP SIGNED MESSAGE-----[ \t]*\r\n((?:[^\r\n]{1,200}\r\n){0,8})"
)
_SIGNATURE: Final = re.compile(rb"(?m)^[^A-Za-z0-9\r\n]{0,20}-----BEGIN PGP SIGNATURE-----")
_SIGNATURE_END: Final = re.compile(rb"-----END PGP SIGNATURE-----[^\r\n]*(?:\r\n)?")
_HASH: Final = re.compile(rb"(?im)^[^A-Za-z0-9\r\n]{0,20}hash:[ \t]*([A-Za-z0-9/-]{1,20})")
_TAGS: Final = re.compile(rb"<[^<>]{0,1000}>|&[a-z0-9#]{1,8};")
_DATA_LINE: Final = re.compile(rb"(?m)^[^A-Za-z0-9+/\r\n]{0,40}([A-Za-z0-9+/]{16,}={0,2})[ \t]*\r?$")
_SIGNATURE_TYPE: Final = "application/pgp-signature"
_LOOK: Final = 4096  # bytes of an armor in which its first line of data is looked for
_PACKET: Final = 0x80  # RFC 9580 section 4.2: every packet begins with this bit


def messages(untrusted_text: bytes) -> Iterator[Block]:
    """Every armor that holds OpenPGP data, "pgp" where it is encrypted, else "wrap".

    The words alone, as in a text about them, are none.
    """
    position = 0
    while (start := untrusted_text.find(_BEGIN, position)) >= 0:
        end = _end(untrusted_text, start)
        position = max(end, start + len(_BEGIN))
        first = _first_byte(untrusted_text[start + len(_BEGIN) : min(end, start + _LOOK)])
        if first & _PACKET:
            kind, name = ("pgp", "encrypted.asc") if is_session_key(first) else ("wrap", "message.asc")
            yield Block(kind, start, end, name, "application/pgp-encrypted", untrusted_text[start:end])


def _end(text: bytes, start: int) -> int:
    """Behind the end line; without one, where the next message begins or the text ends."""
    following = text.find(_BEGIN, start + len(_BEGIN))
    following = following if following >= 0 else len(text)
    end = text.find(_END, start, following)
    rest = _LINE_REST.match(text, end + len(_END)) if end >= 0 else None
    return rest.end() if rest else following


def _first_byte(armor: bytes) -> int:
    """Of the first line that is nothing but base64; 0 where there is none."""
    line = _DATA_LINE.search(_TAGS.sub(b"\n", armor))
    data = decode_base64(line[1][:8]) if line else b""
    return data[0] if data else 0


def void_signatures(untrusted_text: bytes, changed: list[Block]) -> Iterator[Block]:
    """The signatures of clear-signed texts in which something was changed (RFC 9580 section 7)."""
    position = 0
    while signed := _SIGNED.search(untrusted_text, position):
        start = _SIGNATURE.search(untrusted_text, signed.end())
        end = _SIGNATURE_END.search(untrusted_text, start.end()) if start else None
        if not start or not end:
            return
        position = end.end()
        if any(block.start < position and block.end > signed.start() for block in changed):
            digest = _HASH.search(signed[1])
            told = said(_SIGNATURE_TYPE, "", digest[1].decode() if digest else "")
            content = untrusted_text[start.start() : position]
            yield Block("sig", start.start(), position, "signature.asc", _SIGNATURE_TYPE, content, told)
