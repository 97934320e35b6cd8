"""Which runtime is chosen: the first whose canary comes back flattened, with the reason why each other was not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.client import Limits, SandboxSettings, SandboxUnavailableError
from sandbox.host import choice
from sandbox.host.runtime.base import Plan
from sandbox.image.cache import Image
from tests.fakes.hostile import Hostile

DEFAULTS = SandboxSettings()
ANSWERS = 'hello(); frame(c.FOUND, b"text/plain"); page(); end()'
LIES = 'hello(); frame(c.FOUND, b"text/plain"); end(7)'
SILENT = "sys.exit('operation not permitted')"


class NotInstalled(Hostile):
    def version(self) -> str:
        raise FileNotFoundError


@pytest.fixture
def choose(monkeypatch, tmp_path: Path):
    plan = Plan(Image(tmp_path, "key"), "auto", Limits(), tmp_path / "state")
    plan.state.mkdir()

    def call(settings: SandboxSettings = DEFAULTS, **runtimes):
        monkeypatch.setattr(choice, "RUNTIMES", {name: (lambda made=made: made) for name, made in runtimes.items()})
        return choice.choose(plan, settings)

    return call


def test_the_first_that_answers_is_chosen(choose):
    found = choose(runc=Hostile(ANSWERS, "runc"), podman=Hostile(ANSWERS, "podman"))
    assert (found.runtime.name, found.plan.platform) == ("runc", "systrap")
    assert "canary" in found.why


def test_one_that_does_not_start_is_passed_over_with_its_reason(choose):
    found = choose(runc=Hostile(SILENT, "runc"), podman=Hostile(ANSWERS, "podman"))
    assert found.runtime.name == "podman"
    assert "runc with systrap" in found.why
    assert "operation not permitted" in found.why


def test_one_that_lies_is_not_chosen(choose):
    assert choose(runc=Hostile(LIES, "runc"), podman=Hostile(ANSWERS, "podman")).runtime.name == "podman"


def test_where_none_works_each_ones_reason_is_told(choose):
    with pytest.raises(SandboxUnavailableError) as failure:
        choose(runc=Hostile(SILENT, "runc"), podman=NotInstalled("", "podman"))
    assert "runc with systrap" in str(failure.value)
    assert "podman with ptrace: not installed" in str(failure.value)


def test_the_choice_is_remembered_until_something_changes(choose):
    first = Hostile(ANSWERS, "runc")
    choose(runc=first)
    again = Hostile(SILENT, "runc")
    assert choose(runc=again).why == "proved earlier since this boot"
    assert not again.started
    other = SandboxSettings(platform="ptrace")
    with pytest.raises(SandboxUnavailableError):
        choose(other, runc=again)


def test_no_more_choices_are_remembered_than_are_of_use(choose, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(choice, "MEMORIES", 2)
    for version in range(5):
        monkeypatch.setattr(choice, "this_host", lambda version=version: version)
        choose(runc=Hostile(ANSWERS, "runc"))
    assert len(list(tmp_path.glob("choice-*"))) == 2
    assert choose(runc=Hostile(SILENT, "runc")).why == "proved earlier since this boot"


@pytest.mark.parametrize("settings", [SandboxSettings(runtime="lxc"), SandboxSettings(platform="kvm")])
def test_a_name_that_is_none_is_told_with_those_that_are(choose, settings):
    with pytest.raises(SandboxUnavailableError, match="is not one of auto"):
        choose(settings, runc=Hostile(ANSWERS, "runc"))


def test_a_named_runtime_is_the_only_one_tried(choose):
    podman = Hostile(ANSWERS, "podman")
    settings = replace(SandboxSettings(), runtime="runc")
    with pytest.raises(SandboxUnavailableError):
        choose(settings, runc=Hostile(SILENT, "runc"), podman=podman)
    assert not podman.started
