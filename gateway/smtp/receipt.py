"""Whether a client has heard our reply to its message: what can be known of it, and no more.

A command that came after the reply shows that it was read. One that was pipelined behind the dot shows nothing
(RFC 2920 section 3.1 lets a client send QUIT or the next envelope along with it, and Postfix does): there it counts
that the client's host has acknowledged every byte, which it does not do for a program that has gone. At the end of a
connection the same is asked. What is not known to have been heard is told as unheard. Trusts the kernel's count of
what was not acknowledged yet. Fails with nothing. Bound: `SECONDS` to wait for an acknowledgement.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS: Final = (
    2.0  # a round trip to the next MTA, and what TCP waits before it acknowledges (RFC 1122: half a second)
)
_LOOK_SECONDS: Final = 0.01


class Receipt:
    """Of one connection; at most one reply is waited for."""

    def __init__(self) -> None:
        self._heard: Callable[[bool], None] | None = None
        self._pipelined = False

    def expect(self, heard: Callable[[bool], None] | None, *, pipelined: bool) -> None:
        """A reply to a message is about to be written; `pipelined`: the client has sent more without waiting for it."""
        self.settle(heard=True)  # of the last one: this message came behind the 354 to it
        self._heard = heard
        self._pipelined = pipelined

    def command_came(self) -> None:
        """The client goes on."""
        if not self._pipelined:
            self.settle(heard=True)

    async def wait(self, transport: asyncio.BaseTransport) -> None:
        """Before we close: give the client's host a moment to acknowledge the reply."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + SECONDS
        while self._heard and not self.ending(transport) and loop.time() < ends_at:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(_LOOK_SECONDS)

    def ending(self, transport: asyncio.BaseTransport | None) -> bool:
        """The client will send nothing more; whether all that we said has arrived."""
        arrived = transport is not None and _all_acknowledged(transport)
        if arrived:
            self.settle(heard=True)
        return arrived

    def settle(self, *, heard: bool) -> None:
        """Say it, once."""
        told, self._heard = self._heard, None
        if told:
            told(heard)


def _all_acknowledged(transport: asyncio.BaseTransport) -> bool:
    """Nothing is in our buffers nor in the kernel's (tcp(7), SIOCOUTQ; for a Unix socket: nothing is unread)."""
    if isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size():
        return False
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(OSError, ValueError):  # closed by now
        waiting = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
        return bool(struct.unpack("i", waiting)[0] == 0)
    return False
