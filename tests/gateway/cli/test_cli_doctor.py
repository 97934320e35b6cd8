"""`lazaretto doctor`: exit 0 only if a canary came back flattened; each thing missing has the line that mends it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from gateway.cli import doctor
from sandbox import client

CANARY = client.Finding(client.CHOSEN, ok=True, found="runc", mend="", needed=True)
NO_CANARY = client.Finding(client.CHOSEN, ok=False, found="none", mend="mend the rest", needed=True)
NO_IMAGE = client.Finding("image", ok=False, found="not built", mend="lazaretto image build", needed=True)
NO_PODMAN = client.Finding("podman", ok=False, found="missing", mend="apt-get install podman", needed=False)


@pytest.mark.parametrize(
    ("findings", "status"),
    [([CANARY], 0), ([NO_PODMAN, CANARY], 0), ([NO_CANARY], 75), ([NO_IMAGE, CANARY], 75), ([NO_IMAGE], 75), ([], 75)],
)
def test_only_a_canary_makes_a_healthy_host(monkeypatch, findings, status: int):
    monkeypatch.setattr(client, "examine", lambda settings: iter(findings))
    assert CliRunner().invoke(doctor.command, []).exit_code == status


def test_what_is_missing_has_its_mend(monkeypatch):
    monkeypatch.setattr(client, "examine", lambda settings: iter([NO_IMAGE, NO_PODMAN, CANARY]))
    output = CliRunner().invoke(doctor.command, []).stdout
    assert "MISSING" in output
    assert "lazaretto image build" in output
    assert "apt-get install podman" in output
