"""The field that tells filters behind us what we could not look into: `X-Lazaretto-Not-Examined: encrypted`.

On top of the outermost header, where it is under no signature. A sender's own field of that name does not survive,
or he could say so of what was examined; those inside attached messages speak of another journey, and stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.mail.tree import Header, Part

NAME: Final = "X-Lazaretto-Not-Examined"
ENCRYPTED: Final = "encrypted"


def field(value: str) -> bytes:
    """The field with its line end."""
    return f"{NAME}: {value}\r\n".encode("ascii")


def is_mark(header: Header) -> bool:
    """True for a field of that name."""
    return header.name == NAME.lower()


def is_right(root: Part, value: str) -> bool:
    """True where the outermost header says just what it should, on top: mail that comes twice keeps its bytes."""
    written = [(header.span.start, header.span.of(root.source)) for header in root.headers if is_mark(header)]
    return written == ([(0, field(value))] if value else [])
