r"""SMTP and LMTP dialogues as text, and their runner: a client, the gateway, and next hops that follow the script.

First what holds for the whole dialogue:

    # what it shows, and why
    in: lmtp                        what the client speaks (unless said: smtp)
    out: closed smtp                the next hops in their order: smtp, lmtp, closed (nobody listens); unless said: smtp
    tls: in out                     who has a certificate: the gateway (in), the next hops (out)
    set: smtp.max_errors = 3        a setting, as in lazaretto.toml
    box: HANG                       what the sandbox does; unless said, it makes a PDF
    N: RCPT 550 5.1.1 no            the next hop's answer at a step; given again: the one after it; the last one stays
    N2: greeting DROP               the second next hop hangs up; HANG: it does not answer; \r\n within a reply

Then line by line:

    C: what the client sends        (CRLF added)
    C> 'raw \r\n bytes'             (a Python bytes literal without its b; + b'x' * 5000 may follow)
    C$                              TLS handshake
    send b@example.net ...          a message to these from EHLO or LHLO to its dot, all good up to there
    mail b@example.net ...          likewise without the greeting
    attach b@example.net ...        as send, but with a document attached
    S: start of the server's reply  (its last line; "..." alone takes any)
    S! regular expression           (must match the whole reply)
    S-                              the server has hung up
    --                              hang up, connect anew
    ++                              keep this connection, use another one
    N? MAIL FROM:<a@example.org>    the next hop has got this command; "..." at its end: one that begins so
    N- BDAT                         it has got none that begins so
    N~ dot                          once it has come to this step
    N!                              it answers what it has hung on
    B~                              once a document is in the sandbox
    B!                              the sandbox answers what it has hung on
    B: 1                            so many documents were opened
    M: 1                            so many messages
    M> 'raw bytes'                  the last of them, as it came over the wire
    K: 1                            so many connections

N2?, N2-, M2:, M2> and K2: ask the second next hop. `foreign` reads the like of them written for another server: replies
are compared by their first digit.
"""

from __future__ import annotations

import ast
import asyncio
import re
import socket
import tomllib
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway import config
from gateway.daemon import build
from tests.fakes.certificates import certificates
from tests.fakes.next_hop import DROP, HANG, ScriptedNextHop, scripted_next_hop
from tests.fakes.sandbox import HANG as SANDBOX_HANG
from tests.fakes.sandbox import FakeSandbox
from tests.fakes.talk import SECONDS, Talk, connected, talking
from tests.gateway.messages import with_attachments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HEAD = re.compile(r"(in|out|tls|set|box): (.*)")
ANSWER = re.compile(r"N(\d?): (\w+) (.*)")
STEP = re.compile(r"(C:|C>|C\$|S:|S!|S-|--|\+\+|send|mail|attach|B[:~!]|[NMK]\d?[:?>~!-])(?: (.*))?")
PLAIN = b"Subject: x\r\n\r\ntext\r\n.\r\n"
ATTACHED = with_attachments(b"a document") + b".\r\n"


@dataclass
class Dialog:
    protocol: str = "smtp"
    hops: tuple[str, ...] = ("smtp",)
    tls: tuple[str, ...] = ()
    settings: dict[str, dict] = field(default_factory=dict)
    scripts: dict[int, dict[str, list[str]]] = field(default_factory=dict)
    steps: list[tuple[str, str]] = field(default_factory=list)
    box: str = ""
    about: str = ""


def read_dialog(text: str) -> Dialog:
    dialog = Dialog()
    for line in text.splitlines():
        if line.startswith("#"):
            dialog.about += line[1:]
        elif found := HEAD.fullmatch(line):
            _set(dialog, *found.groups())
        elif found := ANSWER.fullmatch(line):
            number, step, reply = found.groups()
            answers = dialog.scripts.setdefault(int(number or 1), {}).setdefault(step, [])
            answers.append({"DROP": DROP, "HANG": HANG}.get(reply, reply.replace(r"\r\n", "\r\n")))
        elif line:
            found = STEP.fullmatch(line)
            assert found, f"not a line of a dialogue: {line!r}"
            dialog.steps.append((found[1], found[2] or ""))
    return dialog


