"""The property of the mail room: no MIME parser finds, in what we send, bytes of a file that was to be flattened.

`examine` sends a message the whole way (the sandbox is the fake one), has every installed reader read what comes out, and
says what is wrong: a reader that found 32 bytes on end of an original, or two readers that saw different parts.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

from gateway import config
from gateway.mail.filename import decode_words
from gateway.mail.parse import parse
from gateway.sanitise import ReadingsDifferError, Sanitised, sanitise
from tests.fakes.sandbox import FakeSandbox
from tests.gateway.mail.letters import haystack
from tests.gateway.mail.readers import READERS, Child, Leaf, Python, Unreadable, is_installed, start

RUN = 32  # bytes on end that nobody may find
_BLOCK = RUN // 2  # a run of RUN bytes holds one whole block of an original, wherever it begins
_SCRIPT = {b"MZ": "unknown_type", b"PK": "encrypted"}  # what the fake sandbox cannot flatten: a notice takes its place
# parts whose content some libraries read as a message, some as a text, some not at all; MIME leaves that to them
_REPORTS = ("message/",)


@dataclass
class Tally:
    """What was examined, for the table at the end."""

    messages: int = 0
    reads: Counter = field(default_factory=Counter)
    originals: int = 0
    canonical: int = 0
    gave_up: Counter = field(default_factory=Counter)
    wrong: Counter = field(default_factory=Counter)

    def table(self) -> list[str]:
        head = (
            f"{self.messages} messages ({self.canonical} written anew), {self.originals} originals of known bytes, "
            f"{sum(self.reads.values())} readings"
        )
        rows = [
            f"{reader.name:16} {self.reads[reader.name]:7} read {self.gave_up[reader.name]:5} given up "
            f"{self.wrong[reader.name]:5} wrong"
            if is_installed(reader)
            else f"{reader.name:16} not installed: {reader.package}"
            for reader in READERS
        ]
        return [head, *rows]


TALLY = Tally()


@cache
def readers() -> dict[str, Child | Python]:
    """The installed ones, started once."""
    return {reader.name: start(reader) for reader in READERS if is_installed(reader)}


@cache
def settings() -> config.Settings:
    return config.load()


@cache
def strict() -> config.Settings:
    """Every key of [policy] that changes more than the default does."""
    return config.load(overrides={"policy": {"html_bodies": "neutralise", "encrypted_mail": "hold"}})


def through(raw: bytes, under: config.Settings) -> Sanitised:
    return asyncio.run(sanitise(raw, under, FakeSandbox(_SCRIPT)))


def known_bytes(seed: object, start: bytes = b"%PDF-1.7\n", size: int = 700) -> bytes:
    """Bytes that nothing else holds."""
    blocks = (hashlib.sha256(f"{seed} {number}".encode()).digest() for number in range(size // 32))
    return start + b"".join(blocks)


def runs_of(original: bytes, hay: bytes) -> list[bytes]:
    """The runs of RUN bytes and more of `original` that are in `hay`."""
    found = []
    for at in range(0, len(original) - _BLOCK + 1, _BLOCK):
        block = original[at : at + _BLOCK]
        position = hay.find(block) if len(set(block)) > _BLOCK // 2 else -1
        while position >= 0:
            before = _common(original[:at][::-1], hay[max(0, position - RUN) : position][::-1])
            after = _common(original[at:], hay[position : position + RUN])
            if before + after >= min(RUN, len(original)):
                found.append(original[at - before : at + after])
                break
            position = hay.find(block, position + 1)
    return found


def _common(a: bytes, b: bytes) -> int:
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def normal(leaf: Leaf) -> tuple[str, str, str]:
    """What readers have to agree on: type, name, bytes; of texts give or take how their lines end."""
    name = " ".join(unicodedata.normalize("NFC", decode_words(leaf.name)).split())
    data = leaf.data
    if leaf.type.startswith(("text/", "message/", "application/pgp-")) or b"-----BEGIN PGP" in data:
        data = data.replace(b"\r\n", b"\n").rstrip(b"\n")
    if leaf.type.startswith(_REPORTS):
        data = b""
    return leaf.type, name, hashlib.sha256(data).hexdigest()[:16]


def examine(raw: bytes, originals: list[bytes] = (), under: config.Settings | None = None) -> list[str]:
    """Everything that is wrong with what we send for `raw`; nothing: the property holds."""
    TALLY.messages += 1
    try:
        safe = through(raw, under or settings())
    except ReadingsDifferError as error:
        return [f"witness: {error}"]
    out = safe.content
    TALLY.originals += len(originals)
    TALLY.canonical += bool(safe.ambiguities)
    wrong = [f"scanner: found {run[:40]!r}" for original in originals for run in runs_of(original, haystack(out))]
    seen: dict[str, list] = {}
    for reader in READERS:
        if not is_installed(reader):
            continue
        TALLY.reads[reader.name] += 1
        try:
            leaves = readers()[reader.name].leaves(out)
        except Unreadable:
            TALLY.gave_up[reader.name] += 1
            continue
        faults = [
            f"{reader.name}: found {run[:40]!r}" for o in originals for leaf in leaves for run in runs_of(o, leaf.data)
        ]
        TALLY.wrong[reader.name] += bool(faults)
        wrong += faults
        if reader.lists:
            seen[reader.name] = [normal(leaf) for leaf in leaves if not leaf.extra]
    wrong += disagreements(seen)
    if parse(out, settings().mail).ambiguities:
        wrong.append(f"ourselves: {parse(out, settings().mail).ambiguities}")
    return wrong


def disagreements(seen: dict[str, list]) -> list[str]:
    """Who saw other parts than most."""
    votes = Counter(tuple(leaves) for leaves in seen.values())
    if len(votes) < 2:
        return []
    most = list(votes.most_common(1)[0][0])
    wrong = []
    for name, leaves in seen.items():
        if leaves != most:
            TALLY.wrong[name] += 1
            odd = [(a, b) for a, b in zip(leaves, most, strict=False) if a != b][:2]
            wrong.append(f"{name}: {len(leaves)} leaves, most see {len(most)}; {odd}")
    return wrong


_RUNS = re.compile(rb"(?m)(?:^[A-Za-z0-9+/]{40,}={0,2}(\r\n|\n|\r(?!\n))){1,}(?:[A-Za-z0-9+/]{2,}={0,2}(?=[\r\n]|\Z))?")
_UU_RUNS = re.compile(rb"(?m)(?:^M[ -`]{60}(\r\n|\n|\r(?!\n))){1,}")
_STARTS = (b"%PDF-1.7\n", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"MZ\x90\x00\x03\x00", b"\xd0\xcf\x11\xe0")


def implanted(raw: bytes, seed: object) -> tuple[bytes, list[bytes]]:
    """The message with known bytes in the place of every encoded file, and those bytes."""
    originals: list[bytes] = []

    def fresh() -> bytes:
        originals.append(known_bytes((seed, len(originals)), _STARTS[len(originals) % len(_STARTS)]))
        return originals[-1]

    def as_base64(match: re.Match[bytes]) -> bytes:
        return base64.encodebytes(fresh()).replace(b"\n", match[1])

    def as_uu(match: re.Match[bytes]) -> bytes:
        data = fresh()
        lines = (binascii.b2a_uu(data[at : at + 45]).rstrip(b"\n") for at in range(0, len(data), 45))
        return b"".join(line + match[1] for line in lines)

    return _RUNS.sub(as_base64, _UU_RUNS.sub(as_uu, raw)), originals
