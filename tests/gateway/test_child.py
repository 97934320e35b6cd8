"""The child of `serve`: kept up with growing pauses, tied to its parent, gone with it; with children that are real processes."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

import pytest

from gateway import child as child_module
from gateway.child import ServiceChild, private_directory, service_for
from sandbox.client import SandboxSettings, ServiceSettings
from tests.fakes.descendants import all_gone, descendants
from tests.fakes.service import short_directory

PYTHON = sys.executable  # before a test puts another in its place


@pytest.fixture
def run(monkeypatch):
    with short_directory() as directory:
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(directory))
        yield directory


def as_child(monkeypatch, place: Path, script: str) -> None:
    """Children run `script` in place of the command; each writes a line to `starts`."""
    program = place / "program"
    program.write_text(f"#!{PYTHON}\nopen('{place}/starts', 'a').write('x')\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(child_module.sys, "executable", str(program))


async def until(condition, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.02)


def programs() -> set[tuple[int, int]]:
    below = descendants(os.getpid())
    return {(pid, start) for pid, start in below if b"/program" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def starts(place: Path) -> int:
    return len((place / "starts").read_text()) if (place / "starts").exists() else 0


async def test_its_directory_is_its_users_alone_and_gone_afterwards(run, monkeypatch, tmp_path):
    as_child(monkeypatch, tmp_path, "import sys; sys.stdin.read()")
    async with service_for(SandboxSettings(), None) as asked:
        socket = Path(asked.service.address.removeprefix("unix:"))
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert socket.is_relative_to(run)
        await until(lambda: starts(tmp_path) == 1)
    assert list(run.iterdir()) == []


async def test_a_service_that_is_configured_is_asked_and_none_is_started(run, monkeypatch, tmp_path):
    as_child(monkeypatch, tmp_path, "")
    settings = SandboxSettings(service=ServiceSettings(address="unix:/run/elsewhere"))
    async with service_for(settings, None) as asked:
        assert asked == settings
        await asyncio.sleep(0.2)
    assert (starts(tmp_path), list(run.iterdir())) == (0, [])


async def test_a_child_that_ends_is_started_again_after_growing_pauses(run, monkeypatch, tmp_path):
    as_child(monkeypatch, tmp_path, "")
    monkeypatch.setattr(child_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(child_module, "LONGEST_PAUSE", 0.04)
    slept: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        slept.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(child_module.asyncio, "sleep", noted)
    async with service_for(SandboxSettings(), None):
        async with asyncio.timeout(20):
            while starts(tmp_path) < 5:
                await sleep(0.02)
    pauses = [seconds for seconds in slept if seconds in (0.01, 0.02, 0.04)]
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.04]


async def test_after_some_time_of_health_the_pause_is_the_first_again(run, monkeypatch, tmp_path):
    as_child(monkeypatch, tmp_path, "import time; time.sleep(0.1)")
    monkeypatch.setattr(child_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(child_module, "LONGEST_PAUSE", 1000.0)
    monkeypatch.setattr(child_module, "HEALTHY_SECONDS", 0.05)
    async with service_for(SandboxSettings(), None):
        await until(lambda: starts(tmp_path) >= 18, 60)  # doubled each time, the 18th would be minutes away


async def test_a_program_that_cannot_be_started_is_tried_again(run, monkeypatch, tmp_path):
    monkeypatch.setattr(child_module.sys, "executable", str(tmp_path / "program"))
    monkeypatch.setattr(child_module, "FIRST_PAUSE", 0.05)
    async with service_for(SandboxSettings(), None):
        await asyncio.sleep(0.2)
        as_child(monkeypatch, tmp_path, "import sys; sys.stdin.read()")
        await until(lambda: starts(tmp_path) == 1)


async def test_a_child_that_does_not_end_by_itself_is_killed(run, monkeypatch, tmp_path):
    as_child(monkeypatch, tmp_path, "import time; time.sleep(600)")
    monkeypatch.setattr(child_module, "END_SECONDS", 0.2)
    child = ServiceChild(None)
    child.start()
    await until(lambda: starts(tmp_path) == 1)
    below = await asyncio.to_thread(programs)
    assert below
    await asyncio.wait_for(child.stop(), 20)
    assert await asyncio.to_thread(all_gone, below, 10) == set()


async def test_what_systemd_said_to_the_gateway_is_not_said_to_the_child(run, monkeypatch, tmp_path):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("LISTEN_FDS", "1")
    as_child(monkeypatch, tmp_path, f"import os, sys; open('{tmp_path}/env', 'w').write(repr(sorted(os.environ)))")
    async with service_for(SandboxSettings(), tmp_path / "l.toml"):
        await until(lambda: (tmp_path / "env").exists() and (tmp_path / "env").read_text())
    seen = (tmp_path / "env").read_text()
    assert "RUNTIME_DIRECTORY" in seen
    assert "NOTIFY_SOCKET" not in seen
    assert "LISTEN_FDS" not in seen


def test_directories_of_gateways_that_are_gone_are_removed(run):
    left = run / f"{child_module.PREFIX}99999999-left"
    left.mkdir()
    own = private_directory()
    assert list(run.iterdir()) == [own]
