"""The conflicts that wait for a person, in the order in which screens walk through them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db import connection
from django.db.models import CharField, Count, F, Func, Q, QuerySet

from conflicts.models import ConflictKind, SyncConflict
from sync import refused

# What is settled is counted 30 days back: of years there may be more than a page should wait for.
_COUNTS = """
    SELECT count(*), count(*) FILTER (WHERE choice IS NOT NULL AND choice -> 'fields' <> '{}'),
        (SELECT count(*) FROM sync_conflicts WHERE resolved_at >= (SELECT sync_now()) - interval '30 days'),
        (SELECT count(*) FROM ({refused}) AS stuck)
    FROM sync_conflicts WHERE resolved_at IS NULL
"""

_PLACE = """
    WITH waiting AS NOT MATERIALIZED (
        SELECT id, detected_at FROM sync_conflicts
        WHERE resolved_at IS NULL AND (choice IS NULL OR choice -> 'fields' = '{}'))
    SELECT count(*), count(*) FILTER (WHERE (detected_at, id) > (%(at)s, %(id)s)),
        coalesce(bool_or(id = %(id)s), false),
        (SELECT id FROM waiting WHERE (detected_at, id) > (%(at)s, %(id)s) ORDER BY detected_at, id LIMIT 1),
        (SELECT id FROM waiting WHERE id <> %(id)s ORDER BY detected_at, id LIMIT 1),
        (SELECT id FROM waiting WHERE (detected_at, id) < (%(at)s, %(id)s) ORDER BY detected_at DESC, id DESC LIMIT 1),
        (SELECT id FROM waiting WHERE id <> %(id)s ORDER BY detected_at DESC, id DESC LIMIT 1)
    FROM waiting
"""

BEING_APPLIED = Q(resolved_at=None, choice__isnull=False) & ~Q(choice__fields={})
"""Open, and chosen for: a choice whose fields were all handed back doesn't count."""


def waiting() -> QuerySet[SyncConflict]:
    """Open conflicts that nobody has chosen for, oldest first."""
    return SyncConflict.objects.filter(resolved_at=None).exclude(BEING_APPLIED).order_by("detected_at", "id")


@dataclass(frozen=True)
class Place:
    """Where a conflict stands among those that wait: `number` of `total`, 0 when it waits no more; its neighbours.

    `first` and `last` are those of all others.
    """

    number: int
    total: int
    following: UUID | None
    first: UUID | None
    preceding: UUID | None
    last: UUID | None


def place_of(conflict: SyncConflict | None) -> Place:
    """The place, oldest first; without a conflict how many wait, the first and the last. One query."""
    at, key = (
        (conflict.detected_at, conflict.pk) if conflict else (datetime.min.replace(tzinfo=UTC), UUID(int=0))
    )
    with connection.cursor() as cursor:
        cursor.execute(_PLACE, {"at": at, "id": key})
        total, later, waits, *neighbours = cursor.fetchone()
    return Place(total - later if waits else 0, total, *neighbours)


def counts() -> dict[str, int]:
    """How many are open, of these being applied, settled in the last 30 days, and refused by Monday; one query."""
    with connection.cursor() as cursor:
        sql = _COUNTS.replace("{refused}", refused.waiting_sql())
        cursor.execute(sql, {"types": refused.types()})
        open_ones, applying, settled, stuck = cursor.fetchone()
    return {"open": open_ones, "applying": applying, "settled": settled, "refused": stuck}


def open_by_field() -> list[tuple[str, str, int]]:
    """How many open conflicts each field has: kind of record, field, number; the most first, one query."""
    rows = SyncConflict.objects.filter(resolved_at=None).order_by()
    fields = rows.annotate(field=Func(F("conflict_fields"), function="unnest", output_field=CharField()))
    counted = fields.values_list("entity_type", "field").annotate(Count("pk"))
    return sorted(counted, key=lambda one: (-one[2], one[0], one[1]))


def counts_by_kind() -> dict[str, int]:
    """How many are open of each kind."""
    open_ones = SyncConflict.objects.filter(resolved_at=None).order_by()
    counted = dict(open_ones.values_list("kind").annotate(Count("pk")))
    return {kind.value: counted.get(kind.value, 0) for kind in ConflictKind}


OPEN_FIRST = (F("resolved_at").desc(nulls_first=True), F("detected_at").asc(), "id")
"""The order of the list: what waits longest first, then what was settled last."""
