"""The server's sessions, on real sockets; aiosmtpd's traps first, each closed."""

from __future__ import annotations

import asyncio
import contextlib
import re
from contextlib import asynccontextmanager

import pytest

from gateway.config import SmtpSettings
from gateway.outcome import Kind, Outcome, from_next_hop, outcome
from gateway.smtp.listener import SmtpServer
from tests.fakes.dialog import read_foreign, run_foreign
from tests.fakes.talk import talking
from tests.gateway.corpus import corpus_files

OK = from_next_hop(250, "2.0.0 Ok: queued as ABC")


class Recorder:
    """The function that the daemon would hand in."""

    def __init__(self) -> None:
        self.got: list = []
        self.ended: Outcome | Exception = OK
        self.wait: asyncio.Event | None = None
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()

    async def __call__(self, envelope, message):
        self.got.append((envelope, message))
        self.entered.set()
        if self.wait:
            try:
                await self.wait.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if isinstance(self.ended, Exception):
            raise self.ended
        return self.ended


@asynccontextmanager
async def serving(handle=None, *, offers=None, answer_seconds=600.0, **settings):
    handle = handle or Recorder()
    more = {"offers": offers} if offers else {}
    server = SmtpServer(
        SmtpSettings(listen="127.0.0.1:0", hostname="laz.test", **settings),
        handle,
        answer_seconds=answer_seconds,
        **more,
    )
    [address] = await server.start()
    server.port = address.port
    server.recorder = handle
    try:
        yield server
    finally:
        await server.stop(0.2)


# --- MAIL.md section 2, in its order ---


async def test_trap_1_an_exception_answers_451_and_tells_nothing_of_itself():
    async with serving() as server, talking(server.port) as talk:
        server.recorder.ended = ValueError("secret internals")
        reply = await talk.deliver(b"Subject: x\r\n\r\n.\r\n")
        assert re.match(r"451 4\.3\.0 ", reply)
        assert "secret" not in reply
        assert "ValueError" not in reply
        server.recorder.ended = OK
        assert (await talk.deliver(b"x\r\n.\r\n")).startswith("250 ")  # and the session goes on


async def test_trap_1_an_exception_in_a_command_answers_451():
    def broken():
        raise RuntimeError("secret internals")

    async with serving(offers=broken) as server, talking(server.port) as talk:
        reply = await talk.ask("EHLO x")
        assert re.match(r"451 4\.3\.0 ", reply)
        assert "secret" not in reply
        assert (await talk.ask("NOOP")).startswith("250 ")


async def test_trap_1_an_exception_within_data_ends_the_session_so_that_no_text_becomes_a_command(monkeypatch):
    def broken(self, chunk):
        raise RuntimeError("secret internals")

    monkeypatch.setattr("gateway.smtp.data_reader.DataReader.feed", broken)
    async with serving() as server, talking(server.port) as talk:
        await talk.open_message()
        await talk.send(b"MAIL FROM:<x@y>\r\nRCPT TO:<z@y>\r\nDATA\r\n")
        assert (await talk.reply()).startswith("421 4.3.0 ")
        assert await talk.reply() == ""
        assert server.recorder.got == []


async def test_trap_2_the_time_for_a_command_does_not_cut_off_the_answer_to_a_message():
    async with serving(command_seconds=0.3) as server, talking(server.port) as talk:
        server.recorder.wait = asyncio.Event()
        asyncio.get_running_loop().call_later(0.9, server.recorder.wait.set)
        assert (await talk.deliver(b"x\r\n.\r\n")).startswith("250 ")


async def test_trap_2_nor_does_it_cut_off_data_that_keeps_coming():
    async with serving(command_seconds=0.3) as server, talking(server.port) as talk:
        await talk.open_message()
        for _ in range(8):
            await talk.send(b"slow\r\n")
            await asyncio.sleep(0.1)
        await talk.send(b".\r\n")
        assert (await talk.reply()).startswith("250 ")


