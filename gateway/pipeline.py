"""The way of one message: look in the journal -> parse -> plan -> sanitise -> rebuild -> keep the original -> relay.

Trusts the rooms it calls to keep their contracts. Fails by outcome, and every fault of the house is a 4xx; what
nobody foresaw goes through to `smtp.server`, which answers 451. An original is on disk before its message goes on,
and stays there unless the next hop certainly has not got the message. Bound: `[message] deadline_seconds` for all of
it.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway import maillog
from gateway.originals.store import StorageError
from gateway.outcome import Kind, Outcome, outcome
from gateway.sanitise import ReadingsDifferError, sanitise
from sandbox.client import SandboxBusyError, SandboxUnavailableError

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.journal.journal import Journal
    from gateway.journal.passage import Passage
    from gateway.originals.store import Originals
    from gateway.smtp.client import Record
    from gateway.smtp.envelope import Envelope
    from sandbox.client import Sandbox

_RECEIVED = re.compile(rb"(?i)(?:\A|\r\n)received:")


class Relay(Protocol):
    """What the pipeline asks of the next hop."""

    async def relay(self, envelope: Envelope, message: bytes, record: Record | None = None) -> Outcome:
        """Hand the message on; delivered only on the next hop's own 250. `record` knows before anybody is told."""
        ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """Where a message passes through."""

    settings: Settings
    sandbox: Sandbox
    originals: Originals
    next_hop: Relay
    journal: Journal


async def handle(rooms: Rooms, envelope: Envelope, untrusted_message: bytes) -> Outcome:
    """One message from the client's dot to the reply."""
    ticket = maillog.Ticket.of(envelope, untrusted_message)
    ended = outcome(Kind.HOUSE_BROKEN)
    try:
        async with asyncio.timeout(rooms.settings.message.deadline_seconds):
            ended = await _way(rooms, envelope, untrusted_message, ticket)
    except TimeoutError:
        ended = outcome(Kind.DEADLINE)
    except SandboxBusyError as error:
        ended = outcome(Kind.BUSY_SANDBOX, str(error))
    except SandboxUnavailableError as error:
        ended = outcome(Kind.NO_SANDBOX, str(error))
    except ReadingsDifferError as error:
        maillog.alarm(str(error), ticket.queue_id)
        ended = outcome(Kind.READINGS_DIFFER, str(error))
    except (StorageError, OSError) as error:
        ended = outcome(Kind.NO_STORAGE, str(error))
    except asyncio.CancelledError:
        ticket.client_left()
        raise
    ticket.ended(ended)
    return ended


async def _way(rooms: Rooms, envelope: Envelope, untrusted_message: bytes, ticket: maillog.Ticket) -> Outcome:
    if _hops(untrusted_message) > rooms.settings.message.max_hops:
        return outcome(Kind.LOOP)
    with await rooms.journal.passage(envelope, untrusted_message) as passage:
        if passage.all_have_it:
            return passage.answer()
        return passage.answer(await _handed_on(rooms, passage, untrusted_message, ticket))


async def _handed_on(rooms: Rooms, passage: Passage, untrusted_message: bytes, ticket: maillog.Ticket) -> Outcome:
    """To those recipients who do not have it yet."""
    safe = await sanitise(untrusted_message, rooms.settings, rooms.sandbox)
    ticket.sanitised(safe)
    if safe.refused:
        return outcome(Kind.POLICY_REFUSED, safe.refused)
    if safe.original_id:
        reasons = tuple(record.reason for record in safe.records if record.id)
        await asyncio.to_thread(rooms.originals.keep, safe.original_id, untrusted_message, reasons, passage.envelope)
    ended = await rooms.next_hop.relay(passage.envelope, safe.content, passage)
    if safe.original_id and not ended.delivered and not ended.in_doubt:
        await asyncio.to_thread(rooms.originals.remove, safe.original_id)
    return ended


def _hops(untrusted_message: bytes) -> int:
    """How many MTAs have had the message: what goes in a circle passes one each time (RFC 5321 section 6.3)."""
    end = untrusted_message.find(b"\r\n\r\n")
    return len(_RECEIVED.findall(untrusted_message, 0, end if end >= 0 else len(untrusted_message)))
