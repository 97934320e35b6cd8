"""One document's stay in its sandbox: feed, read, write the safe file or the members of a container, destroy.

Does not trust: the document, nor any byte that comes back. Fails with a reason of the contract, since a sandbox that
stood when it was given the document can only fail by it. Bounds: wall-clock time for the whole and for the time between
two pages or members, processor time, memory (`watch.py`), a few kilobytes of standard error, and what
untrusted_answer.py and flatten.py bound.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from typing import TYPE_CHECKING

from sandbox import contract
from sandbox.client import Flattened, NotFlattened, Room, Stages, Unpacked, Want
from sandbox.host import flatten
from sandbox.host.standing import close, pipe
from sandbox.host.untrusted_answer import Died, Lied, Page, Refused
from sandbox.host.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.client import Answer, Form, Limits
    from sandbox.host.standing import Standing

CHUNK = 1 << 16
MOST = (1 << 32) - 1  # members that the request can say


class Job:
    """One document's stay; `standing` is used up by it."""

    def __init__(self, standing: Standing, limits: Limits, *, text_layer: bool, started: float) -> None:
        self._standing = standing
        self._container = standing.container
        self._limits = limits
        self._text_layer = text_layer
        self._started = started  # time.monotonic() when the document was ready to go
        self._watch = Watch(standing.container, limits, started)
        self._found = ""
        self._clock = _Clock(started)

    def run(
        self, untrusted_document: bytes, output: Path, want: Want, room: Room | None = None, charset: str = ""
    ) -> Answer:
        """Flatten to `output`, or unpack; raises OSError where it cannot be written. Destroys the container always."""
        room = self._fitting(room, want)
        request = request_header(
            self._limits, len(untrusted_document), want, room, charset, text_layer=self._text_layer
        )
        threads = self._start_threads(request, untrusted_document)
        try:
            return self._read(output, want, room)
        except (Died, Lied, Refused, flatten.OutputTooLarge) as outcome:
            output.unlink(missing_ok=True)
            self._watch.look()  # while there still is something to see
            return NotFlattened(self._reason(outcome), self._found, self._seconds(), self._stages())
        except OSError:
            output.unlink(missing_ok=True)
            raise
        finally:
            self._watch.stop()
            self._end(threads)

    def give_up(self) -> None:
        """Nobody waits for the answer any more: end the container, and with it the job. From any thread."""
        self._container.destroy()

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _stages(self) -> Stages:
        return self._clock.stages(transfer=self._standing.answer.transfer_seconds)

    def _end(self, threads: list[threading.Thread]) -> None:
        # first, or a runtime that copies the container's output waits for us to read what nobody wants any more
        close(self._container, "stdout")
        self._container.destroy()
        for thread in threads:
            thread.join()
        self._standing.destroy()

    def _fitting(self, room: Room | None, want: Want) -> Room | None:
        """No more comes out of a container than may come out of a document; a container is never one picture."""
        if room is None or want is Want.IMAGE:
            return None
        return Room(room.members, min(room.bytes, self._limits.output_bytes))

    def _read(self, output: Path, want: Want, room: Room | None) -> Answer:
        answer = self._standing.answer
        self._clock.reached("start")
        self._found = answer.found()
        self._clock.reached("identify")
        answer.opened()
        form = answer.container() if room else None
        self._clock.reached("convert")
        if room and form:
            return self._unpack(output, form, room)
        media_type, pages = self._flatten(output, want)
        size = output.stat().st_size
        return Flattened(output, media_type, self._found, pages, size, self._seconds(), self._stages())

    def _unpack(self, output: Path, form: Form, room: Room) -> Unpacked:
        members = []
        with output.open("wb") as file:
            for member in self._standing.answer.members(form, room, file):
                self._watch.page_came()
                members.append(member)
            size = file.tell()
        self._clock.reached("transfer")
        self._ended_by_itself()
        return Unpacked(output, form, tuple(members), self._found, size, self._seconds(), self._stages())

    def _flatten(self, output: Path, want: Want) -> tuple[str, int]:
        pages = self._watched(self._standing.answer.pages())
        if want is Want.PDF:
            count = flatten.write_pdf(pages, output, self._limits.output_bytes)
            self._clock.reached("encode")
            self._ended_by_itself()
            return "application/pdf", count
        picture = next(pages)
        for _ in pages:  # the end mark is waited for; a second page is none of a picture
            raise Lied("more than one picture")
        self._ended_by_itself()
        media_type = flatten.write_picture(picture, output)
        self._clock.reached("encode")
        return media_type, 1

    def _ended_by_itself(self) -> None:
        if self._watch.killed:  # whole, but it had to be killed: a sandbox that does not end is not trusted
            raise Died

    def _watched(self, pages: Iterator[Page]) -> Iterator[Page]:
        self._clock.reached("encode")
        for page in pages:
            self._watch.page_came()
            self._clock.reached("draw")
            yield page
            self._clock.reached("encode")
        self._clock.reached("draw")

    def _reason(self, outcome: Exception) -> str:
        if self._watch.killed:
            return self._watch.killed
        if isinstance(outcome, Refused):
            return outcome.reason
        if isinstance(outcome, flatten.OutputTooLarge):
            return contract.OUTPUT_TOO_LARGE
        if isinstance(outcome, Lied):
            return contract.SANDBOX_LIED
        return contract.OUT_OF_MEMORY if self._watch.memory_was_full else contract.SANDBOX_DIED

    def _start_threads(self, request: bytes, untrusted_document: bytes) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._feed, args=(request, untrusted_document), name="feed"),
            threading.Thread(target=self._drain, name="drain"),
        ]
        for thread in threads:
            thread.start()
        return threads

    def _feed(self, request: bytes, untrusted_document: bytes) -> None:
        stdin = pipe(self._container, "stdin")
        # a guest that does not read to the end has its reasons; its answer tells
        with contextlib.suppress(OSError, ValueError), stdin:
            stdin.write(request)
            stdin.write(untrusted_document)

    def _drain(self) -> None:
        """Read standard error so that the guest can write to it; what it says there is nobody's concern."""
        stderr = pipe(self._container, "stderr")
        with contextlib.suppress(OSError, ValueError):
            while stderr.read1(CHUNK):  # type: ignore[attr-defined]
                pass


