"""Nothing else is touched: clean messages keep their bytes, changed parts are replaced in place."""

from __future__ import annotations

import email
import email.policy

import pytest

from gateway.mail import mark
from gateway.mail.policy import Policy
from gateway.mail.rebuild import rebuild
from gateway.mail.result import Removed, Safe
from tests.gateway.mail.letters import ENCODED, PDF, SAFE, SECRET, TEXT, TOP, answered, joined, leaked, mixed, send
from tests.gateway.mail.ordinary import ORDINARY

REPORT = (
    b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\n"
    b"Final-Recipient: rfc822; b@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n"
)
ARMORED = b"-----BEGIN PGP MESSAGE-----\r\nVersion: x\r\n\r\nhQEMA1234567890ABCDEFGH\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n"


def python_reads(raw: bytes):
    return email.message_from_bytes(raw, policy=email.policy.default)


@pytest.mark.parametrize("name", ORDINARY)
def test_what_ordinary_programs_write_is_clean(name):
    assert send(ORDINARY[name]).plan.ambiguities == ()


@pytest.mark.parametrize("name", [name for name in ORDINARY if "attachment" not in name and "image" not in name])
def test_an_ordinary_message_without_attachments_keeps_every_byte(name):
    sent = send(ORDINARY[name])
    assert sent.out is sent.message.raw
    assert not sent.plan.changes


@pytest.mark.parametrize("name", [name for name in ORDINARY if "attachment" in name or "image" in name])
def test_splicing_leaves_every_byte_outside_the_changed_parts(name):
    raw = ORDINARY[name]
    sent = send(raw)
    changed = [step.source.span for step in sent.plan.steps if step.action == "flatten"]
    position = found = 0
    for span in changed:
        piece = raw[position : span.start]
        found = sent.out.index(piece, found) + len(piece)
        position = span.end
    assert sent.out.endswith(raw[position:])
    assert sent.out.startswith(raw[: changed[0].start])


def test_a_flattened_part_stands_where_the_original_stood():
    out = python_reads(send(mixed(TEXT, PDF, TEXT)).out)
    parts = list(out.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "application/pdf", "text/plain"]
    assert parts[1].get_content() == SAFE
    assert parts[1].get_filename() == "x.pdf"
    assert parts[1].get_content_disposition() == "attachment"


def test_a_root_that_is_a_file_keeps_its_other_fields():
    raw = (
        TOP
        + b"Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\nX-After: y\r\n\r\n"
        + ENCODED
    )
    sent = send(raw)
    out = python_reads(sent.out)
    assert out.get_content() == SAFE
    assert (out["From"], out["X-After"], out.get_filename()) == ("a@example.org", "y", "a.png.pdf")
    assert sent.out.startswith(TOP)
    assert sent.out.count(b"MIME-Version") == 1


def test_an_inline_image_stays_an_image_under_its_content_id():
    html = b'Content-Type: text/html\r\n\r\n<img src="cid:pic@x">\r\n'
    image = (
        b"Content-Type: image/png; name=p.gif\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <pic@x>\r\n\r\n"
        + ENCODED
    )
    sent = send(mixed(html, image, subtype=b"related"))
    shown = list(python_reads(sent.out).iter_parts())[1]
    assert (shown.get_content_type(), shown["Content-ID"], shown.get_filename()) == (
        "image/png",
        "<pic@x>",
        "p.gif.png",
    )
    assert shown.get_content_disposition() == "inline"


def test_a_data_image_becomes_a_data_image_made_anew():
    raw = TOP + b'Content-Type: text/html; charset=utf-8\r\n\r\n<img src="data:image/gif;base64,' + ENCODED + b'">\r\n'
    sent = send(raw)
    assert [step.part for step in sent.plan.steps] == ["1", "1/data1"]
    text = python_reads(sent.out).get_content()
    assert text.startswith('<img src="data:image/png;base64,')
    assert leaked(SECRET, sent.out) == []


