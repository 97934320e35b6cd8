"""The journal as the pipeline uses it: what is written at the same time is one transaction and one sync.

Trusts its file (`file.py`). Fails with nothing: a journal that cannot be written is one warning, is begun anew after a
pause, and mail goes on meanwhile. That is the lesser evil: without a journal a retry after a lost reply is a second
copy, which takes two faults at once; with a 451 a full disk would stop all mail. Bounds: `[journal]` entries (0: no
journal) and seconds; one thread.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from gateway.journal.file import JournalFile, Lines
from gateway.journal.passage import Passage

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from gateway.config import JournalSettings
    from gateway.smtp.envelope import Envelope

    T = TypeVar("T")

log = structlog.get_logger(__name__)

PAUSE: Final = 60.0  # seconds before a journal that could not be written is tried again
_AT_ONCE: Final = 1 << 18  # bytes digested on the spot, which takes no longer than to ask a thread


@dataclass(frozen=True, slots=True)
class _Write:
    step: Callable[[Lines], object]
    durable: bool
    done: asyncio.Future[Any]


class Journal:
    """Remembers what was handed on; `passage` is one message's page in it."""

    def __init__(self, settings: JournalSettings) -> None:
        self._settings = settings
        self._file = JournalFile(settings.place, settings.entries, settings.seconds)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._due: list[_Write] = []
        self._writer: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._broken = False
        # exchanges with the next hop that nobody waits for any more, by key: a retry waits for how they end
        self.unheard: collections.defaultdict[bytes, set[Passage]] = collections.defaultdict(set)

    async def passage(self, envelope: Envelope, untrusted_message: bytes) -> Passage:
        """One message's page, with what is known of its recipients already."""
        if not self._settings.entries:
            return Passage(self, envelope, ())
        if len(untrusted_message) > _AT_ONCE:
            digest = await asyncio.to_thread(_digest, untrusted_message)
        else:
            digest = _digest(untrusted_message)
        passage = Passage(self, envelope, tuple(_key(envelope, one.address, digest) for one in envelope.recipients))
        await passage.recall()
        return passage

    def write(self, step: Callable[[Lines], T], *, durable: bool = False) -> asyncio.Future[T | None]:
        """Do `step` in the next transaction, in the order of the calls; None where the journal does not work."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T | None] = loop.create_future()
        if loop.time() < self._not_before:
            done.set_result(None)
            return done
        self._due.append(_Write(step, durable, done))
        if self._writer is None:
            self._writer = loop.create_task(self._write_all())
        return done

    async def close(self) -> None:
        """Write what is due, and let go of the file."""
        while self._writer:
            await asyncio.wait([self._writer])
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._due:
            batch, self._due = self._due, []
            results = await loop.run_in_executor(self._thread, self._run, batch)
            self._noted(results)
            for write, result in zip(batch, results if isinstance(results, list) else [None] * len(batch), strict=True):
                if not write.done.cancelled():
                    write.done.set_result(result)
        self._writer = None

    def _run(self, batch: list[_Write]) -> list[object] | str:
        """On the journal's own thread: the results, or why there are none."""
        try:
            return self._file.run([write.step for write in batch], durable=any(write.durable for write in batch))
        except (sqlite3.Error, OSError) as error:
            self._file.discard()
            return str(error) or type(error).__name__

    def _noted(self, results: list[object] | str) -> None:
        if isinstance(results, str):
            self._not_before = asyncio.get_running_loop().time() + PAUSE
            if not self._broken:
                log.warning("journal_unusable", directory=str(self._settings.place), reason=results)
        elif self._broken:
            log.info("journal_usable_again", directory=str(self._settings.place))
        self._broken = isinstance(results, str)


def _digest(untrusted_message: bytes) -> bytes:
    return hashlib.sha256(untrusted_message).digest()


def _key(envelope: Envelope, recipient: str, digest: bytes) -> bytes:
    """What a retry has in common with the first try, and no other message: sender, recipient, ENVID and every byte."""
    envid = next((text for text in envelope.parameters if text.upper().startswith("ENVID=")), "")
    words = [text.encode("utf-8", "surrogateescape") for text in (envelope.sender, recipient, envid)]
    return hashlib.sha256(b"".join(len(word).to_bytes(8, "big") + word for word in (*words, digest))).digest()
