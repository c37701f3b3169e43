"""How many calls an hour may cost, whatever fails: as many as follow from what was done in it, or the hour before.

Set-up's own calls, 34 for two boards, aren't among them: the arena begins with a sandbox that has forgotten them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from tests.chaos.evidence import Evidence

HOUR = 3_600

UPKEEP = 20
"""Look-ups, probes and repeats of an hour in which nothing is done."""

PRICES = {"beat": 20, "reconcile": 8, "sweep": 5, "work": 0, "deliver": 0, "clock": 0, "calm": 0, "let_go": 0}
"""What periodic tasks and comparisons of both boards take; that workers work, or time passes, pays for nothing."""

CHANGE = 3
"""What any other step takes, of people or of the machines: a read, a write, and a look at what became of it."""


def calls_follow_from_changes(evidence: Evidence) -> Iterator[str]:
    """No hour takes more calls than its upkeep and what was done in it, or in the hour before: that may have waited."""
    moments = sorted(call["at"] for call in evidence.stage.sandbox.calls())
    costs = sorted(evidence.journal.costs)
    excess = {}
    for place, begin in enumerate(moments):
        spent = bisect_right(moments, begin + HOUR) - place
        first = bisect_left(costs, (begin - HOUR, ""))
        last = bisect_left(costs, (begin + HOUR, ""))
        may_cost = UPKEEP + sum(PRICES.get(step, CHANGE) for _, step in costs[first:last])
        if spent > may_cost:
            excess[spent - may_cost] = f"{spent} calls in an hour, in which {may_cost} follow from what was done"
    if excess:
        yield excess[max(excess)]
