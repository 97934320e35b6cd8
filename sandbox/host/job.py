"""One document, one sandbox: start, feed, read, write the safe file, destroy.

Trusts: the runtime to destroy what it started. Does not trust: the document, nor any byte that comes back. Fails: with
a reason of the contract where the document is at fault, `SandboxUnavailableError` where no sandbox came up: the guest
says HELLO before it reads a byte of the document, so that what ends before HELLO is the house's own failure.
Bounds: wall-clock time for the whole and for the time between two pages, processor time, memory (the kernel's bound
where there is a cgroup, ours where there is none), a few kilobytes of standard error, and what untrusted_answer.py and
flatten.py bound.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

from sandbox import contract
from sandbox.client import Flattened, NotFlattened, SandboxUnavailableError, Want
from sandbox.host import flatten
from sandbox.host.meter import FULL
from sandbox.host.untrusted_answer import Answer, Died, Lied, Page, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.client import Limits
    from sandbox.host.runtime.base import OuterContainer

STDERR_KEPT = 4096  # bytes of a dying runtime's last words, for the log
CHUNK = 1 << 16
LOOK_SECONDS = 0.25  # between two looks at what a container has used


class Watch:
    """Destroys the container when it is late, in all or since the last page, and when it has used too much.

    The kernel kills for memory where the container has a cgroup; where it has none, this is what bounds it.
    """

    def __init__(self, container: OuterContainer, limits: Limits) -> None:
        self._container = container
        self._limits = limits
        self._end = time.monotonic() + limits.seconds
        self._page_end = time.monotonic() + limits.page_seconds
        self._over = threading.Event()
        self._most = 0
        self.killed = ""  # the reason of the contract, where this watch ended the container
        threading.Thread(target=self._run, daemon=True, name="watch").start()

    @property
    def memory_was_full(self) -> bool:
        """True where the container came up to its bound of memory, whoever then ended it."""
        return self._most >= self._limits.memory_bytes * FULL

    def page_came(self) -> None:
        """Give the next page its time."""
        self._page_end = time.monotonic() + self._limits.page_seconds

    def stop(self) -> None:
        """The job is over."""
        self._over.set()

    def look(self) -> str:
        """The bound that is passed by now, as a reason of the contract; "" where none is."""
        if time.monotonic() >= min(self._end, self._page_end):
            return contract.DEADLINE
        usage = self._container.meter.read() if self._container.meter else None
        if usage is None:
            return ""
        self._most = max(self._most, usage.memory)
        if usage.memory > self._limits.memory_bytes:
            return contract.OUT_OF_MEMORY
        return contract.DEADLINE if usage.cpu > self._limits.cpu_seconds else ""

    def _run(self) -> None:
        while not self._over.wait(self._until_next_look()):
            if reason := self.look():
                self.killed = reason
                self._container.destroy()
                return

    def _until_next_look(self) -> float:
        left = min(self._end, self._page_end) - time.monotonic()
        return max(0.0, min(left, LOOK_SECONDS))


class Job:
    """One document's stay in its sandbox."""

    def __init__(self, container: OuterContainer, limits: Limits, *, text_layer: bool) -> None:
        self._container = container
        self._limits = limits
        self._text_layer = text_layer
        self._watch = Watch(container, limits)
        self._found = ""
        self._alive = False
        self.last_words = b""

    def run(self, untrusted_document: bytes, output: Path, want: Want) -> Flattened | NotFlattened:
        """Flatten to `output`; raises SandboxUnavailableError. The container is destroyed on every way out."""
        started = time.monotonic()
        threads = self._start_threads(untrusted_document, want)
        try:
            media_type, pages = self._read(output, want)
            seconds = time.monotonic() - started
            return Flattened(output, media_type, self._found, pages, output.stat().st_size, seconds)
        except (Died, Lied, Refused, flatten.OutputTooLarge) as outcome:
            output.unlink(missing_ok=True)
            self._watch.look()  # while there still is something to see
            self._end(threads)  # standard error is whole only then
            reason = self._reason(outcome)
            return NotFlattened(reason, self._found, time.monotonic() - started)
        finally:
            self._watch.stop()
            self._end(threads)
            self._close_pipes()

    def _end(self, threads: list[threading.Thread]) -> None:
        # first, or a runtime that copies the container's output waits for us to read what nobody wants any more
        with contextlib.suppress(OSError):
            self._pipe("stdout").close()
        self._container.destroy()
        for thread in threads:
            thread.join()

    def _read(self, output: Path, want: Want) -> tuple[str, int]:
        answer = Answer(self._pipe("stdout"), self._limits)
        answer.hello()
        self._alive = True
        self._found = answer.found()
        pages = self._watched(answer.pages())
        if want is Want.PDF:
            count = flatten.write_pdf(pages, output, self._limits.output_bytes)
            self._ended_by_itself()
            return "application/pdf", count
        picture = next(pages)
        for _ in pages:  # the end mark is waited for; a second page is none of a picture
            raise Lied("more than one picture")
        self._ended_by_itself()
        return flatten.write_picture(picture, output), 1

    def _ended_by_itself(self) -> None:
        if self._watch.killed:  # whole, but it had to be killed: a sandbox that does not end is not trusted
            raise Died

    def _watched(self, pages: Iterator[Page]) -> Iterator[Page]:
        for page in pages:
            self._watch.page_came()
            yield page

    def _reason(self, outcome: Exception) -> str:
        if not self._alive:
            words = self.last_words.decode("utf-8", "replace").strip().rpartition("\n")[2]
            late = "it did not come up in time" if self._watch.killed else words or "it ended without a word"
            raise SandboxUnavailableError(f"a sandbox did not start: {late}; run `lazaretto doctor`")
        if self._watch.killed:
            return self._watch.killed
        if isinstance(outcome, Refused):
            return outcome.reason
        if isinstance(outcome, flatten.OutputTooLarge):
            return contract.OUTPUT_TOO_LARGE
        if isinstance(outcome, Lied):
            return contract.SANDBOX_LIED
        return contract.OUT_OF_MEMORY if self._watch.memory_was_full else contract.SANDBOX_DIED

    def _start_threads(self, untrusted_document: bytes, want: Want) -> list[threading.Thread]:
        request = request_header(self._limits, len(untrusted_document), want, text_layer=self._text_layer)
        threads = [
            threading.Thread(target=self._feed, args=(request, untrusted_document), name="feed"),
            threading.Thread(target=self._drain, name="drain"),
        ]
        for thread in threads:
            thread.start()
        return threads

    def _feed(self, request: bytes, untrusted_document: bytes) -> None:
        pipe = self._pipe("stdin")
        # a guest that does not read to the end has its reasons; its answer tells
        with contextlib.suppress(OSError, ValueError), pipe:
            pipe.write(request)
            pipe.write(untrusted_document)

    def _drain(self) -> None:
        pipe = self._pipe("stderr")
        with contextlib.suppress(OSError, ValueError):
            while chunk := pipe.read1(CHUNK):  # type: ignore[attr-defined]
                self.last_words = (self.last_words + chunk)[-STDERR_KEPT:]

    def _pipe(self, name: str) -> BinaryIO:
        pipe: BinaryIO | None = getattr(self._container.process, name)
        if pipe is None:
            raise ValueError(f"container started without {name}")
        return pipe

    def _close_pipes(self) -> None:
        for name in ("stdin", "stdout", "stderr"):
            with contextlib.suppress(OSError):
                self._pipe(name).close()


def request_header(limits: Limits, length: int, want: Want, *, text_layer: bool) -> bytes:
    """The request's header for a document of `length` bytes (contract.REQUEST)."""
    flags = (contract.FLAG_TEXT if text_layer else 0) | (contract.FLAG_IMAGE if want is Want.IMAGE else 0)
    bounds = (limits.pages, limits.page_pixels, limits.total_pixels, limits.page_points, limits.page_text_bytes)
    return struct.pack(contract.REQUEST, contract.MAGIC, contract.VERSION, flags, limits.dpi, *bounds, length)
