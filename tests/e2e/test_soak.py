"""A short soak, and some ends by kill -9 under load; `make soak` is the long one."""

from __future__ import annotations

import os

import pytest
from rich.console import Console

from tests.soak.__main__ import run

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]


def test_nothing_is_left_of_documents_nor_of_what_was_killed_under_them():
    if os.geteuid() != 0:
        pytest.skip("counts what is root's")
    assert run(documents=30, kills=6, console=Console(quiet=True)) == []
