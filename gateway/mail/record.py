"""What became of each part, for the report and the log: one record a step, whatever happened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from gateway.mail.entity import MESSAGE, PARTS
from gateway.mail.reasons import HTML_NEUTRALISED, NOT_EXAMINED, WHOLE
from gateway.mail.result import Removed, Result, Safe
from gateway.mail.step import Action, Plan, Step, changes_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_REPACKED = frozenset({"application/zip", MESSAGE, PARTS})
Outcome = Literal["kept", "flattened", "repacked", "removed", "refused", "held", "neutralised"]


@dataclass(frozen=True, slots=True)
class PartRecord:
    """One part's end. `reason` is of reasons.OUR_REASONS or sandbox.contract.REASONS; `id` is of the kept original."""

    part: str  # what was in a container has its id, a slash, and its own place there: 2/1, and 2/1.3 in a message
    name: str
    declared: str
    found: str
    outcome: Outcome
    reason: str
    id: str


def outcome_of(step: Step, results: Mapping[str, Result]) -> Safe | Removed | None:
    """What stands in a part's place; None where it stays. A part without an answer is removed: never passed."""
    if step.action in (Action.KEEP, Action.UNPACK):
        return None
    result = results.get(step.part)
    if step.action is Action.FLATTEN:
        return result or Removed(NOT_EXAMINED)
    return result if isinstance(result, Removed) else Removed(step.reason)


def held_id(results: Mapping[str, Result]) -> str:
    """Under which the original of a held message is kept."""
    whole = results.get(WHOLE)
    return whole.id if isinstance(whole, Removed) else ""


def records(
    plan: Plan, results: Mapping[str, Result], inside: Mapping[str, Sequence[PartRecord]] | None = None, above: str = ""
) -> list[PartRecord]:
    """One record a step, in the order of the message; before them one of the message itself, where it is held.

    `inside` has what was in a container, by the record's id, and follows it; `above` is the id of the container that
    the message itself was in, with a slash.
    """
    inside = inside or {}
    found = [replace(record, part=above + record.part) for record in _records(plan, results)]
    return [each for record in found for each in _with_members(record, inside.get(record.part))]


def _with_members(record: PartRecord, members: Sequence[PartRecord] | None) -> list[PartRecord]:
    if not members:
        return [record]
    return [record if record.id else replace(record, outcome="repacked"), *members]


def _records(plan: Plan, results: Mapping[str, Result]) -> list[PartRecord]:
    changed = {above for step in plan.steps if changes_bytes(step) for above in _and_above(step.part)}
    held = PartRecord(WHOLE, "", "message/rfc822", "", "held", plan.held, held_id(results))
    return [*[held] * bool(plan.held), *(_record(step, results, changed) for step in plan.steps)]


def _and_above(part: str) -> Iterator[str]:
    """The id of a part, and of all that it is inside of."""
    pieces = part.split(".")
    return (".".join(pieces[:depth]) for depth in range(1, len(pieces) + 1))


def _record(step: Step, results: Mapping[str, Result], changed: set[str]) -> PartRecord:
    if step.action is Action.REFUSE:
        return PartRecord(step.part, step.name, step.declared, "", "refused", step.reason, "")
    if step.action is Action.UNPACK:
        outcome: Outcome = "repacked" if step.part in changed else "kept"
        return PartRecord(step.part, step.name, step.declared, "", outcome, step.reason, "")
    end = outcome_of(step, results)
    if end is None:
        outcome = "neutralised" if step.reason == HTML_NEUTRALISED else "kept"
        return PartRecord(step.part, step.name, step.declared, "", outcome, step.reason, "")
    if isinstance(end, Removed):
        return PartRecord(step.part, step.name, step.declared, end.found, "removed", end.reason, end.id)
    outcome = "repacked" if end.media_type in _REPACKED else "flattened"
    return PartRecord(step.part, step.name, step.declared, end.found, outcome, step.reason, "")
