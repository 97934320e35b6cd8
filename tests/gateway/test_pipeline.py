"""The way of one message: 250 never before the next hop's, nothing lost, originals kept as long as they are needed."""

from __future__ import annotations

import asyncio
import dataclasses
import email
import email.policy

import pytest
import structlog

from gateway import config
from gateway.daemon import build
from gateway.journal.journal import Journal
from gateway.originals.store import Originals
from gateway.outcome import Kind
from gateway.pipeline import Rooms, handle
from gateway.smtp.client import NextHop
from gateway.smtp.envelope import Envelope, Recipient
from gateway.smtp.transaction import dot_stuffed
from sandbox import contract
from tests.fakes.next_hop import DROP, HANG, STEPS, scripted_next_hop
from tests.fakes.sandbox import BUG, BUSY, FULL_DISK, SAFE_PDF, UNAVAILABLE, FakeSandbox, zipped
from tests.fakes.sandbox import HANG as HANGS
from tests.fakes.talk import talking
from tests.gateway.corpus import corpus_files
from tests.gateway.messages import TEXT_ONLY, with_attachments

ENVELOPE = Envelope("a@example.org", (Recipient("b@example.net"),), xforward=(("IDENT", "4Ab"),), client="127.0.0.1")
DOCUMENT = b"the original document, which nobody may open"


def settings(tmp_path, port=1, **sections):
    given = {
        "relay": {"next_hop": f"127.0.0.1:{port}"},
        "smtp": {"listen": "127.0.0.1:0"},
        "originals": {"directory": str(tmp_path / "originals")},
    }
    for name, keys in sections.items():
        given.setdefault(name, {}).update(keys)
    return config.load(None, given)


def originals_of(tmp_path):
    place = tmp_path / "originals"
    return sorted(place.glob("*.eml")) if place.exists() else []


async def handled(tmp_path, mail, script=None, sandbox=None, envelope=ENVELOPE, **sections):
    async with scripted_next_hop(script) as hop:
        chosen = settings(tmp_path, hop.port, **sections)
        next_hop = NextHop(chosen.relay, "laz.test")
        rooms = Rooms(
            chosen, sandbox or FakeSandbox(), Originals(chosen.originals.place), next_hop, Journal(chosen.journal)
        )
        return await handle(rooms, envelope, mail), hop


def attachments(wire: bytes):
    """What a recipient finds, from the bytes on the wire."""
    lines = wire.removesuffix(b".\r\n").split(b"\r\n")
    message = email.message_from_bytes(
        b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines), policy=email.policy.default
    )
    return [(part.get_filename(), part.get_content()) for part in message.iter_attachments()]


async def test_a_message_without_attachments_is_relayed_byte_for_byte_and_needs_no_sandbox(tmp_path):
    sandbox = FakeSandbox({b"": UNAVAILABLE})
    ended, hop = await handled(tmp_path, TEXT_ONLY, sandbox=sandbox)
    assert ended.reply == "250 2.0.0 Ok: queued as ABC"
    assert hop.messages == [TEXT_ONLY.replace(b"\r\n.", b"\r\n..") + b".\r\n"]
    assert sandbox.documents == []
    assert not (tmp_path / "originals").exists()


async def test_an_attachment_arrives_as_a_flattened_pdf_and_no_original_is_kept(tmp_path):
    sandbox = FakeSandbox()
    ended, hop = await handled(tmp_path, with_attachments(DOCUMENT), sandbox=sandbox)
    assert ended.delivered
    assert sandbox.documents == [DOCUMENT]
    [(name, content)] = attachments(hop.messages[0])
    assert name == "file1.doc.pdf"
    assert content.startswith(SAFE_PDF)
    assert originals_of(tmp_path) == []


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/plain; charset=iso-8859-2; name=list.txt", "iso-8859-2"),
        ('text/html; charset="KOI8-R"; name=page.html', "KOI8-R"),
        ("text/csv; name=table.csv", ""),
        ("application/msword; charset=koi8-r; name=letter.doc", ""),
        ('text/plain; charset="no charset"; name=list.txt', ""),
        (f"text/plain; charset={'k' * 41}; name=list.txt", ""),
    ],
)
async def test_what_a_message_calls_the_charset_of_a_text_goes_with_it(tmp_path, content_type, charset):
    head = f"MIME-Version: 1.0\r\nContent-Type: {content_type}\r\nContent-Disposition: attachment\r\n\r\n"
    sandbox = FakeSandbox()
    ended, _ = await handled(tmp_path, b"From: a@example.org\r\n" + head.encode() + b"words\r\n", sandbox=sandbox)
    assert ended.delivered
    assert sandbox.charsets == [charset]