async def test_trap_3_a_client_that_leaves_cancels_the_work_on_its_message():
    async with serving() as server:
        server.recorder.wait = asyncio.Event()
        async with talking(server.port) as talk:
            await talk.open_message()
            await talk.send(b"x\r\n.\r\n")
            await asyncio.wait_for(server.recorder.entered.wait(), 5)
        await asyncio.wait_for(server.recorder.cancelled.wait(), 5)


async def test_trap_4_parameters_keep_their_case_and_recipients_may_have_some():
    async with serving() as server, talking(server.port) as talk:
        for command in (
            "EHLO test",
            "MAIL FROM:<A@Example.org> BODY=8BITMIME SIZE=10 RET=HDRS ENVID=QqAa+3D AUTH=Me+40here SMTPUTF8",
            "RCPT TO:<B@Example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bb+2BCc@Example.net",
        ):
            assert (await talk.ask(command)).startswith("250"), command
        await talk.ask("DATA")
        assert (await talk.ask("x\r\n.")).startswith("250 ")
        envelope, _ = server.recorder.got[0]
        assert envelope.sender == "A@Example.org"
        assert envelope.parameters == (
            "BODY=8BITMIME",
            "SIZE=10",
            "RET=HDRS",
            "ENVID=QqAa+3D",
            "AUTH=Me+40here",
            "SMTPUTF8",
        )
        assert envelope.recipients[0].address == "B@Example.net"
        assert envelope.recipients[0].parameters == ("NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Bb+2BCc@Example.net")


async def test_trap_5_a_long_line_passes_up_to_its_bound():
    async with serving() as server, talking(server.port) as talk:
        line = b"x" * 100_000 + b"\r\n"
        assert (await talk.deliver(line + b".\r\n")).startswith("250 ")
        assert server.recorder.got[0][1] == line


async def test_trap_5_a_line_without_end_is_held_in_bounded_memory_and_refused_after_the_dot():
    async with serving(max_line_bytes=10_000, max_message_bytes=100_000) as server, talking(server.port) as talk:
        await talk.open_message()
        for _ in range(100):
            await talk.send(b"y" * 50_000)
            assert server.held_bytes <= 300_000
        await talk.send(b"\r\n.\r\n")
        assert (await talk.reply()).startswith("550 5.6.0 ")
        assert server.recorder.got == []


async def test_trap_6_commands_may_be_as_long_as_dsn_makes_them():
    async with serving() as server, talking(server.port) as talk:
        await talk.ask("EHLO test")
        await talk.ask("MAIL FROM:<a@b> ENVID=" + "e" * 300)
        reply = await talk.ask("RCPT TO:<" + "c" * 300 + "@d> NOTIFY=FAILURE ORCPT=rfc822;" + "c" * 1000)
        assert reply.startswith("250 ")


async def test_trap_6_the_bound_on_commands_is_each_connections_own():
    async with serving(max_command_bytes=600) as first, serving(max_command_bytes=2000) as second:
        for _ in range(50):  # neither more connections nor more EHLO move it
            async with talking(second.port) as talk:
                await talk.ask("EHLO test")
        async with talking(first.port) as short, talking(second.port) as long:
            await short.ask("EHLO test")
            await long.ask("EHLO test")
            command = "MAIL FROM:<a@b> AUTH=" + "a" * 1000
            assert (await short.ask(command)).startswith("500 5.5.2 ")
            assert (await long.ask(command)).startswith("250 ")


async def test_trap_6_a_command_without_end_takes_bounded_memory_and_is_refused():
    async with serving() as server, talking(server.port) as talk:
        await talk.send(b"NOOP " + b"x" * 3_000_000)
        await talk.send(b"\r\n")
        assert (await talk.reply()).startswith("500 5.5.2 ")
        assert (await talk.ask("NOOP")).startswith("250 ")


