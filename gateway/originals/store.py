"""Keeps original messages on disk under an id that only a notice's reader knows.

    ID.eml    the message exactly as received
    ID.json   when it came, why it was kept, its envelope

Both are written to temporary names, fsynced, renamed, and the directory fsynced, before the caller may go on to a
250. The directory has mode 0700, files 0600. Trusts the file system to keep what it fsynced. Fails with StorageError
(the gateway answers 451), and leaves no half of an original behind. Bound: the message is bounded by `[smtp]`; how
much all originals may take is the file system's, and a full one puts mail off.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import json
import os
import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.smtp.envelope import Envelope

_ID = re.compile(r"[a-z2-7]{24}\Z")


class StorageError(Exception):
    """The original could not be put on disk; the text is for the log."""


def new_id() -> str:
    """120 random bits in 24 letters and digits that survive being read out over a telephone."""
    return base64.b32encode(secrets.token_bytes(15)).decode("ascii").lower()


@dataclasses.dataclass(frozen=True, slots=True)
class Originals:
    """The directory of originals."""

    directory: Path

    def keep(self, original_id: str, message: bytes, reasons: tuple[str, ...], envelope: Envelope | None) -> None:
        """Put the message on disk, and only return once it is there to stay."""
        about = {
            "id": original_id,
            "kept": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "reasons": reasons,
            "envelope": dataclasses.asdict(envelope) if envelope else None,
        }
        try:
            self._make_directory()
            self._write(self.path(original_id, "json"), json.dumps(about, indent=1).encode("ascii") + b"\n")
            self._write(self.path(original_id, "eml"), message)
            _sync_directory(self.directory)
        except OSError as error:
            self.remove(original_id)
            raise StorageError(f"{error.filename or self.directory}: {error.strerror}") from None

    def remove(self, original_id: str) -> None:
        """Forget an original whose message was not delivered: the next try keeps its own. Never raises."""
        for kind in ("eml", "json"):
            with contextlib.suppress(OSError):
                self.path(original_id, kind).unlink(missing_ok=True)

    def path(self, original_id: str, kind: str = "eml") -> Path:
        """Where an original lies; raises ValueError for what is no id, so that no id leads out of the directory."""
        if not _ID.match(original_id):
            raise ValueError("not the id of an original")
        return self.directory / f"{original_id}.{kind}"

    def _make_directory(self) -> None:
        if not self.directory.is_dir():
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(self.directory, 0o700)  # noqa: PTH101 - whatever umask or administrator made it

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        """Temporary name, content, fsync, rename; the name appears with all of its bytes or not at all."""
        temporary = path.with_name(f".{path.name}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
