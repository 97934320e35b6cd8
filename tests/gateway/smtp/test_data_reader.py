"""The strict DATA reader: one true end, nothing else ends a message, memory stays within its bounds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.outcome import Kind
from gateway.smtp.data_reader import DataReader
from tests.gateway.corpus import corpus_files

# made of the bytes that matter, so that the interesting runs are likely
wires = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"\0", b"a", b"bc", b"\r\n.\r\n", b"\r\n."]), max_size=40
).map(b"".join)


def read(wire: bytes, chunks: list[int] | None = None, max_bytes: int = 10_000, max_line: int = 10_000):
    reader = DataReader(max_bytes, max_line)
    at = 0
    for size in [*(chunks or []), len(wire)]:
        rest = reader.feed(wire[at : at + size])
        at += size
        if rest is not None:
            return reader, rest + wire[at:]
    return reader, None


def reference(wire: bytes) -> tuple[bytes | None, bytes | None]:
    """The same by way of splitting the whole wire at once: message (None: refused) and rest."""
    head, end, rest = (b"\r\n" + wire).partition(b"\r\n.\r\n")
    if not end:
        return None, None
    lines = head.split(b"\r\n")[1:]
    content = b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines)
    if any(b"\r" in line or b"\n" in line for line in lines):
        return None, rest
    # a line of one dot is the sender's own and is stuffed again; with a NUL beside it, it is one only to some
    if any(b"\0" in line and line.replace(b"\0", b"") == b"." for line in content.split(b"\r\n")):
        return None, rest
    return content, rest


@given(wire=wires, chunks=st.lists(st.integers(0, 5), max_size=60))
@settings(max_examples=400, deadline=None)
def test_any_chunking_reads_what_a_whole_reading_does(wire, chunks):
    message, rest = reference(wire)
    reader, found_rest = read(wire, chunks)
    assert found_rest == rest
    if rest is not None:
        assert (None if reader.fault else reader.take_message()) == message


@given(body=st.binary(max_size=300).map(lambda body: re.sub(rb"[\r\n\0]", b"\r\n", body) + b"\r\n"))
@settings(max_examples=200, deadline=None)
def test_dot_stuffing_is_undone_exactly(body):
    from gateway.smtp.transaction import dot_stuffed

    reader, rest = read(dot_stuffed(body))
    assert rest == b""
    assert reader.fault is None
    assert reader.take_message() == body


def test_an_empty_message_is_empty():
    reader, rest = read(b".\r\nQUIT\r\n")
    assert (reader.take_message(), rest) == (b"", b"QUIT\r\n")


@pytest.mark.parametrize(
    "sequence",
    [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n", b"\r\n\0.\r\n", b"\r\n..\0\r\n", b"\n\r.\n\r"],
)
def test_no_smuggling_sequence_ends_the_message_and_none_passes(sequence):
    wire = b"Subject: x\r\n\r\nouter" + sequence + b"MAIL FROM:<x@y>\r\n"
    reader, rest = read(wire)
    assert rest is None
    assert reader.feed(b".\r\n") == b""
    assert reader.fault in (Kind.BARE_LINE_END, Kind.HIDDEN_END)
    assert reader.take_message() == b""


@pytest.mark.parametrize("path", corpus_files("smtp", "*.bin"), ids=lambda path: path.name)
def test_corpus_smuggling_is_one_refused_message(path):
    reader, rest = read(path.read_bytes())
    assert rest == b""
    assert reader.fault in (Kind.BARE_LINE_END, Kind.HIDDEN_END)


def test_a_hidden_end_on_the_first_line_is_found_too():
    assert read(b"\0.\r\n.\r\n")[0].fault is Kind.HIDDEN_END


def test_a_true_line_of_one_dot_is_no_hidden_end():
    reader, _ = read(b"\0\r\n..\r\n.\r\n")
    assert reader.take_message() == b"\0\r\n.\r\n"


def test_a_nul_that_hides_no_end_is_kept():
    reader, _ = read(b"a\0b\r\n\0\r\n..\0x\r\n.\r\n")
    assert reader.take_message() == b"a\0b\r\n\0\r\n.\0x\r\n"


def test_past_the_size_bound_nothing_more_is_kept():
    reader = DataReader(1000, 10_000)
    for _ in range(100):
        assert reader.feed(b"x" * 98 + b"\r\n") is None
        assert reader.held_bytes <= 1000 + 100 + 2
    assert reader.feed(b".\r\n") == b""
    assert reader.fault is Kind.TOO_LARGE


def test_a_message_of_exactly_the_bound_passes_and_one_byte_more_does_not():
    body = b"x" * 98 + b"\r\n"
    assert read(body + b".\r\n", max_bytes=100)[0].fault is None
    assert read(b"x" + body + b".\r\n", max_bytes=100)[0].fault is Kind.TOO_LARGE


def test_a_line_past_its_bound_is_refused_even_in_small_chunks_and_its_bytes_dropped():
    reader, rest = read(b"y" * 2049 + b"\r\n.\r\n", chunks=[7] * 400, max_line=2048)
    assert rest == b""
    assert reader.fault is Kind.LINE_TOO_LONG
    assert read(b"y" * 2048 + b"\r\n.\r\n", chunks=[7] * 400, max_line=2048)[0].fault is None


def test_an_endless_line_takes_no_memory():
    reader = DataReader(1 << 30, 2048)
    for _ in range(200):
        reader.feed(b"z" * 1000)
        assert reader.held_bytes <= 4096
