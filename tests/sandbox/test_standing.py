"""A sandbox that stands: it has said HELLO and nothing else; what does not come up is told in one line."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import contract
from sandbox.client import Flattened, Limits, SandboxUnavailableError, Want
from sandbox.host import snapshot
from sandbox.host.job import Job
from sandbox.host.runtime.base import Plan
from sandbox.host.snapshot import Kind, Snapshots, snapshots_for
from sandbox.host.standing import prepared, stand_up
from sandbox.host.starter import Starter
from sandbox.image.cache import Image
from tests.fakes.hostile import GOOD, Hostile

LIMITS = replace(Limits(), seconds=10.0, page_seconds=10.0)


def plan(tmp_path: Path, limits: Limits = LIMITS) -> Plan:
    return Plan(Image(tmp_path, "none"), "none", limits, tmp_path)


def started(script: str, tmp_path: Path):
    return Hostile(script).start(plan(tmp_path), "job")


def test_it_prepares_itself_stands_and_serves_one_document(tmp_path: Path):
    standing = stand_up(started(GOOD, tmp_path), LIMITS, contract.PREPARE_OFFICE)
    assert standing.is_alive
    time.sleep(0.1)
    job = Job(standing, LIMITS, text_layer=True, started=time.monotonic())
    result = job.run(b"document", tmp_path / "out.pdf", Want.PDF)
    assert isinstance(result, Flattened)
    assert (result.pages, result.found) == (1, "text/plain")
    assert standing.container.process.poll() is not None


def test_its_stages_add_up_to_its_seconds(tmp_path: Path):
    slow = GOOD.replace("page()", "time.sleep(0.2); page()")
    begun = time.monotonic()
    standing = stand_up(started(slow, tmp_path), LIMITS)
    result = Job(standing, LIMITS, text_layer=True, started=begun).run(b"x", tmp_path / "out.pdf", Want.PDF)
    stages = result.stages
    assert stages.start > 0
    assert stages.draw > 0.15
    whole = sum(getattr(stages, name) for name in stages.__slots__)
    assert whole <= result.seconds
    assert whole == pytest.approx(result.seconds, abs=0.5)


@pytest.mark.parametrize(
    "script",
    {
        "says nothing and ends": "",
        "says something else": "frame(c.FOUND, b'text/plain'); out.flush(); time.sleep(30)",
        "says hello before it was asked to prepare": "hello(); time.sleep(30)",
        "refuses before there is a document": "frame(c.FAILED, b'corrupt'); out.flush(); time.sleep(30)",
        "prepares with a payload": "frame(c.PREPARED, b'x'); out.flush(); time.sleep(30)",
    }.values(),
)
def test_one_that_does_not_come_up_is_the_houses_failure_and_is_gone(script: str, tmp_path: Path):
    runtime = Hostile(script)
    container = runtime.start(plan(tmp_path), "job")
    with pytest.raises(SandboxUnavailableError, match="a sandbox did not start"):
        stand_up(container, LIMITS, 0)
    assert runtime.started[0].poll() is not None


def test_one_that_hangs_while_it_comes_up_is_ended_in_time(tmp_path: Path):
    runtime = Hostile("time.sleep(60)")
    begun = time.monotonic()
    with pytest.raises(SandboxUnavailableError, match="did not come up in time"):
        stand_up(runtime.start(plan(tmp_path), "job"), replace(LIMITS, seconds=0.5))
    assert time.monotonic() - begun < 10
    assert runtime.started[0].poll() is not None


def test_one_that_speaks_unasked_while_it_stands_is_of_no_use(tmp_path: Path):
    standing = stand_up(
        started("command(); hello(); time.sleep(0.3); frame(c.END); out.flush(); time.sleep(30)", tmp_path), LIMITS
    )
    end = time.monotonic() + 5
    while standing.is_alive and time.monotonic() < end:
        time.sleep(0.02)
    assert not standing.is_alive
    standing.destroy()


def test_each_sandbox_has_a_seed_of_its_own(tmp_path: Path):
    # the seed comes back as the reason of a sandbox that did not start
    seeds = set()
    for _ in range(5):
        with pytest.raises(SandboxUnavailableError) as caught:
            stand_up(started("sys.exit('seed ' + command()[4].hex())", tmp_path), LIMITS)
        seeds.add(str(caught.value))
    assert len(seeds) == 5
    assert all("seed " in seed for seed in seeds)


def test_one_that_is_to_be_frozen_stands_before_its_hello(tmp_path: Path):
    container = started(GOOD, tmp_path)
    prepared(container, LIMITS, contract.PREPARE_WHOLE)
    assert container.process.poll() is None
    container.destroy()


def test_a_snapshot_from_which_nothing_comes_up_rests_and_sandboxes_start_from_cold(tmp_path: Path):
    class Restoring(Hostile):
        def start(self, plan: Plan, job: str):
            self.script = "sys.exit('stale')" if plan.snapshot else GOOD
            return super().start(plan, job)

    runtime = Restoring("")
    for kind in (Kind.OFFICE, Kind.OTHER):
        (tmp_path / kind).mkdir()
    starter = Starter(runtime, plan(tmp_path), Snapshots(tmp_path))
    first = starter.stand_up(Kind.OFFICE)
    second = starter.stand_up(Kind.OFFICE)
    assert first.is_alive
    assert second.is_alive
    assert len(runtime.started) == 4  # twice from the snapshot, then from cold; the second at once from cold
    first.destroy()
    second.destroy()
    starter.stand_up(Kind.OTHER).destroy()
    assert len(runtime.started) == 7, "that of another kind is tried for itself"
    starter.stand_up(Kind.HWP).destroy()
    assert len(runtime.started) == 8, "a kind of which there is none starts from cold"
    starter.resting.clear()
    starter.stand_up(Kind.OFFICE).destroy()
    assert len(runtime.started) == 11, "after its rest the snapshot is tried again"


def test_a_runtime_that_cannot_restore_has_no_snapshots(tmp_path: Path):
    with pytest.raises(SandboxUnavailableError, match="hostile starts runsc in a way that cannot restore"):
        snapshots_for(Hostile(GOOD), plan(tmp_path), tmp_path)


def test_where_hwps_cannot_be_made_the_others_are_kept_and_it_is_tried_again(tmp_path: Path, monkeypatch):
    tried = []

    def freeze(_runtime, _plan, kind: Kind, target: Path) -> None:
        tried.append(kind)
        if kind is Kind.HWP:
            raise SandboxUnavailableError("no memory for Java")
        target.mkdir()

    monkeypatch.setattr(snapshot, "_freeze", freeze)
    runtime = Hostile(GOOD)
    runtime.restores = True
    (tmp_path / "images" / "one").mkdir(parents=True)
    here = replace(plan(tmp_path), image=Image(tmp_path / "images" / "one", "none"))
    before = os.umask(0o077)  # as the service's unit has it
    for _ in range(2):
        made = snapshots_for(runtime, here, None)
        assert made.of(Kind.OFFICE)
        assert made.of(Kind.OTHER)
        assert made.of(Kind.HWP) is None
    os.umask(before)
    assert tried == [Kind.OFFICE, Kind.OTHER, Kind.HWP, Kind.HWP]
    for place in (made.directory, made.of(Kind.OFFICE)):
        assert place.stat().st_mode & 0o777 == 0o755, "the container's root is nobody"


def test_a_snapshot_that_cannot_be_made_leaves_nothing(tmp_path: Path):
    class Restores(Hostile):
        restores = True

    runtime = Restores(GOOD)
    (tmp_path / "seccomp.json").write_text('{"syscalls": []}')
    broken = replace(plan(tmp_path), policy=tmp_path / "seccomp.json", image=Image(tmp_path / "images" / "one", "none"))
    (tmp_path / "images" / "one").mkdir(parents=True)
    with pytest.raises(SandboxUnavailableError, match="no snapshot can be kept: no container"):
        snapshots_for(runtime, broken, None)
    assert [path.name for path in (tmp_path / "images").iterdir() if path.name != "one"] == ["snapshots.lock"]
    assert all(process.poll() is not None for process in runtime.started)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "seccomp.json"]
