"""Replies of the next hop, read out of any bytes in any pieces."""

from __future__ import annotations

import asyncio
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import RelaySettings
from gateway.outcome import Kind
from gateway.smtp.address import Address
from gateway.smtp.hop import Hop, LostError

ADDRESS = Address("lmtp", "127.0.0.1", 24)


class Wire(asyncio.Transport):
    """What would be sent is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data):
        self.sent += data

    def is_closing(self):
        return False

    def abort(self):
        return None

    def close(self):
        return None


def connected() -> Hop:
    hop = Hop(ADDRESS, RelaySettings())
    hop.connection_made(Wire())
    return hop


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(at)]


async def heard(hop: Hop, number: int) -> list[tuple[int, str] | Kind]:
    found: list = []
    for _ in range(number):
        try:
            reply = await hop.answer("test", 0.01)
            found.append((reply.code, reply.message))
        except LostError as lost:
            found.append(lost.outcome.kind)
    return found


REPLIES = st.lists(
    st.tuples(
        st.sampled_from([220, 250, 354, 450, 554]),
        st.lists(st.sampled_from(["", "x", "2.0.0 Ok"]), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=5,
)


def written(code: int, lines: list[str]) -> bytes:
    last = len(lines) - 1
    return b"".join(f"{code}{' ' if n == last else '-'}{line}\r\n".encode() for n, line in enumerate(lines))


@given(replies=REPLIES, cuts=st.lists(st.integers(0, 300), max_size=8))
@settings(max_examples=150, deadline=None)
def test_replies_are_the_same_however_they_are_cut(replies, cuts):
    async def run():
        hop = connected()
        hop._due = len(replies)
        for piece in pieces(b"".join(written(*reply) for reply in replies), cuts):
            hop.data_received(piece)
        return await heard(hop, len(replies)), hop.usable

    found, usable = asyncio.run(run())
    assert [code for code, _ in found] == [code for code, _ in replies]
    assert usable


@given(
    data=st.binary(max_size=200) | st.text("0123456789- \r\nxO", max_size=60).map(str.encode),
    cuts=st.lists(st.integers(0, 300), max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_reply_or_a_lost_session_and_never_more_replies_than_were_due(data, cuts):
    async def run():
        hop = connected()  # the greeting is due
        for piece in pieces(data, cuts):
            hop.data_received(piece)
        [first] = await heard(hop, 1)
        [second] = await heard(hop, 1)
        return hop, first, second

    hop, first, second = asyncio.run(run())
    assert isinstance(second, Kind)
    if not isinstance(first, Kind):
        assert 0 <= first[0] <= 999
    if re.search(rb"(?s)\n.*\n", data) and not re.match(rb"\d\d\d-", data):  # a line and one more
        assert hop.broken


async def test_a_reply_without_end_takes_bounded_memory_and_loses_the_session():
    hop = connected()
    for _ in range(1000):
        hop.data_received(b"250-" + b"x" * 1000 + b"\r\n")
    assert len(hop._unfinished) <= 34_000
    assert await heard(hop, 1) == [Kind.NEXT_HOP_GARBLED]
    assert not hop.usable


async def test_replies_that_nobody_asked_for_are_not_kept():
    hop = connected()
    hop.data_received(b"220 hello\r\n" + b"250 ok\r\n" * 10_000)
    assert len(hop._ready) <= 1
    assert hop.broken
    with pytest.raises(LostError):
        await hop.ask("MAIL", 1, b"MAIL FROM:<a@b>")


async def test_no_control_character_gets_into_a_command():
    hop = connected()
    hop.data_received(b"220 hello\r\n")
    await heard(hop, 1)
    for command in (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>", b"NO\0OP", b"NOOP\n"):
        with pytest.raises(ValueError, match="control character"):
            await hop.ask("MAIL", 1, command)
    assert hop.transport.sent == b""
