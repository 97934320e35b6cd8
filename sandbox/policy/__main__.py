"""`python -m sandbox.policy`: learn, write and count the seccomp policy.

learn SMALL [LARGE]   run the documents of two directories on every runtime, record what was called in seen.json
write                 write sandbox/image/seccomp.json from calls.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sandbox.client import SandboxSettings
from sandbox.host.runtime import base
from sandbox.policy import calls, compose, learn

SEEN = Path(__file__).parent / "seen.json"


def main() -> int:
    """Run one command; 1 where the policy does not allow what was learnt."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.policy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    learning = commands.add_parser("learn", help="run documents on every runtime and record what was called")
    learning.add_argument("small", type=Path, help="a directory of documents, one a format, run three times")
    learning.add_argument("large", type=Path, nargs="?", help="a directory of many more, run once")
    learning.add_argument("--runtime", default="auto")
    learning.add_argument("--platform", default="auto")
    commands.add_parser("write", help="write sandbox/image/seccomp.json")
    options = parser.parse_args()
    if options.command == "write":
        base.SECCOMP.write_text(compose.text(compose.policy(calls.CALLS)))
        return 0
    settings = SandboxSettings(runtime=options.runtime, platform=options.platform)
    return _learn(_files(options.small), _files(options.large), settings)


def _learn(small: list[Path], large: list[Path], settings: SandboxSettings) -> int:
    for where, seen in learn.learn(small, large, settings, tell):
        learn.write(SEEN, {where: seen})
    learnt = learn.read(SEEN)
    unused = {call.name for call in calls.CALLS} - {name for seen in learnt.values() for name in seen.calls}
    tell(f"never seen: {', '.join(sorted(unused)) or 'none'}")
    news = {name for seen in learnt.values() for name in seen.news()}
    tell(f"seen, and not allowed: {', '.join(sorted(news)) or 'none'}")
    return 1 if news else 0


def _files(directory: Path | None) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file()) if directory else []


def tell(line: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
