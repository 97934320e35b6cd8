"""The service's sockets: as narrow as their mode says, in place of dead ones, never in place of live ones."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from sandbox.address import Address, parse_address
from sandbox.client import ServiceSettings
from sandbox.host import listen, workplace
from tests.fakes.service import short_directory


@pytest.fixture
def place():
    with short_directory() as directory:
        yield directory


def test_a_unix_socket_is_for_its_user_and_group_alone(place):
    before = os.umask(0)
    try:
        [guarded] = listen.sockets(f"unix:{place}/s", ServiceSettings())
    finally:
        assert os.umask(before) == 0
    with guarded.socket:
        seen = (place / "s").stat()
        assert stat.S_IMODE(seen.st_mode) == 0o660
        assert guarded.tls is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_group_of_a_socket_is_the_configured_one(place):
    import grp

    [guarded] = listen.sockets(f"unix:{place}/s", ServiceSettings(socket_group="daemon"))
    with guarded.socket:
        assert (place / "s").stat().st_gid == grp.getgrnam("daemon").gr_gid


def test_a_group_that_there_is_not_is_named_and_leaves_no_socket(place):
    with pytest.raises(OSError, match="no group nobody-here"):
        listen.sockets(f"unix:{place}/s", ServiceSettings(socket_group="nobody-here"))
    assert list(place.iterdir()) == []


def test_the_socket_of_a_dead_service_is_replaced(place):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place / "s"))
        dead.listen()
    [guarded] = listen.sockets(f"unix:{place}/s", ServiceSettings())
    with guarded.socket, socket.socket(socket.AF_UNIX) as client:
        guarded.socket.listen()
        client.connect(str(place / "s"))


def test_the_socket_of_a_live_service_is_left_alone(place):
    with socket.socket(socket.AF_UNIX) as live, socket.socket(socket.AF_UNIX) as client:
        live.bind(str(place / "s"))
        live.listen()
        with pytest.raises(OSError, match="another service listens on"):
            listen.sockets(f"unix:{place}/s", ServiceSettings())
        client.connect(str(place / "s"))


def test_a_file_that_is_no_socket_is_left_alone(place):
    (place / "s").write_text("mine")
    with pytest.raises(OSError, match="no socket"):
        listen.sockets(f"unix:{place}/s", ServiceSettings())
    assert (place / "s").read_text() == "mine"


def test_without_an_address_it_says_what_to_give():
    with pytest.raises(OSError, match="--listen"):
        listen.sockets("", ServiceSettings())


def test_what_the_command_line_says_goes_before_the_settings(place):
    settings = ServiceSettings(address=f"unix:{place}/a", listen=f"unix:{place}/b")
    for text, name in ((f"unix:{place}/c", "c"), ("", "b")):
        [guarded] = listen.sockets(text, settings)
        with guarded.socket:
            assert guarded.address == Address(path=f"{place}/{name}")
        guarded.remove()
    assert list(place.iterdir()) == []


def test_variables_that_were_meant_for_another_process_are_not_believed(monkeypatch):
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert listen.from_systemd() == []
    assert "LISTEN_FDS" not in os.environ


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/s", Address(path="/run/s")),
        ("tls:sandbox.test:7443", Address(host="sandbox.test", port=7443)),
        ("tls:[::1]:0", Address(host="::1", port=0)),
    ],
)
def test_an_address_is_read_and_written_alike(text, address):
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:7443",
        "tcp:127.0.0.1:7443",
        "http://127.0.0.1:7443",
        "tls:7443",
        "tls:::1:7443",
        "tls:h:99999",
        "tls:h:\u0661",
        "unix:run/s",
        "unix:",
        "unix:/" + "x" * 107,
        "unix:/a\0b",
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(text):
    with pytest.raises(ValueError, match="write it as"):
        parse_address(text)


def test_tls_without_its_files_is_no_setting():
    for address in ({"address": "tls:h:1"}, {"listen": "tls:h:1"}):
        with pytest.raises(ValueError, match="tls_ca_file"):
            ServiceSettings(**address)


def test_what_a_dead_service_left_is_removed_and_what_a_live_one_has_is_not(place, monkeypatch):
    monkeypatch.setattr(workplace.tempfile, "gettempdir", lambda: str(place))
    first = workplace.workplace()
    (first / "safe.pdf").write_text("x")
    left = first.with_name("99999999-left")
    left.mkdir()
    second = workplace.workplace()
    assert first.exists()
    assert second.exists()
    assert not left.exists()
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    workplace.clear(str(os.getpid()))
    assert not first.exists()


def test_a_workplace_that_others_may_enter_is_not_used(place, monkeypatch):
    monkeypatch.setattr(workplace.tempfile, "gettempdir", lambda: str(place))
    shared = place / f"lazaretto-sandbox-{os.geteuid()}"
    (place / "elsewhere").mkdir(mode=0o700)
    shared.symlink_to(place / "elsewhere")
    with pytest.raises(PermissionError, match="not ours alone"):
        workplace.workplace()
    shared.unlink()
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(PermissionError, match="not ours alone"):
        workplace.workplace()
