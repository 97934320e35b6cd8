"""Well-formed messages bent as senders bend them: headers doubled, boundaries and delimiters changed, line ends mixed,
encodings broken. `bent` is a hypothesis strategy of (message, the known bytes that were in it as files).
"""

from __future__ import annotations

import base64
import re

from hypothesis import strategies as st

from tests.gateway.mail.examine import implanted, known_bytes
from tests.gateway.mail.letters import SECRET, TEXT, TOP, joined, mixed
from tests.gateway.mail.ordinary import HEAD, ORDINARY
from tests.gateway.mail.tricks import SCRIPT

FILE = b"Content-Type: %s; name=%s\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=%s\r\n\r\n"
HTML = b'Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p class=3D"x">Hello</p>\r\n'


DATA = base64.b64encode(SECRET)


def _file(kind: bytes, name: bytes) -> bytes:
    return FILE % (kind, name, name) + b"".join(
        b"A" * 76 + b"\r\n" for _ in range(3)
    )  # known bytes come in their place


def _bases() -> list[tuple[bytes, list[bytes]]]:
    pdf, packed = _file(b"application/pdf", b"x.pdf"), _file(b"application/zip", b"x.zip")
    note = _file(b"text/plain", b"note.txt")
    inner = b'Content-Type: multipart/alternative; boundary="inner"\r\n\r\n' + joined(TEXT, HTML, boundary=b"inner")
    attached = b"Content-Type: message/rfc822\r\n\r\n" + mixed(TEXT, pdf, boundary=b"deep", top=HEAD)
    digest = mixed(b"Content-Type: message/rfc822\r\n\r\n" + TOP + pdf, subtype=b"digest")
    calendar = b"Content-Type: text/calendar; name=a.ics\r\n\r\nBEGIN:VCALENDAR\r\nSUMMARY:x\r\nEND:VCALENDAR\r\n"
    report = (
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nStatus: 5.1.1\r\nAction: failed\r\n"
    )
    shown = b'Content-Type: text/html\r\n\r\n<a href="data:application/pdf;base64,%s">x</a>\r\n' % DATA
    plain = [
        mixed(TEXT, calendar, pdf),
        mixed(TEXT, report, attached, subtype=b"report; report-type=delivery-status"),
        mixed(inner, pdf),
        mixed(TEXT, packed, note, top=HEAD),
        mixed(inner, attached, boundary=b"b1"),
        digest,
        TOP + pdf,
        *(raw for name, raw in ORDINARY.items() if "attachment" in name or "image" in name),
    ]
    known = [implanted(raw, number) for number, raw in enumerate(plain)]
    return [*known, (mixed(TEXT, SCRIPT), [SECRET]), (mixed(shown, pdf, subtype=b"related"), [SECRET])]


BASES = _bases()
_HEADER_LINE = re.compile(rb"(?im)^(?:content-[a-z-]+|mime-version):[^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n")
_DELIMITER = re.compile(rb"(?m)^--[^\r\n]+\r\n")
_BOUNDARY = re.compile(rb'(?i)boundary="?([^"\r\n;]+)"?')
_ENCODING = re.compile(rb"(?i)(content-transfer-encoding:)[ \t]*[^\r\n]*")
_NAME = re.compile(rb'(?i)(?:file)?name="?([^"\r\n;]+)"?')
_BASE64_LINE = re.compile(rb"(?m)^[A-Za-z0-9+/]{60,76}\r\n")
_CRLF = re.compile(rb"\r\n")
_MARK = re.compile(rb'\r\n|[:;="]')

