"""Every hostile program in the real double sandbox, on the runtime that `auto` chooses here: each ends contained."""

from __future__ import annotations

import pytest

from tests.security import image as images
from tests.security import scene as scenes
from tests.security.attempts import ATTEMPTS, SAMPLE, THEMES
from tests.security.scene import NEXT, Result

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]


class Results:
    """A theme is run when the first of its tests asks, some attempts at a time."""

    def __init__(self, scene: scenes.Scene, runner) -> None:
        self._scene, self._runner = scene, runner
        self._known: dict[str, dict[str, Result]] = {}

    def of(self, theme: str, name: str) -> Result:
        if theme not in self._known:
            results = scenes.run_theme(self._scene, self._runner, THEMES[theme])
            self._known[theme] = {result.name: result for result in results}
        return self._known[theme][name]


@pytest.fixture(scope="module")
def scene():
    with scenes.opened() as opened:
        yield opened


@pytest.fixture(scope="module")
def results(scene):
    with scenes.runner(scene, "auto") as runner:
        yield Results(scene, runner)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda one: f"{one.theme}: {one.name}")
def test_a_hostile_program_is_contained(attempt, results):
    result = results.of(attempt.theme, attempt.name)
    assert result.faults == ()
    assert result.stopped, "it is not known what stopped it"


@pytest.mark.parametrize("theme", THEMES)
def test_after_each_theme_the_house_is_as_it_was_and_flattens_the_next_document(theme, results):
    assert results.of(theme, NEXT).faults == ()


def test_the_sandbox_is_that_of_service_but_for_the_program_that_it_runs(scene):
    assert images.differences(scene.built, scene.image) == ["/process/args"]


def test_attempts_are_many_of_every_theme_and_each_is_there_once():
    assert len(ATTEMPTS) >= 60
    assert len({(one.theme, one.name) for one in ATTEMPTS}) == len(ATTEMPTS)
    assert {one.theme for one in SAMPLE} == set(THEMES)
