"""One client's connection: aiosmtpd with its traps closed. Lines in, replies out, TLS, time and patience.

`server.Session` stands on it and knows the commands. Trusts nobody: not the client's lines, lengths, pace or number
of mistakes. Fails by the reply, 451 for a fault of ours; a connection that cannot go on ends with 421, and a client
that has gone is no error. Bounds: `[smtp]` bytes of a command, seconds for one, commands and errors of a connection.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import logging
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiosmtpd.smtp import SMTP

from gateway.outcome import Kind, outcome, public_line
from gateway.smtp.command_reader import CommandReader
from gateway.smtp.receipt import Receipt

if TYPE_CHECKING:
    import ssl

    from gateway.smtp.listener import SmtpServer

log = structlog.get_logger(__name__)
logging.getLogger("mail.log").disabled = True  # aiosmtpd's own: client bytes at any length; ours says it bounded

UNIX: Final = "unix"  # the client's address where it came by a Unix socket
MAX_HANDSHAKE: Final = 60.0  # seconds; a peer that has begun TLS and does not go on
_ENHANCED: Final = {"500": "5.5.2", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1"}  # for aiosmtpd's own replies
_BEFORE_TLS: Final = frozenset({"EHLO", "LHLO", "NOOP", "QUIT", "STARTTLS"})  # RFC 3207 section 4


def client_of(transport: asyncio.BaseTransport) -> str:
    """The peer's address."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else UNIX


class Connection(SMTP):  # type: ignore[misc] # aiosmtpd has no types
    """Reads and dispatches commands; the subclass answers them."""

    ident = "ESMTP Lazaretto"
    commands: frozenset[str] = frozenset()  # those that are known to this protocol
    transport: Any
    line_length_limit = 65536  # of aiosmtpd's stream: what may wait unread, not what a line may hold

    def __init__(self, server: SmtpServer) -> None:
        settings = server.settings
        # aiosmtpd keeps these on the class: one dictionary for all connections, cleared by each
        self.command_size_limit = settings.max_command_bytes
        self.command_size_limits: dict[str, int] = collections.defaultdict(lambda: settings.max_command_bytes)
        super().__init__(
            object(),
            data_size_limit=settings.max_message_bytes,
            enable_SMTPUTF8=True,
            hostname=server.hostname,
            ident=self.ident,
            timeout=settings.command_seconds,
            loop=asyncio.get_running_loop(),
        )
        found: dict[str, Any] = self._smtp_methods  # all that aiosmtpd has, AUTH too
        self._smtp_methods: dict[str, Any] = {
            name: functools.partial(self._allowed, name, method)
            for name, method in found.items()
            if name in self.commands
        }
        self._server = server
        self.client = ""
        self._in_data = False
        self._secure = False
        self._in_handshake = False
        self._commands = 0  # since the last message
        self._errors = 0
        self.busy = False
        self.receipt = Receipt()

    # --- from beginning to end ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the server's sessions."""
        self.client = client_of(transport)
        self._server.sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Leave; aiosmtpd cancels what the session was doing."""
        self._server.left(self)
        self.receipt.settle(heard=False)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        """The client sends no more; it has heard us if it closed with nothing unread, which is no reset."""
        self.receipt.ending(self.transport)
        closed: bool | None = super().eof_received()
        return closed

    def _cb_client_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = CommandReader(reader, self._server.settings.max_command_bytes)
        self._writer = writer

    def _timeout_cb(self) -> None:
        self.say_goodbye("421 4.4.2 Timeout, closing connection")

    def say_goodbye(self, reply: str) -> None:
        """Send a last reply and close, whatever the session is doing."""
        if self.transport is not None:
            if not self._in_handshake:  # a reply in the clear would be no TLS
                self._writer.write(reply.encode("ascii") + b"\r\n")
            self.transport.close()
            self._reader.close()  # what was pipelined behind is not looked at
            self._handler_coroutine.cancel()

    # --- commands and replies ---

    async def _allowed(self, name: str, method: Any, argument: str | None) -> None:
        """Every known command passes here on its way to its method."""
        self._commands += 1
        self.receipt.command_came()
        if self._commands > self._server.settings.max_commands:
            self.say_goodbye("421 4.7.0 Too many commands without a message")
        elif self._server.settings.tls == "required" and not self._secure and name not in _BEFORE_TLS:
            await self.push("530 5.7.0 Must issue a STARTTLS command first")  # RFC 3207 section 4
        else:
            await method(argument)

    async def push(self, status: str) -> None:
        """Send one reply to a command; the errors among them are counted."""
        await self.reply(status)
        if status[0] == "5":
            self._errors += 1
            if self._errors > self._server.settings.max_errors:
                self.say_goodbye("421 4.7.0 Too many errors")

    async def reply(self, status: str) -> None:
        """Send one reply line: printable, and with an enhanced code where aiosmtpd gave none (RFC 2034)."""
        code, rest = status[:3], status[4:]
        if code[0] in "45" and rest[:2] != f"{code[0]}.":
            status = f"{code} {_ENHANCED.get(code, code[0] + '.0.0')} {rest}"
        self._writer.write(public_line(status, 510).encode("ascii") + b"\r\n")
        await self._writer.drain()

    async def handle_exception(self, error: Exception) -> str:
        """Answer 451 for a fault of ours; in the midst of DATA close as well: what follows is no command."""
        log.error("session_failed", client=self.client, exc_info=error)
        if self._in_data:
            self.say_goodbye("421 4.3.0 Temporary failure, closing connection")
        return outcome(Kind.HOUSE_BROKEN).reply

    # --- TLS ---

    async def _start_tls(self, context: ssl.SSLContext) -> bool:
        """Say 220 and shake hands; False: the connection is over.

        What came in the clear behind STARTTLS must never be taken for what came under TLS (RFC 3207 section 4.2 and
        CVE-2011-0411): from before the 220 on nothing is read, and a client that has sent more already is refused.
        """
        transport = self._original_transport = self.transport
        transport.pause_reading()
        if self._reader.holds_bytes:
            self.say_goodbye("554 5.5.1 Nothing may follow STARTTLS before the handshake")
            return False
        self._reset_timeout(2 * MAX_HANDSHAKE)  # the handshake has a bound of its own
        self._in_handshake = True
        self._writer.write(b"220 2.0.0 Ready to start TLS\r\n")
        try:
            await self._writer.start_tls(context, ssl_handshake_timeout=MAX_HANDSHAKE)
        except OSError as error:
            log.warning("tls_failed", client=self.client, detail=str(error))
            return False
        else:
            self._secure = True
        finally:
            self._in_handshake = False
            if not self._secure:  # asyncio tells nobody of a connection lost in the handshake
                transport.abort()
                self.connection_lost(None)
        self.transport = self._writer.transport
        self.session.ssl = self.transport  # aiosmtpd: what happens at the end of the stream
        self._reset_timeout()
        tls = self.transport.get_extra_info("ssl_object")
        log.info("tls", client=self.client, version=tls.version(), cipher=tls.cipher()[0])
        return True
