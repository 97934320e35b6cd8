"""`lazaretto serve`: usage; what it does on the wire is in e2e/."""

from __future__ import annotations

import socket

import pytest
import structlog
from click.testing import CliRunner

from gateway.cli.serve import command


@pytest.fixture(autouse=True)
def _restore():
    yield
    structlog.reset_defaults()


def test_a_wrong_configuration_is_2_with_one_line(tmp_path):
    file = tmp_path / "l.toml"
    file.write_text("[smtp]\nlisen = 1\n")
    result = CliRunner().invoke(command, ["--config", str(file)])
    assert result.exit_code == 2
    assert "smtp.lisen" in result.stderr


def test_a_wrong_address_on_the_command_line_is_2():
    result = CliRunner().invoke(command, ["--listen", "here"])
    assert result.exit_code == 2
    assert "smtp.listen" in result.stderr


def test_an_address_in_use_is_1_and_names_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = CliRunner().invoke(command, ["--listen", address])
    assert result.exit_code == 1
    assert address in result.stderr
