"""`make demo`: one real message with real attachments through `lazaretto serve`, and what was delivered.

Starts a sink on the port where the gateway's defaults hand mail on, and the gateway as a process with no configuration
file; sends a Word document, a workbook, a PDF with a program inside and a picture that the HTML shows; compares what
went in with what came out, and leaves it in build/demo/. Stops what it started on every way out. Fails with one line
and status 1: a port in use, no sandbox, a message that was not taken, an original's bytes in what was delivered.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
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
from email.message import EmailMessage, MIMEPart
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pymupdf
from aiosmtpd.controller import Controller
from rich.table import Table
from rich.text import Text

from tests.bench.progress import console_for_output, working
from tests.corpus import documents
from tests.fakes.run_cli import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

HOST: Final = "127.0.0.1"
LISTEN: Final = 10025  # [smtp] listen
NEXT_HOP: Final = 10026  # [relay] next_hop
PLACE: Final = ROOT / "build" / "demo"
READY_SECONDS: Final = 300  # a machine's first start tries each runtime and platform
SEND_SECONDS: Final = 660  # past the gateway's own deadline for a message
STOP_SECONDS: Final = 60
WINDOW: Final = 32  # bytes in a row that no two unrelated files share
OFFICE: Final = "vnd.openxmlformats-officedocument."
LINE: Final = "</w:t><w:br/><w:t>"  # a new line inside a run of a Word document


class DemoError(Exception):
    """Why there is nothing to show, in one line."""


def letter() -> bytes:
    """Two pages of a Word document."""
    lines = ["Minutes of the harbour board", "", "Present: the master, the surgeon, the clerk.", ""]
    lines += [f"{number}. Ship {number} lies at anchor for {40 - number} days." for number in range(1, 16)]
    return documents.docx(LINE.join([*lines, "", "page"]), pages=2)


def report() -> bytes:
    """A PDF page with a chart; a script runs when it is opened, and a program is attached to it."""
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=595, height=842)
        page.insert_text((72, 90), "Quarterly report", fontsize=24)
        for number, height in enumerate((120, 180, 90, 240, 210)):
            box = pymupdf.Rect(72 + 85 * number, 450 - height, 132 + 85 * number, 450)
            page.draw_rect(box, fill=(0.1, 0.3 + 0.1 * number, 0.8))
            page.insert_text((82 + 85 * number, 470), f"Q{number + 1}: {height}", fontsize=11)
        pdf.embfile_add("payload.exe", b"MZ" + bytes(range(256)) * 20)
        action = pdf.get_new_xref()
        pdf.update_object(action, "<</S/JavaScript/JS(app.alert('the original is open'))>>")
        pdf.xref_set_key(pdf.pdf_catalog(), "OpenAction", f"{action} 0 R")
        return pdf.tobytes(no_new_id=True)


def message() -> EmailMessage:
    """multipart/mixed, in it multipart/related, in it multipart/alternative."""
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"], made["To"] = "sender@example.org", "recipient@example.net"
    made["Subject"] = "Papers for the board"
    made["Date"], made["Message-ID"] = "Mon, 01 Jan 2024 09:00:00 +0000", "<demo@example.org>"
    body, view = MIMEPart(email.policy.SMTP), MIMEPart(email.policy.SMTP)
    body.set_content("The papers are attached.\n")
    body.add_alternative('<p>The papers are attached.</p><img src="cid:view@example.org">\n', subtype="html")
    picture = {"disposition": "inline", "filename": "view.png", "cid": "<view@example.org>"}
    view.set_content(documents.png(320, 200), "image", "png", **picture)
    made.make_related()
    made.attach(body)
    made.attach(view)
    files = {
        "minutes.docx": (f"{OFFICE}wordprocessingml.document", letter()),
        "accounts.xlsx": (f"{OFFICE}spreadsheetml.sheet", documents.xlsx("Ship", rows=20)),
        "report.pdf": ("pdf", report()),
    }
    for name, (kind, content) in files.items():
        made.add_attachment(content, "application", kind, filename=name)
    return made


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
        """By SIGTERM, on which it finishes and cleans up; by SIGKILL where it does not."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
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
    try:
        with smtplib.SMTP(HOST, LISTEN, timeout=SEND_SECONDS) as client:
            client.sendmail("sender@example.org", ["recipient@example.net"], sent)
    except (smtplib.SMTPException, OSError) as error:
        raise DemoError(f"the gateway did not take the message: {error}") from None


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
            event["seconds"] for event in events if event["event"] == "part"
        ]


def leaves(content: bytes) -> list[EmailMessage]:
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    return [part for part in parsed.walk() if not part.is_multipart()]


def payload(part: EmailMessage) -> bytes:
    return part.get_payload(decode=True) or b""


def told(part: EmailMessage) -> tuple[str, str, str]:
    """Type, file name and size, for the table."""
    kind = part.get_content_type().replace(OFFICE, "...")
    return kind, part.get_filename() or "(text)", f"{len(payload(part)):,}"


def show(console: Console, before: list[EmailMessage], after: list[EmailMessage], seconds: list[float]) -> None:
    table = Table(title="What went in, and what was delivered")
    for heading in ("part", "type in", "file in", "bytes in", "type delivered", "file delivered", "bytes", "seconds"):
        table.add_column(heading, justify="right" if heading.startswith(("bytes", "seconds")) else "left")
    for number, (one, other, took) in enumerate(zip(before, after, seconds, strict=True), 1):
        cells = (str(number), *told(one), *told(other), f"{took:.1f}" if took else "kept")
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    console.print(table)


def check(before: list[EmailMessage], after: list[EmailMessage], delivered: bytes) -> int:
    """No attachment's bytes in what was delivered, as sent or decoded; returns how many windows were looked for."""
    originals = [payload(part) for part in before if part.get_filename()]
    windows = {secret[at : at + WINDOW] for secret in originals for at in range(len(secret) - WINDOW + 1)}
    for hay in (delivered, *(payload(part) for part in after)):
        if any(hay[at : at + WINDOW] in windows for at in range(len(hay) - WINDOW + 1)):
            raise DemoError("bytes of an original attachment are in the delivered message: this must not be")
    return len(windows)


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
    windows = check(before, after, delivered)
    console.print(f"Of the originals' {windows:,} pieces of {WINDOW} bytes, none is in the delivered message.")
    names = ", ".join(write(sent, delivered, after))
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
