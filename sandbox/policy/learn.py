"""What the stack really calls: every document on every runtime and platform, until nothing new comes.

For each runtime and platform that starts here, three passes:
1. the small documents under a policy that names nothing: each call is let through and logged, so all calls are seen;
2. the same under notification: the arguments of each call that has forms;
3. all documents under the policy itself, but what it would refuse is let through and logged; where that shows something
   new, it is noted, its arguments are asked for, and the pass is run again.
Calls of LEFT_OUT are refused in 2 and 3, so that what is called instead is seen.

Needs root (the kernel's log) and a machine where nobody else runs a policy that logs. Whether a document comes back
flattened does not matter here: hostile ones make calls too.
"""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.client import Limits, SandboxSettings, SandboxUnavailableError
from sandbox.host import choice, service
from sandbox.host.runtime.base import Plan
from sandbox.image import cache
from sandbox.policy import compose, kernel, listener
from sandbox.policy.calls import CALLS, LEFT_OUT, Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMITS = replace(Limits(), seconds=90.0, page_seconds=60.0)  # a bomb is stopped, not waited for
AT_ONCE = 2  # documents whose calls are told apart from others' only together
MOST_PASSES = 5  # of the third kind; each adds what it saw, so that a second one is mostly the last
COUNTED = {
    call.name: tuple(sorted({argument.index for form in call.forms for argument in form.arguments}))
    for call in CALLS
    if call.forms
}
POINTER = 1 << 32  # stands for every argument above it: addresses differ each time


@dataclass(slots=True)
class Seen:
    """What one runtime and platform were seen to call."""

    version: str
    documents: int = 0
    calls: set[str] = field(default_factory=set)
    arguments: dict[str, set[tuple[int, ...]]] = field(default_factory=dict)
    misfits: set[str] = field(default_factory=set)  # calls that were made in a form that is not listed

    def news(self) -> set[str]:
        """Calls that the policy would refuse, by their name or by their arguments, and does not mean to."""
        known = {call.name: call for call in CALLS}
        return (
            {name for name in self.calls if name not in known and name not in LEFT_OUT}
            | {
                f"{name}{tuple(hex(value) for value in values)}"
                for name, rows in self.arguments.items()
                for values in rows
                if not known[name].admits(spread(name, values))
            }
            | {f"{name} in another form" for name in self.misfits}
        )

    def record(self) -> dict[str, object]:
        """As JSON holds it: sorted, so that two runs of one stack differ in nothing."""
        rows = {
            name: sorted([hex(value) for value in row] for row in rows) for name, rows in sorted(self.arguments.items())
        }
        return {
            "version": self.version,
            "documents": self.documents,
            "calls": sorted(self.calls),
            "arguments": rows,
            "misfits": sorted(self.misfits),
        }


