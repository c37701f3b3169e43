"""The sweep, which finds a board's changes since its last one, and the full sweep, which compares everything.

The cursor is Monday's own newest time in the first answer of a finished sweep. Each sweep begins an overlap before it,
because log entries come late and out of order; an entry that is read twice is stored once. A sweep that fails doesn't
move the cursor, and stores the reason on the board link.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from uuid import UUID

import structlog
from django.db import models, transaction
from django.db.models.functions import Greatest

from sync import choices, registry
from sync.boards import board_columns
from sync.boards.webhooks import ITEM_UPDATED, check_silence, check_webhooks
from sync.clock import SyncNow, sync_now
from sync.limits import breaker, connector, stops
from sync.models import BoardLink, MondayAccount, SyncMetadata, SyncQueue, WebhookEvent
from sync.monday import errors
from sync.monday.board_events import BoardActivity, UpdatedItem, UpdatedItemsPage
from sync.monday.connector import MondayConnector
from sync.operations import worker
from sync.operations.detect import missed_events
from sync.operations.detect.due_boards import boards_to_sweep
from sync.operations.detect.listing import BoardListing, records_without_item, swept_records
from sync.outbox.queue_rows import enqueue, enqueue_unmatched
from sync.records import availability
from sync.registry import EntitySpec, link_of

log = structlog.get_logger(__name__)

# Log entries come late and out of order.
OVERLAP = timedelta(minutes=10)

# No log entry is this late, and no clock this wrong.
CURSOR_MAX_AGE = timedelta(days=1)

# API version 2027-01 returns no entries at all if they are requested from more than 90 days ago.
LOG_DAYS = timedelta(days=89)

# Newer changes are left to the next sweep, because their webhooks or log entries may still be on their way.
GRACE = timedelta(minutes=2)

# The times of an item's last update and of its event differ by at most this much.
SAME_UPDATE = timedelta(seconds=5)


@dataclass(frozen=True)
class SweepResult:
    """The counts of one board's sweep."""

    rows: int = 0  # log entries whose webhook never came
    updated: int = 0  # updated items that no event reported
    items: int | None = None  # the board's number of items, as Monday counts them
    problem: str = ""  # why the sweep failed


def sweep_due_boards() -> list[SweepResult]:
    return [sweep_board(link) for link in boards_to_sweep()]


def sweep_board(link: BoardLink, *, grace: timedelta = GRACE) -> SweepResult:
    """Read a board's changes from Monday and store them in the inbox; a failure is stored on the link, not raised."""
    try:
        result = _Sweep(link, grace).run()
    except errors.MondayError as error:
        if error.kind is errors.SHUTTING_DOWN:
            # Undo the claim, which `link` doesn't have, so that it is due again at once. Its cursor has not moved.
            BoardLink.objects.filter(pk=link.pk).update(swept_at=link.swept_at)
            return SweepResult(problem=error.sentence)
        problem = f"What changed on the board could not be asked. {error.sentence}"
        shortfall = error.shortfall if error.kind is errors.LISTING_TRUNCATED else link.sweep_shortfall
        BoardLink.objects.filter(pk=link.pk).update(
            swept_at=SyncNow(), sweep_problem=problem, sweep_shortfall=shortfall
        )
        # As in a pass, errors of the account or the board stop it; a short listing doesn't.
        if (
            error.kind is not errors.LISTING_TRUNCATED
            and not breaker.stop_if_shared(error)
            and error.scope is errors.Scope.BOARD
        ):
            stops.stop_board(link, error)
        log.warning("sweep not finished", board=link.entity_type, reason=error.sentence)
        return SweepResult(problem=problem)
    if result.rows or result.updated:
        log.info("sweep found", board=link.entity_type, rows=result.rows, touched=result.updated)
    return result


