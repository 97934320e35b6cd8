"""The next hop: one message, one SMTP session, opened only when the message is ready; its replies become outcomes.

On aiosmtplib's protocol, not on its `sendmail`: that one rewrites line ends, sorts parameters its own way and counts
a message as sent when some recipients were refused. Here the message arrives byte for byte.

Trusts the next hop to keep what it answers 250 for, and nothing else: a reply too many, too early or misformed makes
the session worthless. Fails by outcome: its refusals are handed on with code and text, all else is 451. A next hop
that takes some recipients and refuses others gets no message at all, since one reply has to serve them all: 451, and
our MTA is set to send one recipient at a time (config/postfix), where the question never comes up. From the message's
first byte on an exchange is not cancelled, whoever gives up waiting: its end is logged. Bounds: `[relay]` seconds for
connect, greeting, command, DATA and dot; reply lengths are aiosmtplib's (32 KiB).
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import structlog
from aiosmtplib.errors import SMTPException, SMTPResponseException, SMTPTimeoutError
from aiosmtplib.esmtp import parse_esmtp_extensions
from aiosmtplib.protocol import SMTPProtocol

from gateway.outcome import Kind, Outcome, from_next_hop, outcome
from gateway.smtp.command import OPTIONAL_EXTENSIONS, extension_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiosmtplib.response import SMTPResponse

    from gateway.config import RelaySettings
    from gateway.smtp.envelope import Envelope

log = structlog.get_logger(__name__)

READY, OK, WILL_FORWARD, START_INPUT = 220, 250, 251, 354  # RFC 5321 section 4.2.3


class _StopError(Exception):
    """The session with the next hop has come to its end, and so."""

    def __init__(self, ended: Outcome) -> None:
        super().__init__(ended.kind)
        self.outcome = ended


class _NextHop(SMTPProtocol):
    """aiosmtplib's protocol, counting replies: one that nobody asked for must never be taken for the next one."""

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._line = b""
        self._replies = 0
        self._asked = 0

    def data_received(self, data: bytes) -> None:
        """Count the replies' last lines, then parse as usual."""
        *lines, self._line = (self._line + data).split(b"\n")
        self._line = self._line[:4]  # code and hyphen tell; the rest of an endless line is not kept
        self._replies += sum(line[3:4] != b"-" for line in lines)
        super().data_received(data)

    async def answer(self, seconds: float, command: bytes | None = None) -> SMTPResponse:
        """The one reply to `command` (None: to what was written already)."""
        self._asked += 1
        if command is None:
            response = await self.read_response(timeout=seconds)
        else:
            response = await self.execute_command(command, timeout=seconds)
        if self._replies != self._asked:
            raise SMTPResponseException(-1, "reply without a command")
        return response


