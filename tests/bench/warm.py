"""How long a document takes by each way, how many a minute, what a sandbox that stands costs, and where the time goes.

Every document in a fresh double sandbox of its own. Those of the shared corpus that come back flattened, where the
corpus is there; else documents of our own making, which the table says.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.client import Flattened, Stages
from tests.bench import ways
from tests.bench.table import Figure
from tests.corpus import documents as own
from tests.fakes.run_cli import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS: Final = ROOT.parent / "shared" / "corpus"
FEW_PAGES: Final = 5
SECONDS: Final = 20.0  # what takes longer by the warm way is no ordinary document
MIB: Final = 1024 * 1024
STAND: Final = 4  # sandboxes of a kind that stand for the measure of memory
STAGES: Final = tuple(one.name for one in fields(Stages))
SETTLE_SECONDS: Final = 2.0
TARGETS: Final = {"office": 0.16, "pdf": 0.25, "bare": 2.5, "rate": 5.0, "memory": 100.0}


@dataclass
class Taken:
    """Of one document: seconds and stages of each run by each way."""

    name: str
    family: str
    document: bytes = field(repr=False)
    pages: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    stages: dict[str, list[Stages]] = field(default_factory=dict)

    def median(self, way: str) -> float:
        return statistics.median(self.seconds[way])


def gathered(*, quick: bool) -> tuple[list[Taken], str]:
    """The documents, and what they are."""
    if CORPUS.is_dir():
        paths = [(path, folder) for folder in ("office", "pdf") for path in sorted((CORPUS / folder).iterdir())]
        taken = [Taken(path.name, folder, path.read_bytes()) for path, folder in paths]
        return taken[:: 6 if quick else 1], "the office and PDF files of the corpus that are flattened"
    taken = [
        Taken(name, "office", make()) for name, make in (("docx", own.docx), ("xlsx", own.xlsx), ("pptx", own.pptx))
    ]
    taken += [Taken(f"{pages} pages", "pdf", own.pdf(pages=pages)) for pages in (1, 4)]
    return taken, "documents of our own making, since the corpus is not here"


def measure(directory: Path, tell: Callable[[str], None], *, quick: bool) -> tuple[list[Figure], list[Taken]]:
    """All of it, by way after way on the same documents."""
    taken, what = gathered(quick=quick)
    clock = Clock(directory / "out.pdf")
    with ways.local("pool") as warm:
        tell("warm")
        taken = [each for each in taken if clock.is_ordinary(warm, each)]
        clock.time(warm, "warm", taken, runs=1 if quick else 3)
    with ways.local("snapshot") as restored:
        tell("restored when wanted")
        clock.time(restored, "snapshot", taken)
    with ways.local("cold") as cold:
        tell("from cold")
        clock.time(cold, "cold", taken)
    with ways.bare() as bare:
        tell("without any sandbox")
        clock.time(bare, "bare", taken, runs=1 if quick else 2)
    with ways.first_row() as first:
        tell("Podman, runc, gVisor and soffice from cold")
        clock.time(first, "first", taken)
        tell("the same, two side by side")
        first_rate = rate(first, [each.document for each in taken], directory)
    with ways.local("pool") as warm:
        tell("warm, two side by side")
        own_rate = rate(warm, [each.document for each in taken] * (1 if quick else 4), directory)
    tell("memory of sandboxes that stand")
    return [*latencies(taken, what), rates(own_rate, first_rate), *memory()], taken


class Clock:
    """Takes the seconds of documents, one after the other."""

    def __init__(self, output: Path) -> None:
        self._output = output

    def is_ordinary(self, way: ways.Way, each: Taken) -> bool:
        """The first time is not counted: it tells which documents there are to be measured."""
        way.rest()
        result = way.flatten(each.document, self._output)
        if not isinstance(result, Flattened) or result.seconds > SECONDS:
            return False
        each.pages = result.pages
        return True

    def time(self, way: ways.Way, name: str, taken: list[Taken], runs: int = 1) -> None:
        """Each document once a round, so that a busy minute of the machine meets all of them."""
        for each in taken * runs:
            way.rest()
            result = way.flatten(each.document, self._output)
            if not isinstance(result, Flattened):
                raise RuntimeError(f"{each.name} by {name}: {result.reason}")  # noqa: TRY004 - a value
            each.seconds.setdefault(name, []).append(result.seconds)
            each.stages.setdefault(name, []).append(result.stages)


def rate(way: ways.Way, documents: list[bytes], directory: Path) -> float:
    """Documents a minute, two side by side, without a pause between them."""
    way.rest()
    outputs = [directory / f"{number}.pdf" for number in range(len(documents))]
    started = time.monotonic()
    with ThreadPoolExecutor(2) as two:
        results = list(two.map(way.flatten, documents, outputs))
    seconds = time.monotonic() - started
    if not all(isinstance(result, Flattened) for result in results):
        raise RuntimeError("a document that was flattened alone was not beside another")
    return 60 * len(documents) / seconds


def latencies(taken: list[Taken], what: str) -> list[Figure]:
    """Medians over the documents, each of its own median."""
    office = [each for each in taken if each.family == "office"]
    short = [each for each in taken if each.family == "pdf" and each.pages <= FEW_PAGES]
    made = []
    for name, few, target in (("office document", office, "office"), (f"PDF of up to {FEW_PAGES} pages", short, "pdf")):
        for way, told in (("warm", "warm"), ("snapshot", "restored when wanted"), ("cold", "from cold")):
            ours, first = middle(few, way), middle(few, "first")
            goal = f", target {TARGETS[target]:.2f}" if way == "warm" else ""
            how = f"median over {len(few)}; compared: Podman, runc, gVisor, soffice from cold, {first:.2f} s"
            made.append(Figure(f"{name}, {told}", f"{ours:.3f} s", f"{ours / first:.3f} x{goal}", how))
        ratio = statistics.median(each.median("warm") / each.median("bare") for each in few)
        how = f"median of each document's ratio to a warm process without a sandbox, {middle(few, 'bare'):.3f} s"
        made.append(
            Figure(f"{name}, warm", f"{middle(few, 'warm'):.3f} s", f"{ratio:.2f} x, target {TARGETS['bare']}", how)
        )
    made[0] = replace(made[0], how=f"{made[0].how}; {what}")
    return made


def middle(taken: list[Taken], way: str) -> float:
    return statistics.median(each.median(way) for each in taken)


def rates(own_rate: float, first_rate: float) -> Figure:
    how = f"the documents above, two side by side without a pause; the other way {first_rate:.1f}"
    ratio = f"{own_rate / first_rate:.1f} x, target {TARGETS['rate']:.0f}"
    return Figure("documents a minute, warm", f"{own_rate:.0f}", ratio, how)


def memory() -> list[Figure]:
    """By its control group: all that the kernel accounts to it, page tables and pipes too; binaries that others map, once."""
    made = []
    for kind, told in (("office", "with LibreOffice"), ("other", "without")):
        with ways.local("pool", **{"office": 0, "other": 0, kind: STAND}) as standing:
            standing.rest()
            time.sleep(SETTLE_SECONDS)
            pools = standing.sandbox._pool._standing.values()
            each = statistics.median(one.memory() for pool in pools for one in pool) / MIB
        how = f"the most that its control group has held, median of {STAND} that stand"
        ratio = f"{each / TARGETS['memory']:.2f} x {TARGETS['memory']:.0f} MiB, the target"
        made.append(Figure(f"memory of a sandbox that stands, {told}", f"{each:.0f} MiB", ratio, how))
    return made


def stages(taken: list[Taken], way: str, family: str) -> dict[str, float]:
    """Mean seconds of each stage, over all runs of a family's documents."""
    runs = [each for one in taken if one.family == family for each in one.stages[way]]
    return {name: statistics.mean(getattr(run, name) for run in runs) for name in STAGES}
