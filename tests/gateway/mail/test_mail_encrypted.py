"""Encrypted mail passes marked, is held, or goes; what only looks encrypted does not pass. Nothing else moves."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail import armor, mark
from gateway.mail.policy import Policy
from gateway.mail.reasons import WHOLE
from gateway.mail.rebuild import rebuild
from gateway.mail.record import records
from gateway.mail.result import Removed
from gateway.mail.tree import Bounds
from gateway.mail.witness import objection
from tests.gateway.corpus import corpus_files
from tests.gateway.mail.examine import settings, strict, through
from tests.gateway.mail.letters import PDF, SAFE, SECRET, TEXT, TOP, leaked, mixed, send
from tests.gateway.mail.ordinary import ORDINARY
from tests.gateway.mail.test_mail_rebuild import ARMORED, python_reads
from tests.gateway.mail.test_mail_sealed import OID, armored, signed, tlv

FIELD = mark.field(mark.ENCRYPTED)
HOLD, REMOVE = Policy(encrypted_mail="hold"), Policy(encrypted_mail="remove")


def smime(content: bytes, kind: bytes = b"application/pkcs7-mime", name: bytes = b"smime.p7m") -> bytes:
    head = b"Content-Type: %s; name=%s\r\nContent-Transfer-Encoding: base64\r\n\r\n" % (kind, name)
    return head + base64.encodebytes(content).replace(b"\n", b"\r\n")


ENVELOPED, AUTH = (tlv(0x30, OID[kind] + tlv(0xA0, b"x" * 300)) for kind in ("enveloped", "auth"))
PGP_MIME = mixed(
    b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n",
    b"Content-Type: application/octet-stream; name=encrypted.asc\r\n\r\n" + ARMORED,
    subtype=b'encrypted; protocol="application/pgp-encrypted"',
    boundary=b"pgp",
)
INLINE = TOP + b"Content-Type: text/plain\r\n\r\nsee below\r\n" + ARMORED + b"-- \r\nA.\r\n"
ENCRYPTED = {
    "s/mime": TOP + smime(ENVELOPED),
    "s/mime authenticated": TOP + smime(AUTH),
    "s/mime by its old name": TOP + smime(ENVELOPED, b"application/x-pkcs7-mime"),
    "s/mime as octets": TOP + smime(ENVELOPED, b"application/octet-stream"),
    "s/mime as one part": mixed(TEXT, smime(ENVELOPED)),
    "pgp/mime": PGP_MIME,
    "inline pgp": INLINE,
    "inline pgp quoted": TOP + b"Content-Type: text/plain\r\n\r\n" + b"".join(b"> " + line + b"\r\n" for line in ARMORED.splitlines()),
    "inline pgp in html": TOP + b"Content-Type: text/html\r\n\r\n<div>" + ARMORED.replace(b"\r\n", b"<br>\r\n") + b"</div>\r\n",
    "inline pgp on one line of html": TOP + b"Content-Type: text/html\r\n\r\n" + ARMORED.replace(b"\r\n", b"<br>") + b"\r\n",
    "pgp/mime in an attached message": mixed(TEXT, b"Content-Type: message/rfc822\r\n\r\n" + PGP_MIME),
    "s/mime in an attached message": mixed(TEXT, b"Content-Type: message/rfc822\r\n\r\n" + TOP + smime(ENVELOPED)),
    "inline pgp in an attached message": mixed(TEXT, b"Content-Type: message/rfc822\r\n\r\n" + INLINE),
}  # fmt: skip


def with_ids(raw: bytes, policy: Policy):
    sent = send(raw, policy)
    results = sent.results | {
        step.part: Removed(step.reason, "", "K7-42") for step in sent.plan.steps if step.action == "remove"
    }
    results |= {WHOLE: Removed(sent.plan.held, "", "K7-42")} if sent.plan.held else {}
    return sent, results, rebuild(sent.message, sent.plan, results)


@pytest.mark.parametrize("name", ENCRYPTED)
def test_encrypted_mail_passes_with_a_mark_on_top_and_no_other_byte_moves(name):
    sent = send(ENCRYPTED[name])
    assert sent.out == FIELD + ENCRYPTED[name]
    assert sent.plan.mark == "encrypted"
    assert objection(sent.message, sent.plan, sent.results, sent.out, Bounds()) == ""
    again = send(sent.out)
    assert again.out is again.message.raw, "mail that comes through twice keeps its bytes"


@pytest.mark.parametrize("name", ENCRYPTED)
def test_encrypted_mail_that_is_ambiguous_is_marked_when_written_anew(name):
    sent = send(ENCRYPTED[name].replace(b"\r\n", b"\n"))
    assert sent.plan.canonical
    assert sent.out.startswith(FIELD)
    assert sent.out.count(mark.NAME.encode()) == 1
    assert objection(sent.message, sent.plan, sent.results, sent.out, Bounds()) == ""


@pytest.mark.parametrize("name", ENCRYPTED)
def test_encrypted_mail_can_be_held_and_the_recipient_is_told(name):
    sent, results, out = with_ids(ENCRYPTED[name], HOLD)
    assert sent.plan.held == "encrypted_mail"
    told = python_reads(out)
    assert told["Subject"] == "s"
    notice = next(iter(told.iter_parts()))
    assert all(words in notice.get_content() for words in ("encrypted", "held", "K7-42"))
    assert mark.NAME not in told
    assert b"hQEMA1234567890" not in out
    assert base64.b64encode(b"x" * 60) not in out
    found = [(r.part, r.outcome, r.reason, r.id) for r in records(sent.plan, results)]
    assert found[0] == ("whole", "held", "encrypted_mail", "K7-42")
    assert objection(sent.message, sent.plan, results, out, Bounds()) == ""


@pytest.mark.parametrize("name", ENCRYPTED)
def test_encrypted_mail_can_be_removed_and_the_recipient_is_told(name):
    sent, results, out = with_ids(ENCRYPTED[name], REMOVE)
    assert not sent.plan.held
    assert b"hQEMA1234567890" not in out
    assert base64.b64encode(b"x" * 60) not in out
    assert out.count(b"is encrypted mail, which is not let thr") == 1
    assert mark.NAME.encode() not in out
    assert {r.reason for r in records(sent.plan, results) if r.outcome == "removed"} == {"encrypted_mail"}
    assert objection(sent.message, sent.plan, results, out, Bounds()) == ""


@pytest.mark.parametrize("name", ENCRYPTED)
def test_the_original_of_held_mail_is_kept_under_the_id_that_the_recipient_reads(name):
    safe = through(ENCRYPTED[name], strict())
    assert safe.original_id
    notice = next(iter(python_reads(safe.content).iter_parts())).get_content()
    assert safe.original_id in notice
    assert {record.id for record in safe.records if record.outcome in ("held", "removed")} == {safe.original_id}
    assert through(ENCRYPTED[name], settings()).original_id == "", "of mail that passes nothing needs to be kept"


def test_what_waits_with_encrypted_mail_is_not_flattened_and_says_so():
    sent, _, out = with_ids(mixed(TEXT, smime(ENVELOPED), PDF), HOLD)
    assert [(step.action, step.reason) for step in sent.plan.steps] == [
        ("keep", "displayed_text"), ("remove", "encrypted_mail"), ("remove", "held"),
    ]  # fmt: skip
    assert leaked(SECRET, out) == []
    assert b"waits there" in out
    assert SAFE in python_reads(send(mixed(TEXT, smime(ENVELOPED), PDF), REMOVE).out).get_payload()[2].get_payload(
        decode=True
    )


def test_mail_without_anything_encrypted_is_neither_marked_nor_held():
    for raw in (mixed(TEXT, PDF), *ORDINARY.values()):
        assert not send(raw, HOLD).plan.held
        assert mark.NAME.encode() not in send(raw).out


LIES = [
    mark.NAME.encode() + b": encrypted",
    mark.NAME.lower().encode() + b":\r\n nothing",
    mark.NAME.upper().encode() + b": a\r\n\tb",
]


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("name", [*ENCRYPTED, "text", "file", "signed file"])
def test_a_field_of_the_senders_does_not_survive(name, lie):
    raw = (ENCRYPTED | {"text": TOP + TEXT, "file": mixed(TEXT, PDF), "signed file": TOP + PDF})[name]
    marked = FIELD if name in ENCRYPTED else b""
    for lied in (
        TOP + lie + b"\r\n" + raw.removeprefix(TOP),
        lie + b"\r\n" + raw,
        lie + b"\r\n" + TOP + lie + b"\r\n" + raw.removeprefix(TOP),
    ):
        honest = send(raw)
        sent = send(lied)
        assert sent.out == honest.out
        assert sent.out.startswith(marked)
        assert objection(sent.message, sent.plan, sent.results, sent.out, Bounds()) == ""
        anew = send(lied.replace(b"\r\n", b"\n")).out
        assert anew.count(mark.NAME.encode()) == (1 if marked else 0)
        assert mark.NAME.lower().encode() not in anew


@pytest.mark.parametrize("spelling", [b" : encrypted\r\n", b"\x00: encrypted\r\n", b":\rencrypted\r\n", b"\t:x\r\n"])
def test_a_field_of_the_senders_does_not_survive_in_an_odd_spelling(spelling):
    out = send(mark.NAME.encode() + spelling + TOP + TEXT).out
    assert mark.NAME not in python_reads(out)


def test_a_field_in_an_attached_message_stays():
    raw = mixed(TEXT, b"Content-Type: message/rfc822\r\n\r\n" + FIELD + TOP + TEXT)
    assert send(raw).out is send(raw).message.raw


def test_the_fields_that_others_signed_keep_their_bytes_and_order():
    raw = ORDINARY["mutt"].replace(b"\r\n-- \r\nB\r\n", b"\r\n" + ARMORED)
    assert b"DKIM-Signature" in raw
    assert send(raw).out == FIELD + raw


def test_an_ambiguous_message_that_is_held_does_not_say_that_it_holds_encrypted_mail():
    out = with_ids(ENCRYPTED["s/mime as one part"].replace(b"\r\n", b"\n"), Policy(ambiguous="hold"))[2]
    assert mark.NAME.encode() not in out


# what only says so


@pytest.mark.parametrize("first", [0xCB, 0xA3, 0x90, 0xC8, 0xC4])
def test_an_armor_that_is_not_encrypted_is_taken_out_of_a_text(first):
    sent, _, out = with_ids(
        TOP + b"Content-Type: text/plain\r\n\r\nsee\r\n" + armored(bytes([first])) + b"bye\r\n", Policy()
    )
    assert [(step.action, step.reason) for step in sent.plan.steps] == [
        ("keep", "displayed_text"),
        ("remove", "opaque_signed"),
    ]
    assert b"BEGIN PGP" not in out
    assert b"see" in out
    assert b"bye" in out
    assert mark.NAME.encode() not in out


@pytest.mark.parametrize(
    "words",
    [
        b"The line is -----BEGIN PGP MESSAGE----- and ends with -----END PGP MESSAGE-----.\r\n",
        b"-----BEGIN PGP MESSAGE-----\r\n...\r\n-----END PGP MESSAGE-----\r\n",
        b"-----BEGIN PGP MESSAGE-----\r\n\r\nYourTextWouldStandHere\r\n-----END PGP MESSAGE-----\r\n",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n\r\nmQENBFAx1234567890abcd\r\n-----END PGP PUBLIC KEY BLOCK-----\r\n",
    ],
)
def test_words_about_pgp_are_words(words):
    raw = TOP + b"Content-Type: text/plain\r\n\r\n" + words
    assert send(raw).out is send(raw).message.raw


@given(st.lists(st.sampled_from([b"-----BEGIN PGP MESSAGE-----", b"-----END PGP MESSAGE-----", b"\r\n", b"hQEMA1234567890ABCDEFGH", b"Version: x", b"<br>", b"> ",
                                 b"-----BEGIN PGP SIGNED MESSAGE-----", b"-----BEGIN PGP SIGNATURE-----", b"-----END PGP SIGNATURE-----", b"Hash: SHA1"]), max_size=30).map(b"".join))  # fmt: skip
def test_armors_of_any_text_stand_apart(text):
    position = 0
    for block in [*armor.messages(text)]:
        assert position <= block.start < block.end <= len(text)
        position = block.end
    for block in armor.void_signatures(text, [*armor.messages(text)]):
        assert 0 <= block.start < block.end <= len(text)


@pytest.mark.parametrize(
    "piece",
    [
        b"-----BEGIN PGP MESSAGE-----\r\n",
        b"-----BEGIN PGP MESSAGE-----",
        b"-----BEGIN PGP SIGNED MESSAGE-----\r\nx\r\n",
        b"> -",
    ],
)
def test_looking_for_armor_takes_time_in_proportion(piece):
    text = piece * (400_000 // len(piece))
    started = time.process_time()
    blocks = list(armor.messages(text))
    list(armor.void_signatures(text, blocks))
    assert time.process_time() - started < 3


# clear-signed


PGP_SIGNATURE = b"Content-Type: application/pgp-signature; name=signature.asc\r\n\r\n" + armored(b"\x89", "SIGNATURE")
CMS_SIGNATURE = smime(signed(b""), b"application/pkcs7-signature", b"smime.p7s")
KINDS = {
    "pgp": (PGP_SIGNATURE, b'signed; micalg=pgp-sha256; protocol="application/pgp-signature"', ("OpenPGP", "application/pgp-signature", "pgp-sha256")),
    "s/mime": (CMS_SIGNATURE, b'signed; micalg="sha-256, sha1"; protocol="application/pkcs7-signature"', ("S/MIME", "application/pkcs7-signature", "sha-256, sha1")),
    "s/mime by its old name": (CMS_SIGNATURE.replace(b"/pkcs7", b"/x-pkcs7"), b"signed", ("S/MIME", "application/x-pkcs7-signature", "")),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inner", ["text", "html", "texts", "encrypted"])
def test_clear_signed_mail_without_attachments_keeps_every_byte(kind, inner):
    parts = {"text": TEXT, "html": b"Content-Type: text/html\r\n\r\n<p>Hi\r\n", "encrypted": smime(ENVELOPED)}
    texts = mixed(TEXT, parts["html"], subtype=b"alternative", boundary=b"in", top=b"")
    signature, subtype, _ = KINDS[kind]
    raw = mixed(parts.get(inner, texts), signature, subtype=subtype)
    assert send(raw).out == (FIELD if inner == "encrypted" else b"") + raw
    assert send(raw).plan.steps[-1].reason == "signature"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nested", [False, True])
def test_a_void_signature_leaves_a_notice_that_says_what_it_was(kind, nested):
    signature, subtype, words = KINDS[kind]
    raw = mixed(mixed(TEXT, PDF, boundary=b"in", top=b""), signature, subtype=subtype, boundary=b"sig")
    raw = mixed(TEXT, b"Content-Type: message/rfc822\r\n\r\n" + raw) if nested else raw
    sent, results, out = with_ids(raw, Policy())
    assert sent.plan.steps[-1].reason == "signature_void"
    notice = [part for part in python_reads(out).walk() if not part.is_multipart()][-1].get_content()
    assert all(word in notice for word in (*words, "no longer holds", "not checked", "K7-42"))
    assert leaked(SECRET, out) == []
    assert b"multipart/signed" not in out
    assert objection(sent.message, sent.plan, results, out, Bounds()) == ""


def test_a_notice_repeats_of_a_signature_only_what_is_a_token():
    subtype = b'signed; micalg="<script>"; protocol="x/y\\"z"'
    out = with_ids(mixed(PDF, PGP_SIGNATURE, subtype=subtype), Policy())[2]
    assert b"script" not in out
    assert b"OpenPGP signature (protocol application/pgp-signature)" in out.replace(b"=\r\n", b"")


CLEAR = (
    b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nHi\r\n%s- -- \r\nA\r\n-----BEGIN PGP SIGNATURE-----\r\n\r\n"
    b"iQEzBAEBCAAdFiEE1234567890ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n=abcd\r\n-----END PGP SIGNATURE-----\r\n"
)
UU = b"begin 644 a.bin\r\n#0V%T\r\n`\r\nend\r\n"


def test_a_text_signed_in_itself_keeps_every_byte_also_beside_a_file():
    part = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + CLEAR % b""
    assert send(TOP + part).out == TOP + part
    assert CLEAR % b"" in send(mixed(part, PDF)).out
    text = next(iter(python_reads(send(TOP + part + UU).out).iter_parts())).get_payload(decode=True)
    assert CLEAR % b"" in text, "the file stood outside of what was signed"


def test_of_a_text_signed_in_itself_that_loses_a_file_the_signature_goes_with_words_in_its_place():
    sent, results, out = with_ids(TOP + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + CLEAR % UU, Policy())
    assert [(step.part, step.reason) for step in sent.plan.steps] == [
        ("1", "displayed_text"), ("1/uu1", "hidden_in_text"), ("1/sig1", "signature_void"),
    ]  # fmt: skip
    text, file = python_reads(out).iter_parts()
    assert file.get_content() == SAFE
    assert "PGP SIGNATURE" not in text.get_content()
    assert "OpenPGP signature (digest SHA256)" in text.get_content()
    assert objection(sent.message, sent.plan, results, out, Bounds()) == ""


@pytest.mark.parametrize("path", corpus_files("mime", "*alice*"), ids=lambda path: getattr(path, "name", str(path)))
def test_real_smime_mail_keeps_every_byte_but_the_mark(path):
    raw = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert send(raw).out == (FIELD if "env" in path.name else b"") + raw
