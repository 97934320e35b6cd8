"""What the service says to those who ask, and what clients that stall, flood or leave cost it: a place, for a while."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace

import pytest

from sandbox import contract
from sandbox.client import (
    Flattened,
    Form,
    Member,
    NotFlattened,
    Room,
    SandboxBusyError,
    SandboxUnavailableError,
    Unpacked,
    Want,
)
from sandbox.host import door as door_module
from tests.fakes import sandbox as fake
from tests.fakes.sandbox import FakeSandbox
from tests.fakes.service import serving_door


async def talk(path, request: bytes, *, seconds: float = 15) -> tuple[int, dict[str, str], bytes]:
    """One request as bytes; status, fields and body of the answer."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(request)
        return parsed(await asyncio.wait_for(reader.read(), seconds))
    finally:
        writer.close()


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


def post(document: bytes, want: str = "pdf", **fields) -> bytes:
    chosen = {"Content-Length": len(document), **{name.replace("_", "-"): value for name, value in fields.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in chosen.items() if value is not None)
    return f"POST /v3/{want} HTTP/1.1\r\nHost: sandbox\r\n{lines}\r\n".encode() + document


async def until(condition, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is the other side's
            await asyncio.sleep(0.02)


async def test_a_document_comes_back_as_its_safe_file(tmp_path):
    sandbox = FakeSandbox(size=3_000_000)
    async with serving_door(sandbox) as (client, _, _):
        result = await client.flatten(b"document", tmp_path / "out.pdf", message="letter-1", charset="koi8-r")
    safe = fake.SAFE_PDF.ljust(3_000_000, b".")
    assert result == Flattened(tmp_path / "out.pdf", "application/pdf", "application/x-found", 3, len(safe), 0.25)
    assert (tmp_path / "out.pdf").read_bytes() == safe
    assert (sandbox.documents, sandbox.messages, sandbox.charsets) == ([b"document"], ["letter-1"], ["koi8-r"])


async def test_a_picture_comes_back_as_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(fake, "SAFE_PNG", b"\x89PNG\r\n\x1a\n")
    async with serving_door(FakeSandbox()) as (client, _, _):
        result = await client.flatten(b"document", tmp_path / "out", Want.IMAGE)
    assert isinstance(result, Flattened)
    assert result.media_type == "image/png"


@pytest.mark.parametrize("reason", sorted(contract.REASONS))
async def test_every_reason_of_the_contract_comes_through(reason, tmp_path):
    async with serving_door(FakeSandbox({b"x": reason})) as (client, _, _):
        assert await client.flatten(b"x", tmp_path / "out") == NotFlattened(reason, "application/x-found", 0.5)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(fake.UNAVAILABLE, "install runc"), (fake.FULL_DISK, "No space left"), (fake.BUG, "a fault of the service")],
)
async def test_a_broken_house_is_one_clear_line(answer, words, tmp_path):
    async with serving_door(FakeSandbox({b"x": answer})) as (client, opened, _):
        with pytest.raises(SandboxUnavailableError, match=words) as error:
            await client.flatten(b"x", tmp_path / "out")
        assert "secret internals" not in str(error.value)
        assert opened.places.taken == 0
        assert isinstance(await client.flatten(b"next", tmp_path / "out"), Flattened)


async def test_busy_is_a_status_with_its_own_word_and_when_to_come_again():
    async with serving_door(FakeSandbox({b"x": fake.BUSY})) as (_, _, path):
        status, fields, body = await talk(path, post(b"x"))
    assert (status, fields["Retry-After"]) == (503, "30")
    assert json.loads(body)["problem"] == "busy"


async def test_as_many_wait_as_may_and_one_more_is_sent_away_unread(tmp_path):
    sandbox = FakeSandbox({b"x": fake.HANG})
    async with serving_door(sandbox, concurrency=1, max_waiting=2) as (client, opened, _):
        waiting = [asyncio.create_task(client.flatten(b"x", tmp_path / str(n))) for n in range(3)]
        await until(lambda: opened.places.taken == 3)
        with pytest.raises(SandboxBusyError, match="3 documents"):
            await client.flatten(bytes(3_000_000), tmp_path / "one more")
        assert len(sandbox.documents) <= 3
        for task in waiting:
            task.cancel()
        await until(lambda: opened.places.taken == 0)
        assert isinstance(await client.flatten(b"y", tmp_path / "y"), Flattened)


async def test_documents_may_fill_their_bound_of_memory_and_no_more(tmp_path):
    async with serving_door(FakeSandbox({b"x": fake.HANG}), max_memory_bytes=1000) as (client, opened, _):
        first = asyncio.create_task(client.flatten(b"x" * 600, tmp_path / "1"))
        await until(lambda: opened.places.taken == 1)
        with pytest.raises(SandboxBusyError):
            await client.flatten(b"y" * 600, tmp_path / "2")
        first.cancel()
        await until(lambda: opened.places.taken == 0)
        # alone it goes through, or it never would
        assert isinstance(await client.flatten(b"y" * 5000, tmp_path / "2"), Flattened)


