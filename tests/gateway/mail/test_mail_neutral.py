"""Displayed HTML where policy wants it inert: what acts is gone, what is read stays, "keep" leaves every byte."""

from __future__ import annotations

import base64
import email
import email.policy
import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mail import neutral
from gateway.mail.neutral import as_text, is_inert, is_too_tangled, neutralise
from gateway.mail.policy import Policy
from gateway.mail.record import records
from gateway.mail.tree import Bounds
from gateway.mail.witness import objection
from sandbox.client import Want
from tests.gateway.corpus import corpus_files
from tests.gateway.mail.letters import ENCODED, SECRET, TEXT, TOP, leaked, mixed, send
from tests.gateway.mail.ordinary import ORDINARY
from tests.gateway.mail.spellings import EVERY

NEUTRALISE = Policy(html_bodies="neutralise")

ATTACKS = {
    # elements
    "script": "<script>alert(1)</script>",
    "script in capitals": "<SCRIPT SRC=https://x/y.js></SCRIPT>",
    "script half open": "<script <b>alert(1)</script>",
    "script with a slash": "<script/xss src=//x/y>",
    "doubled brackets": "<<script>alert(1);//<</script>",
    "nul in the name": "<scr\0ipt>alert(1)</scr\0ipt>",
    "iframe": "<iframe src=https://x></iframe>",
    "iframe with srcdoc": "<iframe srcdoc='<script>alert(1)</script>'>",
    "object": "<object data=x.swf type=x/y></object>",
    "embed": "<embed src=x.swf>",
    "applet": "<applet code=x>",
    "form": "<form action=https://x><input name=password><button>go</button></form>",
    "formaction": "<button formaction=javascript:alert(1)>x</button>",
    "isindex": "<isindex action=javascript:alert(1) type=image>",
    "meta refresh": "<meta http-equiv=refresh content='0;url=https://x'>",
    "meta refresh to a script": "<META HTTP-EQUIV=refresh CONTENT='0;url=data:text/html,<script>alert(1)</script>'>",
    "base": "<base href=https://x/><a href=y>z</a>",
    "link": "<link rel=stylesheet href=https://x/y.css>",
    "style sheet": "<style>@import 'https://x'; p{background:url(https://x)}</style>",
    "style with a selector": "<style>a[href^='x']{background:url(https://x)}</style>",
    "frameset": "<frameset><frame src=javascript:alert(1)></frameset>",
    "svg": "<svg/onload=alert(1)><script>alert(1)</script></svg>",
    "svg animate": "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "svg use": "<svg><use href='data:image/svg+xml,x'/></svg>",
    "math": "<math><mi//xlink:href='data:x,<script>alert(4)</script>'>",
    "math and style": "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "svg, style and a title": "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "foreign object": "<svg><foreignObject><iframe src=javascript:alert(1)></foreignObject></svg>",
    "noscript": "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "template": "<template><script>alert(1)</script></template>",
    "textarea": "<textarea></textarea><script>alert(1)</script>",
    "plaintext": "<plaintext><script>alert(1)</script>",
    "xmp": "<xmp><p title='</xmp><img src=1 onerror=alert(1)>'>",
    "noembed": "<noembed><img title='</noembed><img src onerror=alert(1)>'></noembed>",
    "xml": "<xml id=i><x><c><![CDATA[<img src='javas]]><![CDATA[cript:alert(1)'>]]></c></x></xml>",
    "comment of Outlook": "<!--[if mso]><v:shape onclick=alert(1)/><script>alert(1)</script><![endif]-->",
    "comment that ends early": "<!--><script>alert(1)</script>-->",
    "comment with a bang": "<!--x--!><script>alert(1)</script>",
    "processing instruction": "<?xml-stylesheet href='javascript:alert(1)'?>",
    "vml": "<v:rect style='behavior:url(#default#VML)' href='javascript:alert(1)'>x</v:rect>",
    "audio": "<audio src=x onerror=alert(1)>",
    "video": "<video poster=javascript:alert(1)><source onerror=alert(1)></video>",
    "marquee": "<marquee onstart=alert(1)>x</marquee>",
    "bgsound": "<bgsound src=javascript:alert(1)>",
    "custom element": "<x-y onfocus=alert(1) tabindex=1 autofocus>",
    "portal": "<portal src=https://x>",
    "dialog": "<dialog open onclose=alert(1)>x</dialog>",
    "amp": "<amp-form action-xhr=https://x></amp-form><script async src=https://x></script>",
    # attributes
    "onerror": "<img src=x onerror=alert(1)>",
    "onerror in capitals": "<IMG SRC=x ONERROR=alert(1)>",
    "onload of the body": "<body onload=alert(1)>",
    "handler behind a slash": "<img/src=x/onerror=alert(1)>",
    "handler behind a form feed": "<img src=x\x0conerror=alert(1)>",
    "handler in backquotes": "<img src=`x`onerror=alert(1)>",
    "handler behind a broken quote": "<img title='\"' x\"onerror=alert(1) src=x>",
    "ontoggle": "<details open ontoggle=alert(1)>x</details>",
    "autofocus": "<a autofocus onfocus=alert(1) tabindex=1>x</a>",
    "srcset": "<img srcset='https://x 1x, javascript:alert(1) 2x'>",
    "ping": "<a href=https://x ping=https://y>z</a>",
    "dynsrc": "<img dynsrc=javascript:alert(1) lowsrc=javascript:alert(1)>",
    "background": "<table background=javascript:alert(1)><td background='javascript:alert(1)'>x</table>",
    "xlink": "<a xlink:href=javascript:alert(1)>x</a>",
    "is": "<a is=x-y href=#>x</a>",
    # addresses
    "javascript": "<a href=javascript:alert(1)>x</a>",
    "javascript in entities": "<a href='&#106;&#x61;vascript&colon;alert(1)'>x</a>",
    "javascript in long entities": "<a href='&#0000106avascript:alert(1)'>x</a>",
    "javascript with a tab": "<a href='java\tscript:alert(1)'>x</a>",
    "javascript with a line end": "<a href='java&#10;script:alert(1)'>x</a>",
    "javascript behind a control": "<a href='&#1;javascript:alert(1)'>x</a>",
    "javascript behind spaces": "<a href=' &#14;  javascript:alert(1)'>x</a>",
    "javascript in mixed case": "<a href=JaVaScRiPt:alert(1)>x</a>",
    "vbscript": "<a href=vbscript:msgbox(1)>x</a>",
    "livescript": "<img src=livescript:x>",
    "data in a link": "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "data picture not ours": "<img src='data:image/png;base64,iVBORw0KGgo='>",
    "data svg": "<img src='data:image/svg+xml;base64,PHN2Zz4='>",
    "file": "<a href=file:///etc/passwd>x</a>",
    "file by its host": "<img src=file://x/y>",
    "unc path": r"<img src=\\x\y.png>",
    "of an office program": "<a href='ms-msdt:/id x'>x</a><a href='search-ms:query=x'>y</a><a href='ms-excel:ofe|u|https://x'>z</a>",
    "relative": "<a href=/x>y</a><img src=z.png><a href=//x/y>z</a>",
    "view-source": "<a href=view-source:x>y</a>",
    "blob": "<a href=blob:https://x/y>z</a>",
    # CSS
    "expression": "<p style='width:expression(alert(1))'>x</p>",
    "expression with a comment": "<p style='width:exp/**/ression(alert(1))'>x</p>",
    "expression escaped": r"<p style='width:\65xpression(alert(1))'>x</p>",
    "url": "<p style='background:url(javascript:alert(1))'>x</p>",
    "url escaped": r"<p style='background:\75rl(javascript:alert(1))'>x</p>",
    "url in quotes": "<p style='background-image:URL(\"javascript:alert(1)\")'>x</p>",
    "image-set": "<p style='background:image-set(\"https://x\" 1x)'>x</p>",
    "moz-binding": "<p style='-moz-binding:url(https://x#y)'>x</p>",
    "behavior": "<p style='behavior:url(x.htc)'>x</p>",
    "import": "<p style='@import \"https://x\"'>x</p>",
    "overlay": "<p style='position:fixed;top:0;left:0;z-index:9'>x</p>",
    "variable": "<p style='--x:url(https://x);background:var(--x)'>x</p>",
    "breaking out of the attribute": "<p style='color:red\"onclick=alert(1)//'>x</p>",
    "link in a list": "<li style='list-style-image:url(javascript:alert(1))'>x",
}  # fmt: skip
ACTS = re.compile(
    r"(?i)alert|script|expression|url\(|image-set|@import|behavior|binding|position|z-index|msgbox|passwd|refresh|https://x/y\.|srcset|ping="
)
FORBIDDEN_ELEMENTS = "script style iframe object embed applet form input button meta base link svg math template textarea select frame frameset"


