"""A mailbox of the kind that is one file: messages after lines that begin with "From " (RFC 4155).

Each message is a member. What was quoted with ">" so that it does not begin a message stays quoted: whether it was
is not said anywhere. Bounds: `Members`; nothing is copied but what is sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox import contract
from sandbox.guest.members import Members

if TYPE_CHECKING:
    from sandbox.guest.wire import Answer, Request

START = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\r\n]*\r?\n")


def read(document: bytes, answer: Answer, request: Request) -> None:
    """Send each message."""
    members = Members(contract.ARCHIVE, answer, request)
    view = memoryview(document)
    starts = START.finditer(document)
    current = next(starts, None)
    number = 0
    while current:
        following = next(starts, None)
        number += 1
        members.begin(f"message-{number}.eml")
        if piece := view[current.end() : following.start() if following else len(view)]:
            members.add(piece)
        current = following
    members.end()
