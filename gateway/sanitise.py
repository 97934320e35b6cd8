"""The safe half of the way, shared by `serve` and `filter`: message in, safe message and what became of each part out.

Trusts the sandbox's client to answer with a file of ours or a typed reason. Fails with SandboxUnavailableError where
no sandbox can be had, OSError where the work directory cannot be written, ReadingsDifferError where what was written
is not what two readers find in it, and by cancellation; never by what is in the message. Bounds:
`[message] parallel_parts` decoded parts in memory at once, `Policy.most_bytes` for what the message may become: the
largest flattened parts give way to a notice, so that the next hop does not bounce all of it.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.mail.filename import flattened_name
from gateway.mail.parse import parse
from gateway.mail.plan import MESSAGE_TOO_LARGE, WHOLE, Action, make_plan
from gateway.mail.rebuild import rebuild
from gateway.mail.record import PartRecord, records
from gateway.mail.result import Removed, Result, Safe
from gateway.mail.witness import objection
from gateway.originals.store import new_id
from sandbox.client import Flattened, NotFlattened, Want, unless_disguised

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.mail.plan import Plan, Step
    from gateway.mail.tree import Message
    from sandbox.client import Sandbox

_FRAME: Final = 1024  # bytes of header, boundary and notice that a part may bring along


class ReadingsDifferError(Exception):
    """What was to be sent reads differently for two parsers, or holds what should be gone: a fault of the mail room."""


@dataclass(frozen=True, slots=True)
class Sanitised:
    """What goes on, and why it looks as it does."""

    content: bytes = field(repr=False)  # b"" where policy refuses the message
    refused: str | None
    ambiguities: tuple[str, ...]
    records: tuple[PartRecord, ...]
    original_id: str  # "" where nothing was removed
    answers: dict[str, Flattened | NotFlattened]  # of the sandbox, by part


async def sanitise(untrusted_message: bytes, settings: Settings, sandbox: Sandbox) -> Sanitised:
    """Read, plan, flatten, rebuild."""
    message, plan = await asyncio.to_thread(_read, untrusted_message, settings)
    if plan.refused:
        return Sanitised(b"", plan.refused, plan.ambiguities, tuple(records(plan, {})), "", {})
    original_id = new_id()
    results, answers = await _flattened(plan, len(untrusted_message), original_id, settings, sandbox)
    removed = any(isinstance(result, Removed) for result in results.values())
    content = await asyncio.to_thread(_written, message, plan, results, settings)
    ended = tuple(records(plan, results))
    return Sanitised(content, None, plan.ambiguities, ended, original_id if removed else "", answers)


async def _flattened(
    plan: Plan, received: int, original_id: str, settings: Settings, sandbox: Sandbox
) -> tuple[dict[str, Result], dict[str, Flattened | NotFlattened]]:
    """What stands in the place of every part that does not stay, and what the sandbox said."""
    steps = [step for step in plan.steps if step.action is Action.FLATTEN]
    if not steps:  # neither sandbox nor disk: most mail
        return _results(plan, None, original_id), {}
    with tempfile.TemporaryDirectory(prefix="lazaretto-", dir=settings.message.work_directory) as directory:
        room = settings.policy.most_bytes(received) - received
        bench = _Bench(sandbox, Path(directory), settings.message.parallel_parts, room, original_id)
        await bench.flatten_all(steps)
        return await asyncio.to_thread(_results, plan, bench, original_id), bench.answers


def _read(untrusted_message: bytes, settings: Settings) -> tuple[Message, Plan]:
    message = parse(untrusted_message, settings.mail)
    return message, make_plan(message, settings.policy)


def _written(message: Message, plan: Plan, results: dict[str, Result], settings: Settings) -> bytes:
    content = rebuild(message, plan, results)
    if fault := objection(message, plan, results, content, settings.mail):
        raise ReadingsDifferError(fault)
    return content


class _Bench:
    """Flattens the parts of one message; its files lie in a directory of the message's own."""

    def __init__(self, sandbox: Sandbox, directory: Path, parallel: int, room: int, message: str) -> None:
        self._sandbox = sandbox
        self._message = message
        self._directory = directory
        self._turn = asyncio.Semaphore(parallel)
        self._room = room
        self._taken = 0
        self.answers: dict[str, Flattened | NotFlattened] = {}
        self.files: dict[str, Flattened] = {}  # those that there is room for

    async def flatten_all(self, steps: list[Step]) -> None:
        """All of them, or the first failure of the house; the others are cancelled then."""
        try:
            async with asyncio.TaskGroup() as group:
                for number, step in enumerate(steps):
                    group.create_task(self._flatten(step, self._directory / str(number)))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _flatten(self, step: Step, output: Path) -> None:
        async with self._turn:
            untrusted_document = await asyncio.to_thread(step.payload)
            want = step.want or Want.PDF
            answer = await self._sandbox.flatten(untrusted_document, output, want, message=self._message)
            answer = unless_disguised(answer, step.name)
        self.answers[step.part] = answer
        if isinstance(answer, Flattened):
            self.files[step.part] = answer
            self._taken += _encoded(answer.size)
            self._make_room()

    def _make_room(self) -> None:
        """Drop the largest files until the rest fits, at once, so that the disk is bounded too."""
        while self.files and self._taken > self._room:
            largest = self.files.pop(max(self.files, key=lambda part: self.files[part].size))
            largest.path.unlink(missing_ok=True)
            self._taken -= _encoded(largest.size)


def _encoded(size: int) -> int:
    """How much a file adds to a message: base64 in lines of 76 and CRLF (RFC 2045 section 6.8)."""
    return size * 78 // 57 + _FRAME


def _results(plan: Plan, bench: _Bench | None, original_id: str) -> dict[str, Result]:
    results: dict[str, Result] = {WHOLE: Removed(plan.held, "", original_id)} if plan.held else {}
    for step in plan.steps:
        if step.action is Action.REMOVE:
            results[step.part] = Removed(step.reason, "", original_id)
        elif step.action is Action.FLATTEN and bench:
            results[step.part] = _result(step, bench, original_id)
    return results


def _result(step: Step, bench: _Bench, original_id: str) -> Result:
    answer, file = bench.answers[step.part], bench.files.get(step.part)
    if isinstance(answer, NotFlattened):
        return Removed(answer.reason, answer.found, original_id)
    if file is None:
        return Removed(MESSAGE_TOO_LARGE, answer.found, original_id)
    return Safe(file.path.read_bytes(), file.media_type, flattened_name(step.name, file.media_type), file.found)
