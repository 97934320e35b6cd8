"""A next hop in a process of its own: `python -m tests.bench.sink` prints its port and ends with its standard input."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.fakes.run_cli import ROOT
from tests.fakes.serving import sink

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def sink_process() -> Iterator[int]:
    """Its port; it takes every message and keeps it until it ends."""
    command = [sys.executable, "-m", "tests.bench.sink"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(20)


if __name__ == "__main__":
    with sink() as (_, port):
        print(port, flush=True)
        sys.stdin.read()
