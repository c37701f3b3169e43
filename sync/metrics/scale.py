"""The scale on which latencies are counted hour by hour: each step is a fifth longer than the one before it.

So a median or a 95 % of any number of changes is known to within a tenth of itself, from some dozens of counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

FACTOR = 1.2
SHORTEST = 0.01
"""Seconds below which nothing is told apart."""


def step_of(seconds: float) -> int:
    """Return the step that this length of time falls into."""
    return math.ceil(math.log(max(seconds, SHORTEST), FACTOR) - 1e-9)


def seconds_of(step: int) -> float:
    """Return the middle of a step, in seconds."""
    return float(FACTOR ** (step - 0.5))


def quantile(counts: Mapping[int, int], share: float) -> float:
    """Return the seconds within which `share` (0 to 1) of the counted changes arrived; 0 where none is counted."""
    wanted, reached = math.ceil(share * sum(counts.values())), 0
    for step, number in sorted(counts.items()):
        reached += number
        if reached >= wanted > 0:
            return seconds_of(step)
    return 0.0
