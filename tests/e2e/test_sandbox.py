"""The real double sandbox, on every runtime that this machine has: documents in, flattened PDFs out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pymupdf
import pytest

from sandbox import contract
from sandbox.client import Flattened, Limits, NotFlattened, SandboxSettings, Want
from sandbox.host.service import LocalSandbox
from tests.corpus import documents
from tests.fakes.run_cli import ROOT

pytestmark = pytest.mark.sandbox
SETTINGS = SandboxSettings()
HWP = ROOT.parent / "shared" / "corpus" / "office" / "dangerzoneimag__sample-hwp.hwp"


@pytest.fixture(scope="module")
def sandbox():
    opened = LocalSandbox.open(SETTINGS)
    yield opened
    opened.close()


def text_of(result) -> str:
    with pymupdf.open(result.path) as pdf:
        return "\n".join(page.get_text() for page in pdf)


@pytest.mark.parametrize("name", documents.ALL)
def test_every_format_of_our_own_comes_back_with_its_text(name: str, sandbox: LocalSandbox, tmp_path: Path):
    document, text = documents.ALL[name]
    result = sandbox.flatten_now(document, tmp_path / "out.pdf")
    assert isinstance(result, Flattened), result
    assert result.pages >= 1
    assert text in text_of(result)
    with pymupdf.open(result.path) as pdf:
        assert len(set(pdf[0].get_pixmap(dpi=50).samples)) > 1, "the page is blank"


BAD = {
    "encrypted": (documents.pdf(password="secret"), contract.ENCRYPTED),
    "cut off": (documents.docx()[:300], None),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(200), contract.UNKNOWN_TYPE),
    "a script": (b"#!/bin/sh\nrm -rf /\n", contract.UNKNOWN_TYPE),
    "an archive": (documents.package({"a.txt": "inside"}), contract.UNKNOWN_TYPE),
    "noise": (bytes((number * 73 + 7) % 256 for number in range(600)), contract.UNKNOWN_TYPE),
    "HTML that shows nothing": (b"<html><script>1</script></html>", contract.EMPTY),
    "a PDF without pages": (b"%PDF-1.7\n%%EOF\n", contract.CORRUPT),
}


@pytest.mark.skipif(not HWP.exists(), reason=f"the shared corpus is not here: {HWP}")
def test_hwp_with_a_password_is_encrypted(sandbox: LocalSandbox, tmp_path: Path):
    document = bytearray(HWP.read_bytes())
    flags = document.index(b"HWP Document File") + 36
    assert not document[flags] & 2
    document[flags] |= 2  # HWP 5.0, FileHeader: the document has a password
    result = sandbox.flatten_now(bytes(document), tmp_path / "out.pdf")
    assert isinstance(result, NotFlattened)
    assert (result.reason, result.found) == (contract.ENCRYPTED, "application/encrypted")


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_flattened_has_its_reason(name: str, sandbox: LocalSandbox, tmp_path: Path):
    document, expected = BAD[name]
    result = sandbox.flatten_now(document, tmp_path / "out.pdf")
    assert isinstance(result, NotFlattened)
    assert result.reason == expected if expected else result.reason in contract.GUEST_REASONS
    assert not (tmp_path / "out.pdf").exists()


def bounded(tmp_path: Path, document: bytes, **limits) -> str:
    settings = replace(SETTINGS, limits=replace(Limits(), **limits))
    opened = LocalSandbox.open(settings)
    try:
        result = opened.flatten_now(document, tmp_path / "out.pdf")
    finally:
        opened.close()
    assert isinstance(result, NotFlattened), result
    return result.reason


def test_more_pages_than_the_bound_are_refused(tmp_path: Path):
    assert bounded(tmp_path, documents.pdf(pages=5), pages=4) == contract.TOO_MANY_PAGES


def test_a_page_larger_than_the_bound_is_refused(tmp_path: Path):
    assert bounded(tmp_path, documents.pdf(), page_points=600) == contract.PAGE_TOO_LARGE


def test_more_pixels_in_all_than_the_bound_are_refused(tmp_path: Path):
    assert bounded(tmp_path, documents.pdf(pages=3), total_pixels=5_000_000) == contract.TOO_MANY_PIXELS


def test_a_document_that_takes_too_long_is_killed(tmp_path: Path):
    # nested forms, each drawn twice by the one above it: 2^32 draws
    forms = [
        f"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X {number + 1} 0 R>>>>/Length 10>>\n"
        "stream\n/X Do /X Do\nendstream"
        for number in range(5, 37)
    ]
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</XObject<</X 5 0 R>>>>>>",
        "<</Length 5>>\nstream\n/X Do\nendstream",
        *forms,
        "<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length 9>>\nstream\n0 0 1 1 re f\nendstream",
    ]
    body = "".join(f"{number} 0 obj\n{text}\nendobj\n" for number, text in enumerate(objects, 1))
    document = f"%PDF-1.7\n{body}trailer\n<</Root 1 0 R>>\n".encode()
    assert bounded(tmp_path, document, seconds=8.0, page_seconds=8.0) == contract.DEADLINE


def test_a_picture_for_the_screen_keeps_its_pixels(sandbox: LocalSandbox, tmp_path: Path):
    result = sandbox.flatten_now(documents.png(120, 80), tmp_path / "out", Want.IMAGE)
    assert isinstance(result, Flattened)
    pixmap = pymupdf.Pixmap(str(result.path))
    assert (pixmap.width, pixmap.height) == (120, 80)
    red, green, blue = pixmap.pixel(60, 40)
    assert abs(red - 127) < 8
    assert abs(green - 127) < 8
    assert abs(blue - 128) < 8


def test_the_same_document_gives_the_same_bytes(sandbox: LocalSandbox, tmp_path: Path):
    first = sandbox.flatten_now(documents.docx("Twice"), tmp_path / "first.pdf")
    second = sandbox.flatten_now(documents.docx("Twice"), tmp_path / "second.pdf")
    assert isinstance(first, Flattened)
    assert isinstance(second, Flattened)
    assert first.path.read_bytes() == second.path.read_bytes()


def test_without_the_text_layer_nothing_can_be_searched(tmp_path: Path):
    opened = LocalSandbox.open(replace(SETTINGS, text_layer=False))
    try:
        result = opened.flatten_now(documents.pdf("Hidden"), tmp_path / "out.pdf")
    finally:
        opened.close()
    assert isinstance(result, Flattened)
    assert text_of(result).strip() == ""
