"""The outer container by Podman, as root or rootless, on the plain root filesystem (`--rootfs`).

No image is imported and no storage driver copies anything: Podman 4.3's rootless vfs driver would copy the whole
image at each start. Everything an engine would choose by itself is chosen here.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from typing import TYPE_CHECKING

from sandbox.host.runtime import base, oci
from sandbox.host.runtime.direct import has_cgroups

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND_SECONDS = 20.0
NPROC = 16_384  # counted over all of the user's containers; the cgroup's bound on one is lower


class Podman:
    """Starts containers by `podman run`, in the foreground of a child process."""

    name = "podman"

    def version(self) -> str:
        """The version of Podman."""
        return base.version_of(self.name)

    def start(self, plan: base.Plan, job: str) -> base.OuterContainer:
        """Run it; see OuterRuntime."""
        process = subprocess.Popen(
            [self.name, "run", *podman_options(plan, job), *plan.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return base.OuterContainer(process, self._remover(job))

    def _remover(self, job: str) -> Callable[[], None]:
        def remove() -> None:
            command = [self.name, "rm", "--force", "--time=0", "--ignore", job]
            subprocess.run(command, check=False, capture_output=True, timeout=COMMAND_SECONDS)

        return remove


def podman_options(plan: base.Plan, job: str) -> list[str]:
    """The options of `podman run` before the command, the root filesystem last."""
    tmpfs = [f"--tmpfs={path}:rw,nosuid,nodev,noexec,{options}" for path, options in base.TMPFS.items()]
    return [
        f"--name={job}",
        "--rm",
        "--interactive",
        "--log-driver=none",  # pages of pixels are no log
        *(["--runtime=runc"] if shutil.which("runc") else []),  # crun 1.8 refuses hybrid cgroups
        "--network=none",
        "--no-hosts",
        "--no-healthcheck",
        "--read-only",
        "--read-only-tmpfs=false",
        "--security-opt=no-new-privileges",
        f"--security-opt=seccomp={plan.policy}",
        "--security-opt=label=type:container_engine_t",
        "--cap-drop=all",
        *(f"--cap-add={capability}" for capability in base.CAPABILITIES),
        f"--ulimit=nofile={base.OPEN_FILES}:{base.OPEN_FILES}",
        "--ulimit=core=0:0",
        f"--ulimit=nproc={_processes()}:{_processes()}",  # Podman's own default may lie above what we may set
        "--env=PATH=/usr/bin",
        "--entrypoint=[]",
        *tmpfs,
        *_identity_and_bounds(plan),
        "--rootfs",
        str(plan.image.rootfs),
    ]


def _processes() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return NPROC if hard == resource.RLIM_INFINITY else min(hard, NPROC)


def _identity_and_bounds(plan: base.Plan) -> list[str]:
    options = []
    if os.geteuid() == 0:
        mapping = f"0:{oci.FIRST_HOST_ID}:{oci.IDS}"
        options += [f"--uidmap={mapping}", f"--gidmap={mapping}"]
    if os.geteuid() == 0 and has_cgroups():
        memory = plan.limits.memory_bytes
        options += [f"--memory={memory}", f"--memory-swap={memory}", f"--pids-limit={plan.limits.processes}"]
    else:
        options += ["--pids-limit=0"]
    return options
