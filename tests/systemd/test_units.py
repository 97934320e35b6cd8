"""The systemd unit: clean by systemd's own checker, each setting with its why, true to the configuration."""

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
UNIT = UNITS / "lazaretto.service"


def setting(name: str) -> str:
    return re.search(rf"(?m)^{name}=(.*)$", UNIT.read_text())[1]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_unit_is_clean(tmp_path):
    # the installed program stands elsewhere here; all else is checked as shipped
    unit = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text())
    (tmp_path / "lazaretto.service").write_text(unit)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "lazaretto.service")],
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

    assert float(setting("TimeoutStopSec").removesuffix("s")) > config.load().smtp.drain_seconds + RELAY_DRAIN
    assert setting("KillMode") == "mixed"


def test_nothing_there_implies_no_new_privileges_which_would_stop_newuidmap():
    implies = (
        "NoNewPrivileges|SystemCall\\w+|Restrict\\w+|PrivateDevices|ProtectKernel\\w+|ProtectClock|ProtectHostname|"
        "LockPersonality|MemoryDenyWriteExecute|DynamicUser|ProtectProc|ProcSubset"
    )
    assert not re.search(rf"(?m)^(?:{implies})=", UNIT.read_text())


def test_every_hardening_line_has_its_why_above_it():
    part = UNIT.read_text().split("# --- hardening")[1].split("[Install]")[0].splitlines()
    for above, line in itertools.pairwise(part):
        if re.match(r"\w+=", line) and not above.startswith(line[:9]):
            assert above.startswith("# "), line
