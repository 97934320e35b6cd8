"""What strangers wrote is printable and capped in the log, in both formats."""

from __future__ import annotations

import json
import re

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway import maillog
from gateway.config import LogSettings


@pytest.fixture(autouse=True)
def _restore():
    yield
    structlog.reset_defaults()


@given(text=st.text(max_size=1000))
def test_any_text_becomes_one_printable_line_of_bounded_length(text):
    shown = maillog.printable(text)
    assert shown.isprintable()
    assert len(shown) <= 10 * maillog.MAX_TEXT + 3


def test_plain_text_stays_as_it_is():
    assert maillog.printable("Jörg <j@example.org>") == "Jörg <j@example.org>"


def test_control_and_direction_characters_are_shown_not_obeyed():
    assert maillog.printable("a\r\nb\x1b[31m\u202egpj.exe\udcff") == r"a\r\nb\x1b[31m\u202egpj.exe\udcff"


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_value_forges_a_line_or_paints_the_terminal(form, capsys):
    maillog.configure(LogSettings(format=form))
    evil = 'x"}\n{"event": "forged"\x1b[2J'
    structlog.get_logger().info("part", name=evil, list=[evil] * 50, deep={evil: evil}, number=3)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b[2J" not in err
    if form == "json":
        event = json.loads(err)
        assert event["number"] == 3
        assert len(event["list"]) == maillog.MAX_LIST


def test_an_exception_keeps_its_lines_but_not_its_control_characters(capsys):
    maillog.configure(LogSettings())
    try:
        int("evil \x1b[2J\ntext")
    except ValueError:
        structlog.get_logger().exception("failed")
    event = json.loads(capsys.readouterr().err)
    assert "ValueError" in event["exception"]
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", event["exception"])


def test_the_level_is_obeyed(capsys):
    maillog.configure(LogSettings(level="error"))
    structlog.get_logger().info("quiet")
    structlog.get_logger().error("loud")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["loud"]
