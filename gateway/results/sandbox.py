"""A sandbox before the sandbox: who asks for what was flattened before gets it again, who asks at once shares.

A conversion belongs to all who wait for it, and is begun once. When the last of them has gone, since his message ran
into its deadline or its client hung up, it goes on into the cache all the same, so that the retry finds it ready or
still under way. Trusts the sandbox behind it for what is safe, and `store` for what was kept. Fails as the sandbox
behind it does; a cache that cannot be read or written is one warning, and conversions. Bounds: `[cache]`
background_conversions and background_bytes for those that nobody waits for; the others are bounded by the messages
that wait. Without a cache (`bytes = 0`) a conversion ends with the last who waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from gateway.results.key import may_be_kept, result_key
from gateway.results.store import Results
from sandbox.client import NotFlattened, SandboxUnavailableError, Want

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from gateway.config import CacheSettings
    from sandbox.client import Answer, Room, Sandbox

    T = TypeVar("T")
    Flatten = Callable[[Path], Awaitable[Answer]]  # one document, into this file

log = structlog.get_logger(__name__)


@dataclasses.dataclass(slots=True, eq=False)
class _Flight:
    """One conversion under way; its file lies in a directory of its own until all have theirs."""

    key: str
    room: Room | None  # who has other room waits for another
    size: int  # bytes of the document
    directory: Path
    waiting: int = 0
    task: asyncio.Task[Answer] = dataclasses.field(init=False)


class CachingSandbox:
    """Stands where a `Sandbox` is wanted, before another one."""

    def __init__(self, behind: Sandbox, settings: CacheSettings, work_directory: Path | None = None) -> None:
        self.behind = behind
        self._settings = settings
        self._work_directory = work_directory
        self._results = Results(settings.place, settings.bytes, settings.seconds) if settings.bytes else None
        self._broken = False  # the cache, and that was said
        self._flights: dict[tuple[str, Room | None], _Flight] = {}
        self._closing = False

    @property
    def chosen(self) -> str:
        """As `sandbox.client.Sandbox`."""
        return self.behind.chosen

    @property
    def fingerprint(self) -> str:
        """As `sandbox.client.Sandbox`."""
        return self.behind.fingerprint

    async def flatten(
        self,
        untrusted_document: bytes,
        output: Path,
        want: Want = Want.PDF,
        *,
        message: str = "",
        room: Room | None = None,
        charset: str = "",
    ) -> Answer:
        """As `sandbox.client.Sandbox`: from the cache, from a conversion under way, or from a sandbox of its own."""
        room = room if want is Want.PDF else None  # a container is never one picture
        asked = partial(result_key, unpack=room is not None, charset=charset)
        key = await asyncio.to_thread(asked, untrusted_document, want, self.fingerprint)
        flight = self._flights.get((key, room))
        if flight is None:
            # `message` is the one that asked first: its turn it is, whoever else waits
            flatten = partial(self.behind.flatten, untrusted_document, want=want, message=message, room=room)
            flight = self._begun(key, room, len(untrusted_document), partial(flatten, charset=charset))
        flight.waiting += 1
        try:
            answer = await asyncio.shield(flight.task)
            return await _handed_out(answer, output)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                self._left_alone(flight)

    async def close(self) -> None:
        """Give up what is under way: whoever waited has gone, and a retry begins anew."""
        self._closing = True
        flights = list(self._flights.values())
        for flight in flights:
            flight.task.cancel()
        await asyncio.gather(*(flight.task for flight in flights), return_exceptions=True)

    async def tidy(self) -> None:
        """Sweep at start what another process has left half-written, and what has become too old."""
        if self._results:
            await self._tried(self._results.tidy, None)

    # --- one conversion ---

    def _begun(self, key: str, room: Room | None, size: int, flatten: Flatten) -> _Flight:
        directory = Path(tempfile.mkdtemp(prefix="lazaretto-", dir=self._work_directory))
        flight = _Flight(key, room, size, directory)
        flight.task = asyncio.create_task(self._answer(flight, flatten))
        flight.task.add_done_callback(lambda _: self._landed(flight))
        self._flights[key, room] = flight
        return flight

    async def _answer(self, flight: _Flight, flatten: Flatten) -> Answer:
        results, key, file = self._results, flight.key, flight.directory / "flattened"
        if results and (found := await self._tried(lambda: results.get(key, file), None)):
            log.info("flattened_before", key=key[:16], found=found.found, size=getattr(found, "size", 0))
            return found
        answer = await flatten(file)
        if results and may_be_kept(answer):
            lasting = answer
            await self._tried(lambda: results.put(key, lasting), None)
        return answer

    async def _tried(self, step: Callable[[], T], otherwise: T) -> T:
        """One step of the cache, in a thread; a cache that does not work is said once and does without."""
        try:
            result = await asyncio.to_thread(step)
        except OSError as error:
            if not self._broken:
                log.warning("cache_unusable", directory=str(self._settings.place), reason=str(error))
            self._broken = True
            return otherwise
        self._broken = False
        return result

    # --- when nobody waits any more ---

    def _left_alone(self, flight: _Flight) -> None:
        if flight.task.done():
            shutil.rmtree(flight.directory, ignore_errors=True)
        elif self._may_go_on():
            log.info("conversion_goes_on", key=flight.key[:16], bytes=flight.size)
        else:
            log.info("conversion_given_up", key=flight.key[:16], bytes=flight.size)
            self._flights.pop((flight.key, flight.room), None)
            flight.task.cancel()

    def _may_go_on(self) -> bool:
        """Whether all that nobody waits for, the one that was just left among them, is within the bounds."""
        alone = [flight for flight in self._flights.values() if not flight.waiting]
        fits = sum(flight.size for flight in alone) <= self._settings.background_bytes
        return (
            self._results is not None
            and not self._closing
            and fits
            and len(alone) <= self._settings.background_conversions
        )

    def _landed(self, flight: _Flight) -> None:
        if self._flights.get((flight.key, flight.room)) is flight:
            del self._flights[flight.key, flight.room]
        if flight.waiting:
            return  # they fetch their files, and the last one tidies up
        shutil.rmtree(flight.directory, ignore_errors=True)
        if flight.task.cancelled():
            return
        failure = flight.task.exception()
        expected = isinstance(failure, (SandboxUnavailableError, OSError))
        if failure:
            log.warning("conversion_failed_unheard", key=flight.key[:16], exc_info=None if expected else failure)
        else:
            log.info("conversion_ended_unheard", key=flight.key[:16], bytes=flight.size)


async def _handed_out(answer: Answer, output: Path) -> Answer:
    """The waiting one's own name for the file, which he may unlink; nobody writes into it."""
    if isinstance(answer, NotFlattened):
        return answer
    if not _linked(answer.path, output):
        await asyncio.to_thread(shutil.copyfile, answer.path, output)
    return dataclasses.replace(answer, path=output)


def _linked(file: Path, output: Path) -> bool:
    with contextlib.suppress(OSError):
        os.link(file, output)
        return True
    return False
