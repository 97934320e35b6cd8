"""What the host makes of a sandbox that lies, stalls, floods or dies: a typed reason, in bounded time and memory."""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from pathlib import Path

import pymupdf
import pytest

from sandbox import contract
from sandbox.client import (
    Flattened,
    Form,
    Limits,
    Member,
    NotFlattened,
    Room,
    SandboxSettings,
    SandboxUnavailableError,
    Unpacked,
    Want,
)
from sandbox.host.runtime.base import Plan
from sandbox.host.service import flatten_with
from sandbox.image.cache import Image
from tests.fakes.hostile import Hostile

LIMITS = replace(Limits(), pages=3, page_pixels=10_000, total_pixels=20_000, page_text_bytes=100, seconds=20.0)


def run(  # noqa: PLR0917 - a test names what it gives
    script: str,
    tmp_path: Path,
    want: Want = Want.PDF,
    limits: Limits = LIMITS,
    document: bytes = b"document",
    room: Room | None = None,
):
    runtime = Hostile(script)
    settings = SandboxSettings(limits=limits)
    plan = Plan(Image(tmp_path, "none"), "none", limits, tmp_path)
    try:
        return flatten_with(runtime, plan, document, tmp_path / "out.pdf", want, settings=settings, room=room)
    finally:
        assert all(process.poll() is not None for process in runtime.started), "a sandbox outlived its job"


def reason(script: str, tmp_path: Path, **options) -> str:
    result = run(script, tmp_path, **options)
    assert isinstance(result, NotFlattened)
    assert not (tmp_path / "out.pdf").exists()
    assert not list(tmp_path.glob("*.part"))
    return result.reason


HEAD = 'hello(); frame(c.FOUND, b"text/plain")\n'

