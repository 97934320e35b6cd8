"""`lazaretto convert`: what other programs rely on: exit codes, one JSON object a file, nothing half-written."""

from __future__ import annotations

import email
import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import convert
from sandbox import client
from tests.fakes.sandbox import SAFE_PDF, FakeSandbox, container, zipped
from tests.gateway.mail.letters import PDF, TEXT, mixed


@pytest.fixture
def run(monkeypatch, tmp_path: Path):
    fake = FakeSandbox({b"bad": "corrupt"})
    monkeypatch.setattr(client, "open_sandbox", lambda settings, briefly: fake)

    def call(*arguments: str):
        return CliRunner().invoke(convert.command, [*arguments, "--output-dir", str(tmp_path / "out")])

    return call


def written(tmp_path: Path, name: str, content: bytes) -> str:
    (tmp_path / name).write_bytes(content)
    return str(tmp_path / name)


def test_a_document_becomes_name_dot_pdf(run, tmp_path: Path):
    result = run(written(tmp_path, "letter.docx", b"good"), "--json")
    assert result.exit_code == 0
    (line,) = [json.loads(text) for text in result.stdout.splitlines()]
    assert line == {
        "input": str(tmp_path / "letter.docx"),
        "output": str(tmp_path / "out" / "letter.docx.pdf"),
        "mime": "application/x-found",
        "pages": 3,
        "bytes": 100,
        "seconds": 0.25,
        "outcome": "flattened",
        "reason": "",
        "removed": 0,
    }
    assert (tmp_path / "out" / "letter.docx.pdf").read_bytes().startswith(SAFE_PDF)


def test_some_failed_is_exit_status_1_and_all_are_told_in_order(run, tmp_path: Path):
    names = [written(tmp_path, "a", b"bad one"), written(tmp_path, "b", b"good"), written(tmp_path, "c", b"")]
    result = run(*names, "--json")
    assert result.exit_code == 1
    lines = [json.loads(text) for text in result.stdout.splitlines()]
    assert [line["input"] for line in lines] == names
    assert (lines[0]["outcome"], lines[0]["reason"], lines[0]["output"]) == ("failed", "corrupt", None)
    assert lines[1]["outcome"] == "flattened"


def test_without_json_each_file_has_a_sentence(run, tmp_path: Path):
    result = run(written(tmp_path, "a", b"bad one"), written(tmp_path, "b", b"good"))
    assert "not flattened: corrupt" in result.stdout
    assert "3 pages" in result.stdout


def test_an_archive_becomes_a_zip_of_what_was_made_safe(run, tmp_path: Path):
    result = run(written(tmp_path, "x.tar.gz", zipped(("a.doc", b"good"), ("b/c.doc", b"bad"))), "--json")
    assert result.exit_code == 1
    line = json.loads(result.stdout)
    assert (line["outcome"], line["removed"], line["pages"]) == ("repacked", 1, 3)
    with zipfile.ZipFile(line["output"]) as archive:
        assert archive.namelist() == ["a.doc.pdf", "REMOVED.txt"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.tar.gz.zip"]


@pytest.mark.parametrize("form", [client.Form.MESSAGE, client.Form.PARTS])
def test_a_message_becomes_a_message(run, tmp_path: Path, form):
    result = run(written(tmp_path, "x.msg", container(form, ("", mixed(TEXT, PDF)))), "--json")
    assert result.exit_code == 0
    read = email.message_from_bytes((tmp_path / "out" / "x.msg.eml").read_bytes())
    assert [part.get_content_type() for part in read.walk()] == ["multipart/mixed", "text/plain", "application/pdf"]


def test_what_was_wrapped_becomes_a_pdf(run, tmp_path: Path):
    file = container(client.Form.WRAPPER, ("inner.doc", b"good"))
    assert run(written(tmp_path, "x.bin", file)).exit_code == 0
    assert (tmp_path / "out" / "x.bin.pdf").read_bytes().startswith(SAFE_PDF)


def test_an_archive_of_which_nothing_is_safe_has_failed(run, tmp_path: Path):
    result = run(written(tmp_path, "x.zip", zipped(("b.doc", b"bad"))), "--json")
    assert (result.exit_code, json.loads(result.stdout)["reason"]) == (1, "nothing_safe")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("/does/not/exist",), ("--wrong",)])
def test_wrong_usage_is_exit_status_2(run, arguments):
    assert run(*arguments).exit_code == 2


def test_two_files_of_one_name_are_wrong_usage(run, tmp_path: Path):
    (tmp_path / "sub").mkdir()
    result = run(written(tmp_path, "a", b"one"), written(tmp_path / "sub", "a", b"two"))
    assert result.exit_code == 2
    assert "same name" in result.output


def test_no_sandbox_is_exit_status_75_and_one_line(monkeypatch, tmp_path: Path):
    def unavailable(settings, briefly):
        raise client.SandboxUnavailableError("the sandbox image is not built; run `lazaretto image build`")

    monkeypatch.setattr(client, "open_sandbox", unavailable)
    arguments = [written(tmp_path, "a", b"x"), "--output-dir", str(tmp_path / "out")]
    result = CliRunner().invoke(convert.command, arguments)
    assert result.exit_code == 75
    assert result.stderr == "lazaretto: the sandbox image is not built; run `lazaretto image build`\n"
    assert result.stdout == ""


def test_a_sandbox_that_goes_away_is_exit_status_75(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(client, "open_sandbox", lambda settings, briefly: FakeSandbox({b"x": "unavailable"}))
    arguments = [written(tmp_path, "a", b"x"), "--output-dir", str(tmp_path / "out")]
    assert CliRunner().invoke(convert.command, arguments).exit_code == 75


def test_a_file_beyond_the_bound_is_not_read(monkeypatch, tmp_path: Path):
    fake = FakeSandbox()
    monkeypatch.setattr(client, "open_sandbox", lambda settings, briefly: fake)
    settings = client.SandboxSettings(limits=client.Limits(document_bytes=3))
    monkeypatch.setattr(convert, "settings_of", lambda config: settings)
    arguments = [written(tmp_path, "a", b"four"), "--output-dir", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(convert.command, arguments)
    assert json.loads(result.stdout)["reason"] == "document_too_large"
    assert fake.documents == []
