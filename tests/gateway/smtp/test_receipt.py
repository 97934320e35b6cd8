"""Whether a client has heard us: told once, and only what can be known."""

from __future__ import annotations

import asyncio

import pytest

from gateway.smtp import receipt
from gateway.smtp.receipt import Receipt


@pytest.fixture
def told():
    return []


def expecting(told, *, pipelined=False):
    made = Receipt()
    made.expect(told.append, pipelined=pipelined)
    return made


def test_a_command_says_so_once(told):
    made = expecting(told)
    made.command_came()
    made.command_came()
    made.settle(heard=False)
    assert told == [True]


def test_a_command_that_was_pipelined_says_nothing(told):
    made = expecting(told, pipelined=True)
    made.command_came()
    assert told == []
    made.settle(heard=False)
    assert told == [False]


def test_the_next_message_of_a_pipelining_client_says_so(told):
    made = expecting(told, pipelined=True)
    made.expect(None, pipelined=True)
    assert told == [True]


def test_a_lost_connection_says_nothing(told):
    made = expecting(told)
    assert not made.ending(None)
    made.settle(heard=False)
    assert told == [False]


def test_a_reply_that_nobody_asks_about_is_not_told(told):
    made = Receipt()
    made.expect(None, pipelined=False)
    made.command_came()
    made.settle(heard=False)
    assert told == []


@pytest.mark.parametrize("reads", [True, False])
async def test_over_a_unix_socket_it_has_arrived_when_it_was_read(told, tmp_path, monkeypatch, reads):
    monkeypatch.setattr(receipt, "SECONDS", 0.2)
    made = expecting(told, pipelined=True)
    ended = asyncio.Event()

    async def serve(_, writer):
        writer.write(b"250 Ok\r\n")
        await made.wait(writer.transport)
        writer.close()
        ended.set()

    async with await asyncio.start_unix_server(serve, tmp_path / "socket"):
        _, writer = await asyncio.open_unix_connection(tmp_path / "socket")
        if not reads:
            writer.transport.pause_reading()
        await asyncio.wait_for(ended.wait(), 5)
        writer.close()
    assert told == ([True] if reads else [])
