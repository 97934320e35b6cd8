"""Writes the safe message. Pure; the same message, plan and results give the same bytes.

Splice, where the message reads in one way only: every byte that need not change stays as it came, changed parts are
replaced in place. Canonical, where it is ambiguous: all of it is written anew from our own reading, with one set of
MIME fields, boundaries and encodings of ours, so that every parser sees what we saw. Preambles, epilogues and what
could not be read as a header are not written.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.mail import canonical, mark
from gateway.mail.entity import CRLF, MESSAGE, PARTS, Boundaries, content_field
from gateway.mail.fragments import Fragments
from gateway.mail.result import Safe
from gateway.mail.tree import Kind, Message, Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.mail.entity import Entity
    from gateway.mail.result import Result
    from gateway.mail.step import Plan
    from gateway.mail.tree import Header

_KEPT_FIELDS = frozenset({"content-id", "x-attachment-id"})  # of a replaced part: what the HTML beside it refers to


def rebuild(message: Message, plan: Plan, results: Mapping[str, Result]) -> bytes:
    """Give the message to relay. A part without a result becomes a notice; a refused plan is a caller's error."""
    if plan.refused:
        raise ValueError("a refused message is not rebuilt")
    if not plan.changes:
        return message.raw
    fragments = Fragments(message.raw, plan, results)
    if plan.canonical:
        return canonical.write(message.root, fragments)
    edits: list[tuple[int, int, bytes]] = []
    changed = _edit(message.root, None, fragments, edits)
    edits += _marked(message.root, plan.mark, is_written=changed and message.root.kind is Kind.LEAF)
    return _spliced(message.raw, sorted(edits))


def _marked(root: Part, told: str, *, is_written: bool) -> list[tuple[int, int, bytes]]:
    """Our mark on top, and no other: nothing else of the header moves. `is_written`: the header is already."""
    if not is_written and mark.is_right(root, told):
        return []
    strangers = [] if is_written else [(h.span.start, h.span.end, b"") for h in root.headers if mark.is_mark(h)]
    return [(0, 0, mark.field(told)), *strangers] if told else strangers


def inside(message: Message, plan: Plan, results: Mapping[str, Result], place: str) -> bytes:
    """Write a message that was in a container: always anew, so that it holds nothing but our own reading.

    The mark is for the outermost header.
    """
    return canonical.write(message.root, Fragments(message.raw, replace(plan, mark=""), results, place))


def inside_as_part(message: Message, plan: Plan, results: Mapping[str, Result], place: str) -> bytes:
    """Write a MIME entity that was in a container, as the part that takes its place: header and body."""
    return canonical.entity_of(message.root, Fragments(message.raw, plan, results, place)).written()


def clash(message: Message, plan: Plan, results: Mapping[str, Result]) -> bool:
    """Whether a message would read in two ways if it were spliced.

    So it is where a boundary of the sender's stands in what was inside a file, or one of ours begins with it.
    """
    written = [
        result.content.lower()
        for result in results.values()
        if isinstance(result, Safe) and result.media_type in (MESSAGE, PARTS)
    ]
    if any(step.block for step in plan.steps):  # a text, with its files beside it
        written.append(Boundaries(message.raw).fresh().encode())
    outer = {part.boundary.strip(b"- ").lower() for part in message.root.walk() if written and part.boundary}
    return any(boundary in content for boundary in outer for content in written)


def _spliced(raw: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    pieces: list[bytes] = []
    position = 0
    for start, end, new in edits:
        pieces += [raw[position:start], new]
        position = end
    return b"".join([*pieces, raw[position:]])


def _edit(part: Part, parent: Part | None, fragments: Fragments, edits: list[tuple[int, int, bytes]]) -> bool:
    """Note what to replace in and below `part`; True where anything changes."""
    if part.kind is Kind.LEAF:
        if fragments.is_untouched(part):
            return False
        is_root = parent is None or parent.kind is Kind.MESSAGE
        headers = [h for h in part.headers if parent or not mark.is_mark(h)]
        new = _replacement(part, headers, fragments, is_root=is_root)
        edits.append((part.span.start, part.span.end, new))
        return True
    stays = [child for child in part.children if not fragments.is_gone(child)]
    changes = [_edit(child, part, fragments, edits) for child in stays]
    if len(stays) < len(part.children):
        edits += _cut_out(part.children, stays)
        changes.append(True)
    if fragments.is_renamed(part):
        edits += _renamed(part)
        changes.append(True)
    if any(changes) and part.content_type in canonical.BROKEN_BY_CHANGE:
        edits += _as_mixed(part)
    return any(changes)


def _cut_out(children: tuple[Part, ...], stays: list[Part]) -> list[tuple[int, int, bytes]]:
    """Take parts out of a multipart, each with one delimiter."""
    kept, last = {child.path for child in stays}, stays[-1]
    edits = [
        (child.span.start, following.span.start, b"")
        for child, following in itertools.pairwise(children)
        if child.path not in kept and child.span.start < last.span.start
    ]
    if children[-1].path not in kept:
        edits.append((last.span.end, children[-1].span.end, b""))
    return edits


def _renamed(part: Part) -> list[tuple[int, int, bytes]]:
    """Give an attached message a safe name, in the fields that it has."""
    new = {
        "content-type": content_field("Content-Type", "message/rfc822", []) + CRLF,
        "content-disposition": canonical.message_disposition(part) + CRLF,
        "content-description": b"",
    }
    return [(h.span.start, h.span.end, new[h.name]) for h in part.headers if h.name in new]


def _replacement(part: Part, headers: list[Header], fragments: Fragments, *, is_root: bool) -> bytes:
    """The new header and body of a leaf; a message's other fields stay where they were."""
    entity = fragments.leaf(part, is_root=is_root)
    fields = list(entity.fields)
    if not is_root:
        kept = [h for h in headers if h.name in _KEPT_FIELDS and not _has(entity, h.name)]
        return b"".join([_joined(fields), *(h.span.of(part.source) for h in kept), CRLF, entity.body])
    if not any(h.name == "mime-version" for h in headers):
        fields.insert(0, b"MIME-Version: 1.0")
    mime = [h for h in headers if h.name.startswith("content-")]
    pieces = [h.span.of(part.source) for h in headers if h not in mime]
    before = sum(1 for h in headers if h not in mime and mime and h.span.start < mime[0].span.start)
    pieces.insert(before if mime else len(pieces), _joined(fields))
    return b"".join([*pieces, CRLF, entity.body, b"" if entity.body.endswith(CRLF) else CRLF])


def _has(entity: Entity, name: str) -> bool:
    return any(f.lower().startswith(name.encode() + b":") for f in entity.fields)


def _joined(fields: list[bytes]) -> bytes:
    return b"".join(f + CRLF for f in fields)


def _as_mixed(part: Part) -> list[tuple[int, int, bytes]]:
    """A signed or encrypted multipart that no longer is: the type goes, the boundary stays."""
    boundary = part.boundary.decode("ascii")
    new = content_field("Content-Type", "multipart/mixed", [f'boundary="{boundary}"']) + CRLF
    return [(h.span.start, h.span.end, new) for h in part.headers if h.name == "content-type"]