class Seen(HTMLParser):
    """Another reader of what we wrote: elements, attributes, addresses."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.mark.parametrize("name", ATTACKS)
def test_what_acts_is_gone(name):
    written = neutralise("<p>Hello</p>" + ATTACKS[name] + "<p>Bye</p>")
    seen = Seen(written)
    assert not seen.elements & set(FORBIDDEN_ELEMENTS.split())
    assert not [attribute for attribute, _ in seen.attributes if attribute.startswith("on") or ":" in attribute]
    assert not [value for attribute, value in seen.attributes if ACTS.search(value)]
    addresses = [value for attribute, value in seen.attributes if attribute in ("href", "src", "background")]
    assert all(re.match(r"(?:https?://|cid:|mailto:|tel:|#)", value) for value in addresses)
    assert "Hello" in written
    assert neutralise(written) == written, "and it stays so"


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_comes_through_a_message_and_both_readers_agree(name):
    raw = mixed(
        TEXT, b"Content-Type: text/html; charset=utf-8\r\n\r\n" + ATTACKS[name].encode(), subtype=b"alternative"
    )
    sent = send(raw, NEUTRALISE)
    assert objection(sent.message, sent.plan, sent.results, sent.out, Bounds()) == ""
    assert b"alert(" not in html_of(sent.out).encode() or "&lt;" in html_of(sent.out)


def html_of(raw: bytes) -> str:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    shown = next(part.get_content() for part in message.walk() if part.get_content_subtype().endswith("html"))
    return shown.replace("\r\n", "\n")


READABLE = (
    '<!DOCTYPE html><html><head><title>T</title><style>p{color:red}</style></head><body bgcolor="#112233" text=white link=red>'
    '<table width="600" cellpadding="0" bgcolor="#ffffff" style="border-collapse:collapse"><tr><td align="center" valign="top" colspan="2"'
    " style=\"font-family:Arial,'Segoe UI',sans-serif;color:rgb(1, 2, 3);width:calc(100% - 2px);background:#eee\">Grüße &amp; 你好</td></tr></table>"
    '<a href="https://x.example/?a=1&amp;b=2">link</a><a href="mailto:a@example.org?subject=Hi">mail</a><a href="#end">end</a><a name="end"></a>'
    '<img src="cid:pic@x" alt="a" width=10><img src="https://x.example/a.png"><font color="red" face="Arial">x</font>'
    "<ul><li>one<li>two</ul><blockquote type=cite>quoted</blockquote><pre>  a\n  b</pre><center><b>bold</b><br>&nbsp;</center></body></html>"
)


def test_mail_stays_readable():
    written = neutralise(READABLE)
    for piece in (
        '<!DOCTYPE html>\r\n<html><body bgcolor="#112233" text="white">', 'bgcolor="#ffffff"', 'colspan="2"', "border-collapse:collapse",
        "Grüße &amp; 你好", 'href="https://x.example/?a=1&amp;b=2"', 'href="mailto:a@example.org?subject=Hi"', 'href="#end"', 'name="end"',
        'src="cid:pic@x"', 'src="https://x.example/a.png"', '<font color="red" face="Arial">', "<li>one</li><li>two</li>", "  a\r\n  b",
        "<center><b>bold</b>", "background:#eee", "calc(100% - 2px)", "Segoe UI",
    ):  # fmt: skip
        assert piece in written
    assert re.search(r"color:\s*rgb\(1, ?2, ?3\)", written)
    assert "<title>" not in written
    assert "p{color" not in written


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("utf-8", "grüße".encode(), "grüße"),
        ("iso-8859-1", "“grüße” €".encode("cp1252"), "“grüße” €"),
        ("us-ascii", "grüße".encode(), "grüße"),
        ("", "grüße".encode(), "grüße"),
        ("", "grüße".encode("cp1252"), "grüße"),
        ("utf-8", "grüße".encode("cp1252"), "grüße"),
        ("iso-2022-jp", "日本".encode("iso-2022-jp"), "日本"),
        ("gb2312", "你好".encode("gb2312"), "你好"),
        ("koi8-r", "привет".encode("koi8-r"), "привет"),
        ("nowhere-7", "grüße".encode(), "grüße"),
        ("hex", b"41", "41"),
        ("utf-8\0", b"a", "a"),
        ("shift_jis", b"\x81", "\ufffd"),
    ],
)
def test_text_is_decoded_by_its_charset_or_as_a_browser_would(charset, raw, text):
    assert as_text(raw, charset) == text


def test_the_message_says_utf8_and_only_that_part_changes():
    html = b'Content-Type: text/html; charset="iso-8859-1"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p onclick=x()>Gr\xfc\xdfe\r\n'
    raw = mixed(TEXT, html, TEXT, subtype=b"alternative")
    sent = send(raw, NEUTRALISE)
    before, changed, after = (
        sent.plan.steps[0].source.span,
        sent.plan.steps[1].source.span,
        sent.plan.steps[2].source.span,
    )
    assert sent.out.startswith(raw[: changed.start])
    assert sent.out.endswith(raw[changed.end :])
    assert before.end < changed.start < after.start
    assert html_of(sent.out) == "<html><body>\n<p>Grüße</p>\n</body></html>\n"
    assert b"charset=utf-8" in sent.out
    assert not sent.plan.canonical
    assert [(r.outcome, r.reason) for r in records(sent.plan, {})] == [
        ("kept", "displayed_text"), ("neutralised", "html_neutralised"), ("kept", "displayed_text"),
    ]  # fmt: skip


@pytest.mark.parametrize("subtype", ["html", "x-amp-html", "watch-html"])
def test_every_display_of_html_is_neutralised_and_keep_leaves_its_bytes(subtype):
    raw = mixed(
        TEXT,
        b"Content-Type: text/%s\r\n\r\n<p onclick=x()>Hi<script>y</script>" % subtype.encode(),
        subtype=b"alternative",
    )
    assert send(raw).out is send(raw).message.raw
    assert html_of(send(raw, NEUTRALISE).out) == "<html><body>\n<p>Hi</p>\n</body></html>\n"


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_what_comes_through_twice_keeps_its_bytes(root, encoding):
    body = {"8bit": READABLE.encode(), "base64": base64.encodebytes(READABLE.encode()).replace(b"\n", b"\r\n"),
            "quoted-printable": READABLE.replace("=", "=3D").encode()}[encoding]  # fmt: skip
    part = b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n%s\r\n" % (
        encoding.encode(),
        body,
    )
    if encoding == "8bit":
        part = part.replace(b"><", b">\r\n<")
    once = send(TOP + part if root else mixed(TEXT, part), NEUTRALISE).out
    assert once != (TOP + part if root else mixed(TEXT, part))
    assert send(once, NEUTRALISE).out is send(once, NEUTRALISE).message.raw or send(once, NEUTRALISE).out == once
    assert not send(once, NEUTRALISE).plan.changes


def test_pictures_that_the_html_shows_are_still_found_and_data_pictures_are_ours():
    html = (
        b'Content-Type: text/html\r\n\r\n<img src="cid:pic%40x"><td background="cid:other@x"><img src="data:image/gif;base64,'
        + ENCODED + b'"><a href="data:text/html;base64,' + ENCODED + b'">x</a>\r\n'
    )  # fmt: skip
    image = (
        b"Content-Type: image/png\r\nContent-ID: <pic@x>\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + ENCODED
    )
    sent = send(mixed(html, image, image.replace(b"pic@x", b"other@x")), NEUTRALISE)
    assert [step.want for step in sent.plan.steps if step.source.content_type == "image/png"] == [
        Want.IMAGE,
        Want.IMAGE,
    ]
    shown = html_of(sent.out)
    assert 'src="cid:pic%40x"' in shown
    assert shown.count('src="data:image/png;base64,') == 1
    assert "data:text" not in shown
    assert leaked(SECRET, sent.out) == []
    assert objection(sent.message, sent.plan, sent.results, sent.out, Bounds()) == ""


def test_a_signature_over_html_that_was_neutralised_is_void():
    signature = b"Content-Type: application/pgp-signature\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n\r\niQEMA1234567890ABCDEFGH\r\n=abcd\r\n-----END PGP SIGNATURE-----\r\n"
    raw = mixed(b"Content-Type: text/html\r\n\r\n<p>Hi", signature, subtype=b"signed")
    assert send(raw).out == raw
    sent = send(raw, NEUTRALISE)
    assert sent.plan.steps[-1].reason == "signature_void"
    assert b"multipart/mixed" in sent.out


def test_html_of_too_many_tags_is_a_file_and_takes_no_time():
    raw = TOP + b"Content-Type: text/html\r\n\r\n" + b"<div>\r\n" * (neutral.TAGS + 1)
    assert send(raw).plan.steps[0].action == "keep"
    assert send(raw, NEUTRALISE).plan.steps[0].action == "flatten"


@pytest.mark.parametrize(
    "piece",
    ["<div>", "<b><i><u><s>", "<a><b>", "<ul><li>", "<table><tr><td>", "<p style='color:red'>", "<svg>", "</p><div>"],
)
def test_the_worst_html_of_as_many_tags_as_are_allowed_is_done_in_time(piece):
    many = piece * (neutral.TAGS // piece.count("<"))
    assert not is_too_tangled(many.encode())
    started = time.process_time()
    neutralise(many)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("style", ["a-", "a(;", "rgb(((;", "{", "\\", "/*", "a" * 60 + " ", '"', "--"])
def test_a_long_style_takes_time_in_proportion(style):
    started = time.process_time()
    neutralise(f'<p style="{style.replace(chr(34), "&quot;") * (400_000 // len(style))}">x</p>')
    assert time.process_time() - started < 5


PIECES = [*ATTACKS.values(), "<p>", "</p>", "<table>", "<td>", "<a href='", "' onclick='x", '"', ">", "<", "<!--", "-->", "<math>", "<style>", "</style>",
          "<title>", "</title>", "&lt;", "&#60;script&#62;", "<b", "/>", "javascript:", "<svg>", "</svg>", "<select>", "]]>", "<![CDATA["]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_no_mixture_of_attacks_leaves_anything_that_acts(text):
    written = neutralise(text)
    seen = Seen(written)
    assert not seen.elements & set(FORBIDDEN_ELEMENTS.split())
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert not [
        v
        for name, v in seen.attributes
        if name in ("href", "src") and not re.match(r"https?://|cid:|mailto:|tel:|#", v)
    ]
    assert neutralise(written) == written
    assert is_inert(written.encode(), "utf-8")


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_mail_without_html_keeps_every_byte_and_both_readers_agree(name):
    sent = send(ORDINARY[name], NEUTRALISE)
    assert objection(sent.message, sent.plan, sent.results, sent.out, Bounds()) == ""
    if b"html" not in ORDINARY[name].lower() and "attachment" not in name and "image" not in name:
        assert sent.out is sent.message.raw


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_found_of_a_trick_in_a_neutralised_message(name):
    sent = send(EVERY[name][0], NEUTRALISE)
    assert leaked(SECRET, sent.out) == []
    assert objection(sent.message, sent.plan, sent.results, sent.out, Bounds()) == ""


@pytest.mark.parametrize("path", corpus_files("mime"), ids=lambda path: path.name)
def test_html_mail_of_the_corpus_keeps_its_words_and_both_readers_agree(path):
    raw = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    sent = send(raw, NEUTRALISE)
    assert objection(sent.message, sent.plan, sent.results, sent.out, Bounds()) == ""
    changed = [step for step in sent.plan.steps if step.reason == "html_neutralised"]
    assert bool(changed) <= (b"html" in raw.lower())
