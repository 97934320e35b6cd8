"""The ways in which one document becomes a PDF, to be compared in one run.

`Warm` is the service with its pool. `FirstRow` is what a desktop converter does: Podman, runc and gVisor from cold and
LibreOffice as a program, for each document; it has our own flags, fonts and image, so that it is the faster for it.
`Bare` is the guest without any sandbox, as a prepared process in the image's tree: the floor.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sandbox import contract
from sandbox.airlock import inner
from sandbox.client import SandboxSettings, Want
from sandbox.host.guess import kind_for
from sandbox.host.job import Job
from sandbox.host.runtime import base
from sandbox.host.runtime.podman import Podman
from sandbox.host.service import LocalSandbox, flatten_with, state_directory
from sandbox.host.snapshot import FLAGS
from sandbox.host.standing import stand_up
from sandbox.image import cache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.client import Flattened, NotFlattened

READY_SECONDS = 60.0
RUNTIME = "crun"
BY_COMMAND = Path(__file__).with_name("by_command.py")


class Way(Protocol):
    def flatten(self, document: bytes, output: Path) -> Flattened | NotFlattened: ...

    def rest(self) -> None:
        """Called before a document that is timed."""


class Local:
    """A LocalSandbox."""

    def __init__(self, sandbox: LocalSandbox) -> None:
        self.sandbox = sandbox

    def flatten(self, document: bytes, output: Path) -> Flattened | NotFlattened:
        return self.sandbox.flatten_now(document, output)

    def rest(self) -> None:
        """Until its pool is full again, so that refilling takes nothing from the next document."""
        end = time.monotonic() + READY_SECONDS
        while not self.sandbox.is_full and time.monotonic() < end:
            time.sleep(0.01)


class FirstRow:
    def __init__(self, plan: base.Plan) -> None:
        self._runtime, self._plan, self._settings = Podman(), plan, SandboxSettings()

    def flatten(self, document: bytes, output: Path) -> Flattened | NotFlattened:
        return flatten_with(self._runtime, self._plan, document, output, settings=self._settings)

    def rest(self) -> None: ...


class Bare:
    """Its processes are made ready before the clock starts, as those of a pool are."""

    def __init__(self, plan: base.Plan) -> None:
        self._plan = plan

    def flatten(self, document: bytes, output: Path) -> Flattened | NotFlattened:
        limits = self._plan.limits
        standing = stand_up(self._start(), limits, FLAGS[kind_for(document)] | contract.PREPARE_WHOLE)
        return Job(standing, limits, text_layer=True, started=time.monotonic()).run(document, output, Want.PDF)

    def rest(self) -> None: ...

    def _start(self) -> base.OuterContainer:
        root = self._plan.image.rootfs / "inner"
        mounts = ('-t tmpfs -o mode=1777 tmpfs "$0/tmp"', '-t proc proc "$0/proc"', '--rbind /dev "$0/dev"')
        script = " && ".join([*(f"mount {mount}" for mount in mounts), 'exec /usr/sbin/chroot "$@"'])
        guest = ["/usr/bin/python3", "-m", "sandbox.guest"]
        alone = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
        owner = f"--userspec={inner.USER}:{inner.USER}"
        command = [*alone, "env", "-i", *inner.ENVIRONMENT, "sh", "-c", script, str(root), owner, str(root), *guest]
        process = base.start(command)
        return base.OuterContainer(process, process.kill)


@contextlib.contextmanager
def local(start: str, **pool: int) -> Iterator[Local]:
    """The service as it is, started in one of its modes."""
    settings = replace(SandboxSettings(), start=start, runtime=RUNTIME, platform="systrap")
    if pool:
        settings = replace(settings, pool=replace(settings.pool, **pool))
    sandbox = LocalSandbox.open(settings)
    try:
        yield Local(sandbox)
    finally:
        sandbox.close()


@contextlib.contextmanager
def first_row() -> Iterator[FirstRow]:
    built = cache.current_image()
    path = Path(tempfile.mkdtemp(prefix=".bench-", dir=built.path.parent))
    try:
        path.chmod(0o755)
        subprocess.run(["cp", "-al", built.rootfs, path / "rootfs"], check=True)
        families = path / "rootfs/inner/usr/lib/lazaretto/sandbox/guest/families.py"
        text = families.read_text() + BY_COMMAND.read_text()
        families.unlink()  # shared with the image by a hard link: a new file, not new contents
        families.write_text(text)
        with planned(cache.Image(path, "first row")) as plan:
            yield FirstRow(plan)
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def bare() -> Iterator[Bare]:
    with planned(cache.current_image()) as plan:
        yield Bare(plan)


@contextlib.contextmanager
def planned(image: cache.Image) -> Iterator[base.Plan]:
    settings = SandboxSettings()
    state = state_directory()
    try:
        yield base.Plan(image, "systrap", settings.limits, state)
    finally:
        shutil.rmtree(state, ignore_errors=True)
