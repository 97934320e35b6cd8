"""The suite's outcome as Markdown: calls allowed, attempts on each runtime, how each was stopped, lies refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.policy import count
from tests.security.scene import NEXT, Result, grouped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(slots=True)
class Outcome:
    """Everything that was run."""

    machine: str
    runtimes: dict[str, list[Result]] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)  # runtimes that do not work here, and why
    lies: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)  # name, how it ended, faults

    @property
    def faults(self) -> list[str]:
        found = [
            f"{runtime}: {one.theme}: {one.name}: {fault}"
            for runtime, results in self.runtimes.items()
            for one in results
            for fault in one.faults
        ]
        return found + [f"lie: {name}: {fault}" for name, _, faults in self.lies for fault in faults]


def markdown(outcome: Outcome) -> str:
    parts = [
        outcome.machine,
        "## System calls that the outer policy allows\n\n"
        + rows(("policy", "allowed", "with a condition", "counted"), calls()),
        "## Attempts from inside the double sandbox\n\n"
        + rows(("runtime", "tried", "contained", "next documents", "how stopped (attempts)"), runtimes(outcome)),
        "## Lying answers against the host\n\n"
        + rows(("tried", "ended as they should", "how they ended"), lies(outcome)),
        "## Each attempt, and what stopped it\n\n" + rows(("theme", "attempt", *outcome.runtimes), attempts(outcome)),
    ]
    if outcome.faults:
        parts.insert(1, "## NOT CONTAINED\n\n" + "\n".join(f"- {fault}" for fault in outcome.faults))
    return "\n\n".join(parts) + "\n"


def rows(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    table = [headings, ["---"] * len(headings), *lines]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in table
    )


def calls() -> list[tuple[str, str, str, str]]:
    return [(row.policy, str(row.size.total), str(row.size.conditional), row.counted) for row in count.table()]


def runtimes(outcome: Outcome) -> list[tuple[str, str, str, str, str]]:
    lines = []
    for runtime, results in outcome.runtimes.items():
        tried = [one for one in results if one.name != NEXT]
        served = [one for one in results if one.name == NEXT]
        contained = str(sum(one.contained for one in tried))
        by = ", ".join(f"{kind} {number}" for kind, number in grouped(tried).most_common())
        ready = f"{sum(one.contained for one in served)} of {len(served)}"
        lines.append((runtime, str(len(tried)), contained, ready, by))
    return lines + [(runtime, "0", "", "", f"not here: {why}") for runtime, why in outcome.not_run.items()]


def lies(outcome: Outcome) -> list[tuple[str, str, str]]:
    ends = Counter(ended for _, ended, _ in outcome.lies)
    good = sum(not faults for _, _, faults in outcome.lies)
    told = ", ".join(f"{ended} {number}" for ended, number in ends.most_common())
    return [(str(len(outcome.lies)), str(good), told)]


def attempts(outcome: Outcome) -> list[tuple[str, ...]]:
    """A line an attempt; a runtime on which the same stopped it as on the first says so by `=`."""
    names = {
        (one.theme, one.name): None for results in outcome.runtimes.values() for one in results if one.name != NEXT
    }
    found = {runtime: {(one.theme, one.name): one for one in results} for runtime, results in outcome.runtimes.items()}
    lines = []
    for theme, name in names:
        cells = [told(results.get((theme, name))) for results in found.values()]
        same = [cells[0], *("=" if cell == cells[0] else cell for cell in cells[1:])]
        lines.append((theme, name, *same))
    return lines


def told(result: Result | None) -> str:
    if result is None:
        return ""
    return "; ".join(result.stopped) if result.contained else "NOT CONTAINED"
