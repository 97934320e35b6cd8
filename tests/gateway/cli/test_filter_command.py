"""`lazaretto filter`: bytes in, bytes out, exit codes, report; the sandbox is a fake here, the real one in e2e/."""

from __future__ import annotations

import json
import os

import pytest
import structlog
from click.testing import CliRunner

from gateway.cli import filter as filter_file
from sandbox import contract
from sandbox.client import SandboxUnavailableError
from tests.fakes.run_cli import lazaretto
from tests.fakes.sandbox import BUG, UNAVAILABLE, FakeSandbox, zipped
from tests.gateway.corpus import corpus_files
from tests.gateway.messages import TEXT_ONLY, with_attachments


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    yield
    structlog.reset_defaults()


@pytest.fixture
def run(monkeypatch, tmp_path):
    def run(message: bytes, script=None, config=None, opener=None):
        sandbox = FakeSandbox(script or {})
        opened = opener or (lambda _: sandbox)
        monkeypatch.setattr(filter_file, "open_sandbox", lambda settings, briefly: opened(settings))
        report = tmp_path / "report.json"
        arguments = ["--report", str(report)]
        if config:
            (tmp_path / "l.toml").write_text(config)
            arguments += ["--config", str(tmp_path / "l.toml")]
        result = CliRunner().invoke(filter_file.command, arguments, input=message)
        result.report = json.loads(report.read_text()) if report.exists() else None
        result.sandbox = sandbox
        return result

    return run


@pytest.mark.parametrize("message", [TEXT_ONLY, TEXT_ONLY.replace(b"\r\n", b"\n")])
def test_a_message_without_attachments_comes_out_byte_for_byte(run, message):
    result = run(message)
    assert (result.exit_code, result.stdout_bytes) == (0, message)
    assert result.report["clean"] is True
    assert result.report["ambiguities"] == []
    assert result.report["parts"] == [
        {
            "part": "1",
            "name": "",
            "declared": "text/plain",
            "found": "",
            "outcome": "kept",
            "reason": "displayed_text",
            "id": "",
        }
    ]


def test_line_ends_go_out_as_they_came_in(run):
    crlf = run(with_attachments(b"document")).stdout_bytes
    bare = run(with_attachments(b"document").replace(b"\r\n", b"\n")).stdout_bytes
    assert b"\r" not in bare
    assert crlf.count(b"\n") == crlf.count(b"\r\n") > 10
    assert bare == crlf.replace(b"\r\n", b"\n")


def test_mixed_line_ends_are_read_strictly_and_written_anew(run):
    result = run(with_attachments(b"document").replace(b"\r\n", b"\n", 3))
    assert result.exit_code == 0
    assert result.report["clean"] is False
    assert result.report["ambiguities"]
    assert result.stdout_bytes.count(b"\n") == result.stdout_bytes.count(b"\r\n")


def test_the_report_has_one_entry_a_part_and_the_id_of_the_kept_original(run, tmp_path):
    message = with_attachments(b"good", b"bad")
    result = run(message, {b"bad": contract.ENCRYPTED})
    assert result.exit_code == 0
    parts = result.report["parts"]
    assert [part["outcome"] for part in parts] == ["kept", "flattened", "removed"]
    assert parts[2]["reason"] == "encrypted"
    [original] = (tmp_path / "state" / "originals").glob("*.eml")
    assert original.stem == parts[2]["id"]
    assert original.read_bytes() == message


def test_what_was_in_an_archive_has_an_entry_each_and_one_that_is_gone_keeps_the_message(run, tmp_path):
    message = with_attachments(zipped(("a.doc", b"good"), ("b.doc", b"bad")))
    result = run(message, {b"bad": contract.ENCRYPTED})
    parts = result.report["parts"]
    assert [(part["part"], part["outcome"]) for part in parts] == [
        ("1", "kept"), ("2", "repacked"), ("2/1", "flattened"), ("2/2", "removed"),
    ]  # fmt: skip
    [original] = (tmp_path / "state" / "originals").glob("*.eml")
    assert (original.stem, original.read_bytes()) == (parts[3]["id"], message)


def test_refused_by_policy_is_65_with_nothing_on_standard_output(run):
    result = run(with_attachments(b"x").replace(b"\r\n", b"\n", 3), config='[policy]\nambiguous = "refuse"\n')
    assert (result.exit_code, result.stdout_bytes) == (os.EX_DATAERR, b"")
    assert {part["outcome"] for part in result.report["parts"]} == {"refused"}


def test_a_held_message_is_told_in_the_report_and_kept(run, tmp_path):
    result = run(with_attachments(b"x").replace(b"\r\n", b"\n", 3), config='[policy]\nambiguous = "hold"\n')
    assert result.exit_code == 0
    assert result.report["ambiguities"] == ["bare_lf"]
    assert [part["outcome"] for part in result.report["parts"]] == ["held", "kept", "removed"]
    [original] = (tmp_path / "state" / "originals").glob("*.eml")
    assert original.stem == result.report["parts"][0]["id"]


def test_what_would_be_read_differently_is_75_with_an_alarm(run, monkeypatch, capsys):
    monkeypatch.setattr("gateway.sanitise.rebuild", lambda message, *_: message.raw)
    result = run(with_attachments(b"a document of more than thirty-two bytes"))
    assert (result.exit_code, result.stdout_bytes) == (os.EX_TEMPFAIL, b"")
    assert '"event": "readings_differ"' in result.stderr


def test_larger_than_any_mail_is_65(run):
    result = run(TEXT_ONLY, config="[smtp]\nmax_message_bytes = 100\n")
    assert (result.exit_code, result.stdout_bytes) == (os.EX_DATAERR, b"")


@pytest.mark.parametrize("answer", [UNAVAILABLE, BUG])
def test_a_broken_house_is_75_with_nothing_on_standard_output(run, answer):
    result = run(with_attachments(b"document"), {b"doc": answer})
    assert (result.exit_code, result.stdout_bytes) == (os.EX_TEMPFAIL, b"")
    assert result.report is None


def test_no_sandbox_at_all_is_75_but_mail_that_needs_none_passes(run):
    def none(_settings):
        raise SandboxUnavailableError("install runc")

    assert run(with_attachments(b"document"), opener=none).exit_code == os.EX_TEMPFAIL
    assert run(TEXT_ONLY, opener=none).exit_code == 0


def test_an_original_that_cannot_be_kept_is_75(run, tmp_path):
    (tmp_path / "state").write_text("in the way")
    result = run(with_attachments(b"bad"), {b"bad": contract.CORRUPT})
    assert (result.exit_code, result.stdout_bytes) == (os.EX_TEMPFAIL, b"")


def test_usage_and_configuration_errors_are_2(tmp_path):
    assert CliRunner().invoke(filter_file.command, ["--nonsense"]).exit_code == 2
    result = CliRunner().invoke(filter_file.command, ["--config", str(tmp_path / "none.toml")], input=b"")
    assert result.exit_code == 2
    assert "none.toml" in result.stderr


def test_as_a_process_only_the_message_is_on_standard_output(tmp_path):
    result = lazaretto("filter", home=tmp_path, stdin=TEXT_ONLY)
    assert (result.returncode, result.stdout) == (0, TEXT_ONLY)


@pytest.mark.parametrize("path", corpus_files("mime"), ids=lambda path: path.name)
def test_every_message_of_the_corpus_passes_without_an_exception(run, path):
    result = run(path.read_bytes())
    assert result.exit_code in (0, os.EX_DATAERR), result.output
    assert result.report["parts"]
    for document in result.sandbox.documents:
        if len(document) > 60:
            assert document not in result.stdout_bytes
