"""Runs inside the double sandbox in the guest's place: a hostile program comes as the document and is executed.

It speaks the contract as the real guest does (HELLO, then the request), so that the host side is the one of service.
What the program tries is told as the text of pages, one page an event, written at once: what came of a try is known
even where the program did not live to its end. Given to Python by `-c`, so that nothing of the image changes for it.

A document is a line with the program's length, the program, and padding that is left unread.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from sandbox import contract
from sandbox.guest.wire import Answer, read_command

if TYPE_CHECKING:
    from collections.abc import Callable

LINE = 1000  # characters of a report in one run of text; the host takes 1024
TEXT_BYTES = 1 << 20

libc = ctypes.CDLL(None, use_errno=True)


def exactly(length: int) -> bytes:
    """Bytes of standard input, no more than asked for."""
    data = b""
    while len(data) < length:
        chunk = os.read(0, length - len(data))
        if not chunk:
            raise SystemExit("request is not whole")
        data += chunk
    return data


def read_program() -> str:
    """The program at the head of the document."""
    exactly(struct.calcsize(contract.REQUEST))
    digits = b""
    while (byte := exactly(1)) != b"\n":
        digits += byte
    return exactly(int(digits)).decode()


class Reporter:
    """Says what was tried and what came of it."""

    def __init__(self) -> None:
        self.stream = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # frames have a descriptor of their own, as in guest/__main__.py
        self.answer = Answer(self.stream)
        self.pages = 0

    def emit(self, event: dict[str, Any]) -> None:
        text = json.dumps(event)
        lines = [f"0 0 100 100 |{text[start : start + LINE]}\n" for start in range(0, len(text), LINE)]
        self.answer.page((2, 2), (72.0, 72.0), memoryview(bytes(12)))
        self.answer.text("".join(lines), TEXT_BYTES)
        self.stream.flush()
        self.pages += 1

    def end(self) -> None:
        self.answer.end(self.pages)


reporter = Reporter()


def code_of(error: OSError) -> str:
    """EPERM and the like; a time-out has no number."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def tried(what: str, got: str = "") -> None:
    """`what` was tried and `got` came of it; "" where the end of the sandbox will tell."""
    reporter.emit({"tried": what, "got": got})


def escaped(what: str, value: object) -> None:
    """`what` was tried and worked, which it must not."""
    reporter.emit({"tried": what, "escaped": repr(value)[:2000]})


def fact(name: str, value: object) -> None:
    """Something for the host to judge."""
    reporter.emit({"fact": name, "value": value})


def refused(what: str, function: Callable[..., object], *arguments: object) -> str:
    """Try what must fail with an error of the system; returns the error's name, "" where it did not fail."""
    try:
        value = function(*arguments)
    except OSError as error:
        tried(what, code_of(error))
        return code_of(error)
    escaped(what, value)
    return ""


def must(what: str, *, holds: bool, how: str, seen: object = "") -> None:
    """Tell whether something that keeps us in holds, and how it does."""
    if holds:
        tried(what, how)
    else:
        escaped(what, seen)


def syscall(number: int, *arguments: object) -> int:
    """A raw system call of x86-64; raises OSError. Bytes and buffers go as pointers."""
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *values))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def leave(status: int = 0) -> NoReturn:
    """End at once, without an end mark of the loader's."""
    os._exit(status)


def main() -> None:
    """One request, one program; how it failed to run is told apart from what it tried."""
    libc.syscall.restype = ctypes.c_long
    while read_command().kind == contract.PREPARE:  # what is to be frozen is asked to; nothing need be prepared
        reporter.answer.prepared()
    reporter.answer.hello()
    program = read_program()
    reporter.answer.found("text/x-hostile")
    try:
        exec(compile(program, "program", "exec"), dict(globals()))
    except BaseException:  # noqa: BLE001 - whatever it is, the program did not do what it was written for
        reporter.emit({"error": traceback.format_exc()})
    else:
        reporter.emit({"done": True})
    reporter.end()
    sys.stderr.flush()


if __name__ == "__main__":
    main()
    os._exit(0)
