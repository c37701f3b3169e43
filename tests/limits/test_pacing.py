"""Pacing over simulated days: the allowance lasts until midnight, and nobody waits without need."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.limits import api_quota
from sync.limits.api_quota import Quota, fitting_batch_size, next_batch_size, seconds_between_passes
from sync.monday.item_documents import ITEMS_PER_READ

DAY = 86_400
STEP = 5


def of_day(limit: int, remaining: float, seconds: float) -> Quota:
    """The quota `seconds` before midnight, with `remaining` calls left after the reserve."""
    quota = Quota(api_quota.midnight_after(datetime(2026, 11, 20, 12, tzinfo=UTC)) - timedelta(seconds=seconds))
    quota.day_limit = limit
    quota.day_calls = limit - api_quota.reserve(limit, api_quota.DAY_RESERVE_SHARE) - remaining  # type: ignore[assignment]
    return quota


@dataclass
class Simulated:
    """A day of edits on two boards; a look takes two calls, sweeps take one every quarter of an hour."""

    limit: int
    edited: Callable[[int, int], bool]
    remaining: float = 0.0
    gaps: list[int] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    def run(self) -> "Simulated":
        self.remaining = self.limit * 0.95
        last, since = {0: -DAY, 1: -DAY}, {}
        for now in range(0, DAY, STEP):
            if now % 900 == 0:
                self._spend(now, 1)
            for board in (0, 1):
                if self.edited(now, board):
                    since.setdefault(board, now)
                if board in since and now >= last[board] + self._window(now, last):
                    self._spend(now, 2)
                    if last[board] >= 0:
                        self.gaps.append(now - last[board])
                    self.waits.append(now - since.pop(board))
                    last[board] = now
        return self

    def _window(self, now: int, last: dict[int, int]) -> float:
        boards = sum(moment > now - 3_600 for moment in last.values())
        return seconds_between_passes(of_day(self.limit, self.remaining, DAY - now), boards)

    def _spend(self, now: int, calls: int) -> None:
        if self.remaining < calls:
            self.refused.append(now)
        self.remaining -= calls


@pytest.mark.parametrize(("limit", "least", "most"), [(1_000, 360, 475), (10_000, 35, 48)])
def test_with_edits_all_day_long_the_allowance_lasts_until_midnight(limit: int, least: int, most: int) -> None:
    day = Simulated(limit, lambda now, board: True).run()
    assert not day.refused
    assert least <= statistics.mean(day.gaps) <= most
    assert least <= statistics.median(day.gaps) <= most
    # A change waits hardly longer than the rest of the day requires.
    assert max(day.waits) <= 1.5 * most
    # Nearly all of the allowance is used.
    assert day.remaining < limit * 0.05


days = (st.integers(10, 25_000), st.floats(0, 0.95), st.floats(1, DAY - 1), st.integers(0, 20))


@given(*days)
def test_nobody_waits_while_an_even_share_is_left(limit: int, share: float, seconds: float, boards: int) -> None:
    remaining = share * limit
    window = seconds_between_passes(of_day(limit, remaining, seconds), boards)
    assert 0 <= window <= DAY
    if limit >= 500 and remaining >= limit * seconds / DAY:
        assert window == 0
    if limit < 500 and boards:
        assert window > 0
    if 0 < window < DAY:
        assert 2 * boards * seconds / window <= remaining * 1.001


@settings(max_examples=10, deadline=None)
@given(st.integers(1_000, 2_000), st.lists(st.tuples(st.integers(0, DAY), st.integers(60, DAY // 2)), max_size=4))
def test_whenever_people_edit_the_allowance_lasts(limit: int, bursts: list[tuple[int, int]]) -> None:
    day = Simulated(limit, lambda now, board: any(start <= now < start + length for start, length in bursts)).run()
    # Only in the last minutes is there no room for another window.
    assert all(moment > DAY - 600 for moment in day.refused)


def _calls(a_mutation: float, timeout: float, looks: int) -> Iterator[tuple[int, bool]]:
    """Full batches whose mutations take `a_mutation` seconds each: (records, timed out)."""
    size = ITEMS_PER_READ
    for _ in range(looks):
        seconds = size * a_mutation
        timed_out = seconds > timeout
        yield size, timed_out
        size = max(1, size // 4) if timed_out else next_batch_size(size, size, seconds, timeout)


@pytest.mark.parametrize("a_mutation", [0.05, 0.2, 0.3, 0.6, 1.2])
def test_no_call_times_out_twice_and_batches_settle_below_the_target(a_mutation: float) -> None:
    calls = list(_calls(a_mutation, 30.0, 60))
    assert sum(timed_out for _, timed_out in calls) <= 1
    largest = 20 / a_mutation
    assert all(size <= largest * 1.11 for size, _ in calls[-20:])
    assert max(size for size, _ in calls[-20:]) >= min(100, largest * 0.85)


@given(st.integers(1, 100), st.integers(1, 100), st.floats(0, 60), st.sampled_from([3.0, 5.0, 30.0]))
def test_a_size_stays_between_one_and_a_hundred(size: int, records: int, seconds: float, timeout: float) -> None:
    new_size = next_batch_size(size, records, seconds, timeout)
    assert 1 <= new_size <= 100
    if seconds > timeout * api_quota.SHARE_OF_TIMEOUT:
        assert new_size <= size
    elif records >= size:
        assert new_size > size or new_size == 100


@given(st.integers(0, 10_000_000))
def test_what_fits_into_the_minutes_rest_costs_no_more_than_that(room: int) -> None:
    size = fitting_batch_size(room)
    assert 0 <= size <= 100
    assert size == 0 or api_quota.READ_POINTS + size * api_quota.WRITE_POINTS <= room
    assert size * api_quota.WRITE_POINTS <= 5_000_000  # what one document may cost
