"""The second reading of what is about to be sent: it agrees with what we write, and notices what we must not send."""

from __future__ import annotations

import base64
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mail import archive
from gateway.mail.policy import Policy
from gateway.mail.rebuild import rebuild
from gateway.mail.result import Removed, Safe
from gateway.mail.tree import Bounds
from gateway.mail.witness import Traces, _leaf, objection, print_of
from tests.gateway.corpus import corpus_files
from tests.gateway.mail.bends import bent
from tests.gateway.mail.examine import known_bytes
from tests.gateway.mail.letters import ENCODED, PDF, SECRET, TEXT, TOP, mixed, send
from tests.gateway.mail.ordinary import ORDINARY
from tests.gateway.mail.spellings import EVERY

BOUNDS = Bounds()
REPORT = b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; b@x\r\n folded\r\n"


def objected(sent, out: bytes | None = None, results=None) -> str:
    return objection(sent.message, sent.plan, results or sent.results, sent.out if out is None else out, BOUNDS)


@pytest.mark.parametrize("name", EVERY)
def test_both_readings_agree_on_what_we_send_for_a_trick(name):
    assert objected(send(EVERY[name][0])) == ""


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("name", ORDINARY)
def test_both_readings_agree_on_ordinary_mail_with_either_line_end(name, end):
    assert objected(send(ORDINARY[name].replace(b"\r\n", end))) == ""


@pytest.mark.parametrize("path", corpus_files("mime"), ids=lambda path: path.name)
def test_both_readings_agree_on_the_corpus(path):
    raw = path.read_bytes()
    assert objected(send(raw)) == ""
    assert objected(send(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))) == ""


@settings(max_examples=150, deadline=None)
@given(bent())
def test_both_readings_agree_on_what_we_send_for_a_bent_message(case):
    assert objected(send(case[0])) == ""


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 2000))
def test_nothing_makes_the_witness_raise(junk, at):
    sent = send(mixed(TEXT, PDF))
    assert isinstance(objected(sent, sent.out[:at] + junk + sent.out[at:]), str)


def test_a_message_that_nothing_changed_is_not_read_but_must_be_the_very_bytes():
    sent = send(mixed(TEXT))
    assert objected(sent) == ""
    assert "changed" in objected(sent, sent.out + b"x")


def test_a_file_that_came_through_is_noticed():
    sent = send(mixed(TEXT, PDF))
    assert objected(sent, sent.message.raw) == "part 2 is in it as it came"


def test_a_file_that_came_through_in_another_encoding_is_noticed():
    sent = send(mixed(TEXT, PDF))
    octets = b"".join(b"=%02X" % byte for byte in SECRET)
    lines = b"=\r\n".join(octets[at : at + 60] for at in range(0, len(octets), 60))
    other = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + lines + b"\r\n"
    assert objected(sent, mixed(TEXT, other)) == "part 2 is in it as it came"


@pytest.mark.parametrize("size", [70_000, 500_000])
def test_a_large_file_is_noticed_and_its_neighbours_are_read(size):
    large = known_bytes("large", size=size)
    lines = base64.encodebytes(large).replace(b"\n", b"\r\n")
    sent = send(mixed(TEXT, PDF.replace(ENCODED, lines), TEXT))
    results = {"2": Safe(known_bytes("safe", size=size), "application/pdf", "x.pdf")}
    assert objected(sent, rebuild(sent.message, sent.plan, results), results) == ""
    assert objected(sent, sent.message.raw) == "part 2 is in it as it came"
    inside = sent.message.raw.replace(lines[780:858], b"--outer\r\n")
    assert objected(sent, inside).startswith("it reads in several ways: ")


def test_a_file_out_of_a_text_that_came_through_is_noticed():
    sent = send(TOP + b"Content-Type: text/plain\r\n\r\nsee\r\n" + ENCODED)
    assert sent.plan.steps[1].block
    assert objected(sent, mixed(TEXT, PDF)) == "part 1/b641 is in it as it came"


