"""How much one client may ask for: connections at once, and messages a minute. Pure but for the clock it is given.

A client is its address. Behind Postfix there is one client only, the MTA, so both bounds are wide or off unless the
administrator says otherwise. Bounds: `[smtp] max_connections_per_client` and `max_messages_per_minute`; no more than
`REMEMBERED` clients are kept in mind, the one that was quiet longest is forgotten first.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED: Final = 10_000
_MINUTE: Final = 60.0


class Clients:
    """Counts by client."""

    def __init__(self, max_connections: int, messages_per_minute: int, clock: Callable[[], float]) -> None:
        self._max_connections = max_connections
        self._rate = messages_per_minute  # 0: no bound
        self._clock = clock
        self._connections: collections.Counter[str] = collections.Counter()
        # a bucket each that fills up again within a minute: messages left, and when that was
        self._left: collections.OrderedDict[str, tuple[float, float]] = collections.OrderedDict()

    def enter(self, client: str) -> bool:
        """Count a connection; False, and not counted, where the client has enough of them."""
        if self._connections[client] >= self._max_connections:
            return False
        self._connections[client] += 1
        return True

    def leave(self, client: str) -> None:
        """Forget a connection that has ended."""
        self._connections[client] -= 1
        if self._connections[client] <= 0:
            del self._connections[client]

    def may_send(self, client: str) -> bool:
        """Count a message; False, and not counted, where the client has sent enough for now."""
        if not self._rate:
            return True
        now = self._clock()
        left, at = self._left.get(client, (float(self._rate), now))
        left = min(self._rate, left + (now - at) * self._rate / _MINUTE)
        allowed = left >= 1.0
        self._left[client] = (left - allowed, now)
        self._left.move_to_end(client)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return allowed
