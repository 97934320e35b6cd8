"""A next hop on a real socket that follows a script: a reply, a delay or a hang-up at each step, and a record of all it got."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HANG = "hang"  # never answer
DROP = "drop"  # close the connection instead of an answer
EHLO = "250-sink.test\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n250 ENHANCEDSTATUSCODES"
STEPS = ("greeting", "EHLO", "XFORWARD", "MAIL", "RCPT", "DATA", "dot")
GOOD = {
    "greeting": "220 sink.test ESMTP",
    "EHLO": EHLO,
    "HELO": "250 sink.test",
    "XFORWARD": "250 2.0.0 Ok",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go on",
    "dot": "250 2.0.0 Ok: queued as ABC",
    "QUIT": "221 2.0.0 Bye",
}


@dataclass
class ScriptedNextHop:
    """`script` replaces answers; a list is used up answer by answer."""

    script: dict[str, str | list[str]] = field(default_factory=dict)
    port: int = 0
    connections: int = 0
    commands: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)  # as on the wire, dot included
    release: asyncio.Event = field(default_factory=asyncio.Event)  # ends every HANG with the good answer
    reached: dict[str, asyncio.Event] = field(default_factory=dict)

    def seen(self, step: str) -> asyncio.Event:
        return self.reached.setdefault(step, asyncio.Event())

    def commands_of(self, verb: bytes) -> list[bytes]:
        return [command for command in self.commands if command.upper().startswith(verb)]

    async def answer(self, step: str, writer: asyncio.StreamWriter) -> bool:
        """False: the session is over."""
        self.seen(step).set()
        reply = self.script.get(step, GOOD.get(step, "500 5.5.2 what?"))
        if isinstance(reply, list):
            reply = reply.pop(0) if len(reply) > 1 else reply[0]
        if reply == DROP:
            writer.close()
            return False
        if reply == HANG:
            await self.release.wait()
            reply = GOOD[step]
        writer.write(reply.encode("utf-8", "surrogateescape") + b"\r\n")
        await writer.drain()
        return not reply.startswith("421")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.session(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self.answer("greeting", writer):
            return
        while line := await reader.readline():
            self.commands.append(line.rstrip(b"\r\n"))
            verb = line.split()[0].split(b":")[0].upper().decode()
            if not await self.answer(verb, writer) or verb == "QUIT":
                return
            reply = self.script.get("DATA", GOOD["DATA"])
            if verb == "DATA" and isinstance(reply, str) and (reply.startswith("354") or reply == HANG):
                lines = [await reader.readuntil(b"\r\n")]
                while lines[-1] != b".\r\n":
                    lines.append(await reader.readuntil(b"\r\n"))
                self.messages.append(b"".join(lines))
                if not await self.answer("dot", writer):
                    return


@asynccontextmanager
async def scripted_next_hop(script: dict[str, str | list[str]] | None = None) -> AsyncIterator[ScriptedNextHop]:
    hop = ScriptedNextHop(script or {})
    server = await asyncio.start_server(hop.serve, "127.0.0.1", 0, limit=1 << 26)
    hop.port = server.sockets[0].getsockname()[1]
    try:
        yield hop
    finally:
        hop.release.set()
        server.close()
