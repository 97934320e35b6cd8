"""`lazaretto serve` as a process, from a client's socket to a sink: once with mail that needs no sandbox, once with the real one."""

from __future__ import annotations

import asyncio
import email
import email.policy
import shutil
import smtplib
import socket
import struct
import subprocess
import sys
import zlib

import pytest

from tests.fakes.certificates import certificates
from tests.fakes.next_hop import HANG, scripted_next_hop
from tests.fakes.run_cli import ROOT, environment
from tests.fakes.serving import serving, sink
from tests.fakes.talk import talking
from tests.gateway.messages import TEXT_ONLY, with_attachments

# no image there: the sandbox cannot be opened, and nobody waits for a real one
NO_SANDBOX = '[sandbox]\ncache_dir = "{}"\n'


def without_sandbox(tmp_path) -> str:
    (tmp_path / "empty").mkdir()
    return NO_SANDBOX.format(tmp_path / "empty")


def send(port: int, message: bytes, recipients=("b@example.net",)) -> tuple[int, bytes]:
    """The reply to the dot."""
    with smtplib.SMTP("127.0.0.1", port, timeout=200) as client:
        client.ehlo("client.test")
        client.mail("a@example.org", ["BODY=8BITMIME"])
        for recipient in recipients:
            client.rcpt(recipient)
        return client.data(message)


def test_mail_without_attachments_arrives_byte_for_byte_where_no_sandbox_can_be_had(tmp_path):
    message = TEXT_ONLY + b"8-bit \xc3\xa9\xff\r\n" + b"x" * 5000 + b"\r\n"
    with sink() as (mail, port), serving(tmp_path, port, without_sandbox(tmp_path)) as served:
        assert send(served.port, message)[0] == 250
        assert mail.next() == ("a@example.org", ["b@example.net"], message)
        assert served.stop() == 0


def test_mail_with_attachments_waits_with_451_where_no_sandbox_can_be_had(tmp_path):
    with sink() as (mail, port), serving(tmp_path, port, without_sandbox(tmp_path)) as served:
        code, text = send(served.port, with_attachments(b"document"))
        assert code == 451
        assert str(tmp_path).encode() not in text
        assert mail.got.empty()
        assert any(event["event"] == "sandbox_unavailable" for event in served.events)
        assert send(served.port, TEXT_ONLY)[0] == 250
        assert served.originals == []


