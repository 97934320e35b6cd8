"""The envelope of one mail transaction (RFC 5321 section 2.3.1), frozen; nothing about content.

Values are as received: parameters keep their case (ENVID, ORCPT and AUTH are case-sensitive), XFORWARD its xtext.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT TO: the address without angle brackets, and its parameters (NOTIFY=..., ORCPT=...) as received."""

    address: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sender, recipients and what the client said of itself. `sender` is "" for the null reverse-path."""

    sender: str
    recipients: tuple[Recipient, ...]
    parameters: tuple[str, ...] = ()  # MAIL FROM parameters as received (SIZE, BODY, SMTPUTF8, RET, ENVID, AUTH ...)
    xforward: tuple[tuple[str, str], ...] = ()  # attribute -> value in xtext, as received
    client: str = ""  # the peer's address, for Received and the log
    helo: str = ""
    extended: bool = field(default=True)  # EHLO rather than HELO: "with ESMTP" in Received
    each_recipient: bool = False  # the client takes a reply for each recipient (LMTP)
