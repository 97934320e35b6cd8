"""One message in is one message out, on the second leg too: nothing that we write can be taken for the end of it.

On the first leg bare line ends are refused (`smtp/test_data_reader.py`, `smtp/test_smtp_server.py`, the dialogues). What
comes inside a transfer encoding has passed there; where we undo it, we must not write its line ends.
"""

from __future__ import annotations

import base64
import re

import pytest

from tests.gateway.corpus import corpus_files
from tests.gateway.mail.letters import TOP, mixed
from tests.gateway.test_pipeline import handled

# every end of data that some MTA was ever known to take, and then some
SEQUENCES = [
    b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\n\r.\n\r", b"\r\n.\r\n", b"\r\r\n.\r\r\n",
    b"\0\r\n.\r\n", b"\r\0\n.\r\0\n", b"\x85.\x85", b"\x0b.\x0b\n",
]  # fmt: skip
SECOND = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: second\r\n\r\nhello\r\n.\r\n"
END = re.compile(rb"(?:\A|[\r\n])[\x00\r\n]*\.\x00*[\r\n]")


def in_base64(body: bytes) -> bytes:
    return b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(body).replace(b"\n", b"\r\n")


def carriers(body: bytes) -> dict[str, bytes]:
    """Messages of clean lines that hold `body` inside an encoding, in places where we undo it."""
    text = b"Content-Type: text/plain\r\n" + in_base64(body)
    message = b"Content-Type: message/rfc822\r\n" + in_base64(b"Subject: inner\r\n\r\n" + body)
    report = b"Content-Type: message/delivery-status\r\n" + in_base64(b"Reporting-MTA: dns; x\r\n" + body)
    return {
        "text": mixed(text),
        "ambiguous text": mixed(text, b"Content-Type: text/plain; charset=x; charset=y\r\n\r\nx\r\n"),
        "message": mixed(message),
        "report": mixed(report, message),
        "multipart": TOP
        + b"Content-Type: multipart/mixed; boundary=in\r\n"
        + in_base64(b"--in\r\n\r\n" + body + b"\r\n--in--\r\n"),
        "file": mixed(b"Content-Type: application/pdf\r\n" + in_base64(body)),
    }


async def one_message(tmp_path, body: bytes, name: str) -> None:
    ended, hop = await handled(tmp_path, carriers(body)[name])
    assert ended.delivered
    [wire] = hop.messages
    assert wire.count(b"\r") == wire.count(b"\n") == wire.count(b"\r\n")
    assert [found.end() for found in END.finditer(wire)] == [len(wire) - 1]


@pytest.mark.parametrize("name", list(carriers(b"")))
@pytest.mark.parametrize("sequence", SEQUENCES)
async def test_an_end_inside_an_encoding_is_no_end_on_the_second_leg(tmp_path, sequence, name):
    await one_message(tmp_path, b"text" + sequence + SECOND, name)


@pytest.mark.parametrize("name", list(carriers(b"")))
@pytest.mark.parametrize("path", corpus_files("smtp", "*.bin"), ids=lambda path: path.name)
async def test_nothing_of_the_corpus_ends_a_message_on_the_second_leg(tmp_path, path, name):
    await one_message(tmp_path, path.read_bytes(), name)


# the last two end lines for some programs, but data for none that is known
@pytest.mark.parametrize("sequence", SEQUENCES[:-2])
def test_the_search_for_ends_finds_them(sequence):
    assert END.search(b"text" + sequence + SECOND[:20])
