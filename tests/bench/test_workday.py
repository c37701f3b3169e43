"""A simulated day: the product's own pacing decides, and nothing is spent that isn't there."""

from collections.abc import Sequence

import pytest

from bench.office import HOUR, Edit, Pattern, record_id
from bench.workday import Allowance, Result, Workday

pytestmark = pytest.mark.django_db


def edits(*moments: float, in_npd: bool = True) -> Sequence[Edit]:
    return [
        Edit(int(moment * HOUR), "contact", record_id("contact", number), in_npd)
        for number, moment in enumerate(moments)
    ]


def day(of: Sequence[Edit], calls: int = 1_000) -> Result:
    return Workday(of, Allowance(calls, 1_000, 10_000_000)).run()


def test_where_there_is_room_nobody_waits_an_edit_costs_its_calls_and_the_clocks_own_are_counted() -> None:
    at_once = [Edit(15 * HOUR, "contact", record_id("contact", number), True) for number in range(150)]
    found = day([*edits(9, 10), *edits(12, 13, in_npd=False), *at_once])
    assert found.waits == [0] * 154
    # A read and a write of each in NPD, a read of each on the board; 150 together are two looks.
    assert found.calls["edits"] == 2 * 2 + 2 + 4
    # 5 % of the day's calls for sweeps of two boards; each board's items by 500, once a night, and the board itself.
    assert 40 <= found.calls["sweeps"] <= 50
    assert found.calls["comparisons"] == 11 + 4
    assert found.calls["account"] == 23


def test_a_small_allowance_gathers_edits_and_is_never_overspent() -> None:
    found = day(Pattern("a day", 80).day(3), calls=100)
    assert found.carried == 80
    assert max(found.waits) > 600
    assert found.spent <= 100
