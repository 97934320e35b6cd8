"""The sandbox service inside this process: proves a way to start sandboxes, then runs each document in one of its own.

Fails: SandboxUnavailableError with one line for the administrator, at opening or later. Bounds: `concurrency`
documents at once, the rest wait their turn; state is a directory of this process, swept by the next one if it is left.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import secrets
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.client import Flattened, NotFlattened, SandboxUnavailableError, Want
from sandbox.host import choice
from sandbox.host.job import Job
from sandbox.host.runtime.base import Plan
from sandbox.image import cache

if TYPE_CHECKING:
    from sandbox.client import SandboxSettings
    from sandbox.host.runtime.base import OuterRuntime

ATTEMPTS = 2  # a start that failed once may have met a machine short of something for a moment
STATE_PREFIX = "sandboxes-"


class LocalSandbox:
    """Starts sandboxes from this process; see `sandbox.client.Sandbox`."""

    def __init__(self, runtime: OuterRuntime, plan: Plan, settings: SandboxSettings, why: str = "") -> None:
        self.runtime = runtime
        self.plan = plan
        self._settings = settings
        self._why = why
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="sandbox")
        # whoever opens a sandbox is a command or a daemon, which holds it until it ends
        atexit.register(self.close)

    @classmethod
    def open(cls, settings: SandboxSettings) -> LocalSandbox:
        """Find the image and a runtime that works; raises SandboxUnavailableError."""
        image = cache.current_image(settings.cache_dir)
        if image is None:
            raise SandboxUnavailableError("the sandbox image is not built; run `lazaretto image build`")
        plan = Plan(image, settings.platform, settings.limits, state_directory())
        found = choice.choose(plan, settings)
        return cls(found.runtime, found.plan, settings, found.why)

    @property
    def chosen(self) -> str:
        """The outer runtime, gVisor's platform, and why these."""
        return f"{self.runtime.name} with gVisor {self.plan.platform}: {self._why}"

    async def flatten(
        self,
        untrusted_document: bytes,
        output: Path,
        want: Want = Want.PDF,
        *,
        message: str = "",  # noqa: ARG002 - documents wait in the order in which they came
    ) -> Flattened | NotFlattened:
        """Flatten one document; see `sandbox.client.Sandbox`. A cancelled call's sandbox ends at its deadline."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.flatten_now, untrusted_document, output, want)

    def flatten_now(self, untrusted_document: bytes, output: Path, want: Want = Want.PDF) -> Flattened | NotFlattened:
        """Flatten one document on the calling thread."""
        return flatten_with(self.runtime, self.plan, untrusted_document, output, want, settings=self._settings)

    def close(self) -> None:
        """Wait for what is under way and remove this process's state; safe to call twice."""
        atexit.unregister(self.close)
        self._threads.shutdown()
        shutil.rmtree(self.plan.state, ignore_errors=True)


def flatten_with(
    runtime: OuterRuntime,
    plan: Plan,
    untrusted_document: bytes,
    output: Path,
    want: Want = Want.PDF,
    *,
    settings: SandboxSettings,
) -> Flattened | NotFlattened:
    """Start a sandbox and flatten one document in it; tries a second one where the first did not come up."""
    if refused := _refused_unopened(len(untrusted_document), settings):
        return refused
    for attempt in range(1, ATTEMPTS + 1):
        name = f"lazaretto-{os.getpid()}-{secrets.token_hex(6)}"
        try:
            container = runtime.start(plan, name)
            return Job(container, plan.limits, text_layer=settings.text_layer).run(untrusted_document, output, want)
        except (SandboxUnavailableError, OSError, subprocess.SubprocessError) as error:
            if attempt == ATTEMPTS:
                raise SandboxUnavailableError(f"{runtime.name}: {error}") from error
    raise SandboxUnavailableError(f"{runtime.name}: no attempt was made")


def _refused_unopened(length: int, settings: SandboxSettings) -> NotFlattened | None:
    if length == 0:
        return NotFlattened("empty", "", 0.0)
    if length > settings.limits.document_bytes:
        return NotFlattened("document_too_large", "", 0.0)
    return None


def state_directory() -> Path:
    """A directory of this process for bundles and runtime state; those of processes that are gone are swept."""
    parent = _runtime_parent()
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep_left()
    return Path(tempfile.mkdtemp(prefix=f"{STATE_PREFIX}{os.getpid()}-", dir=parent))


def sweep_left(former_self: str = "") -> None:
    """Destroy the sandboxes of processes that are gone, and of `former_self`, a number that only seems to be in use."""
    for left in _runtime_parent().glob(f"{STATE_PREFIX}*"):
        _sweep(left, former_self)


def _runtime_parent() -> Path:
    if given := os.environ.get("RUNTIME_DIRECTORY"):  # systemd's RuntimeDirectory=
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return Path("/run/lazaretto")
    if given := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(given) / "lazaretto"
    return Path(tempfile.gettempdir()) / f"lazaretto-{os.geteuid()}"


def _sweep(left: Path, former_self: str) -> None:
    pid = left.name.removeprefix(STATE_PREFIX).partition("-")[0]
    if pid.isdigit() and pid != former_self and Path("/proc", pid).exists():
        return
    for make in choice.RUNTIMES.values():
        make().sweep(left)
    shutil.rmtree(left, ignore_errors=True)