class Learner:
    """One runtime and platform under policies that learn."""

    def __init__(self, runtime: str, platform: str, plan: Plan, tell: Callable[[str], None]) -> None:
        self._runtime = choice.RUNTIMES[runtime]()
        self._where = f"{runtime}+{platform}"
        self._plan = replace(plan, platform=platform, limits=LIMITS, policy=plan.state / "learning.json")
        self._tell = tell
        self.seen = Seen(self._runtime.version())

    def run(self, small: list[Path], all_documents: list[Path]) -> Seen:
        """The three passes; raises SandboxUnavailableError where this runtime and platform do not start."""
        self.seen.documents = len(all_documents)
        with kernel.Log() as log:
            self._policy(compose.log_policy((), ()))
            self._flatten(small)
            self.seen.calls |= log.names()
            self._tell(f"{self._where}: {len(self.seen.calls)} calls; the log was overwritten {log.lost} times")
        self._ask_arguments(small)
        allowed = {call.name: call for call in CALLS}
        for number in range(1, MOST_PASSES + 1):
            new = self._pass(all_documents, allowed)
            self._tell(f"{self._where}: pass {number}: {', '.join(sorted(new)) or 'nothing new'}")
            if not new:
                return self.seen
            # whatever its arguments: only what is newer still is to show in the next pass
            allowed |= {name: Call(name, "seen just now") for name in new}
        return self.seen

    def _pass(self, documents: list[Path], allowed: dict[str, Call]) -> set[str]:
        news: set[str] = set()
        for start in range(0, len(documents), AT_ONCE):
            batch = documents[start : start + AT_ONCE]
            with kernel.Log() as log:
                self._policy(compose.log_policy(allowed.values(), LEFT_OUT))
                self._flatten(batch)
                new = log.names() - news - set(LEFT_OUT)
            if new:
                self._tell(f"{self._where}: {', '.join(sorted(new))} with {', '.join(path.name for path in batch)}")
                self._ask_arguments(batch)
            news |= new
        self.seen.calls |= news
        self.seen.misfits |= news & {call.name for call in CALLS}
        return news

    def _ask_arguments(self, documents: list[Path]) -> None:
        path = self._plan.state / "listener"
        path.unlink(missing_ok=True)
        with listener.Listener(path, COUNTED) as listening:
            self._policy(compose.notify_policy(CALLS, LEFT_OUT, str(path)))
            try:
                self._flatten(documents)
            except SandboxUnavailableError as error:  # Docker 20.10 knows no notification; the third pass still judges
                self._tell(f"{self._where}: no arguments: {error}")
        for name, rows in listening.seen.items():
            short = {tuple(min(value, POINTER) for value in row) for row in rows}
            self.seen.arguments.setdefault(name, set()).update(short)

    def _policy(self, made: dict[str, object]) -> None:
        self._plan.policy.write_text(compose.text(made))

    def _flatten(self, documents: list[Path]) -> None:
        def one(document: Path) -> None:
            output = self._plan.state / f"{document.name}.pdf"
            service.flatten_with(
                self._runtime, self._plan, document.read_bytes(), output, settings=SandboxSettings(limits=LIMITS)
            )
            output.unlink(missing_ok=True)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(one, documents))


def learn(
    small: list[Path], large: list[Path], settings: SandboxSettings, tell: Callable[[str], None]
) -> Iterator[tuple[str, Seen]]:
    """What each runtime and platform that starts here calls; those that do not start are told, and passed over."""
    image = cache.current_image(settings.cache_dir)
    if image is None:
        raise SandboxUnavailableError("the sandbox image is not built; run `lazaretto image build`")
    with kernel.unlimited_log(), tempfile.TemporaryDirectory(prefix="lazaretto-learn-") as state:
        plan = Plan(image, "", LIMITS, Path(state))
        everything = replace(plan, policy=plan.state / "everything.json")
        everything.policy.write_text(compose.text(compose.log_policy((), ())))
        for runtime, platform in choice.candidates(settings):
            trial = choice.attempt(runtime, platform, everything, settings)
            if trial.error:
                tell(f"{runtime}+{platform}: does not start: {trial.error}")
                continue
            yield f"{runtime}+{platform}", Learner(runtime, platform, plan, tell).run(small, [*small, *large])


def write(path: Path, learnt: dict[str, Seen]) -> None:
    """Record what was learnt; other runtimes' records stay as they are."""
    records = json.loads(path.read_text()) if path.exists() else {}
    records |= {where: seen.record() for where, seen in learnt.items()}
    path.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")


def read(path: Path) -> dict[str, Seen]:
    """What was recorded; nothing where there is no record."""
    records = json.loads(path.read_text()) if path.exists() else {}
    return {
        where: Seen(
            record["version"],
            record["documents"],
            set(record["calls"]),
            {
                name: {tuple(int(value, 16) for value in row) for row in rows}
                for name, rows in record["arguments"].items()
            },
            set(record.get("misfits", ())),
        )
        for where, record in records.items()
    }


def spread(name: str, values: tuple[int, ...]) -> tuple[int, ...]:
    """The counted arguments where they belong among six."""
    given = [0] * 6
    for index, value in zip(COUNTED[name], values, strict=True):
        given[index] = value
    return tuple(given)
