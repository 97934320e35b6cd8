"""Reads what is about to be sent once more, with two parsers, and says where they differ or what they should not find.

The mail room must not be the only witness of its own work: our parser and the standard library's read the message that
`rebuild` wrote. Both have to find the same leaves (type, file name, decoded bytes), ours has to find no ambiguity, and
no leaf may be a file that was to be flattened or removed; archives of ours are opened, and messages in them read in the
same way. Pure; linear in the message; never raises for what is in it.
A message that nothing changed is not read again: it leaves byte for byte as `parse` found it clean.

Compared is a normal form, each difference with its reason: of reports (message/delivery-status and its kin) the bytes
without white space, since the standard library reads them as messages and keeps their fields apart; names with
encoded words decoded, since RFC 2047 forbids them there and only some decode them, and without regard for case, since
the two fields that hold a name may spell it differently. Where base64 goes on for more than
LINES full lines, both readers get its beginning and its end: seventy-six digits are no delimiter and no field to
anybody, and the standard library takes five times the bytes that it reads. What should be gone is looked for in all.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gateway.mail.archive import read_back
from gateway.mail.content import crlf
from gateway.mail.decode import content_of
from gateway.mail.filename import decode_words
from gateway.mail.parse import parse
from gateway.mail.result import Safe
from gateway.mail.step import Action, changes_bytes
from gateway.mail.tree import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.mail.result import Result
    from gateway.mail.step import Plan
    from gateway.mail.tree import Bounds, Message, Part

_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news", "message/rfc2822"})
_LAYERS = 2  # of multiparts that we may put around a text whose files stand beside it, or around a message that is held
# what the standard library raises for fields that it cannot read; anything else is a fault of ours
_UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, AssertionError, RecursionError)
LINES = 1000  # of base64: 76 kB, as many as the parts of ordinary mail have
_ENDS = 780  # bytes kept of them on either side, ten lines
_LONG_BASE64 = re.compile(rb"\r\n(?:[A-Za-z0-9+/]{76}\r\n){%d,}+" % LINES)
_FIELDS = 8  # that we write into one header
_LINES_OF_PART = 40  # that we write: names in ten pieces, twice
_WORDS_GROW = 8  # times: 8-bit bytes that become encoded words (RFC 1428)
_ZIP = "application/zip"
_SHORT = 32  # bytes below which a file may well equal another part by chance


Print = tuple[int, bytes]  # size and digest


@dataclass(frozen=True, slots=True)
class Traces:
    """What the files that were in containers have left behind."""

    gone: Mapping[Print, str] = field(default_factory=dict)  # what has to be gone, and where it was
    stays: frozenset[Print] = frozenset()  # what may be there: kept texts, flattened files, messages written anew
    archives: frozenset[Print] = frozenset()  # that were written
    parts: int = 0  # of all messages that were in files
    letters: int = 0  # how many of these there were


@dataclass(frozen=True, slots=True)
class Leaf:
    """What both readers have to agree on."""

    media_type: str
    name: str
    size: int
    digest: bytes

    @classmethod
    def of(cls, media_type: str, name: str | None, content: bytes) -> Leaf:
        """In its normal form."""
        if _is_report(media_type):
            content = b"".join(content.split())
        shown = " ".join(decode_words(name or "").split()).casefold()
        return cls(media_type, shown, len(content), hashlib.sha256(content).digest())


def objection(
    message: Message,
    plan: Plan,
    results: Mapping[str, Result],
    sent: bytes,
    bounds: Bounds,
    *,
    traces: Traces | None = None,
) -> str:
    """Why `sent` must not leave, for the log; "" where both readings agree and nothing is in it that should not be."""
    if not plan.changes:
        return "" if sent is message.raw else "a message without changes was changed"
    traces = traces or Traces()
    try:
        there = set(_seen(sent, _wider(bounds, plan, traces), traces))
    except _ObjectionError as fault:
        return str(fault)
    return _what_should_be_gone(there, plan, results, traces)


class _ObjectionError(Exception):
    """Why a message must not leave; in words, with nothing of its content in them."""


def _seen(sent: bytes, bounds: Bounds, traces: Traces) -> Iterator[Print]:
    """The prints of all files that are in a message, and in its archives; raises where they cannot be agreed upon."""
    again = parse(sent, bounds)
    if again.ambiguities:
        raise _ObjectionError(f"it reads in several ways: {', '.join(again.ambiguities)}")
    for leaf in _agreed(again, sent, bounds):
        yield leaf.size, leaf.digest
    for part in again.root.walk():
        if part.kind is Kind.LEAF and part.content_type == _ZIP:
            yield from _seen_in_archive(content_of(part.body, part.encoding), bounds, traces)


def _seen_in_archive(content: bytes, bounds: Bounds, traces: Traces) -> Iterator[Print]:
    """Archives of ours only are opened: a sender's would be a fault already."""
    if print_of(content) not in traces.archives:
        raise _ObjectionError("an archive in it is not one that was written here")
    for name, member in read_back(content):
        yield print_of(member)
        if name.endswith(".eml"):
            yield from _seen(member, bounds, traces)
        elif name.endswith(".zip"):
            yield from _seen_in_archive(member, bounds, traces)


