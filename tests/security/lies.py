"""Lying answers against the host side: a real process with real pipes stands where the sandbox would.

tests/sandbox/test_job.py has the plain ones of each kind, which count with these; here are the more devious. Each has to
end as it should, leave no file, cost this process little, and the next honest document is flattened after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pymupdf

from sandbox import contract
from sandbox.client import Limits, NotFlattened, Room, SandboxSettings, SandboxUnavailableError, Unpacked, Want
from sandbox.host.runtime.base import Plan
from sandbox.host.service import flatten_with
from sandbox.image.cache import Image
from tests.fakes.hostile import Hostile
from tests.security.attempt import FLATTENED
from tests.security.watch import resident

UNPACKED = "unpacked"
SERVED = (FLATTENED, UNPACKED)
UNAVAILABLE = "unavailable"  # it lied before HELLO: the house's own failure, 451
LIED = frozenset({contract.SANDBOX_LIED})
DIED = frozenset({contract.SANDBOX_DIED})
LATE = frozenset({contract.DEADLINE})
LIMITS = replace(Limits(), pages=3, page_pixels=10_000, total_pixels=20_000, page_text_bytes=1 << 20, seconds=20.0)
SHORT = {"seconds": 3.0, "page_seconds": 2.0}
MOST_GROWTH = 128 * 1024 * 1024  # bytes; a page of text as large as may be takes most of it
MOST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Lie:
    """One answer of a liar; `script` may use the helpers of tests/fakes/hostile.py."""

    name: str
    script: str
    ends: frozenset[str] = LIED
    limits: dict[str, Any] = field(default_factory=dict)
    want: Want = Want.PDF
    room: Room | None = None
    check: Callable[[Path], str] | None = None  # of the safe file, where the lie does no harm; "" or what is wrong


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a lie: `faults` is empty where it was refused as it should be."""

    lie: Lie
    ended: str
    faults: tuple[str, ...]


def try_lie(lie: Lie, directory: Path) -> Outcome:
    """Run it in an empty directory, then an honest document."""
    before, started = resident(), time.monotonic()
    ended, faults = run(lie.script, directory, replace(LIMITS, **lie.limits), lie.want, lie.room)
    if ended not in lie.ends:
        faults.append(f"ended as {ended}, not as one of {', '.join(sorted(lie.ends))}")
    output = directory / "out.pdf"
    if ended in SERVED and lie.check and (wrong := lie.check(output)):
        faults.append(wrong)
    faults += [f"left: {path.name}" for path in directory.iterdir() if ended not in SERVED or path != output]
    if resident() - before > MOST_GROWTH:
        faults.append(f"this process grew by {(resident() - before) >> 20} MiB")
    if time.monotonic() - started > MOST_SECONDS:
        faults.append(f"took {time.monotonic() - started:.0f} seconds")
    output.unlink(missing_ok=True)
    honest, more = run(HEAD + "page(); end()", directory, LIMITS, Want.PDF)
    if honest != FLATTENED:
        faults.append(f"the next honest document ended as {honest}")
    return Outcome(lie, ended, (*faults, *more))


def run(script: str, directory: Path, limits: Limits, want: Want, room: Room | None = None) -> tuple[str, list[str]]:
    runtime = Hostile(script)
    plan = Plan(Image(directory, "none"), "none", limits, directory)
    settings = SandboxSettings(limits=limits)
    try:
        result = flatten_with(runtime, plan, b"document", directory / "out.pdf", want, settings=settings, room=room)
    except SandboxUnavailableError:
        ended = UNAVAILABLE
    else:
        ended = result.reason if isinstance(result, NotFlattened) else SERVED[isinstance(result, Unpacked)]
    return ended, ["the liar still runs" for process in runtime.started if process.poll() is None]


def text_is(expected: str) -> Callable[[Path], str]:
    """The flattened file has this text and no object that pages of pixels do not need."""

    def check(path: Path) -> str:
        with pymupdf.open(path) as pdf:
            found = "".join(page.get_text() for page in pdf).strip()
            active = [xref for xref in range(1, pdf.xref_length()) if "/JS" in pdf.xref_object(xref)]
            names = pdf.embfile_count() + len(pdf.get_toc())
        if found != expected:
            return f"its text is {found!r}, not {expected!r}"
        return "an object that was never meant" if active or names else ""

    return check


