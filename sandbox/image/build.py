"""Builds the image: mmdebstrap streams a Debian tree, an allow-list of it is unpacked, ours is added.

Trusts: the Debian archive's signatures (apt checks them). Fails: one line that says what is missing and what to do; a
half-built image never has the name of a whole one. Bounds: none on time, since a mirror may be slow; progress shows.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.image import cache, layout, mirror, recipe, thin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # what happens now, and how far it is, from 0 to 1
    Progress = Callable[[str, float], None]

GENERATIONS = 2  # a running daemon may still use the image before this one
PROGRAMS = ("mmdebstrap", "tar", "cp", "apt-get")
LAST_LINES = 12  # of mmdebstrap's own words, shown when it fails


class ImageBuildError(Exception):
    """The image could not be built; the text says why and what to do."""


def build_image(
    progress: Progress, directory: Path | None = None, mirror_url: str | None = None, *, force: bool = False
) -> cache.Image:
    """Build the image of this recipe, or return it where it is built already; raises ImageBuildError."""
    parent = cache.cache_directory(directory)
    parent.mkdir(parents=True, exist_ok=True)
    with _only_one(parent):
        built = cache.current_image(directory)
        if built and not force:
            return built
        base = _base(parent, progress, mirror_url, force=force)
        image = _image(parent, base, progress)
        _forget_old(parent)
        return image


@contextmanager
def _only_one(parent: Path) -> Iterator[None]:
    with (parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _base(parent: Path, progress: Progress, mirror_url: str | None, *, force: bool) -> Path:
    path = parent / f"base-{cache.base_key()}"
    if (path / cache.INFO).exists() and not force:
        return path
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        raise ImageBuildError(f"missing: {', '.join(missing)}; run `apt-get install mmdebstrap debian-archive-keyring`")
    with _appearing(path) as unfinished:
        _bootstrap(unfinished / "inner", progress, mirror_url)
        (unfinished / cache.INFO).write_text(json.dumps({"suite": recipe.SUITE, "built": int(time.time())}))
    return path


def _image(parent: Path, base: Path, progress: Progress) -> cache.Image:
    progress("laying out the two roots", 0.95)
    path = parent / f"image-{cache.image_key()}"
    begun = time.time()
    with _appearing(path) as unfinished:
        rootfs = unfinished / "rootfs"
        rootfs.mkdir()
        subprocess.run(["cp", "-al", base / "inner", rootfs / "inner"], check=True)
        layout.lay_out_inner(rootfs / "inner")
        layout.lay_out_outer(rootfs)
        thin.settle_times(rootfs, begun)
        (unfinished / cache.INFO).write_text(json.dumps(_describe(rootfs, base), indent=1))
    progress("built", 1.0)
    return cache.Image(path, cache.image_key())


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A directory to fill, which takes its name only when it is whole."""
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=path.parent))
    unfinished.chmod(0o755)  # the sandbox's own user must reach it
    before = os.umask(0o022)  # and read what is in it, whatever the administrator's umask
    try:
        yield unfinished
        shutil.rmtree(path, ignore_errors=True)
        unfinished.rename(path)
    finally:
        os.umask(before)
        shutil.rmtree(unfinished, ignore_errors=True)


