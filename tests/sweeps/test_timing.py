"""How often a board is swept and compared: what the day's allowance can bear, and once a night."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync.clock import sync_now
from sync.limits import quota
from sync.limits.quota import Forecast
from sync.models import BoardLink
from sync.operations.detect import sweep_schedule
from sync.operations.detect.comparison import compare_due_boards
from sync.operations.detect.sweep_schedule import last_comparison_text
from tests.support.world import World


def forecast(limit: int | None, *, tight: bool = False) -> Forecast:
    ends = datetime(2026, 11, 20, 18, tzinfo=UTC) if tight else None
    return Forecast(0.0, limit, None, 0, ends, "", None)


@pytest.mark.parametrize(
    ("limit", "tight", "minutes"),
    [
        (None, False, 10),
        (25_000, False, 10),
        (10_000, False, 10),
        (1_000, False, 57.6),
        (200, False, 288),
        (10_000, True, 60),
        (100, False, 360),
    ],
)
@pytest.mark.django_db
def test_the_interval_follows_from_the_days_calls(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, tight: bool, minutes: float
) -> None:
    monkeypatch.setattr(quota, "forecast", lambda: forecast(limit, tight=tight))
    for number, entity_type in enumerate(("contact", "organization")):
        BoardLink.objects.create(entity_type=entity_type, board_id=str(number))
    assert sweep_schedule.sweep_interval() == timedelta(minutes=minutes)
    calls = 2 * 86_400 / sweep_schedule.sweep_interval().total_seconds()
    assert limit is None or limit < 1_000 or calls <= limit * sweep_schedule.QUOTA_SHARE * 1.01


def at(world: World, hour: int, minute: int = 0) -> None:
    """Move on to this time of the next day."""
    now = sync_now()
    then = (now + timedelta(days=1)).replace(hour=hour, minute=minute, second=0, microsecond=0)
    world.pass_time(seconds=(then - now).total_seconds())


def test_boards_are_compared_once_a_night(world: World) -> None:
    at(world, 12)
    assert compare_due_boards() == []
    at(world, 2, 30)
    assert [found.problem for found in compare_due_boards()] == ["", ""]
    world.pass_time(minutes=10)
    assert compare_due_boards() == []
    world.pass_time(hours=8)
    assert compare_due_boards() == []
    at(world, 2, 30)
    assert len(compare_due_boards()) == 2


def test_a_night_without_a_worker_is_made_up_for(world: World) -> None:
    at(world, 2, 30)
    compare_due_boards()
    at(world, 12)
    at(world, 12)
    assert len(compare_due_boards()) == 2


def test_a_comparison_whose_worker_dies_does_not_show_the_figures_of_the_night_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(world, 2, 30)
    compare_due_boards()
    link = BoardLink.objects.get(entity_type="contact")
    assert "differed" in last_comparison_text(link)
    at(world, 2, 30)

    def dies(link: BoardLink) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr("sync.operations.detect.comparison.board_columns.inspect_board", dies)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            compare_due_boards()
    link.refresh_from_db()
    assert "not finished" in last_comparison_text(link)


def test_two_workers_do_not_sweep_one_board_at_once(world: World) -> None:
    list(sweep_schedule.boards_to_sweep())
    world.pass_time(minutes=11)
    taken: list[Any] = []
    for link in sweep_schedule.boards_to_sweep():
        taken.append(link.entity_type)
        assert link.entity_type not in [other.entity_type for other in sweep_schedule.boards_to_sweep()]
    assert "contact" in taken or "organization" in taken
    assert list(sweep_schedule.boards_to_sweep()) == []
