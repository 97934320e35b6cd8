"""A sandbox that stands ready: it has said HELLO, has read nothing of any document, and waits for one.

Trusts: the runtime to destroy what it started. Does not trust what comes back. Fails: SandboxUnavailableError with the
sandbox's last words where it does not come up: before a document is given to it that is the house's own failure.
Bounds: `Limits.seconds` to come up, and whatever `watch.py` bounds.
"""

from __future__ import annotations

import contextlib
import secrets
import select
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from sandbox import contract
from sandbox.client import SandboxUnavailableError
from sandbox.host.untrusted_answer import Answer, Died, Lied
from sandbox.host.watch import Watch

if TYPE_CHECKING:
    from sandbox.client import Limits
    from sandbox.host.runtime.base import OuterContainer

LAST_WORDS = 4096  # bytes of a dying runtime's standard error that are told
WORDS_SECONDS = 1.0  # for them to come, once its other pipe is closed


@dataclass(slots=True)
class Standing:
    """A container that waits for its one document; `answer` has been read up to HELLO."""

    container: OuterContainer
    answer: Answer
    limits: Limits
    seconds: float  # that it took to come up
    since: float  # time.monotonic() when it had

    @property
    def is_alive(self) -> bool:
        """True while it still waits. One that says anything unasked, or has closed its pipe, is of no use."""
        poll = select.poll()
        poll.register(pipe(self.container, "stdout"), select.POLLIN | select.POLLHUP)
        return not poll.poll(0)

    def memory(self) -> int:
        """Bytes it holds at the most, as far as that is known."""
        usage = self.container.meter.read() if self.container.meter else None
        return usage.memory if usage else 0

    def destroy(self) -> None:
        """End it, used or not; safe to call twice."""
        close(self.container, "stdout")  # first, or a runtime that copies output waits for us to read it
        self.container.destroy()
        for name in ("stdin", "stderr"):
            close(self.container, name)


def stand_up(container: OuterContainer, limits: Limits, prepare: int | None = None, *, early: bool = False) -> Standing:
    """Wait until a container says HELLO; with `prepare`, after it has done that PREPARE. Raises as the module says.

    `early`: nobody waits for it yet.
    """
    started = time.monotonic()
    watch = Watch(container, limits)
    answer = Answer(pipe(container, "stdout"), limits)
    try:
        if prepare is not None:
            send(container, command(contract.PREPARE, prepare))
            answer.prepared()
        send(container, command(contract.OPEN, contract.OPEN_EARLY if early else 0))
        answer.hello()
    except (Died, Lied, OSError) as outcome:
        raise _did_not_come_up(container, watch) from outcome
    finally:
        watch.stop()
    now = time.monotonic()
    return Standing(container, answer, limits, now - started, now)


def prepared(container: OuterContainer, limits: Limits, flags: int) -> None:
    """Wait until a container has done a PREPARE, and leave it there, to be frozen. Raises as the module says."""
    watch = Watch(container, limits)
    try:
        send(container, command(contract.PREPARE, flags))
        Answer(pipe(container, "stdout"), limits).prepared()
    except (Died, Lied, OSError) as outcome:
        raise _did_not_come_up(container, watch) from outcome
    finally:
        watch.stop()


def command(kind: int, flags: int = 0) -> bytes:
    """A command of the contract, with a seed that nobody else has."""
    seed = secrets.token_bytes(32)
    return struct.pack(contract.COMMAND, contract.MAGIC, contract.VERSION, kind, flags, seed)


def send(container: OuterContainer, message: bytes) -> None:
    """Write to a container; one that has gone is found out by its answer."""
    with contextlib.suppress(BrokenPipeError):
        pipe(container, "stdin").write(message)
        pipe(container, "stdin").flush()


def pipe(container: OuterContainer, name: str) -> BinaryIO:
    """One of a container's three pipes."""
    found: BinaryIO | None = getattr(container.process, name)
    if found is None:
        raise ValueError(f"container started without {name}")
    return found


def close(container: OuterContainer, name: str) -> None:
    """Close a pipe, whatever is left in it."""
    with contextlib.suppress(OSError):
        pipe(container, name).close()


def _did_not_come_up(container: OuterContainer, watch: Watch) -> SandboxUnavailableError:
    words = _last_words(pipe(container, "stderr")) or "it ended without a word"
    late = "it did not come up in time" if watch.killed else words
    for name in ("stdout", "stdin"):
        close(container, name)
    container.destroy()
    close(container, "stderr")
    return SandboxUnavailableError(f"a sandbox did not start: {late}; run `lazaretto doctor`")


def _last_words(stderr: BinaryIO) -> str:
    """The last line of what is there by now, or comes in a moment; never waits for the end."""
    poll = select.poll()
    poll.register(stderr, select.POLLIN)
    said = b""
    until = time.monotonic() + WORDS_SECONDS
    while (left := until - time.monotonic()) > 0 and poll.poll(left * 1000):
        chunk = stderr.read1(LAST_WORDS)  # type: ignore[attr-defined]
        if not chunk:
            break
        said = (said + chunk)[-LAST_WORDS:]
    return said.decode("utf-8", "replace").strip().rpartition("\n")[2]