@pytest.mark.parametrize("reason", sorted(contract.REASONS))
async def test_what_cannot_be_flattened_becomes_a_notice_with_the_id_of_the_kept_original(tmp_path, reason):
    message = with_attachments(DOCUMENT)
    ended, hop = await handled(tmp_path, message, sandbox=FakeSandbox({b"the": reason}))
    assert ended.delivered
    [kept] = originals_of(tmp_path)
    assert kept.read_bytes() == message
    [(_, notice)] = attachments(hop.messages[0])
    assert kept.stem in notice
    assert reason in notice


async def test_one_bad_attachment_does_not_cost_the_others(tmp_path):
    sandbox = FakeSandbox({b"bad": contract.ENCRYPTED})
    _, hop = await handled(tmp_path, with_attachments(b"good one", b"bad", b"good two"), sandbox=sandbox)
    names = [name for name, _ in attachments(hop.messages[0])]
    assert len(names) == 3
    assert names[0] == "file1.doc.pdf"
    assert names[2] == "file3.doc.pdf"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("answer", ["550 5.7.1 no", "421 4.3.2 later", DROP, HANG])
async def test_250_is_never_answered_before_the_next_hops_own(tmp_path, step, answer):
    seconds = dict.fromkeys(("greeting_seconds", "command_seconds", "data_seconds", "dot_seconds"), 0.2)
    script = {step: answer, "HELO": answer}
    ended, _ = await handled(tmp_path, TEXT_ONLY, script, relay=seconds)
    assert not ended.delivered
    assert 400 <= ended.code < 600
    if not answer.startswith("550"):
        assert ended.code == 451


async def test_the_client_hears_250_only_after_the_next_hop_has_said_it(tmp_path):
    async with scripted_next_hop({"dot": HANG}) as hop:
        server, _, _ = build(settings(tmp_path, hop.port), FakeSandbox())
        [address] = await server.start()
        port = address.port
        async with talking(port) as talk:
            await talk.open_message()
            await talk.send(TEXT_ONLY.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            reply = asyncio.create_task(talk.reply())
            await asyncio.wait_for(hop.seen("dot").wait(), 5)
            await asyncio.sleep(0.2)
            assert not reply.done()
            hop.release.set()
            assert await reply == "250 2.0.0 Ok: queued as ABC"
        await server.stop(1)


async def test_a_client_that_leaves_during_the_final_exchange_does_not_stop_it_and_the_end_is_logged(tmp_path):
    with structlog.testing.capture_logs() as logs:
        async with scripted_next_hop({"dot": HANG}) as hop:
            server, next_hop, _ = build(settings(tmp_path, hop.port), FakeSandbox())
            [address] = await server.start()
            port = address.port
            async with talking(port) as talk:
                await talk.open_message()
                await talk.send(TEXT_ONLY.replace(b"\r\n.", b"\r\n..") + b".\r\n")
                await asyncio.wait_for(hop.seen("dot").wait(), 5)
            await asyncio.sleep(0.1)
            hop.release.set()
            await next_hop.drain(5)
            await server.stop(1)
    assert hop.messages == [TEXT_ONLY.replace(b"\r\n.", b"\r\n..") + b".\r\n"]
    events = [event["event"] for event in logs]
    assert "ended_unheard" in events
    assert [event["outcome"] for event in logs if event["event"] == "message"] == ["client_left"]


@pytest.mark.parametrize("script", [{"dot": "554 5.7.1 no"}, {"MAIL": "451 4.3.0 later"}, {"greeting": DROP}])
async def test_an_original_whose_message_was_not_delivered_is_forgotten(tmp_path, script):
    await handled(tmp_path, with_attachments(DOCUMENT), script, FakeSandbox({b"the": contract.CORRUPT}))
    assert originals_of(tmp_path) == []


async def test_an_original_whose_message_may_have_been_delivered_stays(tmp_path):
    sandbox = FakeSandbox({b"the": contract.CORRUPT})
    ended, _ = await handled(tmp_path, with_attachments(DOCUMENT), {"dot": DROP}, sandbox)
    assert (ended.code, ended.in_doubt) == (451, True)
    assert len(originals_of(tmp_path)) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(UNAVAILABLE, Kind.NO_SANDBOX), (BUSY, Kind.BUSY_SANDBOX), (FULL_DISK, Kind.NO_STORAGE), (HANGS, Kind.DEADLINE)],
)
async def test_when_the_house_is_broken_it_is_451_and_nothing_is_sent(tmp_path, answer, kind):
    sandbox = FakeSandbox({b"the": answer})
    ended, hop = await handled(tmp_path, with_attachments(DOCUMENT), {}, sandbox, message={"deadline_seconds": 0.5})
    assert (ended.kind, ended.code) == (kind, 451)
    assert hop.connections == 0
    assert sandbox.at_once == 0


