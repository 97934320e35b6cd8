"""Some hostile programs on each runtime that is not the chosen one: of those themes that depend on how the outer
container is made. `make security` tries them all.
"""

from __future__ import annotations

import shutil

import pytest

from sandbox.client import SandboxSettings
from sandbox.host import choice
from sandbox.host.service import LocalSandbox
from tests.e2e.engines import docker_engine, ordinary_user
from tests.security import scene as scenes
from tests.security.attempts import SAMPLE

# what depends on how the outer container is made; an ordinary user has no cgroup, so there one runs after the other
OF_THE_OUTER_CONTAINER = ("mounts and roots", "other processes", "another document", "outliving the job", "bombs")

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def scene():
    with scenes.opened() as opened:
        yield opened


@pytest.fixture(scope="module")
def chosen():
    opened = LocalSandbox.open(SandboxSettings(start="cold"))
    opened.close()
    return opened.runtime.name


@pytest.fixture
def docker(tmp_path_factory):
    with docker_engine(tmp_path_factory.mktemp("docker")):
        yield


def contained(results, attempts) -> None:
    assert {f"{one.theme}: {one.name}": one.faults for one in results if one.faults} == {}
    assert len(results) > len(attempts) > 0


@pytest.mark.parametrize("runtime", choice.RUNTIMES)
def test_hostile_programs_are_contained_on_this_runtime_too(runtime, scene, chosen, request):
    if runtime == chosen:
        pytest.skip("test_attempts.py runs them all on the chosen one")
    if runtime == "docker":
        request.getfixturevalue("docker")
    elif not shutil.which(runtime):
        pytest.skip(f"{runtime} is not installed")
    chosen_few = [attempt for attempt in SAMPLE if attempt.theme in OF_THE_OUTER_CONTAINER]
    with scenes.runner(scene, runtime) as runner:
        contained(scenes.run_theme(scene, runner, chosen_few), chosen_few)


def test_hostile_programs_are_contained_in_an_ordinary_users_sandboxes(scene):
    with ordinary_user() as user:
        chosen = [attempt for attempt in SAMPLE if attempt.theme in OF_THE_OUTER_CONTAINER]
        contained(scenes.run_as(user, scene, "podman", chosen), chosen)
