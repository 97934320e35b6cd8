"""Mail with containers through the real double sandbox: what they held is flattened and given back in their place."""

from __future__ import annotations

import asyncio
import email
import email.policy
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pymupdf
import pytest

from gateway import config
from gateway.sanitise import sanitise
from sandbox.client import Limits, SandboxSettings
from sandbox.host.service import LocalSandbox
from tests.corpus import containers, documents
from tests.gateway.mail.examine import runs_of
from tests.gateway.mail.letters import TEXT, mixed

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
OF_CORPUS = sorted(
    path for folder in ("archives", "tnef-msg") for path in (CORPUS / folder).glob("*") if path.is_file()
)


@pytest.fixture(scope="module")
def sandbox():
    opened = LocalSandbox.open(replace(SandboxSettings(), limits=replace(Limits(), seconds=60.0, page_seconds=30.0)))
    yield opened
    opened.close()


@pytest.fixture
def through(sandbox: LocalSandbox):
    def through(name: str, content: bytes, **sections):
        return asyncio.run(sanitise(mail(name, content), config.load(None, sections), sandbox))

    return through


def mail(name: str, content: bytes) -> bytes:
    head = f'Content-Type: application/octet-stream; name="{name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    return mixed(TEXT, head.encode() + email.base64mime.body_encode(content, eol="\r\n").encode())


def attachments(content: bytes) -> dict[str, bytes]:
    read = email.message_from_bytes(content, policy=email.policy.default)
    return {part.get_filename(): part.get_payload(decode=True) or b"" for part in read.walk() if part.get_filename()}


def entries(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def words(pdf: bytes) -> str:
    with pymupdf.open(stream=pdf, filetype="pdf") as document:
        return "".join(page.get_text() for page in document)


def every_file(content: bytes) -> list[bytes]:
    """The files of a message, its archives and the messages in them opened; what it says itself may stay."""
    found: list[bytes] = []
    for data in attachments(content).values():
        found += in_archive(data) if data.startswith(b"PK") else [data]
    return found


def in_archive(content: bytes) -> list[bytes]:
    found: list[bytes] = []
    for name, data in entries(content).items():
        found += in_archive(data) if name.endswith(".zip") else every_file(data) if name.endswith(".eml") else [data]
    return found


def test_documents_in_an_archive_come_back_as_a_zip_of_pdfs(through):
    members = {f"folder/{name}": content for name, (content, _) in documents.ALL.items()}
    safe = through("papers.tar.gz", containers.tarred(members, "gz"))
    inside = entries(attachments(safe.content)["papers.tar.gz.zip"])
    assert {record.outcome for record in safe.records} == {"kept", "repacked", "flattened"}
    for name, (_, text) in documents.ALL.items():
        [pdf] = [content for path, content in inside.items() if path.startswith(f"folder/{name}")]
        assert text in words(pdf)


def test_one_member_that_is_locked_is_told_in_the_archive(through):
    members = {
        "open.pdf": documents.pdf(),
        "locked.pdf": documents.pdf(password="x"),
        "run.exe": b"MZ\x90\0" + bytes(200),
    }
    safe = through("x.zip", containers.zipped(members))
    inside = entries(attachments(safe.content)["x.zip"])
    assert set(inside) == {"open.pdf", "REMOVED.txt"}
    assert b"(reason: encrypted)" in inside["REMOVED.txt"]
    assert b"(reason: unknown_type)" in inside["REMOVED.txt"]
    assert safe.original_id.encode() in inside["REMOVED.txt"]


@pytest.mark.parametrize("name", ["a.msg", "a.eml", "winmail.dat", "a.zip"])
def test_a_message_in_a_file_is_a_message_with_safe_attachments(name, through):
    letter = mail("page.pdf", documents.pdf("A nested page"))
    file = {"a.msg": containers.msg(), "a.eml": letter, "winmail.dat": containers.winmail()}
    safe = through(name, file.get(name) or containers.zipped({"in.eml": letter}))
    assert safe.records[1].outcome == "repacked"
    assert not {record.outcome for record in safe.records} & {"refused", "held"}
    assert safe.ambiguities == ()


def test_an_archive_that_is_in_itself_ends(through):
    if not CORPUS.is_dir():
        pytest.skip("no corpus beside the checkout")
    for name in ("tika__droste.zip", "tika__quine.gz"):
        safe = through(name, (CORPUS / "archives" / name).read_bytes(), mail={"depth": 8})
        assert "too_deep" in {record.reason for record in safe.records}


@pytest.mark.parametrize("path", OF_CORPUS, ids=lambda path: path.name)
def test_no_bytes_of_a_container_of_the_corpus_get_through(path, through):
    document = path.read_bytes()
    safe = through(path.name, document, mail={"depth": 8})
    assert safe.records[1].outcome in {"repacked", "removed", "flattened"}
    assert not {"sandbox_lied", "not_examined"} & {record.reason for record in safe.records}
    assert runs_of(document[:20_000], b"\xff\x00".join(every_file(safe.content))) == []
