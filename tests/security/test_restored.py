"""Hostile programs in sandboxes that were restored from a snapshot: what holds them is what holds those from cold.

All themes on the runtime that is chosen, some of each: walls, flags and policy are the same by construction
(`airlock/inner.py`), and one mount is more, which is tried too.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from sandbox.host import snapshot
from sandbox.host.snapshot import Kind
from tests.security import scene as scenes
from tests.security.attempt import Attempt
from tests.security.attempts import ATTEMPTS
from tests.security.run import Runner

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]
OF_EACH = 2
FILES = ("checkpoint.img", "pages.img", "pages_meta.img")
LOOKS_FOR_IT = f"""
for place in ("/snapshot", "/snapshot/pages.img", "/proc/1/root/snapshot"):
    try:
        escaped(place, os.listdir(place) if place == "/snapshot" else open(place, "rb").read(64))
    except OSError as error:
        tried(place, code_of(error))
for name in {FILES!r}:
    refused("open " + name, open, "/" + name)
"""


@pytest.fixture(scope="module")
def runner():
    with scenes.opened() as scene, scenes.runner(scene, "runc") as cold:
        place = Path(tempfile.mkdtemp(prefix=".frozen-", dir=scene.built.path.parent))
        try:
            place.chmod(0o755)
            plan = replace(cold.plan, image=scene.image)
            snapshot._freeze(cold.runtime, plan, Kind.OTHER, place / "guest")
            yield Runner(cold.runtime, replace(cold.plan, snapshot=place / "guest"), scene.house.canaries)
        finally:
            shutil.rmtree(place)


def sample() -> list[Attempt]:
    themes = groupby(sorted(ATTEMPTS, key=lambda attempt: attempt.theme), lambda attempt: attempt.theme)
    # after a bomb the next document is flattened by the real guest, which is not the one that is frozen here
    return [attempt for _, each in themes for attempt in [one for one in each if not one.bomb][:OF_EACH]]


def test_what_is_restored_holds_a_sample_of_every_theme(runner: Runner):
    verdicts = list(runner.attempts(sample()))
    assert {f"{one.attempt.theme}: {one.attempt.name}": one.faults for one in verdicts if one.faults} == {}
    assert len(verdicts) == len(sample()) >= OF_EACH


def test_the_snapshot_cannot_be_seen_from_inside(runner: Runner):
    [verdict] = runner.attempts([Attempt("files", "looks for the snapshot that it came from", LOOKS_FOR_IT)])
    assert verdict.faults == ()
