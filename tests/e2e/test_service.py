"""Either side killed at any moment, with real sandboxes: no message is lost, none goes on as it was, nothing is left behind."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.descendants import alive, all_gone, descendants
from tests.fakes.run_cli import ROOT, environment, lazaretto
from tests.fakes.service import short_directory
from tests.fakes.serving import serving, sink
from tests.gateway.messages import TEXT_ONLY, with_attachments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.serving import Serving

GONE_SECONDS = 60  # for a machine under load; without the end that is tested it would be for ever


@functools.cache
def long_document(pages: int = 60) -> bytes:
    """Seconds of work."""
    import pymupdf

    with pymupdf.open() as document:
        for number in range(pages):
            page = document.new_page()
            for line in range(60):
                page.insert_text((40, 40 + 12 * line), f"The original words, page {number}, line {line}, again")
        data: bytes = document.tobytes()
        return data


@pytest.fixture
def run() -> Iterator[Path]:
    """RuntimeDirectory= of the test's own: what is left there is this test's."""
    with short_directory() as directory:
        yield directory


def until(condition, seconds: float = GONE_SECONDS):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    assert found, f"not within {seconds} seconds"
    return found


# no sandbox stands ready, so that one that is there is at work
COLD = '[sandbox]\nstart = "cold"\n'


def at_work(service: int) -> set[tuple[int, int]]:
    """The processes of its sandboxes, by their groups, once there are some: runsc, gVisor's own, what the guest is."""
    found = set()
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"/lazaretto/lazaretto-{service}-" in (directory / "cgroup").read_text():
                found.add((int(directory.name), int((directory / "stat").read_text().rpartition(") ")[2].split()[19])))
    return found if len(found) > 3 else set()


def containers(run: Path) -> list[str]:
    return [
        line
        for line in _command_lines()
        if str(run) in line and any(name in line for name in ("runc", "crun", "runsc"))
    ]


def _command_lines() -> list[str]:
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.append((directory / "cmdline").read_text().replace("\0", " "))
    return found


class Sending(threading.Thread):
    """One message to the gateway, from a thread; `reply` is what the dot got, None where the connection ended."""

    def __init__(self, port: int, message: bytes) -> None:
        super().__init__(daemon=True)
        self.port, self.message = port, message
        self.reply: tuple[int, bytes] | None = None
        self.start()

    def run(self) -> None:
        import smtplib

        with contextlib.suppress(smtplib.SMTPException, ConnectionError):
            client = smtplib.SMTP("127.0.0.1", self.port, timeout=200)
            client.ehlo("client.test")
            client.mail("a@example.org", ["BODY=8BITMIME"])
            client.rcpt("b@example.net")
            self.reply = client.data(self.message)
            client.quit()

    def result(self) -> tuple[int, bytes] | None:
        self.join(200)
        assert not self.is_alive()
        return self.reply


def ready_child(served: Serving) -> int:
    """The child's number, once its canary has come back: what starts from now on is for a document."""
    before = [event for event in served.events if event.get("event") == "service_started"]
    started = before[0] if before else served.wait_for("service_started")
    served.wait_for("sandbox_ready", 120)
    child: int = started["pid"]
    return child


@pytest.mark.sandbox
def test_a_service_that_is_killed_under_a_document_flattens_it_at_the_second_attempt(tmp_path, run):
    with sink() as (mail, port), serving(tmp_path, port, COLD, RUNTIME_DIRECTORY=str(run)) as served:
        child = ready_child(served)
        sending = Sending(served.port, with_attachments(long_document()))
        below = until(lambda: at_work(child))
        os.kill(child, signal.SIGKILL)
        assert sending.result()[0] == 250, served.events[-3:]
        content = mail.next()[2]
        assert b"The original words" not in content
        assert content.count(b"application/pdf") >= 1
        assert all_gone(below, GONE_SECONDS) == set()
        assert served.stop() == 0
    assert mail.got.empty()
    assert not list(run.glob("sandboxes-*"))
    assert not list(run.glob("lazaretto-service-*"))


@pytest.mark.sandbox
def test_a_document_that_ends_two_services_is_451_and_the_next_message_goes_through(tmp_path, run):
    with sink() as (mail, port), serving(tmp_path, port, COLD, RUNTIME_DIRECTORY=str(run)) as served:
        child = ready_child(served)
        sending = Sending(served.port, with_attachments(long_document()))
        for _ in range(2):
            until(lambda: at_work(child), 120)  # noqa: B023 - called at once
            os.kill(child, signal.SIGKILL)
            child = served.wait_for("service_started")["pid"]
        code, text = sending.result()
        assert code == 451
        assert str(run).encode() not in text
        assert mail.got.empty()
        assert served.originals == []
        assert Sending(served.port, with_attachments(b"plain words")).result()[0] == 250
        assert b"application/pdf" in mail.next()[2]


