"""SMTP sessions: envelopes and messages in, one reply a message out; on aiosmtpd, with its traps closed.

It does not know what becomes of a message: `daemon` hands it a function from envelope and message to `Outcome`.
Trusts nobody: not the client's lines, lengths or pace; XFORWARD only from the peers that are named. Fails by the
reply: a fault of ours is `451 4.3.0`, never a bounce, and this file holds the gateway's only `except Exception`. A
client that goes away cancels the work on its message, but for the final exchange with the next hop, which
`smtp.client` shields. Bounds: `[smtp]` in the configuration: connections, recipients, bytes of a command, a line, a
message and of all messages under way, seconds for a command and for DATA.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ipaddress
import logging
from typing import TYPE_CHECKING, Final

import structlog
from aiosmtpd.smtp import SMTP

from gateway.outcome import Kind, Outcome, outcome, public_line
from gateway.smtp.command import (
    OPTIONAL_EXTENSIONS,
    XFORWARD_ATTRIBUTES,
    Refusal,
    parse_mail,
    parse_rcpt,
    parse_xforward,
)
from gateway.smtp.command_reader import CommandReader
from gateway.smtp.data_reader import DataReader
from gateway.smtp.envelope import Envelope, Recipient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import SmtpSettings

    Handle = Callable[[Envelope, bytes], Awaitable[Outcome]]

log = structlog.get_logger(__name__)
logging.getLogger("mail.log").disabled = True  # aiosmtpd's own: client bytes at any length; ours says it bounded

MAX_DOMAIN: Final = 255  # RFC 5321 section 4.5.3.1.2
_ENHANCED: Final = {"500": "5.5.2", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1"}  # for aiosmtpd's own replies


class Session(SMTP):  # type: ignore[misc] # aiosmtpd has no types
    """One client connection. aiosmtpd reads and dispatches commands; every answer is decided here."""

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
            ident="ESMTP Lazaretto",
            timeout=settings.command_seconds,
            loop=asyncio.get_running_loop(),
        )
        for name in ("AUTH", "STARTTLS"):  # not offered: unknown to this server
            self._smtp_methods.pop(name)
        self._server = server
        self._sender: str | None = None
        self._parameters: tuple[str, ...] = ()
        self._recipients: list[Recipient] = []
        self._xforward: dict[str, str] = {}
        self._extensions: frozenset[str] = frozenset()
        self._may_xforward = False
        self._in_data = False
        self.busy = False

    # --- the connection ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the server's sessions."""
        self._server.sessions.add(self)
        super().connection_made(transport)
        self._may_xforward = self._server.trusts_xforward_of(self._client)

    def connection_lost(self, error: Exception | None) -> None:
        """Leave; aiosmtpd cancels what the session was doing."""
        self._server.left(self)
        super().connection_lost(error)

    def _cb_client_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = CommandReader(reader, self._server.settings.max_command_bytes)
        self._writer = writer

    def _timeout_cb(self) -> None:
        self.say_goodbye("421 4.4.2 Timeout, closing connection")

    def say_goodbye(self, reply: str) -> None:
        """Send a last reply and close, whatever the session is doing."""
        if self.transport is not None:
            self._writer.write(reply.encode("ascii") + b"\r\n")
            self.transport.close()
            self._reader.close()  # what was pipelined behind is not looked at
            self._handler_coroutine.cancel()

    async def push(self, status: str) -> None:
        """Send one reply line: printable, and with an enhanced code where aiosmtpd gave none (RFC 2034)."""
        code, rest = status[:3], status[4:]
        if code[0] in "45" and rest[:2] != f"{code[0]}.":
            status = f"{code} {_ENHANCED.get(code, code[0] + '.0.0')} {rest}"
        self._writer.write(public_line(status, 510).encode("ascii") + b"\r\n")
        await self._writer.drain()

    async def handle_exception(self, error: Exception) -> str:
        """Answer 451 for a fault of ours; in the midst of DATA close as well: what follows is no command."""
        log.error("session_failed", client=self._client, exc_info=error)
        if self._in_data:
            self.say_goodbye("421 4.3.0 Temporary failure, closing connection")
        return outcome(Kind.HOUSE_BROKEN).reply

    @property
    def _client(self) -> str:
        peer = self.session.peer if self.session else None
        return str(peer[0]) if isinstance(peer, tuple) and peer else ""

    # --- greeting ---

    async def smtp_HELO(self, hostname: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """HELO: no extensions."""
        if not hostname or len(hostname) > MAX_DOMAIN:
            await self.push("501 5.5.4 Syntax: HELO hostname")
            return
        self._greeted(hostname, extended=False)
        await self.push(f"250 {self.hostname}")

    async def smtp_EHLO(self, hostname: str | None) -> None:  # noqa: N802
        """EHLO: what the next hop is known to lack is not announced, since it could not be relayed faithfully."""
        if not hostname or len(hostname) > MAX_DOMAIN:
            await self.push("501 5.5.4 Syntax: EHLO hostname")
            return
        self._greeted(hostname, extended=True)
        optional = OPTIONAL_EXTENSIONS & self._server.offers()
        if "8bitmime" not in optional:
            optional -= {"smtputf8"}  # RFC 6531 section 3.1, item 8
        self._extensions = optional | {"size", "auth"}  # AUTH= comes from trusted peers unasked (RFC 4954 section 5)
        lines = [self.hostname, "PIPELINING", f"SIZE {self.data_size_limit}", "ENHANCEDSTATUSCODES"]
        lines += sorted(extension.upper() for extension in optional)
        if self._may_xforward:
            lines.append("XFORWARD " + " ".join(XFORWARD_ATTRIBUTES))
        self._writer.write("".join(f"250-{line}\r\n" for line in lines[:-1]).encode("ascii"))
        await self.push(f"250 {lines[-1]}")

    def _greeted(self, hostname: str, *, extended: bool) -> None:
        self._reset_transaction()
        self.session.host_name = hostname
        self.session.extended_smtp = extended
        self._extensions = frozenset()

    async def smtp_XFORWARD(self, argument: str | None) -> None:  # noqa: N802
        """Who the first client was, as our MTA saw it (Postfix's XFORWARD_README)."""
        attributes = parse_xforward(argument)
        if not self._may_xforward:
            await self.push("550 5.7.1 Not authorised to use XFORWARD")
        elif self._sender is not None:
            await self.push("503 5.5.1 Mail transaction in progress")
        elif isinstance(attributes, Refusal):
            await self.push(attributes.reply)
        else:
            self._xforward.update(attributes)
            await self.push("250 2.0.0 Ok")

    # --- the envelope ---

    async def smtp_MAIL(self, argument: str | None) -> None:  # noqa: N802
        """MAIL FROM: begins a transaction."""
        if await self.check_helo_needed():
            return
        if self._sender is not None:
            await self.push("503 5.5.1 Nested MAIL command")
            return
        found = parse_mail(argument, self._extensions)
        if isinstance(found, Refusal):
            await self.push(found.reply)
        elif int(found.value("SIZE") or 0) > self.data_size_limit:  # RFC 1870 section 6.1
            await self.push(outcome(Kind.TOO_LARGE).reply)
        else:
            self._sender, self._parameters = found.address, found.parameters
            await self.push("250 2.1.0 Ok")

    async def smtp_RCPT(self, argument: str | None) -> None:  # noqa: N802
        """RCPT TO: one recipient more."""
        if await self.check_helo_needed():
            return
        found = parse_rcpt(argument, self._extensions)
        if self._sender is None:
            await self.push("503 5.5.1 Need MAIL command")
        elif isinstance(found, Refusal):
            await self.push(found.reply)
        elif len(self._recipients) >= self._server.settings.max_recipients:
            await self.push("452 4.5.3 Too many recipients")  # RFC 5321 section 4.5.3.1.10
        else:
            self._recipients.append(Recipient(found.address, found.parameters))
            await self.push("250 2.1.5 Ok")

    def _reset_transaction(self) -> None:
        self._sender, self._parameters, self._recipients = None, (), []
        self._xforward = {}

    # --- the message ---

    async def smtp_DATA(self, argument: str | None) -> None:  # noqa: N802
        """DATA: read to the dot, hand over, answer with what came of it."""
        if await self.check_helo_needed():
            return
        refusal = self._no_data(argument)
        if refusal:
            await self.push(refusal)
            return
        self.busy = True
        try:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            received = await self._read_message()
            ended = await self._answer(received) if isinstance(received, bytes) else outcome(received)
            await self.push(ended.reply)
        finally:
            self.busy = False
            self._server.held.pop(self, None)
            self._reset_transaction()
        self._reset_timeout()
        if self._server.stopping:
            self.say_goodbye("421 4.3.2 Service shutting down")

    def _no_data(self, argument: str | None) -> str | None:
        if not self._recipients:
            return "503 5.5.1 Need RCPT command"
        if argument:
            return "501 5.5.4 Syntax: DATA"
        if self._server.held_bytes >= self._server.settings.max_memory_bytes:
            return outcome(Kind.BUSY).reply
        return None

    async def _read_message(self) -> bytes | Kind:
        settings = self._server.settings
        reader = DataReader(settings.max_message_bytes, settings.max_line_bytes)
        ends_at = self.loop.time() + settings.data_seconds
        self._in_data = True
        rest = None
        while rest is None:
            self._reset_timeout(max(0.001, min(settings.chunk_seconds, ends_at - self.loop.time())))
            rest = reader.feed(await self._reader.read())
            self._server.held[self] = reader.held_bytes
            if self._server.held_bytes > settings.max_memory_bytes:
                reader.refuse(Kind.BUSY)
        self._reader.unread(rest)
        self._in_data = False
        return reader.fault or reader.take_message()

    async def _answer(self, untrusted_message: bytes) -> Outcome:
        """Wait for what the gateway makes of the message, longer than its own deadline."""
        envelope = Envelope(
            sender=self._sender or "",
            recipients=tuple(self._recipients),
            parameters=self._parameters,
            xforward=tuple(self._xforward.items()),
            client=self._client,
            helo=self.session.host_name,
            extended=self.session.extended_smtp,
        )
        self._reset_timeout(self._server.answer_seconds)
        try:
            return await self._server.handle(envelope, untrusted_message)
        except Exception as error:  # the one place: whatever breaks in here, the client keeps the message
            log.exception("message_failed", client=envelope.client)
            return outcome(Kind.HOUSE_BROKEN, type(error).__name__)

    # --- the rest ---

    async def smtp_RSET(self, argument: str | None) -> None:  # noqa: N802
        """RSET: forget the transaction."""
        if argument:
            await self.push("501 5.5.4 Syntax: RSET")
            return
        self._reset_transaction()
        await self.push("250 2.0.0 Ok")

    async def smtp_NOOP(self, argument: str | None) -> None:  # noqa: ARG002, N802 - any argument is allowed
        """NOOP."""
        await self.push("250 2.0.0 Ok")

    async def smtp_QUIT(self, argument: str | None) -> None:  # noqa: N802
        """QUIT: the session ends here, whatever was sent after it."""
        if argument:
            await self.push("501 5.5.4 Syntax: QUIT")
            return
        self.say_goodbye("221 2.0.0 Bye")

    async def smtp_VRFY(self, argument: str | None) -> None:  # noqa: ARG002, N802 - tells nothing of anybody
        """VRFY: neither yes nor no (RFC 5321 section 7.3)."""
        await self.push("252 2.5.0 Cannot VRFY, send the message and see")

    async def smtp_EXPN(self, argument: str | None) -> None:  # noqa: ARG002, N802
        """EXPN: no lists here."""
        await self.push("502 5.5.1 EXPN not implemented")

    async def smtp_HELP(self, argument: str | None) -> None:  # noqa: ARG002, N802
        """HELP."""
        await self.push("214 2.0.0 RFC 5321")


class _TooMany(asyncio.Protocol):
    """What a client past the bound on connections meets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(b"421 4.7.0 Too many connections, try again later\r\n")
        transport.close()


class SmtpServer:
    """Listens, counts, and drains at stop."""

    def __init__(
        self,
        settings: SmtpSettings,
        handle: Handle,
        *,
        offers: Callable[[], frozenset[str]] = lambda: OPTIONAL_EXTENSIONS,
        answer_seconds: float = 600.0,
    ) -> None:
        self.settings = settings
        self.handle = handle
        self.offers = offers
        self.answer_seconds = answer_seconds  # above the message's own deadline: it must never strike first
        self.hostname = settings.name
        self.sessions: set[Session] = set()
        self.held: dict[Session, int] = {}
        self.stopping = False
        self._empty = asyncio.Event()
        self._peers = [ipaddress.ip_network(network) for network in settings.xforward_peers]
        self._listener: asyncio.Server | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes of all messages under way."""
        return sum(self.held.values())

    def trusts_xforward_of(self, client: str) -> bool:
        """Whether this peer may say who the first client was."""
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._peers)

    async def start(self) -> tuple[str, int]:
        """Listen; the address that was bound, port 0 resolved."""
        host, port = self.settings.listen_address
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._connected, host, port, reuse_address=True)
        bound = self._listener.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def stop(self, seconds: float) -> None:
        """Take no more clients, let messages under way end within `seconds`, then hang up."""
        self.stopping = True
        if self._listener:
            self._listener.close()
        for session in tuple(self.sessions):
            if not session.busy:
                session.say_goodbye("421 4.3.2 Service shutting down")
        if self.sessions:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
        for session in tuple(self.sessions):
            session.say_goodbye("421 4.3.2 Service shutting down")

    def left(self, session: Session) -> None:
        """Forget a session that has ended."""
        self.sessions.discard(session)
        if self.stopping and not self.sessions:
            self._empty.set()

    def _connected(self) -> asyncio.Protocol:
        return _TooMany() if len(self.sessions) >= self.settings.max_connections else Session(self)
