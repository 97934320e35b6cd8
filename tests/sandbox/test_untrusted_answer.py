"""The only reader of a sandbox's bytes, fuzzed: whatever comes, it ends in a page, a lie, a death or a refusal."""

from __future__ import annotations

import io
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import contract
from sandbox.client import Limits
from sandbox.host.untrusted_answer import Answer, Died, Lied, Refused

LIMITS = replace(Limits(), pages=5, page_pixels=5_000, total_pixels=10_000, page_text_bytes=1000)


def frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(contract.FRAME, kind, len(payload)) + payload


HEAD = frame(contract.HELLO, contract.MAGIC + bytes([contract.VERSION])) + frame(contract.FOUND, b"application/pdf")


def page(width: int = 3, height: int = 2, text: bytes | None = None) -> bytes:
    pixels = frame(contract.PIXELS, bytes(range(width * height * 3)))
    size = frame(contract.PAGE, struct.pack(contract.PAGE_PAYLOAD, width, height, 50_000, 60_000))
    return size + pixels + (b"" if text is None else frame(contract.TEXT, text))


VALID = (
    HEAD
    + frame(contract.OPENED)
    + page(text=b"0 0 100 100 one\n")
    + page(4, 5)
    + frame(contract.END, struct.pack(">I", 2))
)


class Trickle(io.RawIOBase):
    """A pipe that gives as many bytes at a time as it likes."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = io.BytesIO(data), step

    def readable(self) -> bool:
        return True

    def readinto(self, view) -> int:
        chunk = self._data.read(min(self._step, len(view)))
        view[: len(chunk)] = chunk
        return len(chunk)


def read_all(stream) -> list:
    answer = Answer(stream, LIMITS)
    answer.hello()
    assert answer.found() == "application/pdf"
    answer.opened()
    return list(answer.pages())


@given(step=st.integers(1, 40))
def test_an_answer_reads_the_same_however_it_is_cut(step: int):
    first, second = read_all(Trickle(VALID, step))
    assert (first.width, first.height, first.width_points, first.height_points) == (3, 2, 50.0, 60.0)
    assert bytes(first.rgb) == bytes(range(18))
    assert [run.text for run in first.runs] == ["one"]
    assert (second.width, second.height, second.runs) == (4, 5, ())


@given(st.data())
def test_a_bent_answer_ends_in_a_lie_a_death_or_a_refusal_or_in_checked_pages(data):
    bent = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(bent) - 1))
        kind = data.draw(st.sampled_from(["change", "cut", "add"]))
        if kind == "change":
            bent[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del bent[place : place + data.draw(st.integers(1, 30))]
        else:
            bent[place:place] = data.draw(st.binary(max_size=30))
        if not bent:
            return
    answer = Answer(io.BytesIO(bytes(bent)), LIMITS)
    try:
        answer.hello()
        answer.found()
        pages = list(answer.pages())
    except (Lied, Died, Refused):
        return
    for one in pages:
        assert len(one.rgb) == one.width * one.height * 3 <= LIMITS.page_pixels * 3
        assert 0 < one.width_points <= LIMITS.page_points
        assert all(run.text.isprintable() and 0 <= run.x0 < run.x1 for run in one.runs)


@given(st.binary(max_size=200))
def test_noise_is_never_an_answer(noise: bytes):
    with pytest.raises((Lied, Died)):
        read_all(io.BytesIO(noise))


def test_a_length_is_checked_before_room_is_made_for_it():
    huge = HEAD + struct.pack(contract.FRAME, contract.PAGE, 0xFFFFFFFF)
    with pytest.raises(Lied, match="longer than its bound"):
        read_all(io.BytesIO(huge))


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"0 0 100 100 word", ["word"]),
        ("0 0 100 100 日本語".encode(), ["日本語"]),
        (b"0 0 100 100 with spaces inside", ["with spaces inside"]),
        ("0 0 100 100 a\u202eb\u0000c".encode(), ["abc"]),
        (b"100 0 100 100 nothing wide", []),
        (b"0 0 999999 100 outside", []),
    ],
)
def test_text_outside_the_page_or_not_printable_is_left_out(line: bytes, kept: list[str]):
    stream = HEAD + page(text=line + b"\n") + frame(contract.END, struct.pack(">I", 1))
    assert [run.text for run in read_all(io.BytesIO(stream))[0].runs] == kept
