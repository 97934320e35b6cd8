"""Results on disk: what was put is what is got, or nothing; bounded; whatever happens to the files."""

from __future__ import annotations

import multiprocessing
import os
import random
import stat
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.results import store
from gateway.results.store import MADE, MAX_HEAD, Results
from sandbox import contract
from sandbox.client import Flattened, NotFlattened

KEYS = [f"{number:064x}" for number in range(8)]
HOUR = 3600.0


def safe(directory: Path, content: bytes, **facts) -> Flattened:
    path = directory / f"made-{random.getrandbits(64):x}"
    path.write_bytes(content)
    given = {"media_type": "application/pdf", "found": "text/plain", "pages": 2, "size": len(content), "seconds": 1.0}
    return Flattened(path, **{**given, **facts})


def disk(directory: Path) -> int:
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in directory.iterdir())


def facts(answer):
    if isinstance(answer, NotFlattened):
        return answer.reason, answer.found
    return answer.media_type, answer.found, answer.pages, answer.size


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results", 1 << 20, HOUR)


def test_a_file_comes_back_with_all_that_was_known_of_it(tmp_path, results):
    made = safe(tmp_path, b"%PDF" * 5000)
    results.put(KEYS[0], made)
    made.path.unlink()
    got = results.get(KEYS[0], tmp_path / "output")
    assert facts(got) == facts(made)
    assert got.path == tmp_path / "output"
    assert got.path.read_bytes() == b"%PDF" * 5000
    assert results.get(KEYS[1], tmp_path / "other") is None
    assert not (tmp_path / "other").exists()


def test_a_reason_comes_back(tmp_path, results):
    results.put(KEYS[0], NotFlattened(contract.ENCRYPTED, "application/pdf", 3.0))
    assert facts(results.get(KEYS[0], tmp_path / "output")) == (contract.ENCRYPTED, "application/pdf")
    assert not (tmp_path / "output").exists()


def test_what_is_handed_out_may_be_changed_and_unlinked(tmp_path, results):
    results.put(KEYS[0], safe(tmp_path, b"good"))
    first = results.get(KEYS[0], tmp_path / "one").path
    first.write_bytes(b"evil")
    first.unlink()
    assert results.get(KEYS[0], tmp_path / "two").path.read_bytes() == b"good"


def test_nobody_else_may_look(tmp_path, results):
    (tmp_path / "results").mkdir(mode=0o777)
    results.put(KEYS[0], safe(tmp_path, b"x"))
    assert stat.S_IMODE((tmp_path / "results").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "results" / KEYS[0]).stat().st_mode) == 0o600


@pytest.mark.parametrize("where", [0, 3, 60, MAX_HEAD - 1, MAX_HEAD, -1])
@pytest.mark.parametrize("reason", [True, False])
def test_a_byte_that_has_changed_makes_it_a_miss_and_removes_it(tmp_path, results, where, reason):
    results.put(KEYS[0], NotFlattened(contract.CORRUPT, "a/b", 0.0) if reason else safe(tmp_path, b"content"))
    path = tmp_path / "results" / KEYS[0]
    damaged = bytearray(path.read_bytes())
    if where == MAX_HEAD and reason:
        damaged += b"!"
    else:
        damaged[where] ^= 1
    path.write_bytes(damaged)
    assert results.get(KEYS[0], tmp_path / "output") is None
    assert not (tmp_path / "output").exists()
    assert not path.exists()


@pytest.mark.parametrize("size", [0, 1, MAX_HEAD - 1, MAX_HEAD, MAX_HEAD + 3])
def test_a_file_that_was_cut_off_is_a_miss(tmp_path, results, size):
    results.put(KEYS[0], safe(tmp_path, b"content"))
    os.truncate(tmp_path / "results" / KEYS[0], size)
    assert results.get(KEYS[0], tmp_path / "output") is None
    assert not (tmp_path / "results" / KEYS[0]).exists()


def test_a_good_file_under_another_name_is_a_miss(tmp_path, results):
    results.put(KEYS[0], safe(tmp_path, b"another document's"))
    (tmp_path / "results" / KEYS[0]).rename(tmp_path / "results" / KEYS[1])
    assert results.get(KEYS[1], tmp_path / "output") is None


def test_what_is_too_old_is_a_miss_and_swept(tmp_path, results):
    for key in KEYS[:2]:
        results.put(key, safe(tmp_path, b"x"))
        old = time.time() - HOUR - 5
        os.utime(tmp_path / "results" / key, (time.time(), old))
    assert results.get(KEYS[0], tmp_path / "output") is None
    results.tidy()
    assert list((tmp_path / "results").iterdir()) == []


def test_use_does_not_make_it_younger(tmp_path, results):
    results.put(KEYS[0], safe(tmp_path, b"x"))
    path = tmp_path / "results" / KEYS[0]
    os.utime(path, (time.time(), time.time() - HOUR + 60))
    before = path.stat().st_mtime_ns
    assert results.get(KEYS[0], tmp_path / "output")
    assert path.stat().st_mtime_ns == before


def test_the_least_recently_used_goes_first(tmp_path):
    results = Results(tmp_path / "results", 32 * 4096, HOUR)
    for key in KEYS[:3]:
        results.put(key, safe(tmp_path, b"x" * 4096 * 8))
        time.sleep(0.01)
    assert results.get(KEYS[0], tmp_path / "used")
    results.put(KEYS[3], safe(tmp_path, b"y" * 4096 * 8))
    there = {path.name for path in (tmp_path / "results").iterdir()}
    assert there == {KEYS[0], KEYS[2], KEYS[3]}


