"""A real Postfix before and after, configured by the files in config/postfix/: Postfix -> Lazaretto -> Postfix -> a sink."""

from __future__ import annotations

import email
import email.policy
import smtplib

import pytest

from tests.fakes.postfix import free_port, postfix, why_not
from tests.fakes.serving import serving, sink
from tests.gateway.messages import TEXT_ONLY, with_attachments

pytestmark = [pytest.mark.postfix, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]


def without_sandbox(tmp_path) -> str:
    (tmp_path / "empty").mkdir(exist_ok=True)
    return f'[sandbox]\ncache_dir = "{tmp_path / "empty"}"\n'


def send(port: int, message: bytes, recipients=("b@example.net",), mail=(), rcpt=()) -> tuple[int, bytes]:
    with smtplib.SMTP("127.0.0.1", port, timeout=300) as client:
        client.ehlo("client.test")
        assert client.mail("a@example.org", ["BODY=8BITMIME", *mail])[0] == 250
        for recipient in recipients:
            assert client.rcpt(recipient, list(rcpt))[0] == 250
        return client.data(message)


def without_trace(content: bytes) -> bytes:
    """The message without the fields that MTAs put on top."""
    return content[content.index(b"From: a@example.org") :]


def test_after_the_queue_plain_mail_arrives_byte_for_byte_and_the_first_client_is_known(tmp_path):
    message = TEXT_ONLY + b"8-bit \xc3\xa9\xff\r\n" + b"long " * 800 + b"\r\n.\r\n..\r\n"
    reinjection = free_port()
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, without_sandbox(tmp_path)) as served,
        # the last leg is not ours: folding there would hide what happened on the way through the gateway
        postfix(sink=sink_port, lazaretto=served.port, reinjection=reinjection, smtp_line_length_limit="0") as mta,
    ):
        assert send(mta.front, message, ("b@example.net", "c@example.net"))[0] == 250
        got = [mail.next(), mail.next()]
        assert sorted(recipients[0] for _, recipients, _ in got) == ["b@example.net", "c@example.net"]
        assert [without_trace(content) for _, _, content in got] == [message, message]
        assert mta.wait_for(rf"relay=127.0.0.1\[127.0.0.1\]:{served.port}.*status=sent \(250 2.0.0 Ok: queued as")
        logged = served.wait_for("message")
        assert logged["outcome"] == "delivered"
        assert logged["xforward_ident"] in mta.log()
        # XFORWARD has gone through: the re-injection listener knows the client of the first one
        assert mta.wait_for(rf"client=unknown\[127.0.0.1\], orig_queue_id={logged['xforward_ident']}")


def test_after_the_queue_mail_waits_in_postfix_while_the_gateway_is_down_and_arrives_later(tmp_path):
    reinjection, lazaretto = free_port(), free_port()
    with (
        sink() as (mail, sink_port),
        postfix(sink=sink_port, lazaretto=lazaretto, reinjection=reinjection) as mta,
    ):
        assert send(mta.front, TEXT_ONLY)[0] == 250
        mta.wait_for(r"status=deferred \(connect to 127.0.0.1")
        assert mail.got.empty()
        with serving(tmp_path, reinjection, without_sandbox(tmp_path), listen=lazaretto):
            mta.command("flush")
            assert without_trace(mail.next()[2]) == TEXT_ONLY


def test_after_the_queue_a_451_for_want_of_a_sandbox_keeps_the_mail_in_postfix(tmp_path):
    reinjection = free_port()
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, without_sandbox(tmp_path)) as served,
        postfix(sink=sink_port, lazaretto=served.port, reinjection=reinjection) as mta,
    ):
        assert send(mta.front, with_attachments(b"document"))[0] == 250
        mta.wait_for(r"status=deferred .*451 4.3.0 Attachments cannot be made safe at present")
        assert mail.got.empty()


