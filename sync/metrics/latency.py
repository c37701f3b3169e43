"""The histogram of how long a change was on its way, in seconds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from sync.choices import QueueDirection
from sync.metrics.counts import Count, add
from sync.metrics.hours import add_to_hour
from sync.metrics.names import LATENCY

BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds: the goals are half of all within 1 s and 99 of 100 within 3 s; an hour is the longest backoff."""
INFINITE = "+Inf"
SUM = "sum"


@dataclass(frozen=True)
class Latency:
    """One change that has arrived: which way it went, and for how many seconds it was on its way."""

    direction: QueueDirection
    seconds: float


def observe_latency(entity_type: str, arrived: Iterable[Latency]) -> None:
    """Add changes of one board to the histogram and to the present hour, under its lease."""
    told = list(arrived)
    add(counts_of(entity_type, told))
    add_to_hour(entity_type, ((one.direction.value, one.seconds) for one in told))


def counts_of(entity_type: str, arrived: Iterable[Latency]) -> list[Count]:
    """What these changes add: of each one its bucket, and its seconds to the sum."""
    found = []
    for one in arrived:
        seconds = max(0.0, one.seconds)
        found.append(Count(LATENCY, entity_type, one.direction, 1.0, bucket_of(seconds)))
        found.append(Count(LATENCY, entity_type, one.direction, seconds, SUM))
    return found


def bucket_of(seconds: float) -> str:
    """The smallest bound that is not below, as it is stored and exported."""
    place = bisect_left(BOUNDS, seconds)
    return INFINITE if place == len(BOUNDS) else str(BOUNDS[place])