async def test_when_the_original_cannot_be_kept_it_is_451_and_nothing_is_sent(tmp_path):
    (tmp_path / "originals").write_text("in the way")
    sandbox = FakeSandbox({b"the": contract.CORRUPT})
    ended, hop = await handled(tmp_path, with_attachments(DOCUMENT), sandbox=sandbox)
    assert (ended.kind, ended.code) == (Kind.NO_STORAGE, 451)
    assert hop.connections == 0


async def test_a_bug_is_451_to_the_client_and_the_next_message_passes(tmp_path):
    async with scripted_next_hop() as hop:
        server, _, _ = build(settings(tmp_path, hop.port), FakeSandbox({b"the": BUG}))
        [address] = await server.start()
        port = address.port
        async with talking(port) as talk:
            reply = await talk.deliver(with_attachments(DOCUMENT) + b".\r\n")
            assert reply.startswith("451 4.3.0 ")
            assert "secret" not in reply
            assert (await talk.deliver(with_attachments(b"fine") + b".\r\n")).startswith("250 ")
        await server.stop(1)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
async def test_a_client_that_leaves_stops_the_conversion_only_where_there_is_no_cache_for_it(tmp_path, cache_bytes):
    async with scripted_next_hop() as hop:
        sandbox = FakeSandbox({b"the": HANGS})
        server, _, caching = build(settings(tmp_path, hop.port, cache={"bytes": cache_bytes}), sandbox)
        [address] = await server.start()
        port = address.port
        async with talking(port) as talk:
            await talk.open_message()
            await talk.send(with_attachments(DOCUMENT) + b".\r\n")
            await asyncio.wait_for(sandbox.entered.wait(), 5)
        for _ in range(20):
            if sandbox.at_once == 0:
                break
            await asyncio.sleep(0.02)
        assert sandbox.at_once == (1 if cache_bytes else 0)
        assert hop.connections == 0
        await server.stop(1)
        await caching.close()
        assert sandbox.at_once == 0


async def test_a_message_refused_by_policy_is_550_with_no_word_why_and_no_original(tmp_path):
    ambiguous = TEXT_ONLY.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\nContent-Type: text/html\r\n\r\n", 1)
    ended, hop = await handled(tmp_path, ambiguous, policy={"ambiguous": "refuse"})
    assert ended.reply == "550 5.7.1 Message refused by policy"
    assert hop.connections == 0
    assert originals_of(tmp_path) == []


async def test_a_held_message_is_delivered_with_its_text_and_kept_whole(tmp_path):
    ambiguous = with_attachments(DOCUMENT).replace(b"MIME-Version", b"X-Foo: \0\r\nMIME-Version")
    sandbox = FakeSandbox()
    ended, hop = await handled(tmp_path, ambiguous, sandbox=sandbox, policy={"ambiguous": "hold"})
    assert ended.delivered
    assert sandbox.documents == []
    [kept] = originals_of(tmp_path)
    assert kept.read_bytes() == ambiguous
    assert kept.stem.encode() in hop.messages[0]
    assert b"see the papers" in hop.messages[0]


