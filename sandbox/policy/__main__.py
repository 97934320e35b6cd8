"""`python -m sandbox.policy`: learn, write, count and trim the seccomp policy.

learn SMALL [LARGE]   run the documents of two directories on every runtime, record what was called in seen.json
write                 write sandbox/image/seccomp.json from calls.py
count                 our policy and others', counted the same way
trim DOCUMENT         flatten it without each call in turn, and say without which it goes on
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sandbox.client import SandboxSettings
from sandbox.host.runtime import base
from sandbox.policy import calls, compose, count, learn, trim

SEEN = Path(__file__).parent / "seen.json"


def main() -> int:
    """Run one command; 1 where the policy does not allow what was learnt."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.policy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    learning = commands.add_parser("learn", help="run documents on every runtime and record what was called")
    learning.add_argument("small", type=Path, help="a directory of documents, one a format, run three times")
    learning.add_argument("large", type=Path, nargs="?", help="a directory of many more, run once")
    trimming = commands.add_parser("trim", help="flatten a document without each call in turn")
    trimming.add_argument("document", type=Path)
    for started in (learning, trimming):
        started.add_argument("--runtime", default="auto")
        started.add_argument("--platform", default="auto")
    commands.add_parser("write", help="write sandbox/image/seccomp.json")
    commands.add_parser("count", help="our policy and others', counted the same way")
    options = parser.parse_args()
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    if options.command == "write":
        base.SECCOMP.write_text(compose.text(compose.policy(calls.CALLS)))
        return 0
    if options.command == "count":
        _count()
        return 0
    settings = SandboxSettings(runtime=options.runtime, platform=options.platform)
    if options.command == "learn":
        return _learn(_files(options.small), _files(options.large), settings)
    for where, name, failed in trim.trim(options.document, settings):
        tell(f"{where}: without {name}: {failed or 'flattened all the same'}")
    return 0


def _count() -> None:
    for row in count.table():
        size = row.size
        line = f"{row.policy:32} {size.unconditional:4} + {size.conditional:2} = {size.total:3}  {row.counted}"
        sys.stdout.write(f"{line}\n")


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
