"""Whatever a sandbox answers, it ends in a typed reason, costs little and leaves nothing; the next document is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.client import Want
from tests.sandbox.test_job import DEATHS, LIES_AFTER_HELLO
from tests.security.lies import LIES, Lie, try_lie


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.name)
def test_a_lying_answer_ends_as_it_should_and_the_next_document_is_flattened(lie: Lie, tmp_path: Path):
    assert try_lie(lie, tmp_path).faults == ()


def test_the_lies_are_many_and_each_is_told_once():
    names = [lie.name for lie in LIES]
    assert len(names) >= 60
    assert len(set(names)) == len(names)
    assert not {lie.script for lie in LIES if lie.want is Want.PDF} & {*LIES_AFTER_HELLO.values(), *DEATHS.values()}
