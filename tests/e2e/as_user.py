"""Run as an ordinary user: one runtime and platform, an office document; prints what came of it as JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from sandbox.client import Flattened, SandboxSettings, SandboxUnavailableError
from sandbox.host.service import LocalSandbox
from tests.corpus import documents


def main(runtime: str, platform: str, start: str = "cold") -> dict[str, str]:
    settings = SandboxSettings(runtime=runtime, platform=platform, start=start)
    try:
        sandbox = LocalSandbox.open(settings)
    except SandboxUnavailableError as error:
        return {"error": str(error)}
    with tempfile.TemporaryDirectory() as directory:
        result = sandbox.flatten_now(documents.docx("By a user", pages=2), Path(directory) / "out.pdf")
    sandbox.close()
    outcome = f"{result.pages} pages" if isinstance(result, Flattened) else result.reason
    left = [path.name for path in Path(os.environ["XDG_RUNTIME_DIR"], "lazaretto").glob("sandboxes-*")]
    return {"outcome": outcome, "chosen": sandbox.chosen, "left": " ".join(left), "restores": str(sandbox.restores)}


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
