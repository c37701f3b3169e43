"""Everything checked at once: boards' listings against NPD, unmatched items, missed changes; passes where needed."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Q
from django.db.models.functions import Greatest

from sync import registry
from sync.boards.board_listing import enqueue_unmatched
from sync.choices import Cause, Priority, QueueStatus, RecordSyncStatus
from sync.clock import sync_now
from sync.connectors.base.errors import ConnectorError
from sync.models import SyncMetadata, SyncQueue
from sync.models.synced_model import unsynced
from sync.operations.detect.comparison import BoardListing, records_to_pass
from sync.operations.detect.sweep import sweep_board
from sync.operations.worker import SLICE_SECONDS, DrainProgress, DrainResult, drain, record_count_text
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.batch import Batch
from sync.records import availability
from sync.registry import EntitySpec, link_of


@dataclass(frozen=True)
class BoardSweep:
    """What a full sweep found on one board; `problem` says why it could not be read, empty otherwise.

    Of the `same` linked records the listing and NPD's own rows said that a pass would find nothing to do.
    """

    entity: EntitySpec
    linked: int = 0
    same: int = 0
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
    """Compare every linked record and reconcile all of which something is to be done, with every unmatched item."""
    started = sync_now()
    boards = [enqueue_full_sweep(spec, progress) for spec in registry.entities()]
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


def enqueue_full_sweep(spec: EntitySpec, progress: DrainProgress | None = None) -> BoardSweep:
    """Compare the board's listing with NPD, and enqueue what a pass may have something to do with."""
    reason = availability.of(spec.entity_type).blocked_reason
    link = link_of(spec.entity_type)
    if reason or link is None:
        return BoardSweep(spec, problem=reason)
    listing, same = BoardListing(link), 0
    linked = spec.model._default_manager.exclude(monday_id=None).exclude(unsynced())
    try:
        same = _compare(listing, linked.count(), progress)
        changes = sweep_board(link, grace=timedelta(0))
        if changes.items is not None and len(listing.listed) < changes.items:
            same += _compare(listing, linked.count(), progress)  # the first one may have been cut short
    except ConnectorError as error:
        # What was not listed gets its pass, as if it differed.
        _enqueue(spec, listing.unlisted())
        problem = f"The board could not be listed. {error.sentence}"
        return BoardSweep(spec, linked.count(), same, problem=problem)
    _enqueue(spec, listing.unlisted())
    unmatched = listing.unmatched
    enqueue_unmatched(spec, unmatched)
    return BoardSweep(spec, linked.count(), same, len(listing.listed), len(unmatched), problem=changes.problem)


def _compare(listing: BoardListing, linked: int, progress: DrainProgress | None) -> int:
    """Enqueue of what is listed now all that needs a pass; return how many of the records don't."""
    spec, compared, same, told = registry.entity(listing.board.link.entity_type), 0, 0, time.monotonic()
    for items, batch in listing.pages():
        needed = set(records_to_pass(items, batch))
        equal = [s.id for s in batch.record_syncs if s.record.may_sync and s.id not in needed]
        _enqueue(spec, needed)
        _store_found_same(batch, equal)
        compared, same = compared + len(needed) + len(equal), same + len(equal)
        if progress and time.monotonic() - told >= SLICE_SECONDS:
            told = time.monotonic()
            progress(DrainResult(claimed=compared), max(0, linked - compared))
    return same


def _enqueue(spec: EntitySpec, ids: Collection[UUID]) -> None:
    if ids:
        enqueue_many(spec.entity_type, sorted(ids), cause=Cause.SWEEP, priority=Priority.SWEEP)


def _store_found_same(batch: Batch, ids: Sequence[UUID]) -> None:
    """Note when these were found in sync, as their passes would have, but of none that somebody writes just now."""
    with transaction.atomic():
        records = batch.records.filter(pk__in=ids, sync_status=RecordSyncStatus.SYNCED).order_by("pk")
        free = set(records.select_for_update(of=("self",), skip_locked=True).values_list("pk", flat=True))
        rows = SyncMetadata.objects.of(batch.entity_type, free).order_by("entity_id")
        row_ids = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True))
        # A pass that ended since the page was read knows a later time.
        batch.records.filter(pk__in=free).update(monday_last_synced=Greatest("monday_last_synced", batch.read_at))
        found = {name: Greatest(name, batch.read_at) for name in ("last_sync_attempt", "last_successful_sync")}
        SyncMetadata.objects.filter(pk__in=row_ids).update(**found)


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
        lines.append(f"{record_count_text(count, spec)} could not be synced. For example: {example}")
    if count := unreached.count():
        reason = availability.of(spec.entity_type).waiting_reason or "Run `manage.py sync_reconcile` again."
        lines.append(f"Not reached: {record_count_text(count, spec)}. {reason}")
    return lines
