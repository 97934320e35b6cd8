"""Nothing unsanitised gets through: no reader finds in what we send the bytes of a file that was to be flattened."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mail import ambiguity
from gateway.mail.parse import parse
from gateway.mail.step import Action
from tests.gateway.corpus import corpus_files
from tests.gateway.mail.letters import ENCODED, PDF, SECRET, TEXT, haystack, leaked, leaves_by_python, mixed, send
from tests.gateway.mail.spellings import EVERY


@pytest.mark.parametrize("name", EVERY)
def test_no_reader_finds_the_secret_in_what_we_send(name):
    raw, _ = EVERY[name]
    sent = send(raw)
    assert leaked(SECRET, sent.out) == []
    assert sent.plan.changes
    assert b"\n" not in sent.out.replace(b"\r\n", b"")


@pytest.mark.parametrize("name", [name for name in EVERY if EVERY[name][1]])
def test_the_trick_is_noted_under_its_name_and_the_message_written_anew(name):
    raw, wanted = EVERY[name]
    plan = send(raw).plan
    assert wanted in plan.ambiguities
    assert plan.canonical


@pytest.mark.parametrize("name", [name for name in EVERY if not EVERY[name][1]])
def test_a_well_formed_message_with_a_file_in_it_is_spliced(name):
    sent = send(EVERY[name][0])
    assert sent.plan.ambiguities == ()
    assert not sent.plan.canonical


@pytest.mark.parametrize("name", EVERY)
def test_what_we_send_reads_in_one_way_only(name):
    again = send(send(EVERY[name][0]).out)
    assert again.plan.ambiguities == ()


def test_every_class_of_ambiguity_has_a_trick_or_a_test_of_its_own():
    elsewhere = {ambiguity.TOO_MANY_PARTS, ambiguity.TOO_DEEP, ambiguity.TOO_MANY_HEADERS, ambiguity.HEADER_TOO_LARGE}
    assert {wanted for _, wanted in EVERY.values() if wanted} | elsewhere == set(ambiguity.MEANING)


@pytest.mark.parametrize("name", EVERY)
def test_every_leaf_has_exactly_one_step(name):
    sent = send(EVERY[name][0])
    parts = [step.part for step in sent.plan.steps]
    assert len(parts) == len(set(parts))
    leaves = [part.path for part in sent.message.root.walk() if part.kind == "leaf"]
    assert sorted(leaves) == sorted(s.part for s in sent.plan.steps if not s.block and s.action is not Action.UNPACK)


# what stays by policy is not a secret: displayed text, calendars as text, reports, encrypted mail, signatures
KEPT = {"text/plain", "text/html", "text/calendar", "message/delivery-status", "text/rfc822-headers",
        "application/pkcs7-mime", "application/pkcs7-signature", "application/pgp-signature"}  # fmt: skip


def secrets_of(raw: bytes) -> list[bytes]:
    """What the standard library finds in a message that policy says to flatten."""
    return [
        p
        for kind, name, p in leaves_by_python(raw)
        if len(p) >= 40 and (kind not in KEPT or name) and "VCAL" not in str(p)
    ]


@pytest.mark.parametrize("path", corpus_files("mime"), ids=lambda p: getattr(p, "name", str(p)))
@pytest.mark.parametrize("as_crlf", [False, True])
def test_no_reader_finds_an_attachment_of_the_corpus(path, as_crlf):
    raw = path.read_bytes()
    raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if as_crlf else raw
    sent = send(raw)
    removed = [s for s in sent.plan.steps if s.action not in (Action.KEEP, Action.UNPACK)]
    hidden = [s.payload() for s in removed] + secrets_of(raw)
    kept = {"thunderbirddes__alice.env.eml", "thunderbirddes__alice.dsig.SHA256.multipart.eml"}
    if path.name not in kept:
        hay = haystack(sent.out)
        for secret in hidden[:50]:
            assert [piece for piece in leaked(secret, sent.out, hay) if not _is_header_text(piece)] == []
    assert send(sent.out).plan.ambiguities == () or path.name == "own-parts-10000.eml"


def _is_header_text(piece: bytes) -> bool:
    """A piece of a removed part's header or words says nothing: other parts have the same."""
    return piece.isascii() and not re.fullmatch(rb"(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9+/=\r\n]+", piece)


BASE = mixed(
    TEXT, PDF, b'Content-Type: multipart/alternative; boundary="inner"\r\n\r\n--inner\r\n' + TEXT + b"--inner--\r\n"
)
PIECES = [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b"-", b"--", b"--outer", b"--inner", b"--outer--", b'"', b";", b":", b"=",
          b"(", b"Content-Type: text/plain\r\n", b"Content-Type: multipart/mixed; boundary=inner\r\n", b"\xff", b"\r\n\r\n",
          b"Content-Transfer-Encoding: 7bit\r\n", b"Content-Type: message/rfc822\r\n", b"boundary=outer", b" \r\n", b"A"]  # fmt: skip
HEADERS = len(BASE) - len(ENCODED)


@st.composite
def bent_messages(draw):
    """The base message with some cuts and insertions near what gives it structure."""
    raw = bytearray(BASE)
    marks = [at for at in range(len(BASE)) if BASE[at : at + 1] in b'\r\n-:;="' and not _inside_payload(at)]
    for _ in range(draw(st.integers(1, 4))):
        at = min(draw(st.sampled_from(marks)), len(raw))
        cut = draw(st.integers(0, 3))
        raw[at : at + cut] = draw(st.sampled_from(PIECES))
    return bytes(raw)


def _inside_payload(at: int) -> bool:
    start = BASE.index(ENCODED)
    return start + 10 < at < start + len(ENCODED) - 4


@settings(max_examples=150, deadline=None)
@given(bent_messages())
def test_no_bend_of_a_message_lets_the_secret_through(raw):
    sent = send(raw)
    assert leaked(SECRET, sent.out) == []
    assert send(sent.out).plan.ambiguities == ()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_make_the_mail_room_raise(raw):
    sent = send(raw)
    again = send(sent.out)
    assert again.plan.ambiguities == ()
    assert parse(raw).raw == raw


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([*PIECES, TEXT, PDF, b"text/html", b"x", b"data:;base64,", b"begin 644 x\r\n", b"=?utf-8?B?"]),
        max_size=25,
    ).map(b"".join)
)
def test_no_heap_of_mail_pieces_makes_the_mail_room_raise(raw):
    sent = send(raw)
    assert send(sent.out).plan.ambiguities == ()
    assert leaked(SECRET, sent.out) == []
