"""Command lines out of a stream."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smtp.command_reader import CommandReader


def reader(data: bytes, limit: int = 100, *, ended: bool = True) -> CommandReader:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    if ended:
        stream.feed_eof()
    return CommandReader(stream, limit)


async def test_lines_come_one_by_one():
    lines = reader(b"EHLO x\r\nQUIT\r\n")
    assert [await lines.readuntil(), await lines.readuntil()] == [b"EHLO x\r\n", b"QUIT\r\n"]


@pytest.mark.parametrize("line", [b"NOOP\n", b"NO\rOP\r\n", b"NO\0OP\r\n", b"\n", b"NOOP\r\r\n"])
async def test_a_line_that_is_not_strict_is_an_empty_one(line):
    assert await reader(line).readuntil() == b"\r\n"


async def test_the_end_of_the_stream_ends_the_session():
    with pytest.raises(asyncio.CancelledError):
        await reader(b"half a line").readuntil()


async def test_what_is_given_back_comes_first():
    lines = reader(b"SECOND\r\n")
    lines.unread(b"FIRST\r\n")
    assert [await lines.readuntil(), await lines.readuntil()] == [b"FIRST\r\n", b"SECOND\r\n"]


async def test_after_close_nothing_comes():
    lines = reader(b"ONE\r\nTWO\r\n", ended=False)
    await lines.readuntil()
    lines.close()
    with pytest.raises(asyncio.CancelledError):
        await lines.readuntil()


async def test_an_endless_line_is_given_up_at_its_bound():
    with pytest.raises(asyncio.LimitOverrunError) as error:
        await reader(b"x" * 1000).readuntil()
    assert error.value.consumed <= 65536


@given(data=st.binary(max_size=200))
def test_whatever_comes_every_line_handed_on_is_strict(data):
    async def read() -> None:
        lines = reader(data, limit=1000)
        while True:
            try:
                line = await lines.readuntil()
            except asyncio.CancelledError:
                return
            assert line.endswith(b"\r\n")
            assert not set(line[:-2]) & set(b"\r\n\0")

    asyncio.run(read())
