"""What every outer runtime does: start one container with three pipes, and destroy it whatever state it is in.

The container's first process is `runsc` (sandbox/airlock/inner.py), under `sandbox/image/seccomp.json`, without
network, on a read-only root. Destroying is idempotent and bounded in time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sandbox.airlock import inner

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.client import Limits
    from sandbox.host.meter import Meter
    from sandbox.image.cache import Image

SECCOMP = Path(__file__).resolve().parent.parent.parent / "image" / "seccomp.json"

# What runsc needs to set up its sandbox process, in a user namespace whose root is nobody on the host. They were found
# by taking eleven away one by one; an unprivileged process may make itself such a namespace anyway. Never SYS_PTRACE.
CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SETUID", "CAP_SETGID")
LABEL = "label=type:container_engine_t"  # SELinux: a container that makes containers
FIRST_OF_A_NAMESPACE = re.compile(r"^NSpid:(?:\t\d+)+\t1$", re.MULTILINE)  # proc(5): its number there is 1
OPEN_FILES = 4096  # explicit: raising it above the parent's would need CAP_SYS_RESOURCE
TMPFS = {"/run": "size=4m,mode=1777", "/tmp": "size=4m,mode=1777"}  # noqa: S108 - the container's own
PIPE_BYTES = 1 << 20  # most that an ordinary user may ask for (pipe-max-size)
END_SECONDS = 10.0  # for a killed container to be gone
REMOVALS = 30  # more tries, where the first took too long


@dataclass(frozen=True, slots=True)
class Plan:
    """What a container is started from: the image, gVisor's platform, the document's limits, a place for state.

    `snapshot` is a directory with a frozen guest to go on from; `freezing` an empty one to which a guest is about to be
    frozen, and what a container has then that others have not: somewhere to write. No document ever comes to it.
    The policy and the command have one value in service; the tools that learn and probe the policy put in others.
    """

    image: Image
    platform: str
    limits: Limits
    state: Path
    policy: Path = SECCOMP
    command: tuple[str, ...] = ()  # the outer container's first process; (): runsc on the bundle
    snapshot: Path | None = None
    freezing: Path | None = None
    early: bool = False  # nobody waits for it yet: it should not take processors from those that somebody waits for

    def arguments(self, *, rootless: bool = False) -> list[str]:
        """The outer container's first process and its arguments; `rootless`: it holds no capability there."""
        restore = self.snapshot is not None
        return list(self.command) or inner.runsc_arguments(self.platform, rootless=rootless, restore=restore)

    def bind_mount(self) -> tuple[Path, bool] | None:
        """The one directory of the host that the container sees at `inner.SNAPSHOT`, and whether it may write there."""
        if self.freezing:
            return self.freezing, True
        return (self.snapshot, False) if self.snapshot else None


@dataclass(slots=True)
class OuterContainer:
    """A started container. `process` has pipes for standard input, output and error."""

    process: subprocess.Popen[bytes]
    remove: Callable[[], object]  # False where it was not done in time
    meter: Meter | None = None  # None: nothing can be told of what it uses
    first: Callable[[], int | None] = lambda: None  # the container's first process, where it is known
    hurry: Callable[[], object] = lambda: None  # somebody waits for it now: undoes what `Plan.early` did

    def destroy(self) -> None:
        """Kill the container and all in it; safe to call twice and from any thread."""
        # The kernel ends a pid namespace with its first process, at once and whatever state the runtime is in: on a
        # machine under a bomb's load a runtime's own command takes longer than anybody waits for it
        kill_namespace(self.first())
        # a runtime that hangs or cannot be started must not keep us from ending what we hold ourselves
        try:
            removed = self.remove() is not False
        except (OSError, subprocess.SubprocessError):
            removed = False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        self.process.kill()
        self.process.wait()
        if not removed:
            threading.Thread(target=self._remove_later, name="remove", daemon=True).start()

    def _remove_later(self) -> None:
        for _ in range(REMOVALS):
            time.sleep(END_SECONDS)
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                if self.remove() is not False:
                    return


class OuterRuntime(Protocol):
    """A way to start outer containers."""

    @property
    def name(self) -> str:
        """What it is called in the configuration."""
        ...

    def version(self) -> str:
        """The engine's version; raises OSError or subprocess.SubprocessError where it cannot be called."""
        ...

    def sweep(self, state: Path) -> None:
        """Remove the containers of a process that is gone and left `state`; raises nothing."""
        ...

    @property
    def restores(self) -> bool:
        """True where a container may be started from a snapshot: where runsc needs no `--rootless`."""
        ...

    def start(self, plan: Plan, job: str) -> OuterContainer:
        """Start a container named `job`; raises OSError where the program cannot be started."""
        ...

    def execute(self, plan: Plan, job: str, arguments: list[str]) -> None:
        """Run another program in the container `job`, to its end; raises OSError or subprocess.SubprocessError."""
        ...


def version_of(program: str) -> str:
    """The first line of `program --version`."""
    return answer([program, "--version"]).partition("\n")[0].strip()


def start(command: list[str], cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a runtime's program with three pipes, in a session of its own.

    A signal at the terminal then stops the daemon, which ends its sandboxes in order.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    for pipe in (process.stdin, process.stdout):
        # a page is some megabytes: fewer turns. Past the user's share of pipe memory (pipe(7)) the small one does
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe or -1, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return process


def answer(command: list[str], seconds: float = 20.0) -> str:
    """What a command prints; raises OSError or subprocess.SubprocessError where it fails or hangs."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds).stdout


def quietly(command: list[str], seconds: float = 20.0) -> bool:
    """Run a command for what it does, however it ends; False where it did not end in time."""
    try:
        subprocess.run(command, check=False, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    except OSError:
        return True  # a program that is not there has started nothing
    return True


def stop(process: subprocess.Popen[bytes]) -> bool:
    """End a program that should have ended by now; always True."""
    process.kill()
    process.wait()
    return True


def is_dead(pid: int) -> bool:
    """True where a process has ended, reaped or not: a detached container's parent is init, which takes its time."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}  # proc(5)
    except OSError:
        return True


def kill_namespace(pid: int | None) -> None:
    """Kill the first process of a pid namespace below ours, and so all of it; no other process."""
    with contextlib.suppress(OSError):
        if pid and FIRST_OF_A_NAMESPACE.search(Path("/proc", str(pid), "status").read_text()):
            os.kill(pid, signal.SIGKILL)


def pid_in(path: Path) -> Callable[[], int | None]:
    """A reader of the file that an engine writes its container's first process to."""

    def read() -> int | None:
        with contextlib.suppress(OSError, ValueError):
            return int(path.read_text())
        return None

    return read
