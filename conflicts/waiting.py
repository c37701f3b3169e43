"""The conflicts that wait for a person, in the order in which screens walk through them."""

from __future__ import annotations

from django.db import connection
from django.db.models import CharField, Count, F, Func, Q, QuerySet

from conflicts.models import ConflictKind, SyncConflict

# What is settled is counted 30 days back: of years there may be more than a page should wait for.
_COUNTS = """
    SELECT count(*), count(*) FILTER (WHERE choice IS NOT NULL AND choice -> 'fields' <> '{}'),
        (SELECT count(*) FROM sync_conflicts WHERE resolved_at >= (SELECT sync_now()) - interval '30 days')
    FROM sync_conflicts WHERE resolved_at IS NULL
"""

BEING_APPLIED = Q(resolved_at=None, choice__isnull=False) & ~Q(choice__fields={})
"""Open, and chosen for: a choice whose fields were all handed back doesn't count."""


def waiting() -> QuerySet[SyncConflict]:
    """Open conflicts that nobody has chosen for, oldest first."""
    return SyncConflict.objects.filter(resolved_at=None).exclude(BEING_APPLIED).order_by("detected_at", "id")


def after(conflict: SyncConflict) -> SyncConflict | None:
    """The next one that waits, beginning anew at the oldest after the last; None when no other waits."""
    others = waiting().exclude(pk=conflict.pk)
    return others.filter(_later_than(conflict)).first() or others.first()


def before(conflict: SyncConflict) -> SyncConflict | None:
    """The one before it; the newest before the oldest."""
    others = waiting().exclude(pk=conflict.pk).reverse()
    return others.exclude(_later_than(conflict)).first() or others.first()


def _later_than(conflict: SyncConflict) -> Q:
    return Q(detected_at__gt=conflict.detected_at) | Q(detected_at=conflict.detected_at, pk__gt=conflict.pk)


def position(conflict: SyncConflict) -> tuple[int, int]:
    """Which of how many waiting ones this is; 0 when it waits no more."""
    counted = (
        waiting()
        .order_by()
        .aggregate(
            all=Count("pk"),
            later=Count("pk", filter=_later_than(conflict)),
            itself=Count("pk", filter=Q(pk=conflict.pk)),
        )
    )
    return (counted["all"] - counted["later"] if counted["itself"] else 0), counted["all"]


def counts() -> dict[str, int]:
    """How many are open, of these being applied, and settled in the last 30 days; one query, on two indexes."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS)
        open_ones, applying, settled = cursor.fetchone()
    return {"open": open_ones, "applying": applying, "settled": settled}


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
