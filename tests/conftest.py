"""What holds for all tests."""

from __future__ import annotations

import itertools

import pytest

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def states(tmp_path_factory):
    return tmp_path_factory.mktemp("states")


@pytest.fixture(autouse=True)
def _state_of_its_own(states, monkeypatch):
    """Nothing is kept where a real gateway keeps it, nor found by another test."""
    monkeypatch.setenv("STATE_DIRECTORY", str(states / str(next(_NUMBERS))))
