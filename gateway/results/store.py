"""Results on disk, a file each: a line that says what it is, then the flattened bytes, if there are any.

    KEY       appears by one rename with all of its bytes; time of change: when it was made; of access: its last use
    .new-*    being written, and locked by who writes it; swept where nobody holds the lock

It holds flattened material only, never what a sender wrote. Trusts nothing that it reads: a file whose digest, name or
form is not what was recorded is removed and counts as not there, and so is one that is too old. The bytes that were
checked are the bytes that are handed out, as a copy: whoever unlinks or changes theirs changes nothing here. Fails
with OSError; the caller goes on without. Bounds: `[cache]` bytes, of which a sixteenth is kept free to write into
before it has to be looked again at what is there, and seconds. Several processes may share the directory: each counts
what it writes itself, so that all together may pass the bound by a sixteenth for each process but one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from gateway.results.key import VERSION
from sandbox.client import Flattened, NotFlattened

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_HEAD: Final = 4096  # bytes of the first line
MADE: Final = ".new-"
_CHUNK: Final = 1 << 20
_BLOCK: Final = 4096  # the least that a file takes on disk
_KEY: Final = re.compile(r"[0-9a-f]{64}")


class DamagedError(Exception):
    """A kept file is not what was written."""


class Results:
    """The directory of results. Every method blocks: call it from a thread."""

    def __init__(self, directory: Path, most_bytes: int, seconds: float) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._room = 0  # bytes that may be written before it is looked again at what is there
        self._tidy_at = 0.0
        self._counting = threading.Lock()

    def get(self, key: str, output: Path) -> Flattened | NotFlattened | None:
        """What was kept, its file copied to `output`; None, and no file, where there is nothing good."""
        path = self._directory / key
        try:
            with _opened(path) as file:
                answer = _read(file, key, output, self._seconds)
                _used(file)
        except FileNotFoundError:
            return None
        except DamagedError:
            path.unlink(missing_ok=True)
            output.unlink(missing_ok=True)
            return None
        except OSError:
            output.unlink(missing_ok=True)
            raise
        return answer

    def put(self, key: str, answer: Flattened | NotFlattened) -> None:
        """Keep an answer; its file is copied. Nothing is kept that would take up most of the room by itself."""
        content = answer.size if isinstance(answer, Flattened) else 0
        size = _on_disk(content + MAX_HEAD)
        if size > self._most_bytes - self._slack:
            return
        with self._counting:
            if size > self._room or time.monotonic() >= self._tidy_at:
                self.tidy(size)
            self._room -= size
        self._write(key, answer)

    def tidy(self, coming: int = 0) -> None:
        """Sweep what was left half-written or is too old; make room for `coming` bytes, least recently used first."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        kept = sorted(self._swept())
        total = sum(size for _, size, _ in kept)
        if total + coming > self._most_bytes:  # down to where a sixteenth is free
            for _, size, path in kept:
                if total + coming <= self._most_bytes - self._slack:
                    break
                path.unlink(missing_ok=True)
                total -= size
        self._room = self._most_bytes - total
        self._tidy_at = time.monotonic() + self._seconds / 16

    @property
    def _slack(self) -> int:
        return self._most_bytes // 16

    def _swept(self) -> Iterator[tuple[int, int, Path]]:
        """What is left: time of last use, bytes, path."""
        now = time.time()
        for path in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process has removed it
                if path.name.startswith(MADE):
                    _remove_if_left(path)
                elif _KEY.fullmatch(path.name):
                    found = path.lstat()
                    if abs(now - found.st_mtime) > self._seconds:
                        path.unlink()
                    else:
                        yield found.st_atime_ns, _on_disk(found.st_size), path

    def _write(self, key: str, answer: Flattened | NotFlattened) -> None:
        """Temporary name, lock, content, rename. No fsync: what a power cut leaves half-done is found by its digest."""
        descriptor, name = tempfile.mkstemp(prefix=MADE, dir=self._directory)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(b" " * MAX_HEAD)
                digest = _begun(key)
                if isinstance(answer, Flattened):
                    with answer.path.open("rb") as content:
                        _copy(content, file, digest)
                head = _head(answer, file.tell() - MAX_HEAD, digest)
                file.seek(0)
                file.write(head)
                file.flush()
                temporary.rename(self._directory / key)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _used(file: BinaryIO) -> None:
    """Note the time of use; on a file system that is read-only there is nothing to choose from either."""
    with contextlib.suppress(OSError):
        os.utime(file.fileno(), ns=(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns))


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb")


def _remove_if_left(path: Path) -> None:
    """A file that somebody is writing is locked."""
    with _opened(path) as file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _begun(key: str) -> hashlib._Hash:
    return hashlib.sha256(f"{VERSION}\n{key}\n".encode("ascii"))


def _copy(source: BinaryIO, target: BinaryIO, digest: hashlib._Hash) -> None:
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)


def _head(answer: Flattened | NotFlattened, size: int, digest: hashlib._Hash) -> bytes:
    """One line, filled up to its fixed length, with the digest over the content and all that it says itself."""
    if isinstance(answer, Flattened):
        about: dict[str, Any] = {"media_type": answer.media_type, "found": answer.found, "pages": answer.pages}
    else:
        about = {"reason": answer.reason, "found": answer.found}
    about |= {"size": size}
    digest.update(_canonical(about))
    head = json.dumps({**about, "digest": digest.hexdigest()}).encode("ascii")
    if len(head) >= MAX_HEAD:
        raise OSError("the head of a result is too long")
    return head.ljust(MAX_HEAD - 1) + b"\n"


def _canonical(about: dict[str, Any]) -> bytes:
    return json.dumps(about, sort_keys=True).encode("ascii")


def _read(file: BinaryIO, key: str, output: Path, seconds_kept: float) -> Flattened | NotFlattened:
    """The answer, whose bytes are in `output` by now; raises DamagedError."""
    started = time.monotonic()
    if abs(time.time() - os.fstat(file.fileno()).st_mtime) > seconds_kept:
        raise DamagedError("too old")
    about = _about(file.read(MAX_HEAD))
    recorded = about.pop("digest", "")
    digest = _begun(key)
    if "reason" in about:
        size = _drained(file)
    else:
        with output.open("wb") as copy:
            _copy(file, copy, digest)
            size = copy.tell()
    digest.update(_canonical(about))
    if digest.hexdigest() != recorded or about["size"] != size:
        raise DamagedError("digest")
    seconds = time.monotonic() - started
    if "reason" in about:
        return NotFlattened(about["reason"], about["found"], seconds)
    return Flattened(output, about["media_type"], about["found"], about["pages"], size, seconds)


def _drained(file: BinaryIO) -> int:
    return len(file.read(1))  # a reason has no content


def _about(head: bytes) -> dict[str, Any]:
    try:
        about = json.loads(head)
    except ValueError:
        raise DamagedError("head") from None
    if len(head) != MAX_HEAD or not isinstance(about, dict):
        raise DamagedError("head")
    return about
