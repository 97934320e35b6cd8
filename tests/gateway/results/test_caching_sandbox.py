"""One conversion for all who ask; it outlives them, within bounds; a cache that does not work costs nothing but itself."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from gateway.config import CacheSettings
from gateway.results.sandbox import CachingSandbox
from sandbox import contract
from sandbox.client import (
    Flattened,
    Form,
    Member,
    NotFlattened,
    Room,
    SandboxUnavailableError,
    Unpacked,
    Want,
    unless_disguised,
)
from tests.fakes.sandbox import BUG, HANG, UNAVAILABLE, FakeSandbox


@pytest.fixture
def made(tmp_path):
    (tmp_path / "work").mkdir()

    def make(script=None, **keys):
        behind = FakeSandbox(script or {})
        given = CacheSettings(**{"directory": tmp_path / "results", **keys})
        return CachingSandbox(behind, given, tmp_path / "work"), behind

    return make


def left_over(tmp_path):
    return list((tmp_path / "work").iterdir())


async def until(true):
    for _ in range(300):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not come about")


async def asked(caching, output, document=b"document", **more):
    """Somebody who waits, as far as the sandbox."""
    waiting = sum(flight.waiting for flight in caching._flights.values())
    task = asyncio.create_task(caching.flatten(document, output, **more))
    await until(lambda: sum(flight.waiting for flight in caching._flights.values()) > waiting)
    await until(lambda: document in caching.behind.documents)
    return task


async def give_up(task):
    task.cancel()
    await asyncio.wait([task])


async def test_the_second_time_it_comes_from_the_cache_and_after_a_restart_too(made, tmp_path):
    for turn in range(2):
        caching, behind = made()
        for number in range(2):
            output = tmp_path / f"{turn}{number}"
            answer = await caching.flatten(b"document", output)
            assert isinstance(answer, Flattened)
            assert (answer.path, answer.pages, answer.size) == (output, 3, output.stat().st_size)
        assert len(behind.documents) == (turn == 0)
    assert left_over(tmp_path) == []


async def test_those_who_ask_at_once_share_one_conversion(made, tmp_path):
    caching, behind = made()
    outputs = [tmp_path / f"o{number}" for number in range(5)]
    answers = await asyncio.gather(*(caching.flatten(b"document", output) for output in outputs))
    assert behind.documents == [b"document"]
    assert [answer.path for answer in answers] == outputs
    assert len({output.read_bytes() for output in outputs}) == 1
    assert left_over(tmp_path) == []


async def test_another_document_another_want_and_another_fingerprint_are_other_conversions(made, tmp_path):
    caching, behind = made()
    await caching.flatten(b"document", tmp_path / "1")
    await caching.flatten(b"documenT", tmp_path / "2")
    assert (await caching.flatten(b"document", tmp_path / "3", Want.IMAGE)).media_type == "image/png"
    behind.fingerprint = "another image"
    await caching.flatten(b"document", tmp_path / "4")
    assert len(behind.documents) == 4


@pytest.mark.parametrize("reason", sorted(contract.REASONS))
async def test_reasons_of_a_moment_are_found_out_anew(made, tmp_path, reason):
    caching, behind = made({b"doc": reason})
    for _ in range(2):
        answer = await caching.flatten(b"document", tmp_path / "output")
        assert isinstance(answer, NotFlattened)
        assert (answer.reason, answer.found) == (reason, "application/x-found")
    moment = {"out_of_memory", "deadline", "sandbox_died", "sandbox_lied", "type_mismatch"}
    moment |= {"too_many_members", "unpacked_too_large"}
    assert len(behind.documents) == (2 if reason in moment else 1)


async def test_a_disguise_is_seen_for_one_name_and_does_not_destroy_the_result_for_the_other(made, tmp_path):
    caching, behind = made()
    for number in range(2):
        behind_pdf = await caching.flatten(b"words", tmp_path / f"pdf{number}")
        found = Flattened(behind_pdf.path, behind_pdf.media_type, "text/plain", 1, behind_pdf.size, 0.0)
        assert isinstance(unless_disguised(found, "trap.pdf"), NotFlattened)
        assert not behind_pdf.path.exists()
    one, other = await asyncio.gather(*(caching.flatten(b"words", tmp_path / name) for name in ("a", "b")))
    one.path.unlink()
    assert other.path.read_bytes()
    assert behind.documents == [b"words"]


async def test_who_goes_leaves_the_conversion_to_the_next_one(made, tmp_path):
    caching, behind = made({b"doc": HANG})
    await give_up(await asked(caching, tmp_path / "one"))
    second = await asked(caching, tmp_path / "two")
    behind.release.set()
    assert isinstance(await second, Flattened)
    assert (tmp_path / "two").exists()
    assert not (tmp_path / "one").exists()
    assert len(behind.documents) == 1
    await until(lambda: not left_over(tmp_path))


async def test_what_nobody_waits_for_ends_in_the_cache(made, tmp_path):
    caching, behind = made({b"doc": HANG})
    await give_up(await asked(caching, tmp_path / "one"))
    behind.release.set()
    await until(lambda: not caching._flights)
    behind.script = {b"doc": UNAVAILABLE}
    assert isinstance(await caching.flatten(b"document", tmp_path / "two"), Flattened)
    assert left_over(tmp_path) == []


async def test_no_more_go_on_than_the_bounds_say_and_those_that_are_ahead_stay(made, tmp_path):
    caching, behind = made({b"": HANG}, background_conversions=2)
    for number in range(4):
        await give_up(await asked(caching, tmp_path / f"{number}", b"%d" % number))
    await until(lambda: behind.at_once == 2)
    behind.release.set()
    await until(lambda: not caching._flights)
    behind.script = {b"": contract.CORRUPT}
    answers = [await caching.flatten(b"%d" % number, tmp_path / f"again{number}") for number in range(4)]
    assert [isinstance(answer, Flattened) for answer in answers] == [True, True, False, False]
    assert left_over(tmp_path) == []


async def test_the_documents_that_nobody_waits_for_are_bounded_in_bytes(made, tmp_path):
    caching, behind = made({b"": HANG}, background_bytes=100)
    await give_up(await asked(caching, tmp_path / "1", b"x" * 60))
    await give_up(await asked(caching, tmp_path / "2", b"y" * 60))
    await until(lambda: behind.at_once == 1)
    await caching.close()


async def test_one_who_still_waits_is_not_counted_nor_given_up(made, tmp_path):
    caching, behind = made({b"": HANG}, background_conversions=1)
    waits = await asked(caching, tmp_path / "waits", b"0")
    for number in (1, 2, 3):
        await give_up(await asked(caching, tmp_path / f"{number}", b"%d" % number))
    await until(lambda: behind.at_once == 2)
    behind.release.set()
    assert isinstance(await waits, Flattened)


async def test_at_the_end_all_that_is_under_way_is_given_up(made, tmp_path):
    caching, behind = made({b"": HANG})
    await give_up(await asked(caching, tmp_path / "1"))
    assert behind.at_once == 1
    await caching.close()
    assert behind.at_once == 0
    assert left_over(tmp_path) == []


async def test_a_failure_is_everybodys_and_is_not_kept(made, tmp_path):
    caching, behind = made({b"doc": UNAVAILABLE})
    waits = [caching.flatten(b"document", tmp_path / f"{number}") for number in range(3)]
    failures = await asyncio.gather(*waits, return_exceptions=True)
    assert [type(failure) for failure in failures] == [SandboxUnavailableError] * 3
    behind.script.clear()
    assert isinstance(await caching.flatten(b"document", tmp_path / "again"), Flattened)


@pytest.mark.parametrize("answer", [UNAVAILABLE, BUG])
async def test_a_failure_that_nobody_hears_is_in_the_log(made, tmp_path, answer):
    caching, behind = made({b"doc": HANG})
    with structlog.testing.capture_logs() as logs:
        await give_up(await asked(caching, tmp_path / "1"))
        behind.script = {b"doc": answer}
        behind.release.set()
        await until(lambda: not caching._flights)
    assert "conversion_failed_unheard" in [event["event"] for event in logs]


async def test_a_cache_that_cannot_be_used_is_one_warning_and_conversions(made, tmp_path):
    (tmp_path / "results").write_text("in the way")
    caching, behind = made()
    with structlog.testing.capture_logs() as logs:
        await caching.tidy()
        for number in range(3):
            assert isinstance(await caching.flatten(b"document", tmp_path / f"{number}"), Flattened)
    assert len(behind.documents) == 3
    assert [event["event"] for event in logs].count("cache_unusable") == 1


async def test_a_full_disk_is_a_warning_too(made, tmp_path, monkeypatch):
    caching, _ = made()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.results.store._copy", full)
    with structlog.testing.capture_logs() as logs:
        assert isinstance(await caching.flatten(b"document", tmp_path / "1"), Flattened)
    assert "No space left" in next(event for event in logs if event["event"] == "cache_unusable")["reason"]
    assert [path.name for path in (tmp_path / "results").iterdir()] == []


async def test_turned_off_it_shares_but_keeps_nothing(made, tmp_path):
    caching, behind = made({b"doc": HANG}, bytes=0)
    await give_up(await asked(caching, tmp_path / "1"))
    await until(lambda: behind.at_once == 0)
    behind.release.set()
    await asyncio.gather(*(caching.flatten(b"document", tmp_path / f"a{number}") for number in range(2)))
    assert len(behind.documents) == 2
    assert not (tmp_path / "results").exists()


async def test_it_says_what_the_one_behind_it_says(made):
    caching, behind = made()
    assert (caching.chosen, caching.fingerprint) == (behind.chosen, behind.fingerprint)


# --- containers ---


class Container(FakeSandbox):
    """A container: members where there is room, otherwise of an unknown type. Answers when it is released."""

    async def flatten(self, untrusted_document, output, want=Want.PDF, *, message="", room=None, charset=""):
        self.documents.append(untrusted_document)
        self.entered.set()
        await self.release.wait()
        if room is None:
            return NotFlattened(contract.UNKNOWN_TYPE, "application/zip", 0.1)
        if room.bytes < 5:
            return NotFlattened(contract.UNPACKED_TOO_LARGE, "application/zip", 0.1)
        output.write_bytes(b"first")
        return Unpacked(output, Form.ARCHIVE, (Member("a", 0, 5),), "application/zip", 5, 0.25)


ROOM = Room(3, 5000)


@pytest.fixture
def container(made):
    caching, _ = made()
    caching.behind = Container()
    return caching


async def test_what_a_container_held_is_handed_to_all_who_wait_and_kept_for_nobody(container, tmp_path):
    first = await asked(container, tmp_path / "1", room=ROOM)
    second = asyncio.create_task(container.flatten(b"document", tmp_path / "2", room=ROOM))
    await until(lambda: sum(flight.waiting for flight in container._flights.values()) == 2)
    container.behind.release.set()
    for number, answer in enumerate(await asyncio.gather(first, second), 1):
        assert isinstance(answer, Unpacked)
        assert answer.path == tmp_path / str(number)
        assert answer.path.read_bytes() == b"first"
    assert len(container.behind.documents) == 1
    assert left_over(tmp_path) == []
    assert not [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    await container.flatten(b"document", tmp_path / "3", room=ROOM)
    assert len(container.behind.documents) == 2


async def test_who_has_another_room_or_none_waits_for_his_own_answer(container, tmp_path):
    rooms = [ROOM, Room(3, 1), None]
    tasks = [
        asyncio.create_task(container.flatten(b"document", tmp_path / str(n), room=room))
        for n, room in enumerate(rooms)
    ]
    await until(lambda: len(container.behind.documents) == 3)
    container.behind.release.set()
    held, too_much, unknown = await asyncio.gather(*tasks)
    assert isinstance(held, Unpacked)
    assert (too_much.reason, unknown.reason) == (contract.UNPACKED_TOO_LARGE, contract.UNKNOWN_TYPE)


async def test_that_a_type_is_unknown_is_kept_for_those_alone_who_have_no_room(container, tmp_path):
    container.behind.release.set()
    for number in range(2):
        await container.flatten(b"document", tmp_path / f"without{number}")
    assert len(container.behind.documents) == 1
    assert isinstance(await container.flatten(b"document", tmp_path / "with", room=ROOM), Unpacked)
    picture = await container.flatten(b"document", tmp_path / "picture", Want.IMAGE, room=ROOM)
    assert picture.reason == contract.UNKNOWN_TYPE


async def test_a_safe_file_is_kept_for_every_room(made, tmp_path):
    caching, behind = made()
    for number in range(3):
        assert isinstance(
            await caching.flatten(b"document", tmp_path / str(number), room=Room(number, number)), Flattened
        )
    assert len(behind.documents) == 1
