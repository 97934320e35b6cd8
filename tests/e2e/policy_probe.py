"""A first process for the outer container that makes any system call it is told to, under the policy that is in force.

It is the image's own Python, alone in the container where runsc would be. The numbers and arguments go in over its
standard input, what each call returned comes out over its standard output. It forks nothing and starts no thread.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.client import Limits
from sandbox.host import choice
from sandbox.host.runtime import base
from sandbox.host.runtime.base import Plan
from sandbox.image import cache

SECONDS = 60.0
PROGRAM = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
for number, arguments in json.load(sys.stdin):
    ctypes.set_errno(0)
    returned = libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(value) for value in arguments))
    print(json.dumps([number, arguments, returned, ctypes.get_errno()]), flush=True)
print("end")
"""
# mov eax, 20 (getpid of i386); int 0x80; ret
INT_0X80 = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("b814000000cd80c3"))
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
print("trying", flush=True)
print("returned", ctypes.CFUNCTYPE(ctypes.c_int)(address)())
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one call ended."""

    number: int
    arguments: tuple[int, ...]
    returned: int
    errno: int


def plan(state: Path, policy: Path = base.SECCOMP) -> Plan:
    return Plan(cache.current_image(), "systrap", Limits(), state, policy)


def run(runtime: str, plan: Plan, program: str, given: str = "") -> tuple[int, str, str]:
    """Start `program` as the outer container's first process; its exit status, output and error."""
    started = replace(plan, command=("/usr/bin/python3", "-I", "-S", "-c", program))
    container = choice.RUNTIMES[runtime]().start(started, f"lazaretto-probe-{secrets.token_hex(6)}")
    try:
        output, error = container.process.communicate(given.encode(), timeout=SECONDS)
        return container.process.returncode, output.decode(), error.decode()
    finally:
        container.destroy()


def attempt(runtime: str, plan: Plan, calls: list[tuple[int, tuple[int, ...]]]) -> list[Answer]:
    """What each call returned; all of them, or an AssertionError that names the one it ended at."""
    status, output, error = run(runtime, plan, PROGRAM, json.dumps(calls))
    lines = output.splitlines()
    assert lines[-1:] == ["end"], f"status {status} at {calls[len(lines) : len(lines) + 1]}; {error}"
    return [Answer(number, tuple(rest[0]), *rest[1:]) for number, *rest in map(json.loads, lines[:-1])]
