"""The next hop: its 250 and nothing else is a delivery; parameters and bytes arrive as they are."""

from __future__ import annotations

import asyncio
import socket

import pytest
import structlog

from gateway.config import RelaySettings
from gateway.outcome import Kind
from gateway.smtp.client import NextHop
from gateway.smtp.envelope import Envelope, Recipient
from gateway.smtp.transaction import dot_stuffed
from tests.fakes.next_hop import DROP, HANG, STEPS, scripted_next_hop

MESSAGE = b"Subject: x\r\n\r\n.dot\r\n..dots\r\ntext\r\n"
ONE = Envelope("a@example.org", (Recipient("b@example.net"),))
FULL = Envelope(
    sender="A@Example.org",
    recipients=(Recipient("B@Example.net", ("NOTIFY=SUCCESS", "ORCPT=rfc822;B+2Bb@Example.net")),),
    parameters=("SIZE=5", "BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=QqX+3D", "AUTH=<>"),
    xforward=(("NAME", "mx.example.org"), ("IDENT", "4AbC")),
)
PLAIN_EHLO = "250-sink.test\r\n250 HELP"


def next_hop(port: int, **seconds: float) -> NextHop:
    return NextHop(RelaySettings(next_hop=f"127.0.0.1:{port}", **seconds), "laz.test")


async def relayed(script, envelope=ONE, message=MESSAGE, **seconds):
    async with scripted_next_hop(script) as hop:
        relay = next_hop(hop.port, **seconds)
        ended = await relay.relay(envelope, message)
        await relay.drain(1)
        await asyncio.sleep(0.02)  # QUIT is not waited for
        return ended, hop


async def test_the_next_hops_own_250_is_a_delivery_and_its_text_is_handed_on():
    ended, hop = await relayed({})
    assert ended.delivered
    assert ended.reply == "250 2.0.0 Ok: queued as ABC"
    assert hop.commands[-1] == b"QUIT"


async def test_the_message_arrives_byte_for_byte():
    for message in (
        MESSAGE,
        b"",
        b".\r\n",
        b"\r\n",
        b"a\r\n.\r\nb\r\n",
        b"\xff\xfe\0\x80\r\n",
        b"x" * 3_000_000 + b"\r\n",
    ):
        _, hop = await relayed({}, message=message)
        wire = hop.messages[0]
        assert wire.endswith(b".\r\n")
        lines = wire[: -len(b".\r\n")].split(b"\r\n")
        assert b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines) == message


def test_the_wire_has_one_end_only():
    assert dot_stuffed(b"a\r\n.\r\nb\r\n") == b"a\r\n..\r\nb\r\n.\r\n"
    assert dot_stuffed(b".") == b"..\r\n.\r\n"


async def test_all_parameters_are_passed_as_they_came_and_size_is_counted_anew():
    ended, hop = await relayed(
        {
            "EHLO": "250-sink\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-AUTH PLAIN\r\n250 XFORWARD NAME IDENT"
        },
        FULL,
    )
    assert ended.delivered
    assert hop.commands[:4] == [
        b"EHLO laz.test",
        b"XFORWARD NAME=mx.example.org IDENT=4AbC",
        b"MAIL FROM:<A@Example.org> SIZE=%d BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QqX+3D AUTH=<>" % len(MESSAGE),
        b"RCPT TO:<B@Example.net> NOTIFY=SUCCESS ORCPT=rfc822;B+2Bb@Example.net",
    ]


async def test_addresses_keep_their_bytes():
    envelope = Envelope("ü@example.org", (Recipient(b"\xff\xe9@example.net".decode("utf-8", "surrogateescape")),))
    _, hop = await relayed({}, envelope)
    assert hop.commands_of(b"MAIL")[0].startswith("MAIL FROM:<ü@example.org>".encode())
    assert hop.commands_of(b"RCPT") == [b"RCPT TO:<\xff\xe9@example.net>"]


