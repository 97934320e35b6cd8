"""`python -m tests.gateway.mail.property`: the property tried on all that there is, and a table of who found what.

`--minutes N` bends messages for so long after that (`bends.py`), with another seed each time, and prints what it found.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.gateway.corpus import CORPUS
from tests.gateway.mail.bends import bent, with_a_file
from tests.gateway.mail.examine import TALLY, examine, implanted
from tests.gateway.mail.letters import SECRET
from tests.gateway.mail.ordinary import ORDINARY
from tests.gateway.mail.spellings import EVERY, combinations

if TYPE_CHECKING:
    from collections.abc import Iterator

_ONCE = settings(  # bent messages between two looks at the clock; what is found is printed, not shrunk
    max_examples=500, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def material() -> Iterator[tuple[str, bytes, list[bytes]]]:
    """A name, a message, the known bytes in it."""
    yield from ((name, raw, [SECRET]) for name, (raw, _) in EVERY.items())
    yield from ((name, raw, [SECRET]) for name, raw in combinations())
    yield from ((name, raw, []) for name, raw in ORDINARY.items())
    if not CORPUS.is_dir():
        print(f"no corpus at {CORPUS}: only our own messages are tried")
        return
    for path in sorted((CORPUS / "mime").iterdir()):
        as_it_is = path.read_bytes()
        for raw in {as_it_is, as_it_is.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")}:
            yield (path.name, raw, [])
            yield (path.name, *implanted(raw, path.name))
            yield (path.name, *with_a_file(raw, path.name))


def told(name: str, raw: bytes, wrong: list[str]) -> bool:
    for line in wrong[:5]:
        print(f"{name}: {line}\n    {raw[:20_000]!r}")
    return bool(wrong)


def fuzz(minutes: float) -> int:
    found = 0
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        found += batch(random.getrandbits(64))
    return found


def batch(number: int) -> int:
    """Bent messages of one seed; how many of them had something wrong."""
    found: list[bytes] = []

    @seed(number)
    @_ONCE
    @given(bent())
    def run(case):
        if told(f"seed {number}", case[0], examine(*case)):
            found.append(case[0])

    run()
    return len(found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.mail.property")
    parser.add_argument("--minutes", type=float, default=0.0, help="of bent messages after all the rest")
    minutes = parser.parse_args().minutes
    found = sum(told(name, raw, examine(raw, originals)) for name, raw, originals in material())
    found += fuzz(minutes)
    print("\n".join(TALLY.table()))
    print(f"messages with something wrong: {found}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
