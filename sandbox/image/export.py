"""The image as one tar stream, for engines that keep images of their own: `podman import`, `docker import`.

The same tree gives the same bytes: members in order, owned by root. Times stay: caches of fonts and of compiled Python
and Java are valid by them.
"""

from __future__ import annotations

import subprocess
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.image.cache import Image


def export_image(image: Image, stream: IO[bytes]) -> None:
    """Write the outer root as tar to `stream`; raises OSError where it could not be written whole."""
    options = [
        "--create",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--hard-dereference",
    ]
    done = subprocess.run(["tar", *options, f"--directory={image.rootfs}", "."], check=False, stdout=stream)
    if done.returncode != 0:
        raise OSError(f"tar ended with {done.returncode}; the archive is not whole")
