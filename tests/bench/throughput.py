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


def measure(messages: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as place, sink_process() as sink:
        home = Path(place)
        (home / "no-image").mkdir()
        with serving(home, sink, NO_SANDBOX.format(home / "no-image")) as served:
            served.wait_for("sandbox_unavailable")
            through, direct = in_turns(served.port, sink, messages)
    size = f"{len(MESSAGE) / 1000:.1f} kB"
    how = f"{CLIENTS} clients that keep their connections, {messages} messages of {size}, median of {TRIES} tries"
    ratio = f"{through / direct:.2f} x straight to the sink ({direct:.0f})"
    return [Figure("messages a second, no attachments", f"{through:.0f}", ratio, how)]


def in_turns(gateway: int, sink: int, messages: int) -> tuple[float, float]:
    """Messages a second through the one and to the other; each try meets the machine as the other does."""
    for port in (gateway, sink):
        rate(port, CLIENTS * 2)  # what is done once only is done
    taken = [(rate(gateway, messages), rate(sink, messages)) for _ in range(TRIES)]
    return statistics.median(one for one, _ in taken), statistics.median(other for _, other in taken)


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
