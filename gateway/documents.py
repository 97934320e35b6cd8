"""Flattens the documents of one message, and what is in them: each has a turn and a sandbox of its own.

Trusts the sandbox's client to answer with a file of ours, with what a container held, or with a typed reason. What came
out of a container is the sender's: it goes to a sandbox again, or is read as a message, and is deleted then. Fails with
the first failure of the house (SandboxUnavailableError, OSError), the other documents are cancelled; what is in a
document never fails. Bounds: `[message] parallel_parts` documents in memory at once, and at each depth as many messages
out of files; `Budget` for all that is unpacked, `Shelf` for all that goes on. A turn is given back before what was in
the document gets its own, and a message waits for deeper ones only: nobody waits in a circle.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.mail.filename import safe_filename
from gateway.mail.letter import Letter, read_letter
from gateway.mail.witness import print_of
from sandbox import contract
from sandbox.client import Flattened, Form, NotFlattened, Want, unless_disguised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gateway.budget import Budget
    from gateway.mail.policy import Policy
    from gateway.mail.step import Step
    from gateway.mail.tree import Bounds
    from gateway.mail.witness import Print
    from gateway.shelf import Shelf
    from sandbox.client import Answer, Member, Sandbox, Unpacked

_LETTERS = (Form.MESSAGE, Form.PARTS)
_REWRITTEN = 2  # times that a kept text may grow: quoted-printable of a quarter that is odd, and what escapes it


@dataclass(slots=True, eq=False)
class Document:
    """One thing to flatten, and what became of it."""

    part: str  # its id in the records
    name: str  # safe to show
    declared: str = ""
    charset: str = ""  # what the message calls that of a text
    untrusted_path: str = ""  # as the archive that it was in had it
    want: Want = Want.PDF
    depth: int = 0
    layers: int = 1  # of base64 around it in the message
    boxed: bool = False  # in an archive: a message there is a file, with base64 around it
    answer: Answer | None = None
    reason: str = ""  # why it is gone; "" where it is not
    file: Path | None = None  # what the sandbox made of it; the message that was in it
    print: Print | None = None  # of what it was
    bounds: Bounds | None = None  # by which the message that was in it is read
    inside: list[Document] = field(default_factory=list)

    @property
    def found(self) -> str:
        """The type seen by content."""
        return self.answer.found if self.answer else ""

    def give_way(self, reason: str) -> None:
        """It does not go on, nor anything in it."""
        self.reason = reason
        if self.file:
            self.file.unlink(missing_ok=True)
        self.file = None

    def everything(self) -> Iterable[Document]:
        """Itself and all below it."""
        yield self
        for below in self.inside:
            yield from below.everything()


class Bench:
    """Works on the documents of one message; its files lie in a directory of the message's own."""

    def __init__(
        self,
        sandbox: Sandbox,
        directory: Path,
        *,
        parallel: int,
        policy: Policy,
        budget: Budget,
        shelf: Shelf,
        message: str,
    ) -> None:
        self._sandbox = sandbox
        self._directory = directory
        self._turn = asyncio.Semaphore(parallel)
        self._reading = defaultdict[int, asyncio.Semaphore](lambda: asyncio.Semaphore(parallel))  # by depth
        self._policy = policy
        self._budget = budget
        self._shelf = shelf
        self._message = message
        self._files = 0

    async def flatten_all(self, documents: list[tuple[Document, Callable[[], bytes]]]) -> None:
        """All of them, or the first failure of the house; the others are cancelled then."""
        try:
            async with asyncio.TaskGroup() as group:
                for document, read in documents:
                    group.create_task(self._flatten(document, read))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _flatten(self, document: Document, read: Callable[[], bytes]) -> None:
        async with self._turn:
            answer = document.answer = await self._asked(document, read)
        if isinstance(answer, Flattened):
            document.file = answer.path
            self._shelf.put(document, answer.size, document.layers)
        elif isinstance(answer, NotFlattened):
            document.reason = answer.reason
        else:
            await self.unpack(document, answer)

    async def _asked(self, document: Document, read: Callable[[], bytes]) -> Answer:
        untrusted_document = await asyncio.to_thread(read)
        document.print = await asyncio.to_thread(print_of, untrusted_document)
        room = self._budget.room() if document.want is Want.PDF else None  # a picture that is shown is no container
        answer = await self._sandbox.flatten(
            untrusted_document,
            self._fresh(),
            document.want,
            message=self._message,
            room=room,
            charset=document.charset,
        )
        return unless_disguised(answer, document.name)

    def _fresh(self) -> Path:
        self._files += 1
        return self._directory / str(self._files)

    # what was in a container

    async def unpack(self, document: Document, unpacked: Unpacked) -> None:
        """Flatten what was in it; afterwards its members' file is gone."""
        try:
            document.reason = self._budget.take(unpacked, document.depth) or _missing(unpacked)
            if document.reason:
                return
            if unpacked.form in _LETTERS:
                await self._letter(document, unpacked.path)
            else:
                document.inside = [_member(document, unpacked, number) for number in range(len(unpacked.members))]
                await self.flatten_all(_there(document.inside, unpacked))
        finally:
            if document.file is None:
                unpacked.path.unlink(missing_ok=True)

    async def _letter(self, document: Document, path: Path) -> None:
        async with self._reading[document.depth]:
            document.bounds = self._budget.bounds_at(document.depth + 1)
            letter = await asyncio.to_thread(opened, path, document.bounds, self._policy)
            document.reason = self._budget.take_letter(letter)
            if document.reason:
                return
            document.file = path
            self._shelf.put(document, letter.kept_bytes * _REWRITTEN, document.layers - 1 + document.boxed)
            if document.reason:
                return
            steps = [(_part(document, step, depth), step.payload) for step, depth in letter.to_flatten()]
            document.inside = [inside for inside, _ in steps]
            await self.flatten_all(steps)


