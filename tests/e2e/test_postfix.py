"""A real Postfix before and after, configured by the files in config/postfix/: Postfix -> Lazaretto -> Postfix -> a sink.

What is covered: content_filter over SMTP and LMTP, smtpd_proxy_filter with speed_adjust and without, XFORWARD, DSN, SIZE,
8BITMIME, SMTPUTF8, PIPELINING, STARTTLS on both sides, many transactions of one session, a next hop that is down; swaks as
a client that is neither Postfix nor Python.
"""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import io
import re
import shutil
import smtplib
import subprocess
import zipfile

import pytest

from tests.corpus import containers
from tests.fakes.certificates import NAME, certificates
from tests.fakes.postfix import free_port, postfix, why_not
from tests.fakes.serving import serving, sink
from tests.gateway.messages import TEXT_ONLY, with_attachments

pytestmark = [pytest.mark.postfix, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]


def without_sandbox(tmp_path) -> str:
    (tmp_path / "empty").mkdir(exist_ok=True)
    return f'[sandbox]\ncache_dir = "{tmp_path / "empty"}"\n'


@contextlib.contextmanager
def between(tmp_path, config: str = "", **options):
    """Postfix, the gateway, Postfix and a sink; `options` are those of the Postfixes."""
    reinjection = free_port()
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, config) as served,
        postfix(sink=sink_port, lazaretto=served.port, reinjection=reinjection, **options) as mta,
    ):
        yield mail, served, mta


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
    # the last leg is not ours: folding there would hide what happened on the way through the gateway
    with between(tmp_path, without_sandbox(tmp_path), smtp_line_length_limit="0") as (mail, served, mta):
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
    with between(tmp_path, without_sandbox(tmp_path)) as (mail, _served, mta):
        assert send(mta.front, with_attachments(b"document"))[0] == 250
        mta.wait_for(r"status=deferred .*451 4.3.0 Attachments cannot be made safe at present")
        assert mail.got.empty()


def test_after_the_queue_dsn_and_utf8_addresses_go_all_the_way(tmp_path):
    with between(tmp_path, without_sandbox(tmp_path)) as (mail, _served, mta):
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


def test_after_the_queue_over_lmtp_each_recipient_has_its_own_reply_and_a_message_for_many_is_one(tmp_path):
    """Two hundred recipients and one that the re-injection listener refuses: the others have it, the sender hears of one."""
    message = TEXT_ONLY + b"8-bit \xc3\xa9\xff\r\n" + b"long " * 800 + b"\r\n"
    many = [f"r{number}@example.net" for number in range(200)]
    refuse = "check_recipient_access inline:{{nobody@example.net=550 5.1.1 no such user}},permit_mynetworks,reject"
    reinjection = free_port()
    config = '[smtp]\nlisten = ["lmtp:127.0.0.1:0"]\n' + without_sandbox(tmp_path)
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, config) as served,
        postfix(
            sink=sink_port,
            lazaretto=served.port,
            reinjection=reinjection,
            lmtp=True,
            listener_options=(f"{{smtpd_recipient_restrictions={refuse}}}",),
            smtp_line_length_limit="0",
        ) as mta,
    ):
        code, _ = send(
            mta.front, message, [*many, "nobody@example.net"], mail=["ENVID=Ab+2BCd"], rcpt=["NOTIFY=FAILURE"]
        )
        assert code == 250
        got: dict[str, bytes] = {}
        bounce = b""
        while len(got) < len(many) or not bounce:
            sender, recipients, content = mail.next()
            if sender == "a@example.org":
                assert not got.keys() & recipients, "a second copy"
                got |= dict.fromkeys(recipients, content)
            else:
                bounce = content
        assert sorted(got) == sorted(many)
        assert all(without_trace(content) == message for content in got.values())
        assert b"550 5.1.1" in bounce
        assert b"Original-Envelope-Id: Ab+Cd" in bounce
        assert bounce.count(b"Final-Recipient:") == 1
        logged = []
        while sum(event["recipient_count"] for event in logged) < len(many) + 1:
            logged.append(served.wait_for("message"))
        assert len(logged) <= 10  # lmtp_destination_recipient_limit is 50
        assert mta.wait_for(rf"client=unknown\[127.0.0.1\], orig_queue_id={logged[0]['xforward_ident']}")


