"""winmail.dat: Microsoft's own wrapping of a message's body and attachments ([MS-OXTNEF]), as a MIME entity.

The format is a list of attributes with lengths, which a few lines read; the readers that there are for it are
programs in C with a record of holes, and none is a Python package of Debian.

Trusts nothing: what is longer than what is there is corrupt. Bounds: nothing is read twice, so that no more comes out
than went in; those of `mapi.py`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox import contract
from sandbox.guest import mapi
from sandbox.guest.failure import GuestFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.guest.wire import Answer, Request

SIGNATURE = 0x223E9F78
OEM_CODEPAGE, SUBJECT, BODY, PROPERTIES = 0x00069007, 0x00018004, 0x0002800C, 0x00069003
RENDERING, TITLE, DATA, ATTACHMENT = 0x00069002, 0x00018010, 0x0006800F, 0x00069005
STRING8, UNICODE, OBJECT, BINARY = 0x001E, 0x001F, 0x000D, 0x0102
VARIABLE = (STRING8, UNICODE, OBJECT, BINARY)
FIXED = {0x0002: "<hxx", 0x0003: "<i", 0x0004: "<f", 0x0005: "<d", 0x0006: "<q", 0x0007: "<d", 0x000A: "<I"}
FIXED |= {0x000B: "<?xxx", 0x0014: "<q", 0x0040: "<Q", 0x0048: "<16s"}
TIME, SEVERAL = 0x0040, 0x1000
NAMED = 0x8000  # numbers from here are names of the sender's own
INTERFACE = 16  # bytes before an object: what it is
MESSAGE = struct.pack("<IHHQ", 0x00020307, 0, 0, 0x46000000000000C0)  # IID_IMessage


def read(document: bytes, answer: Answer, request: Request) -> None:
    """Send what is in it as one entity."""
    item = _item(document, 0)
    answer.opened()
    mapi.send(mapi.as_entity(item), contract.PARTS, answer, request)


@dataclass
class _Cursor:
    data: bytes
    at: int = 0

    def take(self, length: int) -> bytes:
        """So many bytes; raises GuestFailure where there are fewer, before room is made for them."""
        if length < 0 or length > len(self.data) - self.at:
            raise GuestFailure(contract.CORRUPT)
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, layout: str = "<I") -> Any:
        """One number."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return len(self.data) - self.at


def _attributes(cursor: _Cursor) -> Iterator[tuple[int, bytes]]:
    if cursor.number() != SIGNATURE:
        raise GuestFailure(contract.CORRUPT)
    cursor.number("<H")
    while cursor.left and any(cursor.data[cursor.at : cursor.at + 9]):  # some writers fill up with zeros
        cursor.number("<B")
        kind, length = cursor.number(), cursor.number()
        yield kind, cursor.take(length)
        if cursor.left:  # and some leave the last checksum away
            cursor.number("<H")


@dataclass
class _Reading:
    depth: int
    codec: str = "cp1252"
    item: mapi.Item = field(default_factory=mapi.Item)


def _item(stream: bytes, depth: int) -> mapi.Item:
    reading = _Reading(depth)
    for kind, data in _attributes(_Cursor(stream)):
        if kind in MEANINGS:
            MEANINGS[kind](reading, data)
    return reading.item


def _codepage(reading: _Reading, data: bytes) -> None:
    reading.codec = mapi.codec(int.from_bytes(data[:4], "little"))


def _set(number: int, reading: _Reading, data: bytes) -> None:
    reading.item.properties.setdefault(number, _text(data, reading.codec))


def _subject(reading: _Reading, data: bytes) -> None:
    _set(mapi.SUBJECT, reading, data)


def _body(reading: _Reading, data: bytes) -> None:
    _set(mapi.BODY, reading, data)


def _message_properties(reading: _Reading, data: bytes) -> None:
    reading.item.properties |= {number: value for _, number, value in _properties(data, reading)}


def _new_attachment(reading: _Reading, _data: bytes) -> None:
    reading.item.attachments.append(mapi.Attachment())
    mapi.checked(reading.item.attachments)


def _last(reading: _Reading) -> mapi.Attachment:
    if not reading.item.attachments:  # the attribute that begins one is missing
        _new_attachment(reading, b"")
    return reading.item.attachments[-1]


def _title(reading: _Reading, data: bytes) -> None:
    _last(reading).title = _text(data, reading.codec)


def _content(reading: _Reading, data: bytes) -> None:
    _last(reading).content = data


def _attachment_properties(reading: _Reading, data: bytes) -> None:
    attachment = _last(reading)
    for kind, number, value in _properties(data, reading):
        if number != mapi.DATA:
            attachment.properties[number] = value
        elif kind == OBJECT and value[:INTERFACE] == MESSAGE:
            attachment.item = _item(value[INTERFACE:], mapi.deeper(reading.depth))
        elif isinstance(value, bytes):
            attachment.content = attachment.content or value[INTERFACE if kind == OBJECT else 0 :]


MEANINGS = {
    OEM_CODEPAGE: _codepage,
    SUBJECT: _subject,
    BODY: _body,
    PROPERTIES: _message_properties,
    RENDERING: _new_attachment,
    TITLE: _title,
    DATA: _content,
    ATTACHMENT: _attachment_properties,
}


def _text(data: bytes, codec: str) -> str:
    return data.rstrip(b"\0").decode(codec, "replace")


def _properties(data: bytes, reading: _Reading) -> Iterator[tuple[int, int, Any]]:
    """Type, number and value of each property of a list ([MS-OXTNEF] 2.1.3.4); of several values the first."""
    cursor = _Cursor(data)
    for _ in range(cursor.number()):
        kind, number = cursor.number("<H"), cursor.number("<H")
        if number >= NAMED:
            _pass_name(cursor)
        base = kind & ~SEVERAL
        count = cursor.number() if kind & SEVERAL or base in VARIABLE else 1
        values = [_property(cursor, base, reading) for _ in range(_possible(count, cursor))]
        if values and number < NAMED:
            yield base, number, values[0]


def _possible(count: int, cursor: _Cursor) -> int:
    if count > cursor.left:  # no value takes less than a byte
        raise GuestFailure(contract.CORRUPT)
    return count


def _pass_name(cursor: _Cursor) -> None:
    cursor.take(16)
    if cursor.number() == 0:
        cursor.take(4)
    else:
        _padded(cursor)


def _padded(cursor: _Cursor) -> bytes:
    length = cursor.number()
    value = cursor.take(length)
    cursor.take(min(-length % 4, cursor.left))
    return value


def _property(cursor: _Cursor, kind: int, reading: _Reading) -> Any:
    if kind in VARIABLE:
        value = _padded(cursor)
        if kind == UNICODE:
            return value.decode("utf-16-le", "replace")
        return _text(value, reading.codec) if kind == STRING8 else value
    if kind not in FIXED:
        raise GuestFailure(contract.CORRUPT)
    number = cursor.number(FIXED[kind])
    return mapi.filetime(number) if kind == TIME else number
