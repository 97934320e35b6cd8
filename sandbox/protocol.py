"""What the sandbox service and those who ask it say to each other over HTTP: names, and nothing else.

    POST /v3/pdf or /v3/image    the document, with Content-Length and, where they are known, Lazaretto-Message and
           Lazaretto-Charset; where a container is to be unpacked, Lazaretto-Room: members=NUMBER, bytes=NUMBER
    200    the safe file; Content-Type, Content-Length, Content-Digest (RFC 9530), Lazaretto-Found, -Pages, -Seconds
    200    of the type MEMBERS: what a container held; in place of -Pages Lazaretto-Index, the length of what the body
           begins with: {"form": NUMBER, "members": [[name, size, reason], ...]}, and then the members' bytes
    422    {"reason", "found", "seconds"}: the document cannot be flattened, and why
           all with Server-Timing (W3C), where the seconds went: the stages of `sandbox.client.Stages`
    503    {"problem", "detail"}: "busy", with Retry-After, or "unavailable", with a line for the administrator
    GET /v3/health               200 {"version", "contract", "chosen", "documents"}, or 503 as above

A connection carries one request. The number in the path changes when any of this does: sides of different versions
hear 404, which is temporary, and never half understand each other.
"""

from __future__ import annotations

from typing import Final

HEALTH: Final = "/v3/health"
FLATTEN: Final = "/v3/"  # and a `sandbox.client.Want`

FOUND: Final = "Lazaretto-Found"
PAGES: Final = "Lazaretto-Pages"
SECONDS: Final = "Lazaretto-Seconds"
ROOM: Final = "Lazaretto-Room"
MAX_ROOM_MEMBERS: Final = 10_000  # more are no room that a gateway needs
INDEX: Final = "Lazaretto-Index"
MEMBERS: Final = "application/vnd.lazaretto.members"
TIMING: Final = "Server-Timing"  # name;dur=MILLISECONDS, ...
CHARSET: Final = "Lazaretto-Charset"
MESSAGE: Final = "Lazaretto-Message"
MAX_MESSAGE: Final = 64  # characters of that field
DIGEST: Final = "Content-Digest"
ALGORITHM: Final = "sha-256"

BUSY: Final = "busy"
UNAVAILABLE: Final = "unavailable"
RETRY_AFTER: Final = 30  # seconds; MTAs wait longer by themselves
