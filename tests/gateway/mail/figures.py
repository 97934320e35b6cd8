"""`python -m tests.gateway.mail.figures`: what the mail room costs for large messages; the table of gateway/mail/README.md.

Processor seconds of this process for each station, the median of TRIES; the wall clock for the command. Parts that are to be
flattened get random bytes of the same size at once, as no sandbox is measured here.
"""

from __future__ import annotations

import asyncio
import base64
import os
import statistics
import subprocess
import sys
import time

from gateway import config
from gateway.mail.filename import flattened_name
from gateway.mail.parse import parse
from gateway.mail.plan import make_plan
from gateway.mail.policy import Policy
from gateway.mail.rebuild import rebuild
from gateway.mail.result import Safe
from gateway.mail.step import Action
from gateway.mail.tree import Bounds
from gateway.mail.witness import objection
from gateway.sanitise import sanitise
from tests.fakes.sandbox import FakeSandbox
from tests.gateway.mail.letters import TEXT, TOP, mixed

TRIES = 5
PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
LINE = b"The quick brown fox jumps over the lazy dog, %06d times or so it is said.\r\n"
WORDS = b"".join(LINE % number for number in range(10_000_000 // len(LINE % 0)))
FILE = b"Content-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"


def file(size: int) -> bytes:
    return FILE + base64.encodebytes(os.urandom(size)).replace(b"\n", b"\r\n")


def messages() -> dict[str, bytes]:
    texts = mixed(*(PLAIN + b"Hello %d\r\n" % number for number in range(998)))
    return {
        "text of 10 MB": TOP + PLAIN + WORDS,
        "the same, ambiguous (a NUL)": TOP + PLAIN + WORDS + b"\0",
        "one file, 10 MB as base64": mixed(TEXT, file(7_300_000)),
        "that, ambiguous": mixed(TEXT, file(7_300_000)).replace(b"Hello", b"Hel\0lo"),
        "998 texts": texts,
        "998 texts, ambiguous": texts.replace(b"Hello", b"Hel\0lo"),
        "997 files and a text": mixed(TEXT, *(file(600) for _ in range(997))),
    }


def stations(raw: bytes) -> list[float]:
    """Processor seconds for parse, plan, rebuild, witness."""
    spent: list[float] = []
    message = timed(spent, parse, raw)
    plan = timed(spent, make_plan, message, Policy())
    results = {
        step.part: Safe(os.urandom(len(step.payload())), "application/pdf", flattened_name(step.name))
        for step in plan.steps
        if step.action is Action.FLATTEN
    }
    out = timed(spent, rebuild, message, plan, results)
    if fault := timed(spent, objection, message, plan, results, out, Bounds()):
        raise RuntimeError(fault)
    return spent


def timed(spent: list[float], call, *arguments):
    started = time.process_time()
    answer = call(*arguments)
    spent.append(time.process_time() - started)
    return answer


def command(raw: bytes) -> str:
    """`lazaretto filter`, start of the process included, for what needs no sandbox."""
    taken = []
    for _ in range(TRIES):
        started = time.monotonic()
        run = subprocess.run([sys.executable, "-m", "gateway", "filter"], input=raw, capture_output=True, check=False)
        taken.append(time.monotonic() - started)
        if run.returncode:
            raise RuntimeError(run.stderr.decode())
    return f"{statistics.median(taken):.2f} s"


def fake(raw: bytes) -> str:
    """The whole way but the sandbox, temporary files included."""
    size = len(raw) * 3 // 4 // raw.count(b"application/pdf")
    taken = []
    for _ in range(TRIES):
        started = time.monotonic()
        asyncio.run(sanitise(raw, config.load(), FakeSandbox(size=size)))
        taken.append(time.monotonic() - started)
    return f"{statistics.median(taken):.2f} s, fake sandbox"


def main() -> None:
    print("| message | parse | plan | rebuild | witness | `lazaretto filter` |\n|---|---:|---:|---:|---:|---:|")
    for name, raw in messages().items():
        runs = [stations(raw) for _ in range(TRIES)]
        medians = [f"{statistics.median(column):.3f}" for column in zip(*runs, strict=True)]
        needs = any(step.action is Action.FLATTEN for step in make_plan(parse(raw), Policy()).steps)
        print(f"| {name} | {' | '.join(medians)} | {fake(raw) if needs else command(raw)} |", flush=True)


if __name__ == "__main__":
    main()
