"""Outlook's own file of a message, .msg ([MS-OXMSG] in [MS-CFB]), as the message that it was.

olefile reads the compound file, as it does for other documents here; what the streams mean is a page of the
specification, so no library of Perl and its twenty packages is brought in for it.

Trusts nothing. Bounds: the request's room for what is read of it; those of `mapi.py`.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import olefile

from sandbox import contract
from sandbox.guest import mapi
from sandbox.guest.failure import GuestFailure

if TYPE_CHECKING:
    from sandbox.guest.wire import Answer, Request

    Path = tuple[str, ...]

PROPERTIES = "__properties_version1.0"
HEADERS = {"top": 32, "embedded": 24, "other": 8}  # bytes before the properties ([MS-OXMSG] 2.4.1)
ENTRY = struct.Struct("<HHI8s")
STRING8, UNICODE, BINARY, OBJECT = 0x001E, 0x001F, 0x0102, 0x000D
FIXED = {0x0002: "<h", 0x0003: "<i", 0x000B: "<?", 0x0014: "<q", 0x0040: "<Q"}
TIME = 0x0040
EMBEDDED = "__substg1.0_3701000D"


def read(document: bytes, answer: Answer, request: Request) -> None:
    """Send the message."""
    with olefile.OleFileIO(io.BytesIO(document)) as ole:
        item = _Reader(ole, request.max_member_bytes).item((), "top", 0)
    answer.opened()
    mapi.send(mapi.as_message(item), contract.MESSAGE, answer, request)


class _Reader:
    def __init__(self, ole: olefile.OleFileIO, room: int) -> None:
        self._ole = ole
        self._room = room
        self._below: dict[Path, list[str]] = {}
        for path in ole.listdir(streams=True, storages=True):
            self._below.setdefault(tuple(path[:-1]), []).append(path[-1])

    def item(self, at: Path, kind: str, depth: int) -> mapi.Item:
        """The message at a storage, with all that is in it."""
        item = mapi.Item(self._properties(at, kind))
        for name in sorted(self._below.get(at, ())):
            if name.startswith("__recip_version1.0_"):
                item.recipients.append(self._properties((*at, name), "other"))
            elif name.startswith("__attach_version1.0_"):
                item.attachments.append(self._attachment((*at, name), depth))
            mapi.checked(item.recipients)
            mapi.checked(item.attachments)
        return item

    def _attachment(self, at: Path, depth: int) -> mapi.Attachment:
        attachment = mapi.Attachment(self._properties(at, "other"))
        content = attachment.properties.pop(mapi.DATA, b"")
        inside = (*at, EMBEDDED)
        if PROPERTIES in self._below.get(inside, ()):
            attachment.item = self.item(inside, "embedded", mapi.deeper(depth))
        elif inside in self._below:
            attachment.content = self._largest(inside)
        elif isinstance(content, bytes):
            attachment.content = content
        return attachment

    def _largest(self, at: Path) -> bytes:
        """Of an object of another program the stream that holds it."""
        streams = [(*at, name) for name in self._below[at] if (*at, name) not in self._below]
        largest = max(streams, key=lambda path: int(self._ole.get_size(list(path))), default=None)
        return self._stream(largest) if largest else b""

    def _stream(self, path: Path) -> bytes:
        """Streams may share their sectors: what is read is weighed, not what the file weighs."""
        self._room -= int(self._ole.get_size(list(path)))
        if self._room < 0:
            raise GuestFailure(contract.UNPACKED_TOO_LARGE)
        return bytes(self._ole.openstream(list(path)).read())

    def _properties(self, at: Path, kind: str) -> dict[int, Any]:
        names = self._below.get(at, ())
        found: dict[int, Any] = {}
        if PROPERTIES in names:
            for type_, number, _, value in _entries(self._stream((*at, PROPERTIES)), HEADERS[kind]):
                if type_ in FIXED:
                    (fixed,) = struct.unpack_from(FIXED[type_], value)
                    found[number] = mapi.filetime(fixed) if type_ == TIME else fixed
        page = mapi.codec(found.get(mapi.CODEPAGE, found.get(mapi.INTERNET_CODEPAGE)))
        for name in names:
            if (known := _numbers(name)) and known[1] in (STRING8, UNICODE, BINARY) and (*at, name) not in self._below:
                found[known[0]] = _value(self._stream((*at, name)), known[1], page)
        return found


def _entries(stream: bytes, header: int) -> list[tuple[Any, ...]]:
    whole = (len(stream) - header) // ENTRY.size
    return [ENTRY.unpack_from(stream, header + index * ENTRY.size) for index in range(max(0, whole))]


def _numbers(name: str) -> tuple[int, int] | None:
    """A stream's property and type ([MS-OXMSG] 2.2.4); None for one of another name, such as of a list's value."""
    digits = name.removeprefix("__substg1.0_")
    if len(digits) != 8 or digits == name:  # noqa: PLR2004 - hexadecimal digits
        return None
    try:
        return int(digits[:4], 16), int(digits[4:], 16)
    except ValueError:
        return None


def _value(stream: bytes, type_: int, page: str) -> str | bytes:
    if type_ == BINARY:
        return stream
    return stream.decode("utf-16-le" if type_ == UNICODE else page, "replace")
