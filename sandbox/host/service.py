"""The sandbox service inside this process: proves a way to start sandboxes, then runs each document in one of its own.

Fails: SandboxUnavailableError with one line for the administrator, at opening or later; SandboxBusyError where too many
documents wait. Bounds: `concurrency` documents at once, the rest wait their turn, `ServiceSettings.max_waiting`; state
is a directory of this process, swept by the next one if it is left.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from sandbox.client import NotFlattened, SandboxUnavailableError, Want
from sandbox.host import choice
from sandbox.host.fingerprint import fingerprint
from sandbox.host.guess import kind_for
from sandbox.host.job import Job
from sandbox.host.pool import Pool
from sandbox.host.runtime.base import Plan
from sandbox.host.runtime.direct import sweep_groups
from sandbox.host.snapshot import snapshots_for
from sandbox.host.starter import Starter
from sandbox.host.turns import Turns
from sandbox.image import cache

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.client import Answer, Room, SandboxSettings
    from sandbox.host.runtime.base import OuterRuntime
    from sandbox.host.snapshot import Kind
    from sandbox.host.standing import Standing

log = structlog.get_logger(__name__)

STATE_PREFIX = "sandboxes-"


class LocalSandbox:
    """Starts sandboxes from this process; see `sandbox.client.Sandbox`."""

    def __init__(self, runtime: OuterRuntime, plan: Plan, settings: SandboxSettings, why: str = "") -> None:
        self.runtime = runtime
        self.plan = plan
        self._settings = settings
        self._why = why
        self._starter = Starter(runtime, plan)
        self._pool: Pool | None = None
        self._turns = Turns(settings.concurrency, settings.service.max_waiting)
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="sandbox")
        # whoever opens a sandbox is a command or a daemon, which holds it until it ends
        atexit.register(self.close)

    @classmethod
    def open(cls, settings: SandboxSettings, *, briefly: bool = False) -> LocalSandbox:
        """Find the image and a runtime that works, make what is to stand ready; raises SandboxUnavailableError.

        `briefly`: no sandbox stands ready, and snapshots are used where they are, but not made.
        """
        image = cache.current_image(settings.cache_dir)
        if image is None:
            raise SandboxUnavailableError("the sandbox image is not built; run `lazaretto image build`")
        plan = Plan(image, settings.platform, settings.limits, state_directory())
        found = choice.choose(plan, settings)
        opened = cls(found.runtime, found.plan, settings, found.why)
        opened.get_ready(briefly=briefly)
        return opened

    def get_ready(self, *, briefly: bool = False) -> None:
        """Find or make the snapshots and fill the pool, as `start` says; where there are none, go on without."""
        if self._settings.start == "cold":
            return
        try:
            place = self._settings.cache_dir
            self._starter.snapshots = snapshots_for(self.runtime, self.plan, place, make=not briefly)
        except SandboxUnavailableError as error:
            self._why += f"; without snapshots: {error}"
            if not briefly:
                log.warning("no_snapshots", reason=str(error))
        if self._settings.start == "pool" and not briefly:
            self._pool = Pool(self._starter, self._settings.pool)

    @property
    def chosen(self) -> str:
        """The outer runtime, gVisor's platform, how sandboxes are started, and why so."""
        return f"{self.runtime.name} with gVisor {self.plan.platform}, {self._settings.start}: {self._why}"

    @property
    def fingerprint(self) -> str:
        """See `sandbox.client.Sandbox`."""
        return fingerprint(self._settings)

    @property
    def restores(self) -> bool:
        """True while sandboxes are restored from snapshots, and none of these has failed."""
        return self._starter.snapshots is not None and not self._starter.resting

    @property
    def is_full(self) -> bool:
        """True while as many sandboxes stand as should; always, where none should."""
        return self._pool is None or self._pool.is_full

    async def flatten(
        self,
        untrusted_document: bytes,
        output: Path,
        want: Want = Want.PDF,
        *,
        message: str = "",
        room: Room | None = None,
        charset: str = "",
    ) -> Answer:
        """Flatten one document; see `sandbox.client.Sandbox`. A cancelled call's sandbox is ended at once."""
        started = time.monotonic()
        recall = _Recall()
        async with self._turns.turn(message):
            running = asyncio.get_running_loop().run_in_executor(
                self._threads, self._flatten, untrusted_document, output, want, room, charset, started, recall.began
            )
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                await asyncio.to_thread(recall.give_up)
                await asyncio.wait([running])  # its place is taken until it has ended
                raise

    def flatten_now(
        self,
        untrusted_document: bytes,
        output: Path,
        want: Want = Want.PDF,
        *,
        room: Room | None = None,
        charset: str = "",
    ) -> Answer:
        """Flatten one document on the calling thread."""
        return self._flatten(untrusted_document, output, want, room, charset, time.monotonic())

    def _flatten(  # noqa: PLR0917 - run_in_executor gives no names
        self,
        untrusted_document: bytes,
        output: Path,
        want: Want,
        room: Room | None,
        charset: str,
        started: float,
        began: Callable[[Job], object] = lambda _: None,
    ) -> Answer:
        if refused := _refused_unopened(len(untrusted_document), self._settings):
            return refused
        standing = self._take(kind_for(untrusted_document))
        job = Job(standing, self.plan.limits, text_layer=self._settings.text_layer, started=started)
        began(job)
        return job.run(untrusted_document, output, want, room, charset)

    def _take(self, kind: Kind) -> Standing:
        return self._pool.take(kind) if self._pool else self._starter.stand_up(kind)

    def close(self) -> None:
        """Wait for what is under way and remove this process's state; safe to call twice."""
        atexit.unregister(self.close)
        self._threads.shutdown()
        if self._pool:
            self._pool.close()
        shutil.rmtree(self.plan.state, ignore_errors=True)


class _Recall:
    """Gives a job up for whom nobody waits any more, whether it has its sandbox yet or not."""

    def __init__(self) -> None:
        self._job: Job | None = None
        self._given_up = False
        self._lock = threading.Lock()

    def began(self, job: Job) -> None:
        """There is a job now; it ends at once where it was given up before."""
        with self._lock:
            self._job = job
            given_up = self._given_up
        if given_up:
            job.give_up()

    def give_up(self) -> None:
        """End it, now or as soon as it begins."""
        with self._lock:
            self._given_up = True
            job = self._job
        if job:
            job.give_up()


def flatten_with(
    runtime: OuterRuntime,
    plan: Plan,
    untrusted_document: bytes,
    output: Path,
    want: Want = Want.PDF,
    *,
    settings: SandboxSettings,
    room: Room | None = None,
) -> Answer:
    """Start a sandbox from cold and flatten one document in it."""
    if refused := _refused_unopened(len(untrusted_document), settings):
        return refused
    started = time.monotonic()
    standing = Starter(runtime, plan).stand_up()
    return Job(standing, plan.limits, text_layer=settings.text_layer, started=started).run(
        untrusted_document, output, want, room
    )


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
    if os.geteuid() == 0:
        sweep_groups(former_self)


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