def test_a_next_hop_that_is_down_is_451(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with serving(tmp_path, unused.getsockname()[1], without_sandbox(tmp_path)) as served:
            assert send(served.port, TEXT_ONLY)[0] == 451


async def test_sigterm_finishes_the_message_under_way_and_then_ends(tmp_path):
    async with scripted_next_hop({"dot": HANG}) as hop:
        config = without_sandbox(tmp_path)
        with serving(tmp_path, hop.port, config) as served:
            async with talking(served.port) as talk, talking(served.port) as idle:
                await talk.open_message()
                await talk.send(TEXT_ONLY.replace(b"\r\n.", b"\r\n..") + b".\r\n")
                await asyncio.wait_for(hop.seen("dot").wait(), 20)
                served.process.terminate()
                assert (await idle.reply()).startswith("421 4.3.2 ")
                hop.release.set()
                assert await talk.reply() == "250 2.0.0 Ok: queued as ABC"
            assert await asyncio.to_thread(served.process.wait, 20) == 0


def test_systemd_is_told_when_it_listens_and_when_it_stops(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(20)
        with sink() as (_, port):
            config = without_sandbox(tmp_path)
            with serving(tmp_path, port, config, NOTIFY_SOCKET=str(tmp_path / "notify")) as served:
                assert notify.recv(1000).startswith(b"READY=1\n")
                assert served.stop() == 0
                assert notify.recv(1000).startswith(b"STOPPING=1\n")


def test_the_effective_settings_are_logged_at_start(tmp_path):
    with sink() as (_, port), serving(tmp_path, port, without_sandbox(tmp_path)) as served:
        [starting] = [event for event in served.events if event["event"] == "starting"]
        assert starting["settings"]["relay"]["next_hop"] == [f"127.0.0.1:{port}"]
        assert starting["settings"]["mail"]["parts"] == 1000


def swaks(port: int, *arguments: str) -> str:
    if not shutil.which("swaks"):
        pytest.skip("swaks is not installed")
    fixed = ["--server", "127.0.0.1", "--port", str(port), "--from", "a@example.org", "--ehlo", "swaks.test"]
    ended = subprocess.run(["swaks", *fixed, *arguments], check=False, timeout=60, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_swaks_delivers_through_it(tmp_path):
    with sink() as (mail, port), serving(tmp_path, port, without_sandbox(tmp_path)) as served:
        swaks(served.port, "--to", "b@example.net,c@example.net", "--pipeline")
        sender, recipients, content = mail.next()
        assert (sender, recipients) == ("a@example.org", ["b@example.net", "c@example.net"])
        assert b"This is a test mailing" in content


def test_swaks_delivers_over_lmtp_and_over_tls_that_is_checked(tmp_path):
    if shutil.which("swaks"):
        support = subprocess.run(["swaks", "--support"], check=False, timeout=60, capture_output=True, text=True)
        if "TLS supported" not in support.stdout:
            pytest.skip("swaks has no TLS: libnet-ssleay-perl is not installed")
    made = certificates()
    config = (
        f'[smtp]\nlisten = ["127.0.0.1:0", "unix:{tmp_path}/lmtp"]\ntls = "required"\n'
        f'tls_certificate = "{made.certificate}"\ntls_key = "{made.key}"\n'
    ) + without_sandbox(tmp_path)
    verified = ("--tls", "--tls-verify", "--tls-ca-path", str(made.authority))
    with sink() as (mail, port), serving(tmp_path, port, config) as served:
        said = swaks(served.port, "--to", "b@example.net", *verified)
        assert "TLS started with cipher TLSv1." in said
        assert mail.next()[1] == ["b@example.net"]
        over_unix = ("--socket", f"{tmp_path}/lmtp", "--protocol", "LMTP", "--to", "c@example.net,d@example.net")
        fixed = ["swaks", "--from", "a@example.org", "--ehlo", "swaks.test", *over_unix, *verified]
        ended = subprocess.run(fixed, check=False, timeout=60, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert ended.stdout.count("queued as SINK") == 2
        assert mail.next()[1] == ["c@example.net", "d@example.net"]


def test_a_certificate_that_cannot_be_used_stops_the_start_with_one_line(tmp_path):
    file = tmp_path / "lazaretto.toml"
    file.write_text(f'[smtp]\ntls = "may"\ntls_certificate = "{tmp_path}/none.pem"\n')
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(file), "--listen", "127.0.0.1:0"]
    ended = subprocess.run(
        command, check=False, timeout=60, capture_output=True, text=True, cwd=ROOT, env=environment(tmp_path)
    )
    assert ended.returncode == 2
    assert f"smtp.tls_certificate, smtp.tls_key: {tmp_path}/none.pem: No such file" in ended.stderr


HIDDEN = b"Comment\0a text chunk that no viewer shows"


def with_hidden_text(png: bytes) -> bytes:
    """The PNG with a tEXt chunk before its end: bytes that pixels cannot carry, whoever encodes them."""
    chunk = b"tEXt" + HIDDEN
    framed = struct.pack(">I", len(HIDDEN)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    end = png.rindex(b"IEND") - 4
    return png[:end] + framed + png[end:]


@pytest.mark.sandbox
def test_real_attachments_arrive_as_flattened_pdfs_and_pictures(tmp_path):
    import pymupdf

    with pymupdf.open() as document:
        document.new_page().insert_text((72, 72), "The original words")
        document.embfile_add("payload.exe", b"MZ a payload that must not arrive")
        pdf = document.tobytes()
    picture = with_hidden_text(pymupdf.Pixmap(pymupdf.csRGB, (0, 0, 40, 30), True).tobytes("png"))
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.net", "papers"
    message.set_content("see below")
    message.add_alternative('<p>look: <img src="cid:pic@x"></p>', subtype="html")
    message.get_payload()[1].add_related(picture, "image", "png", cid="<pic@x>")
    message.add_attachment(pdf, maintype="application", subtype="pdf", filename="paper.pdf")
    message.add_attachment("plain words", filename="notes.txt")
    message.add_attachment(
        b"MZ\x90\0" + bytes(range(256)) * 9, maintype="application", subtype="x-msdownload", filename="run.exe"
    )
    with sink() as (mail, port), serving(tmp_path, port) as served:
        assert send(served.port, message.as_bytes())[0] == 250
        content = mail.next()[2]
        [kept] = served.originals
        events = [served.wait_for("part") for _ in range(6)]
    assert kept.read_bytes() == message.as_bytes()
    arrived = email.message_from_bytes(content, policy=email.policy.default)
    parts = {part.get_filename(): part for part in arrived.walk() if part.get_filename()}
    paper = pymupdf.open(stream=parts["paper.pdf"].get_content(), filetype="pdf")
    assert (paper.page_count, paper.embfile_count()) == (1, 0)
    assert "original words" in paper[0].get_text()
    assert parts["notes.txt.pdf"].get_content().startswith(b"%PDF-")
    [shown] = [part for part in arrived.walk() if part["Content-ID"] == "<pic@x>"]
    assert shown.get_content_maintype() == "image"
    assert HIDDEN not in shown.get_content()
    assert kept.stem in content.decode("ascii", "replace").replace("=\r\n", "")
    assert sorted(event["outcome"] for event in events) == ["flattened"] * 3 + ["kept"] * 2 + ["removed"]
