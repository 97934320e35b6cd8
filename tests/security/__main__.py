"""`make security`: every hostile program on every runtime that works here, every lying answer, and the table of it.

The exit status is 1 where anything was not contained, and where nothing could be tried.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.client import SandboxUnavailableError
from tests.bench.progress import console_for_output, working
from tests.e2e.engines import docker_engine, ordinary_user
from tests.fakes.run_cli import ROOT
from tests.sandbox.test_job import DEATHS, LIES_AFTER_HELLO
from tests.security import table
from tests.security.attempts import ATTEMPTS, SAMPLE
from tests.security.lies import DIED, LIES, Lie, try_lie
from tests.security.scene import NEXT, Result, by_theme, opened, run_as, run_theme, runner, working_runtimes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from tests.security.attempt import Attempt
    from tests.security.scene import Scene

PLACE = ROOT / "build" / "security" / "table.md"
USERS = ("podman", "runc", "crun")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.security", description=__doc__)
    parser.add_argument("--runtime", action="append", help="only this one (may be repeated), as the table calls it")
    parser.add_argument("--only", default="", help="only attempts whose theme or name has this in it; no lies")
    parser.add_argument("--sample", action="store_true", help="some attempts of each theme instead of all")
    return parser.parse_args()


class Suite:
    """One run of the command."""

    def __init__(self, console: Console, options: argparse.Namespace) -> None:
        self._console = console
        self._wanted = options.runtime
        chosen = SAMPLE if options.sample else ATTEMPTS
        self._attempts = [one for one in chosen if options.only in one.theme or options.only in one.name]
        self._with_lies = not options.only
        cores = os.cpu_count()
        self.outcome = table.Outcome(f"On {cores} processor cores ({platform.machine()}, Linux {platform.release()}).")

    def run(self) -> None:
        if self._with_lies:
            with working(self._console, "lying answers"):
                self._lies()
        with opened() as scene:
            self._as_this_user(scene)
            if os.geteuid() == 0:
                self._as_an_ordinary_user(scene)

    def _lies(self) -> None:
        # the plain ones of the job's own tests are run here too, so that the table counts what was tried
        plain = [Lie(name, script) for name, script in LIES_AFTER_HELLO.items()]
        limits = {"page_text_bytes": 100}
        plain = [Lie(one.name, one.script, limits=limits) for one in plain]
        plain += [Lie(name, script, DIED) for name, script in DEATHS.items()]
        for lie in (*plain, *LIES):
            with tempfile.TemporaryDirectory() as directory:
                outcome = try_lie(lie, Path(directory))
            self.outcome.lies.append((lie.name, outcome.ended, outcome.faults))

    def _as_this_user(self, scene: Scene) -> None:
        for runtime, why in working_runtimes(scene).items():
            if not self._is_wanted(runtime):
                continue
            try:
                with self._engine(runtime, why), runner(scene, runtime) as one:
                    self._on(runtime, functools.partial(run_theme, scene, one))
            except SandboxUnavailableError as error:
                self.outcome.not_run[runtime] = str(error)
            except pytest.skip.Exception as missing:  # the helpers of the tests say so what this host has not
                self.outcome.not_run[runtime] = f"{why}; {missing}"

    @contextlib.contextmanager
    def _engine(self, runtime: str, why: str) -> Iterator[None]:
        """A Docker Engine of our own where none answers."""
        if runtime == "docker" and why:
            with tempfile.TemporaryDirectory() as directory, docker_engine(Path(directory)):
                yield
        else:
            yield

    def _as_an_ordinary_user(self, scene: Scene) -> None:
        wanted = [runtime for runtime in USERS if self._is_wanted(f"{runtime}, ordinary user")]
        if not wanted:
            return
        try:
            with ordinary_user() as user:
                for runtime in wanted:
                    label = f"{runtime}, ordinary user"
                    self._on(label, functools.partial(run_as, user, scene, runtime))
        except pytest.skip.Exception as missing:
            self.outcome.not_run["ordinary user"] = str(missing)

    def _on(self, label: str, run: Callable[[Sequence[Attempt]], list[Result]]) -> None:
        results: list[Result] = []
        for theme, chosen in by_theme(self._attempts).items():
            try:
                with working(self._console, f"{label}: {theme}: {len(chosen)}"):
                    results += run(chosen)
            except (SandboxUnavailableError, AssertionError) as error:
                if not results:
                    self.outcome.not_run[label] = str(error).strip().rpartition("\n")[2]
                    return
                results.append(Result(theme, NEXT, (f"could not be run: {error}",), (), "", 0.0))
        self.outcome.runtimes[label] = results

    def _is_wanted(self, label: str) -> bool:
        return self._wanted is None or label in self._wanted


def main() -> int:
    console = console_for_output()
    suite = Suite(console, arguments())
    try:
        suite.run()
    except SandboxUnavailableError as error:
        print(f"security: no sandbox can be started: {error}", file=sys.stderr)
        return 1
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    text = table.markdown(suite.outcome)
    PLACE.write_text(text)
    console.print(text, markup=False, soft_wrap=True)
    console.print(f"The same as Markdown: {PLACE.relative_to(ROOT)}")
    tried = [one for results in suite.outcome.runtimes.values() for one in results]
    return 1 if suite.outcome.faults or not tried else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        raise SystemExit(main())
    raise SystemExit(130)
