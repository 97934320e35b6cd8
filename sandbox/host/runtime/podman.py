"""The outer container by Podman, as root or rootless, on the plain root filesystem (`--rootfs`).

No image is imported and no storage driver copies anything: Podman 4.3's rootless vfs driver would copy the whole
image at each start. Everything an engine would choose by itself is chosen here.
"""

from __future__ import annotations

import resource
import shutil
from typing import TYPE_CHECKING

from sandbox.airlock import inner
from sandbox.host.meter import TreeMeter
from sandbox.host.runtime import base, oci, policies, quirks
from sandbox.host.runtime.facts import Host, has_cgroups, numbers, this_host
from sandbox.host.runtime.quirks import Effect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMAND_SECONDS = 20.0
EXECUTE_SECONDS = 120.0  # to freeze a guest: it writes a hundred megabytes
NPROC = 16_384  # counted over all of the user's containers; the cgroup's bound on one is lower


class Podman:
    """Starts containers by `podman run`, in the foreground of a child process."""

    name = "podman"

    def __init__(self, host: Host | None = None) -> None:
        self._host = host or this_host()
        self._effects: frozenset[Effect] | None = None

    def version(self) -> str:
        """The version of Podman."""
        return base.version_of(self.name)

    def start(self, plan: base.Plan, job: str) -> base.OuterContainer:
        """Run it; see OuterRuntime."""
        if self._effects is None:
            self._effects = quirks.effects(self.name, numbers(self.version()), self._host)
        pid_file = self._files(plan.state) / f"{job}.pid"
        options = [f"--pidfile={pid_file}", *podman_options(plan, job, self._host, self._effects)]
        # conmon leaves a file "oom" where it was started
        process = base.start([self.name, "run", *options, *plan.arguments()], pid_file.parent)
        first = base.pid_in(pid_file)
        return base.OuterContainer(process, self._remover(job, pid_file), TreeMeter(first), first)

    @property
    def restores(self) -> bool:
        """See OuterRuntime."""
        return True

    def execute(self, plan: base.Plan, job: str, arguments: list[str]) -> None:  # noqa: ARG002 - the runtimes' signature
        """See OuterRuntime."""
        base.answer([self.name, "exec", job, *arguments], EXECUTE_SECONDS)

    def sweep(self, state: Path) -> None:
        """Remove what a process that is gone left; see OuterRuntime."""
        for pid_file in (state / self.name).glob("*.pid"):
            self._remover(pid_file.stem, pid_file)()

    def _files(self, state: Path) -> Path:
        directory = state / self.name
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory

    def _remover(self, job: str, pid_file: Path) -> Callable[[], bool]:
        def remove() -> bool:
            if not base.quietly([self.name, "rm", "--force", "--time=0", "--ignore", job], COMMAND_SECONDS):
                return False
            pid_file.unlink(missing_ok=True)
            return True

        return remove


def podman_options(plan: base.Plan, job: str, host: Host, effects: frozenset[Effect]) -> list[str]:
    """The options of `podman run` before the command, the root filesystem last."""
    tmpfs = [f"--tmpfs={path}:rw,nosuid,nodev,noexec,{options}" for path, options in base.TMPFS.items()]
    policy = policies.with_explicit_enosys(plan) if Effect.EXPLICIT_ENOSYS in effects else plan.policy
    return [
        f"--name={job}",
        # a guest ends when it is frozen, and the command that froze it is answered only while the container is known
        *([] if plan.freezing else ["--rm"]),
        "--interactive",
        "--log-driver=none",  # pages of pixels are no log
        *(["--runtime=runc"] if shutil.which("runc") else []),  # crun 1.8 refuses hybrid cgroups
        "--network=none",
        "--no-hosts",
        "--no-healthcheck",
        "--read-only",
        "--read-only-tmpfs=false",
        "--security-opt=no-new-privileges",
        f"--security-opt=seccomp={policy}",
        *([f"--security-opt={base.LABEL}"] if Effect.LABEL in effects else []),
        "--cap-drop=all",
        *(f"--cap-add={capability}" for capability in base.CAPABILITIES),
        f"--ulimit=nofile={base.OPEN_FILES}:{base.OPEN_FILES}",
        "--ulimit=core=0:0",
        f"--ulimit=nproc={_processes()}:{_processes()}",  # Podman's own default may lie above what we may set
        "--env=PATH=/usr/bin",
        "--entrypoint=[]",
        *tmpfs,
        *_snapshot(plan),
        *_identity(host, effects),
        *_bounds(plan, host),
        "--rootfs",
        str(plan.image.rootfs),
    ]


def _snapshot(plan: base.Plan) -> list[str]:
    mount = plan.bind_mount()
    if mount is None:
        return []
    place, writable = mount
    options = ["type=bind", f"source={place}", f"destination={inner.SNAPSHOT}", f"ro={'false' if writable else 'true'}"]
    return [f"--mount={','.join(options)}"]


def _processes() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return NPROC if hard == resource.RLIM_INFINITY else min(hard, NPROC)


def _identity(host: Host, effects: frozenset[Effect]) -> list[str]:
    if host.root:
        mapping = f"0:{oci.FIRST_HOST_ID}:{oci.IDS}"
        return [f"--uidmap={mapping}", f"--gidmap={mapping}"]
    return ["--userns=nomap"] if Effect.NOMAP in effects else []


def _bounds(plan: base.Plan, host: Host) -> list[str]:
    if not (host.root and has_cgroups()):
        return ["--pids-limit=0"]
    memory = plan.limits.memory_bytes
    return [f"--memory={memory}", f"--memory-swap={memory}", f"--pids-limit={plan.limits.processes}"]
