"""Which calls could go: each is taken away on its own, and a document flattened without it.

What is still flattened is no proof that a call is not needed, only a question: it may be made where memory is short, or
its failure go unnoticed. Trusts and fails as the service does; one sandbox at a time, each with a short deadline.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.client import Limits, NotFlattened, SandboxSettings, SandboxUnavailableError
from sandbox.host import choice, service
from sandbox.host.runtime.base import Plan
from sandbox.image import cache
from sandbox.policy import compose
from sandbox.policy.calls import CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.image.cache import Image

LIMITS = replace(Limits(), seconds=30.0, page_seconds=30.0)  # without some calls it waits for ever


def trim(document: Path, settings: SandboxSettings) -> Iterator[tuple[str, str, str]]:
    """(runtime and platform, call, "" where the document was flattened without it, else what came of it)."""
    image = cache.current_image(settings.cache_dir)
    if image is None:
        raise SandboxUnavailableError("the sandbox image is not built; run `lazaretto image build`")
    for runtime, platform in choice.candidates(settings):
        for call in CALLS:
            rest = [other for other in CALLS if other is not call]
            made = compose.text(compose.policy(rest))
            yield f"{runtime}+{platform}", call.name, _try(runtime, platform, made, document, image)


def _try(runtime: str, platform: str, policy: str, document: Path, image: Image) -> str:
    with tempfile.TemporaryDirectory(prefix="lazaretto-trim-") as state:
        plan = Plan(image, platform, LIMITS, Path(state), Path(state) / "policy.json")
        plan.policy.write_text(policy)
        output = Path(state) / "output.pdf"
        settings = SandboxSettings(limits=LIMITS)
        try:
            result = service.flatten_with(
                choice.RUNTIMES[runtime](), plan, document.read_bytes(), output, settings=settings
            )
        except SandboxUnavailableError as error:
            return str(error)
        return result.reason if isinstance(result, NotFlattened) else ""
