"""What decides the flattened form of a document, the document and what is wanted of it apart, as one word.

The image (and with it the guest and the contract), the code and the libraries of this side that make files of pixels,
and the settings that the guest and this side go by. Two sandboxes of the same fingerprint make the same of a document,
so that a result may be kept under it. How the outer container is started and how many there are at once is not in it:
that changes nothing in what comes out. Trusts its own files. Bound: read once a process and settings.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox import contract
from sandbox.image import cache

if TYPE_CHECKING:
    from sandbox.client import SandboxSettings

LIBRARIES: Final = ("pymupdf", "numpy")  # they write the PDF and choose its encoders
HOST: Final = Path(__file__).parent


@functools.lru_cache(maxsize=8)
def fingerprint(settings: SandboxSettings) -> str:
    """A digest of all of it."""
    decides = {
        "image": cache.image_key(),
        "contract": contract.VERSION,
        "host": [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(HOST.glob("*.py"))],
        "libraries": [f"{name} {version(name)}" for name in LIBRARIES],
        "text_layer": settings.text_layer,
        "limits": dataclasses.asdict(settings.limits),
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode("ascii")).hexdigest()
