"""What an administrator may decide about mail, frozen, with the defaults of the table in README.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gateway.mail.tree import Bounds


@dataclass(frozen=True, slots=True)
class Policy:
    """Every key is a decision; the default is beside its reason."""

    # a message that parsers read differently is delivered in our reading: refusing after the queue makes bounces
    # ("hold": its text comes through in our reading, its files wait among the originals for the administrator)
    ambiguous: Literal["rewrite", "hold", "refuse"] = "rewrite"
    # a message over a bound of `Bounds` is delivered with notices for what was not read, for the same reason
    over_bounds: Literal["rewrite", "refuse"] = "rewrite"
    # S/MIME and PGP encrypted mail cannot be opened by us; taken out, it would be lost for who can. Kept, it is marked
    # ("hold": header and text go on with a notice, everything else waits for the administrator)
    encrypted_mail: Literal["keep", "hold", "remove"] = "keep"
    # displayed HTML keeps its bytes, and with them the sender's signatures; mail programs run no scripts in it
    html_bodies: Literal["keep", "neutralise"] = "keep"
    # flattened mail is larger than the original; the next hop's message_size_limit must leave this much room
    growth_factor: float = 4.0
    growth_bytes: int = 50_000_000
    bounds: Bounds = field(default_factory=Bounds)

    def most_bytes(self, received: int) -> int:
        """How large a message of `received` bytes may become."""
        return int(received * self.growth_factor) + self.growth_bytes
