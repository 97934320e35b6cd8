"""The flattened files of one message, on disk until it is put together: the largest give way where there is no room.

Nobody's answer is believed here but the size of a file that the sandbox's client has written. What gave way is named
MESSAGE_TOO_LARGE, at once and with its file, so that the disk is bounded too; which ones do so does not depend on the
order in which they come. Bound: `room`, the bytes that the message may still grow by (`Policy.most_bytes`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.mail.reasons import MESSAGE_TOO_LARGE

if TYPE_CHECKING:
    from gateway.documents import Document

_FRAME: Final = 1024  # bytes of header, boundary and notice that a part may bring along


class Shelf:
    """Where documents stand that became a file, and messages that bring text of their own."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._taken = 0
        self._standing: dict[str, tuple[int, Document]] = {}
        self._gone: list[str] = []  # what was in these goes with them

    def put(self, document: Document, size: int, layers: int) -> None:
        """Take in what will be `size` bytes of the message, with so many layers of base64 around them."""
        if document.part.startswith(tuple(self._gone)):
            document.give_way(MESSAGE_TOO_LARGE)
            return
        self._standing[document.part] = (_encoded(size, layers), document)
        self._taken += self._standing[document.part][0]
        while self._taken > self._room:
            self._drop(max(self._standing, key=lambda part: (self._standing[part][0], part)))

    def _drop(self, part: str) -> None:
        self._gone.append(part + "/")
        for each in [part, *(other for other in self._standing if other.startswith(part + "/"))]:
            size, document = self._standing.pop(each)
            self._taken -= size
            document.give_way(MESSAGE_TOO_LARGE)


def _encoded(size: int, layers: int) -> int:
    """How much a file adds to a message: base64 in lines of 76 and CRLF (RFC 2045 section 6.8), so many times."""
    for _ in range(layers):
        size = size * 78 // 57 + _FRAME
    return size