VALUES = [
    b"Content-Type: text/plain", b"Content-Type: multipart/mixed; boundary=none", b"Content-Type: message/rfc822", b"Content-Type:",
    b"Content-Type: application/octet-stream", b"Content-Transfer-Encoding: 7bit", b"Content-Transfer-Encoding: base64",
    b"Content-Transfer-Encoding: quoted-printable", b"Content-Transfer-Encoding: x-uuencode", b"Content-Disposition: inline",
    b"Content-Disposition: attachment; filename=a.txt", b"MIME-Version: 1.0", b"X-Foo: bar", b"From x", b"junk", b":", b" ", b"\t",
    b"Content-Type: text/html; charset=utf-7", b"Content-Type: multipart/digest; boundary=outer", b"Content-Type: message/partial; id=1",
]  # fmt: skip
PIECES = [
    b"\r", b"\n", b"\r\n", b"\r\r\n", b"\n\r", b"\0", b" ", b"\t", b"\x0b", b"\x0c", b"\x1c", b"\xc2\x85", b"\xe2\x80\xa8", b"\xff",
    b"-", b"--", b'"', b"'", b";", b":", b"=", b"\\", b"(", b")", b"(x)", b",", b"/", b"*", b"*0*=", b"=?utf-8?Q?", b"?=", b"\r\n ", b" \r\n",
    b"\r\n \r\n", b"\r\n\r\n", b"%41", b"=41", b"boundary=outer", b"a" * 1000, b"\xef\xbb\xbf",
]  # fmt: skip
BOUNDARIES = [
    b"boundary=%s", b'boundary="%s', b'boundary="%s "', b"boundary='%s'", b"boundary*=us-ascii''%s", b"boundary*0=%s", b"boundary*0*=''%s",
    b'boundary=none; boundary="%s"', b'boundary="%s"; boundary=none', b"boundary =%s", b"boundary= %s", b"boundary=%s(x)", b"boundary=(x)%s",
    b'x="a;boundary=%s"; boundary=none', b'boundary="=?utf-8?Q?%s?="', b"Boundary=%s;;", b"oundary=%s", b'boundary="%s,x"', b"",
    b'"boundary=%s"', b"boundary=boundary=%s", b"boundary=\\%s", b"boundary\r\n =%s",
]  # fmt: skip
NAMES = [
    b"name=%s; name=x.exe", b"name*=utf-8''%s", b"name*0=%s; name*1=.exe", b"name*1=%s; name*0=x", b'name="=?utf-8?Q?%s?="', b"name*=%s",
    b'name="=?utf-8?Q?%s?=\r\n =?utf-8?Q?.exe?="', b"name=%s\0.exe", b'name="%s', b"name=%s x", b'name="../%s"', b"name*=utf-16''%s", b"",
    b"name=" + b"n" * 1000, b'name="%s\r\n .exe"', b"name =%s", b"name=(x)%s", b'name=""; filename=%s', b"name*0*=utf-8''%s; name*1=x",
    b"name*=nowhere''%ff%s",
    b'name="C:\\x\\%s"', b"NAME=%s", b'name="%s\\\\"', b"filename=%s", b"name*=utf-8'en'%s",
]  # fmt: skip
DELIMITERS = [
    b"--%s \r\n", b" --%s\r\n", b"-%s\r\n", b"---%s\r\n", b"--%sx\r\n", b"--%s-\r\n", b"--%s--\r\n", b"--%s\n", b"--%s\r", b"%s\r\n", b"x--%s\r\n",
    b"--%s\r\n\r\n", b"\r\n--%s\r\n", b"--%s\x0b\r\n", b"--%s\0\r\n", b"--%s--x\r\n", b"", b"--none\r\n", b"\n\r--%s\r\n", b"--%s\r\n--%s\r\n",
]  # fmt: skip
ENCODINGS = [
    b" BASE64", b" base-64", b" base64;", b' "base64"', b" (x) base64", b"base64", b" base64 x", b" 7bit, base64", b" x-base64", b":", b"",
    b"\r\n base64", b" 7bit", b" 8bit", b" binary", b" quoted-printable", b" x-uuencode", b" =?utf-8?Q?base64?=", b" base64\0", b"\x0bbase64",
]  # fmt: skip
JUNK = [
    b"=", b"==", b"aGk=\r\n", b"\r\n", b"*", b" ", b"-", b"A", b"AB", b"ABC", b"ABCD\r\n\r\n", b"\n", b"\r", b"--", b"X: y\r\n\r\n", b"=41",
    b"--outer\r\n", b"\x00", b"....\r\n", b"begin 644 x\r\n",
]  # fmt: skip
ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\x0b\r\n", b" \r\n", b"\r\n\r\n", b"\x0c", b"\0\r\n"]


def _at(raw: bytes, pattern: re.Pattern[bytes], draw) -> re.Match[bytes] | None:
    found = list(pattern.finditer(raw))
    return draw(st.sampled_from(found)) if found else None


