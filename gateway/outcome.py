"""ONE table: how a message ended -> SMTP code, enhanced code (RFC 3463) and public text.

Every reply after DATA comes from here or is the next hop's own. The texts reach strangers verbatim when Lazaretto
stands before the queue, so they hold no internals; what the administrator has to know is in `Outcome.detail`, for the
log alone. A fault of the house is always temporary (4xx): the client's MTA keeps the message. Trusts nobody's text:
the next hop's reply is made one line of printable ASCII and capped before it is handed on.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REPLY_TEXT: Final = 400  # RFC 5321 section 4.5.3.1.5: a reply line of at most 512 octets, code and CRLF included


class Kind(enum.StrEnum):
    """How a message ended; the word in the log."""

    DELIVERED = "delivered"  # the next hop's own 250
    NEXT_HOP_REFUSED = "next_hop_refused"  # the next hop's own 4xx or 5xx
    POLICY_REFUSED = "policy_refused"
    TOO_LARGE = "too_large"
    LINE_TOO_LONG = "line_too_long"
    BARE_LINE_END = "bare_line_end"
    HIDDEN_END = "hidden_end"
    LOOP = "loop"
    BUSY = "busy"
    BUSY_SANDBOX = "busy_sandbox"
    DEADLINE = "deadline"
    HOUSE_BROKEN = "house_broken"
    READINGS_DIFFER = "readings_differ"  # a fault of the mail room, found before anything was sent
    NO_SANDBOX = "no_sandbox"
    NO_STORAGE = "no_storage"
    NEXT_HOP_DOWN = "next_hop_down"
    NEXT_HOP_TIMEOUT = "next_hop_timeout"
    NEXT_HOP_GARBLED = "next_hop_garbled"
    NEXT_HOP_LACKS = "next_hop_lacks"
    NEXT_HOP_TLS = "next_hop_tls"
    RECIPIENTS_DIVIDED = "recipients_divided"
    PARTLY_DELIVERED = "partly_delivered"  # some have it, the others are refused for good


@dataclass(frozen=True, slots=True)
class Outcome:
    """One end of one message; `detail` is for the log, never for the client."""

    kind: Kind
    code: int
    enhanced: str
    text: str
    detail: str = ""
    in_doubt: bool = False  # the next hop may have the message all the same, or has it for some recipients
    each: tuple[Outcome, ...] = ()  # a recipient each, in the envelope's order, where they do not all share this one
    # called once, with whether the client has shown that it read the reply
    heard: Callable[[bool], None] | None = field(default=None, compare=False, repr=False)

    @property
    def delivered(self) -> bool:
        """Whether the next hop took the message over."""
        return self.kind is Kind.DELIVERED

    @property
    def temporary(self) -> bool:
        """Whether the client's MTA keeps the message and tries again."""
        return 400 <= self.code < 500  # noqa: PLR2004 - RFC 5321 section 4.2.1

    @property
    def reply(self) -> str:
        """The reply line, without its CRLF."""
        return f"{self.code} {self.enhanced} {self.text}"


_LATER: Final = "try again later"
TABLE: Final[dict[Kind, tuple[int, str, str]]] = {
    Kind.POLICY_REFUSED: (550, "5.7.1", "Message refused by policy"),
    Kind.TOO_LARGE: (552, "5.3.4", "Message too large"),
    Kind.LINE_TOO_LONG: (550, "5.6.0", "A line of the message is too long"),
    Kind.BARE_LINE_END: (550, "5.5.2", "Message holds a bare <CR> or <LF>; lines end with <CR><LF>"),
    Kind.HIDDEN_END: (550, "5.5.2", "Message holds a line that could be read as its end"),
    Kind.LOOP: (554, "5.4.6", "Too many hops, mail is going round in circles"),
    Kind.BUSY: (452, "4.3.1", f"Too much mail under way, {_LATER}"),
    Kind.BUSY_SANDBOX: (451, "4.4.5", f"Too many attachments under way, {_LATER}"),
    Kind.DEADLINE: (451, "4.4.5", f"Message took too long to make safe, {_LATER}"),
    Kind.HOUSE_BROKEN: (451, "4.3.0", f"Temporary failure, {_LATER}"),
    Kind.READINGS_DIFFER: (451, "4.3.0", f"Message cannot be made safe at present, {_LATER}"),
    Kind.NO_SANDBOX: (451, "4.3.0", f"Attachments cannot be made safe at present, {_LATER}"),
    Kind.NO_STORAGE: (451, "4.3.1", f"Not enough storage, {_LATER}"),
    Kind.NEXT_HOP_DOWN: (451, "4.4.1", f"Next hop does not take mail at present, {_LATER}"),
    Kind.NEXT_HOP_TIMEOUT: (451, "4.4.2", f"Next hop did not answer in time, {_LATER}"),
    Kind.NEXT_HOP_GARBLED: (451, "4.5.0", f"Next hop did not speak SMTP, {_LATER}"),
    Kind.NEXT_HOP_LACKS: (451, "4.3.3", f"Next hop lacks an extension that this message needs, {_LATER}"),
    Kind.NEXT_HOP_TLS: (451, "4.7.5", f"Next hop cannot be spoken to securely, {_LATER}"),
    Kind.RECIPIENTS_DIVIDED: (
        451,
        "4.5.3",
        "Next hop takes some recipients and refuses others; send one recipient at a time",
    ),
    Kind.PARTLY_DELIVERED: (554, "5.5.0", "Delivered to some of the recipients only, the others are refused"),
}

_NOT_PRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")
_ENHANCED: Final = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?= |\Z)")


def public_line(untrusted_text: str, limit: int = MAX_REPLY_TEXT) -> str:
    """One capped line of printable ASCII: nothing in it can end the reply or start another."""
    return _NOT_PRINTABLE.sub(" ", untrusted_text).strip()[:limit]


def outcome(kind: Kind, detail: str = "", *, in_doubt: bool = False) -> Outcome:
    """Look `kind` up in the table."""
    code, enhanced, text = TABLE[kind]
    return Outcome(kind, code, enhanced, text, detail, in_doubt)


def from_next_hop(code: int, untrusted_text: str) -> Outcome:
    """Hand on the next hop's own final reply: its code, its enhanced code where it fits, its text in one line."""
    text = public_line(untrusted_text)
    enhanced = f"{code // 100}.0.0"
    if (found := _ENHANCED.match(text)) and found[1] == str(code // 100):
        enhanced, text = found[0], text[found.end() :].strip()
    kind = Kind.DELIVERED if code == 250 else Kind.NEXT_HOP_REFUSED  # noqa: PLR2004 - RFC 5321 section 4.2.3
    return Outcome(kind, code, enhanced, text or ("Ok" if kind is Kind.DELIVERED else "Refused"))
