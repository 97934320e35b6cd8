"""The sandbox service's side of its socket: documents in to the sandbox; safe files, members or reasons out, by HTTP.

Trusts: whoever may connect to hand in documents, and no more: a document is as hostile as its sender, and a gateway
that somebody else holds gets nothing here but flattened files of its own documents. Fails by status, see
`sandbox/protocol.py`; what nobody foresaw is 503 and a trace in the log. A client that goes away cancels its request.
Bounds: requests under way and waiting (`concurrency`, `max_waiting`) and the bytes that they hold, before a byte of
the document is read; a connection carries one request, whose head has `HEAD_SECONDS`, whose body and whose answer
have `transfer_seconds` each; what the sandbox does is bounded there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import structlog
from aiohttp import web

from sandbox import contract, protocol
from sandbox.client import CHARSET, Flattened, NotFlattened, Room, SandboxBusyError, Unpacked, Want
from sandbox.host import listen, reply
from sandbox.host.workplace import workplace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.client import Answer, Sandbox, SandboxSettings

log = structlog.get_logger(__name__)

HEAD_SECONDS: Final = 10.0  # from the connection to the end of the request's head; both sides are programs
HANDSHAKE_SECONDS: Final = 10.0
LINGER_SECONDS: Final = 5.0  # for the rest of a document that was refused early, so that the client hears why
SPARE_CONNECTIONS: Final = 20  # for health, and for those who hear that we are busy
CHUNK: Final = 1 << 20
READ_AHEAD: Final = 1 << 16
WANTS: Final = {protocol.FLATTEN + want.value: want for want in Want}
_MESSAGE: Final = re.compile(rf"[\x21-\x7e]{{0,{protocol.MAX_MESSAGE}}}\Z")
_ROOM: Final = re.compile(r"members=([0-9]{1,9}), bytes=([0-9]{1,15})\Z")


class Places:
    """How many requests may be in the house, and how many bytes they may bring."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self.taken = 0
        self._bytes = 0
        self.empty = asyncio.Event()
        self.empty.set()

    @contextlib.contextmanager
    def place(self, size: int) -> Iterator[None]:
        """A place until the end of the block; raises SandboxBusyError where there is none."""
        if self.taken >= self._most or (self.taken and self._bytes + size > self._most_bytes):
            raise SandboxBusyError(f"{self.taken} documents are under way or wait")
        self.taken += 1
        self._bytes += size
        self.empty.clear()
        try:
            yield
        finally:
            self.taken -= 1
            self._bytes -= size
            if not self.taken:
                self.empty.set()


