"""The systemd units: clean by systemd's own checker, each setting with its why, true to the configuration."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import config

UNITS = Path(__file__).parents[2] / "systemd"
GATEWAY = UNITS / "lazaretto.service"
SANDBOX = UNITS / "lazaretto-sandbox.service"
SOCKET = UNITS / "lazaretto-sandbox.socket"
SINGLE = UNITS / "single" / "lazaretto.service"
SERVICES = [GATEWAY, SANDBOX, SINGLE]


def named(unit: Path) -> str:
    return str(unit.relative_to(UNITS))


def setting(unit: Path, name: str) -> str:
    return re.search(rf"(?m)^{name}=(.*)$", unit.read_text())[1]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("units", [[GATEWAY, SANDBOX, SOCKET], [SINGLE]], ids=["apart", "single"])
def test_the_units_are_clean(tmp_path, units):
    # the installed program stands elsewhere here; all else is checked as shipped
    for unit in units:
        text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit.name) for unit in units)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    ours = [line for line in found.stderr.splitlines() if "lazaretto" in line]
    assert (ours, found.returncode) == ([], 0), found.stderr


@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="systemd is not installed")
def test_the_user_is_one_that_sysusers_can_make(tmp_path):
    command = ["systemd-sysusers", "--dry-run", f"--root={tmp_path}", str(UNITS / "sysusers.d" / "lazaretto.conf")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr


def test_a_stop_is_given_the_time_that_the_daemon_takes_for_it():
    from gateway.daemon import RELAY_DRAIN

    for unit in (GATEWAY, SINGLE):
        assert float(setting(unit, "TimeoutStopSec").removesuffix("s")) > config.load().smtp.drain_seconds + RELAY_DRAIN
    drain = config.load().sandbox.service.drain_seconds
    assert float(setting(SANDBOX, "TimeoutStopSec").removesuffix("s")) > drain > config.load().sandbox.limits.seconds
    assert {setting(unit, "KillMode") for unit in SERVICES} == {"mixed"}


@pytest.mark.parametrize("unit", [SANDBOX, SINGLE], ids=named)
def test_nothing_there_implies_no_new_privileges_which_would_stop_newuidmap(unit):
    implies = (
        "NoNewPrivileges|SystemCall\\w+|Restrict\\w+|PrivateDevices|ProtectKernel\\w+|ProtectClock|ProtectHostname|"
        "LockPersonality|MemoryDenyWriteExecute|DynamicUser|ProtectProc|ProcSubset"
    )
    assert not re.search(rf"(?m)^(?:{implies})=", unit.read_text())


HELD = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "RestrictNamespaces": "yes",
    "PrivateDevices": "yes",
    "SystemCallFilter": "@system-service",
    "MemoryDenyWriteExecute": "yes",
    "ProtectSystem": "strict",
}


@pytest.mark.parametrize(("name", "value"), HELD.items())
def test_the_gateway_has_no_right_with_which_a_container_could_be_started(name, value):
    assert setting(GATEWAY, name) == value
    assert "subuid" not in GATEWAY.read_text()


def test_the_gateway_asks_where_the_socket_listens_and_may_connect():
    address = re.search(r"--sandbox unix:(\S+)", setting(GATEWAY, "ExecStart"))[1]
    assert address == setting(SOCKET, "ListenStream")
    assert setting(SOCKET, "SocketGroup") == setting(GATEWAY, "Group")
    assert setting(SOCKET, "SocketMode") == "0660"
    assert setting(SANDBOX, "User") != setting(GATEWAY, "User")
    assert f"usermod --add-subuids 1879113728-1879179263 {setting(SANDBOX, 'User')}" in SANDBOX.read_text()


@pytest.mark.parametrize("unit", SERVICES, ids=named)
def test_every_option_of_the_command_exists(unit):
    from click.testing import CliRunner

    from gateway.__main__ import main

    _, name, *options = setting(unit, "ExecStart").split()
    said = CliRunner().invoke(main, [name, "--help"]).output
    assert all(option in said for option in options if option.startswith("--"))


def test_as_many_can_wait_for_a_restart_as_may_wait():
    settings = config.load().sandbox
    assert int(setting(SOCKET, "Backlog")) >= settings.service.max_waiting + settings.concurrency


@pytest.mark.parametrize("unit", SERVICES, ids=named)
def test_every_hardening_line_has_its_why_above_it(unit):
    part = unit.read_text().split("# --- hardening")[1].split("[Install]")[0].splitlines()
    for above, line in itertools.pairwise(part):
        if re.match(r"\w+=", line) and not above.startswith(line[:9]):
            assert above.startswith("# "), line