HEAD = 'hello(); frame(c.FOUND, b"text/plain")\n'
PAGE = "frame(c.PAGE, struct.pack(c.PAGE_PAYLOAD, 2, 2, 100000, 100000))\n"
WHOLE = "page(points=(100000, 100000))\n"
HUGE = "0xFFFFFFFF"


def of(kind: str, length: str) -> str:
    """The header alone of a frame that says it is `length` long."""
    return f"out.write(struct.pack(c.FRAME, c.{kind}, {length})); out.flush()\n"


def sized(width: str, height: str, points: str = "1000, 1000") -> str:
    return f"frame(c.PAGE, struct.pack(c.PAGE_PAYLOAD, {width}, {height}, {points}))\nframe(c.PIXELS, bytes(12))\nend()"


def text(line: str) -> str:
    return f"{WHOLE}frame(c.TEXT, {line})\nend()"


ORDER = {
    "an end before a type": "hello(); end(0)",
    "a page before a type": "hello(); page(); end()",
    "text before a type": 'hello(); frame(c.TEXT, b"")',
    "text before a page": HEAD + 'frame(c.TEXT, b"0 0 1 1 a\\n")',
    "a type after a page": HEAD + WHOLE + 'frame(c.FOUND, b"text/plain"); end()',
    "a type within a page": HEAD + PAGE + 'frame(c.FOUND, b"text/plain"); frame(c.PIXELS, bytes(12)); end()',
    "a type twice": HEAD + 'frame(c.FOUND, b"text/plain")',
    "hello between pages": HEAD + WHOLE + "hello(); " + WHOLE + "end(2)",
    "hello within a page": HEAD + PAGE + "hello(); frame(c.PIXELS, bytes(12)); end()",
    "a page within a page's pixels": HEAD + PAGE + "frame(c.PIXELS, bytes(6)); page(); end(2)",
    "text within a page's pixels": HEAD + PAGE + 'frame(c.PIXELS, bytes(6)); frame(c.TEXT, b""); end()',
    "an end within a page's pixels": HEAD + PAGE + "frame(c.PIXELS, bytes(6)); end()",
    "an end in place of pixels": HEAD + PAGE + "end()",
    "pixels after text": HEAD + WHOLE + 'frame(c.TEXT, b""); frame(c.PIXELS, bytes(12)); end()',
    "pixels after a whole page": HEAD + WHOLE + "frame(c.PIXELS, bytes(12)); end()",
    "a reason after the end mark": HEAD + WHOLE + 'end(); frame(c.FAILED, b"corrupt")',
    "an end mark after a reason": HEAD + WHOLE + 'frame(c.FAILED, b"corrupt"); end()',
    "an end mark twice": HEAD + WHOLE + "end(); end()",
    "a reason twice": HEAD + 'frame(c.FAILED, b"corrupt"); frame(c.FAILED, b"corrupt")',
    "frames of kind 0": HEAD + "frame(0)",
    "frames of kind 8": HEAD + "frame(8, bytes(16))",
    "frames of kind 255": HEAD + "frame(255)",
    "a whole answer twice": (HEAD + WHOLE + "end()\n") * 2,
}
SIZES = {
    "a page of no height": HEAD + sized("2", "0"),
    "a page of 2^31 pixels' width": HEAD + sized("0x80000000", "1"),
    "a page of 2^32 - 1 pixels' height": HEAD + sized("1", HUGE),
    "sides whose product is 0 in 32 bits": HEAD + sized("65536", "65536"),
    "sides whose bytes are few in 32 bits": HEAD + sized("0x55555556", "2"),
    "sides whose bytes are 12 in 64 bits": HEAD + sized("0x80000001", "0xAAAAAAAC"),
    "a page of no points' height": HEAD + sized("2", "2", "1000, 0"),
    "a page of 2^32 - 1 thousandths": HEAD + sized("2", "2", f"{HUGE}, {HUGE}"),
    "a page higher than paper": HEAD + sized("2", "2", "1000, 10000001"),
    "pixels crowded from top to bottom": HEAD + "page(1, 100, (1, 1)); end()",
    "the last page beyond all pixels": HEAD
    + "page(100, 99, (90000, 90000)); page(100, 99, (90000, 90000)); page(100, 99, (90000, 90000)); end(3)",
    "a page with a field more": HEAD + "frame(c.PAGE, bytes(17))",
    "a page with a field less": HEAD + "frame(c.PAGE, bytes(12))",
    "pixels for the page before": HEAD + PAGE + "frame(c.PIXELS, bytes(24)); end()",
    "one pixel short": HEAD + "page(pixels=bytes(9)); page(); end(2)",
    "pixels by the byte, one too many": HEAD + PAGE + "[frame(c.PIXELS, b'x') for _ in range(13)]; end()",
}
LENGTHS = {
    "a type of no length": HEAD.replace('b"text/plain"', 'b""'),
    "a type of 128 bytes": 'hello(); frame(c.FOUND, b"text/" + b"x" * 123)',
    "a type of 4 GiB": "hello()\n" + of("FOUND", HUGE),
    "a type of minus 2^31": "hello()\n" + of("FOUND", "0x80000000"),
    "a page of 4 GiB": HEAD + of("PAGE", HUGE),
    "pixels of 4 GiB": HEAD + PAGE + of("PIXELS", HUGE),
    "pixels of a byte more than a chunk": HEAD
    + of("PAGE", "16")
    + "out.write(struct.pack('>IIII', 100, 100, 100000, 100000))\n"
    + of("PIXELS", "c.MAX_CHUNK + 1"),
    "text of 4 GiB": HEAD + WHOLE + of("TEXT", HUGE),
    "text of a byte more than its bound": HEAD + text("b'x' * ((1 << 20) + 1)"),
    "an end of 4 GiB": HEAD + WHOLE + of("END", HUGE),
    "an end of eight bytes": HEAD + WHOLE + "frame(c.END, bytes(7) + b'\\x01')",
    "a reason of 4 GiB": HEAD + of("FAILED", HUGE),
    "a reason of 33 bytes": HEAD + 'frame(c.FAILED, b"corrupt" + b" " * 26)',
    "an end that counts 2^32 - 1": HEAD + WHOLE + f"end({HUGE})",
    "an end that counts one less": HEAD + WHOLE + WHOLE + "end(1)",
    "an end that counts none": HEAD + WHOLE + "end(0)",
}
TYPES = {
    "a type in capitals": b"TEXT/PLAIN",
    "a type with a parameter": b"text/plain; charset=utf-8",
    "a type with a NUL": b"text/plain\0",
    "a type with an escape sequence": b"text/\x1b[2J",
    "a type that turns the writing round": "text/\u202egnp".encode(),
    "a type in UTF-8": "text/größe".encode(),
    "a type that is a path": b"../../etc/passwd",
    "a type without a subtype": b"text/",
    "a type without a slash": b"text",
    "a type of two lines for the log": b"text/plain\nlevel=error",
    "a type with a blank before it": b" text/plain",
}
TEXTS = {
    "text with a surrogate": rb"b'0 0 100 100 \xed\xa0\x80\n'",
    "text with half a character": rb"b'0 0 100 100 \xe2\x82\n'",
    "text of overlong UTF-8": rb"b'0 0 100 100 \xc0\xaf\n'",
    "text beyond Unicode": rb"b'0 0 100 100 \xf4\x90\x80\x80\n'",
    "text in UTF-16": b"'0 0 100 100 a\\n'.encode('utf-16')",
    "text after a byte order mark": b"'\\ufeff0 0 100 100 a\\n'.encode()",
    "a box that is not a number": b"b'nan 0 100 100 a\\n'",
    "a box without end": b"b'0 0 inf 100 a\\n'",
    "a box of less than nothing": b"b'-1 0 100 100 a\\n'",
    "a box with a sign": b"b'+1 0 100 100 a\\n'",
    "a box with an exponent": b"b'0 0 1e3 100 a\\n'",
    "a box in other digits": "'0 0 ١٠٠ ١٠٠ a\\n'.encode()".encode(),
    "a box of eight digits": b"b'0 0 10000000 100 a\\n'",
    "a box of five sides": b"b'0 0 100 100\\n'",
    "a box between tabs": b"b'0\\t0\\t100\\t100\\ta\\n'",
    "a run of nothing but blanks": b"b'0 0 100 100    \\n'",
    "a run of 1025 characters": b"b'0 0 100 100 ' + b'x' * 1025 + b'\\n'",
    "a line of nothing": b"b'0 0 100 100 a\\n\\n'",
    "lines ended by CR alone": b"b'0 0 100 100 a\\r0 0 100 100 b'",
}
REASONS = {
    **{
        f"the host's reason {reason}": reason.encode() for reason in sorted(contract.HOST_REASONS - {contract.DEADLINE})
    },
    "a reason in capitals": b"CORRUPT",
    "a reason with a NUL": b"corrupt\0",
    "a reason with a line end": b"corrupt\n",
    "a reason of no length": b"",
    "a reason beyond ASCII": b"corrupt\xff",
    "a reason that is the other wall's word": b"unavailable",
}
HOUSE = {  # before HELLO, or in its place
    "a hello with a byte more": "frame(c.HELLO, c.MAGIC + bytes([c.VERSION, 0]))",
    "a hello of 4 GiB": of("HELLO", HUGE),
    "half a hello": "out.write(b'\\x01\\x00')",
    "a reason before hello": 'frame(c.FAILED, b"corrupt")',
    "a type before hello": 'frame(c.FOUND, b"text/plain")',
    "a page before hello": "page()",
    "noise in place of hello": "out.write(os.urandom(100000))",
    "version 0": "frame(c.HELLO, c.MAGIC + b'\\x00')",
    "a magic in other letters": "frame(c.HELLO, b'laz' + bytes([c.VERSION]))",
    "a greeting of another protocol": "out.write(b'220 ESMTP\\r\\n')",
}
# no harm is done: what was said is left out or stands as plain characters
HARMLESS = (
    Lie(
        "control characters in text",
        HEAD + text("'0 0 9000 1000 a\\0\\x07\\x1b[2Jb\\n'.encode()"),
        frozenset({FLATTENED}),
        check=text_is("a[2Jb"),
    ),
    Lie(
        "writing turned round",
        HEAD + text("'0 0 9000 1000 a\\u202e\\u2066\\u200f\\u061cb\\n'.encode()"),
        frozenset({FLATTENED}),
        check=text_is("ab"),
    ),
    Lie(
        "line ends of Unicode in text",
        HEAD + text("'0 0 9000 1000 a\\u2028\\u2029\\x85b\\n'.encode()"),
        frozenset({FLATTENED}),
        check=text_is("ab"),
    ),
    Lie(
        "characters that are none",
        HEAD + text("'0 0 9000 1000 a\\ufffe\\uffff\\U0010ffff\\ue000b\\n'.encode()"),
        frozenset({FLATTENED}),
        check=text_is("ab"),
    ),
    Lie(
        "PDF syntax in text",
        HEAD + text("b'0 0 9000 1000 )>>endstream/JS(1)\\n'"),
        frozenset({FLATTENED}),
        check=text_is(")>>endstream/JS(1)"),
    ),
    Lie(
        "a run outside the page",
        HEAD + text("b'9999999 9999999 9999999 9999999 a\\n'"),
        frozenset({FLATTENED}),
        check=text_is(""),
    ),
    Lie("a box inside out", HEAD + text("b'900 900 100 100 a\\n'"), frozenset({FLATTENED}), check=text_is("")),
    Lie(
        "every character there is",
        HEAD
        + text(
            "b''.join(b'0 0 9000 1000 ' + ''.join(map(chr, range(n, n + 256))).encode() + b'\\n' for n in range(0x3100, 0xD700, 256))"
        ),
        frozenset({FLATTENED}),
    ),
    Lie(
        "a MiB of text on each page",
        HEAD + (WHOLE + "frame(c.TEXT, (b'0 0 9000 9000 ' + b'x' * 1000 + b'\\n') * 1030)\n") * 2 + "end(2)",
        frozenset({FLATTENED}),
    ),
    Lie("runs without number", HEAD + text("b'0 0 9 9 a\\n' * 80000"), frozenset({FLATTENED})),
    Lie("pixels at odds with the page's size", HEAD + "page(1, 64, (10000000, 1)); end()", frozenset({FLATTENED})),
    Lie(
        "a reason in the middle of a page",
        HEAD + WHOLE + PAGE + 'frame(c.PIXELS, bytes(6)); frame(c.FAILED, b"corrupt")',
        frozenset({contract.CORRUPT}),
    ),
    Lie(
        "more bytes than may come out",
        HEAD + "page(99, 99, (90000, 90000), os.urandom(29403)); end()",
        frozenset({contract.OUTPUT_TOO_LARGE}),
        {"output_bytes": 900},
    ),
)
STALLS = (
    Lie("half a frame's header, then silence", HEAD + "out.write(b'\\x03\\x00'); out.flush(); time.sleep(60)", LATE, SHORT),
    Lie("a header, then silence", HEAD + of("PAGE", "16") + "time.sleep(60)", LATE, SHORT),
    Lie("half the pixels, then silence", HEAD + PAGE + of("PIXELS", "12") + "out.write(bytes(6)); out.flush(); time.sleep(60)", LATE, SHORT),
    Lie("a byte at a time", HEAD + PAGE + of("PIXELS", "12") + "\nfor _ in range(12): out.write(b'x'); out.flush(); time.sleep(.4)\nend()", LATE, SHORT),
    Lie("standard error and nothing else", HEAD + "out.flush()\nwhile True: os.write(2, bytes(65536))", LATE, SHORT),
    Lie("a whole answer, its pipe closed, and it stays", HEAD + WHOLE + "end(); os.close(1); time.sleep(60)", LATE | frozenset({FLATTENED}), SHORT),
    Lie("a whole answer, its child holds the pipe", HEAD + WHOLE + "end()\nif os.fork() == 0: time.sleep(6)", LATE | DIED, SHORT),
    Lie("empty pixels without end", HEAD + PAGE + "\nwhile True: frame(c.PIXELS)"),
    Lie("pages without end", HEAD + "\nwhile True: page()"),
    Lie("noise without end", HEAD + "\nwhile True: out.write(os.urandom(65536))"),
    Lie("zeros without end", HEAD + "\nwhile True: out.write(bytes(65536))"),
    Lie("dies within a header", HEAD + "out.write(b'\\x03\\x00\\x00'); out.flush(); os.kill(os.getpid(), 9)", DIED),
    Lie("dies within a page", HEAD + PAGE + of("PIXELS", "12") + "os.kill(os.getpid(), 11)", DIED),
    Lie("dies after a reason's header", HEAD + of("FAILED", "7"), DIED),
    Lie("dies after a whole page", HEAD + WHOLE + "out.flush(); os.abort()", DIED),
    Lie("two pictures where one is wanted", HEAD + "page(); page(); end(2)", want=Want.IMAGE),
    Lie("no picture where one is wanted", HEAD + "end(0)", want=Want.IMAGE),
    Lie("a picture, and more after its end", HEAD + "page(); end(); out.write(b'x')", want=Want.IMAGE),
)  # fmt: skip


