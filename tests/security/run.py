"""Runs hostile programs in the real double sandbox and judges each from inside and outside.

The way is the one of service: the same runtime, policy, specification, host side; only the guest is another
(`image.py`), and the bounds are smaller.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.client import Flattened, Limits, SandboxSettings, SandboxUnavailableError
from sandbox.host.service import flatten_with
from sandbox.host.untrusted_answer import Answer, Died, Lied, Refused
from tests.corpus import documents
from tests.security.attempt import FLATTENED, Attempt, Evidence, Verdict, judge
from tests.security.watch import Watched, own_memory_bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox.client import NotFlattened
    from sandbox.host.runtime.base import OuterRuntime, Plan
    from tests.security.house import Canaries

MIB = 1024 * 1024
AT_ONCE = 3  # some wait for their deadline, for which no processor is needed
# small enough that a bomb bursts early; seconds leave room for a machine that is busy with something else
LIMITS = replace(Limits(), memory_bytes=640 * MIB, processes=192, seconds=40.0, page_seconds=40.0)
REPORT = replace(Limits(), page_text_bytes=1 << 20)  # what a report may hold, whatever the attempt's bounds
NEIGHBOUR_SECONDS = 30.0  # for the sandbox beside to say that it is ready
PATIENCE = (
    3  # a sandbox that did not come up is the house's failure, not the program's: it is tried again, with more time
)


class Runner:
    """Attempts on one runtime. `plan` is the one of service; attempts get the test image and bounds of their own."""

    def __init__(self, runtime: OuterRuntime, plan: Plan, canaries: Canaries) -> None:
        self.runtime = runtime
        self.plan = plan
        self._canaries = canaries

    def attempts(self, attempts: Sequence[Attempt]) -> list[Verdict]:
        """Run several, AT_ONCE where each has a cgroup to be told apart by, else one after the other."""
        with ThreadPoolExecutor(AT_ONCE if self.bound else 1) as threads:
            return list(threads.map(self.attempt, attempts))

    def attempt(self, attempt: Attempt) -> Verdict:
        try:
            evidence = self._evidence(attempt)
        except SandboxUnavailableError as error:
            return Verdict(attempt, None, (f"no sandbox came up: {error}",))
        verdict = judge(attempt, evidence)
        if attempt.bomb and (faults := self.next_document()):
            return replace(verdict, faults=(*verdict.faults, *faults))
        return verdict

    @functools.cached_property
    def bound(self) -> bool:
        """True where sandboxes of this runtime get a cgroup; also proves that the test image comes up."""
        watched = Watched(self.runtime, bound=True)
        evidence = self._run(Attempt("", "", "import time\ntime.sleep(0.5)", before=""), watched, LIMITS.seconds)
        return evidence.usage.bound

    def _watched(self) -> Watched:
        return Watched(self.runtime, bound=self.bound)

    def next_document(self) -> list[str]:
        """The same service flattens a normal document of the normal image."""
        with tempfile.TemporaryDirectory() as directory:
            output = Path(directory, "next.pdf")
            settings = SandboxSettings(limits=self.plan.limits)
            try:
                result = flatten_with(self.runtime, self.plan, documents.pdf("Next"), output, settings=settings)
            except SandboxUnavailableError as error:
                return [f"the next document found no sandbox: {error}"]
            if not isinstance(result, Flattened) or not output.read_bytes().startswith(b"%PDF"):
                return [f"the next document was not flattened: {result}"]
            return []

    def _evidence(self, attempt: Attempt) -> Evidence:
        if attempt.before:
            self._one(replace(attempt, program=attempt.before))
        with self._beside(attempt) as neighbour:
            evidence = self._one(attempt)
        return replace(evidence, neighbour=tuple(neighbour))

    @contextlib.contextmanager
    def _beside(self, attempt: Attempt) -> Iterator[list[dict[str, Any]]]:
        """A second sandbox with `attempt.neighbour`, ready when the body begins; its events, whole afterwards."""
        events: list[dict[str, Any]] = []
        if not attempt.neighbour:
            yield events
            return
        watched = self._watched()
        beside = replace(attempt, program=attempt.neighbour)
        thread = threading.Thread(target=self._run, args=(beside, watched, LIMITS.seconds))
        thread.start()
        give_up = time.monotonic() + NEIGHBOUR_SECONDS
        while not any("tried" in one for one in self._seen(watched)) and time.monotonic() < give_up:
            time.sleep(0.05)
        yield events
        events += self._seen(watched)
        thread.join()

    @staticmethod
    def _seen(watched: Watched) -> list[dict[str, Any]]:
        return events_of(bytes(watched.watches[-1].stdout.seen)) if watched.watches else []

    def _one(self, attempt: Attempt) -> Evidence:
        seconds = attempt.limits.get("seconds", LIMITS.seconds)
        for _ in range(PATIENCE - 1):
            with contextlib.suppress(SandboxUnavailableError):
                return self._run(attempt, self._watched(), seconds)
            seconds *= 2
        return self._run(attempt, self._watched(), seconds)

    def _run(self, attempt: Attempt, watched: Watched, seconds: float) -> Evidence:
        limits = replace(LIMITS, **attempt.limits)
        limits = replace(
            limits, seconds=seconds, page_seconds=seconds, memory_bytes=own_memory_bound(limits.memory_bytes)
        )
        plan = replace(self.plan, image=self._canaries.image, limits=limits)
        # an engine that imports the image as tar has everything but the socket
        words = self._canaries.words | {"SOCKET": "left out" if self.runtime.name == "docker" else "there"}
        document = document_of(attempt, words)
        with tempfile.TemporaryDirectory() as directory:
            output = Path(directory, "out.pdf")
            result = flatten_with(watched, plan, document, output, settings=SandboxSettings(limits=limits))
            size = output.stat().st_size if output.exists() else None
            strangers = [path.name for path in Path(directory).iterdir() if path != output]
        return self._seen_of(watched, result, size, strangers)

    def _seen_of(
        self, watched: Watched, result: Flattened | NotFlattened, size: int | None, strangers: list[str]
    ) -> Evidence:
        left = tuple(one for watch in watched.watches for one in watch.end())
        watch = watched.watches[-1]
        out = bytes(watch.stdout.seen)
        told = (out + bytes(watch.stderr.seen)).decode("latin-1")
        return Evidence(
            outcome=FLATTENED if isinstance(result, Flattened) else result.reason,
            events=tuple(events_of(out)),
            usage=watch.usage,
            seen=watch.seen,
            left=(*left, *(f"a file beside the output: {name}" for name in strangers)),
            leaked=tuple(one for one in (self._canaries.secret, self._canaries.neighbours) if one in told),
            output_bytes=size,
            host_growth=watch.growth,
            seconds=result.seconds,
        )


def document_of(attempt: Attempt, words: dict[str, str]) -> bytes:
    """The program with its words filled in, headed by its length, padded."""
    text = attempt.program
    for name, word in words.items():
        text = text.replace(f"@{name}@", word)
    program = text.encode()
    return b"%d\n%s" % (len(program), program) + bytes(attempt.padding)


def events_of(out: bytes) -> list[dict[str, Any]]:
    """What the program said, by the host's own reader, as far as it came."""
    answer = Answer(io.BufferedReader(io.BytesIO(out)), REPORT)
    events = []
    with contextlib.suppress(Died, Lied, Refused):
        answer.hello()
        answer.found()
        for page in answer.pages():
            text = "".join(run.text.removeprefix("|") for run in page.runs)
            with contextlib.suppress(ValueError):
                events.append(json.loads(text))
    return events
