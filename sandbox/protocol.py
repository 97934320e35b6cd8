"""What the sandbox service and those who ask it say to each other over HTTP: names, and nothing else.

    POST /v1/pdf or /v1/image    the document, with Content-Length and, where it is known, Lazaretto-Message
    200    the safe file; Content-Type, Content-Length, Content-Digest (RFC 9530), Lazaretto-Found, -Pages, -Seconds
    422    {"reason", "found", "seconds"}: the document cannot be flattened, and why
    503    {"problem", "detail"}: "busy", with Retry-After, or "unavailable", with a line for the administrator
    GET /v1/health               200 {"version", "contract", "chosen", "documents"}, or 503 as above

A connection carries one request. The number in the path changes when any of this does: sides of different versions
hear 404, which is temporary, and never half understand each other.
"""

from __future__ import annotations

from typing import Final

HEALTH: Final = "/v1/health"
FLATTEN: Final = "/v1/"  # and a `sandbox.client.Want`

FOUND: Final = "Lazaretto-Found"
PAGES: Final = "Lazaretto-Pages"
SECONDS: Final = "Lazaretto-Seconds"
MESSAGE: Final = "Lazaretto-Message"
MAX_MESSAGE: Final = 64  # characters of that field
DIGEST: Final = "Content-Digest"
ALGORITHM: Final = "sha-256"

BUSY: Final = "busy"
UNAVAILABLE: Final = "unavailable"
RETRY_AFTER: Final = 30  # seconds; MTAs wait longer by themselves
