"""A sandbox that lies, stalls and floods: a real process with real pipes, in the place of an outer container."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.host.runtime.base import OuterContainer, Plan

if TYPE_CHECKING:
    from pathlib import Path

PRELUDE = """
import os, struct, sys, time
from sandbox import contract as c
out = sys.stdout.buffer
def frame(kind, payload=b""):
    out.write(struct.pack(c.FRAME, kind, len(payload)) + payload)
def hello():
    frame(c.HELLO, c.MAGIC + bytes([c.VERSION])); out.flush()
def page(width=2, height=2, points=(1000, 1000), pixels=None):
    frame(c.PAGE, struct.pack(c.PAGE_PAYLOAD, width, height, *points))
    frame(c.PIXELS, bytes(width * height * 3) if pixels is None else pixels)
def container(form=c.ARCHIVE):
    frame(c.CONTAINER, bytes([form]))
def member(name=b"a.txt", *pieces):
    frame(c.MEMBER, name)
    for piece in pieces:
        frame(c.BYTES, piece)
def end(count=1):
    frame(c.END, struct.pack(c.END_PAYLOAD, count)); out.flush()
def command():
    size = struct.calcsize(c.COMMAND)
    got = sys.stdin.buffer.read(size)
    return struct.unpack(c.COMMAND, got) if len(got) == size else sys.exit("no command")
"""
# what a guest does that means no harm: prepares itself, stands, shows one page of four pixels for whatever comes
GOOD = """
while (asked := command())[2] == c.PREPARE:
    frame(c.PREPARED); out.flush()
hello()
sys.stdin.buffer.read()
frame(c.FOUND, b"text/plain"); frame(c.OPENED); page(); end()
"""


@dataclass
class Hostile:
    """An outer runtime whose every container runs `script`, Python text that may use the prelude's helpers."""

    script: str
    name: str = "hostile"
    removable: bool = True
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def version(self) -> str:
        return "hostile 1"

    def start(self, plan: Plan, job: str) -> OuterContainer:
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + self.script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        return OuterContainer(process, process.kill if self.removable else _hang)

    restores = False

    def execute(self, plan: Plan, job: str, arguments: list[str]) -> None:
        """There is no container to run anything in."""
        raise OSError("no container")

    def sweep(self, state: Path) -> None:
        """Nothing of it outlives its process."""


def _hang() -> None:
    raise subprocess.TimeoutExpired("runtime delete", 10)
