"""The text that stands where a part was removed: what it was, why, and what to ask for.

Plain words; nothing of the sender's but a safe name and two media types.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.mail import ambiguity, reasons
from sandbox import contract

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.mail.result import Removed

WHY = {
    contract.ENCRYPTED: "It is protected by a password or a key, so it could not be opened and made safe.",
    contract.CORRUPT: "It is damaged: the program for its kind of file could not open it.",
    contract.EMPTY: "It is empty, or holds nothing that can be shown.",
    contract.UNKNOWN_TYPE: "It is not a kind of file that can be made safe (programs, sound and film are among those).",
    contract.TOO_MANY_PAGES: "It has more pages than are allowed.",
    contract.PAGE_TOO_LARGE: "One of its pages is larger than is allowed.",
    contract.TOO_MANY_PIXELS: "Its pictures are larger than is allowed.",
    contract.OUT_OF_MEMORY: "Opening it took more memory than is allowed.",
    contract.TOO_MANY_MEMBERS: "It holds more files than are allowed, together with the rest of the message.",
    contract.UNPACKED_TOO_LARGE: "Unpacked it is larger than is allowed, together with the rest of the message.",
    contract.DOCUMENT_TOO_LARGE: "It is larger than is allowed.",
    contract.OUTPUT_TOO_LARGE: "Its safe form would be larger than is allowed.",
    contract.DEADLINE: "Opening it took longer than is allowed.",
    contract.TYPE_MISMATCH: "Its name says one kind of file, its content another.",
    contract.SANDBOX_DIED: "The program that opened it broke down.",
    contract.SANDBOX_LIED: "The program that opened it gave an answer that cannot be trusted.",
    reasons.FRAGMENT: "It is only a piece of a message, or points to a file elsewhere, so it could not be examined.",
    reasons.OPAQUE_SIGNED: "It is a signed or unknown S/MIME wrapper. A signature does not make what is in it safe.",
    reasons.ENCRYPTED_MAIL: "It is encrypted mail, which is not let through here.",
    reasons.SIGNATURE_VOID: "It was the digital signature of a message whose parts were made safe; it no longer holds.",
    reasons.HIDDEN_PART: "It was hidden in a text of a message that mail programs read in different ways.",
    reasons.RESOURCE_FORK: "It is what a Mac keeps beside a file, such as its icon; the file itself is not affected.",
    reasons.HELD: "The message that it came with is held, and it waits there.",
    reasons.AMBIGUOUS: "The message is built so that mail programs read it in different ways.",
    reasons.NOT_EXAMINED: "It was not examined.",
    reasons.NOTHING_SAFE: "Nothing that is in it could be made safe.",
    reasons.MESSAGE_TOO_LARGE: "It was made safe, but with it the message would be larger than is allowed.",
    ambiguity.TOO_DEEP: "It was wrapped in more layers of messages and archives than are allowed.",
    ambiguity.TOO_MANY_PARTS: "The message has more parts than are allowed; this is the rest of them.",
    ambiguity.HEADER_TOO_LARGE: "Its header is larger than is allowed.",
    ambiguity.TOO_MANY_HEADERS: "Its header has more fields than are allowed.",
}
_UNKNOWN_REASON = "It could not be made safe."
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}")


HELD_WHY = {
    reasons.AMBIGUOUS: "This message is built so that mail programs read it in different ways, so it was held.",
    reasons.ENCRYPTED_MAIL: "This message holds encrypted mail, which could not be examined, so it was held.",
}


def held_notice(reason: str, removal_id: str) -> str:
    """What stands before the text of a message that is held."""
    return (
        f"{HELD_WHY.get(reason, 'This message was held.')}\n"
        "Below is its text, as it was read here; what was attached to it is not with it.\n\n"
        f"{_ask(removal_id)}\n"
    )


def removal_list(removed: Sequence[tuple[str, Removed]]) -> str:
    """What an archive says of those of its members that are not in it, lines ended by LF; names are safe ones."""
    lines = ["These files were in the archive and were removed from it:", "", *_listed(removed, "")]
    if removal_id := next((gone.id for _, gone in removed), ""):
        lines += [_ask(removal_id)]
    return "\n".join(lines) + "\n"


def _listed(removed: Sequence[tuple[str, Removed]], indent: str) -> Iterator[str]:
    for name, gone in removed:
        yield f"{indent}{name}"
        yield f"{indent}    {WHY.get(gone.reason, _UNKNOWN_REASON)} (reason: {gone.reason})"
        yield ""
        yield from _listed(gone.members, indent + "    ")


def _ask(removal_id: str) -> str:
    return f"The original message is kept. To ask your administrator for it, give this id: {removal_id}"


def notice(
    name: str,
    declared: str,
    found: str,
    reason: str,
    removal_id: str,
    *,
    said: str = "",
    members: Sequence[tuple[str, Removed]] = (),
) -> str:
    """Write the notice, lines ended by LF; `name` and those of `members` are safe, `said` is ours (signature.py)."""
    lines = [
        f"The attachment {name!r} was removed from this message." if name else "A part of this message was removed."
    ]
    lines += ["", WHY.get(reason, _UNKNOWN_REASON), *[said] * bool(said), ""]
    if _MEDIA_TYPE.fullmatch(declared):
        lines.append(f"Declared as: {declared}")
    if _MEDIA_TYPE.fullmatch(found):
        lines.append(f"Found to be: {found}")
    lines.append(f"Reason: {reason}")
    if members:
        lines += ["", "What was in it:", "", *_listed(members, "")]
    if removal_id:
        lines += ["", _ask(removal_id)]
    return "\n".join(lines) + "\n"
