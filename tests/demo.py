"""`make demo`: one real message with real attachments through `lazaretto serve`, and what was delivered.

Starts a sink on the port where the gateway's defaults hand mail on, and the gateway as a process with no configuration
file; sends a Word document, a workbook, a PDF with a program inside, an archive and a picture that the HTML shows;
compares what went in with what came out, and leaves it in build/demo/. Stops what it started on every way out. Fails with one line
and status 1: a port in use, no sandbox, a message that was not taken, an original's bytes in what was delivered.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import io
import json
import queue
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiosmtpd.controller import Controller
from rich.table import Table
from rich.text import Text

from tests.bench.progress import console_for_output, working
from tests.demo_message import OFFICE, message
from tests.fakes.run_cli import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    from rich.console import Console

HOST: Final = "127.0.0.1"
LISTEN: Final = 10025  # [smtp] listen
NEXT_HOP: Final = 10026  # [relay] next_hop
PLACE: Final = ROOT / "build" / "demo"
READY_SECONDS: Final = 300  # a machine's first start tries each runtime and platform
SEND_SECONDS: Final = 660  # past the gateway's own deadline for a message
STOP_SECONDS: Final = 60
WINDOW: Final = 32  # bytes in a row that no two unrelated files share
SAFE: Final = ("application/pdf", "application/zip", "image/png", "image/jpeg")


class DemoError(Exception):
    """Why there is nothing to show, in one line."""


class Sink:
    """The next hop: keeps what is delivered."""

    def __init__(self) -> None:
        self.delivered: queue.Queue[bytes] = queue.Queue()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's naming
        self.delivered.put(envelope.original_content)
        return "250 2.0.0 Ok: kept for the demonstration"


@contextlib.contextmanager
def next_hop() -> Iterator[Sink]:
    sink = Sink()
    controller = Controller(sink, hostname=HOST, port=NEXT_HOP, data_size_limit=1 << 28)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


def check_ports() -> None:
    """Before anything is started, so that the line says which port it is."""
    for port, whose in ((LISTEN, "where the gateway listens"), (NEXT_HOP, "where the gateway hands mail on")):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((HOST, port))
            except OSError as error:
                raise DemoError(
                    f"{HOST}:{port}, {whose} by default, cannot be had ({error.strerror}); "
                    f"find who has it with `ss -ltnp 'sport = :{port}'`, stop it, and run `make demo` again"
                ) from None


class Gateway:
    """`lazaretto serve` on its defaults, and the events of its log."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-m", "gateway", "serve"]
        self._process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment(home), start_new_session=True
        )
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._last_words = "it ended without a word"
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stderr or ():
            try:
                self._events.put(json.loads(line))
            except json.JSONDecodeError:
                self._last_words = line.strip() or self._last_words
        self._events.put({"event": "ended"})

    def wait_for(self, name: str, seconds: float) -> list[dict[str, Any]]:
        """The events up to and with that one."""
        end = time.monotonic() + seconds
        events: list[dict[str, Any]] = []
        while not events or events[-1]["event"] != name:
            try:
                events.append(self._events.get(timeout=max(0.0, end - time.monotonic())))
            except queue.Empty:
                raise DemoError(f"the gateway did not come to '{name}' in {seconds:.0f} s") from None
            if events[-1]["event"] == "sandbox_unavailable":
                raise DemoError(f"no sandbox can be started: {events[-1]['reason']}")
            if events[-1]["event"] == "ended":
                raise DemoError(f"the gateway ended: {self._last_words}")
        return events

    def stop(self) -> None:
        """By SIGTERM, on which it finishes and cleans up; by SIGKILL where it does not, or where nobody waits for it."""
        try:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()  # nothing happens to what has ended
            self._process.wait()


@contextlib.contextmanager
def gateway() -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="lazaretto-demo-") as home:
        started = Gateway(Path(home))
        try:
            yield started
        finally:
            started.stop()


def send(sent: bytes) -> None:
    client = smtplib.SMTP(timeout=SEND_SECONDS)
    try:
        client.connect(HOST, LISTEN)
        client.sendmail("sender@example.org", ["recipient@example.net"], sent)
    except (smtplib.SMTPException, OSError) as error:
        raise DemoError(f"the gateway did not take the message: {error}") from None
    finally:
        client.close()  # no QUIT: it would wait for the reply of a message that nobody waits for any more


