"""A next hop on a real socket that follows a script: a reply, a delay or a hang-up at each step, and a record of all it got.

SMTP, or LMTP with a reply for each recipient that it took; STARTTLS where it is given a certificate.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

HANG = "hang"  # never answer
DROP = "drop"  # close the connection instead of an answer
EHLO = "250-sink.test\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n250 ENHANCEDSTATUSCODES"
STEPS = ("greeting", "EHLO", "XFORWARD", "MAIL", "RCPT", "DATA", "dot")
GOOD = {
    "greeting": "220 sink.test ESMTP",
    "EHLO": EHLO,
    "LHLO": EHLO,
    "HELO": "250 sink.test",
    "STARTTLS": "220 2.0.0 go ahead",
    "XFORWARD": "250 2.0.0 Ok",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go on",
    "dot": "250 2.0.0 Ok: queued as ABC",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}


@dataclass
class ScriptedNextHop:
    """`script` replaces answers; a list is used up answer by answer, its last one stays."""

    script: dict[str, str | list[str]] = field(default_factory=dict)
    lmtp: bool = False
    tls: ssl.SSLContext | None = None
    port: int = 0
    connections: int = 0
    secured: int = 0
    commands: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)  # as on the wire, dot included
    release: asyncio.Event = field(default_factory=asyncio.Event)  # ends every HANG with the good answer
    reached: dict[str, asyncio.Event] = field(default_factory=dict)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def seen(self, step: str) -> asyncio.Event:
        return self.reached.setdefault(step, asyncio.Event())

    def commands_of(self, verb: bytes) -> list[bytes]:
        return [command for command in self.commands if command.upper().startswith(verb)]

    async def answer(self, step: str, writer: asyncio.StreamWriter) -> str:
        """What was answered; "": the session is over."""
        self.seen(step).set()
        reply = self.script.get(step, GOOD.get(step, "500 5.5.2 what?"))
        if isinstance(reply, list):
            reply = reply.pop(0) if len(reply) > 1 else reply[0]
        if step in ("EHLO", "LHLO") and self.tls and not self.over_tls(writer) and reply == EHLO:
            reply = EHLO.replace("250-PIPELINING", "250-STARTTLS\r\n250-PIPELINING")
        if reply == DROP:
            writer.close()
            return ""
        if reply == HANG:
            await self.release.wait()
            reply = GOOD[step]
        writer.write(reply.encode("utf-8", "surrogateescape") + b"\r\n")
        await writer.drain()
        return "" if reply.startswith("421") else reply

    @staticmethod
    def over_tls(writer: asyncio.StreamWriter) -> bool:
        return writer.get_extra_info("ssl_object") is not None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            await self.session(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = 0
        if not await self.answer("greeting", writer):
            return
        while line := await reader.readline():
            self.commands.append(line.rstrip(b"\r\n"))
            verb = line.split()[0].split(b":")[0].upper().decode()
            reply = await self.answer(verb, writer)
            if not reply or verb == "QUIT":
                return
            if verb == "STARTTLS" and reply.startswith("220") and self.tls:
                await writer.start_tls(self.tls)
                self.secured += 1
            elif verb == "MAIL":
                taken = 0
            elif verb == "RCPT":
                taken += reply.startswith("25")
            elif verb == "DATA" and reply.startswith("354"):
                self.messages.append(await self.message(reader))
                for _ in range(taken if self.lmtp else 1):
                    if not await self.answer("dot", writer):
                        return

    @staticmethod
    async def message(reader: asyncio.StreamReader) -> bytes:
        lines = [await reader.readuntil(b"\r\n")]
        while lines[-1] != b".\r\n":
            lines.append(await reader.readuntil(b"\r\n"))
        return b"".join(lines)


@asynccontextmanager
async def scripted_next_hop(
    script: dict[str, str | list[str]] | None = None,
    *,
    lmtp: bool = False,
    tls: ssl.SSLContext | None = None,
    path: str = "",
) -> AsyncIterator[ScriptedNextHop]:
    hop = ScriptedNextHop(script or {}, lmtp, tls)
    if path:
        server = await asyncio.start_unix_server(hop.serve, path, limit=1 << 26)
    else:
        server = await asyncio.start_server(hop.serve, "127.0.0.1", 0, limit=1 << 26)
        hop.port = server.sockets[0].getsockname()[1]
    try:
        yield hop
    finally:
        hop.release.set()
        server.close()
        for writer in tuple(hop.writers):
            writer.close()