class NextHop:
    """Hands messages on. Remembers which extensions the next hop announced last, so that no others are promised."""

    def __init__(self, settings: RelaySettings, hostname: str) -> None:
        self._settings = settings
        self._hostname = hostname
        self._offered = OPTIONAL_EXTENSIONS  # until it has said otherwise
        self._finals: set[asyncio.Task[Outcome]] = set()

    def offers(self) -> frozenset[str]:
        """The optional extensions that may be announced to clients."""
        return self._offered

    async def relay(self, envelope: Envelope, message: bytes) -> Outcome:
        """Hand the message on; delivered only on the next hop's own 250 after the dot."""
        try:
            session = await self._connect()
        except _StopError as stop:
            return stop.outcome
        try:
            extensions = await self._greet(session)
            await self._send_envelope(session, extensions, envelope, message)
        except _StopError as stop:
            _leave(session)
            return stop.outcome
        except BaseException:
            _abort(session)
            raise
        final = asyncio.create_task(self._send_message(session, message))
        self._finals.add(final)
        final.add_done_callback(self._finals.discard)
        return await _uncancelled(final)

    async def drain(self, seconds: float) -> None:
        """Wait for exchanges that nobody waits for any more."""
        if self._finals:
            await asyncio.wait(self._finals, timeout=seconds)

    async def _connect(self) -> _NextHop:
        host, port = self._settings.next_hop_address
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.connect_seconds):
                _, session = await loop.create_connection(_NextHop, host, port)
        except TimeoutError:
            raise _StopError(outcome(Kind.NEXT_HOP_TIMEOUT, "connect")) from None
        except OSError as error:
            raise _StopError(outcome(Kind.NEXT_HOP_DOWN, f"connect: {error}")) from None
        return session

    async def _greet(self, session: _NextHop) -> dict[str, str]:
        """Greeting and EHLO, or HELO where EHLO is unknown; what the next hop announces."""
        greeting = await _asked(session, "greeting", self._settings.greeting_seconds)
        if greeting.code != READY:
            raise _StopError(outcome(Kind.NEXT_HOP_DOWN, f"greeting: {greeting.code} {greeting.message}"))
        name = self._hostname.encode("ascii", "replace")
        reply = await _asked(session, "EHLO", self._settings.command_seconds, b"EHLO " + name)
        extensions = parse_esmtp_extensions(reply.message)[0]
        if reply.code != OK:
            extensions = {}
            reply = await _asked(session, "HELO", self._settings.command_seconds, b"HELO " + name)
        if reply.code != OK:
            raise _StopError(outcome(Kind.NEXT_HOP_DOWN, f"HELO: {reply.code} {reply.message}"))
        self._offered = OPTIONAL_EXTENSIONS & extensions.keys()
        return extensions

    async def _send_envelope(
        self, session: _NextHop, extensions: dict[str, str], envelope: Envelope, message: bytes
    ) -> None:
        """XFORWARD, MAIL, every RCPT and DATA; raises _StopError at the first answer that ends it."""
        seconds = self._settings.command_seconds
        for command in _xforward_commands(envelope, extensions):
            reply = await _asked(session, "XFORWARD", seconds, command)
            if reply.code != OK:
                raise _StopError(outcome(Kind.NEXT_HOP_DOWN, f"XFORWARD: {reply.code} {reply.message}"))
        command = _path("MAIL FROM", envelope.sender, _mail_parameters(envelope, extensions, message))
        _expect(await _asked(session, "MAIL", seconds, command), lambda code: code == OK)
        replies = []
        for recipient in envelope.recipients:
            command = _path("RCPT TO", recipient.address, _kept(recipient.parameters, extensions, message))
            replies.append(await _asked(session, "RCPT", seconds, command))
        _check_recipients(replies)
        data = await _asked(session, "DATA", self._settings.data_seconds, b"DATA")
        _expect(data, lambda code: code == START_INPUT)

    async def _send_message(self, session: _NextHop, message: bytes) -> Outcome:
        """Message, dot, and what the next hop says to it."""
        try:
            session.write(dot_stuffed(message))
            reply = await _asked(session, "dot", self._settings.dot_seconds)
        except _StopError as stop:
            _abort(session)  # no more of the message may follow once it counts as not delivered
            return dataclasses.replace(stop.outcome, in_doubt=True)
        except SMTPException as error:
            _abort(session)
            return outcome(Kind.NEXT_HOP_DOWN, f"dot: {error}", in_doubt=True)
        _leave(session)
        return from_next_hop(reply.code, reply.message) if reply.code == OK else _refusal(reply)


