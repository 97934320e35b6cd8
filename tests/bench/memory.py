"""Peak memory of writing a PDF of many pages, in a process of its own: `python -m tests.bench.memory PAGES FILE`."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.host.flatten import write_pdf
from sandbox.host.untrusted_answer import Page
from tests.bench.table import Figure
from tests.fakes.run_cli import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

A4_PIXELS = (1240, 1754)


def pages(count: int) -> Iterator[Page]:
    """Stripes that move from page to page: no two pages are the same, and each is drawn only when it is asked for."""
    width, height = A4_PIXELS
    for number in range(count):
        row = bytes(255 - 17 * ((place // 8 + number) % 16) for place in range(width) for _ in range(3))
        yield Page(width, height, 595.0, 842.0, bytearray(row * height), ())


def peak() -> int:
    """Bytes; of this program's memory alone, where ru_maxrss counts that of the process that started it too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def measure(count: int) -> list[Figure]:
    few, _ = _of(1)
    most, seconds = _of(count)
    megabytes = f"{most / 1e6:.0f} MB"
    how = f"VmHWM of a process that writes A4 pages at 150 dpi; {seconds / count:.3f} s a page"
    return [Figure(f"peak memory, PDF of {count:,} pages", megabytes, f"{most / few:.2f} x that of 1 page", how)]


def _of(count: int) -> tuple[int, float]:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "tests.bench.memory", str(count), str(Path(place) / "out.pdf")]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return int(done.stdout), time.perf_counter() - started


if __name__ == "__main__":
    write_pdf(pages(int(sys.argv[1])), Path(sys.argv[2]), 1 << 30)
    print(peak())
