"""The doors: sockets that take clients in, how many of them, and how all of it comes to rest.

A client is let in or sent away before it is listened to. Trusts nobody. Fails with OSError where it cannot listen.
Bounds: `[smtp] max_connections` in all and `max_connections_per_client`; `stop` takes the seconds it is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import os
import time
from typing import TYPE_CHECKING, Final

import structlog

from gateway.smtp.address import Address
from gateway.smtp.command import OPTIONAL_EXTENSIONS
from gateway.smtp.connection import UNIX, client_of
from gateway.smtp.limits import Clients
from gateway.smtp.server import LmtpSession, Session
from gateway.smtp.tls import server_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import SmtpSettings
    from gateway.outcome import Outcome
    from gateway.smtp.address import Protocol
    from gateway.smtp.connection import Connection
    from gateway.smtp.envelope import Envelope

    Handle = Callable[[Envelope, bytes], Awaitable[Outcome]]

log = structlog.get_logger(__name__)

_GOING: Final = "421 4.3.2 Service shutting down"
_SOCKET_MODE: Final = 0o666  # who may connect is said by the directory's mode


class _Door(asyncio.Protocol):
    """Lets a client in to its session, or sends it away."""

    def __init__(self, server: SmtpServer, protocol: Protocol) -> None:
        self._server = server
        self._protocol = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            transport.close()
            return
        client = client_of(transport)
        if refusal := self._server.refusal_of(client):
            log.warning("connection_refused", client=client, reply=refusal)
            transport.write(refusal.encode("ascii") + b"\r\n")
            transport.close()
            return
        session = (LmtpSession if self._protocol == "lmtp" else Session)(self._server)
        transport.set_protocol(session)
        session.connection_made(transport)


class SmtpServer:
    """Listens, counts, and drains at stop."""

    def __init__(
        self,
        settings: SmtpSettings,
        handle: Handle,
        *,
        offers: Callable[[], frozenset[str]] = lambda: OPTIONAL_EXTENSIONS,
        answer_seconds: float = 600.0,
    ) -> None:
        self.settings = settings
        self.handle = handle
        self.offers = offers
        self.answer_seconds = answer_seconds  # above the message's own deadline: it must never strike first
        self.hostname = settings.name
        self.tls = server_context(settings)
        self.clients = Clients(settings.max_connections_per_client, settings.max_messages_per_minute, time.monotonic)
        self.sessions: set[Connection] = set()
        self.held: dict[Connection, int] = {}
        self.stopping = False
        self._empty = asyncio.Event()
        self._peers = [ipaddress.ip_network(network) for network in settings.xforward_peers]
        self._listeners: list[asyncio.Server] = []

    @property
    def held_bytes(self) -> int:
        """Bytes of all messages under way."""
        return sum(self.held.values())

    def trusts_xforward_of(self, client: str) -> bool:
        """Whether this peer may say who the first client was."""
        try:
            address = ipaddress.ip_address("127.0.0.1" if client == UNIX else client)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._peers)

    async def start(self) -> list[Address]:
        """Listen everywhere; the addresses that were bound, port 0 resolved."""
        return [await self._listen(address) for address in self.settings.listen_addresses]

    async def _listen(self, address: Address) -> Address:
        loop = asyncio.get_running_loop()
        door = functools.partial(_Door, self, address.protocol)
        if address.path:
            self._listeners.append(await loop.create_unix_server(door, address.path))
            os.chmod(address.path, _SOCKET_MODE)  # noqa: PTH101 - at start only, one call
            return address
        listener = await loop.create_server(door, address.host, address.port, reuse_address=True)
        self._listeners.append(listener)
        host, port = listener.sockets[0].getsockname()[:2]
        return Address(address.protocol, str(host), int(port))

    async def stop(self, seconds: float) -> None:
        """Take no more clients, let messages under way end within `seconds`, then hang up."""
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        for session in tuple(self.sessions):
            if not session.busy:
                session.say_goodbye(_GOING)
        if self.sessions:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
        for session in tuple(self.sessions):
            session.say_goodbye(_GOING)

    def refusal_of(self, client: str) -> str | None:
        """Why a client that has just connected is sent away; None counts it in."""
        if len(self.sessions) >= self.settings.max_connections:
            return "421 4.7.0 Too many connections, try again later"
        if not self.clients.enter(client):
            return "421 4.7.0 Too many connections from this client, try again later"
        return None

    def left(self, session: Connection) -> None:
        """Forget a session that has ended."""
        if session in self.sessions:
            self.sessions.discard(session)
            self.clients.leave(session.client)
        if self.stopping and not self.sessions:
            self._empty.set()
