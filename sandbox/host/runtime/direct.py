"""The outer container by runc or crun directly: no engine, no daemon, no storage driver between us and the kernel.

As root the container gets ids of nobody and a cgroup of its own; as an ordinary user it gets the user's subordinate
ids, and no cgroup (memory and processes are then bound by gVisor's own limits only, which `doctor` says).
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.host.runtime import base, oci

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND_SECONDS = 10.0
DIRECT = ("runc", "crun")


class Direct:
    """Starts containers by `runc run`, or another program with the same command line, in a child's foreground."""

    def __init__(self, name: str) -> None:
        self.name = name

    def version(self) -> str:
        """The program's version."""
        return base.version_of(self.name)

    def start(self, plan: base.Plan, job: str) -> base.OuterContainer:
        """Write the bundle, run it; see OuterRuntime."""
        bundle = plan.state / job
        bundle.mkdir(mode=0o700)
        (bundle / "config.json").write_text(json.dumps(self._spec(plan, job)))
        # a session of its own: a signal at the terminal stops the daemon, which then ends its sandboxes in order
        process = subprocess.Popen(
            [*self._program(plan), "run", "--bundle", str(bundle), job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return base.OuterContainer(process, self._remover(plan, job, bundle))

    def _program(self, plan: base.Plan) -> list[str]:
        return [self.name, *(["--cgroup-manager=disabled"] if self.name=="crun" else []), "--root", str(plan.state / self.name)]

    def _spec(self, plan: base.Plan, job: str) -> dict[str, object]:
        if os.geteuid() == 0:
            return oci.outer_spec(plan, oci.ROOT_MAPPINGS, f"/lazaretto/{job}" if has_cgroups() and self.name!="crun" else None)
        account = pwd.getpwuid(os.geteuid())
        return oci.outer_spec(plan, oci.user_mappings(account.pw_name, account.pw_uid, account.pw_gid), None)

    def _remover(self, plan: base.Plan, job: str, bundle: Path) -> Callable[[], None]:
        def remove() -> None:
            # --force kills every process of the container, then forgets it; an unknown container is no error here
            command = [*self._program(plan), "delete", "--force", job]
            subprocess.run(command, check=False, capture_output=True, timeout=COMMAND_SECONDS)
            shutil.rmtree(bundle, ignore_errors=True)

        return remove


def has_cgroups() -> bool:
    """True where this process may make cgroups that bound memory and processes."""
    roots = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/pids"))
    if (roots[0] / "cgroup.controllers").exists():  # version 2
        controllers = (roots[0] / "cgroup.controllers").read_text().split()
        return {"memory", "pids"} <= set(controllers) and os.access(roots[0], os.W_OK)
    return all(root.is_dir() and os.access(root, os.W_OK) for root in roots[1:])