def _replaced(raw: bytes, match: re.Match[bytes], new: bytes) -> bytes:
    return raw[: match.start()] + new + raw[match.end() :]


def _header_doubled(raw: bytes, draw) -> bytes:
    line = _at(raw, _HEADER_LINE, draw)
    if not line:
        return raw
    new = (
        draw(st.sampled_from([*VALUES, line[0][:-2], line[0][:-2].upper(), line[0][:-2].replace(b":", b" :", 1)]))
        + b"\r\n"
    )
    return _replaced(raw, line, draw(st.sampled_from([new + line[0], line[0] + new, new])))


def _piece_put_in(raw: bytes, draw) -> bytes:
    mark = _at(raw, _MARK, draw)
    if not mark:
        return raw
    at = draw(st.sampled_from([mark.start(), mark.end()]))
    cut = draw(st.integers(0, 2))
    return raw[:at] + draw(st.sampled_from(PIECES)) + raw[at + cut :]


def _boundary_bent(raw: bytes, draw) -> bytes:
    field = _at(raw, _BOUNDARY, draw)
    return _replaced(raw, field, draw(st.sampled_from(BOUNDARIES)).replace(b"%s", field[1])) if field else raw


def _name_bent(raw: bytes, draw) -> bytes:
    field = _at(raw, _NAME, draw)
    return _replaced(raw, field, draw(st.sampled_from(NAMES)).replace(b"%s", field[1])) if field else raw


def _delimiter_bent(raw: bytes, draw) -> bytes:
    line = _at(raw, _DELIMITER, draw)
    if not line:
        return raw
    name = line[0][2:-2].removesuffix(b"--")
    case = draw(st.sampled_from([name, name.upper(), name[:-1], name + b"x"]))
    return _replaced(raw, line, draw(st.sampled_from(DELIMITERS)).replace(b"%s", case))


def _encoding_bent(raw: bytes, draw) -> bytes:
    field = _at(raw, _ENCODING, draw)
    return _replaced(raw, field, field[1] + draw(st.sampled_from(ENCODINGS))) if field else raw


def _base64_broken(raw: bytes, draw) -> bytes:
    line = _at(raw, _BASE64_LINE, draw)
    if not line:
        return raw
    at = line.start() + draw(st.integers(0, 4)) * 4
    return raw[:at] + draw(st.sampled_from(JUNK)) + raw[at:]


def _ends_mixed(raw: bytes, draw) -> bytes:
    new = draw(st.sampled_from(ENDS))
    line = _at(raw, _CRLF, draw)
    if not line:
        return raw
    if draw(st.booleans()):
        return _replaced(raw, line, new)
    return draw(
        st.sampled_from([raw[: line.start()] + raw[line.start() :].replace(b"\r\n", new), raw.replace(b"\r\n", new)])
    )


def _piece_moved(raw: bytes, draw) -> bytes:
    """What lies between two delimiters stands a second time, or at the very end."""
    first, second = _at(raw, _DELIMITER, draw), _at(raw, _DELIMITER, draw)
    if not first or not second:
        return raw
    start, end = sorted((first.start(), second.start()))
    piece = raw[start:end]
    return draw(st.sampled_from([raw + piece, raw[:start] + piece + raw[start:], raw[:start] + raw[end:] + piece]))


_BENDS = (
    _header_doubled, _piece_put_in, _boundary_bent, _name_bent, _delimiter_bent, _encoding_bent, _base64_broken, _ends_mixed, _piece_moved,
)  # fmt: skip


@st.composite
def bent(draw) -> tuple[bytes, list[bytes]]:
    raw, originals = draw(st.sampled_from(BASES))
    for bend in draw(st.lists(st.sampled_from(_BENDS), min_size=1, max_size=3)):
        raw = bend(raw, draw)
    return raw, originals


def with_a_file(raw: bytes, seed: str) -> tuple[bytes, list[bytes]]:
    """The message attached to another one, before a file of known bytes, whatever it may do to its neighbour."""
    whole = mixed(
        b"Content-Type: message/rfc822\r\n\r\n" + raw, _file(b"application/pdf", b"x.pdf"), boundary=b"around"
    )
    start = whole.rindex(b"--around\r\n")
    tail, _ = implanted(whole[start:], seed)
    return whole[:start] + tail, [known_bytes((seed, 0))]