class _Sweep:
    def __init__(self, link: BoardLink, grace: timedelta) -> None:
        self.link = link
        self.connector = connector()
        now = sync_now()
        # A board's first cursor is our time; after that, Monday's own times move it.
        self.newest = link.swept_to or now
        self.begin = self.newest - OVERLAP
        self.end = now - grace
        # Earlier changes are found only by the items' times of last update.
        self.log_begin = max(self.begin, now - LOG_DAYS)
        self.problem = ""
        self.shortfall = 0

    def run(self) -> SweepResult:
        # Everything in one call; if Monday rejects the query for the log, everything else.
        try:
            changes = self.connector.board_activity(self.link.board_id, self.log_begin)
        except errors.MondayError as refused:
            if refused.kind not in (errors.DOCUMENT_REJECTED, errors.INVALID_DOCUMENT):
                raise
            changes = self.connector.board_activity(self.link.board_id, self.log_begin, with_log=False)
            problem = f"Monday doesn't tell the activity log as asked: {refused.message.rstrip(' .')}"
            self.problem = errors.MondayError(errors.LOG_SHAPE_CHANGED, problem).sentence
        self.problem = self.problem or changes.log_problem
        if self.problem:
            todo = errors.LOG_SHAPE_CHANGED.for_administrator
            log.warning("activity log not read", board=self.link.entity_type, reason=self.problem, todo=todo)
        board_columns.check_columns(self.link, changes.board)
        if changes.user_id:
            MondayAccount.objects.filter(id=1).update(user_id=changes.user_id)
        rows = 0
        if changes.log is not None:
            further = self.connector.log_pages(self.link.board_id, self.log_begin, changes)
            for entries in chain([changes.log], further):
                for entry in entries:
                    self._advance_cursor(entry.at)
                rows += missed_events.replay_entries(self.link, [entry for entry in entries if entry.at <= self.end])
        updated = self._enqueue_updated(changes)
        # On a quiet board the cursor moves too, so that inbox rows older than it may be pruned.
        self._advance_cursor(sync_now() - CURSOR_MAX_AGE)
        BoardLink.objects.filter(pk=self.link.pk).update(
            swept_to=self.newest, swept_at=SyncNow(), sweep_problem=self.problem, sweep_shortfall=self.shortfall
        )
        self.link.swept_to = self.newest
        self.link.sweep_problem = self.problem
        check_webhooks(self.link, changes.hooks)
        check_silence(self.link, changes.user_id)
        return SweepResult(rows, updated, changes.board.items_count)

    def _enqueue_updated(self, changes: BoardActivity) -> int:
        enqueued = 0
        newest, _ = changes.recently_updated
        for item in newest:
            # Only on the first page: an edit during the listing is left to the next sweep.
            self._advance_cursor(item.at)
        try:
            for items in updated_since(self.connector, changes.recently_updated, self.begin, changes.board.items_count):
                until_end = [item for item in items if item.at and item.at <= self.end]
                enqueued += enqueue_unexplained(self.link, until_end)
        except errors.MondayError as short:
            if short.kind is not errors.LISTING_TRUNCATED:
                raise
            # The same shortfall as in the last sweep is no truncation: Monday doesn't document what it counts.
            self.shortfall = short.shortfall
            if short.shortfall != self.link.sweep_shortfall:
                raise
        return enqueued

    def _advance_cursor(self, moment: datetime | None) -> None:
        if moment is not None:
            self.newest = max(self.newest, moment)


def updated_since(
    connector: MondayConnector, first: UpdatedItemsPage, begin: datetime, items_count: int | None
) -> Iterator[list[UpdatedItem]]:
    """Yield the items updated since `begin`, page by page, the newest first. Raises MondayError.

    Its kind is LISTING_TRUNCATED if the listing ends before the board's last item and before `begin`, and
    UNREADABLE_ANSWER if the items aren't in the order of their last update and no edit during the listing explains it.
    """
    page, cursor = first
    listed = set[str]()
    newest: datetime | None = None  # of the first page; an item with a later time was edited during the listing
    oldest: datetime | None = None  # so far, without the items that were edited during the listing
    while True:
        times = [item.at for item in page if item.at is not None]
        for at in times:
            if oldest is None or at <= oldest:
                oldest = at
            elif newest is None or at < newest:
                raise errors.MondayError(
                    errors.UNREADABLE_ANSWER, "Monday doesn't list the items in the order of their last update"
                )
        newest = newest or next(iter(times), None)
        listed |= {item.item_id for item in page}
        yield [item for item in page if item.at is not None and item.at >= begin]
        if oldest is not None and oldest < begin:
            return
        if cursor is None:
            break
        page, cursor = connector.updated_items(cursor)
    if items_count is not None and len(listed) < items_count:
        short = errors.MondayError(
            errors.LISTING_TRUNCATED, f"Monday listed {len(listed):,} of the board's {items_count:,} items"
        )
        short.shortfall = items_count - len(listed)
        raise short


def enqueue_unexplained(link: BoardLink, items: Iterable[UpdatedItem]) -> int:
    """Enqueue the items whose last update no event and no pass explains; return how many."""
    updated_at = {item.item_id: item.at for item in items if item.at is not None}
    if not updated_at:
        return 0
    since = min(updated_at.values()) - missed_events.CLOCKS_DIFFER
    events = WebhookEvent.objects.filter(board_id=link.board_id, item_id__in=updated_at, received_at__gte=since)
    event_times: dict[str, datetime] = {}  # of each item's newest event
    for row in events.exclude(type=ITEM_UPDATED).only("item_id", "body"):
        happened = row.event.happened_at if row.event else None
        if happened is not None:
            item_id = str(row.item_id)
            event_times[item_id] = max(happened, event_times.get(item_id, happened))
    sync_states = SyncMetadata.objects.of(link.entity_type).filter(
        remote_id__in=updated_at, last_sync_attempt__isnull=False
    )
    attempt_times = dict(sync_states.values_list("remote_id", "last_sync_attempt"))
    rows = []
    for item_id, moment in updated_at.items():
        event_at = event_times.get(item_id)
        attempt_at = attempt_times.get(item_id)
        has_event = event_at is not None and event_at >= moment - SAME_UPDATE
        if not has_event and (attempt_at is None or attempt_at < moment):
            trigger_id = f"{ITEM_UPDATED}:{moment:%Y%m%dT%H%M%SZ}"
            rows.append(missed_events.valueless_event_row(link, trigger_id, item_id, ITEM_UPDATED))
    return missed_events.store_events(link, rows)


