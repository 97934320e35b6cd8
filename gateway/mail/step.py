"""What is to become of a message, as values: a `Step` for each part, in the order of the message, the `Plan` of all.

`plan.py` makes them; whoever writes, reads again or reports goes by them. A step knows its part and can decode it, by
the most inclusive of the encodings that its header can be read as. Pure; fails never.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.mail import content, decode
from gateway.mail.reasons import ENCRYPTED_MAIL, HTML_NEUTRALISED, MESSAGE_RENAMED, RESOURCE_FORK
from sandbox.client import CHARSET

if TYPE_CHECKING:
    from gateway.mail.embedded import Block
    from gateway.mail.tree import Part
    from sandbox.client import Want

PGP_CONTROL = "application/pgp-encrypted"  # RFC 3156 section 4: the part that says what the next one is


class Action(enum.StrEnum):
    """What is to be done with a part."""

    KEEP = "keep"
    FLATTEN = "flatten"
    UNPACK = "unpack"  # a message: its parts have steps of their own
    REMOVE = "remove"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one part; `part` is its id, with /uu1 and the like for a file inside a text."""

    part: str
    action: Action
    want: Want | None  # what a part to flatten is to become
    reason: str
    name: str  # safe to show
    declared: str  # the media type its sender gave
    source: Part = field(repr=False)
    block: Block | None = field(default=None, repr=False)
    said: str = ""  # what it said of itself, in words for the notice

    @property
    def charset(self) -> str:
        """What its sender calls the charset of a text; "" where nothing was said, or nothing that is a name of one."""
        if self.block or not self.declared.startswith("text/"):
            return ""
        untrusted_charset = self.source.params.get("charset", "")
        return untrusted_charset if CHARSET.match(untrusted_charset) else ""

    def payload(self) -> bytes:
        """The decoded content, untrusted: for the sandbox only."""
        return self.block.content if self.block else part_content(self.source)


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in the order of the message. `refused` names why the whole message is not to be relayed."""

    steps: tuple[Step, ...]
    refused: str | None
    changes: bool  # the message will not leave as it came
    canonical: bool  # it is written anew, since parsers could read it differently, or since it is held
    ambiguities: tuple[str, ...]
    held: str = ""  # why nothing but its text goes on, with a notice, while the rest waits for the administrator
    mark: str = ""  # what filters behind us are told (mark.py)


def part_content(part: Part) -> bytes:
    """Decode a leaf by the most inclusive of the encodings its header can be read as."""
    return decode.content_of(part.body, part_encoding(part))


def text_content(part: Part) -> bytes:
    """Decode a text; line ends become CRLF and NULs go, so that nothing hides between two ways to end a line."""
    return content.crlf(part_content(part).replace(b"\0", b""))


def part_encoding(part: Part) -> str:
    """Of several encodings, the one that uncovers something: an encoded file seen as text would hide."""
    for encoding in (decode.BASE64, decode.UUENCODE, decode.QUOTED_PRINTABLE):
        if encoding in part.encodings:
            return encoding
    return part.encodings[0]


def changes_bytes(step: Step) -> bool:
    """True for a step after which the part is not what it was."""
    return step.action not in (Action.KEEP, Action.UNPACK) or step.reason in (MESSAGE_RENAMED, HTML_NEUTRALISED)


def goes_silently(step: Step) -> bool:
    """True for a part in whose place no notice stands, since another part of its container says or is all there is."""
    is_control = step.reason == ENCRYPTED_MAIL and step.declared == PGP_CONTROL and not step.block
    return step.action is Action.REMOVE and (step.reason == RESOURCE_FORK or is_control)