def test_the_same_bytes_may_stay_where_they_are_text_or_were_made_by_us():
    note = b"the same words in the text and in the file beside it\r\n"
    text = b"Content-Type: text/plain\r\n\r\n" + note
    file = b"Content-Type: text/plain; name=a.txt\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(
        note.removesuffix(b"\r\n")
    )
    sent = send(mixed(text, file.replace(b"\n", b"\r\n").replace(b"\r\r", b"\r")))
    assert [step.action for step in sent.plan.steps] == ["keep", "flatten"]
    assert objected(sent) == ""
    sent = send(mixed(TEXT, PDF))
    results = {"2": Safe(SECRET, "application/pdf", "x.pdf")}  # a flattened PDF that was flattened again
    assert objected(sent, rebuild(sent.message, sent.plan, results), results) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\r\n--outer\r\n", b"\n--outer\r\n"),
        (b"--outer--", b"--outer-"),
        (
            b'Content-Type: multipart/mixed; boundary="outer"',
            b'Content-Type: multipart/mixed; boundary="outer"; boundary=x',
        ),
        (b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit"),
        (b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: base64 "),
        (b"MIME-Version: 1.0", b"MIME-Version: 1.0\0"),
    ],
)
def test_what_could_be_read_in_two_ways_is_noticed(old, new):
    sent = send(mixed(TEXT, PDF))
    assert old in sent.out
    assert objected(sent, sent.out.replace(old, new)).startswith("it reads in several ways: ")


def test_readings_that_differ_are_noticed_part_by_part(monkeypatch):
    sent = send(mixed(TEXT, PDF, REPORT))
    blind = dataclasses.replace(BOUNDS, parts=1)
    monkeypatch.setattr("gateway.mail.witness._wider", lambda *_: blind)
    assert objected(sent) == "it reads in several ways: too_many_parts"
    monkeypatch.undo()
    monkeypatch.setattr("gateway.mail.witness._leaf", lambda part: dataclasses.replace(_leaf(part), name="other"))
    assert objected(sent) == "the name of part 1 differs"
    monkeypatch.setattr("gateway.mail.witness._leaf", lambda part: dataclasses.replace(_leaf(part), digest=b"other"))
    assert objected(sent) == "the digest of part 1 differs"
    monkeypatch.setattr("gateway.mail.witness._by_standard_library", lambda _: iter([]))
    assert objected(sent) == "it has 3 parts for us and 0 for the other reader"
    monkeypatch.setattr("gateway.mail.witness._by_standard_library", int)
    assert objected(sent) == "the other reader gave up: TypeError"


@pytest.mark.parametrize("encoding", [b"", b"Content-Transfer-Encoding: 8bit\r\n"])
def test_reports_are_compared_by_their_words(encoding):
    report = REPORT.replace(b"\r\n\r\n", b"\r\n" + encoding + b"\r\n", 1)
    sent = send(mixed(TEXT, PDF, report))
    assert sent.plan.steps[2].reason == "report"
    assert objected(sent) == ""


def test_more_parts_than_came_are_still_read():
    texts = [b"Content-Type: text/plain\r\n\r\nbegin 644 a\r\n#0V%T\r\n`\r\nend\r\n"] * 20
    sent = send(mixed(*texts), Policy(bounds=Bounds(parts=21)))
    assert objection(sent.message, sent.plan, sent.results, sent.out, Bounds(parts=21)) == ""


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize(
    "top",
    [
        b"X: y\r\n" * 997,  # with those of the file just as many as are read
        b"X: y\r\n" * 1200,
        (b"X: " + b"\xff" * 900 + b"\r\n") * 900,
        b"X: " + b"\xff\r\n " * 20_000 + b"\r\n",
        b"X: " + b"y z" * 30_000 + b"\r\n",
    ],
)
def test_a_header_at_its_bound_is_read_again_all_the_same(top, end):
    assert objected(send((top + PDF).replace(b"\r\n", end))) == ""


