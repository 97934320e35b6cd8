"""A message out of a file: how deep its documents lie, what of it stays, and that it is always written anew."""

from __future__ import annotations

import pytest

from gateway.mail.letter import read_letter
from gateway.mail.policy import Policy
from gateway.mail.rebuild import inside, inside_as_part
from gateway.mail.result import Safe
from gateway.mail.tree import Bounds
from tests.gateway.mail.letters import PDF, SECRET, TEXT, joined, leaked, mixed

ATTACHED = b"Content-Type: message/rfc822\r\n\r\n" + mixed(TEXT, PDF, boundary=b"in")
SAFE = {"2": Safe(b"%PDF safe", "application/pdf", "x.pdf")}


def letter(raw: bytes, policy: Policy | None = None, **bounds: int):
    return read_letter(raw, Bounds(**bounds), policy or Policy())


def test_documents_are_told_with_how_deep_they_lie():
    found = [(step.part, depth) for step, depth in letter(mixed(PDF, ATTACHED)).to_flatten()]
    assert found == [("1", 1), ("2.2", 3)]


def test_what_stays_is_all_but_the_files():
    raw = mixed(TEXT, PDF)
    assert len(SECRET) < len(raw) - letter(raw).kept_bytes < 2 * len(SECRET)
    assert letter(mixed(TEXT)).kept_bytes == len(mixed(TEXT))


@pytest.mark.parametrize(
    ("bounds", "over"),
    [({}, ""), ({"depth": 3}, "too_deep"), ({"parts": 3}, "too_many_parts"), ({"depth": 1}, "too_deep")],
)
def test_what_was_not_read_to_its_end_says_which_bound(bounds, over):
    assert letter(mixed(TEXT, ATTACHED), **bounds).over == over


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_line_ends_of_any_one_kind_are_no_ambiguity(end):
    read = letter(mixed(TEXT, PDF).replace(b"\r\n", end), Policy(ambiguous="refuse"))
    assert (read.over, read.message.ambiguities) == ("", ())


def test_a_message_of_two_kinds_is_as_ambiguous_as_any():
    assert letter(mixed(TEXT, PDF).replace(b"\r\n", b"\n", 2), Policy(ambiguous="refuse")).over == "ambiguous"


def test_nothing_of_its_structure_is_left_and_its_place_decides_the_boundaries():
    raw = mixed(TEXT, PDF)
    read = letter(raw)
    here, there = (inside(read.message, read.plan, SAFE, place) for place in ("2/1/", "3/"))
    assert here != there
    assert b"outer" not in here
    assert not leaked(SECRET, here)
    assert here == inside(read.message, read.plan, SAFE, "2/1/")


def test_a_part_that_was_wrapped_up_otherwise_has_no_fields_of_a_message():
    read = letter(b'Content-Type: multipart/mixed; boundary="t"\r\n\r\n' + joined(TEXT, PDF, boundary=b"t"))
    part = inside_as_part(read.message, read.plan, SAFE, "2/")
    assert part.startswith(b"Content-Type: multipart/mixed;\r\n\tboundary=")
    assert b"MIME-Version" not in part
