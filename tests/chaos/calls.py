"""Limits the calls of an hour, whatever fails, by what was done in that hour and the one before.

The 34 calls of set-up don't count: the arena's sandbox has forgotten them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from tests.chaos.evidence import Evidence

HOUR = 3_600

# look-ups, probes and repeats of an hour in which nothing is done
UPKEEP = 20

# calls of periodic tasks and of comparisons of both boards; workers and time cost nothing by themselves
PRICES = {"beat": 20, "reconcile": 8, "sweep": 5, "work": 0, "deliver": 0, "clock": 0, "calm": 0, "let_go": 0}
# looks at what reads don't show yet, of any step: after 2.5, 7 and 60 seconds
PRICES["lag"] = 3

# calls of any other step: a read, a write, and a look at the result
CHANGE = 3


def calls_follow_from_changes(evidence: Evidence) -> Iterator[str]:
    """No hour has more calls than upkeep and its steps allow, and those of the hour before, which may have waited."""
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
