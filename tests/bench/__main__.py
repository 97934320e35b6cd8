"""`make bench`: every figure of the README in one run, each with how it was taken; --quick takes fewer runs."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.client import SandboxUnavailableError
from tests.bench import memory, pages, plot, throughput, warm, ways
from tests.bench.progress import console_for_output, working
from tests.bench.table import Figure, markdown, rich_table
from tests.fakes.run_cli import ROOT

if TYPE_CHECKING:
    from rich.console import Console

PLACE = ROOT / "build" / "bench.md"


def machine(load: float) -> str:
    """What the figures depend on."""
    cores = os.cpu_count()
    return (
        f"Taken by `make bench` on {cores} processor cores ({platform.machine()}, Linux {platform.release()}), "
        f"Python {platform.python_version()}, {ways.RUNTIME}, systrap; load average before: {load:.1f}."
    )


def take(console: Console, *, quick: bool) -> tuple[list[Figure], str]:
    load = os.getloadavg()[0]
    PLACE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        figures, taken = warm.measure(Path(directory), lambda what: console.print(f"{what} ..."), quick=quick)
    plot.draw(taken, PLACE)
    with working(console, "bytes per page"):
        figures += pages.measure()
    with working(console, "messages a second"):
        figures += throughput.measure(80 if quick else 400)
    with working(console, "memory"):
        figures += memory.measure(100 if quick else 1000)
    return figures, machine(load)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, for a look")
    console = console_for_output()
    try:
        figures, about = take(console, quick=parser.parse_args().quick)
    except SandboxUnavailableError as error:
        print(f"bench: no sandbox can be started: {error}", file=sys.stderr)
        return 1
    console.print(rich_table(figures))
    console.print(about)
    PLACE.write_text(markdown(figures, about))
    console.print(f"The same as Markdown, and the stages as a picture: {PLACE.relative_to(ROOT)}, .svg, .png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
