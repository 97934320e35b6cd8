"""Originals on disk: there before anybody may go on, readable by nobody else, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from gateway.originals.store import Originals, StorageError, new_id
from gateway.smtp.envelope import Envelope, Recipient

ENVELOPE = Envelope("a@example.org", (Recipient("b@example.net", ("NOTIFY=NEVER",)),), client="192.0.2.1")


@pytest.fixture
def originals(tmp_path):
    return Originals(tmp_path / "deep" / "originals")


def test_an_original_is_kept_byte_for_byte_with_its_envelope(originals):
    name = new_id()
    originals.keep(name, b"\xff\0raw\r\n", ("encrypted",), ENVELOPE)
    assert originals.path(name).read_bytes() == b"\xff\0raw\r\n"
    about = json.loads(originals.path(name, "json").read_text())
    assert about["reasons"] == ["encrypted"]
    assert about["envelope"]["recipients"] == [{"address": "b@example.net", "parameters": ["NOTIFY=NEVER"]}]


def test_only_its_owner_can_read_it_whatever_the_umask(originals):
    name = new_id()
    before = os.umask(0)
    try:
        originals.keep(name, b"x", (), None)
    finally:
        os.umask(before)
    assert stat.S_IMODE(originals.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in originals.directory.iterdir()} == {0o600}


def test_files_and_directory_are_synced_and_the_directory_last(originals, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(Path(f"/proc/self/fd/{fd}").resolve()), real(fd)))
    name = new_id()
    originals.keep(name, b"x", (), None)
    assert [path.name for path in synced] == [f".{name}.json.tmp", f".{name}.eml.tmp", "originals"]


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_full_disk_is_a_storage_error_and_leaves_nothing_behind(originals, monkeypatch, fails_at):
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        originals.keep(new_id(), b"x" * 1000, (), None)
    assert list(originals.directory.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Originals(tmp_path / "file" / "originals").keep(new_id(), b"x", (), None)


def test_removing_is_quiet(originals):
    name = new_id()
    originals.keep(name, b"x", (), None)
    originals.remove(name)
    originals.remove(name)
    assert list(originals.directory.iterdir()) == []


def test_ids_are_long_printable_and_never_the_same():
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(name) == 24 and name.isalnum() and name.islower() for name in ids)


@pytest.mark.parametrize("bad", ["", "../../etc/passwd", "a" * 23, "A" * 24, "a" * 24 + "\n"])
def test_what_is_no_id_leads_nowhere(originals, bad):
    with pytest.raises(ValueError):
        originals.path(bad)
