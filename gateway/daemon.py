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
from gateway.child import ServiceChild
from gateway.lazy_sandbox import LazySandbox
from gateway.originals.store import Originals
from gateway.pipeline import Rooms, handle
from gateway.smtp.client import NextHop
from gateway.smtp.listener import SmtpServer
from sandbox.client import SandboxUnavailableError, ask_service

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
    notifier = SystemdNotifier()
    log.info("starting", version=__version__, settings=settings.effective())
    child = None if settings.sandbox.service.address else ServiceChild(file)
    at = child.address if child else settings.sandbox.service.address
    asked = dataclasses.replace(settings.sandbox, service=dataclasses.replace(settings.sandbox.service, address=at))
    server, next_hop, sandbox = build(settings, LazySandbox(asked))
    addresses = await server.start()
    for address in addresses:
        log.info("listening", address=str(address), **dataclasses.asdict(address))
    notifier.notify("READY=1\nSTATUS=Listening on " + ", ".join(map(str, addresses)))
    if child:
        child.start()
    opening = asyncio.create_task(_prove(sandbox, None if child else asked))
    await stop.wait()
    notifier.notify("STOPPING=1\nSTATUS=Finishing messages under way")
    log.info("stopping", sessions=len(server.sessions))
    await server.stop(settings.smtp.drain_seconds)
    await next_hop.drain(RELAY_DRAIN)
    opening.cancel()
    if child:
        await child.stop()
    log.info("stopped")


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


async def _prove(sandbox: Sandbox, remote: SandboxSettings | None) -> None:
    """Open the sandbox ahead of the first document, so that a broken house is in the log from the start."""
    if isinstance(sandbox, LazySandbox):
        try:
            await sandbox.opened()
        except SandboxUnavailableError:
            return  # logged where it happened; tried again with the next document
    if remote:  # a child says so itself
        found = await asyncio.to_thread(ask_service, remote)
        (log.info if found.ok else log.error)("sandbox_service", found=found.found)
