"""The gateway's side of the sandbox service: asks it over a Unix socket or mutual TLS, and believes nothing unchecked.

Reached through `sandbox.client.open_sandbox` only. Trusts: the service to flatten, since nobody else can tell a
flattened PDF from another; not its words, which `untrusted_reply.py` reads, nor that its file is whole: it is written
beside its place, counted, compared with its digest, and only then renamed. Fails with SandboxUnavailableError, with
OSError where the disk is full. Bounds: `retry_seconds` for a service that cannot be reached, which is how one that
starts anew is waited for; `max_attempts` for a document under which the connection is lost, so that one which ends
the service is not sent for ever; `answer_seconds` for each attempt; a connection carries one document.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn

import aiohttp

from sandbox import contract, protocol, untrusted_reply
from sandbox.address import parse_address
from sandbox.client import (
    CHOSEN,
    Finding,
    Flattened,
    NotFlattened,
    SandboxUnavailableError,
    Unpacked,
    Want,
    fingerprint,
)
from sandbox.tls import gateway_context
from sandbox.untrusted_reply import MAX_BODY, STARTS, Announced, Lied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.client import Answer, Room, SandboxSettings

CHUNK: Final = 1 << 20
BUFFER: Final = 1 << 16  # bytes that are read ahead of us
FIRST: Final = 16  # bytes of a safe file that are looked at
FIRST_PAUSE: Final = 0.1  # seconds before the service is called again
LONGEST_PAUSE: Final = 2.0
# Before the second attempt: a process that is killed closes one socket after the other, and one that still listens when
# our connection is gone already would take the document down with it a second time
LOST_PAUSE: Final = 1.0
OK: Final = 200
REFUSED: Final = 422
PROBLEM: Final = 503
MEND: Final = "systemctl status lazaretto-sandbox; is sandbox.service.address right, and may this user connect?"
CANARY: Final = b"Lazaretto canary: if you can read this, the service answered.\n"

# the connection went away: a service that was ended, or a peer that does not want our certificate
_LOST: Final = (aiohttp.ClientError, ConnectionError, ssl.SSLError)


class _LostError(Exception):
    """The connection ended before the answer did."""


class RemoteSandbox:
    """Asks a service for each document; see `sandbox.client.Sandbox`."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._service = settings.service
        self._limits = settings.limits
        self._address = parse_address(settings.service.address)
        self._tls = None if self._address.path else gateway_context(settings.service)
        # a service that sends us elsewhere is none
        self._how: dict[str, Any] = {"allow_redirects": False, "server_hostname": settings.service.tls_name or None}
        self._where = f"the sandbox service at {self._address}"

    @property
    def chosen(self) -> str:
        """Who is asked."""
        return self._where

    @property
    def fingerprint(self) -> str:
        """Ours, and who is asked: a service of another version keeps its name, and its older results until they age."""
        ours = fingerprint(self._settings)
        return ours if self._address.path else f"{ours} {self._address}"

    async def flatten(
        self,
        untrusted_document: bytes,
        output: Path,
        want: Want = Want.PDF,
        *,
        message: str = "",
        room: Room | None = None,
        charset: str = "",
    ) -> Answer:
        """Flatten one document; see `sandbox.client.Sandbox`. A cancelled call hangs up."""
        if not untrusted_document:
            return NotFlattened(contract.EMPTY, "", 0.0)
        if len(untrusted_document) > self._limits.document_bytes:
            return NotFlattened(contract.DOCUMENT_TOO_LARGE, "", 0.0)
        room = room if want is Want.PDF else None
        headers = _fields(message, room, charset)
        lost = ""
        for number in range(self._service.max_attempts):
            await asyncio.sleep(LOST_PAUSE if number else 0)
            try:
                async with asyncio.timeout(self._service.answer_seconds):
                    return await self._attempt(untrusted_document, output, want, room, headers)
            except _LostError as error:  # flattening twice does no harm: the document is the same, the output new
                lost = str(error)
            except TimeoutError:
                raise self._unavailable(f"no answer in {self._service.answer_seconds:.0f} seconds") from None
            except Lied as lie:
                raise self._unavailable(f"it answered with {lie}; are both sides of one version?") from None
        raise self._unavailable(f"lost under {self._service.max_attempts} attempts: {lost}")

    async def health(self) -> str:
        """What the service says of itself; raises SandboxUnavailableError."""
        try:
            async with asyncio.timeout(self._service.connect_seconds * 2), self._session() as session:
                async with session.get(self._url(protocol.HEALTH), **self._how) as reply:
                    body = await _short_body(reply)
                return untrusted_reply.health(body) if reply.status == OK else self._otherwise(reply.status, body)
        except (*_LOST, OSError) as error:  # TimeoutError is one
            raise self._unavailable(_line(error)) from None
        except Lied as lie:
            raise self._unavailable(f"it answered with {lie}") from None

    async def _attempt(
        self, untrusted_document: bytes, output: Path, want: Want, room: Room | None, headers: dict[str, str]
    ) -> Answer:
        url = self._url(protocol.FLATTEN + want.value)
        with _lost_connections():
            async with self._session() as session:
                reply = await self._reached(session, url, untrusted_document, headers)
                async with reply:
                    return await self._read(reply, output, want, room)

    async def _reached(
        self, session: aiohttp.ClientSession, url: str, untrusted_document: bytes, headers: dict[str, str]
    ) -> aiohttp.ClientResponse:
        """The head of the answer; a service that is not there is waited for."""
        clock = asyncio.get_running_loop().time
        end, pause = clock() + self._service.retry_seconds, FIRST_PAUSE
        while True:
            try:
                body = io.BytesIO(untrusted_document)
                return await session.post(url, data=body, headers=headers, **self._how)
            except aiohttp.ClientSSLError as error:  # it is there, and is not who it should be
                raise self._unavailable(_line(error)) from None
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                if clock() + pause > end:
                    raise self._unavailable(_line(error)) from None
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _read(self, reply: aiohttp.ClientResponse, output: Path, want: Want, room: Room | None) -> Answer:
        if reply.status == OK:
            known = untrusted_reply.announced(reply.headers, want, self._limits, room)
            if room and known.index:
                return await _unpacked(reply, output, known, room)
            return await _safe(reply, output, known)
        body = await _short_body(reply)
        return (
            untrusted_reply.refused(body, reply.headers)
            if reply.status == REFUSED
            else self._otherwise(reply.status, body)
        )

    def _otherwise(self, status: int, untrusted_body: bytes) -> NoReturn:
        if status == PROBLEM:
            raise untrusted_reply.problem(untrusted_body, self._where)
        raise Lied(f"status {status}")

    def _session(self) -> aiohttp.ClientSession:
        connector: aiohttp.BaseConnector
        if self._tls is None:
            connector = aiohttp.UnixConnector(self._address.path, force_close=True)
        else:
            connector = aiohttp.TCPConnector(ssl=self._tls, force_close=True)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # an answer that is packed is none of ours
            read_bufsize=BUFFER,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._service.connect_seconds),
        )

    def _url(self, resource: str) -> str:
        if self._address.path:
            return f"http://sandbox{resource}"
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"https://{host}:{self._address.port}{resource}"

    def _unavailable(self, why: str) -> SandboxUnavailableError:
        return SandboxUnavailableError(f"{self._where}: {why}")