def run_full_sweep(say: Callable[[str], object] | None = None) -> tuple[list[str], list[str]]:
    """Compare every linked record; reconcile those that differ or have open work, and every unmatched item.

    Return a report and the problems, in sentences; `say` prints lines of progress. The report also counts the jobs that
    a worker did meanwhile.
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
    worker.drain(say=say)
    failed = models.Q(status=choices.QueueStatus.FAILED) | models.Q(status=choices.QueueStatus.PENDING, attempts__gt=0)
    attempted = _sweep_jobs().filter(last_attempt__gte=started)
    counts = attempted.aggregate(
        checked=models.Count("id"),
        done=models.Count("id", filter=models.Q(status=choices.QueueStatus.COMPLETED)),
        failed=models.Count("id", filter=failed),
    )
    for spec in registry.entities():
        rows = _sweep_jobs().filter(entity_type=spec.entity_type, entity_id__isnull=False)
        tried = rows.filter(last_attempt__gte=started)
        waiting = tried.filter(status=choices.QueueStatus.PENDING).exclude(error_message="")
        failed_rows = tried.filter(status=choices.QueueStatus.FAILED)
        unreached = rows.filter(status=choices.QueueStatus.PENDING, next_retry__lte=sync_now())
        if count := waiting.count() + failed_rows.count():
            example = (waiting.first() or failed_rows.first()).error_message  # type: ignore[union-attr]
            unsynced = registry.count_of_type(count, spec.entity_type)
            problems.append(f"{unsynced} could not be synced. For example: {example}")
        if count := unreached.count():
            reason = availability.of(spec.entity_type).detail or "Run `manage.py sync_reconcile` again."
            problems.append(f"Not reached: {registry.count_of_type(count, spec.entity_type)}. {reason}")
    return [*lines, str(worker.WorkSummary(**counts))], problems


def _sweep_jobs() -> models.QuerySet[SyncQueue]:
    return SyncQueue.objects.annotate(swept=models.F("causes").bitand(int(choices.Cause.SWEEP))).filter(swept__gt=0)


def enqueue_full_sweep(spec: EntitySpec) -> tuple[str, str]:
    """Compare the board's listing with NPD, and enqueue the records and items that may need a pass.

    Return the counts as a sentence (empty if the board could not be listed), and why something could not be checked.
    """
    reason = availability.of(spec.entity_type, reads=True).blocked_reason
    link = link_of(spec.entity_type)
    if reason or link is None:
        return "", reason
    listing = BoardListing(link)
    _enqueue(spec, records_without_item(spec))
    try:
        same = _compare(listing)
        changes = sweep_board(link, grace=timedelta(0))
        if changes.items is not None and len(listing.listed) < changes.items:
            same += _compare(listing)  # the first one may have been cut short
    except errors.MondayError as error:
        # Records whose items were not listed get a pass.
        _enqueue(spec, listing.unlisted())
        return "", f"The board could not be listed. {error.sentence}"
    _enqueue(spec, listing.unlisted())
    listing.forget_unlisted(changes.items)
    unmatched = listing.unmatched
    matchable = listing.matchable(unmatched)
    enqueue_unmatched(spec.entity_type, matchable, cause=choices.Cause.SWEEP, priority=choices.Priority.SWEEP)
    linked = swept_records(spec.model).count()
    line = (
        f"{linked:,} linked records, {same:,} of them the same on both sides; {len(listing.listed):,} items on "
        f"the board, {len(unmatched):,} of them without a record."
    )
    return "" if changes.problem else line, changes.problem


def _compare(listing: BoardListing) -> int:
    """Enqueue the listed records that need a pass; return how many don't."""
    spec = registry.entity(listing.board.link.entity_type)
    same = 0
    for page in listing.pages():
        in_sync = page.in_sync
        _enqueue(spec, page.not_in_sync)
        same += len(in_sync)
        # Store when these records were last in sync, as their passes would; skip those that are being written.
        all_records = page.facts.board.model._default_manager
        with transaction.atomic():
            synced = all_records.filter(pk__in=in_sync, sync_status=choices.RecordSyncStatus.SYNCED).order_by("pk")
            free = set(synced.select_for_update(of=("self",), skip_locked=True).values_list("pk", flat=True))
            rows = SyncMetadata.objects.of(spec.entity_type, free).order_by("entity_id")
            row_ids = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True))
            # A pass that ended since the page was read has stored a later time.
            all_records.filter(pk__in=free).update(monday_last_synced=Greatest("monday_last_synced", page.read_at))
            times = {name: Greatest(name, page.read_at) for name in ("last_sync_attempt", "last_successful_sync")}
            SyncMetadata.objects.filter(pk__in=row_ids).update(**times)
    return same


def _enqueue(spec: EntitySpec, ids: Iterable[UUID]) -> None:
    enqueue(spec.entity_type, ids, cause=choices.Cause.SWEEP, priority=choices.Priority.SWEEP)
