"""Latencies hour by hour: what a look carried over is told by its hour, to within a tenth."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

import pytest

from sync.choices import QueueDirection
from sync.clock import sync_now
from sync.kernel.counters import Latency, latency_step, observe_latency, quantile
from sync.models import LatencyHour
from sync.operations.retention import prune


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_quantile_is_that_of_the_changes_themselves_to_within_a_tenth(share: float) -> None:
    draw = random.Random(7)
    times = sorted(draw.lognormvariate(0, 1.5) + 0.01 for _ in range(4_001))
    true = times[round(share * 4_000)]
    assert quantile(Counter(map(latency_step, times)), share) == pytest.approx(true, rel=0.1)


def test_no_change_has_no_quantile_and_a_single_one_is_its_own() -> None:
    assert quantile({}, 0.5) == 0
    assert quantile({latency_step(3.0): 1}, 0.5) == quantile({latency_step(3.0): 1}, 0.95) == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize("seconds", [-5.0, 0.0, 0.001, 0.01])
def test_what_took_no_time_falls_into_the_first_step(seconds: float) -> None:
    assert latency_step(seconds) == latency_step(0.01)


def rows() -> dict[tuple[str, int], int]:
    found = LatencyHour.objects.values_list("direction", "bucket", "changes")
    return {(direction, step): changes for direction, step, changes in found}


@pytest.mark.django_db
def test_changes_of_an_hour_add_up_by_direction_and_step() -> None:
    up, down = QueueDirection.TO_MONDAY, QueueDirection.TO_NPD
    observe_latency("contact", [Latency(up, 1.0), Latency(up, 1.0), Latency(down, 1.0), Latency(up, 50.0)])
    observe_latency("contact", [Latency(up, 1.0)])
    observe_latency("contact", [])
    one, fifty = latency_step(1.0), latency_step(50.0)
    assert rows() == {("to_monday", one): 3, ("to_npd", one): 1, ("to_monday", fifty): 1}
    (hour,) = set(LatencyHour.objects.values_list("hour", flat=True))
    assert hour == sync_now().replace(minute=0, second=0, microsecond=0)


@pytest.mark.django_db
def test_hours_of_long_ago_are_forgotten() -> None:
    for days in (0, 31, 33):
        LatencyHour.objects.create(
            hour=sync_now() - timedelta(days=days), entity_type="contact", direction="to_npd", bucket=1, changes=1
        )
    prune()
    assert LatencyHour.objects.count() == 2
