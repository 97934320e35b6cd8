"""The outer container by runc or crun directly: no engine, no daemon, no storage driver between us and the kernel.

As root the container gets ids of nobody and a cgroup of its own; as an ordinary user it gets the user's subordinate
ids, and no cgroup (what it uses is then counted by `host/meter.py`, which `doctor` says).
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.host.meter import CGROUPS, CgroupMeter, TreeMeter
from sandbox.host.runtime import base, oci, quirks
from sandbox.host.runtime.facts import Host, cgroup_mode, has_cgroups, numbers, this_host

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND_SECONDS = 10.0
EXECUTE_SECONDS = 120.0  # to freeze a guest: it writes a hundred megabytes
GONE_SECONDS = 2.0  # for a killed container's processes to be gone; past it the runtime's own command is asked
LOOK_SECONDS = 0.002
NICE = ("nice", "-n", "19")  # for the runtime itself; of what it starts the share of its group decides
LEAST_SHARE, USUAL_SHARE = 2, 1024  # of the processors, against the groups beside it (cpu.shares); nothing when idle
GROUPS = "/lazaretto"  # below it a group a job, whose name says whose it is: lazaretto-PID-...
OWN_GROUP = "sandbox"  # the runtime's cgroup, below the job's
# util-linux: the program in a mount namespace of its own, where the version 2 hierarchy is not to be seen
HIDE_UNIFIED = ("unshare", "--mount", "--propagation=private", "sh", "-c", 'umount "$0" && exec "$@"')
UNIFIED = "/sys/fs/cgroup/unified"


class Direct:
    """Starts containers by `runc run --detach`, or another program with the same command line."""

    def __init__(self, name: str, host: Host | None = None) -> None:
        self.name = name
        self._host = host or this_host()
        self._prefix: tuple[str, ...] | None = None

    def version(self) -> str:
        """The program's version."""
        return base.version_of(self.name)

    def start(self, plan: base.Plan, job: str) -> base.OuterContainer:
        """Write the bundle, run it; see OuterRuntime."""
        bundle = plan.state / job
        bundle.mkdir(mode=0o700)
        cgroup = f"{GROUPS}/{job}" if self._host.root and has_cgroups() else None
        (bundle / "config.json").write_text(json.dumps(self._spec(plan, cgroup)))
        pid_file = bundle / "pid"
        # detached: the program ends once the container runs, and does not copy what goes through its pipes; but it
        # stays where the first process is another than ours, to tell that one's exit status
        options = [*([] if plan.command else ["--detach"]), f"--pid-file={pid_file}", "--bundle", str(bundle)]
        early = cgroup is not None and plan.early and _give_share(cgroup, LEAST_SHARE)
        process = base.start([*(NICE if early else ()), *self._program(plan.state), "run", *options, job])
        first = base.pid_in(pid_file)
        meter = CgroupMeter(cgroup) if cgroup else TreeMeter(first)
        remove = self._remover(plan.state, job, cgroup, first)
        hurry = partial(_give_share, cgroup, USUAL_SHARE) if cgroup and early else lambda: None
        return base.OuterContainer(process, lambda: base.stop(process) and remove(), meter, first, hurry)

    @property
    def restores(self) -> bool:
        """See OuterRuntime."""
        return True

    def execute(self, plan: base.Plan, job: str, arguments: list[str]) -> None:
        """See OuterRuntime."""
        base.answer([*self._program(plan.state), "exec", job, *arguments], EXECUTE_SECONDS)

    def sweep(self, state: Path) -> None:
        """Remove what a process that is gone left; see OuterRuntime."""
        with contextlib.suppress(OSError):
            # each has a bundle, and one that the runtime has begun to forget may have nothing else
            names = {bundle.parent.name for bundle in state.glob("*/config.json")}
            known = state / self.name
            for name in names | {path.name for path in (known.iterdir() if known.is_dir() else ())}:
                self._remover(state, name, f"{GROUPS}/{name}")()

    def _program(self, state: Path) -> list[str]:
        if self._prefix is None:
            effects = quirks.effects(self.name, numbers(self.version()), self._host)
            self._prefix = (*HIDE_UNIFIED, UNIFIED) if quirks.Effect.HIDE_UNIFIED in effects else ()
        return [*self._prefix, self.name, "--root", str(state / self.name)]

    def _spec(self, plan: base.Plan, cgroup: str | None) -> dict[str, object]:
        if self._host.root:
            # the runtime's own group is a child of the job's, which stays to be read when the runtime removed its own
            return oci.outer_spec(plan, oci.ROOT_MAPPINGS, f"{cgroup}/{OWN_GROUP}" if cgroup else None)
        account = pwd.getpwuid(os.geteuid())
        return oci.outer_spec(plan, oci.user_mappings(account.pw_name, account.pw_uid, account.pw_gid), None)

    def _remover(
        self, state: Path, job: str, cgroup: str | None, first: Callable[[], int | None] = lambda: None
    ) -> Callable[[], bool]:
        def remove() -> bool:
            if not _is_gone(first(), cgroup):
                # --force kills every process of the container, then forgets it; an unknown container is no error here
                if not base.quietly([*self._program(state), "delete", "--force", job], COMMAND_SECONDS):
                    return False
                if cgroup and not _remove_groups(cgroup):
                    return False
            # what the runtime remembers of a container is a directory: no program need be started to forget it
            shutil.rmtree(state / self.name / job, ignore_errors=True)
            shutil.rmtree(state / job, ignore_errors=True)
            return True

        return remove