@pytest.mark.parametrize(
    "fields",
    [
        b'text/calendar; name=A.ICS\r\nContent-Disposition: attachment; filename="a.ics"',
        b'text/calendar; name="=?utf-8?Q?=C3=BC.ics?="',
        b"text/calendar; name*=utf-8''%C3%BC.ics",
        b"text/calendar; name*0*=utf-8''%C3;\r\n name*1*=%BC.ics",
        b'text/calendar; name="a \\"b\\".ics"',
        b'text/calendar;\r\n\tname="a long\r\n\tname.ics"',
        b"text/calendar; NAME=a.ics; method=REQUEST",
        b'text/calendar; name="a\'b.ics"',
    ],
)
def test_names_of_parts_that_stay_are_read_alike(fields):
    calendar = b"Content-Type: " + fields + b"\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"
    sent = send(mixed(TEXT, calendar, PDF))
    assert (sent.plan.ambiguities, sent.plan.steps[1].action) == ((), "keep")
    assert objected(sent) == ""


def test_a_notice_in_the_place_of_a_file_is_no_file_that_came_through():
    sent = send(mixed(TEXT, PDF))
    results = {"2": Removed("encrypted", "application/pdf", "K7")}
    assert objected(sent, rebuild(sent.message, sent.plan, results), results) == ""


def _archive(*members: tuple[str, bytes]) -> tuple[bytes, Traces]:
    """A zip of ours, and what is known of it."""
    written = archive.write([(name, Safe(content, "application/x", name)) for name, content in members])
    return written, Traces(
        {print_of(SECRET): "2/7"}, frozenset({print_of(b"made by us" * 9)}), frozenset({print_of(written)}), 9, 1
    )


def _objected(content: bytes, traces: Traces) -> str:
    sent = send(
        mixed(TEXT, PDF.replace(ENCODED, base64.encodebytes(b"an archive of somebody's").replace(b"\n", b"\r\n")))
    )
    results = {"2": Safe(content, "application/zip", "x.zip")}
    out = rebuild(sent.message, sent.plan, results)
    return objection(sent.message, sent.plan, results, out, BOUNDS, traces=traces)


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ([("a.pdf", b"made by us" * 9)], ""),
        ([("a.pdf", b"made by us" * 9), ("b.pdf", SECRET)], "part 2/7 is in it as it came"),
        ([("m.eml", mixed(TEXT))], ""),
        ([("m.eml", mixed(TEXT, PDF))], "part 2/7 is in it as it came"),
        ([("m.eml", mixed(TEXT, PDF).replace(b"--outer--", b"--outer-"))], "it reads in several ways: "),
        ([("in.zip", b"PK of a sender")], "an archive in it is not one that was written here"),
    ],
)
def test_archives_of_ours_are_opened_and_messages_in_them_read(members, fault):
    found = _objected(*_archive(*members))
    assert found.startswith(fault) if fault else found == ""


def test_an_archive_that_is_not_ours_is_not_even_opened():
    assert "not one that was written here" in _objected(b"PK\3\4 of a sender", Traces())


def test_archives_in_archives_are_opened_too():
    inner, _ = _archive(("b.pdf", SECRET))
    outer, traces = _archive(("in.zip", inner))
    known = dataclasses.replace(traces, archives=traces.archives | {print_of(inner)})
    assert _objected(outer, known) == "part 2/7 is in it as it came"


def test_a_file_of_a_container_that_stands_among_the_parts_is_noticed():
    sent = send(mixed(TEXT, PDF.replace(ENCODED, base64.encodebytes(b"a container").replace(b"\n", b"\r\n"))))
    results = {"2": Safe(SECRET, "application/pdf", "x.pdf")}
    out = rebuild(sent.message, sent.plan, results)
    gone = Traces({print_of(SECRET): "2/7"})
    assert objection(sent.message, sent.plan, {}, out, BOUNDS, traces=gone) == "part 2/7 is in it as it came"
    stays = dataclasses.replace(gone, stays=frozenset({print_of(SECRET)}))
    assert objection(sent.message, sent.plan, {}, out, BOUNDS, traces=stays) == ""