def test_files_in_a_text_stand_beside_it_afterwards():
    raw = (
        TOP
        + b"Content-Type: text/plain\r\nX-After: y\r\n\r\nbefore\r\nbegin 644 a.bin\r\n#0V%T\r\n`\r\nend\r\nafter\r\n"
    )
    sent = send(raw)
    out = python_reads(sent.out)
    text, file = out.iter_parts()
    assert text.get_content().splitlines() == ["before", "[A file was taken out of this text: a.bin]", "", "after"]
    assert (file.get_content(), file.get_filename()) == (SAFE, "a.bin.pdf")
    assert out["X-After"] == "y"
    assert sent.plan.steps[1].payload() == b"Cat"


def test_a_removed_part_becomes_a_notice_that_says_what_why_and_an_id():
    sent = send(mixed(TEXT, PDF))
    out = rebuild(sent.message, sent.plan, {"2": Removed("encrypted", "application/pdf", "K7-42")})
    notice = list(python_reads(out).iter_parts())[1]
    assert notice.get_filename() == "x.pdf.removed.txt"
    text = notice.get_content()
    assert all(word in text for word in ("x.pdf", "password", "application/pdf", "K7-42", "encrypted"))


def test_a_part_without_a_result_is_removed():
    sent = send(mixed(TEXT, PDF))
    out = rebuild(sent.message, sent.plan, {})
    assert leaked(SECRET, out) == []
    assert b"x.pdf.removed.txt" in out


def test_a_message_of_a_safe_type_nobody_knows_is_sent_as_octets():
    sent = send(mixed(TEXT, PDF))
    out = rebuild(sent.message, sent.plan, {"2": Safe(b"x", "text/html\r\nX: y", "a\r\nb")})
    part = list(python_reads(out).iter_parts())[1]
    assert (part.get_content_type(), part.get_filename(), part["X"]) == ("application/octet-stream", "a b", None)


def test_a_refused_plan_is_not_rebuilt():
    sent = send(mixed(TEXT, PDF))
    plan = send(mixed(TEXT, PDF)).plan
    assert plan.refused is None
    with pytest.raises(ValueError, match="refused"):
        send(mixed(TEXT, PDF).replace(b"\r\n", b"\n"), Policy(ambiguous="refuse"))
    assert sent.out


def test_a_clear_signed_message_without_attachments_keeps_every_byte():
    signature = b"Content-Type: application/pgp-signature; name=signature.asc\r\n\r\n" + ARMORED.replace(
        b"MESSAGE", b"SIGNATURE"
    ).replace(b"hQEMA", b"iQEMA")
    raw = mixed(TEXT, signature, subtype=b'signed; micalg=pgp-sha256; protocol="application/pgp-signature"')
    assert send(raw).out == raw


def test_a_signature_over_a_changed_part_becomes_a_notice_and_the_type_goes():
    signature = b"Content-Type: application/pgp-signature; name=signature.asc\r\n\r\n" + ARMORED.replace(
        b"MESSAGE", b"SIGNATURE"
    ).replace(b"hQEMA", b"iQEMA")
    inner = b'Content-Type: multipart/mixed; boundary="in"\r\n\r\n' + joined(TEXT, PDF, boundary=b"in")
    sent = send(mixed(inner, signature, subtype=b"signed"))
    out = python_reads(sent.out)
    assert out.get_content_type() == "multipart/mixed"
    assert [p.get_content_type() for p in out.walk()][-1] == "text/plain"
    assert b"PGP SIGNATURE" not in sent.out
    assert sent.plan.steps[-1].reason == "signature_void"


