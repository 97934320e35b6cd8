"""The zip that stands for an archive: names that lead nowhere, the same bytes each time, a list of what is gone."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from pathlib import PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail import archive
from gateway.mail.filename import flattened_name, safe_filename
from gateway.mail.result import Removed, Safe

PDF = "application/pdf"
PATHS = st.text(st.one_of(st.sampled_from("/\\.:aA ~-ßẞİiıKk\u0301é"), st.characters()), max_size=60) | st.lists(
    st.sampled_from(["..", ".", "a", "A", "a.pdf", "con", "C:", "", "é", "e\u0301"]), max_size=12
).map("/".join)


def safe(untrusted_name: str, content: bytes = b"safe") -> tuple[str, Safe]:
    name = flattened_name(safe_filename(archive.safe_path(untrusted_name)[-1]), PDF)
    return untrusted_name, Safe(content, PDF, name)


def opened(written: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(written))


def names(*untrusted_names: str) -> list[str]:
    return opened(archive.write([safe(name) for name in untrusted_names])).namelist()


@pytest.mark.parametrize(
    ("untrusted", "written"),
    [
        ("a/b/c.doc", "a/b/c.doc.pdf"),
        ("../../etc/passwd", "etc/passwd.pdf"),
        ("/etc/passwd", "etc/passwd.pdf"),
        ("C:\\Windows\\win.ini", "Windows/win.ini.pdf"),
        ("c:evil", "c_evil.pdf"),
        ("\\\\server\\share\\x", "server/share/x.pdf"),
        ("a/./b//c", "a/b/c.pdf"),
        ("a/../b", "a/b.pdf"),
        ("aux/con.doc", "_aux/_con.doc.pdf"),
        ("LPT1", "_LPT1.pdf"),
        ("a/x.doc ", "a/x.doc.pdf"),
        ("a/trailing./x", "a/trailing/x.pdf"),
        (".hidden/.bashrc", "hidden/bashrc.pdf"),
        ("a/\u202egpj.exe", "a/gpj.exe.pdf"),
        ("a/x\0y", "a/xy.pdf"),
        ("a:stream", "a_stream.pdf"),
        ("", "attachment.pdf"),
        ("..", "attachment.pdf"),
        ("a/", "a.pdf"),
        ("Grüße/日本.doc", "Grüße/日本.doc.pdf"),
        ("cafe\u0301.doc", "café.doc.pdf"),
        ("x.PDF", "x.PDF"),
    ],
)
def test_a_name_keeps_its_folders_and_leads_nowhere_else(untrusted, written):
    assert names(untrusted) == [written]


@pytest.mark.parametrize(
    ("untrusted", "written"),
    [
        (["a.pdf", "A.pdf", "a.PDF"], ["a.pdf", "A (2).pdf", "a (3).PDF"]),
        (["x.pdf", "x.pdf", "x (2).pdf", "x.pdf"], ["x.pdf", "x (2).pdf", "x (2) (2).pdf", "x (3).pdf"]),
        (["é", "e\u0301"], ["é.pdf", "é (2).pdf"]),
        (["straße.pdf", "STRASSE.pdf"], ["straße.pdf", "STRASSE (2).pdf"]),
        (["a.pdf", "a.pdf/b"], ["a (2).pdf", "a.pdf/b.pdf"]),
        (["A/x", "a/X"], ["A/x.pdf", "a/X (2).pdf"]),
        (["a/../x", "x", "./x"], ["a/x.pdf", "x.pdf", "x (2).pdf"]),
    ],
)
def test_names_that_some_file_system_takes_for_one_are_numbered(untrusted, written):
    found = names(*untrusted)
    assert len({archive._key(name) for name in found}) == len(untrusted)
    assert found == written


def test_a_thousand_files_of_one_name_are_a_thousand_files():
    assert len(set(names(*["same.doc"] * 1000))) == 1000


def test_a_long_path_keeps_its_innermost_folders_and_its_ending():
    [name] = names("/".join(["outer" * 9] * 30 + ["inner", "n" * 400 + ".docx"]))
    assert len(name.encode()) <= archive.PATH_BYTES
    assert "inner/nnn" in name
    assert name.endswith(".docx.pdf")


@given(st.lists(PATHS, max_size=12))
def test_whatever_the_names_nothing_leads_out_and_nothing_is_lost(untrusted):
    found = names(*untrusted)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in found}) == len(untrusted)
    folders = {
        "/".join(name.split("/")[:depth]).casefold() for name in found for depth in range(1, name.count("/") + 1)
    }
    for name in found:
        path = PureWindowsPath(name)
        assert not path.is_absolute()
        assert not path.drive
        assert not {"..", ".", ""} & set(name.split("/"))
        assert name.isprintable()
        assert len(name.encode()) <= archive.PATH_BYTES + 10  # a number
        assert name.casefold() not in folders


def test_the_same_members_give_the_same_bytes_and_are_stored_as_they_are():
    members = [safe("a", b"one"), safe("b", b"two" * 100), ("c", Removed("corrupt", "", "K7"))]
    written = archive.write(members)
    assert written == archive.write(members)
    for entry in opened(written).infolist():
        assert (entry.compress_type, entry.date_time) == (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0))
    assert opened(written).testzip() is None
    assert dict(archive.read_back(written))["b.pdf"] == b"two" * 100


def test_what_was_removed_is_told_in_plain_words_in_the_archive():
    gone = Removed("nothing_safe", "application/zip", "K7-42", (("deep/x.exe", Removed("unknown_type", "", "K7-42")),))
    written = archive.write(
        [safe("a"), ("folder/../\u202eb\n.docm", Removed("encrypted", "", "K7-42")), ("in.zip", gone)]
    )
    text = opened(written).read(archive.LIST_NAME).decode()
    assert "folder/b .docm\r\n    It is protected by a password" in text
    assert "(reason: encrypted)" in text
    assert "    deep/x.exe\r\n" in text
    assert "K7-42" in text
    assert text.count("\n") == text.count("\r\n")


def test_where_nothing_was_removed_there_is_no_list():
    assert names("a") == ["a.pdf"]


def test_a_members_name_never_is_that_of_the_list():
    written = archive.write([("removed.txt", Safe(b"x", "x/y", "removed.txt")), ("b", Removed("corrupt"))])
    assert opened(written).namelist() == ["removed (2).txt", archive.LIST_NAME]