async def test_xforward_passes_only_what_is_announced_in_lines_that_fit():
    envelope = Envelope(
        "", ONE.recipients, xforward=tuple((name, "x" * 250) for name in ("NAME", "HELO", "IDENT", "PORT"))
    )
    _, hop = await relayed({"EHLO": "250-sink\r\n250 XFORWARD NAME HELO IDENT"}, envelope)
    lines = hop.commands_of(b"XFORWARD")
    assert all(len(line) <= 510 for line in lines)
    assert b"".join(lines).count(b"x" * 250) == 3
    assert not any(b"PORT" in line for line in lines)


@pytest.mark.parametrize("step", STEPS[1:])
@pytest.mark.parametrize("reply", ["550 5.1.1 no\x01 such\r\n", "452 4.2.2 full\r\n"])
async def test_a_refusal_at_any_step_is_never_a_delivery(step, reply):
    envelope = FULL if step == "XFORWARD" else ONE
    reply = reply.strip()
    ended, hop = await relayed({step: reply, "HELO": "550 no"}, envelope)
    assert not ended.delivered
    if step in ("MAIL", "RCPT", "DATA", "dot"):
        assert (ended.kind, ended.code) == (Kind.NEXT_HOP_REFUSED, int(reply[:3]))
        assert ended.reply == reply.replace("\x01", " ")
    else:
        assert ended.code == 451
    assert len(hop.messages) == (step == "dot")


@pytest.mark.parametrize("step", STEPS)
async def test_a_next_hop_that_hangs_up_at_any_step_is_451(step):
    envelope = FULL if step == "XFORWARD" else ONE
    ended, _ = await relayed({step: DROP}, envelope)
    assert (ended.kind, ended.code) == (Kind.NEXT_HOP_DOWN, 451)


@pytest.mark.parametrize("step", STEPS)
async def test_a_next_hop_that_says_421_at_any_step_is_451(step):
    envelope = FULL if step == "XFORWARD" else ONE
    ended, _ = await relayed({step: "421 4.3.2 going away"}, envelope)
    assert (ended.kind, ended.code) == (Kind.NEXT_HOP_DOWN, 451)


@pytest.mark.parametrize("step", STEPS)
async def test_a_next_hop_that_does_not_answer_at_any_step_is_451(step):
    envelope = FULL if step == "XFORWARD" else ONE
    seconds = dict.fromkeys(("greeting_seconds", "command_seconds", "data_seconds", "dot_seconds"), 0.2)
    ended, _ = await relayed({step: HANG}, envelope, **seconds)
    assert (ended.kind, ended.code) == (Kind.NEXT_HOP_TIMEOUT, 451)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "reply", ["hello", "", "2", "999 what", "100 soon", "354 go on", "25\x30-more\r\nx", "x" * 40_000]
)
async def test_garbage_at_any_step_is_451(step, reply):
    if (step, reply) == ("DATA", "354 go on"):
        pytest.skip("that is the right answer there")
    envelope = FULL if step == "XFORWARD" else ONE
    ended, _ = await relayed({step: reply, "HELO": reply}, envelope)
    assert not ended.delivered
    assert ended.code == 451


@pytest.mark.parametrize("step", STEPS[:-1])
async def test_a_reply_too_many_is_never_taken_for_the_one_to_the_dot(step):
    envelope = FULL if step == "XFORWARD" else ONE
    good = {"greeting": "220 x", "EHLO": "250-sink\r\n250 XFORWARD NAME IDENT", "DATA": "354 go"}.get(step, "250 ok")
    ended, _ = await relayed({step: f"{good}\r\n250 ok", "dot": "550 5.7.1 no"}, envelope)
    assert not ended.delivered


@pytest.mark.parametrize("reply", ["251 maybe", "252 perhaps", "200 fine", "354 more"])
async def test_no_other_code_than_250_after_the_dot_is_a_delivery(reply):
    ended, _ = await relayed({"dot": reply})
    assert (ended.delivered, ended.code) == (False, 451)


