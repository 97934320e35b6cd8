"""Sandboxes that stand ready: taken once, refilled, replaced when they die or grow old, bounded, gone at the end."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sandbox.client import Limits, PoolSettings, SandboxSettings, SandboxUnavailableError
from sandbox.host import pool as pool_module
from sandbox.host.meter import Usage
from sandbox.host.pool import Pool
from sandbox.host.runtime.base import Plan
from sandbox.host.snapshot import Kind
from sandbox.host.starter import Starter
from sandbox.image.cache import Image
from tests.fakes.hostile import GOOD, Hostile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.host.runtime.base import OuterContainer

SETTINGS = PoolSettings(office=1, other=2)
FULL = {"office": 1, "other": 2, "hwp": 0}


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to this"
        time.sleep(0.02)


class Counted(Hostile):
    """Containers with a meter that tells what the test says."""

    memory = 0

    def start(self, plan: Plan, job: str) -> OuterContainer:
        container = super().start(plan, job)
        container.meter = self
        return container

    def read(self) -> Usage:
        return Usage(self.memory, 0.0)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Pool, Counted]]]:
    monkeypatch.setattr(pool_module, "LOOK_SECONDS", 0.05)
    pools: list[Pool] = []
    runtimes: list[Counted] = []

    def made(settings: PoolSettings = SETTINGS, script: str = GOOD, memory: int = 0) -> tuple[Pool, Counted]:
        runtime = Counted(script)
        runtime.memory = memory
        limits = replace(Limits(), seconds=20.0)
        runtimes.append(runtime)
        pools.append(Pool(Starter(runtime, Plan(Image(tmp_path, "none"), "none", limits, tmp_path)), settings))
        return pools[-1], runtime

    yield made
    for pool in pools:
        pool.close()
    assert all(process.poll() is not None for one in runtimes for process in one.started), "one was left"


def test_it_fills_itself_up_and_no_further(make):
    pool, runtime = make()
    until(lambda: pool.counts() == FULL)
    time.sleep(0.3)
    assert len(runtime.started) == 3


def test_one_that_was_taken_is_replaced_by_another(make):
    pool, runtime = make()
    until(lambda: pool.counts() == FULL)
    taken = pool.take(Kind.OTHER)
    assert taken.container.process in runtime.started
    until(lambda: pool.counts() == FULL)
    assert len(runtime.started) == 4
    assert taken.is_alive, "what was taken is the taker's"
    taken.destroy()


def test_who_finds_none_starts_its_own(make):
    pool, runtime = make(PoolSettings(office=0, other=0))
    taken = pool.take(Kind.OFFICE)
    assert (len(runtime.started), taken.is_alive) == (1, True)
    taken.destroy()


def test_one_that_died_while_it_stood_is_not_given_out(make):
    pool, runtime = make()
    until(lambda: pool.counts() == FULL)
    for process in runtime.started:
        process.kill()
    taken = pool.take(Kind.OFFICE)
    assert taken.is_alive
    taken.destroy()
    until(lambda: pool.counts() == FULL and sum(each.poll() is None for each in runtime.started) == 3)


def test_one_that_stood_for_too_long_is_replaced(make):
    pool, runtime = make(replace(SETTINGS, idle_seconds=0.5))
    until(lambda: pool.counts() == FULL)
    first = runtime.started[:3]
    until(lambda: all(process.poll() is not None for process in first) and pool.counts() == FULL)


@pytest.mark.parametrize(("bound", "stand"), [(250, 2), (100, 1), (1000, 3)])
def test_no_more_stand_than_memory_allows(make, bound: int, stand: int):
    pool, runtime = make(replace(SETTINGS, memory_bytes=bound), memory=100)
    until(lambda: sum(pool.counts().values()) == stand)
    time.sleep(0.4)
    assert len(runtime.started) == stand


def test_a_start_that_fails_is_tried_again_with_pauses(make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool_module, "FIRST_PAUSE", 0.2)
    pool, runtime = make(script="sys.exit('broken')")
    time.sleep(1.5)
    assert 2 <= len(runtime.started) <= 10, "two starts a try, and pauses that double"
    with pytest.raises(SandboxUnavailableError, match="broken"):
        pool.take(Kind.OTHER)
    runtime.script = GOOD
    until(lambda: pool.counts() == FULL)


def test_closing_ends_all_that_stand_and_what_is_being_started(make):
    pool, runtime = make(script="time.sleep(0.5)\n" + GOOD)
    until(lambda: len(runtime.started) > 0)
    pool.close()
    pool.close()
    assert all(process.poll() is not None for process in runtime.started)


def test_the_defaults_of_the_pool_stay_within_its_bound_of_memory():
    settings = SandboxSettings().pool
    assert (settings.office * 100 + settings.other * 40) << 20 < settings.memory_bytes
