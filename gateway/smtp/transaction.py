"""One message on a session with the next hop: XFORWARD, MAIL, RCPT, DATA, the message, and what is said to it.

The message arrives byte for byte, its parameters as they were received. Trusts the next hop to keep what it answers
250 for. Fails with RefusedError (its word on this message) before any of the message was sent, with `hop.LostError`
where the session ended; after DATA everything is an outcome. A next hop that takes some recipients and refuses others
gets no message from a client that can be given one reply only: 451, and our MTA is set to send one recipient at a time
(config/postfix). Bounds: `[relay]` seconds for command, DATA and dot.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from gateway.outcome import Kind, Outcome, from_next_hop, outcome
from gateway.smtp.command import extension_of
from gateway.smtp.hop import OK, LostError
from gateway.smtp.verdict import verdict

if TYPE_CHECKING:
    from aiosmtplib.response import SMTPResponse

    from gateway.config import RelaySettings
    from gateway.smtp.envelope import Envelope
    from gateway.smtp.hop import Hop

WILL_FORWARD, START_INPUT = 251, 354  # RFC 5321 section 4.2.3


class RefusedError(Exception):
    """The message goes no further, and why; the next hop has nothing of it."""

    def __init__(self, ended: Outcome) -> None:
        super().__init__(ended.kind)
        self.outcome = ended


async def begin(hop: Hop, settings: RelaySettings, envelope: Envelope, message: bytes) -> tuple[Outcome | None, ...]:
    """Up to the 354; a recipient each: None, or its refusal."""
    seconds = settings.command_seconds
    for command in _xforward_commands(envelope, hop.extensions):
        reply = await hop.ask("XFORWARD", seconds, command)
        if reply.code != OK:
            raise LostError(outcome(Kind.NEXT_HOP_DOWN, f"XFORWARD: {reply.code} {reply.message}"))
    command = _path("MAIL FROM", envelope.sender, _mail_parameters(envelope, hop.extensions, message))
    reply = await hop.ask("MAIL", seconds, command)
    if reply.code != OK:
        raise RefusedError(_refusal(reply))
    refusals = await _recipients(hop, seconds, envelope, message)
    reply = await hop.ask("DATA", settings.data_seconds, b"DATA")
    if reply.code != START_INPUT:
        raise RefusedError(_refusal(reply))
    return refusals


async def _recipients(hop: Hop, seconds: float, envelope: Envelope, message: bytes) -> tuple[Outcome | None, ...]:
    """Every RCPT; raises RefusedError where no DATA may follow."""
    commands = [
        _path("RCPT TO", recipient.address, _kept(recipient.parameters, hop.extensions, message))
        for recipient in envelope.recipients
    ]
    replies = [await hop.ask("RCPT", seconds, command) for command in commands]
    answers = tuple(None if reply.code in (OK, WILL_FORWARD) else _refusal(reply) for reply in replies)
    refusals = tuple(answer for answer in answers if answer)
    if len(refusals) == len(answers):
        raise RefusedError(verdict(refusals))
    if refusals and not envelope.each_recipient:
        raise RefusedError(outcome(Kind.RECIPIENTS_DIVIDED, refusals[0].reply))
    return answers


async def finish(hop: Hop, settings: RelaySettings, message: bytes, refusals: tuple[Outcome | None, ...]) -> Outcome:
    """Message, dot, and what the next hop says to it: once, or in LMTP for each recipient that it took."""
    taken = refusals.count(None)
    replies = await _after_dot(hop, settings, message, taken if hop.address.protocol == "lmtp" else 1)
    hop.messages += 1
    if len(replies) == 1 and taken == len(refusals):
        return replies[0]
    answers = iter(replies if len(replies) == taken else replies * taken)
    return verdict(tuple(refusal or next(answers) for refusal in refusals))


async def _after_dot(hop: Hop, settings: RelaySettings, message: bytes, expected: int) -> list[Outcome]:
    if hop.broken:
        hop.abort()
        return [outcome(Kind.NEXT_HOP_GARBLED, "DATA: reply without a command")] * expected
    clock = asyncio.get_running_loop().time
    ends_at = clock() + settings.dot_seconds
    ended: list[Outcome] = []
    sent = False
    try:
        hop.send(dot_stuffed(message), expected)
        sent = True
        while len(ended) < expected:
            reply = await hop.answer("dot", max(0.001, ends_at - clock()))
            ended.append(from_next_hop(reply.code, reply.message) if reply.code == OK else _refusal(reply))
    except LostError as lost:
        hop.abort()  # no more of the message may follow once it counts as not delivered
        ended += [dataclasses.replace(lost.outcome, in_doubt=sent)] * (expected - len(ended))
    return ended


def dot_stuffed(message: bytes) -> bytes:
    """The message as it goes over the wire, its end included (RFC 5321 section 4.5.2)."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    first = b"." if stuffed.startswith(b".") else b""
    last = b"" if not stuffed or stuffed.endswith(b"\r\n") else b"\r\n"
    return b"".join((first, stuffed, last, b".\r\n"))


def _refusal(reply: SMTPResponse) -> Outcome:
    if 400 <= reply.code < 600:  # noqa: PLR2004 - RFC 5321 section 4.2.1
        return from_next_hop(reply.code, reply.message)
    return outcome(Kind.NEXT_HOP_GARBLED, f"unexpected {reply.code} {reply.message}")


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
            raise RefusedError(outcome(Kind.NEXT_HOP_LACKS, extension.upper()))
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
