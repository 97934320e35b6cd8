"""More tricks, most of them one field or one line that libraries and mail programs are known to read differently.

Same form as `tricks.TRICKS`. Ideas from published tests of mail programs and from faults that were mended in libraries;
the messages are made here. SCRIPT holds a file that nothing but structure tells from a text.
"""

from __future__ import annotations

import base64
import itertools

from tests.gateway.mail.letters import ENCODED, PDF, SECRET, TEXT, TOP, joined, mixed
from tests.gateway.mail.tricks import B64, QP_SECRET, SCRIPT, TRICKS, UU, bent, text, with_type

FIELD = b'Content-Type: multipart/mixed; boundary="outer"'
INNOCENT = b"--none\r\n" + TEXT
CTE = b"Content-Transfer-Encoding: "


def typed(value: bytes, boundary: bytes = b"outer") -> bytes:
    """A message whose Content-Type is `value`, and whose parts some find by `boundary`."""
    return TOP + b"Content-Type: " + value + b"\r\n\r\n" + joined(TEXT, SCRIPT, boundary=boundary)


def hidden(value: bytes) -> bytes:
    """One text between delimiters `none` for those who read it so; for others, parts between `outer`."""
    inside = joined(TEXT, SCRIPT)
    return TOP + b"Content-Type: " + value + b"\r\n\r\n" + INNOCENT + inside + b"--none--\r\n"


def encoded(value: bytes) -> bytes:
    """A file whose Content-Transfer-Encoding is `value`, its body base64."""
    return bent(B64, CTE + value + b"\r\n")


def chunked(size: int) -> bytes:
    one = base64.b64encode(SECRET)
    return b"".join(one[at : at + size] + b"\r\n" for at in range(0, len(one), size))


QP_ESCAPES = SCRIPT.partition(b"\r\n\r\n")[2]
_WHOLE_RUNS = b"".join(base64.b64encode(SECRET[at : at + 40]) + b"\r\n" for at in range(0, len(SECRET), 40))

