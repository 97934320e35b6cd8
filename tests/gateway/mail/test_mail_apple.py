"""What a Mac keeps beside a file goes without a word; a file that only says so is a file."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.apple import is_header_file
from gateway.mail.record import records
from gateway.mail.tree import Bounds
from gateway.mail.witness import objection
from tests.gateway.mail.letters import ENCODED, PDF, SAFE, SECRET, TEXT, leaked, mixed, send
from tests.gateway.mail.test_mail_rebuild import python_reads


def header(*entries: tuple[int, bytes], magic: int = 0x00051607) -> bytes:
    start = 26 + 12 * len(entries)
    table, data = b"", b""
    for kind, content in entries:
        table += struct.pack(">III", kind, start + len(data), len(content))
        data += content
    return struct.pack(">II16xH", magic, 0x20000, len(entries)) + table + data


FORK = header((9, b"f" * 32), (2, b"resource fork " * 20))


def leaf(content: bytes, name: bytes = b"x.pdf", kind: bytes = b"application/applefile") -> bytes:
    head = b'Content-Type: %s; name="%s"\r\nContent-Transfer-Encoding: base64\r\n' % (kind, name)
    return (
        head
        + b'Content-Disposition: attachment; filename="%s"\r\n\r\n' % name
        + base64.encodebytes(content).replace(b"\n", b"\r\n")
    )


def double(*parts: bytes) -> bytes:
    return mixed(*parts, subtype=b"appledouble", boundary=b"two", top=b"")


SHAPES = {
    "appledouble": mixed(TEXT, double(leaf(FORK, b"%x.pdf"), PDF)),
    "appledouble alone": double(leaf(FORK), PDF).replace(b"Content-Type", b"Subject: s\r\nMIME-Version: 1.0\r\nContent-Type", 1),
    "appledouble the wrong way round": mixed(TEXT, double(PDF, leaf(FORK))),
    "beside it, by ._": mixed(TEXT, leaf(FORK, b"._x.pdf"), PDF),
    "beside it, by %": mixed(TEXT, leaf(FORK, b"%x.pdf"), PDF),
    "beside it, by the same name": mixed(TEXT, leaf(FORK), PDF),
    "beside it as octets": mixed(TEXT, leaf(FORK, b"._x.pdf", b"application/octet-stream"), PDF),
    "behind it": mixed(TEXT, PDF, leaf(FORK, b"._x.pdf")),
    "twice behind it": mixed(TEXT, PDF, leaf(FORK, b"._x.pdf"), leaf(FORK, b"%x.pdf")),
    "before and behind": mixed(leaf(FORK, b"._x.pdf"), leaf(FORK, b"%x.pdf"), PDF, leaf(FORK, b"._x.pdf")),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_the_file_is_flattened_and_its_fork_goes_without_a_notice(name, end):
    sent = send(SHAPES[name].replace(b"\r\n", end))
    message = python_reads(sent.out)
    leaves = [part for part in message.walk() if not part.is_multipart()]
    assert [part.get_content_type() for part in leaves] == ["text/plain"] * (TEXT in SHAPES[name]) + ["application/pdf"]
    assert leaves[-1].get_content() == SAFE
    assert not [part for part in message.walk() if part.get_content_type() == "multipart/appledouble"]
    assert leaked(FORK, sent.out) == []
    forks = [r for r in records(sent.plan, sent.results) if r.reason == "resource_fork"]
    assert {r.outcome for r in forks} == {"removed"}
    assert objection(sent.message, sent.plan, sent.results, sent.out, Bounds()) == ""


@pytest.mark.parametrize(
    "raw",
    [
        mixed(TEXT, double(leaf(SECRET), PDF)),
        mixed(TEXT, double(leaf(header((1, SECRET))), PDF)),
        mixed(TEXT, double(leaf(header((2, b"x"), magic=0x00051600)), PDF)),
        mixed(TEXT, leaf(FORK, b"._y.pdf"), PDF),
        mixed(TEXT, leaf(FORK, b"._x.pdf")),
        mixed(TEXT, double(leaf(FORK))),
        mixed(TEXT, double(leaf(FORK), leaf(FORK))),
    ],
    ids=["no header", "with a data fork", "applesingle", "of another file", "of no file", "alone", "of each other"],
)
def test_what_belongs_to_no_file_or_is_one_goes_the_way_of_files(raw):
    sent = send(raw)
    assert "resource_fork" not in {step.reason for step in sent.plan.steps}
    assert {step.action for step in sent.plan.steps if step.declared == "application/applefile"} == {"flatten"}
    assert ENCODED not in sent.out


@given(st.binary(max_size=80))
def test_no_bytes_make_the_looking_raise(data):
    assert is_header_file(b"\x00\x05\x16\x07" + data) in (True, False)
