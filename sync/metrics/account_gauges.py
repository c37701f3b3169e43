"""Gauges of the Monday account, which all boards share: its breaker and its allowance."""

from __future__ import annotations

from collections.abc import Iterator

from sync.metrics import names
from sync.metrics.samples import Sample
from sync.standing import Overview

OUTAGE, LIMIT = "outage", "limit"
CALLS, POINTS = "calls", "points"


def samples(now: Overview) -> Iterator[Sample]:
    """What of Monday's limits is spent and left, and whether the account is called at all."""
    yield from _breaker(now)
    yield from _day(now)
    yield from _minute(now)
    yield Sample(names.CALLS_IN_AIR, now.books.in_air.calls)
    yield Sample(names.PACING_WINDOW, now.window_seconds)


def _breaker(now: Overview) -> Iterator[Sample]:
    row = now.account
    waits = row.paused_until is not None and row.paused_until > now.now
    yield Sample(names.ACCOUNT_PAUSED, float(row.needs_probe), (OUTAGE,))
    yield Sample(names.ACCOUNT_PAUSED, float(waits and not row.needs_probe), (LIMIT,))
    yield Sample(names.ACCOUNT_PROBES, row.failures)


def _day(now: Overview) -> Iterator[Sample]:
    budget = now.books.budget
    yield Sample(names.DAY_USED, float(budget.used_today))
    limit, left = budget.allowance.day, budget.day_left(urgent=True)
    if limit is not None and left is not None:
        yield Sample(names.DAY_LIMIT, limit)
        yield Sample(names.DAY_LEFT, left)
        yield Sample(names.DAY_RESERVE, budget.day_reserve)


def _minute(now: Overview) -> Iterator[Sample]:
    budget = now.books.budget
    spent = {CALLS: budget.minute.spent, POINTS: budget.points.spent}
    limits = {CALLS: budget.allowance.minute, POINTS: budget.allowance.points}
    for unit, number in spent.items():
        yield Sample(names.MINUTE_USED, number, (unit,))
        limit = limits[unit]
        if limit is not None:
            yield Sample(names.MINUTE_LIMIT, limit, (unit,))
