"""A sandbox that cannot be opened costs each message a 451 at once, and is tried again."""

from __future__ import annotations

import pytest

from gateway import lazy_sandbox
from gateway.lazy_sandbox import LazySandbox
from sandbox.client import Flattened, SandboxSettings, SandboxUnavailableError
from tests.fakes.sandbox import FakeSandbox


class Opener:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = 0

    def __call__(self, settings):
        self.calls += 1
        answer = self.answers.pop(0) if self.answers else FakeSandbox()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_it_is_opened_once_and_only_when_asked(tmp_path):
    opener = Opener()
    lazy = LazySandbox(SandboxSettings(), opener)
    assert opener.calls == 0
    for n in range(3):
        assert isinstance(await lazy.flatten(b"x", tmp_path / str(n)), Flattened)
    assert opener.calls == 1


async def test_after_a_failure_it_fails_at_once_until_the_pause_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy_sandbox, "FIRST_PAUSE", 1000.0)
    opener = Opener(SandboxUnavailableError("install runc"))
    lazy = LazySandbox(SandboxSettings(), opener)
    for _ in range(3):
        with pytest.raises(SandboxUnavailableError, match="install runc"):
            await lazy.flatten(b"x", tmp_path / "x")
    assert opener.calls == 1


async def test_after_the_pause_it_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy_sandbox, "FIRST_PAUSE", 0.0)
    opener = Opener(SandboxUnavailableError("install runc"))
    lazy = LazySandbox(SandboxSettings(), opener)
    with pytest.raises(SandboxUnavailableError):
        await lazy.flatten(b"x", tmp_path / "x")
    assert isinstance(await lazy.flatten(b"x", tmp_path / "x"), Flattened)
    assert opener.calls == 2
