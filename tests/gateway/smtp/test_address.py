"""Addresses as the configuration writes them."""

from __future__ import annotations

import pytest

from gateway.smtp.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:10025", Address("smtp", "127.0.0.1", 10025)),
        ("[::1]:25", Address("smtp", "::1", 25)),
        ("mx.example.org:0", Address("smtp", "mx.example.org", 0)),
        ("smtp:127.0.0.1:25", Address("smtp", "127.0.0.1", 25)),
        ("lmtp:127.0.0.1:24", Address("lmtp", "127.0.0.1", 24)),
        ("lmtp:[::1]:24", Address("lmtp", "::1", 24)),
        ("unix:/run/lmtp", Address("lmtp", path="/run/lmtp")),
        ("lmtp:unix:/run/lmtp", Address("lmtp", path="/run/lmtp")),
        ("smtp:unix:/run/smtp", Address("smtp", path="/run/smtp")),
    ],
)
def test_every_form_is_read_and_written_back(text, address):
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", "here", ":25", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", "127.0.0.1:²", "::1:25", "lmtp:24", "http:mx:25",
     "unix:", "unix:run/lmtp", "unix:/" + "x" * 107, "unix:/a\0b", "lmtp:", "inet:mx:25"],
)  # fmt: skip
def test_anything_else_is_refused_with_what_to_write(text):
    with pytest.raises(ValueError, match="write it as"):
        parse_address(text)
