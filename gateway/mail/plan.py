"""Decides what becomes of every leaf of a message: one `Step` each, with the reason (the table in README.md).

Pure: tree and policy in, plan out. Every leaf, every attached message and every file inside a text gets exactly one
step. What is in doubt is an attachment: only what is text by its header and by its bytes is kept as text.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from gateway.mail import ambiguity, apple, armor, content, decode, embedded, mark, neutral, sealed, signature
from gateway.mail.filename import candidates, safe_filename
from gateway.mail.reasons import (
    AMBIGUOUS,
    ATTACHMENT,
    CALENDAR,
    DISPLAYED_TEXT,
    ENCRYPTED_MAIL,
    ENCRYPTED_TEXT,
    FRAGMENT,
    HELD,
    HIDDEN_IN_TEXT,
    HIDDEN_PART,
    HTML_NEUTRALISED,
    INLINE_IMAGE,
    MESSAGE,
    MESSAGE_RENAMED,
    OPAQUE_SIGNED,
    REPORT,
    RESOURCE_FORK,
    SIGNATURE,
    SIGNATURE_VOID,
)
from gateway.mail.step import PGP_CONTROL, Action, Plan, Step, changes_bytes, part_content, text_content
from gateway.mail.tree import Kind, Message, Part
from sandbox.client import Want

if TYPE_CHECKING:
    from gateway.mail.embedded import Block
    from gateway.mail.policy import Policy

_FRAGMENTS = frozenset({"message/partial", "message/external-body"})
_REPORTS = frozenset(
    {
        "message/delivery-status",
        "message/disposition-notification",
        "message/feedback-report",
        "message/tracking-status",
        "message/global-delivery-status",
        "message/global-disposition-notification",
        "message/global-headers",
        "text/rfc822-headers",
    }
)
_HTML = frozenset({"text/html", "text/x-amp-html", "text/watch-html"})  # the last two: other displays, other scripts
_TEXTS = frozenset({"text/plain", "text/calendar", *_HTML})
_CMS = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_OCTETS = "application/octet-stream"
# of what is inside a text, that which no sandbox sees: why it goes
_REMOVED_BLOCKS = {"mime": HIDDEN_PART, "pgp": ENCRYPTED_MAIL, "wrap": OPAQUE_SIGNED, "sig": SIGNATURE_VOID}
_REPORT_BYTES = 262_144  # a delivery status has some hundred bytes a recipient
_CALENDAR_NAMES = (".ics", ".ical", ".ifb", ".vcs")
_TEXT_BYTES = 16_777_216  # what is longer is no text that anybody reads, but a file
_CID = re.compile(rb"(?i)cid:([^\"'\s<>)]{1,250})")
_PGP_VERSION = re.compile(rb"\s*Version:[ \t]*1\s*")


def make_plan(message: Message, policy: Policy) -> Plan:
    """Plan the whole message; never raises."""
    planner = _Planner(message, policy)
    steps = planner.steps()
    ambiguities = tuple(sorted({*message.ambiguities, *planner.notes}))
    canonical = bool(ambiguities)
    if canonical and not message.ambiguities:  # only seen while planning: look at every text again, harder
        planner = _Planner(Message(message.raw, message.root, ambiguities), policy)
        steps = planner.steps()
    refused = _refusal(ambiguities, policy)
    if refused:
        steps = [_with(step, Action.REFUSE, refused) for step in steps]
    held = "" if refused else _why_held(ambiguities, steps, policy)
    if held:
        waits = AMBIGUOUS if held == AMBIGUOUS else HELD
        steps = [_with(step, Action.REMOVE, waits) if _is_file(step) else step for step in steps]
    told = mark.ENCRYPTED if any(step.action is Action.KEEP and step.part in planner.sealed for step in steps) else ""
    changes = bool(held) or canonical or any(changes_bytes(step) for step in steps)
    changes = changes or not mark.is_right(message.root, told)
    return Plan(tuple(steps), refused, changes, canonical or bool(held), ambiguities, held, told)


def _why_held(ambiguities: tuple[str, ...], steps: list[Step], policy: Policy) -> str:
    if policy.ambiguous == "hold" and _is_ambiguous(ambiguities):
        return AMBIGUOUS
    sealed_away = any(step.action is Action.REMOVE and step.reason == ENCRYPTED_MAIL for step in steps)
    return ENCRYPTED_MAIL if policy.encrypted_mail == "hold" and sealed_away else ""


def _refusal(ambiguities: tuple[str, ...], policy: Policy) -> str | None:
    over = [name for name in ambiguities if name in ambiguity.LIMITS]
    if over and policy.over_bounds == "refuse":
        return over[0]
    return AMBIGUOUS if _is_ambiguous(ambiguities) and policy.ambiguous == "refuse" else None


def _is_ambiguous(ambiguities: tuple[str, ...]) -> bool:
    """True where parsers disagree; a message that is only over a bound is another matter."""
    return not ambiguity.LIMITS.issuperset(ambiguities)


def _is_file(step: Step) -> bool:
    """What waits where a message is held: all that is neither text nor report, nor removed for a reason of its own."""
    return step.action is Action.FLATTEN or (step.action is Action.KEEP and step.reason in (ENCRYPTED_MAIL, SIGNATURE))


def _with(step: Step, action: Action, reason: str) -> Step:
    return replace(step, action=action, want=None, reason=reason)


class _Planner:
    """Walks the tree once; `notes` are ambiguities that only the decoded text shows."""

    def __init__(self, message: Message, policy: Policy) -> None:
        self.root = message.root
        self.policy = policy
        self.suspicious = bool(message.ambiguities)
        self.notes: set[str] = set()
        self.sealed: set[str] = set()  # the parts that stay although nobody can look into them
        self.cids = self._referenced()

    def steps(self) -> list[Step]:
        return self._container(self.root, None)

    def _referenced(self) -> frozenset[str]:
        """The Content-IDs that any HTML of the message shows (RFC 2392)."""
        found: set[str] = set()
        for part in self.root.walk():
            if part.kind is Kind.LEAF and _HTML & set(part.types):
                found.update(unquote(cid.decode("latin-1")) for cid in _CID.findall(part_content(part)))
        return frozenset(found)

    def _container(self, part: Part, parent: Part | None) -> list[Step]:
        if part.kind is Kind.LEAF:
            return self._leaf(part, parent)
        own = [self._step(part, Action.UNPACK, _message_reason(part))] if part.kind is Kind.MESSAGE else []
        if part.content_type == "multipart/encrypted":
            return self._encrypted(part)
        forks = apple.header_files(part, part_content)
        below = [
            step
            for child in part.children
            for step in (
                [self._step(child, Action.REMOVE, RESOURCE_FORK)]
                if child.path in forks
                else self._container(child, part)
            )
        ]
        if part.content_type == "multipart/signed":
            below = self._signed(part, below)
        return own + below

    # containers with a meaning of their own

    def _encrypted(self, part: Part) -> list[Step]:
        """RFC 3156 section 4: a version part and one armored message; anything else is no encrypted mail."""
        leaves = part.children
        if (
            len(leaves) == 2  # noqa: PLR2004 - exactly two, says section 4
            and [leaf.kind for leaf in leaves] == [Kind.LEAF, Kind.LEAF]
            and leaves[0].content_type == PGP_CONTROL
            and leaves[1].content_type == _OCTETS
            and _PGP_VERSION.fullmatch(part_content(leaves[0]))
            and sealed.is_pgp_encrypted(part_content(leaves[1]))
            and safe_filename(leaves[1].untrusted_filename, "x.asc").lower().endswith((".asc", ".pgp", ".gpg"))
        ):
            return [self._encrypted_step(leaf) for leaf in leaves]
        return [step for child in leaves for step in self._container(child, part)]

    def _encrypted_step(self, part: Part) -> Step:
        if self.policy.encrypted_mail != "keep":
            return self._step(part, Action.REMOVE, ENCRYPTED_MAIL)
        self.sealed.add(part.path)
        return self._step(part, Action.KEEP, ENCRYPTED_MAIL)

    def _signed(self, part: Part, steps: list[Step]) -> list[Step]:
        """A signature stays only where every byte it speaks of stays (RFC 1847 section 2.1)."""
        last = part.children[-1]
        if len(part.children) != 2 or not signature.is_signature(last):  # noqa: PLR2004 - exactly two, says section 2.1
            return steps
        others = [step for step in steps if step.source is not last]
        whole = not self.suspicious and not any(changes_bytes(step) for step in others)
        step = self._step(last, Action.KEEP, SIGNATURE) if whole else self._step(last, Action.REMOVE, SIGNATURE_VOID)
        return [*others, replace(step, said=signature.said_of(part, last))]

    # leaves

    def _leaf(self, part: Part, parent: Part | None) -> list[Step]:
        if part.limit:
            return [self._step(part, Action.REMOVE, part.limit)]
        if self._says_text(part) and self._is_text(part):
            return self._text(part)
        return [self._other(part, parent)]

    def _other(self, part: Part, parent: Part | None) -> Step:
        if _FRAGMENTS & set(part.types):
            return self._step(part, Action.REMOVE, FRAGMENT)
        if _CMS & set(part.types) or _is_nameless_cms(part):
            return self._cms(part)
        if self._is_report(part):
            return self._step(part, Action.KEEP, REPORT)
        if self._is_inline_image(part, parent):
            return self._step(part, Action.FLATTEN, INLINE_IMAGE, Want.IMAGE)
        return self._step(part, Action.FLATTEN, ATTACHMENT, Want.PDF)

    def _cms(self, part: Part) -> Step:
        """Enveloped by its own bytes: encrypted mail. Anything else is a wrapper that could carry what it likes."""
        name = safe_filename(part.untrusted_filename, "smime.p7m").lower()
        if name.endswith(".p7m") and len(part.types) == 1 and sealed.is_enveloped(part_content(part)):
            return self._encrypted_step(part)
        return self._step(part, Action.REMOVE, OPAQUE_SIGNED)

    @staticmethod
    def _is_report(part: Part) -> bool:
        if len(part.types) != 1 or part.types[0] not in _REPORTS or len(part.encodings) != 1:
            return False
        data = part_content(part)
        if part.untrusted_filename or len(data) > _REPORT_BYTES or not content.is_header_form(data):
            return False
        return not embedded.find_blocks(data, "text/plain", suspicious=False)

    @staticmethod
    def _says_text(part: Part) -> bool:
        """Text by its header, in an encoding that is known, and not called a file."""
        if len(part.types) > 1 or part.content_type not in _TEXTS:
            return False
        named = bool(part.untrusted_filename) or part.disposition not in ("", "inline")
        if named and part.content_type == "text/calendar":
            named = not safe_filename(part.untrusted_filename, "x.ics").lower().endswith(_CALENDAR_NAMES)
        known = len(part.encodings) == 1 and part.encoding not in (decode.UNKNOWN, decode.UUENCODE)
        charsets = candidates(list(part.params.items()), "charset")
        return not named and known and all(content.is_ascii_charset(charset) for charset in charsets)

    def _is_text(self, part: Part) -> bool:
        """Text by its bytes."""
        data = part_content(part)
        calendar = part.content_type == "text/calendar"
        if calendar and not data.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].upper().startswith(b"BEGIN:VCALENDAR"):
            return False
        if len(data) > _TEXT_BYTES:
            return False
        if part.content_type in _HTML and self.policy.html_bodies == "neutralise" and neutral.is_too_tangled(data):
            return False
        if part.content_type != "text/plain" and embedded.hides_urls(data):
            self.notes.add(ambiguity.HIDDEN_TEXT)
            return False
        data = embedded.outside_yenc(data)
        few_nuls = data.count(b"\0") * 100 <= len(data) + 400  # they are cut out; one or two make no binary
        return few_nuls and not content.is_binary(data.replace(b"\0", b""))

    def _is_inline_image(self, part: Part, parent: Part | None) -> bool:
        """A picture that the HTML shows: by Content-ID, or inline beside it in a multipart/related (RFC 2387)."""
        if not part.content_type.startswith("image/") or not part.content_id:
            return False
        related = parent is not None and parent.content_type == "multipart/related"
        return part.content_id in self.cids or (related and part.disposition != "attachment")

    def _text(self, part: Part) -> list[Step]:
        """A displayed text, and a step for every file inside it."""
        data = text_content(part)
        blocks = self._blocks(part, data)
        numbers: dict[str, int] = {}
        steps = [self._step(part, Action.KEEP, self._why_displayed(part, data, blocks))]
        for block in blocks:
            numbers[block.kind] = numbers.get(block.kind, 0) + 1
            steps.append(self._block_step(part, block, f"{part.path}/{block.kind}{numbers[block.kind]}"))
        return steps

    def _blocks(self, part: Part, data: bytes) -> list[Block]:
        """Files, PGP messages that may not stay, and the signatures over what these are taken out of."""
        away = []
        for found in armor.messages(data):
            if found.kind == "pgp" and self.policy.encrypted_mail == "keep":
                self.sealed.add(part.path)
            else:
                away.append(found)
        blocks = embedded.find_blocks(data, part.content_type, suspicious=self.suspicious, more=away)
        void = list(armor.void_signatures(data, blocks)) if blocks else []
        return embedded.apart([*blocks, *void], len(data)) if void else blocks

    def _why_displayed(self, part: Part, data: bytes, blocks: list[Block]) -> str:
        if part.content_type == "text/calendar":
            return CALENDAR
        if part.content_type in _HTML and self.policy.html_bodies == "neutralise":
            charset = part.params.get("charset", "")
            return DISPLAYED_TEXT if not blocks and neutral.is_inert(data, charset) else HTML_NEUTRALISED
        return ENCRYPTED_TEXT if part.path in self.sealed else DISPLAYED_TEXT

    @staticmethod
    def _block_step(part: Part, block: Block, path: str) -> Step:
        name = safe_filename(block.untrusted_name)
        if reason := _REMOVED_BLOCKS.get(block.kind):
            return Step(path, Action.REMOVE, None, reason, name, block.media_type, part, block, block.said)
        shown = block.kind == "data" and block.media_type.startswith("image/")
        want = Want.IMAGE if shown else Want.PDF
        return Step(path, Action.FLATTEN, want, HIDDEN_IN_TEXT, name, block.media_type, part, block)

    @staticmethod
    def _step(part: Part, action: Action, reason: str, want: Want | None = None) -> Step:
        name = safe_filename(part.untrusted_filename) if part.untrusted_filename or action is not Action.KEEP else ""
        return Step(part.path, action, want, reason, name, part.content_type, part)


def _message_reason(part: Part) -> str:
    """A message called x.hta would be opened as that: it gets a name of ours. Without a dot nothing opens it."""
    named = "." in part.untrusted_filename and not part.untrusted_filename.lower().endswith(".eml")
    return MESSAGE_RENAMED if named else MESSAGE


def _is_nameless_cms(part: Part) -> bool:
    """RFC 8551 section 3.2.1: gateways make octets of it, and programs go by the name."""
    return part.content_type == _OCTETS and part.untrusted_filename.lower().endswith((".p7m", ".p7z"))