def test_after_the_queue_starttls_on_both_sides_with_names_that_are_checked(tmp_path):
    made = certificates()
    reinjection = free_port()
    config = (
        f'[smtp]\ntls = "required"\ntls_certificate = "{made.certificate}"\ntls_key = "{made.key}"\n'
        f'[relay]\ntls = "verify"\ntls_ca_file = "{made.authority}"\ntls_name = "{NAME}"\n'
    ) + without_sandbox(tmp_path)
    files = {
        "smtp_tls_secure_cert_match": NAME,
        "smtp_tls_CAfile": str(made.authority),
        "smtpd_tls_cert_file": str(made.certificate),
        "smtpd_tls_key_file": str(made.key),
    }
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, config) as served,
        postfix(
            sink=sink_port,
            lazaretto=served.port,
            reinjection=reinjection,
            tls=files,
            smtp_tls_loglevel="1",
            smtpd_tls_loglevel="1",
        ) as mta,
    ):
        message = TEXT_ONLY + b"x" * 100_000 + b"\r\n"
        assert send(mta.front, message)[0] == 250
        assert len(without_trace(mail.next()[2])) >= len(message)
        assert mta.wait_for(rf"Verified TLS connection established to 127.0.0.1\[127.0.0.1\]:{served.port}: TLSv1.[23]")
        assert mta.wait_for(r"smtpd\[\d+\]: \w* ?TLS connection established from .*127.0.0.1.*: TLSv1.[23]")
        assert served.wait_for("message")["outcome"] == "delivered"


def test_after_the_queue_no_mail_goes_in_the_clear_to_one_who_does_not_offer_starttls(tmp_path):
    """Postfix insists, the gateway offers none: the mail waits. And the other way round: "may" takes what there is."""
    reinjection = free_port()
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, '[relay]\ntls = "may"\n' + without_sandbox(tmp_path)) as served,
        postfix(
            sink=sink_port,
            lazaretto=served.port,
            reinjection=reinjection,
            transport_options=("smtp_tls_security_level=encrypt",),
        ) as mta,
    ):
        assert send(mta.front, TEXT_ONLY)[0] == 250
        mta.wait_for(r"status=deferred \(TLS is required, but was not offered")
        assert mail.got.empty()
        assert send(served.port, TEXT_ONLY)[0] == 250  # the listener behind it offers no TLS either, and has it
        assert without_trace(mail.next()[2]) == TEXT_ONLY


@pytest.mark.sandbox
def test_after_the_queue_an_attachment_arrives_as_a_flattened_pdf(tmp_path):
    message = with_attachments(b"plain words of a text document\n")
    with between(tmp_path) as (mail, _served, mta):
        assert send(mta.front, message)[0] == 250
        content = mail.next(200)[2]
    [attached] = email.message_from_bytes(content, policy=email.policy.default).iter_attachments()
    assert attached.get_filename() == "file1.doc.pdf"
    assert attached.get_content().startswith(b"%PDF-")


@pytest.mark.sandbox
def test_after_the_queue_what_was_in_containers_arrives_flattened(tmp_path):
    archive = containers.zipped({"papers/words.txt": b"words in an archive\n", "setup.exe": b"MZ\x90\0" + bytes(500)})
    with between(tmp_path) as (mail, _served, mta):
        assert send(mta.front, with_attachments(archive, containers.winmail(), containers.msg()))[0] == 250
        content = mail.next(200)[2]
    zipped, *parts, outlook = email.message_from_bytes(content, policy=email.policy.default).iter_attachments()
    with zipfile.ZipFile(io.BytesIO(zipped.get_content())) as papers:
        assert papers.namelist() == ["papers/words.txt.pdf", "REMOVED.txt"]
        assert papers.read("papers/words.txt.pdf").startswith(b"%PDF-")
        assert b"setup.exe" in papers.read("REMOVED.txt")
    assert [part.get_content_type() for part in parts] == ["multipart/mixed"]
    assert outlook.get_content_type() == "message/rfc822"
    for container in (archive, containers.winmail(), containers.msg()):
        assert base64.b64encode(container)[:60] not in content.replace(b"\r\n", b"")


