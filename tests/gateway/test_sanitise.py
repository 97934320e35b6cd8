"""The safe half of the way, by itself."""

from __future__ import annotations

import pytest

from gateway import config
from gateway.mail.reasons import MESSAGE_TOO_LARGE
from gateway.sanitise import ReadingsDifferError, sanitise
from sandbox import contract
from sandbox.client import SandboxUnavailableError
from tests.fakes.sandbox import UNAVAILABLE, FakeSandbox
from tests.gateway.messages import TEXT_ONLY, with_attachments


def settings(**sections):
    return config.load(None, sections)


async def test_mail_without_attachments_needs_neither_sandbox_nor_disk(tmp_path):
    chosen = settings(message={"work_directory": str(tmp_path / "is" / "not" / "there")})
    safe = await sanitise(TEXT_ONLY, chosen, FakeSandbox({b"": UNAVAILABLE}))
    assert safe.content == TEXT_ONLY
    assert (safe.refused, safe.original_id, safe.answers) == (None, "", {})


async def test_a_work_directory_that_cannot_be_used_is_an_os_error(tmp_path):
    chosen = settings(message={"work_directory": str(tmp_path / "is" / "not" / "there")})
    with pytest.raises(OSError, match="No such file"):
        await sanitise(with_attachments(b"x"), chosen, FakeSandbox())


async def test_every_part_ends_in_one_record_and_all_that_is_gone_names_one_original():
    safe = await sanitise(
        with_attachments(b"a", b"bad", b"worse"),
        settings(),
        FakeSandbox({b"bad": contract.CORRUPT, b"worse": contract.DEADLINE}),
    )
    assert [record.outcome for record in safe.records] == ["kept", "flattened", "removed", "removed"]
    assert {record.id for record in safe.records if record.outcome == "removed"} == {safe.original_id}
    assert set(safe.answers) == {record.part for record in safe.records[1:]}


async def test_nothing_removed_means_no_original():
    assert (await sanitise(with_attachments(b"a"), settings(), FakeSandbox())).original_id == ""


async def test_a_failure_of_the_house_comes_out_as_itself_though_several_parts_fail():
    with pytest.raises(SandboxUnavailableError, match="install runc"):
        await sanitise(with_attachments(*[b"x"] * 5), settings(), FakeSandbox({b"x": UNAVAILABLE}))


async def test_a_single_file_larger_than_all_room_is_replaced():
    chosen = settings(policy={"growth_factor": 1.0, "growth_bytes": 5000})
    safe = await sanitise(with_attachments(b"big"), chosen, FakeSandbox(size=20_000))
    assert (safe.records[1].outcome, safe.records[1].reason) == ("removed", MESSAGE_TOO_LARGE)


async def test_the_documents_of_one_message_share_its_word():
    sandbox = FakeSandbox()
    safe = await sanitise(with_attachments(b"a", b"b"), settings(), sandbox)
    await sanitise(with_attachments(b"c"), settings(), sandbox)
    first, second, third = sandbox.messages
    assert first == second != third
    assert safe.original_id == ""
    assert 0 < len(first) <= 64


async def test_a_held_message_names_its_original_though_it_has_no_file_and_needs_no_sandbox():
    sandbox = FakeSandbox({b"": UNAVAILABLE})
    for message in (TEXT_ONLY, with_attachments(b"a")):
        safe = await sanitise(message.replace(b"\r\n", b"\n"), settings(policy={"ambiguous": "hold"}), sandbox)
        assert safe.records[0].outcome == "held"
        assert safe.records[0].id == safe.original_id != ""
        assert safe.original_id.encode() in safe.content
    assert sandbox.documents == []


async def test_what_two_readers_read_differently_does_not_come_out(monkeypatch):
    monkeypatch.setattr("gateway.sanitise.rebuild", lambda message, *_: message.raw)
    with pytest.raises(ReadingsDifferError, match="part 2 is in it as it came"):
        await sanitise(with_attachments(b"a document of more than thirty-two bytes"), settings(), FakeSandbox())