async def test_trap_7_a_bare_line_feed_in_data_is_refused_after_the_true_end():
    async with serving() as server, talking(server.port) as talk:
        assert (await talk.deliver(b"Subject: x\r\n\r\na\nb\r\n.\r\n")).startswith("550 5.5.2 ")
        assert server.recorder.got == []
        assert (await talk.deliver(b"good\r\n.\r\n")).startswith("250 ")


async def test_trap_8_the_answer_to_the_dot_is_what_came_of_the_message():
    async with serving() as server, talking(server.port) as talk:
        server.recorder.ended = from_next_hop(554, "5.7.1 no such luck")
        assert await talk.deliver(b"x\r\n.\r\n") == "554 5.7.1 no such luck"


async def test_trap_9_extensions_are_announced_and_every_reply_has_an_enhanced_code():
    async with serving(max_message_bytes=4321) as server, talking(server.port) as talk:
        announced = (await talk.ask("EHLO test")).split("\n")
        assert [line[4:] for line in announced] == [
            "laz.test",
            "PIPELINING",
            "SIZE 4321",
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "DSN",
            "SMTPUTF8",
            "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE",
        ]
        for command in (
            "MAIL",
            "MAIL FROM:<a@b> SIZE=99999",
            "RCPT TO:<a@b>",
            "DATA",
            "MAIL FROM:<a@b>",
            "MAIL FROM:<a@b>",
            "RCPT TO:<>",
            "RCPT TO:<c@d>",
            "DATA x",
            "RSET",
            "RSET x",
            "NOOP",
            "VRFY c@d",
            "EXPN list",
            "HELP",
            "FROBNICATE",
            "AUTH PLAIN AGEAYg==",
            "STARTTLS",
            "\0",
            "EHLO",
            "HELO",
            "XFORWARD",
            "QUIT x",
            "QUIT",
        ):
            reply = await talk.ask(command)
            assert re.match(r"([245])\d\d \1\.\d\.\d ", reply), (command, reply)


# --- smuggling ---


@pytest.mark.parametrize("path", corpus_files("smtp", "*.bin"), ids=lambda path: path.name)
async def test_corpus_smuggling_is_one_refusal_and_no_mail(path):
    async with serving() as server, talking(server.port) as talk:
        assert (await talk.deliver(path.read_bytes())).startswith("550 ")
        assert (await talk.ask("NOOP")).startswith("250 ")  # the next reply belongs to the next command
        assert server.recorder.got == []


async def test_a_command_ended_by_a_bare_line_feed_is_none():
    async with serving() as server, talking(server.port) as talk:
        await talk.ask("EHLO test")
        for line in (b"NOOP\n", b"NOOP\rNOOP\r\n", b"NO\0OP\r\n"):
            await talk.send(line)
            assert (await talk.reply()).startswith("500 5.5.2 ")


async def test_nothing_sent_behind_quit_is_carried_out():
    async with serving() as server, talking(server.port) as talk:
        await talk.ask("EHLO test")
        await talk.send(b"QUIT\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n")
        assert (await talk.reply()).startswith("221 2.0.0 ")
        assert await talk.reply() == ""
        assert server.recorder.got == []


# --- the rest of a session ---


async def test_many_transactions_share_a_session_and_nothing_leaks_between_them():
    async with serving() as server, talking(server.port) as talk:
        await talk.ask("EHLO test")
        for n in range(3):
            assert (await talk.ask(f"XFORWARD IDENT=Q{n}" if n == 0 else "NOOP")).startswith("250 ")
            await talk.ask(f"MAIL FROM:<a{n}@b>" + (" ENVID=first" if n == 0 else ""))
            await talk.ask(f"RCPT TO:<c{n}@d>")
            await talk.ask("DATA")
            assert (await talk.ask(f"{n}\r\n.")).startswith("250 ")
        envelopes = [envelope for envelope, _ in server.recorder.got]
        assert [envelope.sender for envelope in envelopes] == ["a0@b", "a1@b", "a2@b"]
        assert [envelope.parameters for envelope in envelopes] == [("ENVID=first",), (), ()]
        assert [envelope.xforward for envelope in envelopes] == [(("IDENT", "Q0"),), (), ()]
        assert [len(envelope.recipients) for envelope in envelopes] == [1, 1, 1]


