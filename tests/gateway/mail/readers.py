"""Programs that read mail, each with its own idea of MIME: what they find in what we send.

Those that are not Python run as one child each for the whole test run (`parsers/`). `READERS` says what each needs;
`installed` gives the ones that are there. A leaf is a type, a name and its decoded bytes.
"""

from __future__ import annotations

import base64
import email
import email.policy
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent / "parsers"
NODE_MODULES = Path(__file__).parents[3] / "build" / "parsers" / "node_modules"
SYSTEM_PYTHON = "/usr/bin/python3"
_ERRORS = (LookupError, ValueError, AttributeError, TypeError, AssertionError)


@dataclass(frozen=True)
class Leaf:
    type: str
    name: str
    data: bytes = field(repr=False)
    extra: bool = False  # found by an option that few switch on: nobody else need see it


class Unreadable(Exception):  # noqa: N818 - an answer, not a fault
    """The program gave up on the message."""


class Child:
    """A program that answers a message with its leaves; frames of four bytes of length and so many bytes."""

    def __init__(self, *command: str) -> None:
        environment = os.environ | {"LAZARETTO_NODE_MODULES": str(NODE_MODULES), "LC_ALL": "C.UTF-8"}
        self._start = partial(
            subprocess.Popen,
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._process = self._start()

    def leaves(self, raw: bytes) -> list[Leaf]:
        try:
            self._process.stdin.write(len(raw).to_bytes(4) + raw)
            self._process.stdin.flush()
            answer = json.loads(self._exactly(int.from_bytes(self._exactly(4))).decode("utf-8", "replace"))
        except (EOFError, BrokenPipeError):  # an exception that nobody in there caught
            self._process.wait(10)
            self._process = self._start()
            raise Unreadable("it ended") from None
        if isinstance(answer, dict):
            raise Unreadable(answer["error"])
        return [
            Leaf(leaf["type"], leaf["name"], base64.b64decode(leaf["data"]), bool(leaf.get("extra"))) for leaf in answer
        ]

    def _exactly(self, size: int) -> bytes:
        data = self._process.stdout.read(size)
        if len(data) != size:
            raise EOFError(f"{self._process.args} ended with {self._process.wait()}")
        return data

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Python:
    """The standard library under one of its policies."""

    def __init__(self, policy: email.policy.Policy) -> None:
        self._policy = policy

    def leaves(self, raw: bytes) -> list[Leaf]:
        return list(self._below(email.message_from_bytes(raw, policy=self._policy)))

    def _below(self, part: email.message.Message) -> Iterator[Leaf]:
        """Reports are read as messages by this library alone, whatever their type: they are leaves here."""
        kind = part.get_content_type()
        if kind.startswith("message/") and kind not in ("message/rfc822", "message/global"):
            yield Leaf(kind, "", part.as_bytes())
        elif part.is_multipart():
            for inner in part.get_payload():
                yield from self._below(inner)
        else:
            yield self._leaf(part)

    @staticmethod
    def _leaf(part: email.message.Message) -> Leaf:
        try:
            name, data = part.get_filename() or "", part.get_payload(decode=True) or b""
        except _ERRORS:
            name, data = "?", str(part.get_payload()).encode("utf-8", "surrogateescape")
        return Leaf(part.get_content_type(), name, data)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Reader:
    name: str
    package: str  # what to install where it is missing
    command: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()  # succeeds where it is installed
    lists: bool = True  # gives every leaf; else only what a program of its users is shown


def _node(name: str) -> tuple[str, ...]:
    return ("node", str(HERE / "node.mjs"), name)


def _has_node(package: str) -> tuple[str, ...]:
    return ("node", "-e", f"require('fs').accessSync('{NODE_MODULES}/{package}/package.json')")


READERS = (
    Reader("python-compat32", ""),
    Reader("python-default", ""),
    Reader(
        "mime-tools", "libmime-tools-perl", ("perl", str(HERE / "mime_tools.pl")), ("perl", "-MMIME::Parser", "-e", "1")
    ),
    Reader(
        "gmime",
        "gir1.2-gmime-3.0 and python3-gi",
        (SYSTEM_PYTHON, str(HERE / "gmime.py")),
        (SYSTEM_PYTHON, "-c", "import gi; gi.require_version('GMime', '3.0')"),
    ),
    Reader("ruby-mail", "ruby-mail", ("ruby", str(HERE / "ruby_mail.rb")), ("ruby", "-e", "require 'mail'")),
    Reader("mailsplit", "nodejs, and `make parsers`", _node("mailsplit"), _has_node("mailsplit")),
    Reader("mailparser", "nodejs, and `make parsers`", _node("mailparser"), _has_node("mailparser"), lists=False),
    Reader("postal-mime", "nodejs, and `make parsers`", _node("postal-mime"), _has_node("postal-mime"), lists=False),
)
_POLICIES = {"python-compat32": email.policy.compat32, "python-default": email.policy.default}


@cache
def is_installed(reader: Reader) -> bool:
    if not reader.probe:
        return True
    return bool(shutil.which(reader.probe[0])) and subprocess.run(reader.probe, check=False).returncode == 0


def start(reader: Reader) -> Child | Python:
    return Child(*reader.command) if reader.command else Python(_POLICIES[reader.name])
