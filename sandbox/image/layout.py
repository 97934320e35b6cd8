"""Base -> image: the two roots, laid out so that they share one copy of /usr and nothing else.

rootfs/            the outer container's root
  usr -> inner/usr    one copy on disk: a symbolic link into the inner root
  etc/                the outer side's own; what an engine writes here is not seen inside
  bundle/config.json  what runsc is told (sandbox/airlock/inner.py)
  inner/           the inner container's root, read-only
    usr/  etc/        the real ones
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from sandbox.airlock import inner
from sandbox.image import cache, recipe, registry

if TYPE_CHECKING:
    from pathlib import Path

LINKS = ("bin", "lib", "lib64")
OUTER_EMPTY = ("proc", "dev", "sys", "run", "tmp", "snapshot")  # something is mounted on each
INNER_EMPTY = ("dev", "proc", "tmp", *(path.strip("/") for path in inner.MASKED))
OUTER_SCRATCH = ("run", "tmp")  # written by runsc, which need not be root there
OUTER_ETC = {"passwd": "root:x:0:0:root:/:/usr/sbin/nologin\n", "group": "root:x:0:\n"}
# engines bind their own over these, and want them there where the root is read-only
OUTER_ETC_EMPTY = ("hosts", "hostname", "resolv.conf", "mtab")


def lay_out_outer(rootfs: Path) -> None:
    """Everything of the outer root but the inner one."""
    for name in ("usr", *LINKS):
        (rootfs / name).symlink_to(f"inner/usr/{'' if name == 'usr' else name}".rstrip("/"))
    for name in OUTER_EMPTY:
        (rootfs / name).mkdir()
    for name in OUTER_SCRATCH:
        (rootfs / name).chmod(0o1777)  # runc gives a tmpfs the mode of the directory below it, whatever is asked
    (rootfs / "etc").mkdir()
    for name, text in OUTER_ETC.items():
        (rootfs / "etc" / name).write_text(text)
    for name in OUTER_ETC_EMPTY:
        (rootfs / "etc" / name).touch()
    bundle = rootfs / inner.BUNDLE.strip("/")
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps(inner.inner_spec(), indent=1, sort_keys=True))


def lay_out_inner(root: Path) -> None:
    """Ours in the inner root: accounts, mount points, the guest, LibreOffice's settings."""
    for name, text in (("passwd", recipe.USERS), ("group", recipe.GROUPS)):
        (root / "etc" / name).write_text(text)
    for name in INNER_EMPTY:
        (root / name).mkdir(exist_ok=True)
    for path in cache.guest_files():
        target = root / "usr/lib/lazaretto/sandbox" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cache.SANDBOX / path, target)
    shutil.copyfile(cache.PROFILE, root / "usr/lib/lazaretto" / cache.PROFILE.name)
    _keep_font_cache(root)
    registry.leave_windows_out(root)
    # out of LibreOffice's sight: with a Java extension among its own, each start with a new profile starts Java first,
    # some three seconds for every document. guest/soffice.py points to it where it is wanted
    extensions = root / "usr/lib/lazaretto/extensions"
    (root / "usr/lib/libreoffice/share/extensions").rename(extensions)


def _keep_font_cache(root: Path) -> None:
    """Move fontconfig's cache to where the guest can see it: without one every font is opened at each start.

    The bootstrap made it. It is valid while the directories of fonts keep their times, which tar and hard links do.
    """
    kept = root / "usr/lib/lazaretto/fontconfig"
    (root / "var/cache/fontconfig").rename(kept)
    (root / "var/cache").rmdir()
    settings = root / "etc/fonts/fonts.conf"
    text = settings.read_text().replace("/var/cache/fontconfig", f"/{kept.relative_to(root)}")
    settings.unlink()  # shared with the base by a hard link: a new file, not new contents
    settings.write_text(text)
