"""What came out of a container, sent a piece at a time within the room that the request gives.

The room is kept while a container is read, so that nothing grows before it is counted; what was sent of a member that
then turned out broken has been counted too. The bounds that hold are the host's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox import contract
from sandbox.guest.failure import GuestFailure

if TYPE_CHECKING:
    from sandbox.guest.wire import Answer, Request

NOTHING_READ = (contract.ENCRYPTED, contract.CORRUPT, contract.UNKNOWN_TYPE)  # of several reasons the most telling


class Members:
    """The members of one container, in the order they come; `end` when there are no more."""

    def __init__(self, form: int, answer: Answer, request: Request) -> None:
        self._answer = answer
        self._most = request.max_members
        self._room = request.max_member_bytes
        self._count = 0
        self._left: list[str] = []  # why, one for each that was left
        answer.container(form)

    def begin(self, name: str) -> None:
        """The next member; raises GuestFailure where it is one too many."""
        self._count += 1
        if self._count > self._most:
            raise GuestFailure(contract.TOO_MANY_MEMBERS)
        self._answer.member(name)

    def add(self, piece: bytes | memoryview) -> None:
        """The next bytes of the member; raises GuestFailure where there is no room for them."""
        self._room -= len(piece)
        if self._room < 0:
            raise GuestFailure(contract.UNPACKED_TOO_LARGE)
        self._answer.bytes(piece)

    def leave(self, reason: str) -> None:
        """The member is not to be had."""
        self._left.append(reason)
        self._answer.left(reason)

    def end(self) -> None:
        """No more members; raises GuestFailure where none could be read."""
        if not self._count:
            raise GuestFailure(contract.EMPTY)
        if len(self._left) == self._count:
            raise GuestFailure(next(reason for reason in NOTHING_READ if reason in self._left))
        self._answer.end(self._count)


def send_only(form: int, name: str, content: bytes, answer: Answer, request: Request) -> None:
    """A container that holds one thing."""
    members = Members(form, answer, request)
    members.begin(name)
    members.add(content)
    members.end()
