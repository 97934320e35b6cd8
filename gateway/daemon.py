"""Composition of `lazaretto serve`: builds the rooms, listens, tells systemd, drains at stop.

Listens before the sandbox is proved: mail without attachments needs none, and mail with some gets 451 until there is
one, which is where the client's MTA keeps it best. Starts no container itself: that is the sandbox service's right,
and the service a child of this process where no other is configured. Trusts the settings, which are checked. Fails
with OSError where it cannot listen, with ConfigError where a certificate cannot be used. Bound: `[smtp] drain_seconds`
for a stop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import signal
from typing import TYPE_CHECKING, Final

import structlog
from sdnotify import SystemdNotifier

from gateway import __version__
from gateway.child import service_for
from gateway.config import ConfigError
from gateway.lazy_sandbox import LazySandbox
from gateway.originals.store import Originals
from gateway.pipeline import Rooms, handle
from gateway.smtp.client import NextHop
from gateway.smtp.listener import SmtpServer
from sandbox.client import SandboxUnavailableError, ask_service, open_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Settings
    from sandbox.client import Sandbox, SandboxSettings

log = structlog.get_logger(__name__)

ANSWER_MARGIN: Final = 60.0  # seconds above the message's deadline before a session gives up on its own gateway
RELAY_DRAIN: Final = 60.0  # seconds for exchanges with the next hop whose client has left already


async def serve(settings: Settings, file: Path | None = None) -> None:
    """Run until SIGTERM or SIGINT, then finish what is under way; `file` is where the settings are from."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log.info("starting", version=__version__, settings=settings.effective())
    async with service_for(settings.sandbox, file) as asked:
        await _until(stop, settings, asked)
    log.info("stopped")


async def _until(stop: asyncio.Event, settings: Settings, asked: SandboxSettings) -> None:
    notifier = SystemdNotifier()
    server, next_hop, _ = build(settings, _opened(asked))
    addresses = await server.start()
    for address in addresses:
        log.info("listening", address=str(address), **dataclasses.asdict(address))
    notifier.notify("READY=1\nSTATUS=Listening on " + ", ".join(map(str, addresses)))
    proving = asyncio.create_task(_prove(settings.sandbox))
    await stop.wait()
    notifier.notify("STOPPING=1\nSTATUS=Finishing messages under way")
    log.info("stopping", sessions=len(server.sessions))
    await server.stop(settings.smtp.drain_seconds)
    await next_hop.drain(RELAY_DRAIN)
    proving.cancel()


def build(settings: Settings, sandbox: Sandbox | None = None) -> tuple[SmtpServer, NextHop, Sandbox]:
    """The rooms, put together; `sandbox` for tests."""
    sandbox = sandbox or LazySandbox(settings.sandbox)
    next_hop = NextHop(settings.relay, settings.smtp.name)
    rooms = Rooms(settings, sandbox, Originals(settings.originals.place), next_hop)
    server = SmtpServer(
        settings.smtp,
        functools.partial(handle, rooms),
        offers=next_hop.offers,
        answer_seconds=settings.message.deadline_seconds + ANSWER_MARGIN,
    )
    return server, next_hop, sandbox


def _opened(settings: SandboxSettings) -> Sandbox:
    try:
        return open_sandbox(settings)  # of a service, which is not asked yet
    except SandboxUnavailableError as error:  # a certificate
        raise ConfigError(str(error)) from None


async def _prove(settings: SandboxSettings) -> None:
    """Ask the service ahead of the first document, so that a broken house is in the log from the start."""
    if not settings.service.address:  # a child says itself what comes up
        return
    found = await asyncio.to_thread(ask_service, settings)
    (log.info if found.ok else log.error)("sandbox_service", found=found.found)