@pytest.mark.sandbox
def test_after_the_queue_mail_may_grow_past_what_strangers_may_send(tmp_path):
    """The limit at the public listener is not the one behind the filter."""
    import pymupdf

    with pymupdf.open() as document:
        for _ in range(12):
            document.new_page().insert_text((72, 72), "words")
        pdf = document.tobytes(deflate=True, garbage=4)
    with between(tmp_path, front_options=("message_size_limit=20000",)) as (mail, _served, mta):
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
        # one transaction for all of them: speed_adjust wants one class of reply
        many = [f"r{number}@example.net" for number in range(100)]
        code, text = send(mta.front, message, many, mail=["RET=HDRS", "ENVID=Ab"], rcpt=["NOTIFY=SUCCESS"])
        assert code == 250
        assert b"queued as" in text  # the second Postfix's own words
        got: list[str] = []
        report = b""
        while len(got) < len(many) or not report:
            sender, recipients, content = mail.next()
            if sender == "a@example.org":
                assert without_trace(content) == message
                got += recipients
            else:
                report = content  # "relayed": the sink has no DSN
        assert sorted(got) == sorted(many)
        assert b"Original-Envelope-Id: Ab" in report
        logged = served.wait_for("message")
        assert (logged["outcome"], logged["recipient_count"]) == ("delivered", 100)


def test_before_the_queue_utf8_addresses_and_the_first_client_go_through(tmp_path):
    with between(tmp_path, without_sandbox(tmp_path), before_queue=True) as (mail, _served, mta):
        with smtplib.SMTP("127.0.0.1", mta.front, timeout=60, source_address=("127.0.0.9", 0)) as client:
            client.ehlo("client.test")
            client.command_encoding = "utf-8"
            assert client.mail("jörg@example.org", ["SMTPUTF8", "BODY=8BITMIME"])[0] == 250
            assert client.rcpt("用户@example.net")[0] == 250
            assert client.data("From: a@example.org\r\nSubject: ü\r\n\r\ntext\r\n".encode())[0] == 250
            sender, recipients, content = mail.next()
            assert (sender, recipients) == ("jörg@example.org", ["用户@example.net"])
            assert "Subject: ü\r\n".encode() in content
            # many transactions of one client, each of which Postfix hands on in a connection of its own
            for number in range(5):
                client.mail("a@example.org")
                client.rcpt(f"r{number}@example.net")
                assert client.data(TEXT_ONLY)[0] == 250
                assert mail.next()[1] == [f"r{number}@example.net"]
        # XFORWARD has gone through: the listener behind the gateway knows the first client, and for each message anew
        behind = re.findall(r"smtpd\[(\d+)\]: \w+: client=\S+, orig_client=unknown\[127.0.0.9\]", mta.log())
        assert len(behind) == 6
        connections = [pid for pid in re.findall(r"smtpd\[(\d+)\]: connect from", mta.log()) if pid in behind]
        assert len(connections) < 6, "the gateway's connection is used again"


def test_before_the_queue_the_sender_hears_our_refusal_and_our_451(tmp_path):
    ambiguous = TEXT_ONLY.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\nContent-Type: text/html\r\n\r\n", 1)
    config = without_sandbox(tmp_path) + '[policy]\nambiguous = "refuse"\n'
    with between(tmp_path, config, before_queue=True) as (mail, _served, mta):
        assert send(mta.front, ambiguous) == (550, b"5.7.1 Message refused by policy")
        code, text = send(mta.front, with_attachments(b"document"))
        assert (code, text[:6]) == (451, b"4.3.0 ")
        assert mail.got.empty()