ODD = {
    "another resource": (b"POST /v3/word HTTP/1.1\r\nHost: s\r\nContent-Length: 1\r\n\r\nx", 404),
    "another version": (b"POST /v1/pdf HTTP/1.1\r\nHost: s\r\nContent-Length: 1\r\n\r\nx", 404),
    "a room of words": (post(b"x", Lazaretto_Room="members=many, bytes=1"), 400),
    "a room of too many": (post(b"x", Lazaretto_Room="members=10001, bytes=1"), 400),
    "half a room": (post(b"x", Lazaretto_Room="members=1"), 400),
    "another method": (b"PUT /v3/pdf HTTP/1.1\r\nHost: s\r\nContent-Length: 1\r\n\r\nx", 405),
    "no length": (post(b"0\r\n\r\n", Content_Length=None, Transfer_Encoding="chunked"), 411),
    "packed": (post(b"x", Content_Encoding="gzip"), 415),
    "a message of too many characters": (post(b"x", Lazaretto_Message="m" * 65), 400),
    "a message of two words": (post(b"x", Lazaretto_Message="a b"), 400),
    "a charset of two words": (post(b"x", Lazaretto_Charset="koi8 r"), 400),
    "a charset of too many characters": (post(b"x", Lazaretto_Charset="k" * 41), 400),
    "no HTTP": (b"EHLO client.test\r\n\r\n", 400),
    "fields without end": (b"POST /v3/pdf HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", 400),
    "a field without end": (b"POST /v3/pdf HTTP/1.1\r\nA: " + b"b" * 20_000 + b"\r\n\r\n", 400),
    "both lengths": (post(b"0\r\n\r\n", Transfer_Encoding="chunked"), 400),
}


@pytest.mark.parametrize(("request_", "status"), ODD.values(), ids=ODD)
async def test_a_request_that_is_none_reaches_no_sandbox(request_, status):
    sandbox = FakeSandbox()
    async with serving_door(sandbox) as (_, opened, path):
        assert (await talk(path, request_))[0] == status
        assert (sandbox.documents, opened.places.taken) == ([], 0)


async def test_too_large_a_document_is_refused_before_it_is_read():
    sandbox = FakeSandbox()
    async with serving_door(sandbox, limits={"document_bytes": 10}) as (_, _, path):
        status, _, body = await talk(path, post(b"x" * 11))
    assert (status, json.loads(body)["reason"]) == (422, contract.DOCUMENT_TOO_LARGE)
    assert sandbox.documents == []


async def test_a_client_that_never_speaks_is_left(monkeypatch):
    monkeypatch.setattr(door_module, "HEAD_SECONDS", 0.5)
    async with serving_door(FakeSandbox()) as (_, _, path):
        for half in (b"", b"POST /v3/pdf HTT", b"POST /v3/pdf HTTP/1.1\r\nHost: s\r\n"):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(half)
            await asyncio.wait_for(reader.read(), 10)  # ends
            writer.close()


async def test_a_document_that_does_not_arrive_gives_its_place_back(monkeypatch):
    monkeypatch.setattr(door_module, "LINGER_SECONDS", 0.5)
    sandbox = FakeSandbox()
    async with serving_door(sandbox, transfer_seconds=0.5) as (_, opened, path):
        status, _, _ = await talk(path, post(b"half", Content_Length=1000))
        assert (status, opened.places.taken, sandbox.documents) == (408, 0, [])


async def test_a_client_that_sends_half_and_closes_its_side_gives_its_place_back():
    sandbox = FakeSandbox()
    async with serving_door(sandbox) as (_, opened, path):
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.write(post(b"half", Content_Length=1000))
        await until(lambda: opened.places.taken == 1)
        writer.write_eof()
        await until(lambda: opened.places.taken == 0)
        writer.close()
        assert sandbox.documents == []


async def test_a_client_that_leaves_cancels_its_document(tmp_path):
    sandbox = FakeSandbox({b"x": fake.HANG})
    async with serving_door(sandbox) as (_, opened, path):
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.write(post(b"x"))
        await until(lambda: sandbox.at_once == 1)
        writer.close()
        await until(lambda: sandbox.at_once == 0)
        assert opened.places.taken == 0
        assert list(opened._workplace.iterdir()) == []


async def test_more_than_was_announced_is_not_read_as_the_document():
    sandbox = FakeSandbox()
    async with serving_door(sandbox) as (_, _, path):
        await talk(path, post(b"document") + b"and more" * 10_000)
    assert set(sandbox.documents) <= {b"document"}  # refused altogether where it came in one piece


async def test_one_connection_carries_one_document():
    sandbox = FakeSandbox()
    async with serving_door(sandbox) as (_, _, path):
        await talk(path, post(b"first") + post(b"second"))
    assert sandbox.documents == [b"first"]