async def test_what_would_be_read_differently_is_451_an_alarm_and_nothing_on_the_wire(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.sanitise.rebuild", lambda message, *_: message.raw)
    with structlog.testing.capture_logs() as logs:
        ended, hop = await handled(tmp_path, with_attachments(DOCUMENT))
    assert (ended.kind, ended.code) == (Kind.READINGS_DIFFER, 451)
    assert "part 2" not in ended.reply
    assert hop.connections == 0
    assert originals_of(tmp_path) == []
    [alarm] = [event for event in logs if event["event"] == "readings_differ"]
    [message] = [event for event in logs if event["event"] == "message"]
    assert (alarm["log_level"], alarm["fault"]) == ("error", "part 2 is in it as it came")
    assert alarm["queue_id"] == message["queue_id"]
    assert message["outcome"] == "readings_differ"


async def test_mail_that_goes_in_circles_is_refused(tmp_path):
    hops = b"Received: from x by y; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    assert (await handled(tmp_path, hops * 50 + TEXT_ONLY))[0].delivered
    ended, _ = await handled(tmp_path, hops * 51 + TEXT_ONLY)
    assert ended.reply.startswith("554 5.4.6 ")


async def test_no_more_parts_than_the_bound_are_under_way_at_once(tmp_path):
    sandbox = FakeSandbox()
    await handled(
        tmp_path, with_attachments(*[b"%d" % n for n in range(9)]), sandbox=sandbox, message={"parallel_parts": 3}
    )
    assert len(sandbox.documents) == 9
    assert sandbox.most_at_once <= 3


async def test_a_message_that_would_grow_past_its_bound_loses_its_largest_parts_only(tmp_path):
    sandbox = FakeSandbox({b"huge": "60000", b"big": "30000", b"small": "1000"})
    message = with_attachments(b"huge", b"small", b"big")
    policy = {"growth_factor": 1.0, "growth_bytes": 50_000}
    ended, hop = await handled(tmp_path, message, sandbox=sandbox, policy=policy)
    assert ended.delivered
    names = [name for name, _ in attachments(hop.messages[0])]
    assert names[1:] == ["file2.doc.pdf", "file3.doc.pdf"]
    assert len(hop.messages[0]) <= len(message) + 50_000
    assert "message_too_large" in attachments(hop.messages[0])[0][1]
    assert len(originals_of(tmp_path)) == 1


async def test_the_work_directory_is_empty_afterwards(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    for answer in ("", contract.CORRUPT, UNAVAILABLE):
        sandbox = FakeSandbox({b"the": answer} if answer else {})
        await handled(tmp_path, with_attachments(DOCUMENT), sandbox=sandbox, message={"work_directory": str(work)})
        assert list(work.iterdir()) == []


async def test_one_event_a_message_and_one_a_part_are_logged(tmp_path):
    sandbox = FakeSandbox({b"bad": contract.ENCRYPTED})
    with structlog.testing.capture_logs() as logs:
        await handled(tmp_path, with_attachments(b"good", b"bad"), sandbox=sandbox)
    parts = [event for event in logs if event["event"] == "part"]
    [message] = [event for event in logs if event["event"] == "message"]
    assert [(event["outcome"], event["reason"], event["pages"]) for event in parts[1:]] == [
        ("flattened", "attachment", 3),
        ("removed", "encrypted", 0),
    ]
    assert {event["queue_id"] for event in parts} == {message["queue_id"]}
    assert (message["outcome"], message["xforward_ident"], message["sender"]) == ("delivered", "4Ab", "a@example.org")
    assert message["original"] == originals_of(tmp_path)[0].stem


async def test_a_member_that_is_gone_keeps_the_message_and_each_has_its_line_in_the_log(tmp_path):
    message = with_attachments(zipped(("a.doc", b"good"), ("b.doc", b"bad")))
    with structlog.testing.capture_logs() as logs:
        ended, _ = await handled(tmp_path, message, sandbox=FakeSandbox({b"bad": contract.ENCRYPTED}))
    assert ended.delivered
    [kept] = originals_of(tmp_path)
    assert kept.read_bytes() == message
    parts = [(event["part"], event["outcome"], event["pages"]) for event in logs if event["event"] == "part"]
    assert parts == [("1", "kept", 0), ("2", "repacked", 0), ("2/1", "flattened", 3), ("2/2", "removed", 0)]


@pytest.mark.parametrize(("answer", "kind"), [(UNAVAILABLE, Kind.NO_SANDBOX), (FULL_DISK, Kind.NO_STORAGE)])
async def test_a_house_that_breaks_between_two_members_is_a_temporary_failure(tmp_path, answer, kind):
    message = with_attachments(zipped(("a.doc", b"good"), ("b.doc", b"fails")))
    ended, hop = await handled(tmp_path, message, sandbox=FakeSandbox({b"fails": answer}))
    assert (ended.kind, ended.temporary, hop.messages) == (kind, True, [])


async def test_a_null_sender_passes(tmp_path):
    ended, hop = await handled(tmp_path, TEXT_ONLY, envelope=dataclasses.replace(ENVELOPE, sender=""))
    assert ended.delivered
    assert hop.commands_of(b"MAIL")[0].startswith(b"MAIL FROM:<> SIZE=")


@pytest.mark.parametrize("path", corpus_files("mime"), ids=lambda path: path.name)
async def test_every_message_of_the_corpus_is_one_mail_or_one_refusal_on_the_wire(tmp_path, path):
    message = path.read_bytes()
    if b"\r\n" not in message:
        message = message.replace(b"\n", b"\r\n")
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    sandbox = FakeSandbox()
    async with scripted_next_hop() as hop:
        server, _, _ = build(settings(tmp_path, hop.port), sandbox)
        [address] = await server.start()
        port = address.port
        async with talking(port) as talk:
            reply = await talk.deliver(dot_stuffed(message))
            assert (await talk.ask("NOOP")).startswith("250 ")
        await server.stop(1)
    assert reply.startswith(("250 ", "550 5.5.2 ")), reply
    assert len(hop.messages) == reply.startswith("250 ")
    for wire in hop.messages:
        body = wire.removesuffix(b".\r\n")
        assert body.count(b"\n") == body.count(b"\r\n") == body.count(b"\r")
        for document in sandbox.documents:
            assert len(document) < 60 or document not in body
