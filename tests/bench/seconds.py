"""Seconds per document through the real double sandbox, a fresh one for each, against the start of a sandbox alone."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.client import Flattened, SandboxSettings
from sandbox.host.service import LocalSandbox
from tests.bench.table import Figure
from tests.corpus import documents

if TYPE_CHECKING:
    from collections.abc import Callable

ALONE: Final = "text, 3 lines"  # opening it costs nothing: what is left is a sandbox's start, answer and end
DOCUMENTS: Final[dict[str, bytes]] = {
    ALONE: documents.plain(),
    "docx, 1 page": documents.docx(),
    "xlsx, 20 rows": documents.xlsx(rows=20),
    "pptx, 1 slide": documents.pptx(),
    "PDF, 4 pages": documents.pdf(pages=4),
    "PNG, 640 x 480": documents.png(640, 480),
}


def measure(runs: int) -> tuple[list[Figure], str]:
    """The figures, and which sandbox it was."""
    sandbox = LocalSandbox.open(SandboxSettings())
    try:
        with tempfile.TemporaryDirectory() as place:
            taken = rounds(lambda document: _flatten(sandbox, document, Path(place) / "out.pdf"), runs)
        return figures(taken), f"{sandbox.runtime.name}, {sandbox.plan.platform}"
    finally:
        sandbox.close()


def rounds(flatten: Callable[[bytes], float], runs: int) -> dict[str, list[float]]:
    """Each document once a round, so that a busy minute of the machine meets all of them."""
    taken: dict[str, list[float]] = {name: [] for name in DOCUMENTS}
    for _ in range(runs):
        for name, document in DOCUMENTS.items():
            taken[name].append(flatten(document))
    return taken


def _flatten(sandbox: LocalSandbox, document: bytes, output: Path) -> float:
    started = time.perf_counter()
    result = sandbox.flatten_now(document, output)
    seconds = time.perf_counter() - started
    if not isinstance(result, Flattened):
        raise RuntimeError(f"the bench's own document was not flattened: {result.reason}")  # noqa: TRY004 - a value
    return seconds


def figures(taken: dict[str, list[float]]) -> list[Figure]:
    alone = statistics.median(taken[ALONE])
    made = []
    for name, runs in taken.items():
        middle = statistics.median(runs)
        spread = f"median of {len(runs)} runs, {min(runs):.2f} to {max(runs):.2f} s" if len(runs) > 1 else "one run"
        how = f"{spread}; start and end of its own sandbox included"
        ratio = "1: sandbox alone" if name == ALONE else f"{middle / alone:.1f} x sandbox alone"
        made.append(Figure(f"seconds, {name}", f"{middle:.2f} s", ratio, how))
    return made
