"""What became of each part, for the report and the log: one record a step, whatever happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gateway.mail.plan import HTML_NEUTRALISED, NOT_EXAMINED, WHOLE, Action, Plan, Step, changes_bytes
from gateway.mail.result import Removed, Result, Safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Outcome = Literal["kept", "flattened", "repacked", "removed", "refused", "held", "neutralised"]


@dataclass(frozen=True, slots=True)
class PartRecord:
    """One part's end. `reason` is one of plan.OUR_REASONS or sandbox.contract.REASONS; `id` is of the kept original."""

    part: str
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


def records(plan: Plan, results: Mapping[str, Result]) -> list[PartRecord]:
    """One record a step, in the order of the message; before them one of the message itself, where it is held."""
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
    outcome = "repacked" if end.media_type == "application/zip" else "flattened"
    return PartRecord(step.part, step.name, step.declared, end.found, outcome, step.reason, "")
