"""Policy can hold what is ambiguous: its text goes on in our reading, its files wait, and the recipient is told."""

from __future__ import annotations

import pytest

from gateway.mail.policy import Policy
from gateway.mail.reasons import WHOLE
from gateway.mail.rebuild import rebuild
from gateway.mail.record import records
from gateway.mail.result import Removed
from gateway.mail.tree import Bounds
from gateway.mail.witness import objection
from tests.gateway.mail.letters import ENCODED, PDF, SAFE, SECRET, TEXT, TOP, leaked, mixed, send
from tests.gateway.mail.spellings import EVERY
from tests.gateway.mail.test_mail_rebuild import ARMORED, python_reads

HOLD = Policy(ambiguous="hold")
AMBIGUOUS = mixed(TEXT, PDF).replace(b"\r\n", b"\n")


def held(raw: bytes, policy: Policy = HOLD):
    sent = send(raw, policy)
    results = sent.results | {WHOLE: Removed("ambiguous", "", "K7-42")}
    results |= {step.part: Removed(step.reason, "", "K7-42") for step in sent.plan.steps if step.action == "remove"}
    return sent, results, rebuild(sent.message, sent.plan, results)


def test_the_text_comes_through_behind_a_notice_with_the_id_and_the_file_does_not():
    _, _, out = held(AMBIGUOUS)
    message = python_reads(out)
    notice, whole = message.iter_parts()
    assert all(words in notice.get_content() for words in ("different ways", "held", "K7-42"))
    text, file = whole.iter_parts()
    assert text.get_content().strip() == "Hello"
    assert file.get_filename() == "x.pdf.removed.txt"
    assert "K7-42" in file.get_content()
    assert message["Subject"] == "s"


def test_no_file_is_flattened_and_the_report_says_held():
    sent, results, _ = held(AMBIGUOUS)
    assert sent.plan.held
    assert [(step.action, step.reason) for step in sent.plan.steps] == [
        ("keep", "displayed_text"),
        ("remove", "ambiguous"),
    ]
    found = [(r.part, r.outcome, r.reason, r.id) for r in records(sent.plan, results)]
    assert found == [
        ("whole", "held", "ambiguous", "K7-42"),
        ("1", "kept", "displayed_text", ""),
        ("2", "removed", "ambiguous", "K7-42"),
    ]


def test_a_message_of_text_alone_is_held_too_and_says_so():
    sent, _, out = held(b"Subject: x\n\nHello\n")
    assert sent.plan.held
    assert [part.get_content().split()[0] for part in python_reads(out).iter_parts()] == ["This", "Hello"]


def test_what_is_clean_or_only_over_a_bound_is_not_held():
    assert not send(mixed(TEXT, PDF), HOLD).plan.held
    assert SAFE in python_reads(send(mixed(TEXT, PDF), HOLD).out).get_payload()[1].get_payload(decode=True)
    over = send(mixed(TEXT, PDF), Policy(ambiguous="hold", bounds=Bounds(depth=1)))
    assert (over.plan.held, over.plan.ambiguities) == ("", ("too_deep",))


def test_files_inside_texts_and_encrypted_mail_wait_as_well():
    _, _, out = held((TOP + b"Content-Type: text/plain\r\n\r\nsee\r\n" + ENCODED).replace(b"\r\n", b"\n"))
    assert leaked(SECRET, out) == []
    sealed = mixed(
        b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n",
        b"Content-Type: application/octet-stream; name=encrypted.asc\r\n\r\n" + ARMORED,
        subtype=b'encrypted; protocol="application/pgp-encrypted"',
    )
    assert b"BEGIN PGP" in send(sealed, HOLD).out
    assert b"BEGIN PGP" not in held(sealed.replace(b"\r\n", b"\n"))[2]


def test_a_held_message_without_results_still_says_so():
    sent = send(AMBIGUOUS, HOLD)
    assert b"was held" in rebuild(sent.message, sent.plan, {})


@pytest.mark.parametrize("name", [name for name in EVERY if EVERY[name][1]])
def test_nothing_of_a_trick_comes_through_a_hold_and_both_readers_agree(name):
    sent, results, out = held(EVERY[name][0])
    assert sent.plan.held
    assert leaked(SECRET, out) == []
    assert objection(sent.message, sent.plan, results, out, Bounds()) == ""
