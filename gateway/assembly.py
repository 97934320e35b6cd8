"""Puts together what stands in the place of each document: a flattened file, an archive, a message, or a reason.

Called when all documents are done, in a thread: reads the files that the sandbox made, and once more the messages that
were in files, one at a time. Writes nothing. Trusts the mail room to write; collects on the way what `witness` looks
for, the prints of what has to be gone and of what may be there. Fails with OSError only. Bound: what `Shelf` let stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.documents import opened
from gateway.mail import archive, rebuild
from gateway.mail.content import crlf
from gateway.mail.entity import MESSAGE, PARTS
from gateway.mail.filename import flattened_name
from gateway.mail.reasons import MEMBER, NOTHING_SAFE, WHOLE
from gateway.mail.record import Outcome, PartRecord, records
from gateway.mail.result import Removed, Result, Safe
from gateway.mail.step import Action, changes_bytes
from gateway.mail.witness import Traces, print_of
from sandbox.client import Flattened, Form, Unpacked

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.documents import Document
    from gateway.mail.letter import Letter
    from gateway.mail.policy import Policy
    from gateway.mail.step import Plan, Step
    from gateway.mail.witness import Print

_ZIP = "application/zip"


@dataclass(slots=True)
class Assembly:
    """Of one message, whose original would be kept under `original_id`."""

    policy: Policy
    original_id: str
    records: dict[str, list[PartRecord]] = field(default_factory=dict)  # of what was in a container, by its id
    mark: str = ""  # what the message as a whole has to say of what was in its files
    _gone: dict[Print, str] = field(default_factory=dict)
    _stays: set[Print] = field(default_factory=set)
    _archives: set[Print] = field(default_factory=set)
    _parts: int = 0
    _letters: int = 0

    def results(self, plan: Plan, documents: list[Document]) -> dict[str, Result]:
        """What stands in the place of every part of the message that does not stay."""
        results = self.removals(plan)
        for document in documents:
            results[document.part] = self.result(document)
        return results

    @property
    def traces(self) -> Traces:
        """What `witness` has to know of all that was in containers."""
        return Traces(self._gone, frozenset(self._stays), frozenset(self._archives), self._parts, self._letters)

    def result(self, document: Document) -> Safe | Removed:
        """What stands in the place of one document."""
        if document.print:
            self._gone.setdefault(document.print, document.part)
        if document.reason:
            return Removed(document.reason, document.found, self.original_id)
        if isinstance(document.answer, Unpacked):
            return self._container(document, document.answer)
        return self._flattened(document)

    def _flattened(self, document: Document) -> Safe:
        if not isinstance(document.answer, Flattened):
            raise TypeError(f"{document.part} has neither answer nor reason")
        content = document.answer.path.read_bytes()
        self._stays.add(print_of(content))
        media_type = document.answer.media_type
        return Safe(content, media_type, flattened_name(document.name, media_type), document.found)

    def _container(self, document: Document, unpacked: Unpacked) -> Safe | Removed:
        if document.file:
            return self._letter(document, document.file, unpacked.form)
        results = [(member, self.result(member)) for member in document.inside]
        self.records[document.part] = [record for pair in results for record in self._of_member(*pair)]
        if unpacked.form is Form.WRAPPER:
            return replace(results[0][1], found=document.found)
        return self._archive(document, [(member.untrusted_path, result) for member, result in results])

    def _archive(self, document: Document, members: list[archive.Member]) -> Safe | Removed:
        if all(isinstance(result, Removed) for _, result in members):
            return Removed(NOTHING_SAFE, document.found, self.original_id, archive.removed_of(members))
        content = archive.write(members)
        self._archives.add(print_of(content))
        return Safe(content, _ZIP, flattened_name(document.name, _ZIP), document.found)

    def _letter(self, document: Document, path: Path, form: Form) -> Safe:
        letter = opened(path, document.bounds or self.policy.bounds, self.policy)
        path.unlink(missing_ok=True)
        above = document.part + "/"
        results = self.removals(letter.plan)
        for inside in document.inside:
            results[inside.part.removeprefix(above)] = self.result(inside)
        self.records[document.part] = records(letter.plan, results, self.records, above)
        self._note(letter, above)
        self.mark = self.mark or letter.plan.mark
        if form is Form.PARTS and not document.boxed:
            content = rebuild.inside_as_part(letter.message, letter.plan, results, above)
            return Safe(content, PARTS, "", document.found)
        content = rebuild.inside(letter.message, letter.plan, results, above)
        self._stays.add(print_of(content))
        return Safe(content, MESSAGE, flattened_name(document.name, MESSAGE), document.found)

    def _note(self, letter: Letter, above: str) -> None:
        self._letters += 1
        self._parts += letter.parts
        for step in letter.plan.steps:
            if step.action is Action.REMOVE:
                self._gone.setdefault(print_of(step.payload()), above + step.part)
            elif step.action is not Action.UNPACK and not changes_bytes(step):
                self._stays |= {print_of(step.payload()), print_of(crlf(step.payload()))}

    def removals(self, plan: Plan) -> dict[str, Result]:
        """What goes by the plan alone."""
        whole: dict[str, Result] = {WHOLE: Removed(plan.held, "", self.original_id)} if plan.held else {}
        return whole | {step.part: self._removal(step) for step in plan.steps if step.action is Action.REMOVE}

    def _removal(self, step: Step) -> Removed:
        return Removed(step.reason, "", self.original_id)

    def _of_member(self, member: Document, result: Safe | Removed) -> list[PartRecord]:
        """The record of one member, and those of what was in it."""
        inside = self.records.get(member.part, [])
        if isinstance(result, Removed):
            own = PartRecord(member.part, member.name, "", result.found, "removed", result.reason, result.id)
        else:
            outcome: Outcome = "repacked" if isinstance(member.answer, Unpacked) else "flattened"
            own = PartRecord(member.part, member.name, "", result.found, outcome, MEMBER, "")
        return [own, *inside]
