"""What became of a part that was not kept: a safe file in its place, or the reason why it is gone. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Safe:
    """A file that our side of the sandbox made; `name` is what it is called (`filename.flattened_name`).

    Of what was inside a container, the mail room makes these itself: a zip (`archive`), a message/rfc822 and a
    multipart/mixed (`rebuild.inside`), the last with its header and without a name.
    """

    content: bytes = field(repr=False)
    media_type: str
    name: str
    found: str = ""  # the type seen by content


@dataclass(frozen=True, slots=True)
class Removed:
    """Why there is no safe file; `id` is what to ask the administrator for, "" where no original was kept."""

    reason: str
    found: str = ""
    id: str = ""
    members: tuple[tuple[str, Removed], ...] = ()  # of an archive: each, under a name that can be shown


Result = Safe | Removed