@contextlib.contextmanager
def _lost_connections() -> Iterator[None]:
    """Tell a connection that was lost, after which another attempt makes sense, from an answer that makes none."""
    try:
        yield
    except aiohttp.ClientResponseError:
        raise Lied("what is no HTTP") from None
    except _LOST as error:
        raise _LostError(_line(error)) from None


def _fields(message: str, room: Room | None, charset: str) -> dict[str, str]:
    fields = {"Content-Type": "application/octet-stream", "Accept-Encoding": "identity"}
    if room:
        fields[protocol.ROOM] = f"members={min(room.members, protocol.MAX_ROOM_MEMBERS)}, bytes={room.bytes}"
    said = {protocol.MESSAGE: message, protocol.CHARSET: charset}
    return fields | {name: value for name, value in said.items() if value}


async def _safe(reply: aiohttp.ClientResponse, output: Path, known: Announced) -> Flattened:
    """The file at `output`, when all of it is there as announced; before that, and otherwise, nothing."""
    with _appearing(output) as file:
        start = await _copy(reply, file, known)
        if not start.startswith(STARTS[known.media_type]):
            raise Lied(f"a file that is no {known.media_type}")
    return Flattened(output, known.media_type, known.found, known.pages, known.size, known.seconds, known.stages)


async def _unpacked(reply: aiohttp.ClientResponse, output: Path, known: Announced, room: Room) -> Unpacked:
    """The members at `output`, likewise."""
    size = known.size - known.index
    with _appearing(output) as file:
        untrusted_index = await _copy(reply, file, known)
        form, members = await asyncio.to_thread(untrusted_reply.members, untrusted_index, size, room)
    return Unpacked(output, form, members, known.found, size, known.seconds, known.stages)


@contextlib.contextmanager
def _appearing(output: Path) -> Iterator[BinaryIO]:
    unfinished = output.with_name(f".{output.name}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.rename(output)
    finally:
        unfinished.unlink(missing_ok=True)


async def _copy(reply: aiohttp.ClientResponse, file: BinaryIO, known: Announced) -> bytes:
    """All that was announced into `file`, but for its index, which is returned; of a safe file its first bytes."""
    digest, size, start = hashlib.sha256(), 0, bytearray()
    wanted = known.index or FIRST
    async for chunk in reply.content.iter_chunked(CHUNK):
        size += len(chunk)
        if size > known.size:
            raise Lied("more bytes than it announced")
        digest.update(chunk)
        ahead = chunk[: wanted - len(start)]
        start += ahead
        await asyncio.to_thread(file.write, chunk[len(ahead) :] if known.index else chunk)
    if size != known.size or digest.digest() != known.digest:
        raise _LostError("the file did not arrive whole")
    return bytes(start)


async def _short_body(reply: aiohttp.ClientResponse) -> bytes:
    body = b""
    while len(body) <= MAX_BODY and (chunk := await reply.content.read(MAX_BODY)):
        body += chunk
    return body


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def examine_service(settings: SandboxSettings) -> Iterator[Finding]:
    """Whether the service answers, and whether a canary comes back from it flattened."""
    try:
        sandbox = RemoteSandbox(settings)
        said = asyncio.run(sandbox.health())
    except SandboxUnavailableError as error:
        yield Finding("sandbox service", ok=False, found=str(error), mend=MEND, needed=True)
        return
    yield Finding("sandbox service", ok=True, found=said, mend="", needed=True)
    with tempfile.TemporaryDirectory() as directory:
        try:
            result = asyncio.run(sandbox.flatten(CANARY, Path(directory) / "canary.pdf"))
        except SandboxUnavailableError as error:
            yield Finding(CHOSEN, ok=False, found=str(error), mend=MEND, needed=True)
            return
    ok = isinstance(result, Flattened)
    found = f"canary flattened in {result.seconds:.1f} s" if ok else f"the canary came back as {result}"
    yield Finding(CHOSEN, ok, found, "lazaretto doctor, where the service runs", needed=True)