@pytest.mark.parametrize("adjust", [True, False], ids=["speed_adjust", "no speed_adjust"])
def test_before_the_queue_with_speed_adjust_and_without_mail_and_refusals_go_through(tmp_path, adjust):
    """Without it Postfix speaks to us while the client still sends: envelope, then the message line by line."""
    reinjection = free_port()
    message = TEXT_ONLY + b"8-bit \xc3\xa9\r\n.dot\r\n" + b"x" * 60_000 + b"\r\n"
    ambiguous = TEXT_ONLY.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\nContent-Type: text/html\r\n\r\n", 1)
    config = without_sandbox(tmp_path) + '[policy]\nambiguous = "refuse"\n'
    refuse = "check_recipient_access inline:{{nobody@example.net=550 5.1.1 no such user}},permit_mynetworks,reject"
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, config) as served,
        postfix(
            sink=sink_port,
            lazaretto=served.port,
            reinjection=reinjection,
            before_queue=True,
            speed_adjust=adjust,
            listener_options=(f"{{smtpd_recipient_restrictions={refuse}}}",),
            smtp_line_length_limit="0",
        ) as mta,
    ):
        assert ("speed_adjust" in (mta.base / "etc" / "master.cf").read_text()) is adjust
        with smtplib.SMTP("127.0.0.1", mta.front, timeout=60) as client:
            client.ehlo("client.test")
            for number in range(3):
                client.mail("a@example.org", ["BODY=8BITMIME", f"SIZE={len(message)}", "RET=HDRS", f"ENVID=x{number}"])
                client.rcpt(f"r{number}@example.net", ["NOTIFY=NEVER"])
                assert client.data(message)[0] == 250
                sender, recipients, content = mail.next()
                assert (sender, recipients) == ("a@example.org", [f"r{number}@example.net"])
                assert without_trace(content) == message
            client.mail("a@example.org")
            client.rcpt("b@example.net")
            assert client.data(ambiguous) == (550, b"5.7.1 Message refused by policy")
        assert send(mta.front, TEXT_ONLY, ("nobody@example.net",))[0] == 550
        assert mail.got.empty()


def test_after_the_queue_a_message_over_our_size_is_not_sent_and_its_sender_hears_of_it(tmp_path):
    """SIZE, as we announce it, is what Postfix goes by; nothing of the message crosses the wire."""
    config = without_sandbox(tmp_path) + "[smtp]\nmax_message_bytes = 20000\n"
    with between(tmp_path, config) as (mail, _served, mta):
        assert send(mta.front, TEXT_ONLY + b"x" * 30_000 + b"\r\n")[0] == 250
        mta.wait_for(r"status=bounced \(message size \d+ exceeds size limit 20000 of server 127.0.0.1")
        assert mail.next()[1] == ["a@example.org"]
        assert send(mta.front, TEXT_ONLY)[0] == 250
        assert without_trace(mail.next()[2]) == TEXT_ONLY


def test_after_the_queue_the_size_that_we_tell_the_next_hop_is_that_of_the_message_as_it_leaves(tmp_path):
    """The listener behind us allows so much and no more: our SIZE= is refused at MAIL, before the message."""
    reinjection = free_port()
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, without_sandbox(tmp_path)) as served,
        postfix(
            sink=sink_port,
            lazaretto=served.port,
            reinjection=reinjection,
            listener_options=("message_size_limit=15000",),
        ) as mta,
    ):
        code, text = send(served.port, TEXT_ONLY + b"x" * 30_000 + b"\r\n")
        assert (code, text[:5]) == (552, b"5.3.4")
        assert mta.wait_for(r"NOQUEUE: reject: MAIL from .*552 5.3.4 Message size exceeds fixed limit")
        assert mail.got.empty()
        assert send(served.port, TEXT_ONLY)[0] == 250
        assert without_trace(mail.next()[2]) == TEXT_ONLY


