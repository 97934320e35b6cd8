"""Snapshots: guests that were prepared once, frozen by gVisor, and kept to start others from.

A snapshot holds the memory of a guest that has never seen a document of anybody's: what it prepared itself with, it
made itself. It is made in the same double sandbox, which has one thing more: a directory to write it to.

Trusts: the files, which lie where only this user writes, and what made them. Made anew where anything has changed that
they depend on: the image, runsc with it, gVisor's platform, the processor's features, the kernel. Fails: by
SandboxUnavailableError where a guest cannot be prepared, frozen or kept; sandboxes are then started from cold. Bounds:
`START_SECONDS` to prepare one, GENERATIONS of sets on disk, of some 210 MB each.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from sandbox import contract
from sandbox.airlock import inner
from sandbox.client import SandboxUnavailableError
from sandbox.host.standing import close, prepared
from sandbox.image import cache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.host.runtime.base import OuterRuntime, Plan

log = structlog.get_logger(__name__)

START_SECONDS = 180.0  # to prepare a guest whole; takes some four, on a machine that has time
FREEZING_CALLS = ("fchown", "setgroups", "setresgid", "setresuid")
GENERATIONS = 4  # sets that are kept: of several runtimes, and of a service that still runs on the image before
FEATURES = re.compile(r"^(?:flags|Features|model name)\s*:.*$", re.MULTILINE)  # of /proc/cpuinfo
PREFIX = "snapshot-"


class Kind(enum.StrEnum):
    """What a guest is prepared for. Any reads every document; the wrong one is slower, that is all."""

    OFFICE = "office"  # LibreOffice runs in it
    OTHER = "other"
    HWP = "hwp"  # LibreOffice runs beside it, with Java


FLAGS = {Kind.OFFICE: contract.PREPARE_OFFICE, Kind.OTHER: 0, Kind.HWP: contract.PREPARE_HWP}


class Snapshots:
    """One set of snapshots, a directory a kind; `place` raises where one cannot be had."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def of(self, kind: Kind) -> Path | None:
        """The directory of one kind's snapshot, where it could be made."""
        place = self.directory / kind
        return place if place.exists() else None


def snapshots_for(runtime: OuterRuntime, plan: Plan, configured: Path | None, *, make: bool = True) -> Snapshots:
    """The set that fits this host and image; raises SandboxUnavailableError where it is missing and may not be made."""
    if not runtime.restores:
        raise SandboxUnavailableError(f"{runtime.name} starts runsc in a way that cannot restore")
    if not make:
        return _made_already(runtime, plan, configured)
    try:
        with _locked(_place(plan, configured)) as parent:
            path = parent / f"{PREFIX}{_key(runtime, plan)}"
            _make(runtime, plan, path)
            os.utime(path)  # lately used: the oldest are forgotten
            _forget_old(parent)
    except OSError as error:
        raise SandboxUnavailableError(f"no snapshot can be kept: {error}") from error
    return Snapshots(path)


def _made_already(runtime: OuterRuntime, plan: Plan, configured: Path | None) -> Snapshots:
    path = _place(plan, configured) / f"{PREFIX}{_key(runtime, plan)}"
    if not path.exists():
        raise SandboxUnavailableError("none was made yet")
    return Snapshots(path)


def _place(plan: Plan, configured: Path | None) -> Path:
    """Beside the image where we may write there, else in the cache of our own."""
    beside = plan.image.path.parent
    return beside if os.access(beside, os.W_OK) else cache.cache_directory(configured)


@contextmanager
def _locked(parent: Path) -> Iterator[Path]:
    """One process makes them, others wait for it."""
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "snapshots.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield parent


def _key(runtime: OuterRuntime, plan: Plan) -> str:
    """The digest of all that a snapshot depends on: it goes on as the process that it was."""
    info = plan.image.path / cache.INFO
    depends = [
        plan.image.key,
        info.read_text() if info.exists() else "",  # holds runsc's version, and when the base was built
        inner.runsc_arguments(plan.platform, restore=True),
        runtime.name,  # what it mounts, and where the pipes lead
        os.geteuid(),
        sorted(set(FEATURES.findall(Path("/proc/cpuinfo").read_text()))),
        platform.release(),
    ]
    return hashlib.sha256(json.dumps(depends).encode()).hexdigest()[: cache.DIGITS]


def _make(runtime: OuterRuntime, plan: Plan, path: Path) -> None:
    """Those of the set that are missing. Without HWP's, which needs the most, the others are kept."""
    for kind in Kind:
        if (path / kind).exists():
            continue
        try:
            _make_one(runtime, plan, kind, path)
        except SandboxUnavailableError as error:
            if kind is not Kind.HWP:
                raise
            log.warning("snapshot_left_out", kind=kind, reason=str(error))


def _make_one(runtime: OuterRuntime, plan: Plan, kind: Kind, path: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=path.parent))
    try:
        _freeze(runtime, plan, kind, unfinished / kind)
        path.mkdir(exist_ok=True)
        for place in (path, unfinished / kind):  # as the image, whatever the umask: the container's root is nobody
            place.chmod(0o755)
        (unfinished / kind).rename(path / kind)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _freeze(runtime: OuterRuntime, plan: Plan, kind: Kind, target: Path) -> None:
    """Prepare a guest, freeze it, and keep its files as our own."""
    name = f"lazaretto-{os.getpid()}-freeze-{secrets.token_hex(4)}"
    freezing = plan.state / f"{name}.snapshot"
    freezing.mkdir()
    freezing.chmod(0o777)  # the container's root is nobody; the directory above is ours alone
    limits = replace(plan.limits, seconds=START_SECONDS, page_seconds=START_SECONDS)
    making = replace(plan, limits=limits, freezing=freezing, policy=_policy(plan, freezing.with_suffix(".json")))
    container = runtime.start(making, name)
    try:
        prepared(container, limits, FLAGS[kind] | contract.PREPARE_WHOLE)
        runtime.execute(making, name, inner.checkpoint_arguments(plan.platform))
        target.mkdir()
        for file in freezing.iterdir():
            shutil.copyfile(file, target / file.name)  # ours now, not nobody's
            (target / file.name).chmod(0o444)
    except subprocess.CalledProcessError as error:
        raise SandboxUnavailableError(f"a guest could not be frozen: {_last_line(error.stderr)}") from error
    except subprocess.TimeoutExpired as error:
        raise SandboxUnavailableError("a guest could not be frozen in time") from error
    finally:
        close(container, "stdout")
        container.destroy()
        for pipe in ("stdin", "stderr"):
            close(container, pipe)
        shutil.rmtree(freezing, ignore_errors=True)
        making.policy.unlink(missing_ok=True)


def _policy(plan: Plan, path: Path) -> Path:
    """Ours, and the calls more with which crun puts a second process into a container: no document is there yet."""
    policy = json.loads(plan.policy.read_text())
    policy["syscalls"].append({"names": list(FREEZING_CALLS), "action": "SCMP_ACT_ALLOW"})
    path.write_text(json.dumps(policy))
    path.chmod(0o644)  # an engine reads it as another user
    return path


def _last_line(said: str | None) -> str:
    return (said or "").strip().rpartition("\n")[2]


def _forget_old(parent: Path) -> None:
    for left in parent.glob(f".{PREFIX}*"):  # of a maker that was killed: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    kept = []
    for path in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            kept.append((path.stat().st_mtime, path))
    for _, path in sorted(kept, reverse=True)[GENERATIONS:]:
        shutil.rmtree(path, ignore_errors=True)
