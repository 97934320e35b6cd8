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
import subprocess
from typing import TYPE_CHECKING

from sandbox.host.meter import CGROUPS, CgroupMeter, TreeMeter
from sandbox.host.runtime import base, oci, quirks
from sandbox.host.runtime.facts import Host, has_cgroups, numbers, this_host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMAND_SECONDS = 10.0
OWN_GROUP = "sandbox"  # the runtime's cgroup, below the job's
# util-linux: the program in a mount namespace of its own, where the version 2 hierarchy is not to be seen
HIDE_UNIFIED = ("unshare", "--mount", "--propagation=private", "sh", "-c", 'umount "$0" && exec "$@"')
UNIFIED = "/sys/fs/cgroup/unified"


class Direct:
    """Starts containers by `runc run`, or another program with the same command line, in a child's foreground."""

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
        cgroup = f"/lazaretto/{job}" if self._host.root and has_cgroups() else None
        (bundle / "config.json").write_text(json.dumps(self._spec(plan, cgroup)))
        pid_file = bundle / "pid"
        # a session of its own: a signal at the terminal stops the daemon, which then ends its sandboxes in order
        process = subprocess.Popen(
            [*self._program(plan.state), "run", f"--pid-file={pid_file}", "--bundle", str(bundle), job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        first = base.pid_in(pid_file)
        meter = CgroupMeter(cgroup) if cgroup else TreeMeter(first)
        return base.OuterContainer(process, self._remover(plan.state, job, cgroup), meter, first)

    def sweep(self, state: Path) -> None:
        """Remove what a process that is gone left; see OuterRuntime."""
        with contextlib.suppress(OSError):
            for container in (state / self.name).iterdir():
                self._remover(state, container.name, f"/lazaretto/{container.name}")()

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

    def _remover(self, state: Path, job: str, cgroup: str | None) -> Callable[[], bool]:
        def remove() -> bool:
            # --force kills every process of the container, then forgets it; an unknown container is no error here
            if not base.quietly([*self._program(state), "delete", "--force", job], COMMAND_SECONDS):
                return False
            shutil.rmtree(state / job, ignore_errors=True)
            return not cgroup or _remove_groups(cgroup)

        return remove


def _remove_groups(cgroup: str) -> bool:
    """The job's own group in every hierarchy, and the runtime's below it; False where a process is left in one."""
    groups = [hierarchy / cgroup.strip("/") for hierarchy in (CGROUPS, *CGROUPS.iterdir())]
    for group in (*(path / OWN_GROUP for path in groups), *groups):
        with contextlib.suppress(OSError):
            group.rmdir()
    return not any(group.exists() for group in groups)