def _give_share(cgroup: str, share: int) -> bool:
    """Set a group's share of the processors; False where the host has no such control.

    On version 2 it is called a weight, from 1 to 10,000, usually 100.
    """
    version_2 = cgroup_mode(CGROUPS) == "v2"
    group = (CGROUPS if version_2 else CGROUPS / "cpu") / cgroup.strip("/")
    file, value = ("cpu.weight", max(1, share * 100 // USUAL_SHARE)) if version_2 else ("cpu.shares", share)
    try:
        group.mkdir(parents=True, exist_ok=True)
        (group / file).write_text(str(value))
    except OSError:
        return False
    return True


def _is_gone(first: int | None, cgroup: str | None) -> bool:
    """Wait a moment for a killed container to be gone, groups included; False where that cannot be seen.

    Its first process ends last, and is cheaper to look at than the groups of some ten hierarchies.
    """
    if first is None or not _comes_true(lambda: base.is_dead(first)):
        return False
    return cgroup is None or _comes_true(lambda: _remove_groups(cgroup))


def _comes_true(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + GONE_SECONDS
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def sweep_groups(former_self: str = "") -> None:
    """Remove the groups of processes that are gone, and of `former_self`, and all that is still in them.

    Whatever else was lost of a sandbox, its group is there as long as any process of it.
    """
    places = [hierarchy / GROUPS.strip("/") for hierarchy in (CGROUPS, *CGROUPS.iterdir())] if CGROUPS.is_dir() else []
    for name in {path.name for place in places if place.is_dir() for path in place.iterdir() if path.is_dir()}:
        owner = name.split("-")[1] if name.startswith("lazaretto-") else ""
        if owner.isdigit() and (owner == former_self or not Path("/proc", owner).exists()):
            _comes_true(partial(_remove_groups, f"{GROUPS}/{name}"))


def _remove_groups(cgroup: str) -> bool:
    """The job's own group in every hierarchy, and the runtime's below it; False where a process is left in one."""
    groups = [hierarchy / cgroup.strip("/") for hierarchy in (CGROUPS, *CGROUPS.iterdir())]
    left = [group for path in groups for group in (path / OWN_GROUP, path) if not _remove_group(group)]
    for group in left:
        _kill_all(group)
    return not left


def _remove_group(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def _kill_all(group: Path) -> None:
    """Whoever is still in a group of ours: a runtime that was killed at its work leaves processes that nobody knows."""
    with contextlib.suppress(OSError, ValueError):
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
