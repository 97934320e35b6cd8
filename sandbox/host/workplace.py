"""Where the service's flattened files lie until they are sent: below the system's temporary directory.

Not beside the sandboxes' state, which is in memory. Trusts nobody else who may write there: the directory that all of
a user's services share is the user's own, or it is not used. What a service that was killed has left is removed by the
next. Fails with OSError.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path


def workplace() -> Path:
    """A new directory of this process; those of processes that are gone are removed."""
    clear()
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=_shared()))


def clear(former_self: str = "") -> None:
    """Remove what processes that are gone left, and `former_self`, the number of one that still seems there."""
    for left in _shared().iterdir():
        pid = left.name.partition("-")[0]
        if pid == former_self or not (pid.isdigit() and Path("/proc", pid).exists()):
            shutil.rmtree(left, ignore_errors=True)


def _shared() -> Path:
    directory = Path(tempfile.gettempdir(), f"lazaretto-sandbox-{os.geteuid()}")
    directory.mkdir(mode=0o700, exist_ok=True)
    seen = directory.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
        raise PermissionError(f"{directory} is not ours alone; remove it")
    return directory
