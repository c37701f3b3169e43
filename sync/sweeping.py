"""Look at everything: what webhooks missed, every linked record anew, and every item that no record has yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import F

from sync import account, registry
from sync.boards import link_of
from sync.choices import Cause, Priority, QueueStatus
from sync.clock import sync_now
from sync.connectors.monday.errors import MondayError
from sync.draining import Drained, Progress, drain
from sync.models import BoardLink, SyncQueue
from sync.registry import EntitySpec
from sync.standstill import why_not, why_waits
from sync.sweeps.listing import board_items, look_at_unknown, unknown_items
from sync.sweeps.missed import sweep_board

__all__ = [
    "Reconciled",
    "Swept",
    "board_items",
    "look_at_linked",
    "look_at_unknown",
    "reconcile_everything",
    "sweep",
    "unknown_items",
]

_LOOK_AT_LINKED = """
    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)
    SELECT %s, record.id, 'to_monday', 'update', %s, %s
    FROM {table} AS record
    WHERE record.monday_id IS NOT NULL AND record.sync_enabled AND record.sync_direction <> 'none'
    ORDER BY record.id
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes
"""


@dataclass(frozen=True)
class Swept:
    """What a sweep saw of one board; `problem` says why it could not be seen, empty otherwise."""

    entity: EntitySpec
    linked: int = 0
    items: int = 0
    candidates: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Reconciled:
    """A finished sweep: what each board held, what the looks did, and what could not be looked at."""

    swept: list[Swept]
    drained: Drained
    problems: list[str] = field(default_factory=list)


def reconcile_everything(progress: Progress | None = None) -> Reconciled:
    """Look at every linked record and every unknown item now, until done."""
    started = sync_now()
    swept = [sweep(spec) for spec in registry.entities()]
    drained = drain(progress)
    problems = [f"{one.entity.board_title}: {one.problem}" for one in swept if one.problem]
    for one in swept:
        problems += _not_looked_at(one.entity.entity_type, started)
    return Reconciled(swept, drained, problems)


def sweep(spec: EntitySpec) -> Swept:
    """Put a look at every linked record and at every unknown item of the board into the queue."""
    reason = why_not(spec.entity_type)
    link = link_of(spec.entity_type)
    if reason or link is None:
        return Swept(spec, problem=reason)
    try:
        ids = _listed(link)
        missed = sweep_board(link, grace=timedelta(0))
        if missed.items is not None and len(ids) < missed.items:
            ids = list(dict.fromkeys([*ids, *_listed(link)]))  # the first may have been cut short
    except MondayError as error:
        problem = f"The board could not be listed. {error.sentence}"
        return Swept(spec, linked=look_at_linked(spec), problem=problem)
    unknown = unknown_items(spec, ids)
    look_at_unknown(spec, unknown)
    linked = look_at_linked(spec)
    return Swept(spec, linked, len(ids), len(unknown), problem=missed.problem)


def _listed(link: BoardLink) -> list[str]:
    return list(dict.fromkeys(item.id for item in board_items(account.client(), link)))


def look_at_linked(spec: EntitySpec) -> int:
    """Enqueue a look at every linked record that sync may touch; return how many."""
    sql = _LOOK_AT_LINKED.format(table=connection.ops.quote_name(spec.model._meta.db_table))
    with connection.cursor() as cursor:
        cursor.execute(sql, [spec.entity_type, int(Priority.SWEEP), int(Cause.SWEEP)])
        return int(cursor.rowcount)


def _not_looked_at(entity_type: str, started: datetime) -> list[str]:
    """Rows of linked records that the sweep meant and that are not done, in one sentence a reason."""
    meant = F("causes").bitand(int(Cause.SWEEP))
    rows = SyncQueue.objects.annotate(meant=meant).filter(
        entity_type=entity_type, entity_id__isnull=False, meant__gt=0
    )
    waiting = rows.filter(status=QueueStatus.PENDING, last_attempt__gte=started).exclude(error_message="")
    dead = rows.filter(status=QueueStatus.FAILED, last_attempt__gte=started)
    untouched = rows.filter(status=QueueStatus.PENDING, next_retry__lte=sync_now())
    lines = []
    if count := waiting.count() + dead.count():
        example = (waiting.first() or dead.first()).error_message  # type: ignore[union-attr]
        lines.append(f"{count:,} {entity_type} records could not be looked at. For example: {example}")
    if count := untouched.count():
        reason = why_waits(entity_type) or "Run `manage.py sync_reconcile` again."
        lines.append(f"{count:,} {entity_type} records were not reached. {reason}")
    return lines
