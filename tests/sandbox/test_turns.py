"""Messages take turns, a document each; too many waiting are refused; a turn is never lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from sandbox.client import SandboxBusyError
from sandbox.host.turns import Turns


async def under_way(turns: Turns, message: str, order: list[str], opened: asyncio.Event | None = None) -> None:
    async with turns.turn(message):
        order.append(message)
        await (opened.wait() if opened else asyncio.sleep(0))


async def test_a_message_of_many_documents_delays_another_by_one_document():
    turns, order, opened = Turns(1, 100), [], asyncio.Event()
    first = asyncio.create_task(under_way(turns, "holds the only place", order, opened))
    await asyncio.sleep(0)
    many = [asyncio.create_task(under_way(turns, "many", order)) for _ in range(5)]
    await asyncio.sleep(0)
    one = asyncio.create_task(under_way(turns, "one", order))
    await asyncio.sleep(0)
    opened.set()
    await asyncio.gather(first, *many, one)
    assert order.index("one") == 2  # after the one that had the place, and the first of the many


async def test_no_more_than_so_many_are_under_way():
    turns, now, most = Turns(3, 1000), 0, 0

    async def document(message: str) -> None:
        nonlocal now, most
        async with turns.turn(message):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.001)
            now -= 1

    await asyncio.gather(*(document(str(number % 4)) for number in range(60)))
    assert (most, now, turns.waiting) == (3, 0, 0)


async def test_one_too_many_is_refused_and_the_others_have_their_turn():
    turns, order, opened = Turns(1, 2), [], asyncio.Event()
    tasks = [asyncio.create_task(under_way(turns, name, order, opened)) for name in "abc"]
    await asyncio.sleep(0)
    with pytest.raises(SandboxBusyError, match="2 documents wait"):
        async with turns.turn("d"):
            pass
    opened.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]


async def test_who_leaves_the_line_takes_no_turn_and_loses_none():
    generator = random.Random(4)
    turns, ended = Turns(2, 1000), 0

    async def document(message: str) -> None:
        nonlocal ended
        async with turns.turn(message):
            await asyncio.sleep(generator.random() / 500)
            ended += 1

    tasks = [asyncio.create_task(document(str(number % 7))) for number in range(200)]
    for task in generator.sample(tasks, 100):
        await asyncio.sleep(generator.random() / 1000)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert ended == sum(result is None for result in results)
    # all places are free again
    async with turns.turn("x"), turns.turn("y"):
        assert turns.waiting == 0


async def test_a_turn_that_is_called_up_while_it_is_cancelled_goes_to_the_next():
    turns, order = Turns(1, 10), []
    holder = turns.turn("holder")
    await holder.__aenter__()
    leaves = asyncio.create_task(under_way(turns, "leaves", order))
    stays = asyncio.create_task(under_way(turns, "stays", order))
    await asyncio.sleep(0)
    await holder.__aexit__(None, None, None)  # calls up the first in line
    leaves.cancel()  # before it could run
    await asyncio.gather(leaves, stays, return_exceptions=True)
    assert order == ["stays"]
