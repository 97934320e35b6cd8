r"""Strict reader of the message in a DATA command, up to its dot: a pure state machine, bytes in, state out.

The end is exactly CRLF "." CRLF (RFC 5321 section 4.1.1.4) and nothing else: no bare CR or LF, with or without a NUL,
ever ends a message. A message that holds a bare CR or LF is read to its true end and then refused, since two SMTP
peers that differ on such line ends are what SMTP smuggling lives on; our own MTA before us never sends one. So is a
message with a line that a peer which drops NUL would take for the dot.

Trusts nothing. Fails by `fault`: the first fault stands, what was read is dropped, and reading goes on to the end,
since the reply is due only there. Bounds: `max_bytes` held in memory (plus one chunk), `max_line_bytes` between two
CRLF.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.outcome import Kind

END: Final = b"\r\n.\r\n"
_HIDDEN_END: Final = re.compile(rb"\r\n(?:\x00+\.\x00*|\.\x00+)\r\n")


class DataReader:
    """Feed it chunks as they come; it says when the message has ended."""

    def __init__(self, max_bytes: int, max_line_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_line_bytes = max_line_bytes
        self._pending = b"\r\n"  # the end of the DATA line itself: a first line of "." ends an empty message
        self._content = bytearray()
        self._line_bytes = 0
        self.fault: Kind | None = None

    @property
    def held_bytes(self) -> int:
        """What the reader keeps in memory at present."""
        return len(self._content)

    def feed(self, untrusted_chunk: bytes) -> bytes | None:
        """Take the next bytes. None: more are wanted; otherwise the message has ended and these came after it."""
        data = self._pending + untrusted_chunk
        end = data.find(END)
        if end >= 0:
            self._take(data[: end + 2])  # the last line keeps its CRLF
            self._check_hidden_end()
            return data[end + len(END) :]
        kept = next((n for n in (4, 3, 2, 1) if data.endswith(END[:n])), 0)  # may be the beginning of the end
        self._take(data[: len(data) - kept])
        self._pending = data[len(data) - kept :]
        return None

    def refuse(self, fault: Kind) -> None:
        """Drop what was read; the first fault stands."""
        self.fault = self.fault or fault
        self._content.clear()

    def take_message(self) -> bytes:
        """Hand out the message as the client meant it, transparency removed, and keep no copy; b"" after a fault."""
        message = bytes(memoryview(self._content)[2:])  # without the DATA line's own CRLF
        self._content.clear()
        return message

    def _take(self, piece: bytes) -> None:
        """Add bytes in which no CRLF and no CRLF "." is cut in two: `feed` holds back what could be."""
        if self.fault:
            return
        pairs = piece.count(b"\r\n")
        if piece.count(b"\n") != pairs or piece.count(b"\r") != pairs:
            self.refuse(Kind.BARE_LINE_END)
        elif self._longest_line(piece) > self._max_line_bytes:
            self.refuse(Kind.LINE_TOO_LONG)
        else:
            self._content += piece.replace(b"\r\n.", b"\r\n")  # RFC 5321 section 4.5.2
            if len(self._content) - 2 > self._max_bytes:
                self.refuse(Kind.TOO_LARGE)

    def _longest_line(self, piece: bytes) -> int:
        lengths = [len(line) for line in piece.split(b"\r\n")]
        lengths[0] += self._line_bytes
        self._line_bytes = lengths[-1]
        return max(lengths)

    def _check_hidden_end(self) -> None:
        """CRLF NUL "." CRLF and its like: a next hop that drops NUL would end the message there."""
        if b"\0" in self._content and _HIDDEN_END.search(self._content):
            self.refuse(Kind.HIDDEN_END)
