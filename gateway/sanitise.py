"""The safe half of the way, shared by `serve` and `filter`: message in, safe message and what became of each part out.

Trusts the sandbox's client to answer with a file of ours, with what a container held, or with a typed reason. Fails
with SandboxUnavailableError where no sandbox can be had, OSError where the work directory cannot be written,
ReadingsDifferError where what was written is not what two readers find in it, and by cancellation; never by what is in
the message. Bounds: those of `documents`, and `Policy.most_bytes` for what the message may become: the largest
flattened parts give way to a notice, so that the next hop does not bounce all of it.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.assembly import Assembly
from gateway.budget import Budget
from gateway.documents import Bench, Document, of_step
from gateway.mail.letter import Letter, anew
from gateway.mail.parse import parse
from gateway.mail.plan import make_plan
from gateway.mail.rebuild import clash, rebuild
from gateway.mail.record import PartRecord, records
from gateway.mail.witness import objection
from gateway.originals.store import new_id
from gateway.shelf import Shelf

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.mail.result import Result
    from sandbox.client import Answer, Sandbox


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
    answers: dict[str, Answer]  # of the sandbox, by part


async def sanitise(untrusted_message: bytes, settings: Settings, sandbox: Sandbox) -> Sanitised:
    """Read, plan, flatten, rebuild."""
    letter = await asyncio.to_thread(_read, untrusted_message, settings)
    plan = letter.plan
    if plan.refused:
        return Sanitised(b"", plan.refused, plan.ambiguities, tuple(records(plan, {})), "", {})
    assembly = Assembly(settings.policy, new_id())
    results, documents = await _flattened(letter, assembly, settings, sandbox)
    if not plan.canonical and await asyncio.to_thread(clash, letter.message, plan, results):
        plan = anew(plan)
        results |= assembly.removals(plan)
    plan = replace(plan, mark=plan.mark or assembly.mark)
    content = await asyncio.to_thread(_written, replace(letter, plan=plan), results, assembly, settings)
    ended = tuple(records(plan, results, assembly.records))
    original_id = assembly.original_id if any(record.id for record in ended) else ""
    answers = {each.part: each.answer for one in documents for each in one.everything() if each.answer}
    return Sanitised(content, None, plan.ambiguities, ended, original_id, answers)


async def _flattened(
    letter: Letter, assembly: Assembly, settings: Settings, sandbox: Sandbox
) -> tuple[dict[str, Result], list[Document]]:
    """What stands in the place of every part that does not stay, and the documents that were flattened for it."""
    work = [(of_step(step, depth), step.payload) for step, depth in letter.to_flatten()]
    documents = [document for document, _ in work]
    if not work:  # neither sandbox nor disk: most mail
        return assembly.results(letter.plan, documents), documents
    received = len(letter.message.raw)
    budget = Budget.of(settings.mail, received, letter.parts)
    shelf = Shelf(settings.policy.most_bytes(received) - received)
    with tempfile.TemporaryDirectory(prefix="lazaretto-", dir=settings.message.work_directory) as directory:
        bench = Bench(
            sandbox,
            Path(directory),
            parallel=settings.message.parallel_parts,
            policy=settings.policy,
            budget=budget,
            shelf=shelf,
            message=assembly.original_id,
        )
        await bench.flatten_all(work)
        return await asyncio.to_thread(assembly.results, letter.plan, documents), documents


def _read(untrusted_message: bytes, settings: Settings) -> Letter:
    message = parse(untrusted_message, settings.mail)
    return Letter(message, make_plan(message, settings.policy))


def _written(letter: Letter, results: dict[str, Result], assembly: Assembly, settings: Settings) -> bytes:
    content = rebuild(letter.message, letter.plan, results)
    if fault := objection(letter.message, letter.plan, results, content, settings.mail, traces=assembly.traces):
        raise ReadingsDifferError(fault)
    return content