class _Clock:
    """Where a document's time went, as the host sees it: from one moment to the next that it is told of."""

    def __init__(self, started: float) -> None:
        self._last = started
        self._seconds: dict[str, float] = {}

    def reached(self, stage: str) -> None:
        """The time up to now went into `stage`, one of the fields of Stages."""
        now = time.monotonic()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._last
        self._last = now

    def stages(self, transfer: float) -> Stages:
        """The sums; `transfer` is a part of what was told as `draw`."""
        draw = self._seconds.get("draw", 0.0) - transfer
        return Stages(**{**self._seconds, "draw": max(0.0, draw), "transfer": transfer})


def request_header(
    limits: Limits, length: int, want: Want, room: Room | None, charset: str = "", *, text_layer: bool
) -> bytes:
    """The request's header for a document of `length` bytes (contract.REQUEST)."""
    flags = (contract.FLAG_TEXT if text_layer else 0) | (contract.FLAG_IMAGE if want is Want.IMAGE else 0)
    flags |= contract.FLAG_UNPACK if room else 0
    bounds = (limits.pages, limits.page_pixels, limits.total_pixels, limits.page_points, limits.page_text_bytes)
    members = (min(room.members, MOST), room.bytes) if room else (0, 0)
    head = (contract.MAGIC, contract.VERSION, flags, limits.dpi)
    return struct.pack(contract.REQUEST, *head, *bounds, *members, length, charset.encode("ascii"))