def swaks(port: int, *arguments: str) -> str:
    if not shutil.which("swaks"):
        pytest.skip("swaks is not installed")
    fixed = ["--server", "127.0.0.1", "--port", str(port), "--from", "a@example.org", "--ehlo", "swaks.test"]
    ended = subprocess.run(["swaks", *fixed, *arguments], check=False, timeout=120, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_swaks_pipelines_through_us_and_two_postfixes(tmp_path):
    (tmp_path / "message").write_bytes(TEXT_ONLY)
    with between(tmp_path, without_sandbox(tmp_path)) as (mail, served, mta):
        for port in (mta.front, served.port):
            recipients = ",".join(f"r{number}@example.net" for number in range(30))
            told = swaks(port, "--to", recipients, "--pipeline", "--data", f"@{tmp_path / 'message'}")
            for extension in ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"):
                assert re.search(rf"(?m)^<-\s+250[- ]{extension}", told), extension
            got: list[str] = []
            while len(got) < 30:
                _, some, content = mail.next()
                got += some
                assert without_trace(content).rstrip() == TEXT_ONLY.rstrip()
            assert sorted(got) == sorted(recipients.split(","))


def test_many_transactions_of_one_session_go_to_postfix_over_connections_that_are_used_again(tmp_path):
    with between(tmp_path, without_sandbox(tmp_path)) as (mail, served, mta):
        with smtplib.SMTP("127.0.0.1", served.port, timeout=60) as client:
            client.ehlo("client.test")
            for number in range(40):
                if number % 5 == 4:  # one is given up half-way
                    client.mail("a@example.org")
                    client.rcpt("given-up@example.net")
                    client.rset()
                client.mail("a@example.org")
                client.rcpt(f"r{number}@example.net")
                assert client.data(TEXT_ONLY)[0] == 250
        got = sorted(mail.next()[1][0] for _ in range(40))
        assert got == sorted(f"r{number}@example.net" for number in range(40))
        listening = re.findall(r"smtpd\[\d+\]: disconnect from .* mail=(\d+)", mta.log())
        connects = len(re.findall(r"smtpd\[\d+\]: connect from", mta.log()))
        assert connects < 10, listening


def test_a_next_hop_that_is_down_is_passed_over_and_mail_waits_where_all_are(tmp_path):
    dead, reinjection = free_port(), free_port()
    config = without_sandbox(tmp_path) + (
        f'[relay]\nnext_hop = ["127.0.0.1:{dead}", "127.0.0.1:{reinjection}"]\navoid_seconds = 1.0\n'
    )
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, None, config) as served,
    ):
        with postfix(sink=sink_port, lazaretto=served.port, reinjection=reinjection) as mta:
            for number in range(3):
                assert send(mta.front, TEXT_ONLY, (f"r{number}@example.net",))[0] == 250
            assert sorted(mail.next()[1][0] for _ in range(3)) == [f"r{number}@example.net" for number in range(3)]
        code, text = send(served.port, TEXT_ONLY)  # now both are down
        assert (code, text[:3]) == (451, b"4.4")


def test_encrypted_mail_arrives_marked_and_otherwise_byte_for_byte(tmp_path):
    message = TEXT_ONLY + (
        b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA1234567890ABCDEFGH\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n"
    )
    with between(tmp_path, without_sandbox(tmp_path)) as (mail, _served, mta):
        assert send(mta.front, b"X-Lazaretto-Not-Examined: nothing\r\n" + message)[0] == 250
        content = mail.next()[2]
        assert without_trace(content) == message
        assert re.findall(rb"(?m)^X-Lazaretto-Not-Examined: .*\r$", content) == [
            b"X-Lazaretto-Not-Examined: encrypted\r"
        ]
