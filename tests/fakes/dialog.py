r"""SMTP dialogues as text, and their runner.

    C: what the client sends        (CRLF added)
    C> 'raw \r\n bytes'             (a Python bytes literal without its b)
    S: start of the server's reply  (its last line; "..." alone takes any)
    S! regular expression           (must match the whole reply)
    --                              (hang up, connect anew)

`foreign` reads the like of them written for another server: replies are compared by their first digit.
"""

from __future__ import annotations

import ast
import re
from contextlib import AsyncExitStack

from tests.fakes.talk import talking


def read_dialog(text: str, *, foreign: bool = False) -> list[tuple[str, str]]:
    steps = []
    for line in text.splitlines():
        step = _foreign(line) if foreign else _own(line)
        if step:
            steps.append(step)
    return steps


def _own(line: str) -> tuple[str, str] | None:
    if not line or line.startswith("#"):
        return None
    return ("--", "") if line == "--" else (line[:2], line[3:])


def _foreign(line: str) -> tuple[str, str] | None:
    match = re.match(r"c (->|~>|<-|<~|<\.\.\.|tcp_connect|close) ?(.*)", line)
    if not match:
        return None
    sign, rest = match.groups()
    if sign == "->":
        return "C:", rest
    if sign == "~>":
        return "C>", rest
    if sign == "close":
        return "--", ""
    if sign == "tcp_connect":
        return None
    return ("S1", rest) if not rest.startswith("220") else None


async def run_dialog(port: int, steps: list[tuple[str, str]]) -> None:
    while steps:
        part, steps = _until_reconnect(steps)
        async with AsyncExitStack() as stack:
            talk = await stack.enter_async_context(talking(port))
            for sign, text in part:
                if sign == "C:":
                    await talk.send(text.encode() + b"\r\n")
                elif sign == "C>":
                    await talk.send(ast.literal_eval("b" + text))
                else:
                    _compare(sign, text, await talk.reply())


def _until_reconnect(steps: list[tuple[str, str]]) -> tuple[list, list]:
    signs = [sign for sign, _ in steps]
    at = signs.index("--") if "--" in signs else len(steps)
    return steps[:at], steps[at + 1 :]


def _compare(sign: str, wanted: str, reply: str) -> None:
    if sign == "S1":
        assert reply[:1] == wanted[:1], (wanted, reply)
    elif sign == "S!":
        assert re.fullmatch(wanted, reply), (wanted, reply)
    elif wanted != "...":
        assert reply.rpartition("\n")[2].startswith(wanted), (wanted, reply)
