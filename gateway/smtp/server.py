"""The commands of SMTP and LMTP: envelopes and messages in, one reply a message out, in LMTP one a recipient.

It does not know what becomes of a message: `daemon` hands it a function from envelope and message to `Outcome`.
Trusts nobody; XFORWARD only from the peers that are named. Fails by the reply: a fault of ours is `451 4.3.0`, never a
bounce, and this file holds the gateway's only `except Exception`. A client that goes away cancels the work on its
message, but for the final exchange with the next hop, which `smtp.client` shields; and of each reply that somebody
asked about it is told whether the client has heard it (`receipt`). Bounds: `[smtp]` in the
configuration: recipients, messages of a connection and of a minute, bytes of a message, a line and of all messages
under way, seconds for DATA; the others are `connection`'s and `listener`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from gateway.outcome import Kind, Outcome, outcome
from gateway.smtp.command import (
    OPTIONAL_EXTENSIONS,
    XFORWARD_ATTRIBUTES,
    Refusal,
    parse_mail,
    parse_rcpt,
    parse_xforward,
)
from gateway.smtp.connection import Connection
from gateway.smtp.data_reader import DataReader
from gateway.smtp.envelope import Envelope, Recipient

if TYPE_CHECKING:
    from gateway.smtp.listener import SmtpServer

log = structlog.get_logger(__name__)

MAX_DOMAIN: Final = 255  # RFC 5321 section 4.5.3.1.2
_COMMON: Final = frozenset({"MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "XFORWARD"})


class Session(Connection):
    """One client of SMTP; every answer is decided here."""

    commands = _COMMON | {"HELO", "EHLO", "STARTTLS"}
    greeting = "EHLO"  # what a client has to begin with
    each_recipient = False

    _sender: str | None
    _parameters: tuple[str, ...]
    _recipients: list[Recipient]
    _xforward: dict[str, str]

    def __init__(self, server: SmtpServer) -> None:
        super().__init__(server)
        self._forget()
        if server.tls is None:  # not offered: unknown to this server
            self._smtp_methods.pop("STARTTLS")
        self._messages = 0

    def _forget(self) -> None:
        """Know nothing of the client: as it is at first, and again once TLS has begun (RFC 3207 section 4.2)."""
        self._reset_transaction()
        self._extensions: frozenset[str] = frozenset()
        if self.session:
            self.session.host_name = None
            self.session.extended_smtp = False

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
        await self._announce(hostname)

    async def _announce(self, hostname: str) -> None:
        self._greeted(hostname, extended=True)
        optional = OPTIONAL_EXTENSIONS & self._server.offers()
        if "8bitmime" not in optional:
            optional -= {"smtputf8"}  # RFC 6531 section 3.1, item 8
        self._extensions = optional | {"size", "auth"}  # AUTH= comes from trusted peers unasked (RFC 4954 section 5)
        lines = [self.hostname, "PIPELINING", f"SIZE {self.data_size_limit}", "ENHANCEDSTATUSCODES"]
        lines += sorted(extension.upper() for extension in optional)
        if self._server.tls and not self._secure:
            lines.append("STARTTLS")
        if self._server.trusts_xforward_of(self.client):
            lines.append("XFORWARD " + " ".join(XFORWARD_ATTRIBUTES))
        self._writer.write("".join(f"250-{line}\r\n" for line in lines[:-1]).encode("ascii"))
        await self.push(f"250 {lines[-1]}")

    def _greeted(self, hostname: str, *, extended: bool) -> None:
        self._reset_transaction()
        self.session.host_name = hostname
        self.session.extended_smtp = extended
        self._extensions = frozenset()

    async def smtp_STARTTLS(self, argument: str | None) -> None:  # noqa: N802
        """STARTTLS: from here on under TLS, and from the beginning."""
        if argument:
            await self.push("501 5.5.4 Syntax: STARTTLS")
        elif self._secure or self._server.tls is None:
            await self.push("503 5.5.1 TLS is in use already")
        elif await self._start_tls(self._server.tls):
            self._forget()

    async def smtp_XFORWARD(self, argument: str | None) -> None:  # noqa: N802
        """Who the first client was, as our MTA saw it (Postfix's XFORWARD_README)."""
        attributes = parse_xforward(argument)
        if not self._server.trusts_xforward_of(self.client):
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
        if await self.check_helo_needed(self.greeting):
            return
        if self._sender is not None:
            await self.push("503 5.5.1 Nested MAIL command")
            return
        found = parse_mail(argument, self._extensions)
        if isinstance(found, Refusal):
            await self.push(found.reply)
        elif int(found.value("SIZE") or 0) > self.data_size_limit:  # RFC 1870 section 6.1
            await self.push(outcome(Kind.TOO_LARGE).reply)
        elif not self._server.clients.may_send(self.client):
            await self.push("450 4.7.0 Too many messages from this client at present, try again later")
        else:
            self._sender, self._parameters = found.address, found.parameters
            await self.push("250 2.1.0 Ok")

    async def smtp_RCPT(self, argument: str | None) -> None:  # noqa: N802
        """RCPT TO: one recipient more."""
        if await self.check_helo_needed(self.greeting):
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
            self._commands -= 1  # these have a bound of their own
            await self.push("250 2.1.5 Ok")

    def _reset_transaction(self) -> None:
        self._sender, self._parameters, self._recipients = None, (), []
        self._xforward = {}

    # --- the message ---

    async def smtp_DATA(self, argument: str | None) -> None:  # noqa: N802
        """DATA: read to the dot, hand over, answer with what came of it."""
        if await self.check_helo_needed(self.greeting):
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
            await self._reply_to_message(ended)
        finally:
            self.busy = False
            self._server.held.pop(self, None)
            self._reset_transaction()
        self._reset_timeout()
        self._messages += 1
        self._commands = 0
        enough = self._messages == self._server.settings.max_messages_per_connection
        if self._server.stopping or enough:
            await self.receipt.wait(self.transport)
        if self._server.stopping:
            self.say_goodbye("421 4.3.2 Service shutting down")
        elif enough:
            self.say_goodbye("421 4.7.0 Enough messages for one connection")

    async def _reply_to_message(self, ended: Outcome) -> None:
        """One reply, or one for each recipient in their order (RFC 2033 section 4.2)."""
        self.receipt.expect(ended.heard, pipelined=self._reader.holds_bytes)
        if self.transport is None:  # gone while the outcome was on its way here
            self.receipt.settle(heard=False)
        if not self.each_recipient:
            await self.reply(ended.reply)
            return
        for one in ended.each or (ended,) * len(self._recipients):
            await self.reply(one.reply)

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
            client=self.client,
            helo=self.session.host_name,
            extended=self.session.extended_smtp,
            each_recipient=self.each_recipient,
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
        await self.receipt.wait(self.transport)
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


class LmtpSession(Session):
    """One client of LMTP (RFC 2033): LHLO in the place of both greetings, and a reply for each recipient."""

    ident = "LMTP Lazaretto"
    commands = _COMMON | {"LHLO", "STARTTLS"}
    greeting = "LHLO"
    each_recipient = True

    async def smtp_LHLO(self, hostname: str | None) -> None:  # noqa: N802
        """LHLO: what EHLO is in SMTP (RFC 2033 section 4.1)."""
        if not hostname or len(hostname) > MAX_DOMAIN:
            await self.push("501 5.5.4 Syntax: LHLO hostname")
            return
        await self._announce(hostname)