def test_after_the_queue_dsn_and_utf8_addresses_go_all_the_way(tmp_path):
    reinjection = free_port()
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, without_sandbox(tmp_path)) as served,
        postfix(sink=sink_port, lazaretto=served.port, reinjection=reinjection) as mta,
    ):
        with smtplib.SMTP("127.0.0.1", mta.front, timeout=60) as client:
            client.ehlo("client.test")
            client.command_encoding = "utf-8"
            assert client.mail("jörg@example.org", ["SMTPUTF8", "RET=HDRS", "ENVID=Ab+2BCd"])[0] == 250
            assert client.rcpt("b@example.net", ["NOTIFY=SUCCESS", "ORCPT=rfc822;Orig@example.net"])[0] == 250
            assert client.data("Subject: ü\r\n\r\ntext\r\n".encode())[0] == 250
        sender, _, content = mail.next()
        assert sender == "jörg@example.org"
        assert "Subject: ü\r\n".encode() in content
        # the sink has no DSN, so that the last Postfix reports "relayed" with the first recipient and the first id:
        # both have come through the gateway with their case
        report = mail.next()[2]
        assert b"Original-Envelope-Id: Ab+Cd" in report
        assert b"Orig@example.net" in report


@pytest.mark.sandbox
def test_after_the_queue_an_attachment_arrives_as_a_flattened_pdf(tmp_path):
    reinjection = free_port()
    message = with_attachments(b"plain words of a text document\n")
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection) as served,
        postfix(sink=sink_port, lazaretto=served.port, reinjection=reinjection) as mta,
    ):
        assert send(mta.front, message)[0] == 250
        content = mail.next(200)[2]
    [attached] = email.message_from_bytes(content, policy=email.policy.default).iter_attachments()
    assert attached.get_filename() == "file1.doc.pdf"
    assert attached.get_content().startswith(b"%PDF-")


@pytest.mark.sandbox
def test_after_the_queue_mail_may_grow_past_what_strangers_may_send(tmp_path):
    """The limit at the public listener is not the one behind the filter."""
    import pymupdf

    with pymupdf.open() as document:
        for _ in range(12):
            document.new_page().insert_text((72, 72), "words")
        pdf = document.tobytes(deflate=True, garbage=4)
    reinjection = free_port()
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection) as served,
        postfix(
            sink=sink_port, lazaretto=served.port, reinjection=reinjection, front_options=("message_size_limit=20000",)
        ) as mta,
    ):
        assert send(mta.front, with_attachments(pdf))[0] == 250
        content = mail.next(200)[2]
        assert len(content) > 20_000


def test_before_the_queue_plain_mail_arrives_byte_for_byte(tmp_path):
    message = TEXT_ONLY + b"8-bit \xc3\xa9\r\n" + b"x" * 5000 + b"\r\n"
    reinjection = free_port()
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, without_sandbox(tmp_path)) as served,
        postfix(
            sink=sink_port,
            lazaretto=served.port,
            reinjection=reinjection,
            before_queue=True,
            smtp_line_length_limit="0",
        ) as mta,
    ):
        code, text = send(mta.front, message, mail=["RET=HDRS", "ENVID=Ab"], rcpt=["NOTIFY=FAILURE"])
        assert code == 250
        assert b"queued as" in text  # the second Postfix's own words
        assert without_trace(mail.next()[2]) == message
        assert served.wait_for("message")["outcome"] == "delivered"


def test_before_the_queue_the_sender_hears_our_refusal_and_our_451(tmp_path):
    reinjection = free_port()
    ambiguous = TEXT_ONLY.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\nContent-Type: text/html\r\n\r\n", 1)
    config = without_sandbox(tmp_path) + '[policy]\nambiguous = "refuse"\n'
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, config) as served,
        postfix(sink=sink_port, lazaretto=served.port, reinjection=reinjection, before_queue=True) as mta,
    ):
        assert send(mta.front, ambiguous) == (550, b"5.7.1 Message refused by policy")
        code, text = send(mta.front, with_attachments(b"document"))
        assert (code, text[:6]) == (451, b"4.3.0 ")
        assert mail.got.empty()