def _set(dialog: Dialog, name: str, value: str) -> None:
    if name == "in":
        dialog.protocol = value
    elif name == "out":
        dialog.hops = tuple(value.split())
    elif name == "box":
        dialog.box = {"HANG": SANDBOX_HANG}[value]
    elif name == "tls":
        dialog.tls = tuple(value.split())
    else:
        for section, keys in tomllib.loads(value).items():
            dialog.settings.setdefault(section, {}).update(keys)


@asynccontextmanager
async def _next_hops(dialog: Dialog) -> AsyncIterator[tuple[list[ScriptedNextHop], list[str]]]:
    tls = certificates().server() if "out" in dialog.tls else None
    async with AsyncExitStack() as stack:
        hops, addresses = [], []
        for number, kind in enumerate(dialog.hops, 1):
            if kind == "closed":
                taken = stack.enter_context(socket.socket())
                taken.bind(("127.0.0.1", 0))
                hop = ScriptedNextHop(port=taken.getsockname()[1])
            else:
                script = dialog.scripts.get(number, {})
                hop = await stack.enter_async_context(scripted_next_hop(script, lmtp=kind == "lmtp", tls=tls))
            hops.append(hop)
            addresses.append(f"{'lmtp' if kind == 'lmtp' else 'smtp'}:127.0.0.1:{hop.port}")
        yield hops, addresses


async def run_dialog(dialog: Dialog, home: Path) -> None:
    """The whole gateway but for its sandbox, on real sockets."""
    async with _next_hops(dialog) as (hops, addresses):
        smtp = {"listen": f"{dialog.protocol}:127.0.0.1:0", "hostname": "laz.test"}
        if "in" in dialog.tls:
            made = certificates()
            smtp |= {"tls": "may", "tls_certificate": str(made.certificate), "tls_key": str(made.key)}
        given = {"smtp": smtp, "relay": {"next_hop": addresses}, "originals": {"directory": str(home)}}
        if "out" in dialog.tls:
            given["relay"] |= {"tls": "may", "tls_ca_file": str(certificates().authority)}
        for section, keys in dialog.settings.items():
            given.setdefault(section, {}).update(keys)
        box = FakeSandbox({b"": dialog.box} if dialog.box else {})
        server, next_hop, sandbox = build(config.load(None, given), box)
        [address] = await server.start()
        try:
            async with AsyncExitStack() as stack:
                await _Run(dialog, hops, box, address.port, stack).run()
        finally:
            await server.stop(0.2)
            await next_hop.drain(1)
            await sandbox.close()