SPELLINGS: dict[str, tuple[bytes, str]] = {
    # the type field as a whole
    "bracket behind the name": (with_type(FIELD.replace(b":", b"(:", 1), TEXT, SCRIPT), "header_name"),
    "bracket behind the name of the encoding": (bent(b"Encoding: base64", b"Encoding[: base64"), "header_name"),
    "two colons": (with_type(FIELD.replace(b":", b"::", 1), TEXT, SCRIPT), "content_type"),
    "escape in the type": (typed(b'multi\\part/mixed; boundary="outer"'), "content_type"),
    "first letter of the type missing": (typed(b'ultipart/mixed; boundary="outer"'), "boundary_syntax"),
    "x before the type": (typed(b'x-multipart/mixed; boundary="outer"'), "boundary_syntax"),
    "plural of the type": (typed(b'multiparts/mixed; boundary="outer"'), "content_type"),
    "type is a single part": (typed(b'singlepart/mixed; boundary="outer"'), "boundary_syntax"),
    "type is only a boundary": (typed(b"boundary=outer"), "content_type"),
    "type is empty, parameters follow": (typed(b'; boundary="outer"'), "content_type"),
    "type is encoded in part": (typed(b'=?utf-8?B?bXVsdGlwYXJ0?=/mixed; boundary="outer"'), "content_type"),
    "nothing between type and parameter": (typed(b"multipart/mixed boundary=outer"), "content_type"),
    "comma between type and parameter": (typed(b"multipart/mixed, boundary=outer"), "content_type"),
    "two semicolons": (typed(b'multipart/mixed;; boundary="outer"'), "content_type"),
    "junk between the parameters": (typed(b'multipart/mixed; ?; boundary="outer"'), "content_type"),
    "type behind two folds": (typed(b'\r\n \r\n multipart/mixed; boundary="outer"'), "header_folding"),
    "type behind 2,000 spaces": (typed(b" " * 2000 + b'multipart/mixed; boundary="outer"'), "long_line"),
    "colon on the next line": (with_type(b'Content-Type\r\n : multipart/mixed; boundary="outer"', TEXT, SCRIPT), "header_junk"),
    "no colon": (with_type(FIELD.replace(b":", b"", 1), TEXT, SCRIPT), "header_junk"),
    "field behind a field with a space": (with_type(b"X-Foo : bar\r\n " + FIELD, TEXT, SCRIPT), "header_name"),
    "field behind a line of junk, folded": (with_type(b"X-Foo-bar\r\n " + FIELD, TEXT, SCRIPT), "header_junk"),
    "field behind a bare cr": (with_type(b"X-Foo: bar\r" + FIELD, TEXT, SCRIPT), "bare_cr"),
    "field behind a vertical tab": (with_type(b"X-Foo: bar\x0b" + FIELD, TEXT, SCRIPT), "header_bytes"),
    "field behind a nul": (with_type(b"X-Foo: bar\0" + FIELD, TEXT, SCRIPT), "nul_byte"),
    "field behind a file separator": (with_type(b"X-Foo: bar\x1c" + FIELD, TEXT, SCRIPT), "header_bytes"),
    "field behind a next line": (with_type(b"X-Foo: bar\xc2\x85" + FIELD, TEXT, SCRIPT), "header_folding"),
    "only a colon, then the field": (with_type(b":\r\n" + FIELD, TEXT, SCRIPT), "header_junk"),
    # the boundary parameter
    "space before the equals": (typed(b"multipart/mixed; boundary =outer"), "content_type"),
    "tab before the equals": (typed(b"multipart/mixed; boundary\t=outer"), "content_type"),
    "space behind the equals": (typed(b"multipart/mixed; boundary= outer"), "content_type"),
    "fold before the equals": (typed(b"multipart/mixed; boundary\r\n =outer"), "content_type"),
    "fold behind the equals": (typed(b"multipart/mixed; boundary=\r\n outer"), "content_type"),
    "escape before the equals": (typed(b"multipart/mixed; boundary\\=outer"), "content_type"),
    "escape behind the equals": (typed(b"multipart/mixed; boundary=\\outer"), "content_type"),
    "escape in the name of the parameter": (typed(b"multipart/mixed; bou\\ndary=outer"), "content_type"),
    "comment in the name of the parameter": (typed(b"multipart/mixed; boun()dary=outer"), "content_type"),
    "nested comment behind the name": (hidden(b"multipart/mixed; boundary=none; boundary(a(b)c)=outer"), "content_type"),
    "comment that holds a boundary": (hidden(b"multipart/mixed; boundary=(boundary=none)outer"), "content_type"),
    "comment in the boundary": (typed(b"multipart/mixed; boundary=out()er"), "content_type"),
    "comment is part of the boundary": (typed(b"multipart/mixed; boundary=outer()", b"outer()"), "content_type"),
    "comment around the parameter": (typed(b"multipart/mixed; ( boundary=outer )"), "content_type"),
    "quotes around the parameter": (typed(b'multipart/mixed; "boundary=outer"'), "content_type"),
    "first letter of boundary missing": (typed(b"multipart/mixed; oundary=outer"), "boundary_missing"),
    "parameter inside a quoted value": (hidden(b'multipart/mixed; foo="x;boundary=outer"; boundary=none'), "boundary_syntax"),
    "parameter behind an open quote": (typed(b'multipart/mixed; foo="x;boundary=outer'), "content_type"),
    "parameter behind an escaped quote": (typed(b'multipart/mixed; foo="x\\";boundary=outer'), "content_type"),
    "parameter behind a value": (typed(b"multipart/mixed; foo=x boundary=outer"), "content_type"),
    "parameter behind a quote": (typed(b'multipart/mixed; foo=x"boundary=outer'), "content_type"),
    "parameter behind an escaped semicolon": (typed(b"multipart/mixed; foo=x\\;boundary=outer"), "content_type"),
    "boundary of boundary": (typed(b"multipart/mixed; boundary=boundary=outer"), "content_type"),
    "boundary of boundary, whole": (typed(b"multipart/mixed; boundary=boundary=outer", b"boundary=outer"), "content_type"),
    "boundary of boundary, first": (typed(b"multipart/mixed; boundary=boundary=outer", b"boundary"), "content_type"),
    "semicolon in the boundary": (typed(b"multipart/mixed; boundary=out;er", b"out;er"), "content_type"),
    "semicolon in the quoted boundary": (typed(b'multipart/mixed; boundary="out;er"', b"out"), "boundary_syntax"),
    "escaped semicolon in the boundary": (typed(b"multipart/mixed; boundary=out\\;er", b"out"), "content_type"),
    "escaped semicolon, escape kept": (typed(b"multipart/mixed; boundary=out\\;er", b"out\\;er"), "content_type"),
    "quote in the boundary": (typed(b'multipart/mixed; boundary=out"er"', b'out"er"'), "content_type"),
    "quote in the boundary, first": (typed(b'multipart/mixed; boundary=out"er"', b"out"), "content_type"),
    "quote in the boundary, second": (typed(b'multipart/mixed; boundary=out"er"', b"er"), "content_type"),
    "bytes behind the quotes": (typed(b'multipart/mixed; boundary="out"er'), "content_type"),
    "bytes behind the quotes, without": (typed(b'multipart/mixed; boundary="outer"x'), "content_type"),
    "quotes are part of the boundary": (typed(b'multipart/mixed; boundary="outer', b'"outer'), "content_type"),
    "single quotes are part of the boundary": (typed(b"multipart/mixed; boundary='outer'", b"'outer'"), "boundary_syntax"),
    "boundary of one space": (typed(b'multipart/mixed; boundary=" "', b" "), "boundary_syntax"),
    "boundary begins with a space": (typed(b'multipart/mixed; boundary=" outer"', b" outer"), "boundary_syntax"),
    "boundary is cut at its space": (typed(b'multipart/mixed; boundary="outer XXX"', b"outer YYY"), "boundary_syntax"),
    "boundary ends in a cr": (typed(b'multipart/mixed; boundary="outer\r"'), "bare_cr"),
    "boundary is encoded in part": (typed(b'multipart/mixed; boundary="ou=?us-ascii?Q?ter?="'), "boundary_syntax"),
    "boundary of dashes": (typed(b'multipart/mixed; boundary="--"', b"--"), "boundary_syntax"),
    "boundary in 8-bit": (typed("multipart/mixed; boundary=öuter".encode(), "öuter".encode()), "header_bytes"),
    "boundary by rfc 2231 and plain": (hidden(b"multipart/mixed; boundary*=''outer; boundary=none"), "boundary_syntax"),
    "boundary plain and by rfc 2231": (hidden(b"multipart/mixed; boundary=none; boundary*=''outer"), "boundary_syntax"),
    "boundary in pieces and plain": (hidden(b"multipart/mixed; boundary=none; boundary*0=ou; boundary*1=ter"), "boundary_syntax"),
    "boundary in pieces, the last first": (typed(b"multipart/mixed; boundary*1=ter; boundary*0=ou"), "boundary_syntax"),
    "boundary in pieces as they stand": (typed(b"multipart/mixed; boundary*1=ou; boundary*0=ter"), "boundary_syntax"),
    "boundary in pieces, one twice": (typed(b"multipart/mixed; boundary*0=ou; boundary*0=xx; boundary*1=ter"), "boundary_syntax"),
    "boundary in pieces, one twice, the other": (typed(b"multipart/mixed; boundary*0=xx; boundary*0=ou; boundary*1=ter"), "boundary_syntax"),
    "boundary in encoded pieces": (typed(b"multipart/mixed; boundary*0*=us-ascii''ou; boundary*1*=%74er"), "boundary_syntax"),
    "boundary in utf-16": (typed(b"multipart/mixed; boundary*=utf-16''o%00u%00t%00e%00r%00"), "boundary_syntax"),
    "boundary in two fields": (hidden(b"multipart/mixed; boundary=none\r\nContent-Type: multipart/mixed; boundary=outer"), "duplicate_header"),
    # delimiters
    "delimiter in the header": (with_type(FIELD + b"\r\n--outer--\r\n\r\n--outer", TEXT, SCRIPT), "header_separator"),
    "delimiter in a part's header": (mixed(b"X: y\r\n--outer\r\n" + SCRIPT), "header_separator"),
    "closing delimiter in a part's header": (mixed(b"X: y\r\n--outer--\r\n\r\n" + joined(SCRIPT)), "header_separator"),
    "delimiter of the outer inside base64": (
        mixed(b'Content-Type: multipart/mixed; boundary="in"\r\n\r\n' + joined(PDF.replace(b"\r\n\r\n", b"\r\n\r\n--outer\r\n"), boundary=b"in")),
        "not_closed",
    ),
    "inner boundary is the outer end": (mixed(b'Content-Type: multipart/mixed; boundary="outer--"\r\n\r\n' + joined(SCRIPT, boundary=b"outer--")), "boundary_prefix"),
    "inner multipart without an end": (mixed(b'Content-Type: multipart/mixed; boundary="in"\r\n\r\n--in\r\n' + SCRIPT), "not_closed"),
    "delimiter behind lf cr": (bent(b"\r\n--outer\r\nContent-Type: app", b"\n\r--outer\r\nContent-Type: app"), "bare_cr"),
    "delimiter behind space cr": (bent(b"\r\n--outer\r\nContent-Type: app", b" \r--outer\r\nContent-Type: app"), "bare_cr"),
    "delimiter ended by cr lf lf": (bent(b"--outer\r\nContent-Type: app", b"--outer\r\n\nContent-Type: app"), "bare_lf"),
    "delimiter with a dash behind": (mixed(TEXT).removesuffix(b"--outer--\r\n") + b"--outer-\r\n" + SCRIPT + b"--outer--\r\n", "delimiter"),
    "delimiter with a word behind": (mixed(TEXT).removesuffix(b"--outer--\r\n") + b"--outer X\r\n" + SCRIPT + b"--outer--\r\n", "delimiter"),
    "closing delimiter with a word behind": (mixed(TEXT).removesuffix(b"--outer--\r\n") + b"--outer--X\r\n" + SCRIPT + b"--outer--\r\n", "delimiter"),
    "digest that leaves its types out": (mixed(b"\r\n" + TOP + SCRIPT, subtype=b"digest"), "default_type"),
    "text in a digest": (mixed(SCRIPT.replace(b"application/octet-stream; name=x.js", b"text/plain"), subtype=b"digest"), ""),
    # the encoding field
    "encoding behind a vertical tab": (encoded(b"\x0bbase64"), "header_bytes"),
    "encoding behind a cr": (encoded(b"\rbase64"), "bare_cr"),
    "encoding behind two folds": (encoded(b"\r\n \r\n base64"), "content_encoding"),
    "encoding behind 2,000 spaces": (encoded(b" " * 2000 + b"base64"), "long_line"),
    "encoding with a space behind": (encoded(b"base64 "), "content_encoding"),
    "encoding with a nul": (encoded(b"base\x0064"), "nul_byte"),
    "encoding escaped": (encoded(b"base\\64"), "content_encoding"),
    "encoding as encoded word": (encoded(b"=?UTF-8?B?YmFzZTY0?="), "content_encoding"),
    "encoding with a comment inside": (encoded(b"bas()e64"), "content_encoding"),
    "encoding with a comment behind": (encoded(b"base64 (x)"), "content_encoding"),
    "encoding behind a word": (encoded(b"xx base64"), "content_encoding"),
    "encoding with letters behind": (encoded(b"base64xx"), "content_encoding"),
    "encoding with a comma": (encoded(b"base64,"), "content_encoding"),
    "encoding with a colon before": (encoded(b": base64"), "content_encoding"),
    "encoding with x before": (encoded(b"x-base64"), "content_encoding"),
    "encoding without a colon": (bent(b"Encoding: base64", b"Encoding base64"), "header_junk"),
    "empty encoding, then base64": (bent(B64, b"Content-Transfer-Encoding:\r\n" + B64), "duplicate_header"),
    "text of an empty encoding, then base64": (text(ENCODED, b"text/plain", b"Content-Transfer-Encoding:\r\n" + B64), "duplicate_header"),
    "text of an encoding as encoded word": (text(ENCODED, b"text/plain", CTE + b"=?UTF-8?B?YmFzZTY0?=\r\n"), "content_encoding"),
    "text of gzip64": (text(ENCODED, b"text/plain", CTE + b"x-gzip64\r\n"), "content_encoding"),
    "text of binhex": (text(ENCODED, b"text/plain", CTE + b"mac-binhex40\r\n"), "content_encoding"),
    "text of yencode": (text(ENCODED, b"text/plain", CTE + b"x-yencode\r\n"), "content_encoding"),
    "uue as encoding": (text(UU, b"text/plain", CTE + b"x-uue\r\n"), "content_encoding"),
    # bodies
    "base64 behind four digits and an empty line": (bent(b"\r\n\r\n" + ENCODED[:4], b"\r\n" + b"\r\nABCD\r\n\r\n" + ENCODED[:4]), "base64"),
    "base64 of many runs": (bent(ENCODED, _WHOLE_RUNS), "base64"),
    "base64 in lines of odd lengths": (bent(ENCODED, chunked(75)), "base64"),
    "base64 of a text in lines of odd lengths": (text(chunked(75), b"text/plain", B64), "base64"),
    "base64 for links": (bent(ENCODED, ENCODED.replace(b"+", b"-").replace(b"/", b"_")), "base64"),
    "base64 of a text for links": (text(ENCODED.replace(b"+", b"-").replace(b"/", b"_"), b"text/plain", B64), "base64"),
    "base64 with escapes of quoted-printable": (bent(ENCODED, ENCODED.replace(b"A", b"=41")), "base64"),
    "base64 with spaces at the line ends": (bent(ENCODED, ENCODED.replace(b"\r\n", b" \r\n")), "base64"),
    "base64 with a comment": (bent(ENCODED, b"(comment)\r\n" + ENCODED), "base64"),
    "base64 with a header before": (bent(ENCODED, b"X-Foo: bar\r\n\r\n" + ENCODED), "base64"),
    "broken escapes": (text(QP_SECRET.replace(b"=\r\n", b"=ZZ=4=\r\n"), b"application/pdf", CTE + b"quoted-printable\r\n"), "quoted_printable"),
    "escape cut by the end of a line": (text(QP_SECRET.replace(b"=\r\n", b"=4\r\n"), b"application/pdf", CTE + b"quoted-printable\r\n"), "quoted_printable"),
    "blank at the end of a line": (text(QP_SECRET.replace(b"=\r\n", b"=20 \r\n"), b"application/pdf", CTE + b"quoted-printable\r\n"), "quoted_printable"),
    "8-bit bytes in quoted-printable": (mixed(b"Content-Type: text/html; charset=utf-8\r\n" + CTE + b'quoted-printable\r\n\r\n\xe2\x80\xa8 class=3D"x"\r\n', PDF), "quoted_printable"),
    "base64 behind form feeds": (TOP + b"X-Foo: bar\r\x0c" + ENCODED.replace(b"\r\n", b"\r\x0c"), "bare_cr"),
    # header and body
    "part without a header": (mixed(b"\r\njunk\r\n\r\nHello\r\n", PDF), "header_separator"),
    "line of a space for the empty line": (bent(b"filename=x.pdf\r\n\r\n", b"filename=x.pdf\r\n \r\n"), "header_folding"),
    "line of a tab for the empty line": (bent(b"filename=x.pdf\r\n\r\n", b"filename=x.pdf\r\n\t\r\n"), "header_folding"),
    "line of a vertical tab for the empty line": (bent(b"filename=x.pdf\r\n\r\n", b"filename=x.pdf\r\n\x0b\r\n"), "header_junk"),
    "only base64 behind the header": (bent(b"filename=x.pdf\r\n\r\n", b"filename=x.pdf\r\n"), "header_separator"),
    "part header begins with a colon": (bent(b"Content-Type: application/pdf", b":\r\nContent-Type: application/pdf"), "header_junk"),
    "part header begins with a bare cr": (bent(b"Content-Type: application/pdf", b"\rContent-Type: application/pdf"), "bare_cr"),
    "source of a part in a text": (text(b"--outer\r\n" + SCRIPT + b"--outer--\r\n"), ""),
    "source of a part in a text, without delimiters": (text(b"see\r\n\r\n" + SCRIPT), ""),
    "quoted-printable in a text": (text(b"see\r\n" + QP_ESCAPES + b"bye\r\n"), ""),
    "source of a part in a text, its encoding quoted": (text(b"see\r\n\r\n" + SCRIPT.replace(b": quoted-printable", b': "quoted-printable"')), ""),
    "header behind form feeds": (TOP.replace(b"\r\n", b"\x0c") + PDF.replace(b"\r\n", b"\x0c"), "header_bytes"),
    "disposition misspelt": (bent(b"Content-Disposition: attachment", b"Content-Disposition: attachement"), "content_disposition"),
    "two dispositions in one": (bent(b"Content-Disposition: attachment", b"Content-Disposition: inline, attachment"), "content_disposition"),
    "disposition in quotes": (bent(b"Content-Disposition: attachment", b'Content-Disposition: "attachment"'), "content_disposition"),
    "disposition with a nul": (bent(b"Content-Disposition: attachment", b"Content-Disposition: attach\0ment"), "nul_byte"),
    "names by rfc 2047 and rfc 2231": (bent(b"filename=x.pdf", b'filename="=?utf-8?Q?x=2Epdf?="; filename*0=x.e; filename*1=xe'), "filename_conflict"),
    "names in pieces, one twice": (bent(b"filename=x.pdf", b"filename*0=x.p; filename*0=x.e; filename*1=df"), "duplicate_parameter"),
    "name under the other parameter": (bent(b"name=x.pdf", b"filename=x.pdf", bent(b"; filename=x.pdf", b"")), "filename_conflict"),
    "name with a path of windows": (bent(b"filename=x.pdf", b'filename="C:\\new\\x.pdf"', bent(b"; name=x.pdf", b"")), "filename_conflict"),
    "name that ends in an escape": (bent(b"name=x.pdf", b'name="x.pdf\\\\"'), "filename_conflict"),
    "charset with an escape": (mixed(TEXT.replace(b"charset=utf-8", b'charset="utf\\-8"'), PDF), "content_type"),
    "name in escapes of python": (bent(b"filename=x.pdf", b"filename*=unicode_escape''x.pdf"), "filename_conflict"),
    "name that holds a boundary": (bent(b"filename=x.pdf", b'filename="x;boundary=outer.pdf"', bent(b"; name=x.pdf", b"")), ""),
    "type whose name holds a boundary": (bent(b"name=x.pdf", b'name="x;boundary=outer.pdf"'), "boundary_syntax"),
    "name in utf-16": (bent(b"filename=x.pdf", b"filename*=utf-16''x.pdf"), "filename_conflict"),
    "name in no charset": (bent(b"filename=x.pdf", b"filename*=nowhere''x.pdf"), "filename_conflict"),
    "name of bytes that its charset has not": (bent(b"filename=x.pdf", b"filename*=utf-8''%ff.pdf"), "filename_conflict"),
    "name without a charset": (bent(b"filename=x.pdf", b"filename*=x.pdf"), "filename_conflict"),
    "name in a word of no charset": (bent(b"filename=x.pdf", b'filename="=?nowhere?Q?x=2Epdf?="'), "filename_conflict"),
    "line of over 998 bytes in a mime field": (bent(b"name=x.pdf", b'name="' + b"x" * 1100 + b'.pdf"', bent(b"; filename=x.pdf", b"")), "long_line"),
}  # fmt: skip
EVERY = TRICKS | SPELLINGS


def combinations() -> list[tuple[str, bytes]]:
    """Two spellings of the type field in one message, each before the other."""
    values = [
        b'multipart/mixed; boundary="outer"',
        b"text/plain",
        b"multipart/mixed",
        b"message/rfc822",
        b"application/pdf",
        b"",
    ]
    return [
        (f"{first!r}, {second!r}", typed(first + b"\r\nContent-Type: " + second))
        for first, second in itertools.permutations(values, 2)
    ]  # fmt: skip