async def test_a_whole_session_may_come_pipelined_in_one_packet():
    async with serving() as server, talking(server.port) as talk:
        await talk.send(
            b"EHLO test\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nDATA\r\none\r\n.\r\n"
            b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\ntwo\r\n.\r\nQUIT\r\n"
        )
        codes = [(await talk.reply())[:3] for _ in range(9)]
        assert codes == ["250", "250", "250", "354", "250", "250", "250", "354", "250"]
        assert [message for _, message in server.recorder.got] == [b"one\r\n", b"two\r\n"]


async def test_too_large_a_message_is_read_on_and_refused_with_552_and_the_session_goes_on():
    async with serving(max_message_bytes=10_000) as server, talking(server.port) as talk:
        await talk.open_message()
        for _ in range(200):
            await talk.send((b"x" * 998 + b"\r\n") * 50)
            assert server.held_bytes <= 10_000 + 2 + 131_072
        await talk.send(b".\r\n")
        assert (await talk.reply()).startswith("552 5.3.4 ")
        assert (await talk.deliver(b"small\r\n.\r\n")).startswith("250 ")
        assert len(server.recorder.got) == 1


async def test_when_memory_for_mail_is_used_up_a_message_is_put_off_with_452():
    async with serving(max_memory_bytes=5000) as server, talking(server.port) as first, talking(server.port) as second:
        server.recorder.wait = asyncio.Event()
        await first.open_message()
        await first.send(b"x" * 4000 + b"\r\n.\r\n")
        await asyncio.wait_for(server.recorder.entered.wait(), 5)
        assert (await second.deliver(b"y" * 4000 + b"\r\n.\r\n")).startswith("452 4.3.1 ")
        server.recorder.wait.set()
        assert (await first.reply()).startswith("250 ")
        assert server.held_bytes == 0


async def test_more_recipients_than_the_bound_are_put_off_one_by_one():
    async with serving(max_recipients=2) as server, talking(server.port) as talk:
        for command in ("EHLO test", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "RCPT TO:<e@f>"):
            assert (await talk.ask(command)).startswith("250")
        assert (await talk.ask("RCPT TO:<g@h>")).startswith("452 4.5.3 ")
        await talk.ask("DATA")
        assert (await talk.ask("x\r\n.")).startswith("250 ")
        assert len(server.recorder.got[0][0].recipients) == 2


async def test_connections_past_the_bound_get_421():
    async with serving(max_connections=1) as server, talking(server.port):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await reader.read()).startswith(b"421 4.7.0 ")
        writer.close()


async def test_an_idle_client_is_told_so_and_dropped():
    async with serving(command_seconds=0.2) as server, talking(server.port) as talk:
        assert (await talk.reply()).startswith("421 4.4.2 ")
        assert await talk.reply() == ""


async def test_data_that_trickles_past_its_time_is_dropped():
    async with serving(data_seconds=0.5) as server, talking(server.port) as talk:
        await talk.open_message()
        with contextlib.suppress(ConnectionError):
            for _ in range(30):
                await talk.send(b"x\r\n")
                await asyncio.sleep(0.05)
        assert server.sessions == set()
        assert server.recorder.got == []


async def test_what_the_next_hop_lacks_is_not_announced_and_its_parameters_are_refused():
    async with serving(offers=frozenset) as server, talking(server.port) as talk:
        announced = await talk.ask("EHLO test")
        assert not re.search("DSN|SMTPUTF8|8BITMIME", announced)
        assert (await talk.ask("MAIL FROM:<a@b> RET=FULL")).startswith("555 5.5.4 ")
        assert (await talk.ask("MAIL FROM:<a@b> SIZE=5 AUTH=<>")).startswith("250 ")


