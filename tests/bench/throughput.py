"""Messages a second without attachments through a real `lazaretto serve`, against the same clients to the sink directly."""

from __future__ import annotations

import smtplib
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.bench.sink import sink_process
from tests.bench.table import Figure
from tests.fakes.serving import serving

CLIENTS: Final = 4
TRIES: Final = 3
HOST: Final = "127.0.0.1"
# none is needed for these messages, and none shall be tried while they are counted
NO_SANDBOX: Final = '[sandbox]\ncache_dir = "{}"\n'
MESSAGE: Final = (
    b"From: a@example.org\r\nTo: b@example.net\r\nSubject: no attachment\r\nMessage-ID: <1@example.org>\r\n"
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    + b"A line of a letter as people write them, some seventy characters long.\r\n"
    * 40
)


NO_JOURNAL: Final = "[journal]\nentries = 0\n"


def measure(messages: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as place, sink_process() as sink:
        homes = [Path(place) / name for name in ("with", "without", "no-image")]
        for home in homes:
            home.mkdir()
        config = NO_SANDBOX.format(homes[2])
        with serving(homes[0], sink, config) as served, serving(homes[1], sink, config + NO_JOURNAL) as forgetful:
            for gateway in (served, forgetful):
                gateway.wait_for("sandbox_unavailable")
            through, without, direct = in_turns((served.port, forgetful.port, sink), messages)
    size = f"{len(MESSAGE) / 1000:.1f} kB"
    how = f"{CLIENTS} clients that keep their connections, {messages} messages of {size}, median of {TRIES} tries"
    ratio = f"{through / direct:.2f} x straight to the sink ({direct:.0f})"
    journal = f"{through / without:.2f} x without a journal ({without:.0f})"
    return [
        Figure("messages a second, no attachments", f"{through:.0f}", ratio, how),
        Figure("messages a second, with a journal", f"{through:.0f}", journal, how),
    ]


def in_turns(ports: tuple[int, ...], messages: int) -> list[float]:
    """Messages a second to each; each try meets the machine as the others do."""
    for port in ports:
        rate(port, CLIENTS * 2)  # what is done once only is done
    tries = [[rate(port, messages) for port in ports] for _ in range(TRIES)]
    return [statistics.median(taken) for taken in zip(*tries, strict=True)]


def rate(port: int, messages: int) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        sent = sum(clients.map(_client, [port] * CLIENTS, [messages // CLIENTS] * CLIENTS))
    return sent / (time.perf_counter() - started)


def _client(port: int, messages: int) -> int:
    with smtplib.SMTP(HOST, port, timeout=60) as client:
        for _ in range(messages):
            client.sendmail("a@example.org", ["b@example.net"], MESSAGE)
    return messages
