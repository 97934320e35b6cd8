"""The journal's file: lines answer only once nobody can hear any more, survive, are bounded."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from gateway.journal.file import DELIVERED, DOUBTFUL, UNHEARD, Claim, JournalFile

KEYS = [bytes([number]) * 32 for number in range(3)]
HOUR = 3600.0


def do(file, *steps, durable=True):
    return file.run(steps, durable=durable)


def claim(file, *keys):
    return do(file, lambda lines: lines.claim(keys))[0]


@pytest.fixture
def file(tmp_path):
    opened = JournalFile(tmp_path / "journal", 1000, HOUR)
    yield opened
    opened.close()


def reopened(file):
    file.close()
    return JournalFile(file._directory, file._entries, file._seconds)


def test_what_is_being_told_answers_nobody_and_what_was_not_heard_answers_once(file):
    do(file, lambda lines: lines.add([(1, KEYS[0])]))
    assert claim(file, KEYS[0]) == [Claim()]
    do(file, lambda lines: lines.mark([(1, DELIVERED, "2.0.0 Ok")]))
    assert claim(file, KEYS[0]) == [Claim()]
    do(file, lambda lines: lines.mark([(1, UNHEARD, "2.0.0 Ok")]))
    assert claim(file, KEYS[1], KEYS[0], KEYS[0]) == [Claim(), Claim(1, "2.0.0 Ok"), Claim()]
    do(file, lambda lines: lines.mark([(1, UNHEARD, "2.0.0 Ok")]))  # lost again
    assert claim(file, KEYS[0]) == [Claim(1, "2.0.0 Ok")]
    do(file, lambda lines: lines.remove([1]))
    assert claim(file, KEYS[0]) == [Claim()]


def test_a_doubt_is_told_once(file):
    do(file, lambda lines: lines.add([(1, KEYS[0])]), lambda lines: lines.mark([(1, DOUBTFUL, "")]))
    assert claim(file, KEYS[0]) == [Claim(doubtful=True)]
    assert claim(file, KEYS[0]) == [Claim()]


def test_what_a_dead_process_left_answers_or_is_in_doubt(file):
    do(
        file,
        lambda lines: lines.add([(1, KEYS[0]), (2, KEYS[1])]),
        lambda lines: lines.mark([(1, DELIVERED, "2.0.0 a")]),
    )
    after = reopened(file)
    assert claim(after, KEYS[0], KEYS[1]) == [Claim(1, "2.0.0 a"), Claim(doubtful=True)]
    after.close()


def test_what_a_living_process_is_telling_is_left_to_it(file, tmp_path):
    do(file, lambda lines: lines.add([(1, KEYS[0])]), lambda lines: lines.mark([(1, DELIVERED, "2.0.0 a")]))
    other = JournalFile(tmp_path / "journal", 1000, HOUR)
    assert claim(other, KEYS[0]) == [Claim()]
    do(file, lambda lines: lines.mark([(1, UNHEARD, "2.0.0 a")]))
    assert claim(other, KEYS[0]) == [Claim(1, "2.0.0 a")]
    other.close()


def test_a_step_that_fails_undoes_the_others(file):
    do(file, lambda lines: lines.add([(1, KEYS[0])]))
    with pytest.raises(ZeroDivisionError):
        do(file, lambda lines: lines.mark([(1, UNHEARD, "")]), lambda _: 1 // 0)
    assert claim(file, KEYS[0]) == [Claim()]


def test_what_is_too_old_answers_nobody_and_goes(file, monkeypatch):
    do(file, lambda lines: lines.add([(1, KEYS[0])]), lambda lines: lines.mark([(1, UNHEARD, "")]))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + HOUR + 1)
    assert claim(file, KEYS[0]) == [Claim()]
    file._tidy_at = 0.0
    do(file)
    assert file._db.execute("SELECT count(*) FROM lines").fetchone() == (0,)


def test_there_are_never_more_lines_than_the_bound_and_the_oldest_go(tmp_path):
    file = JournalFile(tmp_path / "journal", 50, HOUR)
    for number in range(1, 400):
        do(
            file,
            lambda lines, number=number: lines.add([(number, b"%d" % number)]),
            lambda lines, number=number: lines.mark([(number, UNHEARD, "")]),
            durable=False,
        )
        assert file._db.execute("SELECT count(*) FROM lines").fetchone()[0] <= 50
    assert claim(file, b"399") == [Claim(399, "")]
    assert claim(file, b"1") == [Claim()]
    file.close()


def test_nobody_else_may_look(file, tmp_path):
    do(file, lambda lines: lines.add([(1, KEYS[0])]))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "journal").iterdir()}
    assert set(modes.values()) == {0o600}
    assert "journal.sqlite3-wal" in modes
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", [b"this is no database, " * 300, None])
def test_a_file_that_cannot_be_read_or_is_of_another_version_fails_and_is_begun_anew(file, tmp_path, damage):
    do(file, lambda lines: lines.add([(1, KEYS[0])]))
    file._db.execute("PRAGMA user_version = 99")
    file.close()
    if damage:
        (tmp_path / "journal" / "journal.sqlite3").write_bytes(damage)
    with pytest.raises(sqlite3.DatabaseError):
        do(file)
    file.discard()
    assert claim(file, KEYS[0]) == [Claim()]


@pytest.mark.parametrize(("durable", "wanted"), [(True, 2), (False, 1)])
def test_what_must_be_on_disk_is_synced(file, durable, wanted):
    do(file, durable=durable)
    assert file._db.execute("PRAGMA synchronous").fetchone() == (wanted,)
    assert file._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def _writes_until_killed(directory: Path) -> None:
    file = JournalFile(directory, 100_000, HOUR)
    for number in range(1, 1_000_000):
        file.run([lambda lines, n=number: lines.add([(n, b"%d" % n)])], durable=True)
        file.run([lambda lines, n=number: lines.mark([(n, DELIVERED, str(n))])], durable=True)
        (directory / f"told-{number % 2}").write_text(str(number))


def test_what_was_written_before_a_kill_is_known_afterwards(tmp_path):
    context = multiprocessing.get_context("spawn")
    for turn in range(3):
        place = tmp_path / str(turn)
        place.mkdir()
        writer = context.Process(target=_writes_until_killed, args=(place,))
        writer.start()
        for _ in range(500):
            if (place / "told-1").exists():
                break
            time.sleep(0.02)
        time.sleep(0.02 + turn * 0.03)
        writer.kill()
        writer.join(10)
        told = max(int(path.read_text() or 0) for path in place.glob("told-*"))
        file = JournalFile(place, 100_000, HOUR)
        assert told > 0
        assert claim(file, *(b"%d" % n for n in range(1, told + 1))) == [Claim(n, str(n)) for n in range(1, told + 1)]
        file.close()


class Machine(RuleBasedStateMachine):
    """So many retries are answered as copies went unheard, whatever happens in between."""

    @initialize()
    def begin(self):
        self.place = tempfile.TemporaryDirectory()
        self.file = JournalFile(Path(self.place.name) / "journal", 10_000, HOUR)
        self.number = 0
        self.lines: dict[int, tuple[bytes, str]] = {}

    def teardown(self):
        if hasattr(self, "place"):
            self.file.close()
            self.place.cleanup()

    def of(self, *states):
        return [number for number, (_, state) in self.lines.items() if state in states]

    def move(self, number, state):
        self.lines[number] = (self.lines[number][0], state)
        do(self.file, lambda lines: lines.mark([(number, state, str(number))]), durable=False)

    @rule(key=st.sampled_from(KEYS))
    def sent(self, key):
        self.number += 1
        self.lines[self.number] = (key, "sending")
        do(self.file, lambda lines: lines.add([(self.number, key)]))

    @rule(data=st.data(), state=st.sampled_from([DELIVERED, UNHEARD, DOUBTFUL]))
    def ended(self, data, state):
        if ready := self.of("sending"):
            self.move(data.draw(st.sampled_from(ready)), state)

    @rule(data=st.data(), heard=st.booleans())
    def replied(self, data, heard):
        if ready := self.of(DELIVERED):
            number = data.draw(st.sampled_from(ready))
            if heard:
                do(self.file, lambda lines: lines.remove([number]), durable=False)
                del self.lines[number]
            else:
                self.move(number, UNHEARD)

    @rule(key=st.sampled_from(KEYS))
    def retried(self, key):
        [found] = claim(self.file, key)
        unheard = [number for number in self.of(UNHEARD) if self.lines[number][0] == key]
        doubtful = [number for number in self.of(DOUBTFUL) if self.lines[number][0] == key]
        if unheard:
            assert found == Claim(found.id, str(found.id))
            assert found.id in unheard
            self.lines[found.id] = (key, DELIVERED)
        else:
            assert found == Claim(doubtful=bool(doubtful))
            for number in doubtful:
                del self.lines[number]

    @rule()
    def crashed(self):
        self.file.run([], durable=False)
        os.close(self.file._lock)
        self.file._lock = -1
        self.file.close()
        for number in self.of(DELIVERED):
            self.lines[number] = (self.lines[number][0], UNHEARD)
        for number in self.of("sending"):
            self.lines[number] = (self.lines[number][0], DOUBTFUL)
        do(self.file, lambda lines: lines.mark([(n, UNHEARD, str(n)) for n in self.of(UNHEARD)]), durable=False)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
