"""Latencies hour by hour: what a look carried over is told by its hour, to within a tenth."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from sync.choices import QueueDirection
from sync.clock import sync_now
from sync.kernel.counters import Latency, latency_step, observe_latency, quantile
from sync.models import LatencyHour


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_quantile_is_that_of_the_changes_themselves_to_within_a_tenth(share: float) -> None:
    draw = random.Random(7)
    times = sorted(draw.lognormvariate(0, 1.5) + 0.01 for _ in range(4_001))
    true = times[round(share * 4_000)]
    assert quantile(Counter(map(latency_step, times)), share) == pytest.approx(true, rel=0.1)
    assert quantile({}, share) == 0


def rows() -> dict[tuple[str, int], int]:
    found = LatencyHour.objects.values_list("direction", "bucket", "changes")
    return {(direction, step): changes for direction, step, changes in found}


@pytest.mark.django_db
def test_changes_of_an_hour_add_up_by_direction_and_step() -> None:
    up, down = QueueDirection.TO_MONDAY, QueueDirection.TO_NPD
    observe_latency("contact", [Latency(up, 1.0), Latency(up, 1.0), Latency(down, 1.0), Latency(up, 50.0)])
    observe_latency("contact", [Latency(up, 1.0), Latency(down, 0.0), Latency(down, -5.0), Latency(down, 0.01)])
    observe_latency("contact", [])
    first, one, fifty = (latency_step(seconds) for seconds in (0.01, 1.0, 50.0))
    assert rows() == {("to_monday", one): 3, ("to_npd", one): 1, ("to_monday", fifty): 1, ("to_npd", first): 3}
    (hour,) = set(LatencyHour.objects.values_list("hour", flat=True))
    assert hour == sync_now().replace(minute=0, second=0, microsecond=0)
