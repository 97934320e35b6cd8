"""tests/dialogs: what client, gateway and next hop say to each other, as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.dialog import read_dialog, run_dialog

DIALOGS = sorted((Path(__file__).parents[2] / "dialogs").glob("*.txt"))


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
async def test_dialog(path, tmp_path):
    await run_dialog(read_dialog(path.read_text()), tmp_path)


def test_there_are_at_least_eighty_and_each_says_what_it_shows():
    assert len(DIALOGS) >= 80
    for path in DIALOGS:
        dialog = read_dialog(path.read_text())
        assert len(dialog.about) >= 30, path
        assert any(sign[0] in "SNMK" for sign, _ in dialog.steps), path
