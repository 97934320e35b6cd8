"""A retry after a lost reply is no second copy where that can be known; what was meant twice is delivered twice."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import socket
import sqlite3
import struct
from typing import TYPE_CHECKING, NamedTuple

import pytest
import structlog

from gateway import config
from gateway.config import JournalSettings
from gateway.daemon import build
from gateway.journal import journal as journal_module
from gateway.journal.file import DELIVERED, JournalFile
from gateway.journal.journal import Journal
from gateway.outcome import Kind, from_next_hop, outcome
from gateway.smtp.envelope import Envelope, Recipient
from tests.fakes.next_hop import HANG, scripted_next_hop
from tests.fakes.sandbox import FakeSandbox
from tests.fakes.talk import talking

if TYPE_CHECKING:
    from gateway.smtp.listener import SmtpServer

ENVELOPE = Envelope("a@example.org", (Recipient("b@example.net"), Recipient("c@example.net")))
GOOD = from_next_hop(250, "2.0.0 Ok: queued as ABC")
LATER = from_next_hop(450, "4.2.2 full")
NEVER = from_next_hop(550, "5.1.1 no")
WIRE = b"Subject: x\r\n\r\ntext\r\n.\r\n"


@pytest.fixture
async def journal(tmp_path):
    made = Journal(JournalSettings(directory=tmp_path / "journal"))
    yield made
    await made.close()


async def sent(journal, ended, *, envelope=ENVELOPE, message=b"message"):
    """One message on its way; what the client is told, and who was left to send to."""
    with await journal.passage(envelope, message) as passage:
        left = [recipient.address for recipient in passage.envelope.recipients]
        if passage.all_have_it:
            return passage.answer(), left
        await passage.sending()
        await passage.ended(ended)
        return passage.answer(ended), left


async def test_once_it_was_heard_the_next_one_is_a_new_message(journal):
    for _ in range(3):
        told, left = await sent(journal, GOOD)
        assert (told.reply, len(left)) == (GOOD.reply, 2)
        told.heard(True)


async def test_unheard_it_answers_the_retry_with_the_next_hops_own_words(journal):
    told, _ = await sent(journal, GOOD)
    told.heard(False)
    with structlog.testing.capture_logs() as logs:
        told, left = await sent(journal, None)
    assert (told.reply, told.delivered, left) == (GOOD.reply, True, [])
    assert [(event["event"], event["recipients"]) for event in logs] == [("delivered_before", 2)]
    told.heard(True)
    assert (await sent(journal, GOOD))[1] == ["b@example.net", "c@example.net"]


async def test_while_it_may_still_be_heard_it_answers_nobody(journal):
    await sent(journal, GOOD)
    assert len((await sent(journal, GOOD))[1]) == 2


async def test_a_refusal_answers_nobody(journal):
    for ended in (LATER, NEVER, outcome(Kind.NEXT_HOP_DOWN)):
        told, left = await sent(journal, ended)
        assert (told, told.heard, len(left)) == (ended, None, 2)


async def test_a_doubt_is_sent_again_and_said(journal):
    await sent(journal, outcome(Kind.NEXT_HOP_DOWN, in_doubt=True))
    with structlog.testing.capture_logs() as logs:
        assert len((await sent(journal, GOOD))[1]) == 2
    assert [(event["event"], event["recipients"]) for event in logs] == [("sent_again_in_doubt", 2)]


@pytest.mark.parametrize("each_recipient", [True, False])
async def test_those_who_have_it_while_the_client_is_told_to_come_again_get_no_second_copy(journal, each_recipient):
    envelope = Envelope(ENVELOPE.sender, ENVELOPE.recipients, each_recipient=each_recipient)
    divided = outcome(Kind.RECIPIENTS_DIVIDED, in_doubt=True)
    told, _ = await sent(journal, _each(divided, GOOD, LATER), envelope=envelope)
    if each_recipient:
        assert [one.reply for one in told.each] == [GOOD.reply, LATER.reply]
        told.heard(True)  # and so he comes again for the second one only
        assert len((await sent(journal, GOOD, envelope=envelope))[1]) == 2
    else:
        assert (told.code, told.heard) == (451, None)
        told, left = await sent(journal, GOOD, envelope=envelope)
        assert (told.code, left) == (250, ["c@example.net"])


async def test_who_is_told_that_it_will_never_be_does_not_come_again(journal):
    told, _ = await sent(journal, _each(outcome(Kind.PARTLY_DELIVERED), GOOD, NEVER))
    assert (told.code, told.heard) == (554, None)
    assert len((await sent(journal, GOOD))[1]) == 2


def _each(whole, *each):
    return dataclasses.replace(whole, each=each)


async def test_every_byte_and_the_envelope_make_the_message(journal):
    (await sent(journal, GOOD))[0].heard(False)
    others = [
        (ENVELOPE, b"messagE"),
        (Envelope("", ENVELOPE.recipients), b"message"),
        (Envelope("a@example.org", (Recipient("B@example.net"), Recipient("d@example.net"))), b"message"),
        (Envelope("a@example.org", ENVELOPE.recipients, parameters=("ENVID=Ab",)), b"message"),
    ]
    for envelope, message in others:
        assert len((await sent(journal, GOOD, envelope=envelope, message=message))[1]) == 2
    again = Envelope(
        "a@example.org", ENVELOPE.recipients, parameters=("SIZE=7",), xforward=(("IDENT", "x"),), client="::1"
    )
    assert (await sent(journal, None, envelope=again))[1] == []


async def test_it_outlives_the_process(tmp_path):
    first = Journal(JournalSettings(directory=tmp_path / "journal"))
    await sent(first, GOOD)  # and nobody says whether it was heard
    await first.close()
    second = Journal(JournalSettings(directory=tmp_path / "journal"))
    assert (await sent(second, None))[1] == []
    await second.close()


async def test_who_is_cancelled_while_he_looks_leaves_it_to_the_next_one(journal, monkeypatch):
    (await sent(journal, GOOD))[0].heard(False)
    asked = asyncio.Event()
    write = journal.write
    monkeypatch.setattr(journal, "write", lambda *step, **how: (asked.set(), write(*step, **how))[1])
    looking = asyncio.create_task(journal.passage(ENVELOPE, b"message"))
    await asked.wait()
    looking.cancel()
    await asyncio.wait([looking])
    assert looking.cancelled()
    assert (await sent(journal, None))[1] == []


async def test_it_is_on_disk_before_the_message_goes_and_before_anybody_is_told(journal, monkeypatch):
    done = []
    run = JournalFile.run
    monkeypatch.setattr(
        JournalFile, "run", lambda self, steps, *, durable: (run(self, steps, durable=durable), done.append(durable))[0]
    )
    with await journal.passage(ENVELOPE, b"message") as passage:
        await passage.sending()
        assert done == [False, True]
        await passage.ended(GOOD)
        assert done == [False, True, True]
        passage.answer(GOOD)


async def test_what_is_written_at_the_same_time_is_one_transaction(journal, monkeypatch):
    batches = []
    run = JournalFile.run
    monkeypatch.setattr(
        JournalFile,
        "run",
        lambda self, steps, *, durable: (batches.append(len(steps)), run(self, steps, durable=durable))[1],
    )
    await asyncio.gather(*(sent(journal, GOOD, message=b"%d" % number) for number in range(30)))
    assert sum(batches) == 90
    assert len(batches) < 45


async def test_a_journal_that_cannot_be_written_costs_one_warning_and_no_mail(tmp_path):
    (tmp_path / "journal").write_text("in the way")
    journal = Journal(JournalSettings(directory=tmp_path / "journal"))
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            told, left = await sent(journal, GOOD)
            assert (told.reply, len(left)) == (GOOD.reply, 2)
    assert [event["event"] for event in logs] == ["journal_unusable"]
    await journal.close()


async def test_a_full_disk_makes_it_forget_rather_than_answer_wrongly_and_it_comes_back(journal, monkeypatch):
    (await sent(journal, GOOD))[0].heard(False)
    monkeypatch.setattr(journal_module, "PAUSE", 0.0)
    run = JournalFile.run

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(JournalFile, "run", full)
    with structlog.testing.capture_logs() as logs:
        assert len((await sent(journal, GOOD))[1]) == 2
        monkeypatch.setattr(JournalFile, "run", run)
        told, left = await sent(journal, GOOD)
        assert len(left) == 2
    assert [event["event"] for event in logs] == ["journal_unusable", "journal_usable_again"]
    told.heard(False)
    assert (await sent(journal, None))[1] == []


async def test_turned_off_it_writes_nothing(tmp_path):
    journal = Journal(JournalSettings(directory=tmp_path / "journal", entries=0))
    for _ in range(2):
        told, left = await sent(journal, GOOD)
        assert (told, told.heard, len(left)) == (GOOD, None, 2)
    await journal.close()
    assert not (tmp_path / "journal").exists()


# --- on sockets ---


@contextlib.asynccontextmanager
async def gateway(tmp_path, script=None, listen="127.0.0.1:0"):
    async with scripted_next_hop(script) as hop:
        given = {
            "smtp": {"listen": listen},
            "relay": {"next_hop": f"127.0.0.1:{hop.port}"},
            "originals": {"directory": str(tmp_path / "originals")},
            "journal": {"directory": str(tmp_path / "journal")},
        }
        settings = config.load(None, given)
        journal = Journal(settings.journal)
        server, next_hop, _ = build(settings, FakeSandbox(), journal=journal)
        [address] = await server.start()
        try:
            yield hop, _Door(address.port, server), journal
        finally:
            await server.stop(1)
            await next_hop.drain(1)
            await journal.close()


class _Door(NamedTuple):
    port: int
    server: SmtpServer


async def states(tmp_path, journal):
    """Once everything that was due is written."""
    await journal.write(lambda _: None)
    with contextlib.closing(sqlite3.connect(tmp_path / "journal" / "journal.sqlite3")) as db:
        return [state for (state,) in db.execute("SELECT state FROM lines")]


async def once(tmp_path, journal, wanted):
    for _ in range(300):
        found = await states(tmp_path, journal)
        if found == wanted:
            return
        await asyncio.sleep(0.01)
    assert found == wanted


@pytest.mark.parametrize("follows", ["NOOP", "QUIT", "MAIL FROM:<x@example.org>"])
async def test_a_command_after_the_reply_shows_that_it_was_read(tmp_path, follows):
    async with gateway(tmp_path) as (_, address, journal), talking(address.port) as talk:
        assert (await talk.deliver(WIRE)).startswith("250 ")
        assert await states(tmp_path, journal) == [DELIVERED]
        await talk.ask(follows)
        await once(tmp_path, journal, [])


async def test_closing_without_a_word_after_reading_the_reply_is_enough(tmp_path):
    async with gateway(tmp_path) as (_, address, journal):
        async with talking(address.port) as talk:
            assert (await talk.deliver(WIRE)).startswith("250 ")
        await once(tmp_path, journal, [])


async def test_a_reset_shows_nothing(tmp_path):
    async with gateway(tmp_path) as (hop, address, journal):
        async with talking(address.port) as talk:
            assert (await talk.deliver(WIRE)).startswith("250 ")
            connection = talk.writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            talk.writer.transport.abort()
        await once(tmp_path, journal, ["unheard"])
        async with talking(address.port) as talk:
            assert (await talk.deliver(WIRE)).startswith("250 ")
        assert len(hop.messages) == 1


async def test_a_reply_that_was_not_read_before_the_connection_closed_is_unheard(tmp_path):
    """A plain socket: what it does not read stays in the kernel, and closing it then is a reset."""
    async with gateway(tmp_path) as (hop, address, journal):
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", address.port)) as client:
            client.setblocking(False)

            async def ask(command):
                await loop.sock_sendall(client, command)
                return await loop.sock_recv(client, 4096)

            await loop.sock_recv(client, 4096)
            for command in (
                b"EHLO x\r\n",
                b"MAIL FROM:<a@example.org>\r\n",
                b"RCPT TO:<b@example.net>\r\n",
                b"DATA\r\n",
            ):
                await ask(command)
            await loop.sock_sendall(client, WIRE)
            await asyncio.wait_for(hop.seen("dot").wait(), 5)
            await once(tmp_path, journal, [DELIVERED])
        await once(tmp_path, journal, ["unheard"])


async def test_over_a_unix_socket_what_is_pipelined_behind_the_dot_shows_nothing_until_it_was_read(tmp_path):
    path = tmp_path / "socket"
    async with gateway(tmp_path, listen=f"unix:{path}") as (_, _, journal):
        reader, writer = await asyncio.open_unix_connection(path)
        assert (await reader.readline()).startswith(b"220")
        writer.write(b"LHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + WIRE + b"QUIT\r\n")
        replies = await asyncio.wait_for(reader.read(), 10)
        assert replies.endswith(b"221 2.0.0 Bye\r\n")
        writer.close()
        await once(tmp_path, journal, [])


async def test_what_was_pipelined_and_never_read_is_unheard(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.smtp.receipt.SECONDS", 0.1)
    path = tmp_path / "socket"
    async with gateway(tmp_path, listen=f"unix:{path}") as (hop, _, journal):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            commands = b"LHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
            client.sendall(commands + WIRE + b"NOOP\r\nQUIT\r\n")
            await asyncio.wait_for(hop.seen("dot").wait(), 5)
            await once(tmp_path, journal, ["unheard"])


async def test_at_a_stop_it_is_waited_until_the_client_has_the_last_reply(tmp_path):
    async with gateway(tmp_path, {"dot": HANG}) as (hop, address, journal):
        async with talking(address.port) as talk:
            await talk.open_message()
            await talk.send(WIRE)
            await asyncio.wait_for(hop.seen("dot").wait(), 5)
            stopping = asyncio.create_task(address.server.stop(10))
            await asyncio.sleep(0)
            hop.release.set()
            assert (await talk.reply()).startswith("250 ")
            assert (await talk.reply()).startswith("421 ")
            await stopping
        await once(tmp_path, journal, [])
