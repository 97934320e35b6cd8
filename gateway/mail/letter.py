"""A message, or a part in MIME, that was inside a file: read, planned and written like the message around it. Pure.

What is written is always our own reading, so that nothing of the file's structure is left. One thing is made easy for
senders: a message in a file often has the line ends of its writer's system, which is no ambiguity there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.mail import ambiguity
from gateway.mail.content import crlf
from gateway.mail.parse import parse
from gateway.mail.plan import make_plan
from gateway.mail.reasons import SIGNATURE, SIGNATURE_VOID
from gateway.mail.step import Action
from gateway.mail.tree import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.mail.policy import Policy
    from gateway.mail.step import Plan, Step
    from gateway.mail.tree import Bounds, Message, Part


@dataclass(frozen=True, slots=True)
class Letter:
    """What was read, and what is to become of it."""

    message: Message
    plan: Plan

    @property
    def parts(self) -> int:
        """How many there are, files inside texts among them."""
        return sum(1 for _ in self.message.root.walk()) + sum(1 for step in self.plan.steps if step.block)

    @property
    def over(self) -> str:
        """The bound over which it was not read any further, or why policy wants none of it; else ""."""
        for name in (ambiguity.TOO_DEEP, ambiguity.TOO_MANY_PARTS):
            if name in self.message.ambiguities:
                return name
        return self.plan.refused or ""

    def to_flatten(self) -> Iterator[tuple[Step, int]]:
        """The documents in it, with how deep each lies."""
        depths = dict(_depths(self.message.root, 0))
        return ((step, depths[step.source.path]) for step in self.plan.steps if step.action is Action.FLATTEN)

    @property
    def kept_bytes(self) -> int:
        """How much of it goes on as it is: headers and texts."""
        bodies = {step.source.path: len(step.source.body) for step in self.plan.steps if _gives_way(step)}
        return len(self.message.raw) - sum(bodies.values())


def read_letter(untrusted_bytes: bytes, bounds: Bounds, policy: Policy) -> Letter:
    """Read what was inside a file; never raises."""
    if b"\r\n" not in untrusted_bytes:
        untrusted_bytes = crlf(untrusted_bytes)
    message = parse(untrusted_bytes, bounds)
    return Letter(message, anew(make_plan(message, policy)))


def anew(plan: Plan) -> Plan:
    """Have the whole message written anew, though it can be read in one way only; no signature holds after that."""
    steps = (
        replace(step, action=Action.REMOVE, reason=SIGNATURE_VOID) if step.reason == SIGNATURE else step
        for step in plan.steps
    )
    return replace(plan, steps=tuple(steps), canonical=True, changes=True)


def _gives_way(step: Step) -> bool:
    return not step.block and step.action in (Action.FLATTEN, Action.REMOVE)


def _depths(part: Part, depth: int) -> Iterator[tuple[str, int]]:
    if part.kind is Kind.LEAF:
        yield part.path, depth
    for child in part.children:
        yield from _depths(child, depth + 1)
