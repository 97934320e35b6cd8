"""The doors: several of them, LMTP among them, Unix sockets; what the sessions say is in tests/dialogs."""

from __future__ import annotations

import asyncio
import stat

from gateway.config import SmtpSettings
from gateway.outcome import from_next_hop
from gateway.smtp.listener import SmtpServer
from tests.fakes.talk import Talk, talking


class Taking:
    def __init__(self) -> None:
        self.got: list = []

    async def __call__(self, envelope, message):
        self.got.append((envelope, message))
        return from_next_hop(250, "2.0.0 Ok")


async def test_smtp_and_lmtp_are_served_side_by_side():
    taking = Taking()
    server = SmtpServer(SmtpSettings(listen=["127.0.0.1:0", "lmtp:127.0.0.1:0"]), taking)
    smtp, lmtp = await server.start()
    assert (smtp.protocol, lmtp.protocol) == ("smtp", "lmtp")
    async with talking(smtp.port) as one, talking(lmtp.port) as other:
        assert (await one.ask("EHLO x")).startswith("250-")
        assert (await other.ask("EHLO x")).startswith("500 ")
        assert (await other.ask("LHLO x")).startswith("250-")
        await one.deliver(b"x\r\n.\r\n")
        for command in ("MAIL FROM:<>", "RCPT TO:<a@b>", "DATA", "x\r\n."):
            await other.ask(command)
    assert [envelope.each_recipient for envelope, _ in taking.got] == [False, True]
    await server.stop(1)


async def test_a_unix_socket_is_open_to_who_may_enter_its_directory_and_counts_as_loopback(tmp_path):
    taking = Taking()
    path = tmp_path / "lmtp"
    server = SmtpServer(SmtpSettings(listen=f"unix:{path}", max_connections_per_client=1), taking)
    [address] = await server.start()
    assert address.path == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    reader, writer = await asyncio.open_unix_connection(str(path))
    talk = Talk(reader, writer)
    assert (await talk.reply()).startswith("220 ")
    assert "XFORWARD" in await talk.ask("LHLO x")
    second, other = await asyncio.open_unix_connection(str(path))
    assert (await second.read()).startswith(b"421 4.7.0 ")
    other.close()
    for command in ("MAIL FROM:<>", "RCPT TO:<a@b>", "DATA"):
        await talk.ask(command)
    assert (await talk.ask("x\r\n.")).startswith("250 ")
    assert taking.got[0][0].client == "unix"
    writer.close()
    await server.stop(1)


async def test_a_socket_left_over_by_a_crash_is_no_hindrance(tmp_path):
    path = str(tmp_path / "lmtp")
    for _ in range(2):  # the first one is never closed in order
        server = SmtpServer(SmtpSettings(listen=f"unix:{path}"), Taking())
        await server.start()
    _, writer = await asyncio.open_unix_connection(path)
    writer.close()
    await server.stop(1)


async def test_connections_that_ended_count_no_more():
    server = SmtpServer(SmtpSettings(listen="127.0.0.1:0", max_connections=1), Taking())
    [address] = await server.start()
    for _ in range(5):
        async with talking(address.port) as talk:
            assert (await talk.ask("QUIT")).startswith("221 ")
            assert await talk.reply() == ""
        while server.sessions:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
    assert not server.clients._connections
    await server.stop(1)
