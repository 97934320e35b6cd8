"""`lazaretto serve` as a process of its own, and a plain sink as its next hop."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from tests.fakes.run_cli import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Serving:
    process: subprocess.Popen
    home: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    _lines: queue.Queue = field(default_factory=queue.Queue)

    def read(self) -> None:
        for line in self.process.stderr:
            with contextlib.suppress(json.JSONDecodeError):
                event = json.loads(line)
                self.events.append(event)
                self._lines.put(event)
        self._lines.put(None)

    def wait_for(self, name: str, seconds: float = 60) -> dict[str, Any]:
        """The next event of that name."""
        while True:
            event = self._lines.get(timeout=seconds)
            assert event is not None, f"ended before {name}: {self.events}"
            if event["event"] == name:
                return event

    def stop(self, seconds: float = 60) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    @property
    def originals(self) -> list[Path]:
        return sorted((self.home / "state" / "originals").glob("*.eml"))


@contextlib.contextmanager
def serving(
    home: Path, next_hop: int | None, config: str = "", listen: int = 0, module: str = "gateway", **environ: str
) -> Iterator[Serving]:
    """Started, on a free port unless one is given; killed at the end if it has not ended.

    A configuration that says itself where to listen is left alone; `next_hop` None: it says that too. `module`: tests.fakes.altered for one that errs.
    """
    file = home / "lazaretto.toml"
    file.write_text(config)
    arguments = ["serve", "--config", str(file)]
    if next_hop is not None:
        arguments += ["--next-hop", f"127.0.0.1:{next_hop}"]
    if "listen = " not in config:
        arguments += ["--listen", f"127.0.0.1:{listen}"]
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**environment(home), **environ},
    )
    served = Serving(process, home)
    reader = threading.Thread(target=served.read, daemon=True)
    reader.start()
    try:
        served.port = served.wait_for("listening")["port"]
        yield served
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        if process.poll() is None:
            process.kill()
        process.wait(10)
        reader.join(10)
        process.stderr.close()


class _LongLines(SMTP):
    line_length_limit = 1 << 20


class _SinkController(Controller):
    def factory(self):
        return _LongLines(self.handler, data_size_limit=1 << 28, enable_SMTPUTF8=True, hostname="sink.test")

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]  # 0 was asked for
        super()._trigger_server()


class Sink:
    """Keeps every message as bytes, with its envelope."""

    def __init__(self) -> None:
        self.got: queue.Queue = queue.Queue()

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's naming
        self.got.put((envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content))
        return "250 2.0.0 Ok: queued as SINK"

    def next(self, seconds: float = 60) -> tuple[str, list[str], bytes]:
        return self.got.get(timeout=seconds)


@contextlib.contextmanager
def sink() -> Iterator[tuple[Sink, int]]:
    handler = Sink()
    controller = _SinkController(handler, hostname="127.0.0.1", port=0)
    controller.start()
    try:
        yield handler, controller.port
    finally:
        controller.stop()
