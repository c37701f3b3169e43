"""The budget's rows: read as they stand, or locked for one short change."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from sync.budget import usage
from sync.clock import SyncNow
from sync.connectors.monday.budget import Budget, InAir, Window, day_of
from sync.connectors.monday.plans import Allowance
from sync.models import ApiBudget, ApiReservation

LATE_SECONDS = 10.0
"""A call is sent so long after its reservation at most; it reaches Monday before the client's timeout, or never."""

_END = "DELETE FROM sync_api_reservations WHERE id = %s RETURNING calls, points, expires"
_IN_AIR = """
    SELECT sync_now(), count(*), coalesce(sum(calls), 0), coalesce(sum(points), 0)
    FROM sync_api_reservations WHERE expires > sync_now()
"""


@dataclass
class Books:
    """The budget as it stands at `now`, with what is in the air."""

    budget: Budget
    now: datetime
    in_air: InAir

    def reserve(self, entity_type: str, calls: int, points: int) -> uuid.UUID:
        """Spend calls and points, and keep them reserved until they are answered."""
        self.budget = self.budget.spend(calls, points, self.now)
        row = ApiReservation.objects.create(
            entity_type=entity_type, calls=calls, points=points, expires=SyncNow() + _lifetime()
        )
        return row.pk

    def extend(self, reservation: uuid.UUID, calls: int, points: int) -> None:
        """Spend more under a reservation that is there."""
        self.budget = self.budget.spend(calls, points, self.now)
        _change(reservation, calls, points)

    def landed(self, reservation: uuid.UUID, points: int) -> None:
        """One call of a reservation is over; it holds no more than the rest."""
        if _change(reservation, -1, -points):
            air = self.in_air
            self.in_air = InAir(air.number, max(0, air.calls - 1), max(0, air.points - points))

    def release(self, reservation: uuid.UUID) -> None:
        """End a reservation; what it holds still goes back."""
        with connection.cursor() as cursor:
            cursor.execute(_END, [reservation])
            held = cursor.fetchone()
        if held is not None and held[2] > self.now:
            self.budget = self.budget.spend(-held[0], -held[1], self.now)


def read() -> Books:
    """The budget as it stands now."""
    return _books(ApiBudget.objects.filter(id=1).first() or ApiBudget(id=1, **_NOTHING))


def read_limited() -> Books | None:
    """The budget as it stands now; None, for one query, where no limit is known and so none is kept."""
    row = ApiBudget.objects.filter(id=1).first()
    return _books(row) if row is not None and _allowance(row).known else None


@contextmanager
def opened() -> Iterator[Books]:
    """Lock the budget for one short transaction; what `budget` is at its end is stored."""
    with transaction.atomic():
        row = ApiBudget.objects.select_for_update().filter(id=1).first()
        if row is None:
            ApiBudget.objects.get_or_create(id=1, defaults=_NOTHING)
            row = ApiBudget.objects.select_for_update().get(id=1)
        books = _books(row)
        yield books
        _write(books.budget)


def forget_the_dead() -> None:
    """Reservations of workers that died end by themselves; what they spent stays spent."""
    ApiReservation.objects.filter(expires__lte=SyncNow()).delete()


_NOTHING = {"minute_calls": 0, "points": 0, "day_calls": 0, "others_calls": 0}


def _books(row: ApiBudget) -> Books:
    with connection.cursor() as cursor:
        cursor.execute(_IN_AIR)
        now, number, calls, points = cursor.fetchone()
    in_air = InAir(int(number), int(calls), int(points))
    return Books(_budget(row).at(now, in_air, _since_midnight(row, now)), now, in_air)


def _since_midnight(row: ApiBudget, now: datetime) -> Decimal:
    """Our calls of a UTC day that the row doesn't count yet."""
    today = day_of(now)
    if row.day == today:
        return Decimal(0)
    return usage.calls_between(datetime.combine(today, datetime.min.time(), UTC), now)


def _allowance(row: ApiBudget) -> Allowance:
    return Allowance(row.day_limit, row.minute_limit, row.points_limit, row.concurrency_limit)


def _budget(row: ApiBudget) -> Budget:
    return Budget(
        _allowance(row),
        Window(row.minute_calls, row.minute_ends),
        Window(row.points, row.points_end),
        row.day,
        row.day_calls,
        row.others_calls,
        row.reported_at,
        settings.MONDAY_TIMEOUT_SECONDS + LATE_SECONDS,
    )


def _write(budget: Budget) -> None:
    ApiBudget.objects.filter(id=1).update(
        day_limit=budget.allowance.day,
        minute_limit=budget.allowance.minute,
        points_limit=budget.allowance.points,
        concurrency_limit=budget.allowance.concurrency,
        minute_calls=budget.minute.spent,
        minute_ends=budget.minute.ends,
        points=budget.points.spent,
        points_end=budget.points.ends,
        day=budget.day,
        day_calls=budget.day_calls,
        others_calls=budget.others_calls,
        reported_at=budget.reported_at,
    )


def _change(reservation: uuid.UUID, calls: int, points: int) -> bool:
    """Change what a live reservation holds and let it live on; False where it has ended."""
    changed = ApiReservation.objects.filter(pk=reservation, expires__gt=SyncNow()).update(
        calls=Greatest(F("calls") + calls, 0),
        points=Greatest(F("points") + points, 0),
        expires=SyncNow() + _lifetime(),
    )
    return bool(changed)


def _lifetime() -> timedelta:
    """Longer than any one call and what comes before the next of the same look."""
    return timedelta(seconds=2 * settings.MONDAY_TIMEOUT_SECONDS + settings.MONDAY_SETTLE_SECONDS)