async def test_a_port_where_nobody_listens_is_451():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ended = await next_hop(unused.getsockname()[1]).relay(ONE, MESSAGE)
    assert (ended.kind, ended.code) == (Kind.NEXT_HOP_DOWN, 451)


THREE = Envelope("a@b", tuple(Recipient(f"{n}@example.net") for n in range(3)))


async def test_recipients_all_refused_for_good_hand_on_the_first_refusal():
    ended, hop = await relayed({"RCPT": ["550 5.1.1 first", "553 5.1.3 second"]}, THREE)
    assert ended.reply == "550 5.1.1 first"
    assert hop.messages == []


async def test_recipients_all_refused_one_of_them_for_now_is_for_now():
    ended, _ = await relayed({"RCPT": ["550 5.1.1 first", "450 4.2.0 second", "550 5.1.1 third"]}, THREE)
    assert ended.reply == "450 4.2.0 second"


async def test_recipients_divided_get_no_message_and_451_so_that_none_is_lost_or_served_twice():
    ended, hop = await relayed({"RCPT": ["250 ok", "550 5.1.1 no", "250 ok"]}, THREE)
    assert (ended.kind, ended.code) == (Kind.RECIPIENTS_DIVIDED, 451)
    assert hop.messages == []
    assert hop.commands_of(b"DATA") == []


async def test_helo_is_tried_where_ehlo_is_unknown():
    ended, hop = await relayed({"EHLO": "502 5.5.1 what"})
    assert ended.delivered
    assert b"HELO laz.test" in hop.commands
    assert hop.commands_of(b"MAIL") == [b"MAIL FROM:<a@example.org>"]


async def test_parameters_that_cost_nothing_are_left_out_where_the_next_hop_lacks_them():
    envelope = Envelope("a@b", ONE.recipients, ("SIZE=1", "BODY=8BITMIME", "SMTPUTF8", "AUTH=<>"))
    ended, hop = await relayed({"EHLO": PLAIN_EHLO}, envelope)
    assert ended.delivered
    assert hop.commands_of(b"MAIL") == [b"MAIL FROM:<a@b>"]


@pytest.mark.parametrize(
    ("parameters", "recipient", "message"),
    [
        (("BODY=8BITMIME",), (), b"\xe9\r\n"),
        (("SMTPUTF8",), (), "ü\r\n".encode()),
        (("RET=FULL",), (), MESSAGE),
        (("ENVID=x",), (), MESSAGE),
        ((), ("NOTIFY=NEVER",), MESSAGE),
    ],
)
async def test_what_the_next_hop_lacks_and_the_message_needs_is_451_and_no_longer_promised(
    parameters, recipient, message
):
    envelope = Envelope("a@b", (Recipient("c@d", recipient),), parameters)
    async with scripted_next_hop({"EHLO": PLAIN_EHLO}) as fake:
        hop = next_hop(fake.port)
        assert hop.offers() == {"8bitmime", "smtputf8", "dsn"}
        ended = await hop.relay(envelope, message)
        assert (ended.kind, ended.code) == (Kind.NEXT_HOP_LACKS, 451)
        assert fake.messages == []
        assert hop.offers() == frozenset()


async def test_the_final_exchange_goes_on_when_nobody_waits_and_its_end_is_logged():
    with structlog.testing.capture_logs() as logs:
        async with scripted_next_hop({"dot": HANG}) as fake:
            hop = next_hop(fake.port)
            waiting = asyncio.create_task(hop.relay(ONE, MESSAGE))
            await asyncio.wait_for(fake.seen("dot").wait(), 5)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            fake.release.set()
            await hop.drain(5)
            await asyncio.sleep(0)
    assert [(event["event"], event["reply"]) for event in logs] == [("ended_unheard", "250 2.0.0 Ok: queued as ABC")]


