"""What the gateway makes of a sandbox service that lies, stalls, floods or dies: nothing, in bounded time and tries."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from sandbox import contract, remote
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
from sandbox.remote import RemoteSandbox, examine_service
from tests.fakes.service import held, hostile_service, reply, settings_for, short_directory

PDF = b"%PDF-1.7 " + b"safe " * 100


def said(**values) -> bytes:
    return json.dumps(values).encode()


async def test_a_whole_answer_becomes_the_file(tmp_path):
    async with hostile_service(reply(200, PDF)) as (sandbox, documents):
        result = await sandbox.flatten(b"document", tmp_path / "out.pdf")
    assert result == Flattened(tmp_path / "out.pdf", "application/pdf", "text/plain", 1, len(PDF), 0.25)
    assert (tmp_path / "out.pdf").read_bytes() == PDF
    assert documents == [b"document"]


async def test_a_reason_becomes_a_value(tmp_path):
    body = said(reason=contract.CORRUPT, found="", seconds=1)
    async with hostile_service(reply(422, body)) as (sandbox, _):
        assert await sandbox.flatten(b"x", tmp_path / "out") == NotFlattened(contract.CORRUPT, "", 1.0)


async def test_a_document_that_is_empty_or_too_large_is_not_even_sent(tmp_path):
    async with hostile_service(reply(200, PDF), limits={"document_bytes": 5}) as (sandbox, documents):
        assert await sandbox.flatten(b"", tmp_path / "out") == NotFlattened(contract.EMPTY, "", 0.0)
        assert await sandbox.flatten(b"123456", tmp_path / "out") == NotFlattened(contract.DOCUMENT_TOO_LARGE, "", 0.0)
    assert documents == []


PNG = b"\x89PNG\r\n\x1a\n pixels"
LIES = {
    "another media type": reply(200, PDF, Content_Type="text/html"),
    "a picture where a PDF is due": reply(200, PNG, Content_Type="image/png"),
    "a PDF that is none": reply(200, b"<html>" + PDF),
    "no length": reply(200, PDF, Content_Length=None),
    "a length past the bound": reply(200, PDF, Content_Length="2000"),
    "a length of nothing": reply(200, b"", Content_Length="0"),
    "a length that is no number": reply(200, PDF, Content_Length="\u0661".encode().decode("latin-1")),
    "two lengths": reply(200, PDF, Content_Length=f"{len(PDF)}\r\nContent-Length: 7"),
    "chunks": reply(200, b"5\r\n%PDF-\r\n0\r\n\r\n", Content_Length=None, Transfer_Encoding="chunked"),
    "packed": reply(200, PDF, Content_Encoding="gzip"),
    "no digest": reply(200, PDF, Content_Digest=None),
    "a digest that is none": reply(200, PDF, Content_Digest="sha-256=:AAAA:"),
    "no type of what was found": reply(200, PDF, Lazaretto_Found=None),
    "a type with a comma": reply(200, PDF, Lazaretto_Found="text/plain, text/html"),
    "no pages": reply(200, PDF, Lazaretto_Pages="0"),
    "more pages than the bound": reply(200, PDF, Lazaretto_Pages="4"),
    "pages of another script": reply(200, PDF, Lazaretto_Pages="-1"),
    "seconds without end": reply(200, PDF, Lazaretto_Seconds="inf"),
    "a reason that is none": reply(422, said(reason="because", found="", seconds=0)),
    "a reason that is a list": reply(422, said(reason=["corrupt"], found="", seconds=0)),
    "a type that is a line": reply(422, said(reason="corrupt", found="text/plain\n", seconds=0)),
    "seconds that are none": reply(422, b'{"reason": "corrupt", "found": "", "seconds": NaN}'),
    "seconds that are true": reply(422, said(reason="corrupt", found="", seconds=True)),
    "a reason in a list": reply(422, b'["corrupt"]'),
    "a reason that is no JSON": reply(422, b"corrupt"),
    "JSON that is deep": reply(422, b"[" * 4000),
    "a reason of a megabyte": reply(422, said(reason="corrupt", found="", seconds=0, more="x" * (1 << 20))),
    "a problem that is none": reply(503, said(problem="tired", detail="")),
    "a problem without a word": reply(503, b""),
    "elsewhere": reply(307, b"", Location="http://127.0.0.1:1/v3/pdf"),
    "another version": reply(404, b""),
    "nothing": reply(204, b""),
    "no HTTP": b"220 mail.example.org ESMTP\r\n\r\n",
    "fields without end": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
    "a field without end": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 1_000_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("answer", LIES.values(), ids=LIES)
async def test_a_lie_is_the_houses_own_failure_and_leaves_no_file(answer: bytes, tmp_path):
    limits = {"output_bytes": 1000, "pages": 3}
    async with hostile_service(answer, limits=limits) as (sandbox, documents):
        with pytest.raises(SandboxUnavailableError, match="the sandbox service at unix:"):
            await sandbox.flatten(b"document", tmp_path / "out.pdf")
    assert list(tmp_path.iterdir()) == []
    assert len(documents) <= 2


async def test_for_a_picture_only_pictures_are_taken(tmp_path):
    async with hostile_service(reply(200, PNG, Content_Type="image/png"), reply(200, PDF)) as (sandbox, _):
        result = await sandbox.flatten(b"x", tmp_path / "out", Want.IMAGE)
        assert isinstance(result, Flattened)
        assert result.media_type == "image/png"
        with pytest.raises(SandboxUnavailableError):
            await sandbox.flatten(b"x", tmp_path / "second", Want.IMAGE)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


BROKEN = {
    "nothing": b"",
    "half a head": reply(200, PDF)[:30],
    "half a file": reply(200, PDF)[:-100],
    "a file that changed on its way": reply(200, PDF)[:-5] + b"fafe ",
    "half a reason": reply(422, said(reason="corrupt", found="", seconds=0))[:-3],
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_an_answer_that_stops_short_is_asked_for_once_more_and_no_third_time(answer: bytes, tmp_path):
    async with hostile_service(answer) as (sandbox, documents):
        with pytest.raises(SandboxUnavailableError, match="lost under 2 attempts"):
            await sandbox.flatten(b"document", tmp_path / "out.pdf")
    assert documents == [b"document"] * 2
    assert list(tmp_path.iterdir()) == []


async def test_between_two_attempts_a_dying_service_has_time_to_close_its_door(tmp_path):
    started = time.monotonic()
    async with hostile_service(b"", reply(200, PDF)) as (sandbox, _):
        assert isinstance(await sandbox.flatten(b"x", tmp_path / "out.pdf"), Flattened)
    assert time.monotonic() - started >= remote.LOST_PAUSE


async def test_the_second_attempt_is_as_good_as_the_first(tmp_path):
    async with hostile_service(reply(200, PDF)[:-1], reply(200, PDF)) as (sandbox, _):
        assert isinstance(await sandbox.flatten(b"x", tmp_path / "out.pdf"), Flattened)
    assert [path.name for path in tmp_path.iterdir()] == ["out.pdf"]


async def test_bytes_after_the_announced_end_void_the_answer(tmp_path):
    async with hostile_service(reply(200, PDF) + b"more") as (sandbox, _):
        with pytest.raises(SandboxUnavailableError):
            await sandbox.flatten(b"x", tmp_path / "out.pdf")
    assert list(tmp_path.iterdir()) == []


async def test_busy_is_told_apart_and_not_asked_again(tmp_path):
    async with hostile_service(reply(503, said(problem="busy", detail="7 wait"))) as (sandbox, documents):
        with pytest.raises(SandboxBusyError, match="7 wait"):
            await sandbox.flatten(b"x", tmp_path / "out")
    assert len(documents) == 1


async def test_the_services_own_line_is_made_printable_and_capped(tmp_path):
    body = said(problem="unavailable", detail="install\r\nrunc \x1b[31m" + "x" * 3000)
    async with hostile_service(reply(503, body)) as (sandbox, documents):
        with pytest.raises(SandboxUnavailableError, match="install runc") as error:
            await sandbox.flatten(b"x", tmp_path / "out")
    assert not isinstance(error.value, SandboxBusyError)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600
    assert len(documents) == 1


async def _silent(reader, writer):
    await asyncio.sleep(60)


async def _trickle(reader, writer):
    writer.write(reply(200, PDF)[:-50])
    for _ in range(600):
        await asyncio.sleep(0.1)
        writer.write(b"s")
        await writer.drain()


async def _preliminary(reader, writer):
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("say", [_silent, _trickle, _preliminary])
async def test_a_service_that_does_not_come_to_an_end_is_left(say, tmp_path):
    started = time.monotonic()
    async with hostile_service(say, answer_seconds=1.0) as (sandbox, documents):
        with pytest.raises(SandboxUnavailableError):
            await sandbox.flatten(b"x", tmp_path / "out")
    assert time.monotonic() - started < 15
    assert list(tmp_path.iterdir()) == []
    assert len(documents) <= 2


async def _flood(reader, writer):
    writer.write(reply(200, PDF, Content_Length="1000"))
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def test_a_flood_ends_at_what_was_announced(tmp_path):
    async with hostile_service(_flood) as (sandbox, _):
        with pytest.raises(SandboxUnavailableError):
            await sandbox.flatten(b"x", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


async def test_a_service_that_is_not_there_is_waited_for_and_no_longer_than_said(tmp_path):
    with short_directory() as directory:
        sandbox = RemoteSandbox(settings_for(f"unix:{directory}/s", retry_seconds=1.0))
        started = time.monotonic()
        with pytest.raises(SandboxUnavailableError, match="unix:"):
            await sandbox.flatten(b"x", tmp_path / "out")
        assert 0.3 < time.monotonic() - started < 10


async def test_a_service_that_comes_back_in_time_gets_the_document(tmp_path):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(200, PDF))
        await writer.drain()
        writer.close()

    with short_directory() as directory:
        sandbox = RemoteSandbox(settings_for(f"unix:{directory}/s", retry_seconds=20.0))
        asked = asyncio.create_task(sandbox.flatten(b"x", tmp_path / "out"))
        await asyncio.sleep(0.3)
        assert not asked.done()
        server = await asyncio.start_unix_server(answer, f"{directory}/s")
        assert isinstance(await asyncio.wait_for(asked, 20), Flattened)
        server.close()


async def test_a_call_that_is_cancelled_hangs_up(tmp_path):
    gone = asyncio.Event()

    async def wait_for_the_end(reader, writer):
        await reader.read()
        gone.set()

    async with hostile_service(wait_for_the_end) as (sandbox, documents):
        asked = asyncio.create_task(sandbox.flatten(b"x", tmp_path / "out"))
        for _ in range(200):
            if documents:
                break
            await asyncio.sleep(0.05)
        asked.cancel()
        await asyncio.wait_for(gone.wait(), 10)
        assert asked.cancelled() or (await asyncio.wait({asked}))
    assert list(tmp_path.iterdir()) == []


async def test_a_full_disk_is_told_as_such_and_not_as_a_service_that_was_lost():
    async with hostile_service(reply(200, PDF)) as (sandbox, documents):
        with pytest.raises(FileNotFoundError):
            await sandbox.flatten(b"x", Path("/nowhere/at/all"))
    assert len(documents) == 1


def test_a_service_that_is_not_there_is_one_finding_that_says_so():
    with short_directory() as directory:
        [finding] = examine_service(settings_for(f"unix:{directory}/s"))
    assert not finding.ok
    assert finding.needed
    assert f"unix:{directory}/s" in finding.found
    assert finding.mend


# --- what a container held ---

ROOM = Room(3, 100)
THREE = [["a/ü.txt", 5, ""], ["locked", 0, "encrypted"], ["", 4, ""]]


async def test_members_arrive_with_their_names_and_places(tmp_path):
    async with hostile_service(held(THREE, b"firstlast")) as (sandbox, _):
        result = await sandbox.flatten(b"x", tmp_path / "out", room=ROOM)
    members = (Member("a/ü.txt", 0, 5), Member("locked", 5, 0, "encrypted"), Member("", 5, 4))
    assert result == Unpacked(tmp_path / "out", Form.ARCHIVE, members, "text/plain", 9, 0.25)
    assert (tmp_path / "out").read_bytes() == b"firstlast"


async def test_a_safe_file_is_taken_though_there_was_room(tmp_path):
    async with hostile_service(reply(200, PDF)) as (sandbox, _):
        assert isinstance(await sandbox.flatten(b"x", tmp_path / "out", room=ROOM), Flattened)


FEIGNED = {
    "no index": reply(200, b"x", Content_Type="application/vnd.lazaretto.members"),
    "an index of nothing": held(THREE, b"firstlast", Lazaretto_Index="0"),
    "an index past the body": held(THREE, b"firstlast", Lazaretto_Index="500"),
    "an index past its bound": held(THREE, b"firstlast", Lazaretto_Index="99999999"),
    "half an index": held(THREE, b"firstlast", Lazaretto_Index="20"),
    "more members than there is room for": held([["a", 0, ""]] * 4, b""),
    "more bytes than there is room for": held([["a", 101, ""]], bytes(101)),
    "no member": held([], b""),
    "sizes that are less": held([["a", 4, ""]], b"first"),
    "sizes that are more": held([["a", 6, ""]], b"first"),
    "a size below nothing": held([["a", -1, ""], ["b", 6, ""]], b"first"),
    "a size that is true": held([["a", True, ""]], b"x"),
    "a size with a point": held([["a", 1.0, ""]], b"x"),
    "a name that is a number": held([[1, 1, ""]], b"x"),
    "a name that is too long": held([["x" * 1025, 1, ""]], b"x"),
    "half of a pair in a name": held([["\ud800", 1, ""]], b"x"),
    "a reason that is none": held([["a", 0, "because"]], b""),
    "a reason for what is there": held([["a", 1, "corrupt"]], b"x"),
    "a member of two fields": held([["a", 1]], b"x"),
    "a member that is a word": held(["abc"], b""),
    "members in an object": held({"a": 1}, b""),
    "a form that is none": held([["a", 1, ""]], b"x", form=5),
    "a form that is true": held([["a", 1, ""]], b"x", form=True),
    "a form in a list": held([["a", 1, ""]], b"x", form=[1]),
    "two messages in one": held([["", 1, ""], ["", 0, ""]], b"x", form=2),
    "a message that is not there": held([["", 0, "corrupt"]], b"", form=2),
}


@pytest.mark.parametrize("answer", FEIGNED.values(), ids=FEIGNED)
async def test_a_lie_about_members_is_the_houses_own_failure_and_leaves_no_file(answer: bytes, tmp_path):
    async with hostile_service(answer) as (sandbox, _):
        with pytest.raises(SandboxUnavailableError, match="the sandbox service at unix:"):
            await sandbox.flatten(b"document", tmp_path / "out", room=ROOM)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", [{}, {"want": Want.IMAGE, "room": ROOM}])
async def test_members_that_nobody_asked_for_are_a_lie(asked, tmp_path):
    async with hostile_service(held(THREE, b"firstlast")) as (sandbox, _):
        with pytest.raises(SandboxUnavailableError, match="media type"):
            await sandbox.flatten(b"x", tmp_path / "out", **asked)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [held(THREE, b"firstlast")[:-3], held(THREE, b"firstlast")[:-4] + b"lust"])
async def test_members_that_do_not_arrive_whole_are_asked_for_once_more(answer: bytes, tmp_path):
    async with hostile_service(answer, held(THREE, b"firstlast")) as (sandbox, documents):
        assert isinstance(await sandbox.flatten(b"x", tmp_path / "out", room=ROOM), Unpacked)
    assert len(documents) == 2
