"""Transfer encodings, read so that nothing any reader could see is missed."""

from __future__ import annotations

import base64
import binascii
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.decode import decode, decode_uu, decode_yenc


@given(st.binary(max_size=500))
def test_well_formed_base64_is_decoded_and_not_odd(data):
    assert decode(base64.encodebytes(data).replace(b"\n", b"\r\n"), "base64") == (data, frozenset())


@given(st.binary(max_size=500))
def test_well_formed_quoted_printable_is_decoded_and_not_odd(data):
    body = binascii.b2a_qp(data.replace(b"\r", b"").replace(b"\n", b""), istext=False).replace(b"=\n", b"=\r\n")
    content, odd = decode(body, "quoted-printable")
    assert (content, odd) == (quopri.decodestring(body), frozenset())


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b"aGFy*!bWxl\r\nc3M=", b"harmless"),
        (b"aGFybWxlc3M=\r\nJVBERi0=", b"harmless%PDF-"),
        (b"aGFybWxlc3M=JVBERi0=", b"harmless%PDF-"),
        (b"aGFybWxlc3M", b"harmless"),
        (b"aGFybWxlc3M===", b"harmless"),
        (b"aGFy\r\n\r\nbWxlc3M=", b"harmless"),
        (b"aGFy bWxlc3M=", b"harmless"),
        (b"aGFybWxlc3M=A", b"harmless"),
    ],
)
def test_odd_base64_is_read_to_its_end_and_noted(body, content):
    assert decode(body, "base64") == (content, frozenset({"base64"}))


@pytest.mark.parametrize("body", [b"a=zz", b"a=3d", b"a= \r\nb", b"a=\nb", b"=", b"caf=C3=A9=20=\r\n"])
def test_broken_escapes_are_noted(body):
    wanted = frozenset() if body in (b"=", b"caf=C3=A9=20=\r\n") else frozenset({"quoted_printable"})
    assert decode(body, "quoted-printable")[1] == wanted


@given(st.binary(max_size=300))
def test_uuencoded_lines_are_decoded_through_junk(data):
    lines = [binascii.a2b_hex(b"")] + [
        binascii.b2a_uu(data[at : at + 45]).strip(b"\n") for at in range(0, len(data), 45)
    ]
    body = b"hello there, this is junk\r\nbegin 644 a.bin\r\n" + b"\r\n".join(lines[1:]) + b"\r\n`\r\nend\r\n"
    assert decode_uu(body) == data


def test_yenc_is_decoded():
    data = bytes(range(256))
    body = b"".join(
        b"=%c" % ((b + 106) & 255) if (b + 42) & 255 in (0, 10, 13, 61) else b"%c" % ((b + 42) & 255) for b in data
    )
    assert decode_yenc(body + b"\r\n") == data


@given(st.binary(max_size=300), st.sampled_from(["identity", "base64", "quoted-printable", "x-uuencode", "unknown"]))
def test_no_bytes_make_the_decoding_raise(body, encoding):
    assert isinstance(decode(body, encoding)[0], bytes)