@pytest.mark.parametrize("step", STEPS[:-1])
async def test_cancelled_before_the_dot_nothing_is_sent_and_the_connection_is_cut(step):
    async with scripted_next_hop({step: HANG}) as fake:
        waiting = asyncio.create_task(next_hop(fake.port).relay(FULL, MESSAGE))
        await asyncio.wait_for(fake.seen(step).wait(), 5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        fake.release.set()
        await asyncio.sleep(0.05)
        assert fake.messages == []


# --- connections that are kept ---


async def test_a_kept_connection_ends_with_quit_after_its_time():
    async with scripted_next_hop() as fake:
        hop = next_hop(fake.port, idle_seconds=0.1)
        assert (await hop.relay(ONE, MESSAGE)).delivered
        assert fake.commands[-1] == b"DATA"
        await asyncio.wait_for(fake.seen("QUIT").wait(), 5)
        assert (await hop.relay(ONE, MESSAGE)).delivered
        assert fake.connections == 2
        await hop.drain(1)


async def test_no_more_connections_than_the_bound_are_kept():
    async with scripted_next_hop({"dot": HANG}) as fake:
        hop = next_hop(fake.port, max_idle_connections=2)
        under_way = [asyncio.create_task(hop.relay(ONE, MESSAGE)) for _ in range(5)]
        while len(fake.messages) < 5:  # noqa: ASYNC110 - the fake tells of the first only
            await asyncio.sleep(0.01)
        fake.release.set()
        assert all(ended.delivered for ended in await asyncio.gather(*under_way))
        await asyncio.sleep(0.05)
        assert len(fake.commands_of(b"QUIT")) == 3
        await hop.drain(1)
        await asyncio.sleep(0.05)
        assert len(fake.commands_of(b"QUIT")) == 5


async def test_a_kept_connection_that_the_next_hop_closed_is_not_used():
    async with scripted_next_hop() as fake:
        hop = next_hop(fake.port, idle_seconds=60)
        assert (await hop.relay(ONE, MESSAGE)).delivered
        for writer in tuple(fake.writers):
            writer.write(b"421 4.4.2 timeout\r\n")
            writer.close()
        await asyncio.sleep(0.05)
        assert (await hop.relay(ONE, MESSAGE)).delivered
        assert fake.connections == 2
        assert fake.commands_of(b"RSET") == []
        await hop.drain(1)


async def test_a_kept_connection_that_does_not_answer_rset_costs_its_bound_once():
    async with scripted_next_hop({"RSET": HANG}) as fake:
        hop = next_hop(fake.port, idle_seconds=60, reset_seconds=0.2)
        ended = await asyncio.gather(*(hop.relay(ONE, MESSAGE) for _ in range(3)))
        assert all(one.delivered for one in ended)
        assert (await asyncio.wait_for(hop.relay(ONE, MESSAGE), 5)).delivered
        assert len(fake.commands_of(b"RSET")) == 1
        await hop.drain(1)


async def test_cancelled_while_a_kept_connection_is_tried_it_is_cut():
    async with scripted_next_hop({"RSET": HANG}) as fake:
        hop = next_hop(fake.port, idle_seconds=60)
        assert (await hop.relay(ONE, MESSAGE)).delivered
        waiting = asyncio.create_task(hop.relay(ONE, MESSAGE))
        await asyncio.wait_for(fake.seen("RSET").wait(), 5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        fake.release.set()
        await asyncio.sleep(0.05)
        assert len(fake.messages) == 1
        assert hop._idle[hop._addresses[0]] == []


# --- LMTP, Unix sockets, several next hops ---


async def test_lmtp_over_a_unix_socket_as_postfix_writes_it(tmp_path):
    path = str(tmp_path / "lmtp")
    async with scripted_next_hop(lmtp=True, path=path) as fake:
        hop = NextHop(RelaySettings(next_hop=f"unix:{path}"), "laz.test")
        ended = await hop.relay(THREE, MESSAGE)
        assert ended.reply == "250 2.0.0 Ok: queued as ABC"
        assert ended.detail == f"next hop lmtp:unix:{path}"
        assert fake.commands[0] == b"LHLO laz.test"
        await hop.drain(1)


async def test_replies_to_one_dot_are_read_however_they_are_cut():
    async with scripted_next_hop(lmtp=True) as fake:
        replies = ["250-2.0.0 first\r\n250 2.0.0 stored", "452 4.2.2 second", "554 5.7.1 third"]

        async def answer(step, writer, good=fake.answer):
            if step != "dot":
                return await good(step, writer)
            if replies:
                wire = "".join(reply + "\r\n" for reply in replies).encode()
                replies.clear()
                for byte in wire:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.001)
            return "done"

        fake.answer = answer
        hop = NextHop(RelaySettings(next_hop=f"lmtp:127.0.0.1:{fake.port}"), "laz.test")
        ended = await hop.relay(THREE, MESSAGE)
        assert [one.code for one in ended.each] == [250, 452, 554]
        assert ended.kind is Kind.RECIPIENTS_DIVIDED
        await hop.drain(1)


async def test_replies_to_one_dot_that_come_together_with_the_end_are_all_heard():
    async with scripted_next_hop(
        {"dot": ["250 2.0.0 a\r\n250 2.0.0 b\r\n550 5.7.1 c\r\n421 4.3.2 bye", DROP]}, lmtp=True
    ) as fake:
        hop = NextHop(RelaySettings(next_hop=f"lmtp:127.0.0.1:{fake.port}"), "laz.test")
        ended = await hop.relay(THREE, MESSAGE)
        assert [one.reply for one in ended.each] == ["250 2.0.0 a", "250 2.0.0 b", "550 5.7.1 c"]
        assert ended.kind is Kind.PARTLY_DELIVERED
        await hop.drain(1)


async def test_the_time_for_the_dot_is_that_of_all_its_replies():
    async with scripted_next_hop({"dot": ["250 2.0.0 a", HANG]}, lmtp=True) as fake:
        hop = NextHop(RelaySettings(next_hop=f"lmtp:127.0.0.1:{fake.port}", dot_seconds=0.3), "laz.test")
        ended = await asyncio.wait_for(hop.relay(THREE, MESSAGE), 5)
        assert [one.kind for one in ended.each] == [Kind.DELIVERED, Kind.NEXT_HOP_TIMEOUT, Kind.NEXT_HOP_TIMEOUT]
        assert (ended.code, ended.in_doubt) == (451, True)


async def test_with_several_next_hops_only_what_all_of_them_have_is_promised():
    async with (
        scripted_next_hop({"greeting": ["220 ok", "421 no"]}) as first,
        scripted_next_hop({"EHLO": PLAIN_EHLO}) as second,
    ):
        hops = [f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"]
        hop = NextHop(RelaySettings(next_hop=hops, max_idle_connections=0), "laz.test")
        assert (await hop.relay(ONE, MESSAGE)).delivered
        assert hop.offers() == {"8bitmime", "smtputf8", "dsn"}
        assert (await hop.relay(ONE, MESSAGE)).delivered
        assert (len(first.messages), len(second.messages)) == (1, 1)
        assert hop.offers() == frozenset()


async def test_a_next_hop_that_failed_is_asked_again_after_its_time_and_where_the_others_fail():
    async with scripted_next_hop({"greeting": ["421 no", "220 ok"]}) as first, scripted_next_hop() as second:
        hops = [f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"]
        hop = NextHop(RelaySettings(next_hop=hops, max_idle_connections=0), "laz.test")
        for wanted in ((0, 1), (0, 2)):
            assert (await hop.relay(ONE, MESSAGE)).delivered
            assert (len(first.messages), len(second.messages)) == wanted
        hop._avoided = dict.fromkeys(hop._addresses, 0.0)  # its time is over
        assert (await hop.relay(ONE, MESSAGE)).delivered
        assert (len(first.messages), len(second.messages)) == (1, 2)
        second.script["greeting"] = "421 no"
        first.script["greeting"] = ["421 no", "220 ok"]
        await hop.relay(ONE, MESSAGE)  # both fail now
        assert (await hop.relay(ONE, MESSAGE)).delivered
        assert len(first.messages) == 2
