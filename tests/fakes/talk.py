"""A raw SMTP client for tests: sends exactly the bytes it is given and reads whole replies."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECONDS = 20


class Talk:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def reply(self) -> str:
        """One reply, all its lines; "" when the server has hung up."""
        lines = []
        while True:
            try:
                line = (await asyncio.wait_for(self.reader.readline(), SECONDS)).decode()
            except ConnectionError:
                line = ""
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, command: str | bytes) -> str:
        await self.send((command.encode() if isinstance(command, str) else command) + b"\r\n")
        return await self.reply()

    async def open_message(self, sender: str = "a@example.org", recipient: str = "b@example.net") -> None:
        for command, code in (
            ("EHLO test", "250"),
            (f"MAIL FROM:<{sender}>", "250"),
            (f"RCPT TO:<{recipient}>", "250"),
            ("DATA", "354"),
        ):
            reply = await self.ask(command)
            assert reply.startswith(code), reply

    async def deliver(self, wire: bytes, **envelope: str) -> str:
        """One whole transaction with the bytes after DATA as given; the reply to the dot."""
        await self.open_message(**envelope)
        await self.send(wire)
        return await self.reply()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Talk]:
    """Nothing read yet, not even the greeting."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def talking(port: int) -> AsyncIterator[Talk]:
    async with connected(port) as talk:
        greeting = await talk.reply()
        assert greeting.startswith("220"), greeting
        yield talk
