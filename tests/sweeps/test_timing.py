"""How often a board is swept and compared: as the day's allowance permits, and once a night."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from sync.models import ApiQuota, BoardLink
from sync.operations.comparison import boards_to_compare, last_comparison_text
from sync.operations.sweep import boards_to_sweep, sweep_interval
from sync.registry import entities
from tests.admin import states
from tests.support.clock import move_clock, stop_clock


@pytest.mark.parametrize(
    ("limit", "minutes"), [(None, 10), (25_000, 10), (10_000, 10), (1_000, 57.6), (200, 288), (100, 360)]
)
@pytest.mark.django_db
def test_the_interval_follows_from_the_days_calls(limit: int | None, minutes: float) -> None:
    ApiQuota.objects.create(id=1, day_limit=limit)
    for number, spec in enumerate(entities()):
        BoardLink.objects.create(entity_type=spec.entity_type, board_id=str(number))
    assert sweep_interval() == timedelta(minutes=minutes)


def names(links: Iterable[BoardLink]) -> list[str]:
    return [link.entity_type for link in links]


BOTH = ["organization", "contact"]


def night(hour: float, day: int = 1) -> None:
    begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    stop_clock(begin + timedelta(days=day, hours=hour))


@pytest.mark.django_db
def test_boards_are_compared_once_a_night_and_a_night_without_a_worker_is_made_up_for() -> None:
    states.boards()
    for hour, day, due in ((12, 1, []), (2.5, 2, BOTH), (2.7, 2, []), (10.7, 2, []), (2.5, 3, BOTH), (12, 3, [])):
        night(hour, day)
        assert names(boards_to_compare()) == due
    night(12, 4)
    assert names(boards_to_compare()) == BOTH
    assert all("not finished" in last_comparison_text(link) for link in BoardLink.objects.all())


@pytest.mark.django_db
def test_a_board_is_due_once_an_interval_and_its_first_sweep_begins_where_it_was_set_up() -> None:
    states.boards()
    assert names(boards_to_sweep()) == []
    for minutes, due in ((9, []), (11, BOTH), (11, [])):
        move_clock(timedelta(minutes=minutes))
        assert names(boards_to_sweep()) == due
    assert not BoardLink.objects.filter(swept_at=None).exists()


@pytest.mark.django_db
def test_two_workers_do_not_sweep_one_board_at_once() -> None:
    states.boards()
    list(boards_to_sweep())
    move_clock(timedelta(minutes=11))
    first, second = boards_to_sweep(), boards_to_sweep()
    assert names([next(first), next(second)]) == BOTH
    assert names([*first, *second]) == []
