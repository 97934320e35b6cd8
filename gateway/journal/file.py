"""The journal's file: a line for each recipient whose copy was handed on and whose client has not heard so. SQLite.

    sending     the message is about to go to the next hop, or on its way
    delivered   the next hop has it; a client is being told
    unheard     the next hop has it, and whoever was to be told has gone: answers a retry, once
    doubtful    sent, and nobody knows what became of it: a retry is sent again (RFC 5321 section 6.1)

A line goes when its client has heard. What a process left when it died becomes unheard or doubtful as soon as one
opens the journal that has it alone, which a lock tells: of what another living process is sending nothing is known
here. Trusts the file system to keep what it synced; a file that is damaged, or of another version, is begun anew: that
loses no mail. Fails with sqlite3.Error or OSError. Bounds: `[journal]` entries and seconds; the oldest lines go first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

VERSION: Final = 1
SENDING, DELIVERED, UNHEARD, DOUBTFUL = "sending", "delivered", "unheard", "doubtful"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS lines (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, state TEXT NOT NULL, at REAL NOT NULL, reply TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS by_key ON lines (key, state);
CREATE INDEX IF NOT EXISTS by_time ON lines (at);
"""
_TIDY_SECONDS: Final = 60.0
_BUSY_SECONDS: Final = 5.0  # for another process to end its transaction


class Claim(NamedTuple):
    """What is known of one recipient: id and reply of a line that answers; or whether there is a doubt."""

    id: int = 0
    reply: str = ""
    doubtful: bool = False


class Lines:
    """Within one transaction."""

    def __init__(self, db: sqlite3.Connection, seconds: float) -> None:
        self._db = db
        self._seconds = seconds
        self.added = 0

    def claim(self, keys: Sequence[bytes]) -> list[Claim]:
        """For each key a line that answers it, now delivered and nobody else's; doubtful ones go."""
        return [self._claim(key) for key in keys]

    def _claim(self, key: bytes) -> Claim:
        since = time.time() - self._seconds
        query = "SELECT id, reply FROM lines WHERE key = ? AND state = ? AND at >= ? ORDER BY at LIMIT 1"
        if found := self._db.execute(query, (key, UNHEARD, since)).fetchone():
            self.mark([(found[0], DELIVERED, found[1])])
            return Claim(*found)
        gone = self._db.execute("DELETE FROM lines WHERE key = ? AND state = ?", (key, DOUBTFUL)).rowcount
        return Claim(doubtful=gone > 0)

    def add(self, lines: Iterable[tuple[int, bytes]]) -> None:
        """New ones, ids chosen by the caller."""
        now = time.time()
        rows = [(number, key, SENDING, now, "") for number, key in lines]
        self._db.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?)", rows)
        self.added += len(rows)

    def mark(self, lines: Iterable[tuple[int, str, str]]) -> None:
        """Another state, and the reply, by id."""
        rows = [(state, reply, number) for number, state, reply in lines]
        self._db.executemany("UPDATE lines SET state = ?, reply = ? WHERE id = ?", rows)

    def update(self, marks: Iterable[tuple[int, str, str]], gone: Iterable[int]) -> None:
        """Both at once."""
        self.mark(marks)
        self.remove(gone)

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget lines."""
        self._db.executemany("DELETE FROM lines WHERE id = ?", [(number,) for number in numbers])


class JournalFile:
    """Every method blocks and belongs to one thread."""

    def __init__(self, directory: Path, entries: int, seconds: float) -> None:
        self._directory = directory
        self._entries = entries
        self._seconds = seconds
        self._db: sqlite3.Connection | None = None
        self._durable: bool | None = None  # what the connection is set to
        self._lock = -1
        self._tidy_at = 0.0
        self._tidy_after = 0  # lines that may be added before

    def run(self, steps: Sequence[Callable[[Lines], object]], *, durable: bool) -> list[object]:
        """All steps in one transaction; `durable`: on disk before this returns, else before the next one that is."""
        db = self._opened()
        if durable != self._durable:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        db.execute("BEGIN IMMEDIATE")
        try:
            lines = Lines(db, self._seconds)
            results = [step(lines) for step in steps]
            self._tidy_after -= lines.added
            self._tidy(db)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        return results

    def close(self) -> None:
        """Let go of file and lock."""
        if self._db:
            self._db.close()
            self._db = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def discard(self) -> None:
        """Begin anew next time: what could not be written up must not answer anybody. Never raises."""
        with contextlib.suppress(sqlite3.Error):
            self.close()
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                self._path(suffix).unlink(missing_ok=True)

    def _path(self, suffix: str = "") -> Path:
        return self._directory / f"journal.sqlite3{suffix}"

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            alone = self._locked()
            self._db, self._durable = _connected(self._path()), None
            if alone:
                self._take_over(self._db)
        return self._db

    def _locked(self) -> bool:
        """Hold the lock together with all others who use the journal; whether there was nobody else."""
        self._lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            return False
        return True

    def _take_over(self, db: sqlite3.Connection) -> None:
        """Nobody stands any more to be told what was delivered, nor to learn what became of what was being sent."""
        for before, after in ((DELIVERED, UNHEARD), (SENDING, DOUBTFUL)):
            db.execute("UPDATE lines SET state = ? WHERE state = ?", (after, before))
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _tidy(self, db: sqlite3.Connection) -> None:
        """Once a minute, and before the lines can be too many: a sixteenth is kept free for those to come."""
        if time.monotonic() < self._tidy_at and self._tidy_after > 0:
            return
        now = time.time()
        db.execute("DELETE FROM lines WHERE at < ? OR at > ?", (now - self._seconds, now + self._seconds))
        free = self._entries // 16
        over = db.execute("SELECT count(*) FROM lines").fetchone()[0] - (self._entries - free)
        if over > 0:
            db.execute("DELETE FROM lines WHERE id IN (SELECT id FROM lines ORDER BY at LIMIT ?)", (over,))
        self._tidy_after = free
        self._tidy_at = time.monotonic() + _TIDY_SECONDS


def _connected(path: Path) -> sqlite3.Connection:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)  # SQLite has no mode
    os.close(descriptor)
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        _check_version(db)
        db.executescript(_SCHEMA)
        db.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def _check_version(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA user_version").fetchone()[0] not in (0, VERSION):
        raise sqlite3.DatabaseError("of another version")
