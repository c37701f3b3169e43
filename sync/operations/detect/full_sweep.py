"""Everything checked at once: boards' listings against NPD, unmatched items, missed changes; passes where needed."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import models, transaction
from django.db.models.functions import Greatest

from sync import choices, registry
from sync.clock import sync_now
from sync.models import SyncMetadata, SyncQueue
from sync.monday import errors
from sync.operations import worker
from sync.operations.detect.listing import BoardListing, ListedPage, enqueue_unmatched, records_without_item
from sync.operations.detect.sweep import sweep_board
from sync.outbox.queue_rows import enqueue
from sync.records import availability
from sync.registry import EntitySpec, link_of


def run_full_sweep() -> tuple[list[str], list[str]]:
    """Compare every linked record and reconcile all of which something is to be done, with every unmatched item.

    Return a report and what could not be checked, in sentences. It counts jobs whoever did them: beside a running
    worker most of them are the worker's.
    """
    started = sync_now()
    lines = []
    problems = []
    for spec in registry.entities():
        line, problem = enqueue_full_sweep(spec)
        if line:
            lines.append(f"{spec.board_title}: {line}")
        if problem:
            problems.append(f"{spec.board_title}: {problem}")
    worker.drain()
    failed = models.Q(status=choices.QueueStatus.FAILED) | models.Q(status=choices.QueueStatus.PENDING, attempts__gt=0)
    attempted = _sweep_jobs().filter(last_attempt__gte=started)
    counts = attempted.aggregate(
        claimed=models.Count("id"),
        completed=models.Count("id", filter=models.Q(status=choices.QueueStatus.COMPLETED)),
        failed=models.Count("id", filter=failed),
    )
    for spec in registry.entities():
        problems += _unfinished_lines(spec, started)
    return [*lines, str(worker.WorkSummary(**counts))], problems


def _sweep_jobs() -> models.QuerySet[SyncQueue]:
    return SyncQueue.objects.annotate(swept=models.F("causes").bitand(int(choices.Cause.SWEEP))).filter(swept__gt=0)


def enqueue_full_sweep(spec: EntitySpec) -> tuple[str, str]:
    """Compare the board's listing with NPD, and enqueue what a pass may have something to do with.

    Return what the board has, empty where it could not be listed, and why something could not be checked.
    """
    reason = availability.of(spec.entity_type, reads=True).blocked_reason
    link = link_of(spec.entity_type)
    if reason or link is None:
        return "", reason
    listing = BoardListing(link)
    _enqueue(spec, records_without_item(spec))
    linked = spec.model._default_manager.exclude(monday_id=None).exclude(sync_status=choices.RecordSyncStatus.DISABLED)
    try:
        same = _compare(listing)
        changes = sweep_board(link, grace=timedelta(0))
        if changes.items is not None and len(listing.listed) < changes.items:
            same += _compare(listing)  # the first one may have been cut short
    except errors.MondayError as error:
        # What was not listed gets its pass, as if it differed.
        _enqueue(spec, listing.unlisted())
        return "", f"The board could not be listed. {error.sentence}"
    _enqueue(spec, listing.unlisted())
    listing.forget_unlisted(changes.items)
    unmatched = listing.unmatched
    enqueue_unmatched(spec, listing.matchable(unmatched))
    line = (
        f"{linked.count():,} linked records, {same:,} of them the same on both sides; {len(listing.listed):,} items on "
        f"the board, {len(unmatched):,} of them without a record."
    )
    return "" if changes.problem else line, changes.problem


def _compare(listing: BoardListing) -> int:
    """Enqueue of what is listed now all that needs a pass; return how many of the records don't."""
    spec = registry.entity(listing.board.link.entity_type)
    same = 0
    for page in listing.pages():
        settled = page.settled
        _enqueue(spec, page.unsettled)
        _store_found_same(page, settled)
        same += len(settled)
    return same


def _enqueue(spec: EntitySpec, ids: Iterable[UUID]) -> None:
    enqueue(spec.entity_type, ids, cause=choices.Cause.SWEEP, priority=choices.Priority.SWEEP)


def _store_found_same(page: ListedPage, ids: Sequence[UUID]) -> None:
    """Note when these were found in sync, as their passes would have, but of none that somebody writes just now."""
    board = page.facts.board
    read_at = page.read_at
    all_records = board.model._default_manager
    with transaction.atomic():
        records = all_records.filter(pk__in=ids, sync_status=choices.RecordSyncStatus.SYNCED).order_by("pk")
        free = set(records.select_for_update(of=("self",), skip_locked=True).values_list("pk", flat=True))
        rows = SyncMetadata.objects.of(board.link.entity_type, free).order_by("entity_id")
        row_ids = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True))
        # A pass that ended since the page was read knows a later time.
        all_records.filter(pk__in=free).update(monday_last_synced=Greatest("monday_last_synced", read_at))
        times = {name: Greatest(name, read_at) for name in ("last_sync_attempt", "last_successful_sync")}
        SyncMetadata.objects.filter(pk__in=row_ids).update(**times)


def _unfinished_lines(spec: EntitySpec, started: datetime) -> list[str]:
    """Return a sentence per reason for the jobs of linked records that the sweep left undone."""
    rows = _sweep_jobs().filter(entity_type=spec.entity_type, entity_id__isnull=False)
    waiting = rows.filter(status=choices.QueueStatus.PENDING, last_attempt__gte=started).exclude(error_message="")
    failed = rows.filter(status=choices.QueueStatus.FAILED, last_attempt__gte=started)
    unreached = rows.filter(status=choices.QueueStatus.PENDING, next_retry__lte=sync_now())
    lines = []
    if count := waiting.count() + failed.count():
        example = (waiting.first() or failed.first()).error_message  # type: ignore[union-attr]
        lines.append(f"{registry.count_of_type(count, spec.entity_type)} could not be synced. For example: {example}")
    if count := unreached.count():
        reason = availability.of(spec.entity_type).detail or "Run `manage.py sync_reconcile` again."
        lines.append(f"Not reached: {registry.count_of_type(count, spec.entity_type)}. {reason}")
    return lines
