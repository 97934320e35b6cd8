"""Where attempts are made: the test image, the house around it, and each runtime that works here.

As an ordinary user attempts run in a process of that user (`as_user.py`); what is to be seen of them from outside is seen
by root, who holds the canaries.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sandbox.client import SandboxSettings, SandboxUnavailableError
from sandbox.host import choice
from sandbox.host.runtime.base import Plan
from sandbox.host.service import LocalSandbox, state_directory
from sandbox.image import cache
from tests.security.attempts import THEMES
from tests.security.house import House
from tests.security.image import attempts_image
from tests.security.run import LIMITS, Runner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox.image.cache import Image
    from tests.e2e.engines import OrdinaryUser
    from tests.security.attempt import Attempt, Verdict

NEXT = "and the next document"  # what stands for the house after a theme, beside the attempts


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table: an attempt on a runtime."""

    theme: str
    name: str
    faults: tuple[str, ...]
    stopped: tuple[str, ...]
    ended: str
    seconds: float

    @property
    def contained(self) -> bool:
        return not self.faults


@dataclass(slots=True)
class Scene:
    """The built image, the test image, and the house with its canaries."""

    built: Image
    image: Image
    house: House


@contextmanager
def opened() -> Iterator[Scene]:
    """Raises SandboxUnavailableError where the image is not built."""
    built = cache.current_image()
    if built is None:
        raise SandboxUnavailableError("the sandbox image is not built; run `lazaretto image build`")
    secret = f"secret-{secrets.token_hex(12)}"
    with attempts_image(built, secret) as image, House(image, secret) as house:
        yield Scene(built, image, house)


@contextmanager
def runner(scene: Scene, runtime: str, platform: str = "auto") -> Iterator[Runner]:
    """Attempts on one runtime, by the plan of service; raises SandboxUnavailableError where it does not work here."""
    sandbox = LocalSandbox.open(SandboxSettings(runtime=runtime, platform=platform, start="cold"))
    try:
        yield Runner(sandbox.runtime, sandbox.plan, scene.house.canaries)
    finally:
        sandbox.close()
        forget(sandbox.runtime.name, scene.image)


def forget(runtime: str, image: Image) -> None:
    """An engine that imports images keeps the test image no longer than the test."""
    if runtime == "docker":
        with contextlib.suppress(OSError):
            subprocess.run(
                ["docker", "rmi", "--force", f"lazaretto-sandbox:{image.key}"], check=False, capture_output=True
            )


def run_theme(scene: Scene, run: Runner, attempts: Sequence[Attempt]) -> list[Result]:
    """The attempts of one theme, and as the last result whether the house stood and served the next document."""
    before = scene.house.state()
    results = [result_of(verdict) for verdict in run.attempts(attempts)]
    faults = (*scene.house.faults(before), *run.next_document())
    return [*results, Result(attempts[0].theme, NEXT, faults, (), "", 0.0)]


def result_of(verdict: Verdict) -> Result:
    evidence = verdict.evidence
    ended, seconds = (evidence.outcome, evidence.seconds) if evidence else ("unavailable", 0.0)
    return Result(verdict.attempt.theme, verdict.attempt.name, verdict.faults, verdict.stopped, ended, seconds)


def by_theme(attempts: Sequence[Attempt]) -> dict[str, list[Attempt]]:
    wanted = {theme: [attempt for attempt in attempts if attempt.theme == theme] for theme in THEMES}
    return {theme: chosen for theme, chosen in wanted.items() if chosen}


def run_as(user: OrdinaryUser, scene: Scene, runtime: str, attempts: Sequence[Attempt]) -> list[Result]:
    """Attempts of one theme by an ordinary user's sandboxes."""
    before = scene.house.state()
    request = {
        "runtime": runtime,
        "canaries": asdict(scene.house.canaries) | {"image": [str(scene.image.path), scene.image.key]},
        "attempts": [[attempt.theme, attempt.name] for attempt in attempts],
    }
    seconds = 60 + 3 * LIMITS.seconds * len(attempts)
    told: list[dict[str, Any]] = json.loads(user.run("tests.security.as_user", json.dumps(request), seconds=seconds))
    results = [Result(**{**line, "faults": tuple(line["faults"]), "stopped": tuple(line["stopped"])}) for line in told]
    return [*results, Result(attempts[0].theme, NEXT, tuple(scene.house.faults(before)), (), "", 0.0)]


def working_runtimes(scene: Scene) -> dict[str, str]:
    """Each runtime of `choice` with "" where it works here by itself, else why it does not."""
    found: dict[str, str] = {}
    settings = SandboxSettings()
    state = state_directory()
    try:
        plan = Plan(scene.built, "systrap", settings.limits, state)
        for runtime, platform in choice.candidates(settings):
            if found.get(runtime) != "":
                trial = choice.attempt(runtime, platform, replace(plan, platform=platform), settings)
                found[runtime] = trial.error
    finally:
        shutil.rmtree(state, ignore_errors=True)
    return found


def grouped(results: Sequence[Result]) -> Counter[str]:
    """How many attempts each kind of wall stopped; an attempt that tried several things may have met several."""
    return Counter(kind for result in results for kind in {kind_of(word) for word in result.stopped})


def kind_of(word: str) -> str:
    known = (
        "the host's kernel",
        "gVisor: E",
        "gVisor: SIG",
        "cgroup: ",
        "deadline",
        "host: ",
        "read-only root",
        "no network",
    )
    for start in known:
        if word.startswith(start):
            return {
                "the host's kernel": "the host's kernel refused",
                "gVisor: E": "gVisor refused",
                "gVisor: SIG": "gVisor killed the process",
            }.get(start, word)
    return "nothing of others there"
