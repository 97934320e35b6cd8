"""Files that old Macintoshes wrapped up with their name: AppleSingle, MacBinary, BinHex; the data comes out.

Of the two forks of such a file only the one with data is a document; a resource fork, and an AppleDouble header, which
has nothing else, are of no use elsewhere. Formats: RFC 1740 (AppleSingle and AppleDouble), RFC 1741 (BinHex 4).
Trusts nothing: lengths that are not there are corrupt. Bounds: BinHex grows at most 255-fold for each byte that is
repeated, and is counted as it is unpacked.
"""

from __future__ import annotations

import binascii
import re
import struct
from typing import TYPE_CHECKING

from sandbox import contract
from sandbox.guest.failure import GuestFailure
from sandbox.guest.members import send_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.guest.wire import Answer, Request

SINGLE, DOUBLE = b"\x00\x05\x16\x00", b"\x00\x05\x16\x07"
DATA_FORK, REAL_NAME = 1, 3
BINHEX_START = b"(This file must be converted with BinHex"
ALPHABET = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
REPEAT = 0x90
MACBINARY = 128  # bytes of its header
CHARSET = "mac_roman"


def applefile(document: bytes, answer: Answer, request: Request) -> None:
    """AppleSingle: a table of entries; AppleDouble has no data and is of no type that is shown."""
    if document.startswith(DOUBLE):
        raise GuestFailure(contract.UNKNOWN_TYPE)
    try:
        (count,) = struct.unpack_from(">H", document, 24)
        entries = {kind: (start, size) for kind, start, size in _table(document, count)}
    except struct.error as error:
        raise GuestFailure(contract.CORRUPT) from error
    if DATA_FORK not in entries:
        raise GuestFailure(contract.EMPTY)
    name = _piece(document, *entries[REAL_NAME]).decode(CHARSET) if REAL_NAME in entries else ""
    _send(name, _piece(document, *entries[DATA_FORK]), answer, request)


def _table(document: bytes, count: int) -> list[tuple[int, int, int]]:
    return [struct.unpack_from(">III", document, 26 + 12 * index) for index in range(count)]


def _piece(document: bytes, start: int, size: int) -> bytes:
    if start + size > len(document):
        raise GuestFailure(contract.CORRUPT)
    return document[start : start + size]


def _send(name: str, content: bytes, answer: Answer, request: Request) -> None:
    if not content:
        raise GuestFailure(contract.EMPTY)
    send_only(contract.WRAPPER, name, content, answer, request)


def is_macbinary(document: bytes) -> bool:
    """True where the header of MacBinary II or III is told by its checksum and its lengths."""
    head = document[:MACBINARY]
    if len(head) < MACBINARY or head[0] or head[74] or not 1 <= head[1] <= 63 or head[122] not in (129, 130):  # noqa: PLR2004 - of the format
        return False
    data, resources = struct.unpack_from(">II", head, 83)
    whole = MACBINARY + data + resources <= len(document)
    return whole and binascii.crc_hqx(head[:124], 0) == int.from_bytes(head[124:126], "big")


def macbinary(document: bytes, answer: Answer, request: Request) -> None:
    """MacBinary: the header, the data, and what is of no use."""
    name = document[2 : 2 + document[1]].decode(CHARSET)
    (size,) = struct.unpack_from(">I", document, 83)
    (extra,) = struct.unpack_from(">H", document, 120)  # a second header
    start = MACBINARY + -(-extra // MACBINARY) * MACBINARY
    _send(name, _piece(document, start, size), answer, request)


def binhex(document: bytes, answer: Answer, request: Request) -> None:
    """BinHex 4: six bits a character, repeats, then a header with the name and the data."""
    found = re.search(rb"[\r\n][ \t]*:", document[document.find(BINHEX_START) :])
    body = document[document.find(BINHEX_START) :][found.end() :] if found else b""
    encoded, colon, _ = body.partition(b":")
    if not colon:
        raise GuestFailure(contract.CORRUPT)
    unpacked = _repeated(_six_bits(encoded), request.max_member_bytes)
    try:
        length = unpacked[0]
        size, _ = struct.unpack_from(">II", unpacked, length + 12)
    except (IndexError, struct.error) as error:
        raise GuestFailure(contract.CORRUPT) from error
    # name's length, name, a zero, type, creator, flags, two sizes, checksum
    content = _piece(unpacked, length + 22, size)
    (checksum,) = struct.unpack(">H", _piece(unpacked, length + 22 + size, 2))
    if binascii.crc_hqx(content, 0) != checksum:
        raise GuestFailure(contract.CORRUPT)
    _send(unpacked[1 : 1 + length].decode(CHARSET), content, answer, request)


def _six_bits(encoded: bytes) -> bytes:
    """As base64, but in another alphabet and without filling."""
    characters = encoded.translate(None, b" \t\r\n")
    if characters.translate(None, ALPHABET):
        raise GuestFailure(contract.CORRUPT)
    standard = characters.translate(bytes.maketrans(ALPHABET, STANDARD))
    standard = standard[: len(standard) - (len(standard) % 4 == 1)]
    return binascii.a2b_base64(standard + b"=" * (-len(standard) % 4))


def _repeated(data: bytes, most: int) -> bytes:
    """Unpack 0x90 COUNT: the byte before, so many times in all; 0x90 0 is a 0x90."""
    out = bytearray()
    first, *others = data.split(bytes([REPEAT]))
    out += first
    for piece in others:
        count = piece[0] if piece else 0
        out += bytes([REPEAT]) if count == 0 else out[-1:] * (count - 1)
        out += piece[1:]
        if len(out) > most:
            raise GuestFailure(contract.UNPACKED_TOO_LARGE)
    return bytes(out)


READERS: dict[str, Callable[[bytes, Answer, Request], None]] = {
    "applefile": applefile,
    "binhex": binhex,
    "macbinary": macbinary,
}
