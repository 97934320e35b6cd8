"""Several recipients, one reply: nothing lost, no copy too many where it can be helped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outcome import Kind, from_next_hop, outcome
from gateway.smtp.verdict import verdict

GOOD = from_next_hop(250, "2.0.0 stored")
OTHER = from_next_hop(250, "2.0.0 stored elsewhere")
LATER = from_next_hop(452, "4.2.2 full")
NEVER = from_next_hop(550, "5.1.1 unknown")
DOUBT = outcome(Kind.NEXT_HOP_DOWN, "dot", in_doubt=True)


@pytest.mark.parametrize(
    ("each", "reply", "in_doubt"),
    [
        ((GOOD, GOOD), "250 2.0.0 stored", False),
        ((GOOD, OTHER), "250 2.0.0 stored", False),
        ((NEVER, NEVER), "550 5.1.1 unknown", False),
        ((NEVER, LATER), "452 4.2.2 full", False),
        ((NEVER, DOUBT), DOUBT.reply, True),
        ((GOOD, LATER), outcome(Kind.RECIPIENTS_DIVIDED).reply, True),
        ((GOOD, NEVER, LATER), outcome(Kind.RECIPIENTS_DIVIDED).reply, True),
        ((GOOD, DOUBT), outcome(Kind.RECIPIENTS_DIVIDED).reply, True),
        ((GOOD, NEVER), outcome(Kind.PARTLY_DELIVERED).reply, True),
    ],
)
def test_the_table(each, reply, in_doubt):
    ended = verdict(each)
    assert (ended.reply, ended.in_doubt) == (reply, in_doubt)


@given(each=st.lists(st.sampled_from([GOOD, OTHER, LATER, NEVER, DOUBT]), min_size=1, max_size=6).map(tuple))
def test_what_holds_for_every_mixture(each):
    ended = verdict(each)
    assert ended.delivered == all(one.delivered for one in each)  # 250: nobody is lost
    if any(one.temporary for one in each):
        assert ended.temporary  # what may yet succeed is tried again
    if any(one.delivered or one.in_doubt for one in each):
        assert ended.delivered or ended.in_doubt  # an original that somebody was told of stays
    assert ended.each in ((), each)
    assert ended.each or all(one == each[0] for one in each)
