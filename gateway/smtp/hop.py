"""One session with one next hop: connection, greeting, EHLO or LHLO, STARTTLS, then a command and its answer at a time.

On aiosmtplib's protocol, not on its `sendmail`: that one rewrites line ends, sorts parameters its own way and counts
a message as sent when some recipients were refused. Here also several replies to one dot are read, as LMTP gives them.

Trusts the next hop's words only in their place: a reply too many, too early or misformed makes the session worthless,
and so does whatever was said in the clear behind the 220 to STARTTLS. Fails with LostError: the session has come to
its end, which is no word on the message. Bounds: `[relay]` seconds for connect, greeting and command; 32 KiB a reply.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import re
from typing import TYPE_CHECKING, Final

import structlog
from aiosmtplib.errors import SMTPException, SMTPResponseException, SMTPTimeoutError
from aiosmtplib.esmtp import parse_esmtp_extensions
from aiosmtplib.protocol import MAX_RESPONSE_LENGTH, SMTPProtocol

from gateway.outcome import Kind, Outcome, outcome

if TYPE_CHECKING:
    import ssl

    from aiosmtplib.response import SMTPResponse

    from gateway.config import RelaySettings
    from gateway.smtp.address import Address

log = structlog.get_logger(__name__)

READY, OK, GOING = 220, 250, 421  # RFC 5321 section 4.2.3
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


class LostError(Exception):
    """The session is of no more use, and why; of what was not sent yet, the next hop has nothing."""

    def __init__(self, ended: Outcome) -> None:
        super().__init__(ended.kind)
        self.outcome = ended


class _HandshakeError(LostError):
    """TLS was begun and did not come about."""


class Hop(SMTPProtocol):
    """aiosmtplib's protocol, counting replies: one that nobody asked for must never be taken for the next one."""

    def __init__(self, address: Address, settings: RelaySettings) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.address = address
        self.extensions: dict[str, str] = {}
        self.messages = 0
        self._settings = settings
        self._due = 1  # replies that are still to come; the greeting is, unasked
        self._broken = False  # there was one more
        self._unfinished = b""
        self._ready: collections.deque[bytes] = collections.deque()  # whole replies that nobody has read yet
        self._awaited = False  # somebody waits for the next one

    # --- replies ---

    def data_received(self, data: bytes) -> None:
        """Cut into whole replies; hand the first to who waits for it."""
        *lines, rest = (self._unfinished + data).split(b"\n")
        reply: list[bytes] = []
        for line in lines:
            reply.append(line + b"\n")
            if line[3:4] != b"-" or not line[:3].isdigit():
                self._take(_well_formed(reply))
                reply = []
        self._unfinished = b"".join(reply) + rest
        if len(self._unfinished) > MAX_RESPONSE_LENGTH:
            self._take(b"too long\r\n")
            self._unfinished = b""

    def _take(self, reply: bytes) -> None:
        if not self._due:
            self._broken = True
            return
        self._due -= 1
        if self._awaited:
            self._awaited = False
            super().data_received(reply)
        else:
            self._ready.append(reply)

    @property
    def broken(self) -> bool:
        """Whether something was said that nobody had asked for."""
        return self._broken

    @property
    def usable(self) -> bool:
        """Whether another message may begin here."""
        return self.is_connected and not (self._broken or self._due or self._unfinished or self._ready)

    def send(self, data: bytes, replies: int = 1) -> None:
        """Write; so many replies are due to it."""
        try:
            self.write(data)
        except SMTPException as error:
            raise LostError(outcome(Kind.NEXT_HOP_DOWN, f"send: {error}")) from None
        self._due += replies

    async def answer(self, step: str, seconds: float) -> SMTPResponse:
        """The next reply; what is none, and 421, raises LostError."""
        try:
            if self._ready:
                self._buffer[:] = self._ready.popleft()
                reply = self._read_response_from_buffer()
            else:
                self._awaited = True
                reply = await self.read_response(timeout=seconds)
        except SMTPTimeoutError:
            raise LostError(outcome(Kind.NEXT_HOP_TIMEOUT, step)) from None
        except SMTPResponseException as error:
            raise LostError(outcome(Kind.NEXT_HOP_GARBLED, f"{step}: {error.message}")) from None
        except (SMTPException, OSError) as error:
            raise LostError(outcome(Kind.NEXT_HOP_DOWN, f"{step}: {error}")) from None
        finally:
            self._awaited = False
        if reply is None:
            raise LostError(outcome(Kind.NEXT_HOP_GARBLED, step))
        if reply.code == GOING:  # RFC 5321 section 3.8: at any time; that is no word on the message
            raise LostError(outcome(Kind.NEXT_HOP_DOWN, f"{step}: 421 {reply.message}"))
        return reply

    async def ask(self, step: str, seconds: float, command: bytes) -> SMTPResponse:
        """One command, its one reply."""
        if _CONTROL.search(command):
            raise ValueError("control character in a command")
        self._check_order(step)
        self.send(command + b"\r\n")
        reply = await self.answer(step, seconds)
        self._check_order(step)
        return reply

    def _check_order(self, step: str) -> None:
        if self._broken:
            raise LostError(outcome(Kind.NEXT_HOP_GARBLED, f"{step}: reply without a command"))

    # --- the session's beginning and end ---

    async def begin(self, hostname: str, tls: ssl.SSLContext | None) -> None:
        """From the greeting on until a message may follow."""
        greeting = await self.answer("greeting", self._settings.greeting_seconds)
        if greeting.code != READY:
            raise LostError(outcome(Kind.NEXT_HOP_DOWN, f"greeting: {greeting.code} {greeting.message}"))
        await self.greet(hostname)
        if tls:
            await self.secure(tls, hostname)

    async def greet(self, hostname: str) -> None:
        """EHLO, or HELO where that is unknown; LHLO in LMTP (RFC 2033 section 4.1). What is announced is kept."""
        name = hostname.encode("ascii", "replace")
        seconds = self._settings.command_seconds
        verbs = ("LHLO",) if self.address.protocol == "lmtp" else ("EHLO", "HELO")
        for verb in verbs:
            reply = await self.ask(verb, seconds, verb.encode("ascii") + b" " + name)
            self.extensions = parse_esmtp_extensions(reply.message)[0] if verb != "HELO" else {}
            if reply.code == OK:
                return
        raise LostError(outcome(Kind.NEXT_HOP_DOWN, f"{verbs[-1]}: {reply.code} {reply.message}"))

    async def secure(self, context: ssl.SSLContext, hostname: str) -> None:
        """STARTTLS, and greet again: what was said in the clear counts for nothing (RFC 3207 section 4.2)."""
        seconds = self._settings.command_seconds
        must = self._settings.tls == "verify"
        if "starttls" not in self.extensions:
            if must:
                raise LostError(outcome(Kind.NEXT_HOP_TLS, "STARTTLS is not offered"))
            return
        reply = await self.ask("STARTTLS", seconds, b"STARTTLS")
        if reply.code != READY:
            if must:
                raise LostError(outcome(Kind.NEXT_HOP_TLS, f"STARTTLS: {reply.code} {reply.message}"))
            return
        if self._unfinished or not isinstance(self.transport, asyncio.Transport):
            raise LostError(outcome(Kind.NEXT_HOP_GARBLED, "STARTTLS: more in the clear"))
        try:
            self.transport = await self._loop.start_tls(
                self.transport,
                self,
                context,
                server_hostname=self._settings.tls_name or self.address.host or "localhost",
                ssl_handshake_timeout=seconds,
            )
        except OSError as error:  # ssl.SSLError is one
            raise _HandshakeError(outcome(Kind.NEXT_HOP_TLS, f"handshake: {error}")) from None
        self._over_ssl = True
        await self.greet(hostname)

    async def reset(self) -> bool:
        """RSET: whether a connection that was kept still works."""
        try:
            reply = await self.ask("RSET", self._settings.reset_seconds, b"RSET")
        except LostError:
            return False
        return reply.code == OK

    def leave(self) -> None:
        """QUIT without waiting: the message's fate is known, or the session is worthless."""
        if self.is_connected and self.transport is not None:
            self.write(b"QUIT\r\n")
            self._due += 1
            self.transport.close()

    def abort(self) -> None:
        """Cut the connection; what is still in its buffer is not sent."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()


async def open_session(address: Address, settings: RelaySettings, hostname: str, tls: ssl.SSLContext | None) -> Hop:
    """Connect and greet; raises LostError. Where TLS is a "may" and fails, once more without it."""
    try:
        return await _opened(address, settings, hostname, tls)
    except _HandshakeError as error:
        if settings.tls != "may":
            raise
        log.warning("next_hop_in_the_clear", address=str(address), detail=error.outcome.detail)
        return await _opened(address, settings, hostname, None)


async def _opened(address: Address, settings: RelaySettings, hostname: str, tls: ssl.SSLContext | None) -> Hop:
    hop = await _connected(address, settings)
    try:
        await hop.begin(hostname, tls)
    except LostError:
        hop.leave()
        raise
    except BaseException:
        hop.abort()
        raise
    return hop


async def _connected(address: Address, settings: RelaySettings) -> Hop:
    loop = asyncio.get_running_loop()
    made = functools.partial(Hop, address, settings)
    try:
        async with asyncio.timeout(settings.connect_seconds):
            if address.path:
                return (await loop.create_unix_connection(made, address.path))[1]
            return (await loop.create_connection(made, address.host, address.port))[1]
    except TimeoutError:
        raise LostError(outcome(Kind.NEXT_HOP_TIMEOUT, f"connect: {address}")) from None
    except OSError as error:
        raise LostError(outcome(Kind.NEXT_HOP_DOWN, f"connect: {error}")) from None


def _well_formed(lines: list[bytes]) -> bytes:
    """The reply, or what cannot be read as one where its lines disagree (RFC 5321 section 4.2.1)."""
    code = lines[0][:3]
    good = code.isdigit() and all(line[:3] == code for line in lines) and lines[-1][3:4] in (b" ", b"\r", b"\n")
    return b"".join(lines) if good else b"?" + lines[-1]
