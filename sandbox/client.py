"""The gateway's one door to the sandbox: a document goes in, a flattened file or a typed reason comes out.

Trusts: the caller's bounds. Does not trust: the document, nor anything that comes back from where it was opened.
Fails: a document that cannot be flattened is a value (`NotFlattened`); a house that cannot start sandboxes at all is
`SandboxUnavailableError`, on which the gateway answers 451.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from sandbox import contract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


TEXT_TYPES = frozenset({"text/html", "text/plain", "application/xhtml+xml"})
CHOSEN = "sandbox chosen"  # the finding of `examine` that a canary came back flattened


class Want(enum.StrEnum):
    """What the document is to become."""

    PDF = "pdf"  # a flattened PDF of all pages
    IMAGE = "image"  # one PNG or JPEG re-encoded from pixels, for pictures that an HTML body shows


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may cost. Lengths in bytes, pages in points (1/72 inch), time in seconds."""

    document_bytes: int = 64 * 1024 * 1024
    output_bytes: int = 256 * 1024 * 1024
    pages: int = 1000
    page_points: int = 10_000
    page_pixels: int = 36_000_000
    total_pixels: int = 12_000_000_000
    page_text_bytes: int = 1 << 20
    seconds: float = 300.0
    page_seconds: float = 60.0
    cpu_seconds: float = 400.0
    memory_bytes: int = 2 * 1024 * 1024 * 1024
    processes: int = 256
    dpi: int = 150


@dataclass(frozen=True, slots=True)
class Flattened:
    """A safe file made from pixels. `path` is the output the caller named; `found` the type seen by content."""

    path: Path
    media_type: str  # application/pdf, image/png or image/jpeg
    found: str
    pages: int
    size: int  # bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class NotFlattened:
    """Why there is no safe file: `reason` is one of `sandbox.contract.REASONS`."""

    reason: str
    found: str  # "" where the document was not identified
    seconds: float


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """How sandboxes are started; `[sandbox]` in the configuration."""

    runtime: str = "auto"  # the outer container: auto, runc, crun, podman or docker
    platform: str = "auto"  # gVisor's platform: auto, systrap or ptrace
    cache_dir: Path | None = None  # where the image is kept; None: /var/cache/lazaretto as root, else the user's cache
    concurrency: int = 2  # documents under way at once
    text_layer: bool = True  # an invisible layer of text, so that the PDF can be searched and copied from
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that sandboxes need of this host: found or not, and the line that mends it."""

    name: str
    ok: bool
    found: str
    mend: str
    needed: bool  # without it no sandbox starts


class SandboxUnavailableError(Exception):
    """No sandbox can be started on this host; the text is one clear line for the administrator."""


def unless_disguised(result: Flattened | NotFlattened, name: str) -> Flattened | NotFlattened:
    """A result, unless the document was called a PDF and was mere text or HTML: that is no document but a trap.

    The sandbox never knows a name. Only this one lie is told apart here, since what is called a PDF and is a web page
    is meant for a program that decides by content what to do with it.
    """
    if isinstance(result, Flattened) and name.lower().endswith(".pdf") and result.found in TEXT_TYPES:
        result.path.unlink(missing_ok=True)
        return NotFlattened(contract.TYPE_MISMATCH, result.found, result.seconds)
    return result


class Sandbox(Protocol):
    """What the gateway asks of the sandbox, and what its fakes in `tests/fakes/` answer."""

    @property
    def chosen(self) -> str:
        """How sandboxes are started, and why so, for the log."""
        ...

    @property
    def fingerprint(self) -> str:
        """All that decides what a document becomes, itself and what is wanted apart: image, contract, settings."""
        ...

    async def flatten(self, untrusted_document: bytes, output: Path, want: Want = Want.PDF) -> Flattened | NotFlattened:
        """Write the flattened form of `untrusted_document` to `output`, in a sandbox of its own.

        Raises SandboxUnavailableError where no sandbox can be had. `output` exists afterwards only for `Flattened`.
        """
        ...


def open_sandbox(settings: SandboxSettings) -> Sandbox:
    """Choose and prove a way to start sandboxes; raises SandboxUnavailableError with what to do where there is none."""
    try:
        from sandbox.host.service import LocalSandbox  # noqa: PLC0415 - the host side, and PyMuPDF with it, when used

        return LocalSandbox.open(settings)
    except ImportError as error:
        raise SandboxUnavailableError(f"{error}; run `make install`") from error
    except OSError as error:  # no place for its state: a full disk, a directory that is somebody else's
        raise SandboxUnavailableError(f"no place to start sandboxes from: {error}") from error


def fingerprint(settings: SandboxSettings) -> str:
    """What sandboxes of these settings go by; known before one is opened, and where none can be."""
    from sandbox.host.fingerprint import fingerprint as made  # noqa: PLC0415 - the host side, when used

    return made(settings)


def build_image(
    progress: Callable[[str, float], None], cache_dir: Path | None, mirror: str | None, *, force: bool
) -> Path:
    """Build the sandbox image where it is missing, or anew; returns its path. `progress` gets a phase and a share.

    Raises SandboxUnavailableError, whose text says what is missing.
    """
    from sandbox.image import build  # noqa: PLC0415 - only when an image is built

    try:
        return build.build_image(progress, cache_dir, mirror, force=force).path
    except (build.ImageBuildError, OSError) as error:
        raise SandboxUnavailableError(str(error)) from error


def image_info(cache_dir: Path | None = None) -> dict[str, object] | None:
    """What the image of this version holds; None where it is not built."""
    from sandbox.image import cache  # noqa: PLC0415 - likewise

    image = cache.current_image(cache_dir)
    return {"path": str(image.path), **image.info()} if image else None


def examine(settings: SandboxSettings) -> Iterator[Finding]:
    """What this host has of the things that sandboxes need; starts each candidate once, which takes seconds."""
    from sandbox.host.examine import examine as examined  # noqa: PLC0415 - likewise

    return examined(settings)


def export_image(stream: BinaryIO, cache_dir: Path | None = None) -> None:
    """Write the image as tar, for `podman import`; raises SandboxUnavailableError where it is not built."""
    from sandbox.image import cache, export  # noqa: PLC0415 - likewise

    image = cache.current_image(cache_dir)
    if image is None:
        raise SandboxUnavailableError("the sandbox image is not built; run `lazaretto image build`")
    export.export_image(image, stream)
