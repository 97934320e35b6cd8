"""What a hostile program is, what is seen of it, and the verdict. Nothing passes because nothing happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

FLATTENED = "flattened"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a sandbox used, by its cgroup; zeros and `bound` False where it had none that we could find."""

    bound: bool = False
    memory: int = 0  # bytes, the highest seen
    processes: int = 0  # likewise
    memory_refused: int = 0  # times that the memory bound was met
    processes_refused: int = 0  # times that a fork or clone was refused by the bound
    killed: int = 0  # processes killed for memory
    favoured: int = 0  # processes with a better priority, or safer from the memory killer, than who started them


@dataclass(frozen=True, slots=True)
class Evidence:
    """What came of one run: what the program said, and what was seen from outside."""

    outcome: str  # FLATTENED, or a reason of the contract
    events: tuple[dict[str, Any], ...]
    usage: Usage
    seen: int  # processes of it that were seen from outside
    left: tuple[str, ...]  # processes of the sandbox that are still there
    leaked: tuple[str, ...]  # secrets of the host or of a neighbour found in what came out
    output_bytes: int | None  # size of the output file; None where there is none
    host_growth: int  # bytes by which this process grew
    seconds: float
    neighbour: tuple[dict[str, Any], ...] = ()  # events of the sandbox beside it

    @property
    def tries(self) -> list[dict[str, Any]]:
        return [event for event in self.events if "tried" in event]

    @property
    def facts(self) -> dict[str, Any]:
        return {event["fact"]: event["value"] for event in self.events if "fact" in event}

    @property
    def done(self) -> bool:
        return any("done" in event for event in self.events)


Proof = Callable[[Evidence], str]  # "" or what was wrong


def nothing_more(_: Evidence) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One hostile program. Whatever its `proof` asks for, all that `faults` looks at holds too."""

    theme: str
    name: str
    program: str
    ends: frozenset[str] = frozenset({FLATTENED})  # outcomes that mean: contained
    proof: Proof = nothing_more
    limits: dict[str, Any] = field(default_factory=dict)  # differences from run.LIMITS
    padding: int = 0  # bytes after the program, which the loader leaves unread
    neighbour: str = ""  # a program in a second sandbox, started before and still there
    before: str = ""  # a program in a sandbox that has ended before
    bomb: bool = False  # afterwards a normal document is flattened at once
    sample: bool = False  # among those tried on every runtime by the test suite


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one attempt was contained, by what, and what speaks against it."""

    attempt: Attempt
    evidence: Evidence | None
    faults: tuple[str, ...]

    @property
    def contained(self) -> bool:
        return not self.faults

    @property
    def stopped(self) -> tuple[str, ...]:
        return how_stopped(self.evidence) if self.evidence else ()


def judge(attempt: Attempt, evidence: Evidence) -> Verdict:
    """All that speaks against an attempt's being contained, or against its having been an attempt at all."""
    found = [f"the program failed to run:\n{event['error']}" for event in evidence.events if "error" in event]
    found += [f"{event['tried']}: worked: {event['escaped']}" for event in evidence.events if "escaped" in event]
    if not evidence.tries:
        found.append("nothing was tried")
    if evidence.outcome not in attempt.ends:
        found.append(f"ended as {evidence.outcome}, not as one of {', '.join(sorted(attempt.ends))}")
    if evidence.outcome == FLATTENED and not evidence.done:
        found.append("a whole answer, though the program did not come to its end")
    if (evidence.output_bytes is None) != (evidence.outcome != FLATTENED):
        found.append(f"output file of {evidence.output_bytes} bytes after {evidence.outcome}")
    if not evidence.seen:
        found.append("no process of it was seen from outside: that none is left would prove nothing")
    found += [f"outlived its job: {process}" for process in evidence.left]
    found += [f"leaked: {secret}" for secret in evidence.leaked]
    if evidence.usage.favoured:
        found.append("a process of it was given a better place on the host than who started it")
    try:
        wrong = attempt.proof(evidence)
    except KeyError as missing:
        wrong = f"the program did not tell {missing}"
    if wrong:
        found.append(wrong)
    return Verdict(attempt, evidence, tuple(found))


BY_CODE = {
    "EROFS": "read-only root",
    "ENETUNREACH": "no network",
    "ENETDOWN": "no network",
    "EHOSTUNREACH": "no network",
    "EADDRNOTAVAIL": "no network",
    "TimeoutError": "nobody comes",
    "gaierror": "no name service",
}
BY_OUTCOME = {
    "deadline": "deadline: killed",
    "sandbox_lied": "host: answer refused",
    "output_too_large": "host: output bound",
}


def how_stopped(evidence: Evidence) -> tuple[str, ...]:
    """What stopped it, from what was observed: each distinct answer once, in the order seen."""
    seen: dict[str, None] = {}
    for event in evidence.tries:
        got = event.get("got", "")
        code = got.isupper() and got.startswith("E")
        if got:
            seen[BY_CODE.get(got, f"gVisor: {got}" if code else got)] = None
    usage = evidence.usage
    full = usage.killed or usage.memory_refused
    if evidence.outcome in ("sandbox_died", "out_of_memory"):
        seen[
            "cgroup: memory" if full else "host: memory" if evidence.outcome == "out_of_memory" else "host: no end mark"
        ] = None
    elif evidence.outcome in BY_OUTCOME:
        seen[BY_OUTCOME[evidence.outcome]] = None
    elif evidence.outcome != FLATTENED:
        seen[f"host: {evidence.outcome}"] = None
    if usage.processes_refused:
        seen["cgroup: processes"] = None
    return tuple(seen)
