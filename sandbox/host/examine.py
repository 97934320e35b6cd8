"""What this host has of the things that sandboxes need, each with the one line that mends it.

Reads /proc and /sys, asks the programs for their versions, and starts every candidate once: only a canary document
that came back flattened proves a sandbox.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox.client import CHOSEN, Finding, SandboxUnavailableError
from sandbox.host import choice
from sandbox.host.runtime.base import Plan
from sandbox.host.runtime.facts import has_cgroups, numbers, sysctl
from sandbox.host.service import state_directory
from sandbox.host.snapshot import snapshots_for
from sandbox.image import cache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.client import SandboxSettings
    from sandbox.host.runtime.base import OuterRuntime

OLDEST_KERNEL = (4, 8)  # ptrace with seccomp as gVisor needs it
PROGRAMS = {
    "crun": ("starts the outer container", "apt-get install crun"),
    "runc": ("starts the outer container, where crun cannot", "apt-get install runc"),
    "podman": ("starts the outer container, first of all for ordinary users", "apt-get install podman"),
    "docker": ("starts the outer container where an engine runs", "apt-get install docker.io"),
    "mmdebstrap": ("builds the image", "apt-get install mmdebstrap debian-archive-keyring"),
}


def examine(settings: SandboxSettings) -> Iterator[Finding]:
    """Every finding, the canary last; a finding that is not `needed` does not decide."""
    yield _kernel()
    yield _user_namespaces()
    yield _ptrace_scope()
    yield from (_program(name) for name in PROGRAMS)
    if os.geteuid() != 0:
        yield _subordinate_ids()
    yield _cgroups()
    image = cache.current_image(settings.cache_dir)
    mend = "lazaretto image build"
    yield Finding("image", image is not None, str(image.path) if image else "not built", mend, needed=True)
    if image:
        yield from _trials(Plan(image, settings.platform, settings.limits, state_directory()), settings)


def _kernel() -> Finding:
    release = platform.release()
    return Finding("kernel", numbers(release) >= OLDEST_KERNEL, release, "boot Linux 4.8 or later", needed=True)


def _user_namespaces() -> Finding:
    most = sysctl("user/max_user_namespaces")
    closed = os.geteuid() != 0 and sysctl("kernel/unprivileged_userns_clone") == "0"
    found = "closed to ordinary users" if closed else f"at most {most or 'unknown'}"
    if os.geteuid() != 0 and sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
        found += "; AppArmor takes their capabilities, except from Podman's"
    mend = "sysctl -w kernel.unprivileged_userns_clone=1" if closed else "sysctl -w user.max_user_namespaces=10000"
    return Finding("user namespaces", most != "0" and not closed, found, mend, needed=True)


def _ptrace_scope() -> Finding:
    scope = sysctl("kernel/yama/ptrace_scope")
    found = f"Yama ptrace_scope {scope}" if scope else "no Yama"
    mend = "sysctl -w kernel.yama.ptrace_scope=1 (3 needs a reboot)"
    return Finding("ptrace", scope in {"", "0", "1"}, found, mend, needed=False)


def _program(name: str) -> Finding:
    purpose, mend = PROGRAMS[name]
    path = shutil.which(name)
    return Finding(name, path is not None, path or f"missing: {purpose}", mend, needed=False)


def _subordinate_ids() -> Finding:
    helper = shutil.which("newuidmap")
    mend = "apt-get install uidmap; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"
    return Finding("newuidmap", helper is not None, helper or "missing: ids for a rootless sandbox", mend, needed=False)


def _cgroups() -> Finding:
    bound = os.geteuid() == 0 and has_cgroups()
    found = (
        "bind memory and processes"
        if bound
        else "none for us: memory and processor time are counted, processes bound by RLIMIT_NPROC"
    )
    return Finding("cgroups", bound, found, "run as root, or under systemd with Delegate=yes", needed=False)


def _trials(plan: Plan, settings: SandboxSettings) -> Iterator[Finding]:
    """One finding a candidate, and the one that decides."""
    chosen = ""
    try:
        for runtime, gvisor in choice.candidates(settings):
            trial = choice.attempt(runtime, gvisor, plan, settings)
            name = f"{runtime} + gVisor {gvisor}"
            chosen = chosen or ("" if trial.error else name)
            found = trial.error or f"canary flattened in {trial.seconds:.1f} s ({trial.version})"
            yield Finding(name, not trial.error, found, "see the lines above", needed=False)
    except SandboxUnavailableError as error:
        yield Finding("settings", ok=False, found=str(error), mend="correct [sandbox]", needed=True)
    finally:
        shutil.rmtree(plan.state, ignore_errors=True)
    found = f"{chosen}: the first that works" if chosen else "none: no canary came back flattened"
    yield Finding(CHOSEN, bool(chosen), found, "mend what is missing above", needed=True)
    if chosen and settings.start != "cold":
        runtime, _, gvisor = chosen.partition(" + gVisor ")
        yield _snapshots(replace(plan, platform=gvisor), choice.RUNTIMES[runtime](), settings)


def _snapshots(plan: Plan, runtime: OuterRuntime, settings: SandboxSettings) -> Finding:
    """Whether those that sandboxes would be restored from are there; `serve` makes them, nobody need."""
    try:
        found = str(snapshots_for(runtime, plan, settings.cache_dir, make=False).directory)
    except SandboxUnavailableError as error:
        mend = "`lazaretto serve` makes them" if runtime.restores else "choose runc, crun or Podman"
        return Finding("snapshots", ok=False, found=str(error), mend=mend, needed=False)
    return Finding("snapshots", ok=True, found=found, mend="", needed=False)
