"""Texts and pages in the charsets that mail still brings: each comes back in its own letters."""

from __future__ import annotations

from pathlib import Path

import pymupdf
import pytest

from sandbox.client import Flattened, SandboxSettings
from sandbox.host.service import LocalSandbox

pytestmark = pytest.mark.sandbox
# Python's codec -> what the web calls it, words in it that are looked for
CHARSETS = {
    "cp949": ("euc-kr", "안녕하세요. 첨부 파일을 확인해 주세요."),
    "shift_jis": ("shift_jis", "こんにちは。添付ファイルをご確認ください。"),
    "iso2022_jp": ("iso-2022-jp", "こんにちは。添付ファイルをご確認ください。"),
    "euc_jp": ("euc-jp", "こんにちは。添付ファイルをご確認ください。"),
    "gb18030": ("gb2312", "您好，请查看附件中的文件。"),
    "big5": ("big5", "您好，請查看附件中的檔案。"),
    "cp1251": ("windows-1251", "Здравствуйте! Посмотрите, пожалуйста, вложенный файл."),
    "koi8_r": ("koi8-r", "Здравствуйте! Посмотрите, пожалуйста, вложенный файл."),
    "cp1253": ("windows-1253", "Καλημέρα σας. Παρακαλώ δείτε το συνημμένο αρχείο."),
    "cp1252": ("windows-1252", "Größe, naïve café – “quoted” €5"),
    "latin-1": ("iso-8859-1", "Größe, naïve café"),
    "utf-8": ("utf-8", "Größe, Привет, 안녕"),
    "utf-8-sig": ("utf-8", "Größe, Привет, 안녕"),
    "utf-16": ("utf-16", "Größe, Привет, 안녕"),
    "utf-32": ("utf-32", "Größe, Привет, 안녕"),
}
ONLY_WHERE_SAID = {  # too few letters tell these from cp1252
    "iso8859_2": ("iso-8859-2", "Dzień dobry, proszę zobaczyć załączony plik."),
    "cp1254": ("windows-1254", "Merhaba, lütfen ekteki dosyayı inceleyiniz."),
}
META = '<html><head><meta http-equiv="Content-Type" content="text/html; charset={}"></head><body>{}</body></html>'


@pytest.fixture(scope="module")
def sandbox():
    opened = LocalSandbox.open(SandboxSettings())
    yield opened
    opened.close()


def shown(sandbox: LocalSandbox, document: bytes, tmp_path: Path, charset: str = "") -> str:
    result = sandbox.flatten_now(document, tmp_path / "out.pdf", charset=charset)
    assert isinstance(result, Flattened), result
    with pymupdf.open(result.path) as pdf:
        return "".join("".join(page.get_text() for page in pdf).split())


@pytest.mark.parametrize("codec", CHARSETS)
def test_plain_text(codec: str, sandbox: LocalSandbox, tmp_path: Path):
    _, words = CHARSETS[codec]
    document = f"{words}\r\n{words}\r\n.\r\n".encode(codec)  # the last line, lest commas make a table of it
    assert words.replace(" ", "") in shown(sandbox, document, tmp_path)


@pytest.mark.parametrize("codec", CHARSETS | ONLY_WHERE_SAID)
def test_a_page_that_says_it(codec: str, sandbox: LocalSandbox, tmp_path: Path):
    label, words = (CHARSETS | ONLY_WHERE_SAID)[codec]
    assert words.replace(" ", "") in shown(sandbox, META.format(label, words).encode(codec), tmp_path)


@pytest.mark.parametrize("codec", ["cp949", "koi8_r", "iso8859_2"])
def test_xml_that_says_it(codec: str, sandbox: LocalSandbox, tmp_path: Path):
    label, words = (CHARSETS | ONLY_WHERE_SAID)[codec]
    document = f'<?xml version="1.0" encoding="{label}"?><a>{words}</a>'.encode(codec)
    assert words.replace(" ", "") in shown(sandbox, document, tmp_path)


@pytest.mark.parametrize("codec", CHARSETS | ONLY_WHERE_SAID)
def test_plain_text_of_which_its_message_says_it(codec: str, sandbox: LocalSandbox, tmp_path: Path):
    label, words = (CHARSETS | ONLY_WHERE_SAID)[codec]
    assert words.replace(" ", "") in shown(sandbox, f"{words}\r\n.\r\n".encode(codec), tmp_path, label)


@pytest.mark.parametrize("label", ["us-ascii", "iso-8859-1", "windows-1252", "utf-8", "x-nobodys", "unicode_escape"])
@pytest.mark.parametrize("codec", ["cp949", "cp1251", "utf-8"])
def test_a_text_of_which_its_message_says_what_programs_put_there_unasked(
    codec: str, label: str, sandbox: LocalSandbox, tmp_path: Path
):
    _, words = CHARSETS[codec]
    document = f"{words}\r\n{words}\r\n.\r\n".encode(codec)
    assert words.replace(" ", "") in shown(sandbox, document, tmp_path, label)


LIES = {
    "a page that calls UTF-8 Latin": META.format("utf-16", "Größe, Привет").encode(),
    "a page that calls UTF-8 by a codec of Python's": META.format("unicode_escape", "Größe, Привет").encode(),
    "a page that calls UTF-8 by no name": META.format("nobodys-charset", "Größe, Привет").encode(),
    "a text about a page": f"Größe, Привет: {META.format('koi8-r', '')}".encode(),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_wrong_name_is_not_followed(lie: str, sandbox: LocalSandbox, tmp_path: Path):
    assert "Größe,Привет" in shown(sandbox, LIES[lie], tmp_path)


def test_a_page_that_is_called_utf8_and_is_not(sandbox: LocalSandbox, tmp_path: Path):
    _, words = CHARSETS["cp1251"]
    page = META.format("utf-8", words).encode("cp1251")
    assert words.replace(" ", "") in shown(sandbox, page, tmp_path)


BROKEN = {
    "the end cut off": ("Grüße an alle, вам всем, 안녕하세요. " * 3).encode() + "é".encode()[:1],
    "Latin pasted in": ("Grüße an alle, вам всем, 안녕하세요.\n" * 3).encode() + b"caf\xe9\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_utf8_with_a_fault_stays_utf8(name: str, sandbox: LocalSandbox, tmp_path: Path):
    assert "вамвсем,안녕하세요." in shown(sandbox, BROKEN[name], tmp_path, "iso-8859-2")


def test_what_its_message_calls_utf16_and_is_not_is_not_read_so(sandbox: LocalSandbox, tmp_path: Path):
    document = "안녕하세요. 첨부 파일을 확인해 주세요.\r\n.\r\n".encode("cp949")
    assert "첨부파일을" in shown(sandbox, document + b"." * (len(document) % 2), tmp_path, "utf-16le")


def test_a_long_line_of_ascii_before_the_first_letter_costs_no_time(sandbox: LocalSandbox, tmp_path: Path):
    document = b"<html><body><!--" + b"A" * 3_000_000 + "--><p>Größe</p></body></html>".encode("latin-1")
    result = sandbox.flatten_now(document, tmp_path / "out.pdf")
    assert isinstance(result, Flattened), result
    assert result.seconds < 30, "a search that is quadratic takes hours"
    with pymupdf.open(result.path) as pdf:
        assert "Größe" in pdf[0].get_text()


def test_words_about_charsets_are_shown_as_they_are(sandbox: LocalSandbox, tmp_path: Path):
    assert "Content-Type:text/html;charset=koi8-r" in shown(
        sandbox, "<html><body><p>Größe: Content-Type: text/html; charset=koi8-r</p></body></html>".encode(), tmp_path
    )
