"""One message's page in the journal, a line for each recipient: what is known, what is sent, what was heard.

    recall     who has it already: those are answered from the journal, the others remain in `envelope`
    sending    on disk before the message goes to the next hop
    ended      on disk before anybody is told what the next hop said
    answer     what the client is told; `Outcome.heard` says later whether it was
    abandoned  nobody is there to be told: what was or will be delivered answers the retry

A line that says "delivered" answers nobody while its own client may still hear: only when he is known to have gone
without a sign of having read the reply does it answer a retry, and that once. So many copies as were delivered
unheard, so many retries are answered; a message that is sent twice on purpose is delivered twice. Trusts the server
for who has heard. Fails with nothing; where the journal does not work, nothing is known.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from typing import TYPE_CHECKING, Self

import structlog

from gateway.journal.file import DELIVERED, DOUBTFUL, UNHEARD
from gateway.outcome import Outcome, from_next_hop
from gateway.smtp.verdict import verdict

if TYPE_CHECKING:
    from types import TracebackType

    from gateway.journal.file import Claim
    from gateway.journal.journal import Journal
    from gateway.smtp.envelope import Envelope

log = structlog.get_logger(__name__)


@dataclasses.dataclass(slots=True, eq=False)
class _Line:
    key: bytes
    id: int = 0  # 0: not in the journal
    outcome: Outcome | None = None

    def marked(self, state: str) -> tuple[int, str, str]:
        return self.id, state, self.outcome.reply.partition(" ")[2] if self.outcome else ""

    @property
    def delivered(self) -> bool:
        return bool(self.id and self.outcome and self.outcome.delivered)


class Passage:
    """Enter it for the time that somebody stands to be told."""

    def __init__(self, journal: Journal, envelope: Envelope, keys: tuple[bytes, ...]) -> None:
        self._journal = journal
        self._lines = [_Line(key) for key in keys]  # none: there is no journal
        self._new = self._lines  # of those who do not have it yet
        self._each_recipient = envelope.each_recipient
        self._telling: list[_Line] = []
        self._answered = False
        self._abandoned = False
        self._in_exchange = False
        self.over = asyncio.Event()
        self.envelope = envelope  # with those who do not have it yet

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self._answered:
            self._abandon()

    # --- what is known ---

    async def recall(self) -> None:
        """Wait for what is under way to the same recipients with nobody to be told, then look what is written."""
        for line in self._lines:
            for other in tuple(self._journal.unheard.get(line.key, ())):
                await other.over.wait()
        keys = [line.key for line in self._lines]
        claims = self._journal.write(lambda lines: lines.claim(keys))
        try:
            await asyncio.wait([claims])
        except asyncio.CancelledError:
            self._list_unheard()
            claims.add_done_callback(lambda done: self._release(done.result() or []))
            raise
        self._claimed(claims.result() or [])
        if known := [line.outcome.reply for line in self._lines if line.outcome]:
            log.info("delivered_before", recipients=len(known), reply=known[0])

    def _claimed(self, claims: list[Claim]) -> None:
        for line, claim in zip(self._lines, claims, strict=bool(claims)):
            if claim.id:
                line.id, line.outcome = claim.id, from_next_hop(250, claim.reply)
        self._new = [line for line in self._lines if not line.id]
        left = [one for one, line in zip(self.envelope.recipients, self._lines, strict=True) if not line.id]
        self.envelope = dataclasses.replace(self.envelope, recipients=tuple(left))
        if doubts := sum(claim.doubtful for claim in claims):
            log.warning("sent_again_in_doubt", recipients=doubts)

    def _release(self, claims: list[Claim]) -> None:
        self._claimed(claims)
        self._abandon()
        self._is_over()

    @property
    def all_have_it(self) -> bool:
        """Whether nothing remains to be sent."""
        return bool(self._lines) and not self._new

    # --- what is sent ---

    async def sending(self) -> None:
        """It goes to the next hop now."""
        self._in_exchange = True
        if self._abandoned:
            self._list_unheard()
        for line in self._new:
            line.id = secrets.randbits(62) + 1
        if self._new:
            added = [(line.id, line.key) for line in self._new]
            await self._journal.write(lambda lines: lines.add(added), durable=True)

    async def ended(self, ended: Outcome) -> None:
        """What the next hop said to it."""
        marks, gone = [], []
        for line, one in zip(self._new, ended.each or (ended,) * len(self._new), strict=True):
            line.outcome = one
            if one.delivered:
                marks.append(line.marked(UNHEARD if self._abandoned else DELIVERED))
            elif one.in_doubt:
                marks.append(line.marked(DOUBTFUL))
            else:
                gone.append(line.id)
        if self._new:
            await self._journal.write(lambda lines: lines.update(marks, gone), durable=bool(marks))
        self._in_exchange = False
        self._is_over()

    # --- what the client is told ---

    def answer(self, ended: Outcome | None = None) -> Outcome:
        """One outcome for the client; `ended` is that of those who did not have it yet."""
        self._answered = True
        if ended:
            for line, one in zip(self._new, ended.each or (ended,) * len(self._new), strict=bool(self._new)):
                line.outcome = one
        whole = ended if ended and len(self._new) == len(self._lines) else self._whole()
        told = [line.outcome if self._each_recipient else whole for line in self._lines]
        pairs = [(line, one) for line, one in zip(self._lines, told, strict=True) if line.delivered and one]
        self._telling = [line for line, one in pairs if one.delivered]
        unheard = [line.marked(UNHEARD) for line, one in pairs if one.temporary]  # told to come again
        gone = [line.id for line, one in pairs if not one.delivered and not one.temporary]
        if unheard or gone:
            self._journal.write(lambda lines: lines.update(unheard, gone))
        return dataclasses.replace(whole, heard=self._heard) if self._telling else whole

    def _whole(self) -> Outcome:
        return verdict(tuple(line.outcome for line in self._lines if line.outcome))

    def _heard(self, heard: bool) -> None:  # noqa: FBT001 - what it is called with
        """The client has shown that it read the reply, or has gone without."""
        if heard:
            numbers = [line.id for line in self._telling]
            self._journal.write(lambda lines: lines.remove(numbers))
        else:
            marks = [line.marked(UNHEARD) for line in self._telling]
            self._journal.write(lambda lines: lines.mark(marks))

    def _abandon(self) -> None:
        self._abandoned = True
        marks = [line.marked(UNHEARD) for line in self._lines if line.delivered]
        if marks:
            self._journal.write(lambda lines: lines.mark(marks))
        if self._in_exchange:
            self._list_unheard()

    def _list_unheard(self) -> None:
        """Whoever comes again waits until it is written what came of this one."""
        for line in self._lines:
            self._journal.unheard[line.key].add(self)

    def _is_over(self) -> None:
        self.over.set()
        for line in self._lines:
            self._journal.unheard[line.key].discard(self)
            if not self._journal.unheard[line.key]:
                del self._journal.unheard[line.key]
