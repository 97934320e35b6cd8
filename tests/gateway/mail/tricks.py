"""What senders try: each trick by name, with the ambiguity it must be noted as ("" where the message is clean).

In every one of them some reader finds SECRET, decoded, in what the sender wrote; none may find it in what we send.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import struct

from tests.gateway.mail.letters import ENCODED, PDF, SECRET, TEXT, TOP, joined, mixed

B64 = b"Content-Transfer-Encoding: base64\r\n"
OCTETS = b"Content-Type: application/octet-stream\r\n"
UU = b"begin 644 x.pdf\r\n" + b"\r\n".join(
    binascii.b2a_uu(SECRET[at : at + 45]).rstrip(b"\n") for at in range(0, len(SECRET), 45)
) + b"\r\n`\r\nend\r\n"  # fmt: skip
YENC = (
    b"=ybegin line=128 size=%d name=x.pdf\r\n" % len(SECRET)
    + b"".join(
        b"=%c" % ((byte + 42 + 64) & 255) if (byte + 42) & 255 in (0, 10, 13, 61) else b"%c" % ((byte + 42) & 255)
        for byte in SECRET
    )
    + b"\r\n=yend size=1\r\n"
)
ONE_LINE = base64.b64encode(SECRET)


def text(body: bytes, kind: bytes = b"text/plain", more: bytes = b"") -> bytes:
    return TOP + b"Content-Type: " + kind + b"\r\n" + more + b"\r\n" + body


def with_type(field: bytes, *parts: bytes) -> bytes:
    return TOP + field + b"\r\n\r\n" + joined(*(parts or (TEXT, PDF)))


def bent(old: bytes, new: bytes, whole: bytes | None = None) -> bytes:
    whole = whole if whole is not None else mixed(TEXT, PDF)
    if old not in whole:
        raise ValueError(f"{old!r} is not in the message")
    return whole.replace(old, new, 1)


QP_SECRET = quopri.encodestring(SECRET, quotetabs=True).replace(b"\n", b"\r\n")
INNER = TOP + b"Content-Type: application/pdf\r\n" + B64 + b"\r\n" + ENCODED
# a file that no search of a text finds: nothing but structure says that it is there
SCRIPT = (
    b"Content-Type: application/octet-stream; name=x.js\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    b"Content-Disposition: attachment; filename=x.js\r\n\r\n"
) + b"=\r\n".join(b"".join(b"=%02X" % byte for byte in SECRET[at : at + 24]) for at in range(0, len(SECRET), 24)) + b"\r\n"  # fmt: skip
ARMOR = b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA1234567890ABCDEFGH\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n"
CLEAR_END = b"-----BEGIN PGP SIGNATURE-----\r\n\r\niQEzBAEBCAAdFiEE\r\n=abcd\r\n-----END PGP SIGNATURE-----\r\n"
MARK = b"X-Lazaretto-Not-Examined: encrypted\r\n"
# an AppleDouble header whose one entry, a resource fork, is the file
FORK = b'Content-Type: application/applefile; name="._x.pdf"\r\n' + B64 + b"\r\n" + base64.encodebytes(
    struct.pack(">II16xHIII", 0x00051607, 0x20000, 1, 2, 38, len(SECRET)) + SECRET
).replace(b"\n", b"\r\n")  # fmt: skip


def _calendar(lines: bytes) -> bytes:
    return text(b"BEGIN:VCALENDAR\r\n" + lines + b"\r\nEND:VCALENDAR\r\n", b"text/calendar")


PDF_HEAD = b"--outer\r\nContent-Type: application/pdf"

TRICKS: dict[str, tuple[bytes, str]] = {
    # clean, but a file in a place where files are not looked for
    "plain attachment": (mixed(TEXT, PDF), ""),
    "root is the file": (TOP + OCTETS + B64 + b"\r\n" + ENCODED, ""),
    "root is the file, no mime version": (b"From: a@example.org\r\n" + OCTETS + B64 + b"\r\n" + ENCODED, ""),
    "text/plain that is a pdf": (text(ENCODED, b"text/plain", B64), ""),
    "text/html that is a pdf": (text(ENCODED, b"text/html", B64), ""),
    "text with a filename": (text(ENCODED, b"text/html; name=a.html", B64), ""),
    "text as attachment": (text(ENCODED, b"text/plain", B64 + b"Content-Disposition: attachment\r\n"), ""),
    "calendar that is a pdf": (text(ENCODED, b"text/calendar", B64), ""),
    "calendar with attach": (
        text(
            b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nATTACH;FMTTYPE=application/pdf;ENCODING=BASE64;VALUE=BINARY:"
            + b"\r\n ".join(ENCODED.split())
            + b"\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            b"text/calendar; method=REQUEST",
        ),
        "",
    ),
    "calendar with folded attach": (
        text(
            b"BEGIN:VCALENDAR\r\nATTACH;VALUE=BINARY;FMTTYPE=application/octet-stream;ENCODING\r\n =BASE64:\r\n "
            + b"\r\n ".join(ENCODED.split())
            + b"\r\nEND:VCALENDAR\r\n",
            b"text/calendar",
        ),
        "",
    ),
    "uuencode in a text": (text(b"see here\r\n" + UU + b"bye\r\n"), ""),
    "uuencode without end": (text(b"see here\r\n" + UU.removesuffix(b"`\r\nend\r\n")), ""),
    "yenc in a text": (text(YENC), ""),
    "begin-base64 in a text": (text(b"begin-base64 644 x.pdf\r\n" + ENCODED + b"====\r\n"), ""),
    "base64 in a text": (text(b"Decode this:\r\n\r\n" + ENCODED), ""),
    "base64 as the whole text": (text(ENCODED), ""),
    "quoted base64 in a text": (text(b"".join(b"> " + line + b"\r\n" for line in ENCODED.split())), ""),
    "data uri": (text(b'<a href="data:application/pdf;base64,' + ONE_LINE + b'">x</a>', b"text/html"), ""),
    "data uri image": (text(b"<img src='data:image/png;base64," + ONE_LINE + b"'>", b"text/html"), ""),
    "data uri unquoted": (text(b"<img src=data:image/png;base64," + ONE_LINE + b">", b"text/html"), ""),
    "data uri in css": (text(b"<p style='background:url(data:x/y;base64," + ONE_LINE + b")'>", b"text/html"), ""),
    "data uri percent": (
        text(b'<a href="data:application/pdf,' + b"".join(b"%%%02x" % b for b in SECRET) + b'">', b"text/html"), "",
    ),
    "data uri without type": (text(b'<a href="data:;base64,' + ONE_LINE + b'">x</a>', b"text/html"), ""),
    "data uri with line ends": (text(b'<a href="data:x/y;base64,\r\n' + ENCODED + b'">x</a>', b"text/html"), ""),
    "data uri with entities": (
        text(b'<a href="&#100;ata:application/pdf;base64,' + ONE_LINE + b'">x</a>', b"text/html"), "hidden_text",
    ),
    "data uri with a named entity": (
        text(b'<a href="data&colon;application/pdf;base64&comma;' + ONE_LINE + b'">x</a>', b"text/html"), "hidden_text",
    ),
    "data uri with a tab in its name": (
        text(b'<a href="da\tta:application/pdf;base64,' + ONE_LINE + b'">x</a>', b"text/html"), "hidden_text",
    ),
    "html in utf-7": (text(b"+ADw-a href=+ACI-data:x/y;base64," + ONE_LINE + b"+ACI-", b"text/html; charset=utf-7"), ""),
    "html in utf-16": (
        text(
            base64.encodebytes(("<a href='data:x/y;base64," + ONE_LINE.decode() + "'>").encode("utf-16")).replace(b"\n", b"\r\n"),
            b"text/html; charset=utf-16", B64,
        ), "",
    ),
    "data uri with css escapes": (
        text(b"<p style='background:url(\\64 ata:x/y;base64," + ONE_LINE + b")'>", b"text/html"), "hidden_text",
    ),
    "data uri in a srcdoc": (
        text(b'<iframe srcdoc="<a href=\'&amp;#100;ata:x/y;base64,' + ONE_LINE + b'\'>">', b"text/html"), "hidden_text",
    ),
    "attached message": (mixed(TEXT, b"Content-Type: message/rfc822\r\n\r\n" + mixed(TEXT, PDF, boundary=b"in")), ""),
    "message in a digest": (mixed(b"\r\n" + INNER, subtype=b"digest"), "default_type"),
    "opaque signed": (text(ENCODED, b"application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", B64), ""),
    "said to be encrypted": (text(ENCODED, b"application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", B64), ""),
    "enveloped in front": (
        text(
            base64.encodebytes(bytes.fromhex("300b06092a864886f70d010703") + SECRET).replace(b"\n", b"\r\n"),
            b"application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", B64,
        ), "",
    ),
    "said to be pgp encrypted": (
        mixed(
            b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n", OCTETS + b"\r\n"
            b"-----BEGIN PGP MESSAGE-----\r\n\r\n" + ENCODED + b"-----END PGP MESSAGE-----\r\n",
            subtype=b'encrypted; protocol="application/pgp-encrypted"',
        ), "",
    ),
    "signature that is a pdf": (
        mixed(TEXT, b"Content-Type: application/pgp-signature\r\n" + B64 + b"\r\n" + ENCODED, subtype=b"signed"), "",
    ),
    "pkcs7 signature that is a pdf": (
        mixed(TEXT, b"Content-Type: application/pkcs7-signature\r\n" + B64 + b"\r\n" + ENCODED, subtype=b"signed"), "",
    ),
    "delivery status that is a pdf": (text(ENCODED, b"message/delivery-status", B64), ""),
    "delivery status with base64": (text(b"Reporting-MTA: dns; x\r\nX: y\r\n " + b"\r\n ".join(ENCODED.split()), b"message/delivery-status"), ""),
    "headers of a message as text": (text(b"Subject: x\r\n" + b"X: " + b"\r\n ".join(ENCODED.split()), b"text/rfc822-headers"), ""),
    "filename in utf-8 words": (bent(b"filename=x.pdf", b'filename="=?utf-8?B?eC5wZGY=?="'), ""),
    # header fields
    "two content types": (bent(b"Content-Type: application/pdf", b"Content-Type: text/plain\r\nContent-Type: application/pdf"), "duplicate_header"),
    "a file that could be a message": (bent(b"Content-Type: application/pdf", b"Content-Type: message/rfc822\r\nContent-Type: application/pdf"), "duplicate_header"),
    "a file that could be a multipart": (bent(b"Content-Type: application/pdf", b"Content-Type: multipart/mixed; boundary=b\r\nContent-Type: application/pdf"), "duplicate_header"),
    "two root content types": (with_type(b'Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary="outer"'), "duplicate_header"),
    "two encodings": (bent(B64, B64 + b"Content-Transfer-Encoding: 7bit\r\n"), "duplicate_header"),
    "two encodings of a text": (text(ENCODED, b"text/plain", B64 + b"Content-Transfer-Encoding: 7bit\r\n"), "duplicate_header"),
    "two encodings of a text, other order": (text(ENCODED, b"text/plain", b"Content-Transfer-Encoding: 7bit\r\n" + B64), "duplicate_header"),
    "two dispositions": (bent(b"Content-Disposition", b"Content-Disposition: inline\r\nContent-Disposition"), "duplicate_header"),
    "two types in one": (with_type(b'Content-Type: text/plain, multipart/mixed; boundary="outer"'), "content_type"),
    "comment in the type": (with_type(b'Content-Type: (c)multipart(x)/mixed; boundary(y)="outer"'), "content_type"),
    "nul in the type": (with_type(b'Content-Type: multi\0part/mixed; boundary="outer"'), "nul_byte"),
    "control in the type": (with_type(b'Content-Type: multi\x01part/mixed; boundary="outer"'), "header_bytes"),
    "encoded word as the type": (with_type(b'Content-Type: =?utf-8?Q?multipart/mixed?=; boundary="outer"'), "content_type"),
    "no subtype": (with_type(b'Content-Type: multipart; boundary="outer"'), "content_type"),
    "blanks in the type": (with_type(b'Content-Type: multipart / mixed; boundary="outer"'), "content_type"),
    "quoted type": (with_type(b'Content-Type: "multipart/mixed"; boundary="outer"'), "content_type"),
    "equals for colon": (TOP + b'Content-Type = multipart/mixed; boundary="outer"\r\n\r\n' + joined(TEXT, PDF), "header_junk"),
    "space before the colon": (with_type(b'Content-Type : multipart/mixed; boundary="outer"'), "header_name"),
    "tab before the colon": (with_type(b'Content-Type\t: multipart/mixed; boundary="outer"'), "header_name"),
    "nul before the colon": (with_type(b'Content-Type\0: multipart/mixed; boundary="outer"'), "header_name"),
    "space before the name": (with_type(b' Content-Type: multipart/mixed; boundary="outer"'), "header_name"),
    "8-bit before the name": (with_type(b'\xc2\xa0Content-Type: multipart/mixed; boundary="outer"'), "header_name"),
    "folded after the colon": (with_type(b'Content-Type:\r\n multipart/mixed; boundary="outer"'), "content_type"),
    "folded in the type": (with_type(b'Content-Type: multipart/\r\n mixed; boundary="outer"'), "content_type"),
    "folded blank line": (with_type(b'Content-Type: multipart/mixed;\r\n \r\n boundary="outer"'), "header_folding"),
    "blank line with a space": (with_type(b'X: y\r\n \r\nContent-Type: multipart/mixed; boundary="outer"'), "header_folding"),
    "junk line in the header": (with_type(b'this is no field\r\nContent-Type: multipart/mixed; boundary="outer"'), "header_junk"),
    "mbox line": (b"From x Mon Jan 1 00:00:00 2024\r\n" + mixed(TEXT, PDF), "header_junk"),
    "byte order mark": (b"\xef\xbb\xbf" + mixed(TEXT, PDF), "header_name"),
    "8-bit in a mime field": (bent(b"name=x.pdf", b'name="\xff.pdf"'), "header_bytes"),
    "8-bit not utf-8": (bent(b"Subject: s", b"Subject: \xff"), "header_bytes"),
    "mime version 2": (bent(b"MIME-Version: 1.0", b"MIME-Version: 2.0"), "mime_version"),
    "misspelt encoding": (bent(B64, b"Content-Transfer-Encoding: base-64\r\n"), "content_encoding"),
    "commented encoding": (bent(B64, b"Content-Transfer-Encoding: (x) base64\r\n"), "content_encoding"),
    "quoted encoding": (bent(B64, b'Content-Transfer-Encoding: "base64"\r\n'), "content_encoding"),
    "encoding with semicolon": (bent(B64, b"Content-Transfer-Encoding: base64;\r\n"), "content_encoding"),
    "encoding folded": (bent(B64, b"Content-Transfer-Encoding:\r\n base64\r\n"), "content_encoding"),
    "text of misspelt encoding": (text(ENCODED, b"text/plain", b"Content-Transfer-Encoding: b64\r\n"), "content_encoding"),
    "text of unknown encoding": (text(ENCODED, b"text/plain", b"Content-Transfer-Encoding: x-what\r\n"), "content_encoding"),
    "text of two encodings in one": (text(ENCODED, b"text/plain", b"Content-Transfer-Encoding: 7bit, base64\r\n"), "content_encoding"),
    "uuencode as encoding": (text(UU, b"text/plain", b"Content-Transfer-Encoding: x-uuencode\r\n"), "content_encoding"),
    "uuencoded application": (text(UU, b"application/pdf", b"Content-Transfer-Encoding: uuencode\r\n"), "uuencode"),
    "odd disposition": (bent(b"attachment;", b"hidden;"), "content_disposition"),
    "two names": (bent(b"filename=x.pdf", b"filename=x.txt"), "filename_conflict"),
    "two names by rfc 2231": (bent(b"filename=x.pdf", b"filename=x.pdf; filename*=utf-8''x.exe"), "filename_conflict"),
    "one parameter twice": (bent(b"name=x.pdf", b"name=x.pdf; name=x.pdf"), "duplicate_parameter"),
    # boundaries
    "two boundaries": (with_type(b'Content-Type: multipart/mixed; boundary="none"; boundary="outer"'), "duplicate_parameter"),
    "two boundaries, other order": (with_type(b'Content-Type: multipart/mixed; boundary="outer"; boundary="none"'), "duplicate_parameter"),
    "no boundary": (with_type(b"Content-Type: multipart/mixed"), "boundary_missing"),
    "empty boundary": (with_type(b'Content-Type: multipart/mixed; boundary=""'), "boundary_syntax"),
    "boundary by rfc 2231": (with_type(b"Content-Type: multipart/mixed; boundary*=us-ascii''%6futer"), "boundary_syntax"),
    "boundary in pieces": (with_type(b'Content-Type: multipart/mixed; boundary*0="ou"; boundary*1="ter"'), "boundary_syntax"),
    "boundary escaped": (with_type(b'Content-Type: multipart/mixed; boundary="out\\er"'), "boundary_syntax"),
    "boundary half quoted": (with_type(b'Content-Type: multipart/mixed; boundary="outer'), "content_type"),
    "boundary in single quotes": (with_type(b"Content-Type: multipart/mixed; boundary='outer'"), "boundary_syntax"),
    "boundary with a comma": (with_type(b'Content-Type: multipart/mixed; boundary="outer,x"'), "boundary_syntax"),
    "boundary with a space": (with_type(b'Content-Type: multipart/mixed; boundary="outer x"'), "boundary_syntax"),
    "boundary with a trailing space": (with_type(b'Content-Type: multipart/mixed; boundary="outer "'), "boundary_syntax"),
    "boundary folded": (with_type(b'Content-Type: multipart/mixed; boundary="ou\r\n ter"'), "header_folding"),
    "boundary with a comment": (with_type(b"Content-Type: multipart/mixed; boundary=outer (c)"), "content_type"),
    "boundary without quotes and with equals": (
        TOP + b"Content-Type: multipart/mixed; boundary=a=b\r\n\r\n" + joined(TEXT, PDF, boundary=b"a=b"), "content_type",
    ),
    "boundary as encoded word": (with_type(b'Content-Type: multipart/mixed; boundary="=?utf-8?Q?outer?="'), "boundary_syntax"),
    "boundary overlong": (mixed(TEXT, PDF, boundary=b"b" * 71), "boundary_syntax"),
    "inner boundary is a prefix": (mixed(TEXT, b'Content-Type: multipart/mixed; boundary="out"\r\n\r\n' + joined(PDF, boundary=b"out")), "boundary_prefix"),
    "inner boundary is longer": (mixed(TEXT, b'Content-Type: multipart/mixed; boundary="outer2"\r\n\r\n' + joined(PDF, boundary=b"outer2")), "boundary_prefix"),
    "inner boundary is equal": (mixed(TEXT, b'Content-Type: multipart/mixed; boundary="outer"\r\n\r\n' + joined(PDF)), "boundary_prefix"),
    "delimiter with trailing space": (bent(PDF_HEAD, PDF_HEAD.replace(b"outer", b"outer \t ")), "delimiter"),
    "delimiter with trailing bytes": (bent(PDF_HEAD, PDF_HEAD.replace(b"outer", b"outerx")), "delimiter"),
    "delimiter with a leading space": (bent(PDF_HEAD, b" " + PDF_HEAD), "delimiter"),
    "delimiter in other case": (bent(PDF_HEAD, PDF_HEAD.replace(b"outer", b"OUTER")), "delimiter"),
    "delimiter with one dash": (bent(PDF_HEAD, PDF_HEAD[1:]), "delimiter"),
    "delimiter with three dashes": (bent(PDF_HEAD, b"-" + PDF_HEAD), "delimiter"),
    "delimiter with a nul": (bent(PDF_HEAD, PDF_HEAD.replace(b"outer", b"outer\0")), "delimiter"),
    "delimiter ended by a bare cr": (bent(PDF_HEAD, PDF_HEAD.replace(b"outer\r\n", b"outer\r")), "bare_cr"),
    "delimiter ended by a bare lf": (bent(PDF_HEAD, PDF_HEAD.replace(b"outer\r\n", b"outer\n")), "bare_lf"),
    "closing delimiter first": (bent(b"--outer\r\n", b"--outer--\r\n"), "epilogue"),
    "part in the epilogue": (mixed(TEXT) + b"--outer\r\n" + PDF + b"--outer--\r\n", "epilogue"),
    "file in the epilogue": (mixed(TEXT) + ENCODED, "epilogue"),
    "headers in the epilogue": (mixed(TEXT) + PDF, "epilogue"),
    "uuencode in the epilogue": (mixed(TEXT) + UU, "epilogue"),
    "file in the preamble": (bent(b"--outer", ENCODED + b"--outer", mixed(TEXT)), "preamble"),
    "headers in the preamble": (bent(b"--outer", PDF + b"--outer", mixed(TEXT)), "preamble"),
    "uuencode in the preamble": (bent(b"--outer", UU + b"--outer", mixed(TEXT)), "preamble"),
    "no final boundary": (mixed(TEXT, PDF).removesuffix(b"--outer--\r\n"), "not_closed"),
    "final boundary with one dash": (bent(b"--outer--", b"--outer-"), "delimiter"),
    "no parts": (TOP + b'Content-Type: multipart/mixed; boundary="never"\r\n\r\n' + ENCODED, "no_parts"),
    "part without a blank line": (bent(b"filename=x.pdf\r\n\r\n", b"filename=x.pdf\r\n"), "header_separator"),
    # bodies
    "encoded multipart": (
        TOP + b'Content-Type: multipart/mixed; boundary="outer"\r\n' + B64 + b"\r\n"
        + base64.encodebytes(joined(TEXT, PDF)).replace(b"\n", b"\r\n"), "encoded_container",
    ),
    "multipart said to be base64": (with_type(b'Content-Type: multipart/mixed; boundary="outer"\r\nContent-Transfer-Encoding: base64'), "encoded_container"),
    "quoted-printable multipart": (
        TOP + b'Content-Type: multipart/mixed; boundary="outer"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
        + joined(TEXT, PDF).replace(b"--outer", b"=2D=2Douter").replace(b"=", b"=3D").replace(b"=3D2D", b"=2D"), "encoded_container",
    ),
    "encoded message": (
        mixed(TEXT, b"Content-Type: message/rfc822\r\n" + B64 + b"\r\n" + base64.encodebytes(mixed(TEXT, PDF, boundary=b"in")).replace(b"\n", b"\r\n")),
        "encoded_container",
    ),
    "encoded message inside an encoded message": (
        mixed(b"Content-Type: message/rfc822\r\n" + B64 + b"\r\n" + base64.encodebytes(
            TOP + b"Content-Type: message/rfc822\r\n" + B64 + b"\r\n" + base64.encodebytes(INNER).replace(b"\n", b"\r\n")).replace(b"\n", b"\r\n")),
        "encoded_container",
    ),
    "base64 with junk": (bent(ENCODED, ENCODED.replace(b"\r\n", b"*!\r\n")), "base64"),
    "base64 with early padding": (bent(ENCODED, b"aGFybWxlc3M=\r\n" + ENCODED), "base64"),
    "base64 text with early padding": (text(b"aGFybWxlc3M=\r\n" + ENCODED, b"text/plain", B64), "base64"),
    "base64 with a blank line": (bent(ENCODED, ENCODED[:78] + b"\r\n" + ENCODED[78:]), "base64"),
    "base64 without padding": (bent(ENCODED, ENCODED.rstrip(b"=\r\n") + b"A\r\n"), "base64"),
    "quoted-printable in lower case": (text(QP_SECRET.lower(), b"application/pdf", b"Content-Transfer-Encoding: quoted-printable\r\n"), "quoted_printable"),
    "soft break with a space": (text(QP_SECRET.replace(b"=\r\n", b"= \r\n"), b"application/pdf", b"Content-Transfer-Encoding: quoted-printable\r\n"), "quoted_printable"),
    "partial message": (text(PDF, b"message/partial; id=x; number=1; total=2"), "fragment"),
    "external body": (text(PDF, b"message/external-body; access-type=anon-ftp"), "fragment"),
    # line ends
    "bare lf all through": (mixed(TEXT, PDF).replace(b"\r\n", b"\n"), "bare_lf"),
    "bare cr all through": (mixed(TEXT, PDF).replace(b"\r\n", b"\r"), "bare_cr"),
    "cr cr lf all through": (mixed(TEXT, PDF).replace(b"\r\n", b"\r\r\n"), "bare_cr"),
    "lf cr all through": (mixed(TEXT, PDF).replace(b"\r\n", b"\n\r"), "bare_cr"),
    "cr cr lf before the type": (bent(b"Content-Type: multipart", b"X: y\r\r\nContent-Type: multipart"), "bare_cr"),
    "bare lf after the top": (bent(b'"outer"\r\n\r\n', b'"outer"\n\n'), "bare_lf"),
    "nul in the body": (bent(b"Hello", b"Hel\0lo"), "nul_byte"),
    "nul instead of the blank line": (bent(b'"outer"\r\n\r\n', b'"outer"\r\n\0\r\n'), "nul_byte"),
    "two dashes missing in the header": (bent(b'boundary="outer"', b'boundary="--outer"'), "delimiter"),
    "vertical tab in the delimiter": (bent(PDF_HEAD, PDF_HEAD.replace(b"outer\r\n", b"outer\x0b\r\n")), "delimiter"),
    # what only some take for the end of a line, or for a header
    "empty line before the header": (b"\r\n" + mixed(TEXT, SCRIPT), "header_separator"),
    "empty line before a part's header": (mixed(TEXT, b"\r\n" + SCRIPT), "header_separator"),
    "delimiter where a long line is cut": (mixed(TEXT + b"a" * 998 + b"--outer\r\n" + SCRIPT), "delimiter"),
    "delimiter behind a form feed": (mixed(TEXT + b"a\x0c--outer\r\n" + SCRIPT), "delimiter"),
    "delimiter without dashes": (mixed(TEXT + b"outer\r\n" + SCRIPT), "delimiter"),
    "field where a long line is cut": (with_type(b"X: " + b"a" * 995 + b'Content-Type: multipart/mixed; boundary="outer"', TEXT, SCRIPT), "header_folding"),
    "field behind a line separator": (with_type(b'X: y\xe2\x80\xa8Content-Type: multipart/mixed; boundary="outer"', TEXT, SCRIPT), "header_folding"),
    "boundary of a text": (with_type(b'Content-Type: text/plain; boundary="outer"', TEXT, SCRIPT), "boundary_syntax"),
    "junk before the lines of uuencode": (text(b"begin 644 x.pdf\r\n" + b"lower case\r\n" * 8 + UU.partition(b"\r\n")[2]), ""),
    "uuencode with a long mode": (text(b"begin 64412345678 x.pdf\r\n" + UU.partition(b"\r\n")[2]), ""),
    "data uri with shifts of iso-2022-jp": (
        text(b"<a href='da\x1b(Bta:x/y;base64," + b"\x1b(B".join(ENCODED.split()) + b"'>", b"text/html; charset=iso-2022-jp"), "hidden_text",
    ),
    "html in utf-7 by rfc 2231": (text(b"+ADw-a href=data:x/y;base64," + ONE_LINE, b"text/html; charset*=us-ascii''utf-7"), ""),
    "amp html that is a pdf": (text(ENCODED, b"text/x-amp-html", B64), ""),
    # what only looks sealed, and files in odd places of calendars, HTML and Mac mail
    "pgp armor that is only wrapped": (text(b"-----BEGIN PGP MESSAGE-----\r\n\r\nyw" + base64.b64encode(SECRET)[2:] + b"\r\n-----END PGP MESSAGE-----\r\n"), ""),
    "file behind an armor's end": (text(ARMOR + ENCODED), ""),
    "file inside a clear-signed text": (text(b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA1\r\n\r\n" + UU + CLEAR_END), ""),
    "file behind a clear-signed text": (text(b"-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\nHi\r\n" + CLEAR_END + UU), ""),
    "octets called smime.p7m": (text(ENCODED, b"application/octet-stream; name=smime.p7m", B64), ""),
    "resource fork that is a pdf": (mixed(b"Content-Type: application/applefile; name=x.pdf\r\n" + B64 + b"\r\n" + ENCODED, PDF, subtype=b"appledouble"), ""),
    "resource fork with the file in it": (mixed(FORK, PDF), ""),
    "applesingle": (text(base64.encodebytes(bytes.fromhex("00051600") + SECRET).replace(b"\n", b"\r\n"), b"application/applefile", B64), ""),
    "our own mark on a file": (MARK + mixed(TEXT, PDF), ""),
    "our own mark on a file, bare lf": ((MARK + mixed(TEXT, PDF)).replace(b"\r\n", b"\n"), "bare_lf"),
    "calendar with a folded scheme": (_calendar(b"ATTACH:da\r\n ta:application/pdf;bas\r\n e64," + b"\r\n ".join(ENCODED.split())), ""),
    "calendar with attach and no parameters": (_calendar(b"ATTACH:" + b"\r\n ".join(ENCODED.split())), ""),
    "calendar with spaces in the parameters": (_calendar(b"ATTACH; VALUE = BINARY; ENCODING = BASE64:" + b"\r\n\t".join(ENCODED.split())), ""),
    "calendar with a picture": (_calendar(b"IMAGE;VALUE=BINARY;ENCODING=BASE64;FMTTYPE=image/png:" + b"\r\n ".join(ENCODED.split())), ""),
    "calendar with a property of its own": (_calendar(b"X-FILE;VALUE=BINARY;ENCODING=BASE64:" + b"\r\n ".join(ENCODED.split())), ""),
    "calendar with structured data": (_calendar(b"STRUCTURED-DATA;VALUE=BINARY;ENCODING=BASE64:" + b"\r\n ".join(ENCODED.split())), ""),
    "calendar with html in it": (_calendar(b'STYLED-DESCRIPTION:<a href="data:x/y;base64\\,' + ONE_LINE + b'">x</a>'), ""),
    "calendar with base64 in its words": (_calendar(b"DESCRIPTION:see\\n" + b"\r\n ".join(ENCODED.split())), ""),
    "data uri in a srcset": (text(b"<img srcset='https://x 1x, data:image/png;base64," + ONE_LINE + b" 2x'>", b"text/html"), ""),
    "data uri in percents of base64": (text(b'<a href="data:x/y;base64,' + b"".join(b"%%%02x" % b for b in ONE_LINE) + b'">', b"text/html"), ""),
    "data uri in lines of a text": (text(b"see data:x/y;base64," + ENCODED + b"bye\r\n"), ""),
    "yenc in parts that lie": (
        text(YENC.replace(b"=ybegin ", b"=ybegin part=9 ").replace(b"x.pdf\r\n", b"x.pdf\r\n=ypart begin=7 end=1\r\n").replace(b"size=1", b"size=2 pcrc32=deadbeef")),
        "",
    ),
}  # fmt: skip
