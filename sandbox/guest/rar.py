"""Which members of a RAR 5 archive want a password: libarchive 3.7 takes what is encrypted for broken.

Only lengths and kinds of headers are read (RAR 5.0 archive format, technical note). Never fails: where the headers
make no sense, no more is known of the members.
"""

from __future__ import annotations

SIGNATURE = b"Rar!\x1a\x07\x01\x00"
FILE, END = 2, 5  # kinds of headers
EXTRA, DATA = 1, 2  # flags of any header: an area more, data behind it
ENCRYPTION = 1  # kind of a record in a file's extra area
MOST = 100_000  # headers


def wants_password(document: bytes) -> list[bool]:
    """For each member, in the order of the headers."""
    found: list[bool] = []
    at = len(SIGNATURE)
    try:
        for _ in range(MOST):
            size, start = _number(document, at + 4)  # after a checksum
            kind, place = _number(document, start)
            flags, place = _number(document, place)
            extra, place = _number(document, place) if flags & EXTRA else (0, place)
            data, place = _number(document, place) if flags & DATA else (0, place)
            end = start + size
            if kind == FILE:
                found.append(_has_record(document, max(place, end - extra), end))
            if kind == END or end > len(document):
                break
            at = end + data
    except IndexError:
        pass
    return found


def _has_record(document: bytes, at: int, end: int) -> bool:
    while at < end:
        size, start = _number(document, at)
        kind, _ = _number(document, start)
        if kind == ENCRYPTION:
            return True
        at = start + size
    return False


def _number(document: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        value |= (document[at + shift // 7] & 0x7F) << shift
        if document[at + shift // 7] < 0x80:  # noqa: PLR2004 - the bit that says there is more
            return value, at + shift // 7 + 1
    raise IndexError
