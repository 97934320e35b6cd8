"""What became of a message with several recipients, folded into the one reply that SMTP has. Pure.

    all have it                                   250
    nobody has it                                 a refusal; one for now where there is one, so that all are tried again
    some have it, others are refused for now      451: tried again; the journal spares those that have it a second copy
    some have it, the others are refused for good 554: the sender is told, nobody gets a second copy

A copy too many is the lesser evil than one too few (RFC 5321 section 6.1), but not for ever: a 451 for what will never
succeed would bring a copy with every retry. None of this is needed where the client speaks LMTP too, or sends one
recipient at a time: `Outcome.each` then goes on as it is. Only LMTP next hops give mixed replies after the dot; where
one refuses some recipients before, a client of SMTP has its message put off whole (`transaction`).
"""

from __future__ import annotations

import dataclasses

from gateway.outcome import Kind, Outcome, outcome

_TOLD = 10  # recipients named in the log


def verdict(each: tuple[Outcome, ...]) -> Outcome:
    """One outcome for all; `each` has at least one."""
    if all(one == each[0] for one in each):
        return each[0]
    refusals = [one for one in each if not one.delivered]
    if not refusals:
        return dataclasses.replace(each[0], each=each)
    worst = next((one for one in refusals if one.temporary), refusals[0])
    if len(refusals) == len(each):
        return dataclasses.replace(worst, each=each, in_doubt=any(one.in_doubt for one in each))
    kind = Kind.RECIPIENTS_DIVIDED if worst.temporary else Kind.PARTLY_DELIVERED
    told = "; ".join(f"{number}: {one.reply}" for number, one in enumerate(each[:_TOLD], 1))
    return dataclasses.replace(outcome(kind, told, in_doubt=True), each=each)
