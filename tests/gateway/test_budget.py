"""One budget for all that is in a message: what is left, and the word for what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.budget import Budget
from gateway.mail.letter import read_letter
from gateway.mail.policy import Policy
from gateway.mail.tree import Bounds
from sandbox import contract
from sandbox.client import Form, Member, Room, Unpacked
from tests.gateway.mail.letters import TEXT, mixed

BOUNDS = Bounds(parts=10, depth=4, unpacked_bytes=1000, unpacked_ratio=10.0)


def unpacked(members: int, size: int) -> Unpacked:
    return Unpacked(Path("x"), Form.ARCHIVE, (Member("", 0, 0),) * members, "", size, 0.0)


@pytest.mark.parametrize(
    ("received", "parts", "room"),
    [(1000, 0, Room(10, 1000)), (50, 3, Room(7, 500)), (0, 10, Room(1, 1)), (50, 99, Room(1, 500))],
)
def test_a_message_gets_what_its_bytes_and_parts_leave_it(received, parts, room):
    assert Budget.of(BOUNDS, received, parts).room() == room


@pytest.mark.parametrize(
    ("members", "size", "depth", "reason"),
    [
        (10, 1000, 2, ""),
        (11, 1, 0, contract.TOO_MANY_MEMBERS),
        (1, 1001, 0, contract.UNPACKED_TOO_LARGE),
        (1, 1, 3, "too_deep"),
    ],
)
def test_a_container_is_paid_for_as_a_whole_or_not_at_all(members, size, depth, reason):
    budget = Budget.of(BOUNDS, 1000)
    assert budget.take(unpacked(members, size), depth) == reason
    left = (0, 0) if not reason else (10, 1000)
    assert (budget.parts, budget.bytes) == left


@pytest.mark.parametrize(("texts", "reason"), [(9, ""), (10, "too_many_parts")])
def test_a_message_in_a_file_is_paid_for_by_its_parts(texts, reason):
    budget = Budget.of(BOUNDS, 1000)
    letter = read_letter(mixed(*[TEXT] * texts), budget.bounds_at(1), Policy())
    assert budget.take_letter(letter) == reason
    assert budget.parts == (10 if reason else 0)


def test_files_inside_the_texts_of_a_message_count_too():
    block = b"Content-Type: text/plain\r\n\r\nbegin 644 a\r\n#0V%T\r\n`\r\nend\r\n"
    letter = read_letter(mixed(*[block] * 5), replace(BOUNDS, parts=100), Policy())
    assert letter.parts == 11
    assert Budget.of(BOUNDS, 1000).take_letter(letter) == "too_many_parts"