def dot_stuffed(message: bytes) -> bytes:
    """The message as it goes over the wire, its end included (RFC 5321 section 4.5.2)."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    first = b"." if stuffed.startswith(b".") else b""
    last = b"" if not stuffed or stuffed.endswith(b"\r\n") else b"\r\n"
    return b"".join((first, stuffed, last, b".\r\n"))


async def _asked(session: _NextHop, step: str, seconds: float, command: bytes | None = None) -> SMTPResponse:
    """One exchange; what is no answer raises _StopError with its outcome."""
    try:
        reply = await session.answer(seconds, command)
    except SMTPTimeoutError:
        raise _StopError(outcome(Kind.NEXT_HOP_TIMEOUT, step)) from None
    except SMTPResponseException as error:
        raise _StopError(outcome(Kind.NEXT_HOP_GARBLED, f"{step}: {error.message}")) from None
    except (SMTPException, OSError) as error:
        raise _StopError(outcome(Kind.NEXT_HOP_DOWN, f"{step}: {error}")) from None
    if reply.code == 421:  # noqa: PLR2004 - RFC 5321 section 3.8: it may go at any time; that is no word on the message
        raise _StopError(outcome(Kind.NEXT_HOP_DOWN, f"{step}: 421 {reply.message}"))
    return reply


def _refusal(reply: SMTPResponse) -> Outcome:
    if 400 <= reply.code < 600:  # noqa: PLR2004 - RFC 5321 section 4.2.1
        return from_next_hop(reply.code, reply.message)
    return outcome(Kind.NEXT_HOP_GARBLED, f"unexpected {reply.code} {reply.message}")


def _expect(reply: SMTPResponse, good: Callable[[int], bool]) -> None:
    if not good(reply.code):
        raise _StopError(_refusal(reply))


def _check_recipients(replies: list[SMTPResponse]) -> None:
    """All taken: go on. All refused: the first temporary refusal if there is one, else the first. Divided: 451."""
    refusals = [_refusal(reply) for reply in replies if reply.code not in (OK, WILL_FORWARD)]
    if not refusals:
        return
    if len(refusals) < len(replies):
        raise _StopError(outcome(Kind.RECIPIENTS_DIVIDED, refusals[0].reply))
    raise _StopError(next((refusal for refusal in refusals if refusal.temporary), refusals[0]))


def _path(verb: str, address: str, parameters: tuple[str, ...]) -> bytes:
    return " ".join((f"{verb}:<{address}>", *parameters)).encode("utf-8", "surrogateescape")


def _mail_parameters(envelope: Envelope, extensions: dict[str, str], message: bytes) -> tuple[str, ...]:
    """As received, but for SIZE, which is that of the message as it is now."""
    others = tuple(parameter for parameter in envelope.parameters if not parameter.upper().startswith("SIZE="))
    size = (f"SIZE={len(message)}",) if "size" in extensions else ()
    if any(parameter.upper() == "SMTPUTF8" for parameter in others) and "smtputf8" not in extensions:
        others = _without_idle_smtputf8(others, envelope, message)
    return size + _kept(others, extensions, message)


def _without_idle_smtputf8(parameters: tuple[str, ...], envelope: Envelope, message: bytes) -> tuple[str, ...]:
    """RFC 6531 section 3.4 wants the extension only for what is not ASCII; many clients always ask for it."""
    addresses = (envelope.sender, *(recipient.address for recipient in envelope.recipients))
    if message.isascii() and all(address.isascii() for address in addresses):
        return tuple(parameter for parameter in parameters if parameter.upper() != "SMTPUTF8")
    return parameters


def _kept(parameters: tuple[str, ...], extensions: dict[str, str], message: bytes) -> tuple[str, ...]:
    """Those that the next hop understands.

    One that it lacks and the message needs ends the session with 451: it is not announced again, so that our MTA does
    at the next try what RFC 3461 section 5.2.2 or RFC 6152 asks of it.
    """
    kept = []
    for parameter in parameters:
        extension = extension_of(parameter)
        if extension in extensions:
            kept.append(parameter)
        elif extension != "auth" and not (extension == "8bitmime" and message.isascii()):
            raise _StopError(outcome(Kind.NEXT_HOP_LACKS, extension.upper()))
    return tuple(kept)


def _xforward_commands(envelope: Envelope, extensions: dict[str, str]) -> list[bytes]:
    """The attributes that the next hop announces, in lines of at most 512 octets."""
    announced = extensions.get("xforward", "").upper().split()
    lines: list[str] = []
    for name, value in envelope.xforward:
        word = f" {name}={value}"
        if name not in announced:
            continue
        if not lines or len(lines[-1]) + len(word) > 510:  # noqa: PLR2004 - RFC 5321 section 4.5.3.1.4, CRLF apart
            lines.append("XFORWARD")
        lines[-1] += word
    return [line.encode("ascii") for line in lines]


def _leave(session: _NextHop) -> None:
    """QUIT without waiting: the message's fate is known, or the session is worthless."""
    if session.is_connected:
        try:
            session.write(b"QUIT\r\n")
        finally:
            if session.transport is not None:
                session.transport.close()


def _abort(session: _NextHop) -> None:
    """Cut the connection; what is still in its buffer is not sent."""
    if isinstance(session.transport, asyncio.WriteTransport):
        session.transport.abort()


async def _uncancelled(final: asyncio.Task[Outcome]) -> Outcome:
    """Wait for the exchange; if this wait is cancelled the exchange goes on, and how it ended is logged."""
    try:
        return await asyncio.shield(final)
    except asyncio.CancelledError:
        final.add_done_callback(_log_unheard)
        raise


def _log_unheard(final: asyncio.Task[Outcome]) -> None:
    """A delivery here means that the client, which was told nothing, will send the message again."""
    if not final.cancelled():
        log.warning("ended_unheard", reply=final.result().reply, detail=final.result().detail)