def _bootstrap(inner: Path, progress: Progress, mirror_url: str | None) -> None:
    inner.mkdir()
    begun = time.time()
    bootstrap = subprocess.Popen(
        _mmdebstrap(_sources(mirror_url)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=False,
    )
    unpack = subprocess.Popen(_tar(inner), stdin=bootstrap.stdout, stderr=subprocess.DEVNULL)
    last: list[str] = []
    for raw in bootstrap.stderr or ():
        line = raw.decode("utf-8", "replace").rstrip()
        last = [*last[-LAST_LINES:], line]
        _report(line, progress)
    if bootstrap.wait() != 0:
        unpack.kill()
        unpack.wait()
        raise ImageBuildError("mmdebstrap failed:\n  " + "\n  ".join(last))
    unpack.wait()  # tar's own verdict is no guide: members that the lists leave out may make it complain
    if not (inner / "usr/bin/runsc").exists():
        raise ImageBuildError("the unpacked tree has no runsc: is the disk full?")
    thin.remove_unneeded_libraries(inner)
    thin.settle_times(inner, begun)


def _sources(mirror_url: str | None) -> list[str]:
    try:
        return mirror.sources(recipe.SUITE, mirror_url)
    except mirror.MirrorUnknownError as error:
        raise ImageBuildError(str(error)) from error


def _mmdebstrap(sources: list[str]) -> list[str]:
    options = [f"--aptopt={line}" for line in mirror.apt_options()]
    return [
        "mmdebstrap",
        "--verbose",
        "--format=tar",
        "--variant=apt",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        f"--include={','.join(recipe.PACKAGES)}",
        *(f"--customize-hook={_hook(script, needed=needed)}" for script, needed in recipe.LAST_STEPS),
        *options,
        recipe.SUITE,
        "-",
        *sources,
    ]


def _hook(script: str, *, needed: bool) -> str:
    """A step that mmdebstrap runs by a shell, with the tree as its first argument."""
    inside = f'chroot "$1" sh -c {shlex.quote(script)}'
    return inside if needed else f"{inside} || echo 'W: a step that the build can do without failed'"


def _tar(inner: Path) -> list[str]:
    left_out = [f"--exclude={pattern}" for patterns in recipe.LEFT_OUT.values() for pattern in patterns]
    kept = [*recipe.KEPT, *(f"./etc/{pattern}" for pattern in recipe.KEPT_ETC)]
    # owner: whoever builds; set-uid bits go, since nothing inside may gain a privilege
    options = ["--extract", "--file=-", f"--directory={inner}", "--no-same-owner", "--no-same-permissions"]
    # what is left out is left out at any depth; of what is kept, each directory is named
    left_out = ["--anchored", "--wildcards", *left_out, "--no-wildcards-match-slash"]
    return ["tar", *options, *left_out, "--ignore-zeros", *kept]


PHASES = (
    (re.compile(r"^I: running apt-get update"), "reading package lists", 0.02),
    (re.compile(r"^I: downloading packages"), "downloading the first packages", 0.05),
    (re.compile(r"^I: extracting archives"), "unpacking the first packages", 0.1),
    (re.compile(r"^I: installing remaining packages"), "downloading LibreOffice, gVisor and fonts", 0.15),
    (re.compile(r"^Unpacking libreoffice-core"), "unpacking", 0.4),
    (re.compile(r"^Setting up libreoffice-core"), "configuring", 0.7),
    (re.compile(r"^I: creating tarball"), "writing the tree", 0.8),
)


def _report(line: str, progress: Progress) -> None:
    for pattern, phase, share in PHASES:
        if pattern.search(line):
            progress(phase, share)


def _describe(rootfs: Path, base: Path) -> dict[str, Any]:
    files = [path for path in rootfs.rglob("*") if not path.is_symlink() and path.is_file()]
    runsc = subprocess.run([rootfs / "inner/usr/bin/runsc", "--version"], check=False, capture_output=True, text=True)
    return {
        "key": cache.image_key(),
        "suite": recipe.SUITE,
        "runsc": runsc.stdout.split("\n")[0].removeprefix("runsc version "),
        "packages": sorted(recipe.PACKAGES),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "built": json.loads((base / cache.INFO).read_text())["built"],
    }


def _forget_old(parent: Path) -> None:
    for kind in ("base-*", "image-*"):
        built = sorted(parent.glob(kind), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in built[GENERATIONS:]:
            shutil.rmtree(path, ignore_errors=True)
    for path in parent.glob(".unfinished-*"):
        shutil.rmtree(path, ignore_errors=True)
    os.utime(parent)
