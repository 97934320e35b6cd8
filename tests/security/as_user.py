"""Run as an ordinary user: some attempts on one runtime; prints their results as JSON. The canaries are root's."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from sandbox.client import SandboxSettings
from sandbox.host.service import LocalSandbox
from sandbox.image.cache import Image
from tests.security.attempts import ATTEMPTS
from tests.security.house import Canaries
from tests.security.run import Runner
from tests.security.scene import NEXT, Result, result_of


def main(argument: str) -> None:
    request = json.loads(argument)
    path, key = request["canaries"].pop("image")
    canaries = Canaries(image=Image(Path(path), key), **request["canaries"])
    wanted = [attempt for attempt in ATTEMPTS if [attempt.theme, attempt.name] in request["attempts"]]
    sandbox = LocalSandbox.open(SandboxSettings(runtime=request["runtime"], start="cold"))
    try:
        run = Runner(sandbox.runtime, sandbox.plan, canaries)
        results = [result_of(verdict) for verdict in run.attempts(wanted)]
        results.append(Result(wanted[0].theme, NEXT, tuple(run.next_document()), (), "", 0.0))
    finally:
        sandbox.close()
    json.dump([asdict(result) for result in results], sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
