"""The test image: the built image by hard links, with `guest_loader.py` in the guest's place and nothing else changed.

What the sandbox is made of (mounts, capabilities, user, flags, policy, bounds) is that of service; `differences` says so,
and a test holds it to that. Canaries are planted where only a broken wall would show or open them: files in the
*outer* root, and in the inner one a Unix socket and a FIFO whose other ends the host holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.airlock import inner
from sandbox.image.cache import Image, cache_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = ".attempts-"
LOADER = Path(__file__).with_name("guest_loader.py")
PLANTED = Path("usr/lib/lazaretto/planted")  # below the inner root
SPEC = Path(inner.BUNDLE.strip("/")) / "config.json"


@contextmanager
def attempts_image(built: Image, secret: str) -> Iterator[Image]:
    """A test image beside `built` (hard links need the same file system), gone afterwards."""
    parent = built.path.parent
    if not os.access(parent, os.W_OK):  # root's, for an ordinary user, who may not link root's files either: a copy
        parent = cache_directory()
        parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
    try:
        path.chmod(0o755)  # a sandbox's user, who is nobody, must reach it
        copy = "-al" if parent == built.path.parent else "-a"
        subprocess.run(["cp", copy, built.rootfs, path / "rootfs"], check=True)
        shutil.copy(built.path / "info.json", path)
        image = Image(path, path.name.strip("."))
        put_loader(image)
        plant(image, secret)
        yield image
    finally:
        shutil.rmtree(path, ignore_errors=True)


def put_loader(image: Image) -> None:
    place = image.rootfs / SPEC
    spec = json.loads(place.read_text())
    spec["process"]["args"] = ["/usr/bin/python3", "-c", LOADER.read_text()]
    replace_file(place, json.dumps(spec, indent=1, sort_keys=True))


def plant(image: Image, secret: str) -> None:
    """Put the secret where the guest must not find it, and ends of sockets where it must not get through."""
    for place in ("secret", "etc/secret"):
        (image.rootfs / place).write_text(secret)
    for name in ("hosts", "hostname", "resolv.conf"):
        replace_file(image.rootfs / "etc" / name, f"# {secret}\n")
    planted = image.rootfs / "inner" / PLANTED
    planted.mkdir()
    os.mkfifo(planted / "fifo")
    (planted / "fifo").chmod(0o666)


def listen(image: Image) -> socket.socket:
    """A listening Unix socket in the inner root, open to everybody by its mode."""
    place = image.rootfs / "inner" / PLANTED
    listening = socket.socket(socket.AF_UNIX)
    directory = os.open(place, os.O_DIRECTORY)
    try:
        listening.bind(f"/proc/self/fd/{directory}/socket")  # a path of its own would be too long for sun_path
    finally:
        os.close(directory)
    (place / "socket").chmod(0o777)
    listening.listen()
    return listening


def replace_file(path: Path, text: str) -> None:
    """A new file, not new contents: the old one is shared with the built image by a hard link."""
    path.unlink()
    path.write_text(text)


def differences(built: Image, image: Image) -> list[str]:
    """Where the two specifications differ, as paths of keys."""
    return sorted(different(*(json.loads((one.rootfs / SPEC).read_text()) for one in (built, image))))


def different(one: Any, other: Any, place: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            yield from different(one.get(key), other.get(key), f"{place}/{key}")
    elif one != other:
        yield place


def sweep(parent: Path) -> None:
    """Remove test images of processes that are gone."""
    for left in parent.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                shutil.rmtree(left)