def test_pgp_encrypted_mail_is_kept_and_can_be_removed_by_policy():
    raw = mixed(
        b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n",
        b"Content-Type: application/octet-stream; name=encrypted.asc\r\n\r\n" + ARMORED,
        subtype=b'encrypted; protocol="application/pgp-encrypted"',
    )
    assert send(raw).out == mark.field("encrypted") + raw
    out = send(raw, Policy(encrypted_mail="remove")).out
    assert b"BEGIN PGP" not in out
    assert python_reads(out).get_content_type() == "multipart/mixed"
    assert len(python_reads(out).get_payload()) == 1, "one notice, not one for each of the two parts"
    anew = python_reads(send(raw.replace(b"\r\n", b"\n")).out)
    assert anew.get_content_type() == "multipart/encrypted"
    assert list(anew.iter_parts())[1].get_content() == ARMORED


def test_a_delivery_report_keeps_every_byte():
    raw = mixed(
        TEXT, REPORT, b"Content-Type: text/rfc822-headers\r\n\r\nSubject: s\r\nFrom: a@b\r\n", subtype=b"report"
    )
    assert send(raw).out == raw


def test_a_calendar_keeps_every_byte_but_what_is_attached_in_it():
    head = b"Content-Type: text/calendar; method=REQUEST; name=a.ics\r\n\r\nBEGIN:VCALENDAR\r\nSUMMARY:x\r\n"
    plain = mixed(TEXT, head + b"END:VCALENDAR\r\n")
    assert send(plain).out == plain
    attached = (
        head + b"ATTACH;ENCODING=BASE64;VALUE=BINARY:" + b"\r\n ".join(ENCODED.split()) + b"\r\nEND:VCALENDAR\r\n"
    )
    sent = send(mixed(TEXT, attached))
    parts = [p for p in python_reads(sent.out).walk() if not p.is_multipart()]
    assert parts[1].get_content().splitlines() == ["BEGIN:VCALENDAR", "SUMMARY:x", "END:VCALENDAR"]
    assert (parts[2].get_content(), leaked(SECRET, sent.out)) == (SAFE, [])


def test_an_attached_message_may_not_be_called_a_program():
    attached = b'Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename="x.hta"\r\n\r\n' + TOP + TEXT
    sent = send(mixed(TEXT, attached))
    assert [p.get_filename() for p in python_reads(sent.out).iter_parts()] == [None, "x.hta.eml"]
    named = attached.replace(b"x.hta", b"x.eml")
    assert send(mixed(TEXT, named)).out == mixed(TEXT, named)


def test_an_ambiguous_message_keeps_its_words_and_fields():
    raw = mixed(TEXT, PDF, top=TOP.replace(b"Subject: s", b"Subject: gr\xc3\xbc\xc3\x9fe,\r\n folded"))
    sent = send(raw.replace(b"\r\n", b"\n"))
    out = python_reads(sent.out)
    assert sent.plan.canonical
    assert out["Subject"] == "grüße, folded"
    text, pdf = out.iter_parts()
    assert (text.get_content(), pdf.get_content()) == ("Hello", SAFE)


def test_a_message_written_anew_has_one_boundary_that_was_not_in_it():
    sent = send(mixed(TEXT, PDF).replace(b"\r\n", b"\n"))
    boundary = python_reads(sent.out).get_boundary()
    assert boundary.encode() not in sent.message.raw
    assert sent.out == rebuild(sent.message, sent.plan, answered(sent.plan))


def test_of_fields_that_may_stand_once_the_first_is_kept():
    raw = (b"Subject: one\r\nSubject: two\r\n" + mixed(TEXT)).replace(b"\r\n", b"\n")
    assert python_reads(send(raw).out).get_all("Subject") == ["one"]


def test_trailing_lines_of_a_text_and_long_lines_survive_being_written_anew():
    words = "Zeile mit ä und = und . am Anfang\n.\nFrom here\n" + "x y " * 750 + "\n  trailing  \n"
    raw = b"Subject: x\nContent-Type: text/plain; charset=utf-8; format=flowed\n\n" + words.encode()
    out = python_reads(send(raw).out)
    assert out.get_content().splitlines() == words.splitlines()
    assert out.get_param("format") == "flowed"
    assert all(len(line) <= 78 for line in send(raw).out.split(b"\r\n"))
