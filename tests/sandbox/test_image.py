"""The image's name, place and sources: pure or nearly so. The image itself is tested by what runs in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import image as image_cli
from sandbox import client
from sandbox.airlock import inner
from sandbox.image import build, cache, layout, mirror, recipe, thin

# What the image is, and somewhat more: an update of LibreOffice or Java fits, another language's fonts want a thought
IMAGE_BYTES = 800_000_000
IMAGE_FILES = 4_300


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


def test_a_step_that_the_build_can_do_without_does_not_end_it(tmp_path: Path, monkeypatch):
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    (bin_directory / "chroot").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (bin_directory / "chroot").chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_directory), prepend=":")
    for needed, expected in ((True, 3), (False, 0)):
        hook = build._hook('printf "it\'s" >made; exit 3', needed=needed)
        done = subprocess.run(["sh", "-c", hook, "sh", "tree"], check=False, cwd=tmp_path, capture_output=True)
        assert done.returncode == expected
    assert (tmp_path / "made").read_text() == "it's"


def small_base(parent: Path) -> Path:
    """What an image is laid out on, as small as it can be."""
    inner_root = parent / "base" / "inner"
    for name, text in {
        "etc/fonts/fonts.conf": "<cachedir>/var/cache/fontconfig</cachedir>",
        "usr/bin/runsc": "#!/bin/sh\necho runsc version 1\n",
        "usr/lib/libreoffice/share/extensions/one/description.xml": "",
        "usr/share/fonts/a.ttf": "a font",
        "var/cache/fontconfig/a.cache-9": "a cache",
    }.items():
        path = inner_root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (inner_root / "usr/bin/runsc").chmod(0o755)
    (inner_root / "usr/lib64").mkdir()
    (parent / "base" / cache.INFO).write_text('{"suite": "test", "built": 1}')
    for path in (parent / "base").rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return parent / "base"


def contents(rootfs: Path) -> dict[str, object]:
    def one(path: Path) -> object:
        if path.is_symlink():
            return path.readlink()
        return (path.read_bytes() if path.is_file() else None, path.stat().st_mode, path.stat().st_mtime)

    return {str(path.relative_to(rootfs)): one(path) for path in sorted(rootfs.rglob("*"))}


def test_one_base_gives_the_same_image_each_time(tmp_path: Path):
    base = small_base(tmp_path)
    images = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        images.append(build._image(tmp_path / name, base, lambda phase, share: None))
    first, second = (contents(image.rootfs) for image in images)
    assert first == second
    assert images[0].info() == images[1].info()
    assert images[0].info()["runsc"] == "1"
    assert first["inner/usr/share/fonts"] == (None, 0o40755, 1_600_000_000.0), (
        "fontconfig's cache is valid by this time"
    )


@pytest.fixture(scope="module")
def inner_root() -> Path:
    info = client.image_info()
    assert info is not None, "run `lazaretto image build`"
    return Path(str(info["path"])) / "rootfs" / "inner"


@pytest.mark.sandbox
def test_the_image_does_not_creep():
    info = client.image_info()
    assert info is not None
    assert int(str(info["bytes"])) < IMAGE_BYTES
    assert int(str(info["files"])) < IMAGE_FILES


@pytest.mark.sandbox
def test_no_program_is_in_the_image_but_the_guests_own(inner_root: Path):
    files = [path for path in inner_root.rglob("*") if path.is_file() and not path.is_symlink()]
    programs = {path for path in files if os.access(path, os.X_OK) and ".so" not in path.name and path.suffix != ".py"}
    names = {re.sub(r"^python3\.\d+$", "python3", path.name) for path in programs}
    assert names == {"python3", "heif-dec", "runsc", "soffice.bin", "java"}, "no shell, nothing that a shell would run"
    assert not (inner_root / "usr/sbin").exists()
    assert not (inner_root / "usr/libexec").exists()


@pytest.mark.sandbox
def test_every_library_that_a_program_in_the_image_names_is_there(inner_root: Path):
    programs = [path for path in (inner_root / "usr").rglob("*") if thin._is_program(path)]
    present = {path.name for path in (inner_root / "usr/lib").rglob("*.so*") if path.exists()}
    missing = {f"{path.name}: {name}" for path in programs for name in thin.needed_by(path) if name not in present}
    assert not missing


@pytest.mark.sandbox
def test_nothing_that_is_left_out_is_there(inner_root: Path):
    patterns = [pattern.removeprefix("./") for patterns in recipe.LEFT_OUT.values() for pattern in patterns]
    assert not [path for pattern in patterns for path in inner_root.glob(pattern)]


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


def test_what_is_built_can_be_read_by_the_sandboxs_user_whatever_the_umask(tmp_path: Path):
    before = os.umask(0o077)
    try:
        with build._appearing(tmp_path / "image") as unfinished:
            (unfinished / "file").touch()
            (unfinished / "folder").mkdir()
        assert os.umask(0o077) == 0o077, "it is as it was"
    finally:
        os.umask(before)
    assert [(tmp_path / "image" / name).stat().st_mode & 0o777 for name in ("", "file", "folder")] == [
        0o755,
        0o644,
        0o755,
    ]
