"""Both sides of the sandbox service on real sockets: the door before a fake sandbox, and a service that says what a test wants."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.client import SandboxSettings, ServiceSettings
from sandbox.host.door import Door
from sandbox.remote import RemoteSandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from sandbox.client import Sandbox

    Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A Unix socket's path has to be short, which pytest's directories are not."""
    with tempfile.TemporaryDirectory(prefix="lz-") as directory:
        yield Path(directory)


def settings_for(address: str, concurrency: int = 2, limits: dict | None = None, **service) -> SandboxSettings:
    base = SandboxSettings()
    chosen = {"retry_seconds": 0.5, "connect_seconds": 5.0, "answer_seconds": 20.0, "transfer_seconds": 10.0, **service}
    return SandboxSettings(
        concurrency=concurrency,
        service=ServiceSettings(address=address, **chosen),
        limits=dataclasses.replace(base.limits, **(limits or {})),
    )


@contextlib.asynccontextmanager
async def door(sandbox: Sandbox, settings: SandboxSettings, listen: str = "") -> AsyncIterator[tuple[Door, str]]:
    """A service that listens, and its address."""
    opened = Door(sandbox, settings, listen or settings.service.address, "1.2.3")
    [address] = await opened.start()
    try:
        yield opened, address
    finally:
        await opened.stop(0.0)


@contextlib.asynccontextmanager
async def serving_door(sandbox: Sandbox, **options) -> AsyncIterator[tuple[RemoteSandbox, Door, Path]]:
    """A service on a Unix socket, the client that asks it, and the socket."""
    with short_directory() as directory:
        settings = settings_for(f"unix:{directory}/s", **options)
        async with door(sandbox, settings) as (opened, _):
            yield RemoteSandbox(settings), opened, directory / "s"


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """The document of a request."""
    head = await reader.readuntil(b"\r\n\r\n")
    [length] = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return await reader.readexactly(int(length))


@contextlib.asynccontextmanager
async def hostile_service(*says: Say | bytes, **options) -> AsyncIterator[tuple[RemoteSandbox, list[bytes]]]:
    """A service that answers each connection with the next of `says`, the last one again and again."""
    documents: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        say = says[min(len(documents), len(says) - 1)]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            documents.append(await read_request(reader))
            if isinstance(say, bytes):
                writer.write(say)
                await writer.drain()
            else:
                await say(reader, writer)
        writer.close()

    with short_directory() as directory:
        server = await asyncio.start_unix_server(answer, f"{directory}/s")
        try:
            yield RemoteSandbox(settings_for(f"unix:{directory}/s", **options)), documents
        finally:
            server.close()


def reply(status: int, body: bytes, **fields: str | None) -> bytes:
    """An HTTP response as a service sends it; a field of None is left out, `_` in its name is a hyphen."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    chosen = {
        "Content_Type": "application/pdf",
        "Content_Length": str(len(body)),
        "Content_Digest": f"sha-256=:{digest}:",
        "Lazaretto_Found": "text/plain",
        "Lazaretto_Pages": "1",
        "Lazaretto_Seconds": "0.250",
        **fields,
    }
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in chosen.items() if value is not None]
    return f"HTTP/1.1 {status} Said\r\n{''.join(lines)}\r\n".encode() + body


def held(members: object, content: bytes, form: object = 1, **fields: str | None) -> bytes:
    """The same where the document was a container."""
    index = json.dumps({"form": form, "members": members}).encode()
    kind = {"Content_Type": "application/vnd.lazaretto.members", "Lazaretto_Index": str(len(index))}
    return reply(200, index + content, **{"Lazaretto_Pages": None, **kind, **fields})
