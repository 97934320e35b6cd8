"""The way to the next hop: which of them, over which connection, and what is promised in their name.

Tries the next hops in their order, those that failed lately last. A connection is kept a little while for the next
message and tried with RSET before it is used again; where it fails all the same, a fresh one is made, once. From one
next hop to another, or from an old connection to a fresh one, goes only what has not begun: once the first byte of the
message was sent, another try could deliver it twice. From there on an exchange is not cancelled either, whoever gives
up waiting: its end is logged.

Trusts the next hop to keep what it answers 250 for. Fails by outcome: its refusals are handed on with code and text,
all else is 451. Bounds: `[relay]` connections kept, for how long and for how many messages.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from typing import TYPE_CHECKING, Protocol

import structlog

from gateway.outcome import Kind, outcome
from gateway.smtp.command import OPTIONAL_EXTENSIONS
from gateway.smtp.hop import LostError, open_session
from gateway.smtp.tls import client_context
from gateway.smtp.transaction import RefusedError, begin, finish

if TYPE_CHECKING:
    from gateway.config import RelaySettings
    from gateway.outcome import Outcome
    from gateway.smtp.address import Address
    from gateway.smtp.envelope import Envelope
    from gateway.smtp.hop import Hop

    Begun = tuple[Hop, tuple[Outcome | None, ...]]

log = structlog.get_logger(__name__)


class Record(Protocol):
    """Who has to know, and is waited for: before the message goes to the next hop, and what was said to it."""

    async def sending(self) -> None:
        """The next thing that is written is the message."""
        ...

    async def ended(self, ended: Outcome) -> None:
        """Nobody has been told yet."""
        ...


class _Unrecorded:
    async def sending(self) -> None:
        pass

    async def ended(self, ended: Outcome) -> None:
        pass


class NextHop:
    """Hands messages on. Remembers which extensions each next hop announced last, so that no others are promised."""

    def __init__(self, settings: RelaySettings, hostname: str) -> None:
        self._settings = settings
        self._hostname = hostname
        self._addresses = settings.next_hop_addresses
        self._tls = client_context(settings)
        self._offered: dict[Address, frozenset[str]] = {}  # not there: has said nothing yet
        self._avoided: dict[Address, float] = {}  # until when
        self._idle: collections.defaultdict[Address, list[tuple[Hop, asyncio.TimerHandle]]]
        self._idle = collections.defaultdict(list)
        self._finals: set[asyncio.Task[Outcome]] = set()
        self._closing = False

    def offers(self) -> frozenset[str]:
        """The optional extensions that may be announced to clients: those of all next hops, since any may be needed."""
        return OPTIONAL_EXTENSIONS.intersection(*self._offered.values())

    async def relay(self, envelope: Envelope, message: bytes, record: Record | None = None) -> Outcome:
        """Hand the message on; delivered only on the next hop's own 250 after the dot."""
        try:
            hop, refusals = await self._begun(envelope, message)
        except (RefusedError, LostError) as end:
            return end.outcome
        final = asyncio.create_task(self._finished(hop, message, refusals, record or _Unrecorded()))
        self._finals.add(final)
        final.add_done_callback(self._finals.discard)
        return await _uncancelled(final)

    async def drain(self, seconds: float) -> None:
        """Wait for exchanges that nobody waits for any more, and part from the next hops."""
        self._closing = True
        if self._finals:
            await asyncio.wait(self._finals, timeout=seconds)
        for address in self._addresses:
            self._part_from(address)

    # --- up to the message ---

    async def _begun(self, envelope: Envelope, message: bytes) -> Begun:
        """The first next hop that has come as far as its 354."""
        clock = asyncio.get_running_loop().time
        now = clock()
        order = sorted(self._addresses, key=lambda address: self._avoided.get(address, now) > now)
        for number, address in enumerate(order, 1):
            try:
                return await self._begun_at(address, envelope, message)
            except LostError as lost:
                self._avoided[address] = clock() + self._settings.avoid_seconds
                if number == len(order):
                    raise
                log.warning("next_hop_failed", address=str(address), detail=lost.outcome.detail)
        raise RuntimeError("no next hop is configured")  # which `config` does not allow

    async def _begun_at(self, address: Address, envelope: Envelope, message: bytes) -> Begun:
        kept = await self._kept(address)
        if kept:
            try:
                return kept, await self._begin(kept, envelope, message)
            except LostError:
                self._part_from(address)  # whatever ended it ended the others too
        hop = await open_session(address, self._settings, self._hostname, self._tls)
        self._avoided.pop(address, None)
        self._offered[address] = OPTIONAL_EXTENSIONS & hop.extensions.keys()
        return hop, await self._begin(hop, envelope, message)

    async def _begin(self, hop: Hop, envelope: Envelope, message: bytes) -> tuple[Outcome | None, ...]:
        try:
            return await begin(hop, self._settings, envelope, message)
        except (RefusedError, LostError):
            hop.leave()
            raise
        except BaseException:
            hop.abort()
            raise

    # --- the message ---

    async def _finished(
        self, hop: Hop, message: bytes, refusals: tuple[Outcome | None, ...], record: Record
    ) -> Outcome:
        await record.sending()
        ended = outcome(Kind.HOUSE_BROKEN, in_doubt=True)
        try:
            ended = await finish(hop, self._settings, message, refusals)
        finally:
            await record.ended(ended)
        self._keep(hop)
        return dataclasses.replace(ended, detail=ended.detail or f"next hop {hop.address}")

    # --- connections for the next message ---

    def _keep(self, hop: Hop) -> None:
        settings = self._settings
        full = sum(map(len, self._idle.values())) >= settings.max_idle_connections
        if self._closing or full or not hop.usable or hop.messages >= settings.max_messages_per_connection:
            hop.leave()
            return
        expiry = asyncio.get_running_loop().call_later(settings.idle_seconds, self._expire, hop)
        self._idle[hop.address].append((hop, expiry))

    def _expire(self, hop: Hop) -> None:
        self._idle[hop.address] = [idle for idle in self._idle[hop.address] if idle[0] is not hop]
        hop.leave()

    async def _kept(self, address: Address) -> Hop | None:
        """A connection that was used before and still works."""
        while self._idle[address]:
            hop, expiry = self._idle[address].pop()  # the youngest, so that the others come to their end
            expiry.cancel()
            if not hop.usable:
                hop.abort()
                continue
            try:
                works = await hop.reset()
            except BaseException:
                hop.abort()
                raise
            if works:
                return hop
            hop.leave()
            self._part_from(address)
        return None

    def _part_from(self, address: Address) -> None:
        for hop, expiry in self._idle.pop(address, []):
            expiry.cancel()
            hop.leave()


async def _uncancelled(final: asyncio.Task[Outcome]) -> Outcome:
    """Wait for the exchange; if this wait is cancelled the exchange goes on, and how it ended is logged."""
    try:
        return await asyncio.shield(final)
    except asyncio.CancelledError:
        final.add_done_callback(_log_unheard)
        raise


def _log_unheard(final: asyncio.Task[Outcome]) -> None:
    """A delivery here means that the client, which was told nothing, will send the message again."""
    if not final.cancelled():
        log.warning("ended_unheard", reply=final.result().reply, detail=final.result().detail)
