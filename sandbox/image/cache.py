"""Where images are kept, and which one belongs to this version of the recipe.

A base holds Debian's packages; an image is a base (its files shared by hard links) with the guest and the inner
specification added, so that a change in the guest costs seconds, not a bootstrap. Both are named after a digest of
what they are made from, appear by one rename, and are never changed afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from sandbox.airlock import inner
from sandbox.image import recipe

SANDBOX = Path(__file__).resolve().parent.parent
PROFILE = SANDBOX / "image" / "registrymodifications.xcu"
THIN = SANDBOX / "image" / "thin.py"
DIGITS = 16  # of a SHA-256: names, not a defence
SYSTEM = Path("/var/cache/lazaretto")
INFO = "info.json"


@dataclass(frozen=True, slots=True)
class Image:
    """A built image: `rootfs` is the outer container's root."""

    path: Path
    key: str

    @property
    def rootfs(self) -> Path:
        """The outer root; the inner one is below it."""
        return self.path / "rootfs"

    def info(self) -> dict[str, object]:
        """What was recorded when it was built: suite, packages with versions, bytes, files."""
        loaded: dict[str, object] = json.loads((self.path / INFO).read_text())
        return loaded


def cache_directory(configured: Path | None = None) -> Path:
    """The configured directory, else systemd's, else /var/cache/lazaretto for root, else the user's own cache."""
    if configured:
        return configured
    if given := os.environ.get("LAZARETTO_CACHE") or os.environ.get("CACHE_DIRECTORY"):
        return Path(given)
    if os.geteuid() == 0:
        return SYSTEM
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lazaretto"


def guest_files() -> list[Path]:
    """The files of ours that go into the image, relative to the sandbox package."""
    return [
        Path("__init__.py"),
        Path("contract.py"),
        *sorted(p.relative_to(SANDBOX) for p in SANDBOX.glob("guest/*.py")),
    ]


def base_key() -> str:
    """The digest of all that decides the base."""
    parts = (
        recipe.SUITE,
        recipe.PACKAGES,
        recipe.LEFT_OUT,
        recipe.KEPT,
        recipe.KEPT_ETC,
        recipe.OPENED_BY_NAME,
        recipe.LAST_STEPS,
        THIN.read_text(),
        platform.machine(),
    )
    return _digest(json.dumps(parts, sort_keys=True).encode())


def image_key() -> str:
    """The digest of all that decides the image."""
    ours = [(SANDBOX / path).read_bytes() for path in guest_files()]
    spec = json.dumps(inner.inner_spec(), sort_keys=True).encode()
    accounts = (recipe.USERS + recipe.GROUPS).encode()
    layout = [(SANDBOX / "image" / name).read_bytes() for name in ("layout.py", "registry.py")]
    return _digest(base_key().encode(), spec, accounts, *layout, PROFILE.read_bytes(), *ours)


def current_image(configured: Path | None = None) -> Image | None:
    """The built image of this recipe, or None where it has not been built.

    Where no directory is configured, an ordinary user finds the one that root built too.
    """
    key = image_key()
    own = cache_directory(configured)
    for directory in (own,) if configured else (own, SYSTEM):
        if (directory / f"image-{key}" / INFO).exists():
            return Image(directory / f"image-{key}", key)
    return None


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:DIGITS]
