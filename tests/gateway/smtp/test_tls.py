"""TLS contexts of both sides; on the wire they are in tests/dialogs (tls_*) and below."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from gateway.config import ConfigError, RelaySettings, SmtpSettings
from gateway.smtp.client import NextHop
from gateway.smtp.envelope import Envelope, Recipient
from gateway.smtp.listener import SmtpServer
from gateway.smtp.tls import client_context, server_context
from tests.fakes.certificates import NAME, certificates
from tests.fakes.next_hop import scripted_next_hop
from tests.fakes.talk import talking


def offering(**more) -> SmtpSettings:
    made = certificates()
    return SmtpSettings(
        listen="127.0.0.1:0",
        hostname="laz.test",
        **{"tls": "may", "tls_certificate": made.certificate, "tls_key": made.key, **more},
    )


def test_off_is_the_default_on_both_sides():
    assert server_context(SmtpSettings()) is None
    assert client_context(RelaySettings()) is None


def test_nothing_below_tls_1_2():
    for context in (
        server_context(offering()),
        client_context(RelaySettings(tls="may")),
        client_context(RelaySettings(tls="verify")),
    ):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_verify_asks_for_a_certificate_and_its_name_and_may_for_neither():
    verify, may = client_context(RelaySettings(tls="verify")), client_context(RelaySettings(tls="may"))
    assert (verify.verify_mode, verify.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (may.verify_mode, may.check_hostname) == (ssl.CERT_NONE, False)


def test_certificate_and_key_may_be_one_file(tmp_path):
    made = certificates()
    both = tmp_path / "both.pem"
    both.write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    assert server_context(offering(tls_certificate=both, tls_key=None))


@pytest.mark.parametrize("what", ["none", "text", "key_missing", "other_key"])
def test_what_cannot_be_used_is_said_at_start(tmp_path, what):
    made = certificates()
    text = tmp_path / "text"
    text.write_text("no certificate")
    other = tmp_path / "other.pem"
    other.write_bytes(made.certificate.with_name("ca.key").read_bytes())
    given = {
        "none": {"tls_certificate": tmp_path / "nowhere"},
        "text": {"tls_certificate": text},
        "key_missing": {"tls_key": None},
        "other_key": {"tls_key": other},
    }[what]
    with pytest.raises(ConfigError, match=r"smtp\.tls_certificate"):
        server_context(offering(**given))


def test_authorities_that_cannot_be_read_are_said_at_start(tmp_path):
    with pytest.raises(ConfigError, match=r"relay\.tls_ca_file"):
        client_context(RelaySettings(tls="verify", tls_ca_file=tmp_path / "nowhere"))


async def ok(envelope, message):
    raise AssertionError("no message was to come")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_an_old_client_gets_no_session():
    server = SmtpServer(offering(), ok)
    [address] = await server.start()
    old = certificates().client()
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with talking(address.port) as talk:
        await talk.ask("EHLO test")
        await talk.ask("STARTTLS")
        with pytest.raises(OSError):
            await talk.writer.start_tls(old, server_hostname=NAME)
    await asyncio.sleep(0.05)
    assert server.sessions == set()
    await server.stop(1)


async def test_plain_text_in_a_packet_of_its_own_behind_starttls_is_no_command():
    server = SmtpServer(offering(), ok)
    [address] = await server.start()
    async with talking(address.port) as talk:
        await talk.ask("EHLO test")
        await talk.send(b"STARTTLS\r\n")
        await asyncio.sleep(0.05)
        await talk.send(b"MAIL FROM:<evil@example.org>\r\n" * 100)
        assert (await talk.reply()).startswith("220 ")
        left = await asyncio.wait_for(talk.reader.read(), 10)
        assert b"250" not in left
        assert b"503" not in left
    assert server.sessions == set()
    await server.stop(1)


async def test_a_client_that_leaves_or_stalls_in_the_handshake_is_forgotten(monkeypatch):
    monkeypatch.setattr("gateway.smtp.connection.MAX_HANDSHAKE", 0.3)
    server = SmtpServer(offering(), ok)
    [address] = await server.start()
    async with talking(address.port) as stalls:
        async with talking(address.port) as leaves:
            await leaves.ask("STARTTLS")
        await stalls.ask("STARTTLS")
        assert await asyncio.wait_for(stalls.reader.read(), 10) == b""
        await asyncio.sleep(0.05)
        assert server.sessions == set()
        assert not server.clients._connections
    await server.stop(1)


async def test_a_stop_in_the_midst_of_a_handshake_ends_it():
    server = SmtpServer(offering(), ok)
    [address] = await server.start()
    async with talking(address.port) as talk:
        await talk.ask("STARTTLS")
        await asyncio.wait_for(server.stop(5), 10)
        assert server.sessions == set()
        assert await asyncio.wait_for(talk.reader.read(), 10) == b""


async def test_a_large_message_passes_under_tls_on_both_sides():
    made = certificates()
    message = (b"x" * 998 + b"\r\n") * 5000
    async with scripted_next_hop(tls=made.server()) as hop:
        relay = NextHop(
            RelaySettings(next_hop=f"127.0.0.1:{hop.port}", tls="verify", tls_ca_file=made.authority), "laz.test"
        )
        server = SmtpServer(offering(tls="required"), relay.relay)
        [address] = await server.start()
        async with talking(address.port) as talk:
            await talk.ask("EHLO test")
            await talk.ask("STARTTLS")
            await talk.writer.start_tls(made.client(), server_hostname=NAME)
            assert (await talk.deliver(message + b".\r\n")).startswith("250 ")
        assert hop.messages == [message + b".\r\n"]
        assert hop.secured == 1
        await server.stop(1)
        await relay.drain(1)


async def test_the_name_that_is_checked_is_the_hosts_where_none_is_given():
    made = certificates()
    envelope = Envelope("a@b", (Recipient("c@d"),))
    async with scripted_next_hop(tls=made.server()) as hop:  # valid for 127.0.0.1
        settings = RelaySettings(next_hop=f"127.0.0.1:{hop.port}", tls="verify", tls_ca_file=made.authority)
        relay = NextHop(settings, "laz.test")
        assert (await relay.relay(envelope, b"x\r\n")).delivered
        await relay.drain(1)
