"""The room that a message has: the largest gives way, whichever comes first, and what is in a message goes with it."""

from __future__ import annotations

import itertools

import pytest

from gateway.documents import Document
from gateway.shelf import Shelf, _encoded

SIZES = {"2": 5000, "3": 4000, "4/1": 7000, "5": 100}


def document(tmp_path, part: str, **given) -> Document:
    file = tmp_path / part.replace("/", "-")
    file.write_bytes(b"x")
    return Document(part, "x", file=file, **given)


@pytest.mark.parametrize("order", list(itertools.permutations(SIZES)))
def test_what_gives_way_does_not_depend_on_the_order(tmp_path, order):
    shelf = Shelf(13_500)
    documents = {part: document(tmp_path, part) for part in order}
    for part in order:
        shelf.put(documents[part], SIZES[part], 1)
    assert {part for part, each in documents.items() if each.reason == "message_too_large"} == {"4/1", "2"}
    assert not (tmp_path / "4-1").exists()
    assert (tmp_path / "5").exists()


def test_what_is_in_a_message_that_gave_way_goes_with_it_whenever_it_comes(tmp_path):
    shelf = Shelf(20_000)
    letter, early, late = (document(tmp_path, part) for part in ("2", "2/1", "2/2"))
    other = document(tmp_path, "20/1")
    shelf.put(early, 100, 1)
    shelf.put(letter, 50_000, 0)
    shelf.put(late, 100, 1)
    shelf.put(other, 100, 1)
    assert [each.reason for each in (letter, early, late, other)] == ["message_too_large"] * 3 + [""]
    assert [path.name for path in tmp_path.iterdir()] == ["20-1"]


def test_base64_around_base64_counts_twice():
    assert _encoded(5700, 1) == 7800 + 1024
    assert _encoded(5700, 2) == _encoded(_encoded(5700, 1), 1)
