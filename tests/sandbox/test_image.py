"""The image's name, place and sources: pure or nearly so. The image itself is tested by what runs in it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import image as image_cli
from sandbox import client
from sandbox.airlock import inner
from sandbox.image import build, cache, layout, mirror, recipe


def test_the_key_changes_with_the_packages_and_with_nothing_else(monkeypatch):
    before = cache.image_key()
    assert cache.image_key() == before
    monkeypatch.setitem(recipe.PACKAGES, "hello", "a test")
    assert cache.image_key() != before


def test_the_key_changes_with_what_runsc_is_told(monkeypatch):
    before = cache.image_key()
    monkeypatch.setattr(inner, "USER", 1001)
    assert cache.image_key() != before
    assert cache.base_key() == cache.base_key()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({"LAZARETTO_CACHE": "/a"}, "/a"), ({"CACHE_DIRECTORY": "/b"}, "/b")],
)
def test_the_cache_is_where_the_environment_says(monkeypatch, environment, expected: str):
    monkeypatch.delenv("LAZARETTO_CACHE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_directory() == Path(expected)
    assert cache.cache_directory(Path("/configured")) == Path("/configured")


def test_a_half_built_image_is_none(tmp_path: Path):
    (tmp_path / f"image-{cache.image_key()}").mkdir()
    assert cache.current_image(tmp_path) is None


def answer(monkeypatch, text: str):
    done = subprocess.CompletedProcess([], 0, stdout=text)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)


def test_the_hosts_own_mirror_is_used_with_its_security_updates(monkeypatch):
    answer(monkeypatch, "Other x http://other/\nDebian d http://mirror/debian/\nDebian-Security s http://mirror/sec/\n")
    lines = mirror.sources("suite")
    assert [line.split("] ")[1] for line in lines] == [
        "http://mirror/debian suite main",
        "http://mirror/debian suite-updates main",
        "http://mirror/sec suite-security main",
    ]


def test_a_named_mirror_wins(monkeypatch):
    answer(monkeypatch, "Debian d http://mirror/debian/\n")
    assert all("http://mine" in line for line in mirror.sources("suite", "http://mine"))


def test_a_host_without_a_debian_mirror_is_told_what_to_pass(monkeypatch, tmp_path: Path):
    answer(monkeypatch, "Other x http://other/\n")
    with pytest.raises(mirror.MirrorUnknownError, match="--mirror"):
        mirror.sources("suite")
    result = CliRunner().invoke(image_cli.command, ["build", "--cache-dir", str(tmp_path)])
    assert result.exit_code == 75
    assert "--mirror" in result.stderr


def test_a_bootstrap_that_fails_leaves_no_image_and_its_last_words(monkeypatch, tmp_path: Path):
    script = ["sh", "-c", "echo 'E: no such suite' >&2; exit 25"]
    monkeypatch.setattr(build, "_mmdebstrap", lambda sources: script)
    monkeypatch.setattr(mirror, "sources", lambda *_: [])
    with pytest.raises(build.ImageBuildError, match="no such suite"):
        build.build_image(lambda phase, share: None, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_an_image_that_is_not_built_is_exit_status_75(tmp_path: Path):
    result = CliRunner().invoke(image_cli.command, ["info", "--cache-dir", str(tmp_path)])
    assert result.exit_code == 75
    assert "lazaretto image build" in result.stderr


def test_the_outer_root_has_one_usr_and_an_etc_of_its_own(tmp_path: Path):
    (tmp_path / "inner" / "usr").mkdir(parents=True)
    layout.lay_out_outer(tmp_path)
    assert (tmp_path / "usr").readlink() == Path("inner/usr")
    assert (tmp_path / "etc").is_dir()
    assert not (tmp_path / "etc").is_symlink()
    assert (tmp_path / "lib64").readlink() == Path("inner/usr/lib64")
    assert json.loads((tmp_path / "bundle" / "config.json").read_text()) == inner.inner_spec()


@pytest.mark.sandbox
def test_the_built_image_holds_what_its_info_says():
    info = client.image_info()
    assert info is not None
    rootfs = Path(str(info["path"])) / "rootfs"
    assert (rootfs / "inner/usr/bin/runsc").exists()
    assert list((rootfs / "inner/usr/lib/lazaretto/fontconfig").glob("*.cache-*"))
    assert info["runsc"]
    assert set(recipe.PACKAGES) == set(info["packages"])
    assert {path.name for path in (rootfs / "inner/etc").iterdir()}.isdisjoint({"shadow", "hostname", "machine-id"})
    assert not [path for path in (rootfs / "inner/usr").rglob("*") if path.lstat().st_mode & 0o6000 and path.is_file()]