def test_what_is_larger_than_the_room_is_not_kept_and_costs_the_others_nothing(tmp_path):
    results = Results(tmp_path / "results", 16 * 4096, HOUR)
    results.put(KEYS[0], safe(tmp_path, b"small"))
    results.put(KEYS[1], safe(tmp_path, b"x" * 4096 * 20))
    assert results.get(KEYS[0], tmp_path / "small")
    assert results.get(KEYS[1], tmp_path / "large") is None


def test_a_directory_that_cannot_be_written_is_an_error_for_the_caller(tmp_path):
    (tmp_path / "results").write_text("in the way")
    results = Results(tmp_path / "results", 1 << 20, HOUR)
    with pytest.raises(OSError):
        results.put(KEYS[0], safe(tmp_path, b"x"))
    with pytest.raises(OSError):
        results.get(KEYS[0], tmp_path / "output")


def test_what_another_process_is_writing_is_not_swept(tmp_path, results, monkeypatch):
    copy = store._copy

    def swept_meanwhile(*arguments):
        Results(tmp_path / "results", 1 << 20, HOUR).tidy()
        copy(*arguments)

    monkeypatch.setattr(store, "_copy", swept_meanwhile)
    results.put(KEYS[0], safe(tmp_path, b"x"))
    monkeypatch.undo()
    assert results.get(KEYS[0], tmp_path / "output")


def _writes_until_killed(directory: Path, seed: int) -> None:
    results = Results(directory / "results", 64 * 4096, HOUR)
    chosen = random.Random(seed)
    while True:
        number = chosen.randrange(len(KEYS))
        results.put(KEYS[number], safe(directory, bytes([number]) * chosen.randrange(1, 40_000)))
        results.get(chosen.choice(KEYS), directory / f"output-{os.getpid()}")


def test_several_processes_share_it_and_may_be_killed_at_any_moment(tmp_path):
    context = multiprocessing.get_context("spawn")
    for turn in range(3):
        writers = [context.Process(target=_writes_until_killed, args=(tmp_path, turn * 2 + n)) for n in range(2)]
        for writer in writers:
            writer.start()
        for _ in range(500):
            if len(list(tmp_path.glob("results/*"))) > 2:
                break
            time.sleep(0.02)
        time.sleep(0.1 + turn * 0.07)
        for writer in writers:
            writer.kill()
        for writer in writers:
            writer.join(10)
        results = Results(tmp_path / "results", 64 * 4096, HOUR)
        results.tidy()
        assert not list((tmp_path / "results").glob(f"{MADE}*"))
        assert disk(tmp_path / "results") <= 64 * 4096 * 17 // 16  # each counts its own
        got = [results.get(key, tmp_path / f"got-{key}") for key in KEYS]
        for number, answer in enumerate(got):
            if answer:
                assert set(answer.path.read_bytes()) == {number}
        assert any(got)


class Machine(RuleBasedStateMachine):
    """Random sequences of use, damage, crashes and time, against a dictionary."""

    BYTES = 24 * 4096

    @initialize()
    def begin(self):
        import tempfile

        self.place = tempfile.TemporaryDirectory()
        self.home = Path(self.place.name)
        self.results = Results(self.home / "results", self.BYTES, HOUR)
        self.put: dict[str, tuple] = {}

    def teardown(self):
        if hasattr(self, "place"):
            self.place.cleanup()

    @rule(key=st.sampled_from(KEYS), content=st.binary(max_size=30), times=st.sampled_from([1, 100, 2000]))
    def keep(self, key, content, times):
        made = safe(self.home, content * times, pages=times)
        self.results.put(key, made)
        made.path.unlink()
        self.put[key] = (facts(made), content * times)

    @rule(key=st.sampled_from(KEYS), reason=st.sampled_from(sorted(contract.REASONS)))
    def keep_reason(self, key, reason):
        self.results.put(key, NotFlattened(reason, "a/b", 1.0))
        self.put[key] = ((reason, "a/b"), None)

    @rule(key=st.sampled_from(KEYS))
    def get(self, key):
        output = self.home / "output"
        answer = self.results.get(key, output)
        if answer is None:
            assert not output.exists()
            return
        assert (facts(answer), output.read_bytes() if output.exists() else None) == self.put[key]
        output.unlink(missing_ok=True)

    @rule(key=st.sampled_from(KEYS), where=st.integers(0, 5000), bit=st.integers(0, 7))
    def damage(self, key, where, bit):
        path = self.home / "results" / key
        if path.exists():
            content = bytearray(path.read_bytes())
            content[where % len(content)] ^= 1 << bit
            path.write_bytes(content)

    @rule(key=st.sampled_from(KEYS))
    def grow_old(self, key):
        path = self.home / "results" / key
        if path.exists():
            os.utime(path, (time.time(), time.time() - HOUR - 10))
            self.put[key] = ("too old",)

    @rule(size=st.integers(0, 9000))
    def crash(self, size):
        if (self.home / "results").exists():
            (self.home / "results" / f"{MADE}left").write_bytes(b"x" * size)
        self.results = Results(self.home / "results", self.BYTES, HOUR)
        self.results.tidy()
        assert not list((self.home / "results").glob(f"{MADE}*"))

    @invariant()
    def it_is_bounded(self):
        if hasattr(self, "home") and (self.home / "results").exists():
            assert disk(self.home / "results") <= self.BYTES


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
