"""Which outer runtime and which gVisor platform work on this host: tried out, not assumed.

Each candidate really starts a sandbox and flattens a canary document. What was found is remembered for this boot, this
image and this version of the runtime, so that a command need not wait for the proof again. Bounds: CANARY_SECONDS a
candidate, MEMORIES of what was found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.client import Limits, NotFlattened, SandboxUnavailableError
from sandbox.host.runtime import quirks
from sandbox.host.runtime.direct import Direct
from sandbox.host.runtime.docker import Docker
from sandbox.host.runtime.facts import numbers, this_host
from sandbox.host.runtime.podman import Podman
from sandbox.image import cache

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.client import SandboxSettings
    from sandbox.host.runtime.base import OuterRuntime, Plan

RUNTIMES: dict[str, Callable[[], OuterRuntime]] = {
    "runc": partial(Direct, "runc"),
    "crun": partial(Direct, "crun"),
    "podman": Podman,
    "docker": Docker,
}
# The order in which `auto` tries them: what costs least first, and crun is a small program in C. An ordinary
# user's runc and crun run the outer container as that user itself, Podman as one of its subordinate ids: so Podman is
# first there.
ORDER_OF_ROOT = ("crun", "runc", "podman", "docker")
ORDER_OF_USERS = ("podman", "runc", "crun", "docker")
PLATFORMS = ("systrap", "ptrace")  # in the order of trial; kvm is never tried: it hangs in a nested machine
CANARY = b"Lazaretto canary: if you can read this, a sandbox came up and answered.\n"
CANARY_SECONDS = 60.0  # a platform that hangs is found out then
MEMORIES = 16  # the latest: of several settings, and of the image before


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate and what came of it: `error` is "" where a canary came back flattened."""

    runtime: str
    version: str
    platform: str
    error: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """What works here."""

    runtime: OuterRuntime
    plan: Plan
    why: str


def choose(plan: Plan, settings: SandboxSettings) -> Chosen:
    """The first candidate that works, by memory or by trial; raises SandboxUnavailableError that names each failure."""
    known = _recall(plan, settings)
    if known:
        return Chosen(RUNTIMES[known[0]](), replace(plan, platform=known[1]), "proved earlier since this boot")
    failed: list[str] = []
    for runtime, platform in candidates(settings):
        trial = attempt(runtime, platform, plan, settings)
        if not trial.error:
            _remember(plan, settings, runtime, platform)
            why = "; ".join(["a canary came back flattened", *failed])
            return Chosen(RUNTIMES[runtime](), replace(plan, platform=platform), why)
        failed.append(f"{runtime} with {platform}: {trial.error}")
    raise SandboxUnavailableError("no sandbox starts on this host: " + "; ".join(failed))


def candidates(settings: SandboxSettings) -> list[tuple[str, str]]:
    """(runtime, platform) in the order of trial; raises SandboxUnavailableError for a name that is none."""
    for value, known in ((settings.runtime, RUNTIMES), (settings.platform, PLATFORMS)):
        if value != "auto" and value not in known:
            raise SandboxUnavailableError(f"sandbox: {value!r} is not one of auto, {', '.join(known)}")
    order = ORDER_OF_ROOT if os.geteuid() == 0 else ORDER_OF_USERS
    runtimes = [name for name in order if name in RUNTIMES] if settings.runtime == "auto" else [settings.runtime]
    platforms = PLATFORMS if settings.platform == "auto" else (settings.platform,)
    return [(runtime, platform) for runtime in runtimes for platform in platforms]


def attempt(name: str, platform: str, plan: Plan, settings: SandboxSettings) -> Trial:
    """Flatten the canary by one candidate."""
    from sandbox.host.service import flatten_with  # noqa: PLC0415 - the service chooses by this module

    runtime = RUNTIMES[name]()
    try:
        version = runtime.version()
    except FileNotFoundError:
        return Trial(name, "", platform, "not installed")
    except (OSError, subprocess.SubprocessError) as failure:
        return Trial(name, "", platform, f"installed, but it does not answer: {_last_line(failure)}")
    limits = replace(Limits(), seconds=CANARY_SECONDS, page_seconds=CANARY_SECONDS)
    trial_plan = replace(plan, platform=platform, limits=limits)
    with tempfile.TemporaryDirectory() as directory:
        try:
            result = flatten_with(runtime, trial_plan, CANARY, Path(directory) / "canary.pdf", settings=settings)
        except SandboxUnavailableError as failure:
            known = quirks.advice(name, numbers(version), this_host())
            return Trial(name, version, platform, f"{failure}{f' ({known})' if known else ''}")
    error = f"the canary came back as {result.reason}" if isinstance(result, NotFlattened) else ""
    return Trial(name, version, platform, error, result.seconds)


def _last_line(failure: Exception) -> str:
    said = getattr(failure, "stderr", None)
    return str(said or failure).strip().rpartition("\n")[2]


def _memory(plan: Plan, settings: SandboxSettings) -> Path:
    """The file that remembers the choice, named after all that could make it wrong."""
    versions = []
    for runtime in RUNTIMES.values():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            versions.append(runtime().version())
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    policy = cache.SANDBOX / "image" / "seccomp.json"
    wanted = [settings.runtime, settings.platform, plan.image.key, policy.read_text()]
    found = [boot, os.geteuid(), str(this_host()), versions]
    name = hashlib.sha256(json.dumps([wanted, found]).encode()).hexdigest()[: cache.DIGITS]
    return plan.state.parent / f"choice-{name}.json"


def _recall(plan: Plan, settings: SandboxSettings) -> tuple[str, str] | None:
    try:
        runtime, platform = json.loads(_memory(plan, settings).read_text())
    except (OSError, ValueError):
        return None
    return (runtime, platform) if (runtime, platform) in candidates(settings) else None


def _remember(plan: Plan, settings: SandboxSettings, runtime: str, platform: str) -> None:
    memory = _memory(plan, settings)
    with contextlib.suppress(OSError):
        unfinished = memory.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps([runtime, platform]))
        unfinished.rename(memory)
        known = [(path.stat().st_mtime, path) for path in memory.parent.glob("choice-*")]
        for _, path in sorted(known)[:-MEMORIES]:
            path.unlink(missing_ok=True)