@pytest.mark.sandbox
def test_a_gateway_that_is_killed_takes_its_service_and_every_sandbox_with_it(tmp_path, run):
    with sink() as (mail, port), serving(tmp_path, port, COLD, RUNTIME_DIRECTORY=str(run)) as served:
        child = ready_child(served)
        sending = Sending(served.port, with_attachments(long_document()))
        below = until(lambda: at_work(child)) | descendants(served.process.pid)
        served.process.kill()
        assert sending.result() is None  # no 250: the client's MTA has kept it
        assert all_gone(below, GONE_SECONDS) == set()
    assert mail.got.empty()
    assert not list(run.glob("sandboxes-*"))
    assert containers(run) == []
    assert not list(run.glob("lazaretto-service-*/socket"))
    with sink() as (_, port), serving(tmp_path, port, RUNTIME_DIRECTORY=str(run)) as served:
        assert len(list(run.glob("lazaretto-service-*"))) == 1  # the one before is removed


class Service:
    """`lazaretto sandbox` as a process of its own."""

    def __init__(self, home: Path, run: Path, *arguments: str, prefix: tuple[str, ...] = (), **options) -> None:
        self.log = home / f"service-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "gateway", "sandbox", *arguments],
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**environment(home), "RUNTIME_DIRECTORY": str(run)},
                **options,
            )

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def wait_for(self, name: str, seconds: float = 120) -> dict:
        def found():
            assert self.process.poll() is None or any(e["event"] == name for e in self.events()), self.log.read_text()
            return [event for event in self.events() if event["event"] == name]

        return until(found, seconds)[0]


@contextlib.contextmanager
def service(home: Path, run: Path, *arguments: str, **options) -> Iterator[Service]:
    started = Service(home, run, *arguments, **options)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.process.wait(GONE_SECONDS)
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait(10)


def configured(home: Path, address: str, more: str = "") -> Path:
    file = home / "asks.toml"
    file.write_text(f'{COLD}[sandbox.service]\naddress = "{address}"\n{more}')
    return file


def converting(home: Path, config: Path, document: bytes) -> subprocess.Popen:
    (home / "paper.pdf").write_bytes(document)
    command = ["convert", str(home / "paper.pdf"), "--config", str(config), "--output-dir", str(home / "out"), "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(home),
    )


@pytest.mark.sandbox
def test_what_a_killed_service_left_is_swept_by_the_next_before_any_document(tmp_path, run):
    config = configured(tmp_path, f"unix:{run}/s", "retry_seconds = 1.0\nmax_attempts = 1\n")
    with service(tmp_path, run, "--config", str(config)) as first:
        first.wait_for("sandbox_ready")
        asking = converting(tmp_path, config, long_document())
        below = until(lambda: at_work(first.process.pid))
        first.process.kill()
        first.process.wait(10)
        _, said = asking.communicate(timeout=120)
        assert asking.returncode == 75
        assert b"lost under 1 attempts" in said
    assert list((tmp_path / "out").iterdir()) == []
    assert list(run.glob("sandboxes-*"))
    with service(tmp_path, run, "--config", str(config)) as second:
        second.wait_for("sandbox_ready")
        assert not list(run.glob(f"sandboxes-{first.process.pid}-*"))
        assert all_gone(below, GONE_SECONDS) == set()
        asking = converting(tmp_path, config, b"plain words")
        out, _ = asking.communicate(timeout=120)
        assert json.loads(out)["outcome"] == "failed"  # called a PDF, mere text
    assert not list(run.glob("sandboxes-*"))
    assert containers(run) == []


@pytest.mark.sandbox
def test_a_stop_finishes_the_document_under_way_and_leaves_nothing(tmp_path, run):
    config = configured(tmp_path, f"unix:{run}/s")
    with service(tmp_path, run, "--config", str(config)) as served:
        served.wait_for("sandbox_ready")
        asking = converting(tmp_path, config, long_document(30))
        until(lambda: at_work(served.process.pid))
        served.process.send_signal(signal.SIGTERM)
        out, said = asking.communicate(timeout=120)
        assert (asking.returncode, json.loads(out)["outcome"]) == (0, "flattened"), said
        assert served.process.wait(GONE_SECONDS) == 0
    assert [path.name for path in run.iterdir() if not path.name.startswith("choice-")] == []