def through_gateway(console: Console, sent: bytes) -> tuple[bytes, list[float]]:
    """The delivered message, and the seconds that each leaf took."""
    check_ports()
    with next_hop() as sink, gateway() as started:
        with working(console, "starting `lazaretto serve` and its first sandbox"):
            started.wait_for("listening", READY_SECONDS)
            started.wait_for("sandbox_ready", READY_SECONDS)
        with working(console, "sending the message; each attachment is opened in a double sandbox of its own"):
            send(sent)
        events = started.wait_for("message", STOP_SECONDS)
        return sink.delivered.get(timeout=STOP_SECONDS), [
            event["seconds"] for event in events if event["event"] == "part" and "/" not in event["part"]
        ]


def leaves(content: bytes) -> list[EmailMessage]:
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    return [part for part in parsed.walk() if not part.is_multipart()]


def payload(part: EmailMessage) -> bytes:
    return part.get_payload(decode=True) or b""


def told(part: EmailMessage) -> tuple[str, str]:
    """File name with type, and size, for the table."""
    kind = part.get_content_type().replace(f"application/{OFFICE}", "...")
    return f"{part.get_filename() or '(text)'}\n{kind}", f"{len(payload(part)):,}"


def show(console: Console, before: list[EmailMessage], after: list[EmailMessage], seconds: list[float]) -> None:
    table = Table(title="What went in, and what was delivered", show_lines=True)
    for heading in ("part", "went in", "bytes", "was delivered", "bytes", "seconds"):
        table.add_column(heading, justify="right" if heading in ("bytes", "seconds") else "left")
    for number, (one, other, took) in enumerate(zip(before, after, seconds, strict=True), 1):
        cells = (str(number), *told(one), *told(other), f"{took:.1f}" if took else "kept")
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    console.print(table)


def check(before: list[EmailMessage], after: list[EmailMessage], delivered: bytes) -> int:
    """Each attachment is made of pixels, and none of its bytes is left; returns how many pieces were looked for."""
    for one, other in zip(before, after, strict=True):
        if one.get_filename() and other.get_content_type() not in SAFE:
            raise DemoError(f"{one.get_filename()} was removed: {payload(other).decode(errors='replace')!r}")
    originals = [payload(part) for part in before if part.get_filename()]
    return look_for(with_members(originals), [delivered, *with_members([payload(part) for part in after])])


def with_members(files: list[bytes]) -> list[bytes]:
    """Each file, and behind an archive what is in it."""
    found = []
    for content in files:
        found.append(content)
        if content.startswith(b"PK") and b"[Content_Types].xml" not in content:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                found += [archive.read(name) for name in archive.namelist()]
    return found


def look_for(originals: list[bytes], places: list[bytes]) -> int:
    pieces = {secret[at : at + WINDOW] for secret in originals for at in range(len(secret) - WINDOW + 1)}
    for place in places:
        if any(place[at : at + WINDOW] in pieces for at in range(len(place) - WINDOW + 1)):
            raise DemoError("bytes of an original attachment are in the delivered message: this must not be")
    return len(pieces)


def write(sent: bytes, delivered: bytes, after: list[EmailMessage]) -> list[str]:
    """Everything to be looked at; returns the names of what was attached."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    (PLACE / "sent.eml").write_bytes(sent)
    (PLACE / "delivered.eml").write_bytes(delivered)
    named = {Path(part.get_filename() or "").name: payload(part) for part in after if part.get_filename()}
    for name, content in named.items():
        (PLACE / name).write_bytes(content)
    return list(named)


def demonstrate(console: Console) -> None:
    started = time.monotonic()
    sent = message().as_bytes()
    delivered, seconds = through_gateway(console, sent)
    before, after = leaves(sent), leaves(delivered)
    show(console, before, after, seconds)
    names = ", ".join(write(sent, delivered, after))
    pieces = check(before, after, delivered)
    console.print(f"Of the originals' {pieces:,} pieces of {WINDOW} bytes, none is in the delivered message.")
    console.print(f"It took {time.monotonic() - started:.1f} s in all. To be looked at: {names}, delivered.eml")
    console.print(f"They lie in {PLACE.relative_to(ROOT)}/", soft_wrap=True)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # through every `finally`
    try:
        demonstrate(console_for_output())
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
