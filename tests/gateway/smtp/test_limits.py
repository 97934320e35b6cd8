"""Connections of one client, and its messages a minute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.smtp.limits import REMEMBERED, Clients


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_connections_are_counted_by_client_and_forgotten_when_they_end():
    clients = Clients(2, 0, Clock())
    assert [clients.enter("a") for _ in range(3)] == [True, True, False]
    assert clients.enter("b")
    clients.leave("a")
    assert [clients.enter("a"), clients.enter("a")] == [True, False]
    for client in ("a", "a", "b"):
        clients.leave(client)
    assert not clients._connections


def test_messages_come_back_with_time():
    clock = Clock()
    clients = Clients(1, 3, clock)
    assert [clients.may_send("a") for _ in range(4)] == [True, True, True, False]
    assert clients.may_send("b")
    clock.now += 20
    assert [clients.may_send("a"), clients.may_send("a")] == [True, False]
    clock.now += 3600
    assert [clients.may_send("a") for _ in range(4)] == [True, True, True, False]


def test_zero_is_no_bound():
    clients = Clients(1, 0, Clock())
    assert all(clients.may_send("a") for _ in range(1000))


@given(steps=st.lists(st.floats(0, 30), max_size=100), rate=st.integers(1, 20))
def test_no_minute_has_more_than_twice_its_bound(steps, rate):
    """A bucket lets a full one through at once and another one in the minute after it."""
    clock = Clock()
    clients = Clients(1, rate, clock)
    sent = []
    for step in steps:
        clock.now += step
        if clients.may_send("a"):
            sent.append(clock.now)
    assert all(sum(at <= other < at + 60 for other in sent) <= 2 * rate for at in sent)


def test_no_more_clients_than_the_bound_are_kept_in_mind():
    clients = Clients(1, 1, Clock())
    for number in range(REMEMBERED + 10):
        assert clients.may_send(str(number))
    assert len(clients._left) == REMEMBERED
    assert not clients.may_send(str(REMEMBERED + 9))
