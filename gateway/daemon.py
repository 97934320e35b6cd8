"""Composition of `lazaretto serve`: builds the rooms, listens, tells systemd, drains at stop.

Listens before the sandbox is proved: mail without attachments needs none, and mail with some gets 451 until there is
one, which is where the client's MTA keeps it best. Trusts the settings, which are checked. Fails with OSError where
it cannot listen, with ConfigError where a certificate cannot be used. Bound: `[smtp] drain_seconds` for a stop.
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
from gateway.journal.journal import Journal
from gateway.lazy_sandbox import LazySandbox
from gateway.originals.store import Originals
from gateway.pipeline import Rooms, handle
from gateway.results.sandbox import CachingSandbox
from gateway.smtp.client import NextHop
from gateway.smtp.listener import SmtpServer
from sandbox.client import SandboxUnavailableError

if TYPE_CHECKING:
    from gateway.config import Settings
    from sandbox.client import Sandbox

log = structlog.get_logger(__name__)

ANSWER_MARGIN: Final = 60.0  # seconds above the message's deadline before a session gives up on its own gateway
RELAY_DRAIN: Final = 60.0  # seconds for exchanges with the next hop whose client has left already


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then finish what is under way."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    notifier = SystemdNotifier()
    log.info("starting", version=__version__, settings=settings.effective())
    journal = Journal(settings.journal)
    server, next_hop, sandbox = build(settings, journal=journal)
    await sandbox.tidy()
    addresses = await server.start()
    for address in addresses:
        log.info("listening", address=str(address), **dataclasses.asdict(address))
    notifier.notify("READY=1\nSTATUS=Listening on " + ", ".join(map(str, addresses)))
    opening = asyncio.create_task(_prove(sandbox.behind))
    await stop.wait()
    notifier.notify("STOPPING=1\nSTATUS=Finishing messages under way")
    log.info("stopping", sessions=len(server.sessions))
    await server.stop(settings.smtp.drain_seconds)
    await next_hop.drain(RELAY_DRAIN)
    await sandbox.close()  # conversions that nobody waits for: a stop does not wait for them either
    await journal.close()
    opening.cancel()
    log.info("stopped")


def build(
    settings: Settings, behind: Sandbox | None = None, *, journal: Journal | None = None
) -> tuple[SmtpServer, NextHop, CachingSandbox]:
    """The rooms, put together; `behind` the cache stands another sandbox in tests."""
    sandbox = CachingSandbox(behind or LazySandbox(settings.sandbox), settings.cache, settings.message.work_directory)
    next_hop = NextHop(settings.relay, settings.smtp.name)
    originals = Originals(settings.originals.place)
    rooms = Rooms(settings, sandbox, originals, next_hop, journal or Journal(settings.journal))
    server = SmtpServer(
        settings.smtp,
        functools.partial(handle, rooms),
        offers=next_hop.offers,
        answer_seconds=settings.message.deadline_seconds + ANSWER_MARGIN,
    )
    return server, next_hop, sandbox


async def _prove(sandbox: Sandbox) -> None:
    """Open the sandbox ahead of the first document, so that a broken house is in the log from the start."""
    if isinstance(sandbox, LazySandbox):
        try:
            await sandbox.opened()
        except SandboxUnavailableError:
            return  # logged where it happened; tried again with the next document
