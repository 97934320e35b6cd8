"""The outer container by a Docker Engine, from an image that it keeps itself.

An engine has no `--rootfs`: the tree is imported once for each image, which takes some seconds and as much disk again.
Nor does it give one container a user namespace of its own. So the container's process is nobody, without a single
capability, and runsc makes its namespace itself (`--rootless`), as any unprivileged process may; an engine that maps
ids by itself is given the same.

Trusts the engine, which runs as root. Fails: as every runtime, by what `docker run` says; bounds: the engine's cgroups.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from typing import TYPE_CHECKING

from sandbox.host.meter import TreeMeter
from sandbox.host.runtime import base, oci, quirks
from sandbox.host.runtime.facts import Host, numbers, this_host
from sandbox.host.runtime.quirks import Effect
from sandbox.image.export import export_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMAND_SECONDS = 20.0
IMPORT_SECONDS = 600.0
REPOSITORY = "lazaretto-sandbox"  # the image's tag is its key
NOBODY = f"{oci.FIRST_HOST_ID}:{oci.FIRST_HOST_ID}"  # an id that owns nothing on the host, nor in the image


class Docker:
    """Starts containers by `docker run`, in the foreground of a child process."""

    name = "docker"

    def __init__(self, host: Host | None = None) -> None:
        self._host = host or this_host()
        self._effects: frozenset[Effect] | None = None
        self._importing = threading.Lock()
        self._imported = ""

    def version(self) -> str:
        """The version of the engine: not the client's, nor Docker Desktop's."""
        return engine_version(base.answer([self.name, "version", "--format={{json .}}"]))

    def start(self, plan: base.Plan, job: str) -> base.OuterContainer:
        """Import the image where the engine has it not, run it; see OuterRuntime."""
        if self._effects is None:
            self._effects = quirks.effects(self.name, numbers(self.version()), self._host)
        self._import_once(plan)
        (plan.state / self.name).mkdir(mode=0o700, exist_ok=True)
        (plan.state / self.name / job).touch()
        command = [self.name, "run", *docker_options(plan, job, self._effects), *plan.arguments(rootless=True)]
        process = base.start(command)
        known: list[int] = []  # the engine is asked once, by the meter; to end it we do not ask
        meter = TreeMeter(self._first_process(job, known))
        return base.OuterContainer(process, self._remover(plan.state, job), meter, lambda: known[0] if known else None)

    @property
    def restores(self) -> bool:
        """No: gVisor refuses to restore with `--rootless`, which is needed here; see OuterRuntime."""
        return False

    def execute(self, plan: base.Plan, job: str, arguments: list[str]) -> None:  # noqa: ARG002 - the runtimes' signature
        """See OuterRuntime."""
        base.answer([self.name, "exec", job, *arguments], COMMAND_SECONDS)

    def sweep(self, state: Path) -> None:
        """Remove what a process that is gone left; see OuterRuntime."""
        with contextlib.suppress(OSError):
            for container in (state / self.name).iterdir():
                self._remover(state, container.name)()

    def _remover(self, state: Path, job: str) -> Callable[[], bool]:
        def remove() -> bool:
            if not base.quietly([self.name, "rm", "--force", job], COMMAND_SECONDS):
                return False
            (state / self.name / job).unlink(missing_ok=True)
            return True

        return remove

    def _first_process(self, job: str, known: list[int]) -> Callable[[], int | None]:
        def read() -> int | None:
            if not known:
                with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
                    found = int(base.answer([self.name, "inspect", "--format={{.State.Pid}}", job], COMMAND_SECONDS))
                    known.extend([found] if found else [])
            return known[0] if known else None

        return read

    def _import_once(self, plan: base.Plan) -> None:
        with self._importing:
            if self._imported == plan.image.key:
                return
            if _of_this_recipe(self.name, plan.image.key) is None:
                self._import(plan)
            self._imported = plan.image.key

    def _import(self, plan: base.Plan) -> None:
        command = [self.name, "import", "-", f"{REPOSITORY}:{plan.image.key}"]
        importing = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if importing.stdin and importing.stderr:
            with contextlib.suppress(BrokenPipeError), importing.stdin as stream:
                export_image(plan.image, stream)
            said = importing.stderr.read().decode("utf-8", "replace").strip()
            if importing.wait(IMPORT_SECONDS) != 0:
                raise OSError(f"docker import: {said}")


def engine_version(answer: str) -> str:
    """The Docker Engine's version in the answer of `docker version --format={{json .}}`; raises OSError for none."""
    try:
        server = json.loads(answer)["Server"]
        components = {entry["Name"]: entry["Version"] for entry in server.get("Components") or []}
        return f"Docker Engine {components.get('Engine') or server['Version']}"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OSError("docker tells no version of its engine") from error


def docker_options(plan: base.Plan, job: str, effects: frozenset[Effect]) -> list[str]:
    """The options of `docker run` before the command, the image last."""
    memory = plan.limits.memory_bytes
    return [
        f"--name={job}",
        "--rm",
        "--interactive",
        "--log-driver=none",  # pages of pixels are no log
        "--pull=never",
        "--network=none",
        "--no-healthcheck",
        "--read-only",
        "--security-opt=no-new-privileges",
        f"--security-opt=seccomp={plan.policy}",
        *([f"--security-opt={base.LABEL}"] if Effect.LABEL in effects else []),
        "--cap-drop=all",
        f"--user={NOBODY}",
        f"--ulimit=nofile={base.OPEN_FILES}:{base.OPEN_FILES}",
        "--ulimit=core=0:0",
        "--env=PATH=/usr/bin",
        "--entrypoint=",
        *(f"--tmpfs={path}:rw,nosuid,nodev,noexec,{options}" for path, options in base.TMPFS.items()),
        f"--memory={memory}",
        f"--memory-swap={memory}",
        f"--pids-limit={plan.limits.processes}",
        f"{REPOSITORY}:{plan.image.key}",
    ]


def _of_this_recipe(program: str, key: str) -> str | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return base.answer([program, "image", "inspect", "--format={{.Id}}", f"{REPOSITORY}:{key}"], COMMAND_SECONDS)
    return None
