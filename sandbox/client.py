"""The gateway's one door to the sandbox: a document goes in, a flattened file or a typed reason comes out.

Behind it sandboxes are started by this process, or by a service of its own rights that is asked over a socket.
Trusts: the caller's bounds. Does not trust: the document, nor anything that comes back from where it was opened.
Fails: a document that cannot be flattened is a value (`NotFlattened`); a house that cannot start sandboxes at all is
`SandboxUnavailableError`, on which the gateway answers 451.
"""

from __future__ import annotations

import contextlib
import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Literal, NoReturn, Protocol

from sandbox import contract
from sandbox.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


TEXT_TYPES = frozenset({"text/html", "text/plain", "application/xhtml+xml"})
CHOSEN = "sandbox chosen"  # the finding of `examine` that a canary came back flattened


CHARSET = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._:+-]{0,39})?\Z")  # names of charsets (RFC 2978 section 2.3), and none


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
class Stages:
    """Where a document's seconds went, as the sandbox's host sees it; they add up to all but its sandbox's end."""

    start: float = 0.0  # its sandbox: waited for, started or restored; none where one stood ready
    identify: float = 0.0  # the document handed over, and its type found by content
    convert: float = 0.0  # opened by its reader; for office documents LibreOffice's work
    draw: float = 0.0  # pages to pixels
    transfer: float = 0.0  # pixels out of the sandbox
    encode: float = 0.0  # pixels and text into the file, as far as drawing did not take longer


@dataclass(frozen=True, slots=True)
class Flattened:
    """A safe file made from pixels. `path` is the output the caller named; `found` the type seen by content."""

    path: Path
    media_type: str  # application/pdf, image/png or image/jpeg
    found: str
    pages: int
    size: int  # bytes
    seconds: float
    stages: Stages = Stages()


@dataclass(frozen=True, slots=True)
class NotFlattened:
    """Why there is no safe file: `reason` is one of `sandbox.contract.REASONS`."""

    reason: str
    found: str  # "" where the document was not identified
    seconds: float
    stages: Stages = Stages()


class Form(enum.IntEnum):
    """What a container is, and so what is to be made of its members."""

    ARCHIVE = contract.ARCHIVE  # any number of files
    MESSAGE = contract.MESSAGE  # one member: a whole message, RFC 5322
    PARTS = contract.PARTS  # one member: a MIME entity whose parts were wrapped up otherwise
    WRAPPER = contract.WRAPPER  # one member: a file that was wrapped up alone


@dataclass(frozen=True, slots=True)
class Room:
    """How much may come out of one container."""

    members: int
    bytes: int  # of all of them


@dataclass(frozen=True, slots=True)
class Member:
    """One thing that was in a container. Its bytes are the sender's, as hostile as the container was."""

    untrusted_name: str  # with its folders; at most contract.MAX_NAME bytes of UTF-8, any character; "" for none
    start: int  # in the file of `Unpacked`
    size: int  # bytes
    reason: str = ""  # why it is not there: one of sandbox.contract.REASONS; "" where it is


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a container held. `path` is the output the caller named: the members' bytes, one after the other.

    Nothing of it is safe: each member is a document again, for a sandbox of its own, or a message to be read.
    """

    path: Path
    form: Form
    members: tuple[Member, ...]  # exactly one but for an archive, whose number is bounded by Room
    found: str
    size: int  # bytes of all members
    seconds: float
    stages: Stages = Stages()


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """The sandboxes that stand ready; `[sandbox.pool]` in the configuration."""

    office: int = field(default=2, metadata={"least": 0})  # with LibreOffice started; 0: none
    other: int = field(default=2, metadata={"least": 0})  # without; 0: none
    hwp: int = field(default=0, metadata={"least": 0})  # with LibreOffice and Java, for HWP and HWPX; 0: none
    memory_bytes: int = 1024 * 1024 * 1024  # of all that stand
    idle_seconds: float = 900.0  # then one is replaced by a fresh one


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The sandbox service as a process of its own: where it is, who may speak to it, how long for; `[sandbox.service]`.

    Raises ValueError where the addresses cannot be meant so.
    """

    address: str = ""  # where the gateway asks; "": nobody, `serve` starts a child
    listen: str = ""  # where `lazaretto sandbox` listens; "": as address
    socket_group: str = ""  # whose members may connect to a Unix socket; "": the service's own group
    tls_certificate: Path | None = None
    tls_key: Path | None = None  # None: it is in the certificate's file
    tls_ca_file: Path | None = None  # who must have signed the other side's certificate
    tls_name: str = ""  # for which the service's certificate must be valid; "": the host of the address
    connect_seconds: float = 5.0
    retry_seconds: float = 20.0
    max_attempts: int = 2  # times that one document is sent, where the connection is lost under it
    answer_seconds: float = 900.0
    transfer_seconds: float = 120.0
    max_waiting: int = 100
    max_memory_bytes: int = 1024 * 1024 * 1024
    drain_seconds: float = 330.0

    def __post_init__(self) -> None:
        used = [parse_address(text) for text in (self.address, self.listen) if text]
        if any(address.host for address in used) and not (self.tls_certificate and self.tls_ca_file):
            raise ValueError("an address of tls: needs tls_certificate and tls_ca_file, on both sides")


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """How sandboxes are started; `[sandbox]` in the configuration."""

    runtime: str = "auto"  # the outer container: auto, runc, crun, podman or docker
    platform: str = "auto"  # gVisor's platform: auto, systrap or ptrace
    cache_dir: Path | None = None  # where the image is kept; None: /var/cache/lazaretto as root, else the user's cache
    start: Literal["pool", "snapshot", "cold"] = (
        "pool"  # pool: they stand ready; snapshot: each restored when it is wanted; cold: each from nothing
    )
    concurrency: int = 2  # documents under way at once
    text_layer: bool = True  # an invisible layer of text, so that the PDF can be searched and copied from
    service: ServiceSettings = ServiceSettings()
    limits: Limits = Limits()
    pool: PoolSettings = PoolSettings()


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


