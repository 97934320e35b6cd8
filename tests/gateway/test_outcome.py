"""The one table of outcomes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outcome import TABLE, Kind, from_next_hop, outcome, public_line

HOUSE = {kind for kind in Kind if kind.startswith(("house", "no_", "next_hop", "deadline", "busy", "recipients"))}


@pytest.mark.parametrize("kind", TABLE)
def test_code_and_enhanced_code_are_of_one_class(kind):
    code, enhanced, text = TABLE[kind]
    assert re.fullmatch(rf"{code // 100}\.\d\.\d", enhanced)
    assert public_line(text) == text


@pytest.mark.parametrize("kind", sorted(HOUSE & TABLE.keys()))
def test_a_fault_of_the_house_is_temporary(kind):
    assert outcome(kind).temporary


def test_every_kind_but_the_next_hops_own_is_in_the_table():
    assert set(Kind) - set(TABLE) == {Kind.DELIVERED, Kind.NEXT_HOP_REFUSED}


@given(code=st.sampled_from([250, 421, 450, 554]), text=st.text(max_size=2000))
def test_whatever_the_next_hop_says_becomes_one_line(code, text):
    reply = from_next_hop(code, text).reply
    assert re.fullmatch(rf"{code} {code // 100}\.\d{{1,3}}\.\d{{1,3}} [\x20-\x7e]{{1,400}}", reply)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("5.1.1 <x@y>: unknown", "550 5.1.1 <x@y>: unknown"),
        ("unknown", "550 5.0.0 unknown"),
        ("2.1.1 odd", "550 5.0.0 2.1.1 odd"),
        ("5.7.1 one\n5.7.1 two", "550 5.7.1 one 5.7.1 two"),
        ("", "550 5.0.0 Refused"),
    ],
)
def test_its_enhanced_code_is_kept_where_it_fits(text, reply):
    assert from_next_hop(550, text).reply == reply
