"""Retries, as an MTA makes them: after a 451 for want of time, and after a reply that was lost because we were killed."""

from __future__ import annotations

import email
import email.policy
import queue
import smtplib
import time

import pytest

from tests.fakes.postfix import free_port, postfix, why_not
from tests.fakes.sandbox import SAFE_PDF
from tests.fakes.serving import serving, sink
from tests.gateway.messages import TEXT_ONLY, with_attachments

ALTERED = "tests.fakes.altered"
with_postfix = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")


def without_sandbox(tmp_path) -> str:
    (tmp_path / "empty").mkdir(exist_ok=True)
    return f'[sandbox]\ncache_dir = "{tmp_path / "empty"}"\n'


def send(port: int, message: bytes, sender: str = "a@example.org") -> tuple[int, bytes]:
    """The reply to the dot; (0, b"") where the connection is lost before."""
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
            client.ehlo("client.test")
            client.mail(sender, ["BODY=8BITMIME"])
            client.rcpt("b@example.net")
            return client.data(message)
    except smtplib.SMTPServerDisconnected:
        return 0, b""


def nothing_more(mail, seconds: float = 1.0) -> bool:
    try:
        mail.next(seconds)
    except queue.Empty:
        return True
    return False


def attached(content: bytes):
    [found] = email.message_from_bytes(content, policy=email.policy.default).iter_attachments()
    return found


def test_killed_between_the_next_hops_250_and_ours_the_retry_is_no_second_copy(tmp_path):
    config = without_sandbox(tmp_path)
    with sink() as (mail, port):
        with serving(tmp_path, port, config, module=ALTERED, ALTERED="dies_before_the_reply") as served:
            assert send(served.port, TEXT_ONLY) == (0, b"")
            assert served.process.wait(10) == -9
        assert mail.next()[2] == TEXT_ONLY
        with serving(tmp_path, port, config) as served:
            assert send(served.port, TEXT_ONLY) == (250, b"2.0.0 Ok: queued as SINK")
            assert served.wait_for("delivered_before")["recipients"] == 1
            assert nothing_more(mail)
            # he has heard now: what comes again is meant
            assert send(served.port, TEXT_ONLY)[0] == 250
            assert mail.next()[2] == TEXT_ONLY


def test_killed_before_the_next_hops_answer_was_written_down_it_is_in_doubt_and_sent_again(tmp_path):
    config = without_sandbox(tmp_path)
    with sink() as (mail, port):
        with serving(tmp_path, port, config, module=ALTERED, ALTERED="dies_before_the_outcome") as served:
            assert send(served.port, TEXT_ONLY) == (0, b"")
            assert served.process.wait(10) == -9
        assert mail.next()[2] == TEXT_ONLY
        with serving(tmp_path, port, config) as served:
            assert send(served.port, TEXT_ONLY)[0] == 250
            assert served.wait_for("sent_again_in_doubt")["recipients"] == 1
            assert mail.next()[2] == TEXT_ONLY


@pytest.mark.postfix
@with_postfix
def test_after_the_queue_a_gateway_that_was_killed_before_its_reply_costs_no_second_copy(tmp_path):
    reinjection, lazaretto = free_port(), free_port()
    config = without_sandbox(tmp_path)
    with sink() as (mail, sink_port), postfix(sink=sink_port, lazaretto=lazaretto, reinjection=reinjection) as mta:
        with serving(tmp_path, reinjection, config, lazaretto, ALTERED, ALTERED="dies_before_the_reply") as served:
            assert send(mta.front, TEXT_ONLY)[0] == 250
            assert served.process.wait(30) == -9
            mta.wait_for(r"status=deferred \(lost connection with 127.0.0.1\[127.0.0.1\] while sending end of data")
        assert mail.next()[2].endswith(TEXT_ONLY)
        with serving(tmp_path, reinjection, config, lazaretto) as served:
            mta.command("flush")
            served.wait_for("delivered_before")
            mta.wait_for(rf"relay=127.0.0.1\[127.0.0.1\]:{lazaretto}.*status=sent \(250 2.0.0 Ok: queued as")
            assert nothing_more(mail)
            # Postfix pipelines QUIT behind the dot, and has heard all the same: nothing is left that would answer
            assert send(mta.front, TEXT_ONLY)[0] == 250
            assert mail.next()[2].endswith(TEXT_ONLY)


@pytest.mark.postfix
@with_postfix
def test_before_the_queue_a_client_that_is_told_451_for_want_of_time_is_served_at_the_retry(tmp_path):
    reinjection = free_port()
    ready = tmp_path / "ready"
    config = "[message]\ndeadline_seconds = 2.0\n"
    message = with_attachments(b"a slow document")
    with (
        sink() as (mail, sink_port),
        serving(tmp_path, reinjection, config, module=ALTERED, ALTERED=f"waits_for:{ready}") as served,
        postfix(sink=sink_port, lazaretto=served.port, reinjection=reinjection, before_queue=True) as mta,
    ):
        assert send(mta.front, message) == (451, b"4.4.5 Message took too long to make safe, try again later")
        served.wait_for("conversion_goes_on")
        ready.touch()
        served.wait_for("conversion_ended_unheard")
        ready.unlink()  # whatever is opened from here on is not ready in time
        assert send(mta.front, message)[0] == 250
        assert served.wait_for("flattened_before")["size"] == 100
        assert attached(mail.next()[2]).get_content().startswith(SAFE_PDF)
        assert nothing_more(mail)


@pytest.mark.sandbox
def test_the_document_of_a_client_that_went_away_is_finished_in_the_real_sandbox_and_served_at_the_retry(tmp_path):
    message = with_attachments(b"plain words of a text document\n")
    work = tmp_path / "work"
    work.mkdir()
    with sink() as (mail, port), serving(tmp_path, port, f'[message]\nwork_directory = "{work}"\n') as served:
        client = smtplib.SMTP("127.0.0.1", served.port, timeout=60)
        client.ehlo("client.test")
        client.mail("a@example.org")
        client.rcpt("b@example.net")
        client.docmd("DATA")
        client.send(message + b".\r\n")
        for _ in range(6000):
            if len(list(work.iterdir())) == 2:  # the message's, and the conversion's
                break
            time.sleep(0.01)
        client.close()
        served.wait_for("conversion_goes_on")
        served.wait_for("conversion_ended_unheard", 120)
        assert mail.got.empty()
        assert send(served.port, message)[0] == 250
        assert served.wait_for("flattened_before")["found"] == "text/plain"
        assert attached(mail.next()[2]).get_content().startswith(b"%PDF-")
        assert served.stop() == 0
    assert list(work.iterdir()) == []
