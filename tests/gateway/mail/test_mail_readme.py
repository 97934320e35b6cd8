"""The table of README.md says where each class of ambiguity comes from and what shows it: it is read here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gateway.mail
from gateway.mail import ambiguity
from tests.gateway.mail.spellings import EVERY

README = (Path(gateway.mail.__file__).parent / "README.md").read_text(encoding="utf-8")
TABLE = README.partition("## What parsers read differently")[2].partition("\n## ")[0]
ROWS = [
    (set(re.findall(r"`(\w+)`", classes)), tricks.strip())
    for classes, tricks in re.findall(r"(?m)^\|[^|]+\|([^|]*`[^|]*)\|([^|]+)\|$", TABLE)
]


def test_every_class_is_in_the_table():
    assert set().union(*(classes for classes, _ in ROWS)) == set(ambiguity.MEANING)


@pytest.mark.parametrize(("classes", "tricks"), ROWS)
def test_a_row_of_the_table_is_shown_by_tricks_of_its_classes(classes, tricks):
    if tricks.startswith("`"):
        assert "def test_" in Path(__file__).with_name(tricks.strip("`")).read_text()
        return
    shown = {EVERY[name][1] for name in tricks.split("; ")}
    assert shown == classes