class _Run:
    def __init__(
        self, dialog: Dialog, hops: list[ScriptedNextHop], box: FakeSandbox, port: int, stack: AsyncExitStack
    ) -> None:
        self.dialog, self.hops, self.box, self.port, self.stack = dialog, hops, box, port, stack
        self.talk: Talk | None = None

    async def run(self) -> None:
        steps = self.dialog.steps
        await self.connect(steps[0])
        for number, (sign, text) in enumerate(steps):
            if sign in ("--", "++"):
                if sign == "--":
                    self.talk.writer.close()
                await self.connect(steps[number + 1])
            elif sign in ("send", "mail", "attach"):
                await self.send(text.split(), ATTACHED if sign == "attach" else PLAIN, greet=sign != "mail")
            elif sign[0] in "NB" and sign[-1] in "~!":
                await self.step_in(sign, text)
            elif sign[0] == "C":
                await self.client(sign, text)
            elif sign[0] == "S":
                _compare(sign, text, await self.talk.reply())
            else:
                self.look(sign, text)

    async def connect(self, following: tuple[str, str]) -> None:
        """A greeting that the dialogue does not speak of has to be 220."""
        self.talk = await self.stack.enter_async_context(connected(self.port))
        if following[0][0] != "S":
            _compare("S:", "220 laz.test ", await self.talk.reply())

    async def client(self, sign: str, text: str) -> None:
        if sign == "C$":
            await self.talk.writer.start_tls(certificates().client(), server_hostname="mx.test")
        else:
            await self.talk.send(text.encode() + b"\r\n" if sign == "C:" else _bytes(text))

    async def step_in(self, sign: str, text: str) -> None:
        """With the next hop or the sandbox: wait until it is there, or let it answer."""
        there = self.box if sign[0] == "B" else self.hops[int(sign[1:-1] or 1) - 1]
        if sign[-1] == "!":
            there.release.set()
        else:
            await asyncio.wait_for((there.entered if there is self.box else there.seen(text)).wait(), SECONDS)

    async def send(self, recipients: list[str], content: bytes, *, greet: bool) -> None:
        commands = [f"{'LHLO' if self.dialog.protocol == 'lmtp' else 'EHLO'} client.example.org"] if greet else []
        commands += ["MAIL FROM:<a@example.org>", *(f"RCPT TO:<{recipient}>" for recipient in recipients)]
        for command in commands:
            _compare("S:", "250", await self.talk.ask(command))
        _compare("S:", "354", await self.talk.ask("DATA"))
        await self.talk.send(content)

    def look(self, sign: str, text: str) -> None:
        if sign == "B:":
            assert len(self.box.documents) == int(text), self.box.documents
            return
        hop = self.hops[int(sign[1:-1] or 1) - 1]
        commands = [command.decode("utf-8", "surrogateescape") for command in hop.commands]
        match sign[0] + sign[-1]:
            case "N?" if text.endswith("..."):
                assert any(command.startswith(text[:-3]) for command in commands), (text, commands)
            case "N?":
                assert text in commands, (text, commands)
            case "N-":
                assert not any(command.startswith(text) for command in commands), (text, commands)
            case "M:":
                assert len(hop.messages) == int(text), hop.messages
            case "M>":
                assert hop.messages[-1] == _bytes(text)
            case "K:":
                assert hop.connections == int(text)
            case _:
                raise AssertionError(sign)


def _bytes(text: str) -> bytes:
    """Literals, repeated and joined, and nothing else."""
    parts = [part.split(" * ") for part in ("b" + text).split(" + ")]
    return b"".join(ast.literal_eval(part[0]) * (int(part[1]) if len(part) > 1 else 1) for part in parts)


def _compare(sign: str, wanted: str, reply: str) -> None:
    if sign == "S1":
        assert reply[:1] == wanted[:1], (wanted, reply)
    elif sign == "S!":
        assert re.fullmatch(wanted, reply), (wanted, reply)
    elif sign == "S-":
        assert reply == "", reply
    elif wanted != "...":
        assert reply.rpartition("\n")[2].startswith(wanted), (wanted, reply)


# --- dialogues written for another server ---


def read_foreign(text: str) -> list[tuple[str, str]]:
    return [step for line in text.splitlines() if (step := _foreign(line))]


def _foreign(line: str) -> tuple[str, str] | None:
    match = re.match(r"c (->|~>|<-|<~|<\.\.\.|tcp_connect|close) ?(.*)", line)
    if not match:
        return None
    sign, rest = match.groups()
    if sign == "->":
        return "C:", rest
    if sign == "~>":
        return "C>", rest
    if sign == "close":
        return "--", ""
    if sign == "tcp_connect":
        return None
    return ("S1", rest) if not rest.startswith("220") else None


async def run_foreign(port: int, steps: list[tuple[str, str]]) -> None:
    while steps:
        signs = [sign for sign, _ in steps]
        at = signs.index("--") if "--" in signs else len(steps)
        part, steps = steps[:at], steps[at + 1 :]
        async with talking(port) as talk:
            for sign, text in part:
                if sign == "C:":
                    await talk.send(text.encode() + b"\r\n")
                elif sign == "C>":
                    await talk.send(ast.literal_eval("b" + text))
                else:
                    _compare(sign, text, await talk.reply())
