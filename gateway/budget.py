"""What all that is in the containers of one message may cost: one budget, however they are nested.

Bounds are `[mail]` parts, depth, unpacked_bytes and unpacked_ratio. A container that would go past one of them is
removed as a whole, with the bound's word as its reason: what is taken is taken before anything of it is used. Where
several containers are opened at once, the first to be opened is the first served.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.mail.ambiguity import TOO_DEEP, TOO_MANY_PARTS
from sandbox import contract
from sandbox.client import Room

if TYPE_CHECKING:
    from gateway.mail.letter import Letter
    from gateway.mail.tree import Bounds
    from sandbox.client import Unpacked


@dataclass(slots=True)
class Budget:
    """What is left of it."""

    bounds: Bounds
    parts: int
    bytes: int

    @classmethod
    def of(cls, bounds: Bounds, received: int, parts: int = 0) -> Budget:
        """For a message of `received` bytes in which `parts` were found."""
        most = min(bounds.unpacked_bytes, int(received * bounds.unpacked_ratio))
        return cls(bounds, max(bounds.parts - parts, 0), most)

    def room(self) -> Room:
        """How much may come out of the next container: never nothing, so that it is known what it was."""
        return Room(max(self.parts, 1), max(self.bytes, 1))

    def take(self, unpacked: Unpacked, depth: int) -> str:
        """Why a container that lies `depth` deep cannot be afforded; "" where it is paid for."""
        if depth + 1 >= self.bounds.depth:
            return TOO_DEEP
        if len(unpacked.members) > self.parts:
            return contract.TOO_MANY_MEMBERS
        if unpacked.size > self.bytes:
            return contract.UNPACKED_TOO_LARGE
        self.parts -= len(unpacked.members)
        self.bytes -= unpacked.size
        return ""

    def bounds_at(self, depth: int) -> Bounds:
        """How much is read of a message that lies `depth` deep."""
        return replace(self.bounds, parts=max(self.parts, 1), depth=max(self.bounds.depth - depth, 1))

    def take_letter(self, letter: Letter) -> str:
        """Why a message that was in a container cannot be afforded; "" where its parts are paid for."""
        if reason := letter.over:
            return reason
        if letter.parts > self.parts:
            return TOO_MANY_PARTS
        self.parts -= letter.parts
        return ""
