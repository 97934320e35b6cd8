"""How the service ends: it becomes this program, which destroys all sandboxes that it has left.

By exec(2), so that every thread that could start another sandbox is gone before the first is destroyed, while whoever
waits for the process waits for the sweeping too. An end by any signal leaves the same to be swept by the next start:
there is one way to end, and it is tried every time. Bound: each runtime's own for removing a container.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NoReturn

from sandbox.host import workplace
from sandbox.host.service import sweep_left


def become_sweeper() -> NoReturn:
    """Replace this process."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # outlives exec: a second signal does not leave things half done
    os.execv(sys.executable, [sys.executable, "-m", "sandbox.host.sweep"])  # noqa: S606 - ourselves


if __name__ == "__main__":
    former_self = str(os.getpid())
    sweep_left(former_self)
    with contextlib.suppress(OSError):
        workplace.clear(former_self)
