"""What each leaf becomes in the new mail, by its step and its result. Used by both ways of writing a message.

Pure. Fails closed: a leaf without a step, or a step without a result, becomes a notice.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from gateway.mail import neutral, sealed
from gateway.mail.entity import (
    Boundaries,
    Entity,
    base64_body,
    content_field,
    content_id_field,
    multipart_entity,
    notice_entity,
    safe_entity,
    text_entity,
    token_param,
)
from gateway.mail.filename import header_parameters, safe_filename
from gateway.mail.reasons import CALENDAR, HTML_NEUTRALISED, MESSAGE_RENAMED, NOT_EXAMINED, REPORT
from gateway.mail.record import held_id, outcome_of
from gateway.mail.result import Removed, Result, Safe
from gateway.mail.step import Action, Plan, Step, goes_silently, part_content, text_content
from sandbox.client import Want

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.mail.tree import Part

_KEPT_PARAMS = ("charset", "format", "delsp", "method", "component")  # RFC 3676, RFC 5545: how a text is shown


class Fragments:
    """Finds the new form of each leaf of one message."""

    def __init__(self, raw: bytes, plan: Plan, results: Mapping[str, Result], place: str = "") -> None:
        self.boundaries = Boundaries(raw, place)
        self.ascii_only = bool(place)  # inside another message, which may go where 8-bit bytes do not
        self.held = plan.held
        self.mark = plan.mark
        self.held_id = held_id(results)
        self._results = results
        self._steps: dict[str, Step] = {}
        self._blocks: dict[str, list[Step]] = {}
        for step in plan.steps:
            if step.block:
                self._blocks.setdefault(step.source.path, []).append(step)
            else:
                self._steps[step.part] = step

    def is_untouched(self, part: Part) -> bool:
        """True for a leaf that stays as it is."""
        step = self._steps.get(part.path)
        same = step is not None and step.action is Action.KEEP and step.reason != HTML_NEUTRALISED
        return same and part.path not in self._blocks

    def is_kept(self, part: Part) -> bool:
        """True for a leaf that stays, perhaps without the files that were inside its text."""
        step = self._steps.get(part.path)
        return step is not None and step.action is Action.KEEP

    def is_gone(self, part: Part) -> bool:
        """True for a leaf in whose place nothing stands."""
        step = self._steps.get(part.path)
        return step is not None and goes_silently(step)

    def is_renamed(self, part: Part) -> bool:
        """True for an attached message that may not keep its file name."""
        step = self._steps.get(part.path)
        return step is not None and step.reason == MESSAGE_RENAMED

    def leaf(self, part: Part, *, is_root: bool) -> Entity:
        """The new form of a leaf."""
        step = self._steps.get(part.path)
        if step is None:
            return notice_entity("", part.content_type, Removed(NOT_EXAMINED), displayed=is_root)
        end = outcome_of(step, self._results)
        if isinstance(end, Safe):
            return safe_entity(end, part.content_id, inline=step.want is Want.IMAGE)
        if isinstance(end, Removed):
            return notice_entity(step.name, step.declared, end, displayed=is_root, said=step.said)
        if step.reason == REPORT or part.content_type == "application/pgp-encrypted":
            return _as_lines(part)
        if part.content_type.startswith("text/"):
            return self._text(part, step)
        return _sealed(part)

    def _text(self, part: Part, step: Step) -> Entity:
        text, files, pictures = self._without_files(part)
        params = [p for name in _KEPT_PARAMS for p in token_param(name, part.params.get(name, ""))]
        if step.reason == HTML_NEUTRALISED:
            shown = neutral.as_text(text, part.params.get("charset", ""))
            text, params = neutral.neutralise(shown, frozenset(pictures)).encode(), ["charset=utf-8"]
        more = content_id_field(part.content_id)
        if step.reason == CALENDAR and part.untrusted_filename:
            name = safe_filename(part.untrusted_filename)
            more.append(content_field("Content-Disposition", "attachment", header_parameters("filename", name)))
        entity = text_entity(part.content_type, params, text, more)
        return multipart_entity("mixed", [], [entity, *files], self.boundaries.fresh()) if files else entity

    def _without_files(self, part: Part) -> tuple[bytes, list[Entity], list[str]]:
        """The text as it will be shown, what stands beside it, and the pictures in it that are ours."""
        text = text_content(part)
        pieces: list[bytes] = []
        files: list[Entity] = []
        pictures: list[str] = []
        position = 0
        for inside in self._blocks.get(part.path, []):
            if inside.block is None:
                continue
            instead = self._stand_in(inside, part, files)
            if instead.startswith(b"data:"):
                pictures.append(instead.decode("ascii"))
            pieces += [text[position : inside.block.start], instead]
            position = inside.block.end
        return b"".join([*pieces, text[position:]]), files, pictures

    def _stand_in(self, step: Step, part: Part, files: list[Entity]) -> bytes:
        """What the text says where a file was: a picture made anew, or where to find the file's safe form."""
        end = outcome_of(step, self._results) or Removed(NOT_EXAMINED)
        kind = step.block.kind if step.block else ""
        if isinstance(end, Safe) and kind == "data" and end.media_type in ("image/png", "image/jpeg"):
            return b"data:" + end.media_type.encode() + b";base64," + base64_body(end.content).replace(b"\r\n", b"")
        if isinstance(end, Safe):
            files.append(safe_entity(end, "", inline=False))
        elif kind != "sig":  # of which the text itself says all that there is to say
            files.append(notice_entity(step.name, step.declared, end, displayed=False, said=step.said))
        if kind == "data":
            return b"about:blank"
        if kind == "ics":
            return b""
        mark = f"A file was taken out of this text: {step.name.encode('ascii', 'replace').decode()}"
        if kind == "sig":
            mark = f"Here was the digital signature of this text, from which a file was taken out. {step.said}"
        return (f"[{mark}]" if part.content_type == "text/plain" else html.escape(f"[{mark}]")).encode() + b"\r\n"


def _as_lines(part: Part) -> Entity:
    """A report: its lines as they are (RFC 3464 section 2.1 allows no encoding)."""
    lines = part_content(part).replace(b"\0", b"").splitlines()
    media_type = part.content_type
    body = b"\r\n".join([*lines, b""])
    encoding = [] if body.isascii() else [b"Content-Transfer-Encoding: 8bit"]  # RFC 6533 section 3
    return Entity((content_field("Content-Type", media_type, []), *encoding), body)


def _sealed(part: Part) -> Entity:
    """Encrypted mail, in an encoding of ours; its content is what only the one it is for can open."""
    content = part_content(part)
    if sealed.is_pgp_encrypted(content):
        name = content_field("Content-Type", "application/octet-stream", ['name="encrypted.asc"'])
        return Entity((name,), b"\r\n".join([*content.splitlines(), b""]))
    params = [f"smime-type={sealed.smime_type(content)}", 'name="smime.p7m"']
    fields = (
        content_field("Content-Type", "application/pkcs7-mime", params),
        b"Content-Transfer-Encoding: base64",
        content_field("Content-Disposition", "attachment", ['filename="smime.p7m"']),
    )
    return Entity(fields, base64_body(content))