LIES = {
    "another magic": 'frame(c.HELLO, b"XXX\\x01")',
    "a hello of nothing": "frame(c.HELLO)",
    "another version": 'frame(c.HELLO, c.MAGIC + b"\\xff")',
}
LIES_AFTER_HELLO = {
    "no media type": 'hello(); frame(c.FOUND, b"not a type")',
    "media type with a line end": 'hello(); frame(c.FOUND, b"text/plain\\n")',
    "media type too long": 'hello(); frame(c.FOUND, b"text/" + b"x" * 200)',
    "pixels before a page": HEAD + "frame(c.PIXELS, bytes(3))",
    "a type of frame that is none": HEAD + "frame(99)",
    "a page of no width": HEAD + "page(width=0)",
    "a page of too many pixels": HEAD + "frame(c.PAGE, struct.pack(c.PAGE_PAYLOAD, 200, 200, 9000, 9000))",
    "a page of 2^64 pixels": HEAD + "frame(c.PAGE, struct.pack(c.PAGE_PAYLOAD, 0xffffffff, 0xffffffff, 1, 1))",
    "too many pixels in all": HEAD + "[page(90, 90, (90000, 90000)) for _ in range(3)]; end(3)",
    "a page larger than paper": HEAD + "page(points=(4000000000, 1000))",
    "a page without size": HEAD + "page(points=(0, 1000))",
    "pixels crowded on a point": HEAD + "page(100, 1, (1, 1))",
    "more pixels than the page has": HEAD + "page(pixels=bytes(13)); end()",
    "fewer pixels than the page has": HEAD + "page(pixels=bytes(11)); end()",
    "frames of no pixels without end": HEAD + "page(pixels=b''); end()",
    "a chunk larger than a frame may be": HEAD + "frame(c.PAGE, struct.pack(c.PAGE_PAYLOAD, 2, 2, 1000, 1000)); "
    "out.write(struct.pack(c.FRAME, c.PIXELS, 0xffffffff))",
    "text that is not UTF-8": HEAD + 'page(); frame(c.TEXT, b"\\xff\\n"); end()',
    "text without an end of line": HEAD + 'page(); frame(c.TEXT, b"0 0 1 1 a"); end()',
    "text without a place": HEAD + 'page(); frame(c.TEXT, b"word\\n"); end()',
    "text longer than its bound": HEAD + 'page(); frame(c.TEXT, b"0 0 1 1 a\\n" * 50); end()',
    "text twice": HEAD + 'page(); frame(c.TEXT, b""); frame(c.TEXT, b""); end()',
    "more pages than the bound": HEAD + "[page() for _ in range(4)]; end(4)",
    "an end that counts wrong": HEAD + "page(); end(2)",
    "an end without a page": HEAD + "end(0)",
    "a byte after the end mark": HEAD + "page(); end(); out.write(b'x')",
    "a page after the end mark": HEAD + "page(); end(); page()",
    "a reason that is the host's": HEAD + 'frame(c.FAILED, b"deadline")',
    "a reason that is none": HEAD + 'frame(c.FAILED, b"because")',
    "a reason too long": HEAD + 'frame(c.FAILED, b"x" * 5000)',
    "a byte after a reason": HEAD + 'frame(c.FAILED, b"corrupt"); out.write(b"x")',
    "hello twice": "hello(); hello()",
    "prepared after hello": "hello(); frame(c.PREPARED)",
    "opened before it was found": "hello(); frame(c.OPENED)",
    "opened twice": HEAD + "frame(c.OPENED); frame(c.OPENED)",
    "opened with a payload": HEAD + "frame(c.OPENED, b'x'); page(); end()",
    "opened after a page": HEAD + "page(); frame(c.OPENED); end()",
    "a page without its fields": HEAD + "frame(c.PAGE, bytes(3))",
    "an end without its count": HEAD + "page(); frame(c.END)",
}
DEATHS = {
    "ends after hello": "hello()",
    "ends within a frame's header": HEAD + "out.write(b'\\x03')",
    "ends within pixels": HEAD + "page(pixels=bytes(6))",
    "ends without an end mark": HEAD + "page()",
    "is killed": HEAD + "out.flush(); os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("script", LIES_AFTER_HELLO.values(), ids=LIES_AFTER_HELLO)
def test_an_answer_that_breaks_the_contract_is_a_lie(script: str, tmp_path: Path):
    assert reason(script, tmp_path) == contract.SANDBOX_LIED


@pytest.mark.parametrize("script", DEATHS.values(), ids=DEATHS)
def test_an_answer_that_stops_short_is_a_death(script: str, tmp_path: Path):
    assert reason(script, tmp_path) == contract.SANDBOX_DIED


@pytest.mark.parametrize("script", [*LIES.values(), "pass", "sys.exit('no sandbox here')"])
def test_a_sandbox_that_never_says_hello_is_the_houses_own_failure(script: str, tmp_path: Path):
    with pytest.raises(SandboxUnavailableError, match="did not start"):
        run(script, tmp_path)


def test_the_last_words_of_a_runtime_that_fails_are_in_the_error(tmp_path: Path):
    with pytest.raises(SandboxUnavailableError, match="no sandbox here"):
        run("sys.exit('no sandbox here')", tmp_path)


@pytest.mark.parametrize("guest_reason", sorted(contract.GUEST_REASONS))
def test_the_guests_own_reason_is_handed_on(guest_reason: str, tmp_path: Path):
    assert reason(HEAD + f'frame(c.FAILED, b"{guest_reason}")', tmp_path) == guest_reason


@pytest.mark.parametrize(
    "script",
    [
        "hello(); time.sleep(60)",
        HEAD + "page(); out.flush(); time.sleep(60)",
        HEAD + "page(); end(); time.sleep(60)",  # whole, but it does not end
        "hello()\nwhile True: os.write(2, b'x' * 65536)",
        HEAD + "\nwhile True:\n  page(); out.flush(); time.sleep(.4)",
    ],
)
def test_a_sandbox_that_stalls_is_killed_at_its_bound(script: str, tmp_path: Path):
    limits = replace(LIMITS, seconds=4.0, page_seconds=3.0, pages=1000)
    started = time.monotonic()
    assert reason(script, tmp_path, limits=limits) == contract.DEADLINE
    assert time.monotonic() - started < 20  # a bound, not a measure: without it the test would last a minute


def test_a_sandbox_is_killed_though_its_runtime_cannot_remove_it(monkeypatch, tmp_path: Path):
    monkeypatch.setattr("sandbox.host.runtime.base.END_SECONDS", 0.2)
    limits = replace(LIMITS, seconds=3.0, page_seconds=3.0)
    runtime = Hostile("hello(); time.sleep(60)", removable=False)
    plan = Plan(Image(tmp_path, "none"), "none", limits, tmp_path)
    result = flatten_with(runtime, plan, b"x", tmp_path / "out.pdf", settings=SandboxSettings(limits=limits))
    assert isinstance(result, NotFlattened)
    assert result.reason == contract.DEADLINE
    assert runtime.started[0].poll() is not None


def test_time_is_given_anew_with_each_page(tmp_path: Path):
    script = HEAD + "\nfor _ in range(3):\n  time.sleep(1.5); page(); out.flush()\nend(3)"
    limits = replace(LIMITS, seconds=20.0, page_seconds=4.0)
    assert isinstance(run(script, tmp_path, limits=limits), Flattened)


def test_a_flood_of_standard_error_is_read_and_forgotten(tmp_path: Path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = run(HEAD + "\nfor _ in range(2000): os.write(2, b'x' * 65536)\npage(); end()", tmp_path)
    assert isinstance(result, Flattened)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kilobytes; 128 MB came


def test_a_guest_that_does_not_read_its_document_is_heard(tmp_path: Path):
    script = HEAD + 'frame(c.FAILED, b"corrupt")\nout.flush(); os._exit(0)'
    assert reason(script, tmp_path, document=bytes(8 * 1024 * 1024)) == contract.CORRUPT


def test_output_beyond_its_bound_is_not_kept(tmp_path: Path):
    script = HEAD + "\nfor _ in range(3): page(100, 100, (100000, 100000), os.urandom(30000))\nend(3)"
    limits = replace(LIMITS, total_pixels=100_000, output_bytes=500)
    assert reason(script, tmp_path, limits=limits) == contract.OUTPUT_TOO_LARGE


@pytest.mark.parametrize(("document", "expected"), [(b"", contract.EMPTY), (b"x" * 11, contract.DOCUMENT_TOO_LARGE)])
def test_a_document_out_of_bounds_starts_no_sandbox(document: bytes, expected: str, tmp_path: Path):
    limits = replace(LIMITS, document_bytes=10)
    assert reason("raise SystemExit", tmp_path, document=document, limits=limits) == expected


def test_pages_keep_their_size_and_their_text(tmp_path: Path):
    script = HEAD + 'page(20, 10, (200000, 100000)); frame(c.TEXT, "1000 2000 5000 3000 Grüße\\n".encode()); end()'
    result = run(script, tmp_path)
    assert isinstance(result, Flattened)
    assert (result.pages, result.found, result.media_type) == (1, "text/plain", "application/pdf")
    with pymupdf.open(result.path) as pdf:
        assert (round(pdf[0].rect.width), round(pdf[0].rect.height)) == (200, 100)
        assert pdf[0].get_text().strip() == "Grüße"


def test_a_picture_comes_back_as_a_picture(tmp_path: Path):
    result = run(HEAD + "page(20, 10, (20000, 10000), b'\\xff\\x00\\x00' * 200); end()", tmp_path, want=Want.IMAGE)
    assert isinstance(result, Flattened)
    assert result.media_type == "image/png"
    assert pymupdf.Pixmap(str(result.path)).pixel(3, 3) == (255, 0, 0)


def test_more_than_one_picture_is_a_lie(tmp_path: Path):
    assert reason(HEAD + "page(); page(); end(2)", tmp_path, want=Want.IMAGE) == contract.SANDBOX_LIED


# --- containers ---

ROOM = Room(3, 5000)
ASKED = """
command(); hello()
asked = struct.unpack(c.REQUEST, sys.stdin.buffer.read(struct.calcsize(c.REQUEST)))
frame(c.FOUND, b"application/zip")
"""


def test_the_members_of_a_container_lie_in_the_file_one_after_the_other(tmp_path: Path):
    script = HEAD + 'container(); member(b"a", b"fi", b"rst"); member(b"b", b"x"); frame(c.LEFT, b"encrypted"); '
    result = run(script + 'member(b"c", b"last"); end(3)', tmp_path, room=ROOM)
    assert isinstance(result, Unpacked)
    assert (result.form, result.found, result.size) == (Form.ARCHIVE, "text/plain", 9)
    assert result.members == (Member("a", 0, 5), Member("b", 5, 0, "encrypted"), Member("c", 5, 4))
    assert result.path.read_bytes() == b"firstlast"


@pytest.mark.parametrize(
    ("room", "want", "asked"),
    [
        (None, Want.PDF, (1, 0, 0)),
        (Room(3, 5000), Want.PDF, (5, 3, 5000)),
        (Room(3, 5000), Want.IMAGE, (3, 0, 0)),
        (Room(1 << 40, 1 << 50), Want.PDF, (5, (1 << 32) - 1, 256 << 20)),  # no more than may come of any document
    ],
)
def test_the_guest_is_told_its_room(room: Room | None, want: Want, asked: tuple[int, ...], tmp_path: Path):
    script = ASKED + "page(); end()" if asked[0] & 4 == 0 else ASKED + "container(); member(); end()"
    script = script.replace("frame(c.FOUND", f"assert (asked[2], *asked[9:11]) == {asked}; frame(c.FOUND")
    assert not isinstance(run(script, tmp_path, want, room=room), NotFlattened)


@pytest.mark.parametrize(("room", "want"), [(None, Want.PDF), (ROOM, Want.IMAGE)])
def test_a_container_that_nobody_asked_for_is_a_lie(room: Room | None, want: Want, tmp_path: Path):
    assert reason(HEAD + "container(); member(); end()", tmp_path, room=room, want=want) == contract.SANDBOX_LIED


@pytest.mark.parametrize("said", ["too_many_members", "unpacked_too_large", "encrypted"])
def test_a_container_is_refused_in_the_midst_of_it_and_leaves_no_file(said: str, tmp_path: Path):
    script = HEAD + f'container(); member(b"a", bytes(4000)); frame(c.FAILED, b"{said}")'
    assert reason(script, tmp_path, room=ROOM) == said


def test_a_container_beyond_its_room_leaves_no_file(tmp_path: Path):
    flood = HEAD + "container()\nwhile True: member(b'a', bytes(1000))"
    assert reason(flood, tmp_path, room=ROOM) == contract.SANDBOX_LIED
    assert reason(HEAD + 'container(); member(b"a", bytes(4000))', tmp_path, room=ROOM) == contract.SANDBOX_DIED


def test_a_container_that_stalls_between_two_members_is_killed(tmp_path: Path):
    limits = replace(LIMITS, seconds=20.0, page_seconds=3.0)
    stall = HEAD + "container(); member(b'a', b'x'); out.flush(); time.sleep(60)"
    assert reason(stall, tmp_path, limits=limits, room=ROOM) == contract.DEADLINE
    slow = HEAD + "container()\nfor _ in range(3):\n  time.sleep(1.3); member(b'a'); out.flush()\nend(3)"
    assert isinstance(run(slow, tmp_path, limits=limits, room=ROOM), Unpacked)


def test_members_that_cannot_be_written_are_the_houses_own_failure(tmp_path: Path):
    (tmp_path / "out.pdf").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        run(HEAD + "container(); member(b'a', bytes(4000)); end()", tmp_path, room=ROOM)
    assert not (tmp_path / "out.pdf").is_symlink()


def test_a_document_is_flattened_though_there_was_room(tmp_path: Path):
    assert isinstance(run(HEAD + "page(); end()", tmp_path, room=ROOM), Flattened)
