"""Runs the `lazaretto` command as other programs do: a process, bytes in, bytes out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(home: Path) -> dict[str, str]:
    """State of its own, so that nothing is written where a real gateway keeps it."""
    kept = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    return {**kept, "STATE_DIRECTORY": str(home / "state")}


def lazaretto(*arguments: str, home: Path, stdin: bytes = b"", seconds: float = 120) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        input=stdin,
        capture_output=True,
        timeout=seconds,
        cwd=ROOT,
        env=environment(home),
        check=False,
    )
