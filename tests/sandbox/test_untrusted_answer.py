"""The only reader of a sandbox's bytes, fuzzed: whatever comes, it ends in a page, a lie, a death or a refusal."""

from __future__ import annotations

import io
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import contract
from sandbox.client import Form, Limits, Member, Room
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


# --- containers ---

ROOM = Room(3, 20)
CONTAINER = frame(contract.CONTAINER, bytes([contract.ARCHIVE]))


def member(name: bytes, *pieces: bytes, left: bytes | None = None) -> bytes:
    sent = frame(contract.MEMBER, name) + b"".join(frame(contract.BYTES, piece) for piece in pieces)
    return sent + (b"" if left is None else frame(contract.LEFT, left))


def end(count: int) -> bytes:
    return frame(contract.END, struct.pack(">I", count))


HELD = (
    HEAD + frame(contract.OPENED) + CONTAINER
    + member(b"a.txt", b"fir", b"st") + member("d/ü".encode(), b"lost", left=b"corrupt") + member(b"", b"last") + end(3)
)  # fmt: skip


def unpack_all(stream, room: Room = ROOM) -> tuple[Form | None, list[Member], bytes]:
    answer = Answer(stream, LIMITS)
    answer.hello()
    answer.found()
    answer.opened()
    form, file = answer.container(), io.BytesIO()
    members = list(answer.members(form, room, file)) if form else list(answer.pages())
    return form, members, file.getvalue()


@given(step=st.integers(1, 40))
def test_members_read_the_same_however_they_are_cut_and_what_was_left_leaves_nothing(step: int):
    form, members, content = unpack_all(Trickle(HELD, step))
    assert form is Form.ARCHIVE
    assert members == [Member("a.txt", 0, 5), Member("d/ü", 5, 0, "corrupt"), Member("", 5, 4)]
    assert content == b"firstlast"


@given(st.data())
def test_a_bent_container_ends_in_a_lie_a_death_or_a_refusal_or_within_its_room(data):
    bent = bytearray(HELD)
    for _ in range(data.draw(st.integers(1, 4))):
        bent[data.draw(st.integers(len(HEAD), len(bent) - 1))] = data.draw(st.integers(0, 255))
    try:
        form, members, content = unpack_all(io.BytesIO(bytes(bent)))
    except (Lied, Died, Refused):
        return
    if form:
        assert 0 < len(members) <= ROOM.members
        assert sum(one.size for one in members) == len(content) <= ROOM.bytes
        assert all(len(one.untrusted_name.encode()) <= contract.MAX_NAME for one in members)


def only(form: int) -> bytes:
    return HEAD + frame(contract.CONTAINER, bytes([form]))


CONTAINER_LIES = {
    "more members than there is room for": HEAD + CONTAINER + member(b"a") * 4 + end(4),
    "more bytes": HEAD + CONTAINER + member(b"a", b"x" * 21) + end(1),
    "more bytes in all": HEAD + CONTAINER + member(b"a", b"x" * 11) * 2 + end(2),
    "more bytes, those that were left counted": HEAD
    + CONTAINER
    + member(b"a", b"x" * 11, left=b"corrupt") * 2
    + end(2),
    "a frame of no bytes": HEAD + CONTAINER + member(b"a", b"") + end(1),
    "a name that is too long": HEAD + CONTAINER + member(b"x" * (contract.MAX_NAME + 1)) + end(1),
    "a name that is not UTF-8": HEAD + CONTAINER + member(b"\xff") + end(1),
    "half of a pair in a name": HEAD + CONTAINER + member(b"\xed\xa0\x80") + end(1),
    "a form that is none": only(9) + member(b"a") + end(1),
    "the form nought": only(0) + member(b"a") + end(1),
    "a form of two bytes": HEAD + frame(contract.CONTAINER, b"\0\1") + member(b"a") + end(1),
    "no form": HEAD + frame(contract.CONTAINER) + member(b"a") + end(1),
    "bytes before a member": HEAD + CONTAINER + frame(contract.BYTES, b"x") + end(1),
    "left before a member": HEAD + CONTAINER + frame(contract.LEFT, b"corrupt") + end(1),
    "left twice": HEAD + CONTAINER + member(b"a", left=b"corrupt") + frame(contract.LEFT, b"corrupt") + end(1),
    "bytes after it was left": HEAD + CONTAINER + member(b"a", left=b"corrupt") + frame(contract.BYTES, b"x") + end(1),
    "left for the host's reason": HEAD + CONTAINER + member(b"a", left=b"deadline") + end(1),
    "left for no reason": HEAD + CONTAINER + member(b"a", left=b"") + end(1),
    "no member": HEAD + CONTAINER + end(0),
    "a member less than counted": HEAD + CONTAINER + member(b"a") + end(2),
    "a member more than counted": HEAD + CONTAINER + member(b"a") * 2 + end(1),
    "a container in a container": HEAD + CONTAINER + CONTAINER + member(b"a") + end(1),
    "a page in a container": HEAD + CONTAINER + page() + end(1),
    "a byte after the end": HEAD + CONTAINER + member(b"a") + end(1) + b"x",
    "a member after a page": HEAD + page() + member(b"a") + end(1),
    "a container after a page": HEAD + page() + CONTAINER + member(b"a") + end(1),
    "two messages in one": only(contract.MESSAGE) + member(b"") * 2 + end(2),
    "two sets of parts": only(contract.PARTS) + member(b"") * 2 + end(2),
    "two wrapped files": only(contract.WRAPPER) + member(b"a") * 2 + end(2),
    "a message that is left": only(contract.MESSAGE) + member(b"", left=b"corrupt") + end(1),
    "a chunk of 4 GiB": HEAD + CONTAINER + member(b"a") + struct.pack(contract.FRAME, contract.BYTES, 0xFFFFFFFF),
    "a name of 4 GiB": HEAD + CONTAINER + struct.pack(contract.FRAME, contract.MEMBER, 0xFFFFFFFF),
}


@pytest.mark.parametrize("stream", CONTAINER_LIES.values(), ids=CONTAINER_LIES)
def test_a_container_that_breaks_the_contract_is_a_lie(stream: bytes):
    with pytest.raises(Lied):
        unpack_all(io.BytesIO(stream))


def test_a_room_of_one_kind_is_none_of_the_other():
    assert unpack_all(io.BytesIO(HEAD + CONTAINER + member(b"a", b"x" * 20) + end(1)))[2] == b"x" * 20
    assert len(unpack_all(io.BytesIO(HEAD + CONTAINER + member(b"a") * 3 + end(3)), Room(3, 0))[1]) == 3
    with pytest.raises(Lied, match="more members"):
        unpack_all(io.BytesIO(only(contract.MESSAGE) + member(b"") + end(1)), Room(0, 20))


def test_a_refusal_among_members_is_heard():
    with pytest.raises(Refused, match="too_many_members"):
        unpack_all(io.BytesIO(HEAD + CONTAINER + member(b"a") * 3 + frame(contract.FAILED, b"too_many_members")))
