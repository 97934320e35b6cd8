"""Staying after the job, or refusing to end: whoever is inside when the answer ends, or the deadline comes, is killed."""

from tests.security.attempt import Attempt, Evidence

THEME = "outliving the job"
SHORT = {"seconds": 6.0}
LATE = frozenset({"deadline"})
DIED = frozenset({"sandbox_died"})


def dropped_nothing(evidence: Evidence) -> str:
    return "" if evidence.output_bytes is None else "an output file was left"


STUBBORN = """
import signal, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
"""

ATTEMPTS = (
    Attempt(
        THEME,
        "a daemon behind a whole answer",
        STUBBORN
        + """
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        for descriptor in (0, 1, 2, reporter.stream.fileno()):
            os.close(descriptor)
        while True:
            time.sleep(1)
tried("three daemons in sessions of their own", "killed with the sandbox")
""",
        sample=True,
    ),
    Attempt(
        THEME,
        "a child that holds the output",
        STUBBORN
        + """
if os.fork() == 0:
    while True:
        time.sleep(1)
tried("a child keeps the pipe open", "killed with the sandbox")
""",
    ),
    Attempt(
        THEME,
        "a child that writes on",
        STUBBORN
        + """
tried("write after the end mark")
if os.fork() == 0:
    while True:
        os.write(reporter.stream.fileno(), b"x" * 4096)
time.sleep(0.5)
""",
        frozenset({"sandbox_lied"}),
        dropped_nothing,
    ),
    Attempt(
        THEME,
        "sleep for ever, deaf to signals",
        STUBBORN
        + """
tried("sleep for ever")
while True:
    time.sleep(1000)
""",
        LATE,
        limits=SHORT,
    ),
    Attempt(
        THEME,
        "stop itself",
        """
import signal, time
tried("SIGSTOP to itself and its children")
child = os.fork()
os.kill(os.getpid(), signal.SIGSTOP)
os.kill(0, signal.SIGTSTP)
while True:
    time.sleep(1)
""",
        LATE,
        limits=SHORT,
    ),
    Attempt(
        THEME,
        "close everything and go on",
        STUBBORN
        + """
tried("close every descriptor")
os.closerange(0, 1024)
while True:
    time.sleep(1)
""",
        LATE | DIED,
        limits=SHORT,
    ),
    Attempt(
        THEME,
        "whole answer, but no end",
        STUBBORN
        + """
tried("end mark, then stay")
reporter.end()
while True:
    time.sleep(1)
""",
        LATE | DIED,
        dropped_nothing,
        limits=SHORT,
    ),
    Attempt(
        THEME,
        "whole answer, pipes closed, but no end",
        STUBBORN
        + """
tried("end mark, then stay without pipes")
reporter.end()
os.closerange(0, 1024)
while True:
    time.sleep(1)
""",
        LATE | DIED,
        dropped_nothing,
        limits=SHORT,
    ),
    Attempt(
        THEME,
        "start itself again and again",
        """
tried("exec for ever")
if os.fork() == 0:
    os.execv("/usr/bin/python3", ["python3", "-c", "import os, sys; os.execv(sys.executable, sys.orig_argv)"])
os.execv("/usr/bin/python3", ["python3", "-c", "import os, sys; os.execv(sys.executable, sys.orig_argv)"])
""",
        LATE,
        limits=SHORT,
    ),
    Attempt(
        THEME,
        "never read the document",
        """
tried("end without reading 24 MiB", "the host is told and does not wait")
""",
        padding=24 << 20,
    ),
    Attempt(
        THEME,
        "keep the document waiting",
        """
import time
tried("read a byte a second")
while True:
    exactly(1)
    time.sleep(1)
""",
        LATE,
        limits=SHORT,
        padding=24 << 20,
    ),
    *(
        Attempt(
            THEME,
            f"crash by {name}",
            f"""
import signal
tried("{name}")
reporter.stream.flush()
{code}
""",
            DIED | LATE,
            dropped_nothing,
            limits=SHORT,
        )
        for name, code in (
            ("SIGSEGV", "ctypes.string_at(8)"),
            ("SIGABRT", "os.abort()"),
            ("SIGILL", "signal.raise_signal(signal.SIGILL)\nleave(1)"),
            ("SIGKILL", "os.kill(os.getpid(), signal.SIGKILL)\nleave(1)"),
            ("exit code 255", "leave(255)"),
            ("exit code 0, without an end mark", "leave(0)"),
        )
    ),
    Attempt(
        THEME,
        "core dumps",
        """
import resource, signal
refused("/proc/sys/kernel/core_pattern", open, "/proc/sys/kernel/core_pattern", "w")
must("bound on core files", holds=resource.getrlimit(resource.RLIMIT_CORE) == (0, 0), how="RLIMIT_CORE 0")
os.chdir("/tmp")
child = os.fork()
if child == 0:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGQUIT)
    os._exit(0)
status = os.waitpid(child, 0)[1]
must("SIGQUIT", holds=os.listdir("/tmp") == [], how="no core file", seen=os.listdir("/tmp"))
""",
    ),
)
