"""Long work shows that it goes on: a spinner with the seconds on a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY: Final = 5.0  # seconds between two plain lines
WIDE: Final = 140  # columns where nobody's terminal sets them: a log or a file


def console_for_output() -> Console:
    """Standard output, wide enough for the tables where it is not a terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDE)


@contextlib.contextmanager
def working(console: Console, what: str) -> Iterator[None]:
    """Around work that takes seconds; says how many at its end, unless it failed."""
    started = time.monotonic()
    with _spinner(console, what) if console.is_terminal else _lines(console, what):
        yield
    console.print(f"{what}: {time.monotonic() - started:.1f} s")


@contextlib.contextmanager
def _spinner(console: Console, what: str) -> Iterator[None]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(what, total=None)
        yield


@contextlib.contextmanager
def _lines(console: Console, what: str) -> Iterator[None]:
    over = threading.Event()
    console.print(f"{what} ...")

    def tell() -> None:
        seconds = EVERY
        while not over.wait(EVERY):
            console.print(f"  ... {seconds:.0f} s")
            seconds += EVERY

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