async def test_a_client_that_does_not_take_its_answer_is_cut_off():
    async with serving_door(FakeSandbox(size=50_000_000), transfer_seconds=1.0) as (_, opened, path):
        reader, writer = await asyncio.open_unix_connection(str(path), limit=1024)
        writer.write(post(b"document"))
        await until(lambda: opened.places.taken == 1)
        await until(lambda: opened.places.taken == 0)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1 << 20):
                taken += len(chunk)
        assert taken < 50_000_000
        writer.close()


async def test_a_connection_too_many_hears_so(monkeypatch):
    monkeypatch.setattr(door_module, "SPARE_CONNECTIONS", 0)
    async with serving_door(FakeSandbox(), concurrency=1, max_waiting=1) as (_, opened, path):
        idle = [await asyncio.open_unix_connection(str(path)) for _ in range(2)]
        await until(lambda: len(opened._server.connections) == 2)
        status, fields, body = await talk(path, b"")
        assert (status, json.loads(body)["problem"], "Retry-After" in fields) == (503, "busy", True)
        for _, writer in idle:
            writer.close()


async def test_health_says_what_was_chosen_and_which_versions():
    async with serving_door(FakeSandbox(chosen="runc with gVisor systrap")) as (client, _, path):
        status, _, body = await talk(path, b"GET /v3/health HTTP/1.1\r\nHost: s\r\n\r\n")
        assert await client.health() == "Lazaretto 1.2.3, runc with gVisor systrap"
    assert (status, json.loads(body)) == (
        200,
        {"version": "1.2.3", "contract": contract.VERSION, "chosen": "runc with gVisor systrap", "documents": 0},
    )


async def test_before_a_sandbox_has_come_up_it_is_not_healthy():
    async with serving_door(FakeSandbox(chosen="")) as (client, _, _):
        with pytest.raises(SandboxUnavailableError, match="no sandbox has come up"):
            await client.health()


async def test_a_stop_lets_what_is_under_way_end_and_takes_nothing_more(tmp_path):
    sandbox = FakeSandbox()
    gate = asyncio.Event()
    answer = sandbox._answer

    async def slowly(*arguments):
        await gate.wait()
        return await answer(*arguments)

    sandbox._answer = slowly
    async with serving_door(sandbox) as (client, opened, path):
        asked = asyncio.create_task(client.flatten(b"x", tmp_path / "out"))
        await until(lambda: sandbox.at_once == 1)
        stopping = asyncio.create_task(opened.stop(20.0))
        await until(lambda: not path.exists())
        with pytest.raises(SandboxUnavailableError):
            await client.flatten(b"late", tmp_path / "late")
        gate.set()
        assert isinstance(await asked, Flattened)
        await asyncio.wait_for(stopping, 10)
        assert not opened._workplace.exists()


async def test_a_stop_does_not_wait_for_ever(tmp_path):
    sandbox = FakeSandbox({b"x": fake.HANG})
    async with serving_door(sandbox) as (client, opened, _):
        asked = asyncio.create_task(client.flatten(b"x", tmp_path / "out"))
        await until(lambda: sandbox.at_once == 1)
        await asyncio.wait_for(opened.stop(0.2), 10)
        assert sandbox.at_once == 0
        with pytest.raises(SandboxUnavailableError):
            await asked


# --- containers ---


class Container(FakeSandbox):
    """Whatever it is asked to unpack holds the same."""

    rooms: list[Room | None]

    async def flatten(self, untrusted_document, output, want=Want.PDF, *, message="", room=None, charset=""):
        self.rooms = [*getattr(self, "rooms", []), room]
        if room is None:
            return NotFlattened(contract.UNKNOWN_TYPE, "application/zip", 0.1)
        output.write_bytes(b"x" * 3_000_000 + b"last")
        members = (
            Member("a/\u202eü\n.txt", 0, 3_000_000),
            Member("b", 3_000_000, 0, "encrypted"),
            Member("", 3_000_000, 4),
        )
        return Unpacked(output, Form.ARCHIVE, members, "application/zip", 3_000_004, 0.25)


async def test_what_a_container_held_comes_back_as_it_was(tmp_path):
    sandbox = Container()
    async with serving_door(sandbox) as (client, _, _):
        result = await client.flatten(b"document", tmp_path / "out", room=Room(3, 4_000_000))
        direct = await sandbox.flatten(b"document", tmp_path / "direct", room=Room(3, 4_000_000))
    assert result == replace(direct, path=tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "direct").read_bytes()
    assert sandbox.rooms == [Room(3, 4_000_000)] * 2


async def test_room_is_for_documents_only_and_none_is_none(tmp_path):
    sandbox = Container()
    async with serving_door(sandbox) as (client, _, _):
        for asked in ({}, {"want": Want.IMAGE, "room": Room(1, 1)}):
            assert isinstance(await client.flatten(b"document", tmp_path / "out", **asked), NotFlattened)
    assert sandbox.rooms == [None, None]