async def test_smtputf8_is_never_announced_without_8bitmime():
    async with serving(offers=lambda: frozenset({"smtputf8"})) as server, talking(server.port) as talk:
        assert "SMTPUTF8" not in await talk.ask("EHLO test")


async def test_xforward_is_neither_announced_to_nor_taken_from_strangers():
    async with serving(xforward_peers=("192.0.2.0/24",)) as server, talking(server.port) as talk:
        assert "XFORWARD" not in await talk.ask("EHLO test")
        assert (await talk.ask("XFORWARD NAME=x")).startswith("550 5.7.1 ")


async def test_xforward_is_not_taken_within_a_transaction():
    async with serving() as server, talking(server.port) as talk:
        await talk.ask("EHLO test")
        await talk.ask("MAIL FROM:<a@b>")
        assert (await talk.ask("XFORWARD NAME=x")).startswith("503 5.5.1 ")


async def test_helo_has_no_extensions():
    async with serving() as server, talking(server.port) as talk:
        assert await talk.ask("HELO test") == "250 laz.test"
        assert (await talk.ask("MAIL FROM:<a@b> SIZE=1")).startswith("555 5.5.4 ")
        await talk.ask("MAIL FROM:<a@b>")
        await talk.ask("RCPT TO:<c@d>")
        await talk.ask("DATA")
        await talk.ask("x\r\n.")
        assert server.recorder.got[0][0].extended is False


async def test_the_bytes_of_a_message_arrive_as_they_were_meant():
    body = b".leading dot\r\n..two\r\n\r\n.\0.\r\n\xff\xfe8-bit \xc3\xa9\r\n"
    async with serving() as server, talking(server.port) as talk:
        assert (await talk.deliver(body.replace(b"\r\n.", b"\r\n..").replace(b".", b"..", 1) + b".\r\n")).startswith(
            "250"
        )
        assert server.recorder.got[0][1] == body


async def test_a_stop_lets_the_message_under_way_end_and_sends_idle_clients_home():
    async with serving() as server, talking(server.port) as idle, talking(server.port) as working:
        server.recorder.wait = asyncio.Event()
        await working.open_message()
        await working.send(b"x\r\n.\r\n")
        await asyncio.wait_for(server.recorder.entered.wait(), 5)
        stopping = asyncio.create_task(server.stop(10))
        assert (await idle.reply()).startswith("421 4.3.2 ")
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", server.port)
        server.recorder.wait.set()
        assert (await working.reply()).startswith("250 ")
        assert (await working.reply()).startswith("421 4.3.2 ")
        await asyncio.wait_for(stopping, 5)


async def test_a_stop_is_bounded():
    async with serving() as server, talking(server.port) as working:
        server.recorder.wait = asyncio.Event()
        await working.open_message()
        await working.send(b"x\r\n.\r\n")
        await asyncio.wait_for(server.recorder.entered.wait(), 5)
        await asyncio.wait_for(server.stop(0.2), 5)
        await asyncio.wait_for(server.recorder.cancelled.wait(), 5)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.DELIVERED, Kind.NEXT_HOP_REFUSED)])
async def test_every_outcome_is_one_reply_with_its_code(kind):
    async with serving() as server, talking(server.port) as talk:
        server.recorder.ended = outcome(kind, "detail for the log")
        reply = await talk.deliver(b"x\r\n.\r\n")
        assert re.match(r"([45])\d\d \1\.\d\.\d \S", reply)
        assert "detail" not in reply


@pytest.mark.parametrize("path", corpus_files("smtp", "*.cmy"), ids=lambda path: path.name)
async def test_corpus_dialogs_get_no_second_mail_and_no_crash(path):
    """Another server's dialogues: their exact texts are not ours, the classes of their replies are."""
    if "bad_data.cmy" in path.name:
        pytest.skip("wants malformed headers refused; here they are mended, see mail/")
    async with serving() as server:
        await run_foreign(server.port, read_foreign(path.read_text()))
        assert len(server.recorder.got) <= 1
