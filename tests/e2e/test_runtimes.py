"""Every outer runtime, for real: as root and as an ordinary user, each with both of gVisor's platforms."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pymupdf
import pytest

from sandbox.client import CHOSEN, Flattened, Limits, SandboxSettings, examine
from sandbox.host import choice
from sandbox.host.runtime import base, facts, policies, quirks
from sandbox.host.runtime.podman import Podman
from sandbox.host.service import LocalSandbox, flatten_with
from sandbox.host.snapshot import Kind
from sandbox.host.standing import stand_up
from tests.corpus import documents
from tests.e2e.engines import ONLY_VERSION_1, docker_engine, ordinary_user

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]
PLATFORMS = choice.PLATFORMS


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    with docker_engine(tmp_path_factory.mktemp("docker")):
        yield


@pytest.fixture(scope="module")
def user():
    with ordinary_user() as made:
        yield made


def converts(runtime: str, platform: str, directory: Path) -> None:
    opened = LocalSandbox.open(SandboxSettings(runtime=runtime, platform=platform, start="cold"))
    try:
        result = opened.flatten_now(documents.docx("Which runtime", pages=2), directory / "out.pdf")
    finally:
        opened.close()
    assert isinstance(result, Flattened), result
    with pymupdf.open(result.path) as pdf:
        assert "Which runtime 2" in pdf[1].get_text()
    assert list(Path(opened.plan.state.parent).glob(f"{opened.plan.state.name}*")) == []


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("runtime", ["runc", "crun", "podman"])
def test_as_root_an_office_document_is_flattened(runtime: str, platform: str, tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("not root")
    converts(runtime, platform, tmp_path)


@pytest.mark.parametrize("runtime", ["runc", "crun", "podman"])
def test_as_root_a_sandbox_is_restored_from_a_snapshot(runtime: str, tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("not root")
    restored(SandboxSettings(runtime=runtime, platform="systrap", start="snapshot"), tmp_path)


def test_ptrace_restores_too(tmp_path: Path):
    restored(SandboxSettings(runtime="runc", platform="ptrace", start="snapshot"), tmp_path)


def restored(settings: SandboxSettings, directory: Path) -> None:
    opened = LocalSandbox.open(settings)
    try:
        assert "without snapshots" not in opened.chosen
        for name in ("letter.docx", "page.pdf", "letter.hwpx"):  # one of each kind
            document, text = documents.ALL[name]
            result = opened.flatten_now(document, directory / "out.pdf")
            assert isinstance(result, Flattened), result
            with pymupdf.open(result.path) as pdf:
                assert text in pdf[0].get_text()
        assert all(opened._starter.snapshots.of(kind) for kind in Kind)
        assert opened.restores, "a snapshot did not come up, and another way was taken"
    finally:
        opened.close()


def test_a_docker_engine_cannot_restore_and_fills_its_pool_from_cold(docker, tmp_path: Path):
    opened = LocalSandbox.open(SandboxSettings(runtime="docker", start="pool"))
    try:
        assert "docker starts runsc in a way that cannot restore" in opened.chosen
        for _ in range(300):
            if opened.is_full:
                break
            time.sleep(0.1)
        result = opened.flatten_now(documents.docx("From a pool"), tmp_path / "out.pdf")
        assert isinstance(result, Flattened)
        assert result.stages.start < 0.5, "it stood ready"
    finally:
        opened.close()
    assert base.answer(["docker", "ps", "--all", "--quiet"]) == ""


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_docker_engine_flattens_an_office_document(docker, platform: str, tmp_path: Path):
    converts("docker", platform, tmp_path)


def test_docker_keeps_one_image_of_this_recipe_and_no_container(docker, tmp_path: Path):
    converts("docker", "systrap", tmp_path)
    images = base.answer(["docker", "images", "--format={{.Repository}}"]).split()
    assert images == ["lazaretto-sandbox"]
    assert base.answer(["docker", "ps", "--all", "--quiet"]) == ""


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("runtime", ["runc", "podman"])
def test_an_ordinary_user_flattens_an_office_document(user, runtime: str, platform: str):
    answer = user.attempt(runtime, platform)
    assert answer.get("outcome") == "2 pages", answer
    assert answer["chosen"].startswith(f"{runtime} with gVisor {platform}")
    assert answer["left"] == ""


@pytest.mark.parametrize("runtime", ["runc", "podman"])
def test_an_ordinary_users_sandbox_is_restored_from_a_snapshot(user, runtime: str):
    answer = user.attempt(runtime, "systrap", "snapshot")
    assert answer.get("outcome") == "2 pages", answer
    assert answer["restores"] == "True", answer
    assert answer["left"] == ""


def test_an_ordinary_users_crun_works_where_there_are_no_hybrid_cgroups(user):
    assert user.attempt("crun", "systrap", prefix=ONLY_VERSION_1).get("outcome") == "2 pages"


def test_an_ordinary_users_crun_says_what_hybrid_cgroups_want(user):
    if facts.this_host().cgroups != "hybrid":
        pytest.skip("no hybrid cgroups here")
    assert "systemd.unified_cgroup_hierarchy=1" in user.attempt("crun", "systrap")["error"]


def test_an_ordinary_users_first_choice_is_the_one_that_does_not_run_as_that_user(user):
    assert user.attempt("auto", "auto")["chosen"].startswith("podman with gVisor systrap")


def test_the_explicit_policy_for_old_engines_works_as_well(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(quirks, "effects", lambda *_: frozenset({quirks.Effect.EXPLICIT_ENOSYS}))
    written = []
    explicit = policies.with_explicit_enosys
    monkeypatch.setattr(policies, "with_explicit_enosys", lambda plan: written.append(1) or explicit(plan))
    settings = SandboxSettings(runtime="podman", start="cold")
    opened = LocalSandbox.open(replace(settings, limits=replace(Limits(), seconds=100.0)))
    try:
        result = flatten_with(Podman(), opened.plan, documents.pdf(), tmp_path / "out.pdf", settings=settings)
    finally:
        opened.close()
    assert isinstance(result, Flattened)
    assert written


def test_doctor_tells_of_every_runtime_why_it_was_chosen_or_not():
    findings = {finding.name: finding for finding in examine(SandboxSettings())}
    assert findings[CHOSEN].ok
    for runtime in choice.RUNTIMES:
        for platform in PLATFORMS:
            assert findings[f"{runtime} + gVisor {platform}"].found
    assert not findings["snapshots"].needed
    assert findings["snapshots"].ok or "made" in findings["snapshots"].found


@pytest.mark.parametrize("runtime", ["runc", "crun", "podman"])
def test_a_container_dies_where_the_runtimes_own_command_hangs_and_is_removed_later(
    runtime: str, monkeypatch, tmp_path: Path
):
    opened = LocalSandbox.open(SandboxSettings(runtime=runtime, start="cold"))
    container = opened.runtime.start(opened.plan, f"lazaretto-hangs-{runtime}")
    stand_up(container, opened.plan.limits)
    first = container.first()
    assert first
    monkeypatch.setattr(base, "END_SECONDS", 1.0)
    hanging = []
    monkeypatch.setattr(base, "quietly", lambda command, _seconds: bool(hanging.append(command)))
    container.destroy()
    assert base.is_dead(first)
    monkeypatch.undo()
    # runc and crun are not even asked: what they remember of a container that is gone is a directory
    assert bool(hanging) == (runtime == "podman")
    for _ in range(200):
        if container.remove():
            break
        time.sleep(0.1)
    opened.close()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/lazaretto/lazaretto-hangs-{runtime}"))


def test_the_containers_of_a_process_that_was_killed_are_swept_by_the_next(docker, tmp_path: Path):
    for runtime in choice.RUNTIMES:
        state = tmp_path / f"sandboxes-0-{runtime}"
        state.mkdir()
        opened = LocalSandbox.open(SandboxSettings(runtime=runtime, start="cold"))
        plan = replace(opened.plan, state=state)
        container = opened.runtime.start(plan, f"lazaretto-swept-{runtime}")
        stand_up(container, plan.limits)
        choice.RUNTIMES[runtime]().sweep(state)
        container.process.wait(20)
        assert container.process.stdout
        assert container.process.stdout.read() == b"", "whoever could write to it is gone"
        opened.close()
    names = subprocess.run(["podman", "ps", "--all", "--format=json"], check=True, capture_output=True).stdout
    assert "lazaretto-swept" not in json.dumps(json.loads(names))
    assert "lazaretto-swept" not in base.answer(["docker", "ps", "--all"])