def opened(path: Path, bounds: Bounds, policy: Policy) -> Letter:
    """The message in a file."""
    return read_letter(path.read_bytes(), bounds, policy)


def of_step(step: Step, depth: int) -> Document:
    """A document of the message itself."""
    return Document(step.part, step.name, step.declared, step.charset, want=step.want or Want.PDF, depth=depth)


def _part(above: Document, step: Step, depth: int) -> Document:
    """A document of a message that was in a container."""
    document = of_step(step, above.depth + 1 + depth)
    document.part = f"{above.part}/{step.part}"
    document.layers = above.layers + above.boxed
    return document


def _member(above: Document, unpacked: Unpacked, number: int) -> Document:
    """A file that was in one; where it has no name, it is called as the container is, without its ending."""
    member = unpacked.members[number]
    stem, dot, _ = above.name.rpartition(".")
    untrusted_path = member.untrusted_name or (stem if dot and stem else above.name)
    return Document(
        part=f"{above.part}/{number + 1}",
        name=safe_filename(untrusted_path),
        untrusted_path=untrusted_path,
        want=above.want,
        depth=above.depth + 1,
        layers=above.layers,
        boxed=above.boxed or unpacked.form is Form.ARCHIVE,
        reason=member.reason,
    )


def _there(documents: list[Document], unpacked: Unpacked) -> list[tuple[Document, Callable[[], bytes]]]:
    """Those members that came out, each read when its turn comes."""
    pairs = zip(documents, unpacked.members, strict=True)
    return [(document, _Slice(unpacked.path, member)) for document, member in pairs if not member.reason]


def _missing(unpacked: Unpacked) -> str:
    """Why what has one thing in it is as good as empty."""
    if not unpacked.members:
        return contract.EMPTY
    return "" if unpacked.form is Form.ARCHIVE else unpacked.members[0].reason


@dataclass(frozen=True, slots=True)
class _Slice:
    """A member's bytes."""

    path: Path
    member: Member

    def __call__(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.member.start)
            return file.read(self.member.size)
