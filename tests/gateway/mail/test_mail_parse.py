"""The tree: spans, paths and types of parts, and the bounds of what is read."""

from __future__ import annotations

import pytest

from gateway.mail.parse import parse
from gateway.mail.tree import Bounds, Kind
from tests.gateway.mail.letters import PDF, TEXT, TOP, joined, mixed, send


def by_path(raw, bounds=None):
    return {part.path: part for part in parse(raw, bounds).root.walk()}


def test_every_part_has_the_span_of_its_bytes():
    raw = mixed(TEXT, PDF)
    parts = by_path(raw)
    assert parts["1"].span.of(raw) == TEXT.removesuffix(b"\r\n")
    assert parts["1"].header_span.of(raw) == b"Content-Type: text/plain; charset=utf-8\r\n"
    assert parts["1"].body == b"Hello"
    assert parts["2"].span.of(raw) == PDF.removesuffix(b"\r\n")


def test_paths_are_those_of_imap():
    attached = b"Content-Type: message/rfc822\r\n\r\n" + mixed(TEXT, PDF, boundary=b"in")
    nested = b'Content-Type: multipart/alternative; boundary="alt"\r\n\r\n' + joined(TEXT, TEXT, boundary=b"alt")
    parts = by_path(mixed(nested, attached, b"Content-Type: message/rfc822\r\n\r\n" + TOP + TEXT))
    assert list(parts) == ["TEXT", "1", "1.1", "1.2", "2", "2.TEXT", "2.1", "2.2", "3", "3.1"]


def test_a_message_inside_a_message_inside_a_message_has_paths_of_its_own():
    raw = (TOP + b"Content-Type: message/rfc822\r\n\r\n") * 3 + TOP + TEXT
    assert list(by_path(raw)) == ["1", "1.1", "1.1.1", "1.1.1.1"]


def test_what_is_declared_is_read():
    part = by_path(
        TOP + b'Content-Type: Image/PNG;\r\n\tname="a b.png"\r\nContent-Transfer-Encoding: BASE64\r\n'
        b"Content-Disposition: inline; filename*=utf-8''%c3%a9.png\r\nContent-ID: <x@y>\r\n\r\n"
    )["1"]
    assert (part.content_type, part.encoding, part.disposition, part.content_id) == (
        "image/png",
        "base64",
        "inline",
        "x@y",
    )
    assert part.params["name"] == "a b.png"
    assert part.untrusted_filename == "a b.png"


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"Subject: x\r\n", b"Subject: x\r\n\r\n", b"Subject: x"])
def test_a_message_without_a_body_is_clean(raw):
    message = parse(raw)
    assert message.ambiguities == ()
    assert message.root.kind is Kind.LEAF


def test_a_tree_over_the_bound_on_depth_is_cut_there():
    raw = mixed(mixed(mixed(TEXT, PDF, boundary=b"c"), boundary=b"b", top=b""), boundary=b"a")
    message = parse(raw, Bounds(depth=3))
    assert "too_deep" in message.ambiguities
    assert [part.limit for part in message.root.walk() if part.limit] == ["too_deep"]


def test_parts_over_the_bound_become_one():
    message = parse(mixed(*[TEXT] * 30), Bounds(parts=10))
    assert "too_many_parts" in message.ambiguities
    assert len(message.root.children) == 9
    assert message.root.children[-1].limit == "too_many_parts"


def test_lines_like_delimiters_over_the_bound_end_the_reading():
    body = b"--outerx\r\n" * 100
    message = parse(mixed(b"\r\n" + body, PDF), Bounds(delimiters=50))
    assert "too_many_parts" in message.ambiguities
    assert message.root.children[-1].limit == "too_many_parts"


def test_fields_over_the_bound_are_dropped_but_mime_fields_are_read():
    raw = b"".join(b"X-%d: v\r\n" % n for n in range(50)) + b"Content-Type: text/html\r\n\r\nx\r\n"
    message = parse(raw, Bounds(headers=10))
    assert "too_many_headers" in message.ambiguities
    assert message.root.content_type == "text/html"


def test_a_field_over_the_bound_is_cut():
    message = parse(b"Subject: " + b"x" * 5000 + b"\r\n\r\nbody\r\n", Bounds(header_field=1000))
    assert "header_too_large" in message.ambiguities
    assert len(message.root.headers[0].value) == 1000


def test_header_lines_over_the_bound_end_the_reading():
    message = parse(b"X: y\r\n" * 200 + b"\r\nbody", Bounds(header_lines=100))
    assert message.root.limit == "header_too_large"


@pytest.mark.parametrize(
    "raw",
    [
        b"-" * 1_000_000,
        b"\r\n--outer" * 100_000,
        TOP + b'Content-Type: multipart/mixed; boundary="outer"\r\n\r\n' + b"--outer\r\n" * 60_000,
        TOP + b'Content-Type: multipart/mixed; boundary="outer"\r\n\r\n' + b"--outer\r\nX: y\r\n" * 60_000,
        TOP + b'Content-Type: multipart/mixed; boundary="outer"\r\n\r\n' + b"--outer\r\njunk\r\n" * 60_000,
        TOP + b"Content-Type: message/rfc822\r\n\r\n" * 20_000,
        TOP + b"Content-Type: text/html\r\n\r\n" + b'(data:x/y,"data:x/y,' * 40_000,
        TOP + b"Content-Type: text/plain\r\n\r\n" + b"begin 644 x\r\n#0V%T\r\n" * 20_000,
        TOP + b"Content-Type: text/plain\r\n\r\n" + b"=ybegin name=x\r\n" * 40_000,
        TOP + b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\n" + b"a;b\r\n c;" * 60_000,
        TOP + b"Content-Type: text/plain; " + b"a=b;" * 15_000 + b"\r\n\r\n",
        TOP + b"Content-Type: " + b"a b=( " * 10_000 + b"\r\n\r\n",
        b"a" + b" " * 1_000_000 + b"\r\n\r\n",
    ],
    ids=range(13),
)
@pytest.mark.timeout(20)
def test_a_long_message_of_tricks_is_read_in_linear_time(raw):
    assert send(raw).out