ROOM = Room(3, 5000)
HELD = HEAD + "container()\n"
CONTAINERS = {
    "a container that nobody asked for, as a picture": (HELD + "member(); end()", Want.IMAGE),
    "a container of a form that is none": (HEAD + "container(200); member(); end()", Want.PDF),
    "a container of 4 GiB": (HEAD + of("CONTAINER", HUGE), Want.PDF),
    "a container twice": (HELD + "container(); member(); end()", Want.PDF),
    "a container before a type": ("hello(); container(); member(); end()", Want.PDF),
    "a container after a page": (HEAD + WHOLE + "container(); member(); end(2)", Want.PDF),
    "a page among members": (HELD + "member(); " + WHOLE + "end(2)", Want.PDF),
    "text of a member": (HELD + "member(); frame(c.TEXT, b'0 0 1 1 a\\n'); end()", Want.PDF),
    "members without a container": (HEAD + "member(); end()", Want.PDF),
    "a member of no container's end": (HELD + "end(0)", Want.PDF),
    "members that are counted wrong": (HELD + "member(); end(2)", Want.PDF),
    "members counted as 2^32 - 1": (HELD + f"member(); end({HUGE})", Want.PDF),
    "one member too many": (HELD + "[member() for _ in range(4)]; end(4)", Want.PDF),
    "members without end": (HELD + "while True: member()", Want.PDF),
    "members that are left, without end": (HELD + "while True: member(); frame(c.LEFT, b'corrupt')", Want.PDF),
    "bytes without end": (HELD + "member()\nwhile True: frame(c.BYTES, bytes(65536))", Want.PDF),
    "bytes that are left, without end": (
        HELD + "while True: member(b'a', bytes(1000)); frame(c.LEFT, b'corrupt')",
        Want.PDF,
    ),
    "frames of no bytes without end": (HELD + "member()\nwhile True: frame(c.BYTES)", Want.PDF),
    "bytes of 4 GiB": (HELD + "member()\n" + of("BYTES", HUGE), Want.PDF),
    "bytes of more than is left of the room": (HELD + "member(b'a', bytes(4999))\n" + of("BYTES", "2"), Want.PDF),
    "bytes before a member": (HELD + "frame(c.BYTES, b'x'); end()", Want.PDF),
    "a name of 4 GiB": (HELD + of("MEMBER", HUGE), Want.PDF),
    "a name of a byte too many": (HELD + "member(b'x' * (c.MAX_NAME + 1)); end()", Want.PDF),
    "a name with a surrogate": (HELD + r"member(b'\xed\xa0\x80'); end()", Want.PDF),
    "a name of overlong UTF-8": (HELD + r"member(b'\xc0\xaf'); end()", Want.PDF),
    "a name in Latin 1": (HELD + r"member(b'gr\xfc'); end()", Want.PDF),
    "left twice": (HELD + "member(); [frame(c.LEFT, b'corrupt') for _ in '12']; end()", Want.PDF),
    "left before a member": (HELD + "frame(c.LEFT, b'corrupt'); end()", Want.PDF),
    "left, and bytes after it": (HELD + "member(); frame(c.LEFT, b'corrupt'); frame(c.BYTES, b'x'); end()", Want.PDF),
    "left for the host's reason": (HELD + "member(); frame(c.LEFT, b'deadline'); end()", Want.PDF),
    "left for a reason of 4 GiB": (HELD + "member()\n" + of("LEFT", HUGE), Want.PDF),
    "a message of two": (HEAD + "container(c.MESSAGE); member(); member(); end(2)", Want.PDF),
    "a message that is left": (HEAD + "container(c.MESSAGE); member(); frame(c.LEFT, b'empty'); end()", Want.PDF),
    "parts of none": (HEAD + "container(c.PARTS); end(0)", Want.PDF),
    "a wrapped file of two": (HEAD + "container(c.WRAPPER); member(); member(); end(2)", Want.PDF),
    "members, and more after their end": (HELD + "member(); end(); out.write(b'x')", Want.PDF),
    "members, and an answer after theirs": (HELD + "member(); end(); " + WHOLE + "end()", Want.PDF),
}


