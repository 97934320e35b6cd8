"""`make demo` as its user runs it: a process, its output and what it leaves."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import zipfile

import pytest

from tests import demo
from tests.corpus import documents
from tests.demo_message import letter, message, report
from tests.fakes.run_cli import ROOT

COMMAND = [sys.executable, "-m", "tests.demo"]


def run(**environ: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        COMMAND, capture_output=True, text=True, timeout=280, cwd=ROOT, env={**os.environ, **environ}, check=False
    )


@pytest.mark.sandbox
def test_the_demonstration_delivers_every_kind_and_leaves_them_to_be_looked_at():
    done = run()
    assert done.returncode == 0, done.stderr
    for name in ("minutes.docx", "accounts.xlsx", "report.pdf", "view.png"):
        assert name in done.stdout
        [flattened] = demo.PLACE.glob("view.*" if name == "view.png" else name.removesuffix(".pdf") + "*.pdf")
        assert flattened.name in done.stdout
        assert flattened.read_bytes().startswith(b"\xff\xd8\xff" if name == "view.png" else b"%PDF-")
    with zipfile.ZipFile(demo.PLACE / "papers.zip") as papers:
        assert papers.namelist() == ["minutes/june.docx.pdf", "REMOVED.txt"]
        assert papers.read("minutes/june.docx.pdf").startswith(b"%PDF-")
        assert b"setup.exe" in papers.read("REMOVED.txt")
    assert "none is in the delivered message" in done.stdout
    assert done.stdout.splitlines()[-1] == "They lie in build/demo/"
    assert (demo.PLACE / "delivered.eml").stat().st_size > 1000


@pytest.mark.parametrize("port", [demo.LISTEN, demo.NEXT_HOP])
def test_a_port_in_use_is_one_line_that_says_what_to_do(port):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # in use by another already, which is the same
            taken.bind((demo.HOST, port))
            taken.listen()
        done = run()
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"demo: {demo.HOST}:{port}, ")
    assert "`ss -ltnp" in line


@pytest.mark.sandbox
def test_no_sandbox_is_one_line():
    done = run(PATH="/nonexistent")
    assert done.returncode == 1, done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith("demo: no sandbox can be started: ")


@pytest.mark.sandbox
def test_a_demonstration_that_is_stopped_leaves_its_ports_free():
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert "starting" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 128 + signal.SIGTERM
    demo.check_ports()


def test_an_attachment_that_was_removed_or_left_as_it_is_is_no_success():
    sent = message().as_bytes()
    leaves = demo.leaves(sent)
    with pytest.raises(demo.DemoError, match=r"minutes\.docx was removed"):
        demo.check(leaves, leaves, sent)


def test_bytes_of_an_original_are_found_wherever_they_are():
    originals = [letter(), report()]
    assert demo.look_for(originals, [b"nothing of them", documents.jpeg()]) > 1000
    with pytest.raises(demo.DemoError, match="must not be"):
        demo.look_for(originals, [b"nothing", b"more: " + report()[-50:-10]])
