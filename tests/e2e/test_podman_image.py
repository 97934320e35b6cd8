"""The image as one that Podman keeps itself: exported, imported, and started under the same options as the plain tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.client import Flattened, SandboxSettings
from sandbox.host.runtime import podman
from sandbox.host.service import LocalSandbox
from tests.corpus import documents

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]
NAME = "localhost/lazaretto-sandbox:test"


@pytest.fixture
def imported():
    if not shutil.which("podman"):
        pytest.skip("no podman here: apt-get install podman")
    export = subprocess.Popen([Path(sys.executable).with_name("lazaretto"), "image", "export"], stdout=subprocess.PIPE)
    subprocess.run(["podman", "import", "--quiet", "-", NAME], check=True, stdin=export.stdout, capture_output=True)
    assert export.wait() == 0
    yield NAME
    subprocess.run(["podman", "rmi", "--force", NAME], check=False, capture_output=True)


def test_the_exported_image_flattens_a_document(imported: str, monkeypatch, tmp_path: Path):
    of_the_tree = podman.podman_options

    def of_the_image(*arguments) -> list[str]:
        options = of_the_tree(*arguments)
        assert options[-2] == "--rootfs"
        return [*options[:-2], imported]

    monkeypatch.setattr(podman, "podman_options", of_the_image)
    sandbox = LocalSandbox.open(replace(SandboxSettings(), runtime="podman"))
    try:
        result = sandbox.flatten_now(documents.docx("From an image"), tmp_path / "out.pdf")
    finally:
        sandbox.close()
    assert isinstance(result, Flattened), result