class SandboxBusyError(SandboxUnavailableError):
    """Too many documents wait for a sandbox; the message should come again later."""


Answer = Flattened | Unpacked | NotFlattened


def unless_disguised(result: Answer, name: str) -> Answer:
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

    async def flatten(
        self,
        untrusted_document: bytes,
        output: Path,
        want: Want = Want.PDF,
        *,
        message: str = "",
        room: Room | None = None,
        charset: str = "",
    ) -> Answer:
        """Write the flattened form of `untrusted_document` to `output`, in a sandbox of its own.

        Documents of one `message`, a word of at most 64 printable ASCII characters, share a turn. With `room` a
        container is unpacked so far; without, it is of an unknown type. `charset` is what its message calls that of a
        text, as CHARSET has it: a hint where the text itself does not tell. Raises SandboxUnavailableError where no
        sandbox can be had. `output` exists afterwards for `Flattened` and `Unpacked` only.
        """
        ...


class Service(Protocol):
    """The service's side of the door, as `lazaretto sandbox` holds it."""

    async def start(self) -> list[str]:
        """Listen; the addresses. Raises OSError where it cannot, SandboxUnavailableError for a certificate."""
        ...

    async def stop(self, seconds: float) -> None:
        """Take no more documents, let those under way end within `seconds`, then hang up."""
        ...


def open_sandbox(settings: SandboxSettings, *, briefly: bool = False) -> Sandbox:
    """Choose and prove a way to start sandboxes; raises SandboxUnavailableError with what to do where there is none.

    `briefly`: for a few documents only, so that nothing is made ready for more. Where a service is configured it is
    asked for each document, and need not be there yet.
    """
    if settings.service.address:
        from sandbox.remote import RemoteSandbox  # noqa: PLC0415 - aiohttp, only where a service is asked

        return RemoteSandbox(settings)
    try:
        from sandbox.host.service import LocalSandbox  # noqa: PLC0415 - the host side, and PyMuPDF with it, when used

        return LocalSandbox.open(settings, briefly=briefly)
    except ImportError as error:
        raise SandboxUnavailableError(f"{error}; run `make install`") from error
    except OSError as error:  # no place for its state: a full disk, a directory that is somebody else's
        raise SandboxUnavailableError(f"no place to start sandboxes from: {error}") from error


def open_service(sandbox: Sandbox, settings: SandboxSettings, listen: str, version: str) -> Service:
    """Hand `sandbox` out over sockets: at `listen`, at those that systemd has made, or at those of the settings."""
    from sandbox.host.door import Door  # noqa: PLC0415 - the host side, when used

    return Door(sandbox, settings, listen, version)


def sweep() -> None:
    """Destroy the sandboxes that processes which are gone have left behind."""
    with contextlib.suppress(ImportError):  # where the host side is not installed, nothing was started
        from sandbox.host.service import sweep_left  # noqa: PLC0415 - likewise

        sweep_left()


def end_service() -> NoReturn:
    """End this process and every sandbox of it, whatever its threads are at."""
    from sandbox.host.sweep import become_sweeper  # noqa: PLC0415 - likewise

    become_sweeper()


def ask_service(settings: SandboxSettings) -> Finding:
    """Whether the service that is configured answers, and what it says of itself."""
    from sandbox.remote import examine_service  # noqa: PLC0415 - likewise

    return next(examine_service(settings))


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
    if settings.service.address:
        from sandbox.remote import examine_service  # noqa: PLC0415 - this host needs nothing else

        return examine_service(settings)
    from sandbox.host.examine import examine as examined  # noqa: PLC0415 - likewise

    return examined(settings)


def export_image(stream: BinaryIO, cache_dir: Path | None = None) -> None:
    """Write the image as tar, for `podman import`; raises SandboxUnavailableError where it is not built."""
    from sandbox.image import cache, export  # noqa: PLC0415 - likewise

    image = cache.current_image(cache_dir)
    if image is None:
        raise SandboxUnavailableError("the sandbox image is not built; run `lazaretto image build`")
    export.export_image(image, stream)