class Door:
    """Listens, lets documents in to the sandbox, and drains at stop; see `sandbox.client.Service`."""

    def __init__(self, sandbox: Sandbox, settings: SandboxSettings, listen_at: str, version: str) -> None:
        self._sandbox = sandbox
        self._settings = settings
        self._service = settings.service
        self._listen_at = listen_at
        self._version = version
        self._workplace = Path()
        self._listeners: list[asyncio.Server] = []

    async def start(self) -> list[str]:
        """Listen; see `sandbox.client.Service`."""
        most = self._settings.concurrency + self._service.max_waiting
        self._most_connections = most + SPARE_CONNECTIONS
        self.places = Places(most, self._service.max_memory_bytes)
        self._server = web.Server(
            self._answer,
            handler_cancellation=True,
            keepalive_timeout=HEAD_SECONDS,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
            read_bufsize=READ_AHEAD,
            access_log=None,
        )
        self._sockets = listen.sockets(self._listen_at, self._service)
        self._workplace = workplace()
        return [await self._listen(guarded) for guarded in self._sockets]

    async def _listen(self, guarded: listen.Guarded) -> str:
        loop = asyncio.get_running_loop()
        if guarded.tls:
            server = await loop.create_server(
                self._let_in, sock=guarded.socket, ssl=guarded.tls, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        else:
            server = await loop.create_unix_server(self._let_in, sock=guarded.socket)
        self._listeners.append(server)
        return str(guarded.address)

    def _let_in(self) -> asyncio.Protocol:
        full = len(self._server.connections) >= self._most_connections
        return _SentAway() if full else self._server()

    async def stop(self, seconds: float) -> None:
        """End; see `sandbox.client.Service`."""
        for guarded in self._sockets:
            guarded.remove()
        for listener in self._listeners:
            listener.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.places.empty.wait(), seconds)
        await self._server.shutdown(1.0)
        shutil.rmtree(self._workplace, ignore_errors=True)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The boundary: whatever breaks in here, the message stays where it is kept."""
        try:
            return await self._routed(request)
        except Exception as error:  # noqa: BLE001 - the one place of the service; it is logged
            return reply.told(error)

    async def _routed(self, request: web.BaseRequest) -> web.StreamResponse:
        want = WANTS.get(request.path)
        if request.path == protocol.HEALTH and request.method == "GET":
            return self._health()
        if want is None:
            raise reply.Unacceptable(404)
        if request.method != "POST":
            raise reply.Unacceptable(405)
        return await self._flattened(request, want)

    def _health(self) -> web.Response:
        if not self._sandbox.chosen:
            return reply.problem(protocol.UNAVAILABLE, "no sandbox has come up yet; see the service's log")
        said = {"version": self._version, "contract": contract.VERSION, "chosen": self._sandbox.chosen}
        return reply.closing(web.json_response({**said, "documents": self.places.taken}))

    async def _flattened(self, request: web.BaseRequest, want: Want) -> web.StreamResponse:
        size, message, charset, room = _head(request)
        if size > self._settings.limits.document_bytes:
            return reply.refusal(NotFlattened(contract.DOCUMENT_TOO_LARGE, "", 0.0))
        with self.places.place(size), tempfile.TemporaryDirectory(dir=self._workplace) as directory:
            untrusted_document = await self._received(request, size)
            output = Path(directory) / "output"
            result = await self._sandbox.flatten(
                untrusted_document, output, want, message=message, room=room, charset=charset
            )
            _logged(result, size, message)
            if isinstance(result, NotFlattened):
                return reply.refusal(result)
            return await self._sent(request, result)

    async def _received(self, request: web.BaseRequest, size: int) -> bytes:
        try:
            async with asyncio.timeout(self._service.transfer_seconds):
                return await request.content.readexactly(size)
        except TimeoutError:
            raise reply.Unacceptable(408) from None
        except asyncio.IncompleteReadError:
            raise reply.Unacceptable(400) from None

    async def _sent(self, request: web.BaseRequest, result: Flattened | Unpacked) -> web.StreamResponse:
        index = reply.index(result) if isinstance(result, Unpacked) else b""
        with result.path.open("rb") as file:
            digest = await asyncio.to_thread(_digest, index, file)
            file.seek(0)
            response = reply.closing(web.StreamResponse(headers=reply.file_fields(result, digest, len(index))))
            response.content_length = len(index) + os.fstat(file.fileno()).st_size
            try:
                async with asyncio.timeout(self._service.transfer_seconds):
                    await response.prepare(request)
                    if index:
                        await response.write(index)
                    while chunk := await asyncio.to_thread(file.read, CHUNK):
                        await response.write(chunk)
                    await response.write_eof()
            except OSError as error:  # TimeoutError is one; half an answer must not be taken for a whole one
                log.warning("answer_not_taken", reason=str(error) or type(error).__name__)
                if request.transport:
                    request.transport.abort()
        return response


class _SentAway(asyncio.Protocol):
    """A connection too many: hears so, and ends."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            body = b'{"problem": "busy", "detail": "too many connections"}'
            head = f"HTTP/1.1 503 Busy\r\nContent-Length: {len(body)}\r\nRetry-After: {protocol.RETRY_AFTER}\r\n\r\n"
            transport.write(head.encode("ascii") + body)
        transport.close()


def _digest(index: bytes, file: BinaryIO) -> bytes:
    """Of what is sent, all of it."""
    digest = hashlib.sha256(index)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.digest()


def _head(request: web.BaseRequest) -> tuple[int, str, str, Room | None]:
    """The document's size, its message, what that calls its charset, and the room for what may be in it."""
    size = request.content_length
    message, charset = (request.headers.get(name, "") for name in (protocol.MESSAGE, protocol.CHARSET))
    if size is None:
        raise reply.Unacceptable(411)
    if "Content-Encoding" in request.headers:
        raise reply.Unacceptable(415)
    if not (_MESSAGE.match(message) and CHARSET.match(charset)):
        raise reply.Unacceptable(400)
    return size, message, charset, _room(request.headers.get(protocol.ROOM))


def _room(field: str | None) -> Room | None:
    if field is None:
        return None
    said = _ROOM.match(field)
    if not said or int(said[1]) > protocol.MAX_ROOM_MEMBERS:
        raise reply.Unacceptable(400)
    return Room(int(said[1]), int(said[2]))


def _logged(result: Answer, size: int, message: str) -> None:
    log.info(
        "document",
        message=message,
        bytes_in=size,
        found=result.found,
        outcome={Flattened: "flattened", Unpacked: "unpacked", NotFlattened: "failed"}[type(result)],
        reason=result.reason if isinstance(result, NotFlattened) else "",
        pages=result.pages if isinstance(result, Flattened) else 0,
        members=len(result.members) if isinstance(result, Unpacked) else 0,
        bytes_out=0 if isinstance(result, NotFlattened) else result.size,
        seconds=round(result.seconds, 3),
        stages={name: round(seconds, 3) for name, seconds in asdict(result.stages).items()},
    )
