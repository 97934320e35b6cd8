"""What becomes of each leaf, and what the report says of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gateway.mail
from gateway.mail import plan, reasons
from gateway.mail.notice import WHY, notice
from gateway.mail.policy import Policy
from gateway.mail.record import records
from gateway.mail.result import Removed, Safe
from gateway.mail.tree import Bounds
from sandbox.client import Want
from sandbox.contract import REASONS
from tests.gateway.mail.letters import PDF, TEXT, TOP, mixed, send

HTML = b'Content-Type: text/html\r\n\r\n<img src="cid:pic%40x">\r\n'
B64 = b"Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"


def steps_of(raw, policy=None):
    return {step.part: step for step in send(raw, policy).plan.steps}


@pytest.mark.parametrize(
    ("header", "body", "action", "reason"),
    [
        (b"text/plain", b"Hello", "keep", "displayed_text"),
        (b"text/plain; charset=iso-2022-jp", b"\x1b$B8@\x1b(B", "keep", "displayed_text"),
        (b"text/plain; charset=unknown-8bit", b"caf\xe9", "keep", "displayed_text"),
        (b"text/html", b"<p>Hello</p>", "keep", "displayed_text"),
        (b"text/plain; name=a.txt", b"Hello", "flatten", "attachment"),
        (b"text/plain\r\nContent-Disposition: inline; filename=a.txt", b"Hello", "flatten", "attachment"),
        (b"text/plain\r\nContent-Disposition: attachment", b"Hello", "flatten", "attachment"),
        (b"text/plain; charset=utf-7", b"Hello", "flatten", "attachment"),
        (b"text/plain; charset=utf-16le", b"H", "flatten", "attachment"),
        (b"text/plain; charset=cp037", b"H", "flatten", "attachment"),
        (b"text/plain", b"%PDF-1.7 x", "flatten", "attachment"),
        (b"text/plain", b"\xef\xbb\xbf\r\n %PDF-1.7 x", "flatten", "attachment"),
        (b"text/plain", b"junk first\r\n%PDF-1.7 x", "flatten", "attachment"),
        (b"text/plain", b"PK\x03\x04....", "flatten", "attachment"),
        (b"text/plain", b"MZ\x90\x01\x03", "flatten", "attachment"),
        (b"text/plain", b"MZ is a fine pair of letters", "keep", "displayed_text"),
        (b"text/plain", b"ID3 tags and RIFF files", "keep", "displayed_text"),
        (b"text/plain", b"\xd0\xcf\x11\xe0\xa1", "flatten", "attachment"),
        (b"text/plain", b"{\\rtf1 x}", "flatten", "attachment"),
        (b"text/html", b"\x01\x02\x03\x04 binary junk", "flatten", "attachment"),
        (b"text/rtf", b"{\\rtf1 x}", "flatten", "attachment"),
        (b"text/csv", b"a,b", "flatten", "attachment"),
        (b"text/calendar", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR", "keep", "calendar"),
        (b"text/calendar; name=a.ics", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR", "keep", "calendar"),
        (b"text/calendar; name=a.hta", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR", "flatten", "attachment"),
        (b"text/calendar", b"<script>", "flatten", "attachment"),
        (b"image/png", b"x", "flatten", "attachment"),
        (b"application/octet-stream; name=a.eml", b"From: x", "flatten", "attachment"),
        (b"application/ms-tnef; name=winmail.dat", b"x", "flatten", "attachment"),
        (b"application/pgp-signature", b"x", "flatten", "attachment"),
        (b"message/delivery-status", b"Reporting-MTA: dns; x", "keep", "report"),
        (b"message/disposition-notification", b"Reporting-UA: x", "keep", "report"),
        (b"message/delivery-status", b"this is no field", "flatten", "attachment"),
        (b"message/delivery-status; name=x.exe", b"A: b", "flatten", "attachment"),
        (b"application/pkcs7-mime; smime-type=signed-data", b"0\x80", "remove", "opaque_signed"),
        (b"application/pkcs7-mime; smime-type=enveloped-data", b"PK\3\4", "remove", "opaque_signed"),
        (b"message/partial; id=a", b"x", "remove", "fragment"),
        (b"message/external-body; access-type=url", b"x", "remove", "fragment"),
    ],
)
def test_a_leaf_gets_the_action_of_the_table(header, body, action, reason):
    step = steps_of(TOP + b"Content-Type: " + header + b"\r\n\r\n" + body + b"\r\n")["1"]
    assert (step.action, step.reason) == (action, reason)


def test_a_picture_that_the_html_shows_is_wanted_as_an_image_and_others_as_pdf():
    shown = b"Content-Type: image/png\r\nContent-ID: <pic@x>\r\nContent-Disposition: attachment\r\n" + B64
    beside = b"Content-Type: image/png\r\nContent-ID: <other@x>\r\n" + B64
    alone = b"Content-Type: image/png\r\n" + B64
    steps = steps_of(mixed(HTML, shown, beside, alone, subtype=b"related"))
    assert [steps[n].want for n in ("1", "2", "3", "4")] == [None, Want.IMAGE, Want.IMAGE, Want.PDF]
    assert steps_of(mixed(TEXT, beside))["2"].want is Want.PDF


def test_a_step_gives_the_decoded_document_and_a_safe_name():
    step = steps_of(
        mixed(TEXT, PDF.replace(b"filename=x.pdf", b'filename="../x.pdf"').replace(b"name=x.pdf", b'name="../x.pdf"'))
    )["2"]
    assert step.payload().startswith(b"%PDF-1.7\n")
    assert (step.name, step.declared) == ("x.pdf", "application/pdf")


def test_policy_can_refuse_what_is_ambiguous_and_what_is_over_a_bound():
    raw = mixed(TEXT, PDF)
    from gateway.mail.parse import parse

    bare = plan.make_plan(parse(raw.replace(b"\r\n", b"\n")), Policy(ambiguous="refuse"))
    assert bare.refused == "ambiguous"
    assert {r.outcome for r in records(bare, {})} == {"refused"}
    over = plan.make_plan(parse(raw, Bounds(depth=1)), Policy(over_bounds="refuse"))
    assert over.refused == "too_deep"
    assert plan.make_plan(parse(raw, Bounds(depth=1)), Policy(ambiguous="refuse")).refused is None


def test_there_is_one_record_a_step_whatever_happened():
    message = b"Content-Type: message/rfc822\r\n\r\n" + mixed(TEXT, PDF, boundary=b"in")
    sent = send(mixed(TEXT, message, PDF, PDF, PDF))
    results = {"2.2": Safe(b"x", "application/pdf", "x.pdf", "application/pdf"), "3": Removed("encrypted", "application/pdf", "id7"),
               "4": Safe(b"x", "application/zip", "x.zip")}  # fmt: skip
    found = [(r.part, r.outcome, r.reason, r.found, r.id) for r in records(sent.plan, results)]
    assert found == [
        ("1", "kept", "displayed_text", "", ""),
        ("2", "repacked", "message", "", ""),
        ("2.1", "kept", "displayed_text", "", ""),
        ("2.2", "flattened", "attachment", "application/pdf", ""),
        ("3", "removed", "encrypted", "application/pdf", "id7"),
        ("4", "repacked", "attachment", "", ""),
        ("5", "removed", "not_examined", "", ""),
    ]


def test_every_reason_for_a_removal_has_words():
    kept = {
        reasons.DISPLAYED_TEXT, reasons.REPORT, reasons.CALENDAR, reasons.SIGNATURE, reasons.ATTACHMENT, reasons.INLINE_IMAGE,
        reasons.HIDDEN_IN_TEXT, reasons.MESSAGE, reasons.MESSAGE_RENAMED, reasons.HTML_NEUTRALISED, reasons.ENCRYPTED_TEXT, reasons.MEMBER,
    }  # fmt: skip
    assert set(WHY) == REASONS | reasons.OUR_REASONS - kept
    assert reasons.MESSAGE_TOO_LARGE in WHY
    assert all("\n" not in words and words.endswith((".", ")")) for words in WHY.values())


def test_a_notice_shows_only_media_types_that_are_ones():
    text = notice("a.exe", "x\r\ny/z", "text/html", "unknown_type", "")
    assert "Found to be: text/html" in text
    assert "Declared" not in text


def test_the_growth_of_a_message_has_a_bound():
    assert Policy(growth_factor=2, growth_bytes=10).most_bytes(100) == 210


FORBIDDEN = {"asyncio", "socket", "subprocess", "os", "time", "logging", "random"}


@pytest.mark.parametrize("path", sorted(Path(gateway.mail.__file__).parent.glob("*.py")), ids=lambda p: p.name)
def test_the_mail_room_is_pure(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module if node.module.startswith("sandbox") else node.module.split(".")[0])
    assert not imported & FORBIDDEN
    assert {name for name in imported if name.startswith("sandbox")} <= {"sandbox", "sandbox.client"}