def _members_are(content: bytes) -> Callable[[Path], str]:
    return lambda path: "" if path.read_bytes() == content else f"the members are {path.read_bytes()!r}"


OF_MEMBERS = (
    *(Lie(name, script, want=want, room=ROOM) for name, (script, want) in CONTAINERS.items()),
    Lie("a container where there is no room", HELD + "member(b'a', b'xx'); end()"),
    Lie("members in a room of none", HELD + "member(b'b'); end()", room=Room(0, 10)),
    Lie("bytes in a room of none", HELD + "member(b'a', b'x'); end()", room=Room(9, 0)),
    Lie("dies within a member", HELD + "member(b'a', b'x'); out.flush(); os.abort()", DIED, room=ROOM),
    Lie("dies within a name", HELD + of("MEMBER", "9") + "os.kill(os.getpid(), 9)", DIED, room=ROOM),
    Lie(
        "half a member, then silence", HELD + "member(b'a', b'x'); out.flush(); time.sleep(60)", LATE, SHORT, room=ROOM
    ),
    Lie(
        "a member a byte at a time",
        HELD + "member()\nwhile True: frame(c.BYTES, b'x'); out.flush(); time.sleep(.4)",
        LATE,
        SHORT,
        room=ROOM,
    ),
    Lie(
        "a name that is no name",
        HELD + r"member('../\0\r\n\x1b[2J\u202e'.encode(), b'x'); end()",
        frozenset({UNPACKED}),
        room=ROOM,
        check=_members_are(b"x"),
    ),
    Lie(
        "a member that was left after all its bytes",
        HELD + "member(b'a', bytes(4000)); frame(c.LEFT, b'corrupt'); member(b'b', b'kept'); end(2)",
        frozenset({UNPACKED}),
        room=ROOM,
        check=_members_are(b"kept"),
    ),
    Lie(
        "all members are left",
        HELD + "member(); frame(c.LEFT, b'encrypted'); end()",
        frozenset({UNPACKED}),
        room=ROOM,
        check=_members_are(b""),
    ),
    Lie("pages where there was room for members", HEAD + WHOLE + "end()", frozenset({FLATTENED}), room=ROOM),
)


def _all() -> tuple[Lie, ...]:
    found = [Lie(name, script) for group in (ORDER, SIZES, LENGTHS) for name, script in group.items()]
    found += [Lie(name, f"hello(); frame(c.FOUND, {value!r}); page(); end()") for name, value in TYPES.items()]
    found += [Lie(name, HEAD + text(value.decode())) for name, value in TEXTS.items()]
    found += [Lie(name, HEAD + f"frame(c.FAILED, {value!r})") for name, value in REASONS.items()]
    found += [Lie(name, script, frozenset({UNAVAILABLE})) for name, script in HOUSE.items()]
    return (*found, *HARMLESS, *STALLS, *OF_MEMBERS)


LIES = _all()