def _agreed(again: Message, sent: bytes, bounds: Bounds) -> list[Leaf]:
    """What both readers find."""
    whole = _by_us(again)
    thin = _LONG_BASE64.sub(lambda lines: lines[0][: _ENDS + 2] + lines[0][-_ENDS:], sent)
    ours = whole if len(thin) == len(sent) else _by_us(parse(thin, bounds))
    try:
        theirs = list(_by_standard_library(email.message_from_bytes(thin, policy=email.policy.compat32)))
    except _UNREADABLE as error:
        raise _ObjectionError(f"the other reader gave up: {type(error).__name__}") from None
    if fault := _difference(ours, theirs):
        raise _ObjectionError(fault)
    return whole


def _wider(bounds: Bounds, plan: Plan, traces: Traces) -> Bounds:
    """What is sent may be more than what came: files stand beside their text, fields of ours among the others."""
    parts = bounds.parts + 2 * (len(plan.steps) + traces.parts) + _LAYERS * (1 + traces.letters)
    return replace(
        bounds,
        parts=parts,
        depth=bounds.depth + _LAYERS * (1 + min(traces.letters, bounds.depth)),
        delimiters=bounds.delimiters + 2 * parts,
        headers=bounds.headers + _FIELDS,
        header_lines=bounds.header_lines + _LINES_OF_PART * parts,
        header_bytes=bounds.header_bytes * _WORDS_GROW,
    )


def _by_us(message: Message) -> list[Leaf]:
    return [_leaf(part) for part in message.root.walk() if part.kind is Kind.LEAF]


def _leaf(part: Part) -> Leaf:
    content = part.body if _is_report(part.content_type) else content_of(part.body, part.encoding)
    return Leaf.of(part.content_type, part.untrusted_filename, content)


def _is_report(media_type: str) -> bool:
    return media_type.startswith("message/") and media_type not in _MESSAGES


def _by_standard_library(part: Any) -> Iterator[Leaf]:
    media_type, payload = part.get_content_type(), part.get_payload()
    if _is_report(media_type):
        yield Leaf.of(media_type, part.get_filename(), b"".join(_words(part)))
    elif isinstance(payload, list):
        for inner in payload:
            yield from _by_standard_library(inner)
    else:
        yield Leaf.of(media_type, part.get_filename(), part.get_payload(decode=True) or b"")


def _words(part: Any) -> Iterator[bytes]:
    """All that the standard library kept of a report, in order and undecoded."""
    payload = part.get_payload()
    if isinstance(payload, str):
        del part["content-transfer-encoding"]
        yield part.get_payload(decode=True)
        return
    for inner in payload or []:
        fields = "".join(f"{name}:{value}\n" for name, value in inner.raw_items())
        yield ((inner.get_unixfrom() or "") + fields).encode("utf-8", "surrogateescape")
        yield from _words(inner)


def _difference(ours: list[Leaf], theirs: list[Leaf]) -> str:
    """In words, with nothing of the content in them."""
    if len(ours) != len(theirs):
        return f"it has {len(ours)} parts for us and {len(theirs)} for the other reader"
    for number, (our, their) in enumerate(zip(ours, theirs, strict=True), 1):
        for what in ("media_type", "name", "size", "digest"):
            if getattr(our, what) != getattr(their, what):
                return f"the {what} of part {number} differs"
    return ""


def _what_should_be_gone(there: set[Print], plan: Plan, results: Mapping[str, Result], traces: Traces) -> str:
    """A part that is a file which was to be flattened or removed; not where the same bytes stay elsewhere by right."""
    sizes = {size for size, _ in there if size >= _SHORT}
    allowed = {print_of(result.content) for result in results.values() if isinstance(result, Safe)}
    allowed |= traces.stays | traces.archives
    gone = {key: part for key, part in traces.gone.items() if key[0] in sizes}
    for step in plan.steps:
        if step.action is Action.UNPACK:
            continue
        content = step.payload()
        if not changes_bytes(step):
            allowed |= {print_of(content), print_of(crlf(content))}
        elif len(content) in sizes:
            gone[print_of(content)] = step.part
    found = [part for key, part in gone.items() if key in there and key not in allowed]
    return f"part {found[0]} is in it as it came" if found else ""


def print_of(content: bytes) -> Print:
    """By which the same bytes are known again."""
    return len(content), hashlib.sha256(content).digest()
