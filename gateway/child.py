"""The sandbox service as a child of `serve`, where no other is configured: started, started again, ended.

The child listens on a Unix socket in a directory that nobody else may enter. Its standard input is a pipe from here, on
which nothing is said: when this process ends, however it ends, the kernel closes the pipe, and the child ends its
sandboxes and itself. It has a session of its own, so that a signal at the terminal is the gateway's to pass on.
Trusts: the configuration file to be there when the child is started again. Fails with OSError where there is no place
for the socket; a child that does not stay up is in the log, and mail with attachments gets 451. Bounds: growing pauses
between two starts, `END_SECONDS` for the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox.client import SandboxSettings

log = structlog.get_logger(__name__)

FIRST_PAUSE: Final = 0.5  # seconds before a child that ended is started again
LONGEST_PAUSE: Final = 60.0
HEALTHY_SECONDS: Final = 60.0  # a child that was up for so long may end without a longer pause than the first
END_SECONDS: Final = 60.0  # to destroy what is under way and to sweep
PREFIX: Final = "lazaretto-service-"
# systemd means these for the gateway
NOT_INHERITED: Final = frozenset({"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC"})


class ServiceChild:
    """Keeps one `lazaretto sandbox` up."""

    def __init__(self, file: Path | None) -> None:
        self._directory = private_directory()
        self._file = file.absolute() if file else None
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where it listens, as `sandbox.service.address` says it."""
        return f"unix:{self._directory / 'socket'}"

    def start(self) -> None:
        """Start it, and from now on whenever it ended."""
        self._keeper = asyncio.create_task(self._keep_up())

    async def stop(self) -> None:
        """End it, and what it has under way."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        if self._process and self._process.returncode is None:
            await self._end(self._process)
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _keep_up(self) -> None:
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE
        while True:
            began = clock()
            try:
                ended = f"status {await self._run()}"  # negative for a signal
            except OSError as error:  # no process to be had, for a moment or for good
                ended = str(error)
            if clock() - began > HEALTHY_SECONDS:
                pause = FIRST_PAUSE
            log.error("service_ended", reason=ended, restart_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run(self) -> int:
        """One life of the child; its exit status."""
        config = ["--config", str(self._file)] if self._file else []
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "sandbox", *config, "--listen", self.address, "--follow-stdin"),
            stdin=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name not in NOT_INHERITED},
            start_new_session=True,
        )
        log.info("service_started", pid=self._process.pid, address=self.address)
        return await self._process.wait()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            log.warning("service_killed", pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def service_for(settings: SandboxSettings, file: Path | None) -> AsyncIterator[SandboxSettings]:
    """Settings that ask the service: the configured one, or a child that is kept up for the length of the block."""
    if settings.service.address:
        yield settings
        return
    child = ServiceChild(file)
    try:
        child.start()
        yield dataclasses.replace(settings, service=dataclasses.replace(settings.service, address=child.address))
    finally:
        await child.stop()


def private_directory() -> Path:
    """A directory of this process, mode 0700; those of processes that are gone are removed.

    In RuntimeDirectory= of systemd, else the system's temporary one: a socket's path has to be short (unix(7)).
    """
    given = os.environ.get("RUNTIME_DIRECTORY", "")
    parent = Path(given.split(":")[0] or tempfile.gettempdir())
    for left in parent.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(left, ignore_errors=True)  # which leaves other users' alone
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
