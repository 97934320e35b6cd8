"""The service's answers, but for the file itself: HTTP responses as `sandbox/protocol.py` says them.

Every one ends its connection, which carries one document. Trusts the sandbox's typed values; what is told of a fault
that nobody foresaw is that there was one: the trace is for the log.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

import structlog
from aiohttp import web

from sandbox import protocol
from sandbox.client import Flattened, SandboxBusyError, SandboxUnavailableError

if TYPE_CHECKING:
    from sandbox.client import NotFlattened, Stages, Unpacked

log = structlog.get_logger(__name__)

Response = TypeVar("Response", bound=web.StreamResponse)


class Unacceptable(Exception):  # noqa: N818 - an answer
    """A request that is none of ours."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def told(error: Exception) -> web.Response:
    """What a client hears of a failure, and the log where the client is not at fault."""
    if isinstance(error, Unacceptable):
        return closing(web.Response(status=error.status))
    if isinstance(error, SandboxBusyError):
        log.warning("service_busy", reason=str(error))
        return problem(protocol.BUSY, str(error))
    if isinstance(error, SandboxUnavailableError):
        return problem(protocol.UNAVAILABLE, str(error))
    if isinstance(error, OSError):
        log.error("service_broken", reason=str(error))
        return problem(protocol.UNAVAILABLE, f"no place for a document: {error.strerror}")
    log.error("service_bug", exc_info=error)
    return problem(protocol.UNAVAILABLE, "a fault of the service; see its log")


def file_fields(result: Flattened | Unpacked, digest: bytes, index: int) -> dict[str, str]:
    """The fields of a 200; `index` bytes come before the file."""
    kind = (
        {"Content-Type": result.media_type, protocol.PAGES: str(result.pages)}
        if isinstance(result, Flattened)
        else {"Content-Type": protocol.MEMBERS, protocol.INDEX: str(index)}
    )
    return {
        **kind,
        protocol.FOUND: result.found,
        protocol.SECONDS: f"{result.seconds:.3f}",
        protocol.TIMING: _timing(result.stages),
        protocol.DIGEST: f"{protocol.ALGORITHM}=:{base64.b64encode(digest).decode('ascii')}:",
    }


def index(result: Unpacked) -> bytes:
    """What a container held, in the order of its bytes."""
    members = [[member.untrusted_name, member.size, member.reason] for member in result.members]
    return json.dumps({"form": int(result.form), "members": members}, ensure_ascii=False).encode()


def refusal(result: NotFlattened) -> web.Response:
    """The document cannot be flattened."""
    said = {"reason": result.reason, "found": result.found, "seconds": round(result.seconds, 3)}
    return closing(web.json_response(said, status=422, headers={protocol.TIMING: _timing(result.stages)}))


def _timing(stages: Stages) -> str:
    return ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in asdict(stages).items())


def problem(kind: str, detail: str) -> web.Response:
    """The house is broken, or full."""
    response = web.json_response({"problem": kind, "detail": detail}, status=503)
    if kind == protocol.BUSY:
        response.headers["Retry-After"] = str(protocol.RETRY_AFTER)
    return closing(response)


def closing(response: Response) -> Response:
    """The response, after which the connection ends."""
    response.force_close()
    return response
