"""Too much, too slow, or a lie, told from inside the double sandbox. tests/security/lies.py has the long list of lies."""

from tests.security.attempt import Attempt, Evidence

THEME = "output"
MIB = 1024 * 1024
SHORT = {"seconds": 6.0}
LIED = frozenset({"sandbox_lied"})


def small_host(evidence: Evidence) -> str:
    grown = evidence.host_growth // MIB
    return f"the host's process grew by {grown} MiB" if grown > 150 else ""


WIRE = """
import time
send = reporter.stream
def frame(kind, payload=b"", length=None):
    send.write(struct.pack(contract.FRAME, kind, len(payload) if length is None else length) + payload)
    send.flush()
def page(width=2, height=2, points=(72000, 72000), pixels=None):
    frame(contract.PAGE, struct.pack(contract.PAGE_PAYLOAD, width, height, *points))
    frame(contract.PIXELS, bytes(width * height * 3) if pixels is None else pixels)
def end(count):
    frame(contract.END, struct.pack(contract.END_PAYLOAD, count))
"""


def lie(name: str, program: str, *, sample: bool = False) -> Attempt:
    tell = f"tried({name!r})\n"
    return Attempt(THEME, name, WIRE + tell + program + "\nleave()\n", LIED, small_host, sample=sample)


ATTEMPTS = (
    Attempt(
        THEME,
        "flood standard error for ever",
        """
tried("standard error without end")
while True:
    os.write(2, b"\\x1b]0;owned\\x07" * 5000)
""",
        frozenset({"deadline"}),
        small_host,
        limits=SHORT,
    ),
    Attempt(
        THEME,
        "flood standard error, then a whole answer",
        """
for _ in range(500):
    os.write(2, b"x" * 65536)
tried("32 MB of standard error", "read and forgotten")
""",
        proof=small_host,
    ),
    Attempt(
        THEME,
        "flood standard output with noise",
        """
tried("noise without end")
while True:
    reporter.stream.write(os.urandom(65536))
""",
        LIED,
        small_host,
        sample=True,
    ),
    Attempt(
        THEME,
        "flood with empty pages",
        """
tried("pages without end")
while True:
    reporter.answer.page((2, 2), (72.0, 72.0), memoryview(bytes(12)))
""",
        LIED,
        small_host,
        limits={"pages": 50},
    ),
    Attempt(
        THEME,
        "pages of noise beyond the output's bound",
        """
tried("noise that cannot be packed")
for _ in range(12):
    reporter.answer.page((900, 900), (432.0, 432.0), memoryview(os.urandom(900 * 900 * 3)))
    reporter.pages += 1
""",
        frozenset({"output_too_large"}),
        small_host,
        limits={"output_bytes": MIB},
    ),
    Attempt(
        THEME,
        "a page that trickles",
        WIRE
        + """
tried("a byte at a time")
frame(contract.PAGE, struct.pack(contract.PAGE_PAYLOAD, 100, 100, 72000, 72000))
for _ in range(1000):
    send.write(b"\\x04")
    send.flush()
    time.sleep(0.3)
    send.write(b"\\x00\\x00\\x00\\x03abc")
""",
        frozenset({"deadline", "sandbox_lied"}),
        limits=SHORT,
    ),
    Attempt(
        THEME,
        "half a frame, then silence",
        WIRE
        + """
tried("half a frame")
send.write(struct.pack(contract.FRAME, contract.PAGE, 16) + b"\\x00")
send.flush()
while True:
    time.sleep(1)
""",
        frozenset({"deadline"}),
        limits=SHORT,
    ),
    Attempt(
        THEME,
        "text that fills every page",
        """
line = "0 0 100 100 |" + "x" * 1000 + "\\n"
tried("a MiB of text a page, 2 pages", "kept to its bound")
for _ in range(2):
    reporter.answer.page((2, 2), (72.0, 72.0), memoryview(bytes(12)))
    reporter.answer.text(line * 1030, 1 << 20)
    reporter.pages += 1
""",
        proof=small_host,
    ),
    lie("a second hello", "frame(contract.HELLO, b'LAZ\\x01')"),
    lie("a second type", "frame(contract.FOUND, b'text/plain')"),
    lie("four billion pixels", "frame(contract.PAGE, struct.pack('>IIII', 0xFFFFFFFF, 0xFFFFFFFF, 1, 1))"),
    lie("a frame of four billion bytes", "frame(contract.PAGE, b'', 0xFFFFFFFF)"),
    lie("the host's own reason", "frame(contract.FAILED, b'deadline')"),
    lie("a byte after the end mark", "reporter.end()\nsend.write(b'x')\nsend.flush()"),
    lie(
        "an answer after the answer",
        "reporter.end()\nreporter.answer.hello()\nreporter.answer.found('text/plain')\npage()\nend(1)",
    ),
    lie("members that nobody asked for", "frame(contract.CONTAINER, b'\\x01')\nframe(contract.MEMBER, b'a')\nend(1)"),
    lie("members among pages", "frame(contract.MEMBER, b'../../etc/passwd')\nframe(contract.BYTES, b'x')\nend(2)"),
    lie(
        "members without end",
        "frame(contract.CONTAINER, b'\\x01')\nwhile True:\n    frame(contract.MEMBER)\n    frame(contract.BYTES, bytes(1 << 20))",
    ),
    lie("one page too many in the count", "end(1000)"),
    lie("more pixels than the page has", "page(pixels=bytes(13))\nend(2)"),
)
