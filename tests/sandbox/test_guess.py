"""Which kind of sandbox is taken for a document, by its bytes."""

from __future__ import annotations

import time

import pytest

from sandbox.guest import hwpx
from sandbox.host.guess import kind_for
from sandbox.host.snapshot import Kind
from tests.corpus import documents

COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
OFFICE = ("letter.docx", "sheet.xlsx", "slides.pptx", "letter.odt", "letter.rtf", "table.csv", "latin.csv")
CASES = {
    "a compound file": (COMPOUND, Kind.OFFICE),
    "HWP": (COMPOUND + b"HWP Document File" + bytes(600), Kind.HWP),
    "HWPX": (hwpx.document(), Kind.HWP),
    "EPUB": (documents.package({"a.xhtml": "<p>"}, "application/epub+zip"), Kind.OTHER),
    "an archive": (documents.package({"letter.docx": "inside"}), Kind.OTHER),
    "a table in UTF-16": ("a,b\r\n1,2\r\n".encode("utf-16"), Kind.OFFICE),
    "lines without a comma": (b"a\nb\nc\n", Kind.OTHER),
    "lines with other commas": (b"Dear Ann,\nthis, that, and more\n", Kind.OTHER),
    "half a table": (b"a,b\n1,2", Kind.OTHER),
    "the start of a zip": (b"PK\x03\x04rest", Kind.OTHER),
    "one byte": (b"P", Kind.OTHER),
    "nothing": (b"", Kind.OTHER),
}


@pytest.mark.parametrize("name", documents.ALL)
def test_each_document_of_our_own_has_its_kind(name: str):
    expected = Kind.OFFICE if name in OFFICE else Kind.HWP if name.endswith("hwpx") else Kind.OTHER
    assert kind_for(documents.ALL[name][0]) is expected


@pytest.mark.parametrize("name", CASES)
def test_the_first_bytes_choose_the_kind(name: str):
    document, kind = CASES[name]
    assert kind_for(document) is kind


@pytest.mark.parametrize("pattern", [b",", b"\n", b"a,\n", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"HWP Document Fil"])
def test_no_document_makes_it_slow(pattern: bytes):
    document = pattern * (25_000_000 // len(pattern))
    started = time.process_time()
    kind_for(document)
    assert time.process_time() - started < 1.0
