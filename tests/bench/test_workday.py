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


def test_where_there_is_room_an_edit_waits_for_nothing_and_costs_a_read_and_a_write() -> None:
    found = day(edits(9, 10, 11))
    assert found.waits == [0, 0, 0]
    assert found.calls["edits"] == 6


def test_an_edit_on_the_board_costs_a_read() -> None:
    assert day(edits(9, 10, 11, in_npd=False)).calls["edits"] == 3


def test_what_runs_by_the_clock_is_counted_too() -> None:
    found = day([])
    # 5 % of the day's calls for sweeps of two boards; each board's items by 500, once a night, and the board itself.
    assert 40 <= found.calls["sweeps"] <= 50
    assert found.calls["comparisons"] == 11 + 4
    assert found.calls["account"] == 23


def test_a_small_allowance_gathers_edits_and_is_never_overspent() -> None:
    found = day(Pattern("a day", 80).day(3), calls=100)
    assert found.carried == 80
    assert max(found.waits) > 600
    assert found.spent <= 100


def test_edits_that_come_together_share_their_calls() -> None:
    at_once = [Edit(9 * HOUR, "contact", record_id("contact", number), True) for number in range(150)]
    found = day(at_once)
    assert found.carried == 150
    assert found.calls["edits"] == 4
