"""Latencies hour by hour: what a look carried over is told by its hour, to within a tenth."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

import pytest

from sync.choices import QueueDirection
from sync.clock import sync_now
from sync.metrics import Latency, observe_latency
from sync.metrics.scale import quantile, step_of
from sync.models import LatencyHour
from sync.pruning import prune
from tests.engine.conftest import World


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_quantile_is_that_of_the_changes_themselves_to_within_a_tenth(share: float) -> None:
    draw = random.Random(7)
    times = sorted(draw.lognormvariate(0, 1.5) + 0.01 for _ in range(4_001))
    true = times[round(share * 4_000)]
    assert quantile(Counter(map(step_of, times)), share) == pytest.approx(true, rel=0.1)


def test_no_change_has_no_quantile_and_a_single_one_is_its_own() -> None:
    assert quantile({}, 0.5) == 0
    assert quantile({step_of(3.0): 1}, 0.5) == quantile({step_of(3.0): 1}, 0.95) == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize("seconds", [-5.0, 0.0, 0.001, 0.01])
def test_what_took_no_time_falls_into_the_first_step(seconds: float) -> None:
    assert step_of(seconds) == step_of(0.01)


def rows() -> dict[tuple[str, int], int]:
    found = LatencyHour.objects.values_list("direction", "bucket", "changes")
    return {(direction, step): changes for direction, step, changes in found}


@pytest.mark.django_db
def test_changes_of_an_hour_add_up_by_direction_and_step() -> None:
    up, down = QueueDirection.TO_MONDAY, QueueDirection.TO_NPD
    observe_latency("contact", [Latency(up, 1.0), Latency(up, 1.0), Latency(down, 1.0), Latency(up, 50.0)])
    observe_latency("contact", [Latency(up, 1.0)])
    observe_latency("contact", [])
    one, fifty = step_of(1.0), step_of(50.0)
    assert rows() == {("to_monday", one): 3, ("to_npd", one): 1, ("to_monday", fifty): 1}
    (hour,) = set(LatencyHour.objects.values_list("hour", flat=True))
    assert hour == sync_now().replace(minute=0, second=0, microsecond=0)


@pytest.mark.django_db
def test_hours_of_long_ago_are_forgotten() -> None:
    for days in (0, 7, 9):
        LatencyHour.objects.create(
            hour=sync_now() - timedelta(days=days),
            entity_type="contact",
            direction="to_npd",
            bucket=1,
            changes=1,
        )
    prune()
    assert LatencyHour.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_save_that_a_look_sends_is_counted_in_its_hour(world: World) -> None:
    world.contact("Ann")
    world.pass_time(seconds=20)
    world.work()
    (found,) = rows().items()
    (direction, step), changes = found
    assert (direction, changes) == ("to_monday", 1)
    assert step_of(20.0) <= step <= step_of(30.0)