@pytest.mark.sandbox
def test_filter_asks_the_service_and_doctor_says_whether_it_answers(tmp_path, run):
    config = configured(tmp_path, f"unix:{run}/s", "retry_seconds = 0.5\n")
    assert lazaretto("doctor", "--config", str(config), home=tmp_path).returncode == 75
    with service(tmp_path, run, "--config", str(config)) as served:
        served.wait_for("sandbox_ready")
        ended = lazaretto("filter", "--config", str(config), home=tmp_path, stdin=with_attachments(b"plain words"))
        assert (ended.returncode, b"application/pdf" in ended.stdout) == (0, True), ended.stderr
        assert [event["outcome"] for event in served.events() if event["event"] == "document"] == ["flattened"]
        examined = lazaretto("doctor", "--config", str(config), home=tmp_path)
        assert examined.returncode == 0
        assert b"sandbox service" in examined.stdout
    ended = lazaretto("filter", "--config", str(config), home=tmp_path, stdin=with_attachments(b"plain words"))
    assert (ended.returncode, ended.stdout) == (75, b"")


def test_serve_with_a_service_configured_starts_none(tmp_path, run):
    config = f'[sandbox.service]\naddress = "unix:{run}/nobody"\nretry_seconds = 0.2\n'
    with sink() as (mail, port), serving(tmp_path, port, config, RUNTIME_DIRECTORY=str(run)) as served:
        assert f"unix:{run}/nobody" in served.wait_for("sandbox_service")["found"]
        assert descendants(served.process.pid) == set()
        assert Sending(served.port, with_attachments(b"document")).result()[0] == 451
        assert Sending(served.port, TEXT_ONLY).result()[0] == 250
        mail.next()
    assert list(run.iterdir()) == []


# what systemd does: the socket is number 3 (sd_listen_fds(3)), and for this process
ACTIVATED = (
    "import os, sys; os.dup2({}, 3); os.set_inheritable(3, True); "
    "os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"
)


def test_the_sockets_of_systemd_are_listened_on_and_left_to_it(tmp_path, run, monkeypatch):
    none = tmp_path / "none"
    none.mkdir()
    config = tmp_path / "asks.toml"
    config.write_text(f'[sandbox]\ncache_dir = "{none}"\n')
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(f"{run}/given")
        given.listen()
        monkeypatch.setenv("LISTEN_FDS", "1")
        prefix = (sys.executable, "-c", ACTIVATED.format(given.fileno()))
        with service(tmp_path, run, "--config", str(config), prefix=prefix, pass_fds=[given.fileno()]) as served:
            assert served.wait_for("service_listening")["addresses"] == [f"unix:{run}/given"]
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(60)
                client.connect(f"{run}/given")
                client.sendall(b"GET /v3/health HTTP/1.1\r\nHost: s\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 503 ")
            served.process.send_signal(signal.SIGINT)
            assert served.process.wait(GONE_SECONDS) == 0
        assert (run / "given").exists()


def test_systemd_is_told_when_the_service_listens_and_when_it_stops(tmp_path, run, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(f"{run}/notify")
        notify.settimeout(60)
        monkeypatch.setattr(sys.modules[__name__], "environment", lambda home: _notifying(home, f"{run}/notify"))
        with service(tmp_path, run, "--listen", f"unix:{run}/s") as served:
            assert notify.recv(1000).startswith(b"READY=1\n")
            served.process.terminate()
            assert served.process.wait(GONE_SECONDS) == 0
            assert notify.recv(1000).startswith(b"STOPPING=1\n")


def _notifying(home: Path, path: str) -> dict[str, str]:
    from tests.fakes import run_cli

    return {**run_cli.environment(home), "NOTIFY_SOCKET": path}


def test_a_second_service_on_the_same_socket_is_one_clear_line_and_the_first_goes_on(tmp_path, run):
    with service(tmp_path, run, "--listen", f"unix:{run}/s") as served:
        served.wait_for("service_listening")
        second = lazaretto("sandbox", "--listen", f"unix:{run}/s", home=tmp_path)
        assert second.returncode == 1
        [line] = [line for line in second.stderr.decode().splitlines() if not line.startswith("{")]
        assert re.search(rf"cannot listen: another service listens on {run}/s$", line)
        assert alive({(served.process.pid, _start(served.process.pid))})
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{run}/s")


def _start(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "127.0.0.1:7443"], "no TCP without TLS"),
        (["--listen", "tls:127.0.0.1:7443"], "tls_certificate"),
    ],
)
def test_plain_tcp_and_tls_without_certificates_are_refused_as_usage(arguments, words, tmp_path):
    ended = lazaretto("sandbox", *arguments, home=tmp_path)
    assert ended.returncode == 2
    assert words in ended.stderr.decode()
