"""Files inside texts: those that are there, and texts that only look like it."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.embedded import BLOCKS, find_blocks, hides_urls, outside_yenc
from tests.gateway.mail.letters import ENCODED, SECRET
from tests.gateway.mail.tricks import ONE_LINE, UU, YENC

CHECKSUMS = b"".join(hashlib.sha256(b"%d" % n).hexdigest().encode() + b"\r\n" for n in range(20))
ARMOR = (
    b"-----BEGIN CERTIFICATE-----\r\n" + base64.encodebytes(bytes(range(256)) * 4) + b"-----END CERTIFICATE-----\r\n"
)


@pytest.mark.parametrize(
    ("text", "media_type", "kinds"),
    [
        (UU, "text/plain", ["uu"]),
        (b"> quoted\r\n" + UU + b"and\r\n" + UU, "text/plain", ["uu", "uu"]),
        (UU.replace(b"begin 644 x.pdf", b"BEGIN  0644  x y.pdf"), "text/plain", ["uu"]),
        (YENC, "text/plain", ["yenc"]),
        (b"x\r\n(This file must be converted with BinHex 4.0)\r\n\r\n:abc\r\ndef:\r\ny", "text/plain", ["binhex"]),
        (ENCODED, "text/plain", ["b64"]),
        (ENCODED, "text/html", ["b64"]),
        (b'<script>x=atob("' + ONE_LINE + b'")</script>', "text/html", ["b64"]),
        (b"data:x/y;base64," + ONE_LINE, "text/plain", ["data"]),
        (b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(b"words " * 30), "text/plain", ["b64"]),
        (b"<img src=\"data:image/svg+xml;utf8,<svg onload='x'>\">", "text/html", ["data"]),
        (b"<a href='data:,MZ%90'>", "text/html", ["data"]),
        (b"ATTACH;VALUE=BINARY;ENCODING=BASE64:aGFy\r\n bWxlc3M=\r\nX:y", "text/calendar", ["ics"]),
        (b'ATTACH;X="a;b:c";ENCODING="BASE64":aGFybWxlc3M=\r\n', "text/calendar", ["ics"]),
        (b"IMAGE;ENCODING=B;FMTTYPE=image/png:aGFy\r\n", "text/calendar", ["ics"]),
        (b"ATTACH:data:text/html;base64,aGFybWxlc3M=\r\n", "text/calendar", ["ics"]),
        (b"IMAGE;VALUE=URI:da\r\n ta:image/png;bas\r\n e64,aGFybWxlc3M=\r\n", "text/calendar", ["ics"]),
        (b"ATTACH; VALUE = BINARY:aGFybWxlc3M=\r\n", "text/calendar", ["ics"]),
        (b"item1.ATTACH;ENCODING=BASE64:aGFybWxlc3M=\r\n", "text/calendar", ["ics"]),
        (b"X-FILE;VALUE=BINARY;ENCODING=BASE64:aGFybWxlc3M=\r\n", "text/calendar", ["ics"]),
        (b"STRUCTURED-DATA;VALUE=BINARY;ENCODING=BASE64:aGFybWxlc3M=\r\n", "text/calendar", ["ics"]),
        (b"ATTACH:" + b"\r\n ".join(base64.encodebytes(b"words " * 20).split()) + b"\r\n", "text/calendar", ["ics"]),
        (b'X-ALT-DESC;FMTTYPE=text/html:<a href="data:x/y;base64,aGFybWxlc3M=">\r\n', "text/calendar", ["data"]),
        (b'STYLED-DESCRIPTION:<a href="data:x/y;base64\\,aGFybWxlc3M=">\r\n', "text/calendar", ["mime"]),
        (b'X-ALT-DESC:<a href="da\r\n ta:x/y;base64,aGFybWxlc3M=">\r\n', "text/calendar", ["mime"]),
        (b"DESCRIPTION:see\\n" + b"\r\n ".join(ENCODED.split()) + b"\r\n", "text/calendar", ["b64"]),
        (b"<img srcset='data:x/y;base64," + ONE_LINE + b" 1x'>", "text/html", ["data"]),
        (
            YENC.replace(b"=ybegin ", b"=ybegin part=1 total=2 ").replace(
                b"x.pdf\r\n", b"x.pdf\r\n=ypart begin=1 end=9\r\n"
            ),
            "text/plain",
            ["yenc"],
        ),
    ],
)
def test_a_file_in_a_text_is_found(text, media_type, kinds):
    assert [block.kind for block in find_blocks(text, media_type, suspicious=False)] == kinds


@pytest.mark.parametrize(
    "text",
    [
        b"begin 100 years ago we did\r\nthis and that\r\nend\r\n",
        b"begin of the text\r\n",
        CHECKSUMS,
        ARMOR,
        b"commit 0123456789012345678901234567890123456789\r\n" * 9,
        b"https://x.example/?t=" + base64.urlsafe_b64encode(bytes(range(256))) + b"\r\n",
        b"Our data: sales, costs. data:sales,costs\r\n",
        b"Content-Type: is a field of MIME.\r\n",
        b"A-very-long-word" * 20,
        b"ATTACH:https://x.example/a.pdf\r\n",
        b"ATTACH:CID:part1@example.org\r\n",
        b"CONFERENCE;VALUE=URI:https://x.example/" + b"a" * 60 + b"\r\n",
    ],
)
@pytest.mark.parametrize("media_type", ["text/plain", "text/calendar"])
def test_a_text_that_only_looks_like_a_file_is_left_alone(text, media_type):
    assert find_blocks(text, media_type, suspicious=False) == []


def test_in_a_suspicious_text_a_mime_field_and_long_base64_are_taken_out():
    assert [b.kind for b in find_blocks(b"Content-Type: text/html\r\n\r\n<p>", "text/plain", suspicious=True)] == [
        "mime"
    ]
    assert [
        b.kind for b in find_blocks(b"x\r\n" + base64.b64encode(b"words " * 10), "text/plain", suspicious=True)
    ] == ["b64"]


def test_the_content_of_a_block_is_decoded():
    assert find_blocks(UU, "text/plain", suspicious=False)[0].content == SECRET
    assert find_blocks(YENC, "text/plain", suspicious=False)[0].content == SECRET
    block = find_blocks(b"<img src='data:image/png;base64," + ONE_LINE + b"'>", "text/html", suspicious=False)[0]
    assert (block.content, block.media_type) == (SECRET, "image/png")


@pytest.mark.parametrize("media_type", ["text/plain", "text/calendar"])
def test_a_data_uri_in_lines_ends_where_another_line_begins(media_type):
    text = b"DESCRIPTION:see data:x/y;base64,aGFybWxlc3M=\r\nEND:VEVENT and more words\r\n"
    [block] = find_blocks(text, media_type, suspicious=False)
    assert (block.content, text[block.end :]) == (b"harmless", b"\r\nEND:VEVENT and more words\r\n")


def test_what_yenc_says_of_itself_changes_nothing():
    lies = YENC.replace(b"size=1\r\n", b"size=7 part=3 pcrc32=deadbeef crc32=00000000\r\n")
    lies = lies.replace(b"name=x.pdf\r\n", b"name=x.pdf\r\n=ypart begin=900 end=1\r\n")
    assert [block.content for block in find_blocks(lies, "text/plain", suspicious=False)] == [SECRET]
    assert outside_yenc(b"before\r\n" + lies + b"after") == b"before\r\n\r\nafter"


def test_after_the_bound_the_rest_is_taken_out_in_one_piece():
    text = b"<img src='data:image/png;base64,aGFybWxlc3M='>" * (BLOCKS + 50)
    blocks = find_blocks(text, "text/html", suspicious=False)
    assert len(blocks) == BLOCKS + 1
    assert (blocks[-1].kind, blocks[-1].end) == ("mime", len(text))


@pytest.mark.parametrize(
    ("html", "hides"),
    [
        (b'<a href="data:x/y,1">', False),
        (b'<a href="d&#97;ta:x/y,1">', True),
        (b'<a href="data&colon;x/y,1">', True),
        (b'<a href="da\r\nta:x/y,1">', True),
        (b'<p style="background:url(\\64 ata:x/y,1)">', True),
        (b'<p style="background:url(&quot;data:image/png;base64,aGFybWxlc3M=&quot;)">', False),
        (b"<p>data: a &amp; b, c</p>", False),
        (b'data:&quot;, <a href="d&#97;ta:x/y,1">', True),
    ],
)
def test_hidden_urls_are_seen(html, hides):
    assert hides_urls(html) is hides


@given(st.lists(st.sampled_from([b"begin 644 x\r\n", b"#0V%T\r\n", b"end\r\n", b"=ybegin name=x\r\n", b"=yend\r\n", b"data:", b";base64,",
                                 b"x/y", b"'", b'"', b"A" * 45, b"\r\n", b"ATTACH;ENCODING=BASE64:", b"BinHex", b"\xff", b"Content-Type: "]), max_size=30).map(b"".join),
       st.sampled_from(["text/plain", "text/html", "text/calendar"]), st.booleans())  # fmt: skip
def test_blocks_of_any_text_stand_apart_and_in_order(text, media_type, suspicious):
    position = 0
    for block in find_blocks(text, media_type, suspicious=suspicious):
        assert position <= block.start < block.end <= len(text)
        position = block.end


@pytest.mark.parametrize(
    ("piece", "media_type"),
    [(b"data:" + b" " * 200, "text/html"), (b" ", "text/html"), (b";encoding=b", "text/calendar"), (b";\r\n ", "text/calendar"),
     (b"begin 644 x\r\nabc\r\n", "text/plain"), (b"TVqQ" * 20 + b"!\r\n", "text/plain")],
)  # fmt: skip
def test_the_search_takes_time_in_proportion_to_the_text(piece, media_type):
    text = b"BEGIN:VCALENDAR\r\nA" if media_type == "text/calendar" else b"data:"
    started = time.process_time()
    find_blocks(text + piece * (400_000 // len(piece)), media_type, suspicious=True)
    assert time.process_time() - started < 5
