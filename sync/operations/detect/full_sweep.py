"""Everything checked at once: a board's whole listing, unmatched items, linked records, missed changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Count, F, Q

from sync import registry
from sync.boards.board_listing import enqueue_unmatched, listed_ids, unmatched_items
from sync.choices import Cause, Priority, QueueStatus
from sync.clock import sync_now
from sync.connectors.base.errors import ConnectorError
from sync.models import SyncQueue
from sync.operations.detect.sweep import sweep_board
from sync.operations.worker import DrainProgress, DrainResult, drain, record_count_text
from sync.records import availability
from sync.registry import EntitySpec, link_of

_ENQUEUE_LINKED = """
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
class BoardSweep:
    """What a full sweep found on one board; `problem` says why it could not be read, empty otherwise."""

    entity: EntitySpec
    linked: int = 0
    items: int = 0
    unmatched: int = 0
    problem: str = ""


@dataclass(frozen=True)
class FullSweepResult:
    """A finished full sweep: what each board has, how its jobs ended, and what could not be checked.

    `totals` counts jobs whoever did them: beside a running worker most of them are the worker's.
    """

    boards: list[BoardSweep]
    totals: DrainResult
    problems: list[str] = field(default_factory=list)


def run_full_sweep(progress: DrainProgress | None = None) -> FullSweepResult:
    """Reconcile every linked record and every unmatched item now, and return when that is done."""
    started = sync_now()
    boards = [enqueue_full_sweep(spec) for spec in registry.entities()]
    drain(progress)
    sweep_jobs = SyncQueue.objects.annotate(meant=F("causes").bitand(int(Cause.SWEEP))).filter(meant__gt=0)
    failed = Q(status=QueueStatus.FAILED) | Q(status=QueueStatus.PENDING, attempts__gt=0)
    attempted = sweep_jobs.filter(last_attempt__gte=started).aggregate(
        claimed=Count("id"),
        completed=Count("id", filter=Q(status=QueueStatus.COMPLETED)),
        failed=Count("id", filter=failed),
    )
    problems = [f"{one.entity.board_title}: {one.problem}" for one in boards if one.problem]
    for one in boards:
        problems += _unfinished_lines(one.entity, started)
    return FullSweepResult(boards, DrainResult(**attempted), problems)


def enqueue_full_sweep(spec: EntitySpec) -> BoardSweep:
    """Put a look at every linked record and at every unknown item of the board into the queue."""
    reason = availability.of(spec.entity_type).blocked_reason
    link = link_of(spec.entity_type)
    if reason or link is None:
        return BoardSweep(spec, problem=reason)
    try:
        ids = listed_ids(link)
        changes = sweep_board(link, grace=timedelta(0))
        if changes.items is not None and len(ids) < changes.items:
            ids = list(dict.fromkeys([*ids, *listed_ids(link)]))  # the first one may have been cut short
    except ConnectorError as error:
        problem = f"The board could not be listed. {error.sentence}"
        return BoardSweep(spec, linked=enqueue_linked(spec), problem=problem)
    unmatched = unmatched_items(spec, ids)
    enqueue_unmatched(spec, unmatched)
    linked = enqueue_linked(spec)
    return BoardSweep(spec, linked, len(ids), len(unmatched), problem=changes.problem)


def enqueue_linked(spec: EntitySpec) -> int:
    """Enqueue a pass for every linked record that sync may touch; return how many."""
    sql = _ENQUEUE_LINKED.format(table=connection.ops.quote_name(spec.model._meta.db_table))
    with connection.cursor() as cursor:
        cursor.execute(sql, [spec.entity_type, int(Priority.SWEEP), int(Cause.SWEEP)])
        return int(cursor.rowcount)


def _unfinished_lines(spec: EntitySpec, started: datetime) -> list[str]:
    """Return a sentence per reason for the jobs of linked records that the sweep left undone."""
    meant = F("causes").bitand(int(Cause.SWEEP))
    rows = SyncQueue.objects.annotate(meant=meant).filter(
        entity_type=spec.entity_type, entity_id__isnull=False, meant__gt=0
    )
    waiting = rows.filter(status=QueueStatus.PENDING, last_attempt__gte=started).exclude(error_message="")
    failed = rows.filter(status=QueueStatus.FAILED, last_attempt__gte=started)
    unreached = rows.filter(status=QueueStatus.PENDING, next_retry__lte=sync_now())
    lines = []
    if count := waiting.count() + failed.count():
        example = (waiting.first() or failed.first()).error_message  # type: ignore[union-attr]
        lines.append(f"{record_count_text(count, spec)} could not be looked at. For example: {example}")
    if count := unreached.count():
        reason = availability.of(spec.entity_type).waiting_reason or "Run `manage.py sync_reconcile` again."
        lines.append(f"Not reached: {record_count_text(count, spec)}. {reason}")
    return lines
