"""Composition of `lazaretto sandbox`: the sandbox, handed out over a socket; tells systemd, drains at stop.

Listens before a sandbox is proved, as the gateway does: who asks meanwhile waits, and hears why where none comes up.
What an earlier service left is swept first. Trusts the settings, which are checked. Fails with OSError where it cannot
listen, SandboxUnavailableError where a certificate cannot be used. Bounds: `[sandbox.service] drain_seconds` for a
stop; none are waited for when standard input is followed and ends, since whoever asked is gone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

import structlog
from sdnotify import SystemdNotifier

from gateway import __version__
from gateway.lazy_sandbox import LazySandbox
from sandbox import client

if TYPE_CHECKING:
    from gateway.config import Settings

log = structlog.get_logger(__name__)

_INPUT: Final = 4096


async def run(settings: Settings, listen: str, *, follow_stdin: bool) -> NoReturn:
    """Serve until SIGTERM, SIGINT or, where it is followed, the end of standard input; ends the process."""
    loop = asyncio.get_running_loop()
    stop, alone = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if follow_stdin:
        loop.add_reader(sys.stdin.fileno(), _read_input, alone, stop)
    notifier = SystemdNotifier()
    log.info("service_starting", version=__version__, settings=settings.effective()["sandbox"])
    # started here, whoever is configured to be asked
    sandbox = LazySandbox(dataclasses.replace(settings.sandbox, service=client.ServiceSettings()))
    service = client.open_service(sandbox, settings.sandbox, listen, __version__)
    addresses = await service.start()
    log.info("service_listening", addresses=addresses)
    notifier.notify("READY=1\nSTATUS=Listening on " + ", ".join(addresses))
    opening = asyncio.create_task(_prove(sandbox))
    await stop.wait()
    opening.cancel()
    notifier.notify("STOPPING=1\nSTATUS=Finishing documents under way")
    log.info("service_stopping", alone=alone.is_set())
    await _drained(service, settings.sandbox.service.drain_seconds, alone)
    log.info("service_stopped")
    client.end_service()  # from here, since the loop's own end would wait for threads, and they for their sandboxes


def _read_input(alone: asyncio.Event, stop: asyncio.Event) -> None:
    """Nothing is said there; that it ends is all that it says."""
    if not os.read(sys.stdin.fileno(), _INPUT):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        alone.set()
        stop.set()


async def _drained(service: client.Service, seconds: float, alone: asyncio.Event) -> None:
    draining = asyncio.create_task(service.stop(seconds))
    waiting = asyncio.create_task(alone.wait())
    await asyncio.wait({draining, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    draining.cancel()


async def _prove(sandbox: LazySandbox) -> None:
    """Sweep and open the sandbox ahead of the first document."""
    try:
        await asyncio.to_thread(client.sweep)
        await sandbox.opened()
    except client.SandboxUnavailableError:
        return  # logged where it happened; tried again with the next document
