"""Command lines for aiosmtpd out of a byte stream, strictly ended by CRLF, with bytes that can be given back.

Stands where aiosmtpd expects its `asyncio.StreamReader`: `readuntil` for commands, `read` and `unread` for DATA,
since what follows the dot in the same packet is the next command (RFC 2920). A line with a bare LF, a bare CR or a
NUL is handed on as an empty one, which aiosmtpd answers with 500. Trusts nothing. Fails with CancelledError when the
client has gone, which is how aiosmtpd ends a session quietly. Bound: `limit` bytes of unfinished line.
"""

from __future__ import annotations

import asyncio
import re

_UNLAWFUL = re.compile(rb"[\x00\r\n]")
_CHUNK = 65536


class CommandReader:
    """The client's side of the stream."""

    def __init__(self, stream: asyncio.StreamReader, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._held = bytearray()
        self._closed = False

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """One command line; LimitOverrunError past the bound, as aiosmtpd wants it."""
        while (end := self._held.find(separator)) < 0:
            if len(self._held) > self._limit:
                raise asyncio.LimitOverrunError("command line too long", len(self._held))
            self._held += await self._more()
        line = bytes(self._held[: end + 1])
        del self._held[: end + 1]
        if not line.endswith(b"\r\n") or _UNLAWFUL.search(line[:-2]):
            return b"\r\n"
        return line

    async def read(self, size: int = _CHUNK) -> bytes:
        """Whatever is there, at most `size` bytes and at least one."""
        if not self._held:
            return await self._more()
        chunk = bytes(self._held[:size])
        del self._held[:size]
        return chunk

    def unread(self, untrusted_rest: bytes) -> None:
        """Give back what came after the dot."""
        self._held[:0] = untrusted_rest

    @property
    def holds_bytes(self) -> bool:
        """Whether the client has sent more than was asked for."""
        return bool(self._held or self._stream._buffer)  # type: ignore[attr-defined] # noqa: SLF001 - nothing public says it

    def close(self) -> None:
        """Read nothing more, not even what is held."""
        self._closed = True
        self._held.clear()

    async def _more(self) -> bytes:
        chunk = b"" if self._closed else await self._stream.read(_CHUNK)
        if not chunk:
            raise asyncio.CancelledError
        return chunk
