"""Documents without end, mixed, a few at once, to a sandbox service that runs as the child that `serve` starts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import child as children
from gateway.child import ServiceChild
from sandbox.client import Flattened, NotFlattened, SandboxSettings, SandboxUnavailableError, open_sandbox
from tests.corpus import documents as own
from tests.fakes.run_cli import ROOT
from tests.soak.counts import sandbox_processes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sandbox.client import Sandbox

CORPUS = ROOT.parent / "shared" / "corpus"
FOLDERS = ("images", "office", "pdf")
AT_ONCE = 4  # twice what is under way at once: some always wait
# bombs that end by their deadline or their memory only; a soak of these would be a test of patience
SLOW = ("librsvg__bug323-nested-use.svg",)
READY_SECONDS = 120.0
BETWEEN_KILLS = 1.5  # seconds, at the most


def mixed() -> list[bytes]:
    """The documents of the shared corpus, broken and encrypted ones among them; else of our own making."""
    if CORPUS.is_dir():
        paths = [path for folder in FOLDERS for path in sorted((CORPUS / folder).iterdir()) if path.name not in SLOW]
        return [path.read_bytes() for path in paths]
    return [own.docx(), own.xlsx(), own.pptx(), own.pdf(pages=4), own.png(640, 480), own.plain(), b"PK\x03\x04broken"]


@dataclasses.dataclass
class Served:
    child: ServiceChild
    sandbox: Sandbox

    @property
    def pid(self) -> int | None:
        process = self.child._process
        return process.pid if process and process.returncode is None else None


@contextlib.asynccontextmanager
async def served(settings: SandboxSettings) -> AsyncIterator[Served]:
    """A service that is up, and a door to it; it is started again whenever it ends."""
    children.LONGEST_PAUSE = children.FIRST_PAUSE  # a service that is killed every few seconds is not a broken one here
    child = ServiceChild(None)
    child.start()
    service = dataclasses.replace(settings.service, address=child.address, retry_seconds=READY_SECONDS)
    sandbox = open_sandbox(dataclasses.replace(settings, service=service))
    try:
        with tempfile.TemporaryDirectory() as directory:
            await sandbox.flatten(own.plain(), Path(directory) / "first.pdf")  # its pool and its snapshots are there
            yield Served(child, sandbox)
    finally:
        await child.stop()


async def flatten_many(sandbox: Sandbox, count: int, tell: Callable[[int], None]) -> Counter[str]:
    """`count` documents, AT_ONCE; how they ended, by outcome. Whatever is none of these raises."""
    ended: Counter[str] = Counter()
    corpus = mixed()
    random.Random(count).shuffle(corpus)
    waiting = iter([corpus[number % len(corpus)] for number in range(count)])

    async def work(output: Path) -> None:
        for document in waiting:
            try:
                result = await sandbox.flatten(document, output)
            except SandboxUnavailableError:
                ended["unavailable: 451"] += 1
            else:
                ended[_told(result, output)] += 1
            tell(sum(ended.values()))

    with tempfile.TemporaryDirectory() as directory:
        await asyncio.gather(*(work(Path(directory) / f"{number}.pdf") for number in range(AT_ONCE)))
        if left := await asyncio.to_thread(_names, Path(directory)):
            raise AssertionError(f"left beside the outputs: {left}")
    return ended


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def _told(result: Flattened | NotFlattened, output: Path) -> str:
    if isinstance(result, NotFlattened):
        if output.exists():
            raise AssertionError("a file where there should be none")
        return f"not flattened: {result.reason}"
    whole = output.read_bytes()
    if not (whole.startswith(b"%PDF-") and whole.rstrip().endswith(b"%%EOF") and len(whole) == result.size):
        raise AssertionError("a file that is not whole")
    output.unlink()
    return "flattened"


async def kill_at_random(served: Served, kills: int, over: asyncio.Event) -> Counter[str]:
    """kill -9 of the service, of a process of a sandbox, of whatever starts one, in turn and at random moments."""
    generator, done = random.Random(kills), Counter[str]()
    while sum(done.values()) < kills and not over.is_set():
        await asyncio.sleep(generator.random() * BETWEEN_KILLS)
        victim = generator.choice(("service", "sandbox", "starting"))
        pid = served.pid if victim == "service" else _some_process(victim, served.pid, generator)
        if pid and _kill(pid):
            done[victim] += 1
    return done


def _some_process(victim: str, service: int | None, generator: random.Random) -> int | None:
    """A process of a sandbox that is there; or the runtime that the pool's refilling is just starting one with."""
    if victim == "sandbox":
        found = sandbox_processes()
        return generator.choice(found) if found else None
    end = time.monotonic() + 0.5  # a start is short
    while service and time.monotonic() < end:
        with contextlib.suppress(OSError):
            children = [
                int(pid)
                for task in Path(f"/proc/{service}/task").iterdir()
                for pid in (task / "children").read_text().split()
            ]
            if children:
                return generator.choice(children)
    return None


def _kill(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False
