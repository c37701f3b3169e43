"""Both sides held against each other and the base, outside of passes: whole boards at night, and samples by the hour.

A listing brings 500 items a call, a pass reads 100. So what must look at everything compares the listing first, and
only what differs, or has something open, gets a pass. The samples are the proof that records which say “synced” are.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import Max, Sum
from django.utils.dateparse import parse_datetime

from sync import registry
from sync.boards import board_columns
from sync.boards.board_listing import enqueue_unmatched, item_pages, unmatched_items
from sync.choices import Cause, Priority, QueueDirection, QueueStatus, RecordSyncStatus, SyncDirection, SyncStatus
from sync.clock import SyncNow, sync_now
from sync.connectors.base.board_items import Item
from sync.connectors.base.conversion import Converter
from sync.connectors.base.errors import BoardNotFound, BudgetExhausted, ConnectorError, ShuttingDown
from sync.kernel import humanize
from sync.limits import breaker, metered_client, quota
from sync.limits.pass_budget import board_costs, call_cost
from sync.merge import FieldDirection, FieldSides, Unknown
from sync.models import AwaitedRelation, BoardLink, FieldLoop, FieldMapping, SyncAudit, SyncQueue
from sync.models.state import VERIFICATION_WINDOW
from sync.models.synced_model import unsynced
from sync.operations.detect.missed_webhooks import LONGEST_DELAY
from sync.operations.detect.sweep_schedule import boards_to_compare
from sync.outbox.claim import Claim
from sync.outbox.lease import Lease
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.batch import Batch, RecordSync
from sync.reconcile.board_filter import compare_filter, item_verdict, record_verdict
from sync.reconcile.field_plan import base_of, cell_of, sides_of, way_of
from sync.reconcile.field_values import BoardContext, still_holds, stored_values
from sync.reconcile.identity import find_possible_duplicates
from sync.reconcile.new_items import listed_finding
from sync.reconcile.restraints import is_loop_over
from sync.reconcile.sides import clear_column_problems, has_open_work, load, missing_columns, npd_id_of
from sync.records import availability
from sync.records.unmatched_items import clear_unlisted, note_unmatched
from sync.registry import link_of

log = structlog.get_logger(__name__)


# A board's listing, page by page, beside what a pass would know of the same records.


class BoardListing:
    """A board's items with their records; it keeps ids only, and never more than a page of anything else.

    It notes the items that no record has, but for a preview.
    """

    def __init__(self, link: BoardLink, *, is_preview: bool = False) -> None:
        self.board, self._notes_unmatched = BoardContext.load(link), not is_preview
        self.listed: set[str] = set()
        self.started_at = sync_now()
        self._filtered: set[str] = set()
        self._ownerless: list[str] = []

    def pages(self, expected: int | None = None) -> Iterator[tuple[list[Item], Batch]]:
        """Yield each page with its records, loaded as a pass loads them; raises ConnectorError.

        An item that was listed before is left out, also by an earlier call. `expected` is as item_pages takes it.
        """
        board = self.board
        read_at = sync_now()
        for page in item_pages(board.link, board.columns, board.types, expected=expected):
            fresh = {item.id: item for item in page if item.id not in self.listed}
            self.listed |= set(fresh)
            batch = Batch(Lease(board.link), board, uuid.uuid4(), is_preview=True, read_at=read_at)
            load(batch, [Claim(None, item_id, []) for item_id in fresh])
            ownerless = [fresh[str(unmatched.claim.remote_id)] for unmatched in batch.unmatched_claims]
            self._ownerless += [item.id for item in ownerless]
            if self._notes_unmatched:
                note_unmatched(board.link, [listed_finding(batch, item) for item in ownerless])
            for record_sync in batch.record_syncs:
                record_sync.item = fresh.get(record_sync.record.monday_id or "")
            compare_filter(batch)
            if board.sync_filter.items:
                self._filtered |= {key for key, item in fresh.items() if item_verdict(board, item).holds is False}
            yield list(fresh.values()), batch
            read_at = sync_now()

    def forget_unlisted(self, expected: int | None) -> None:
        """Forget the unmatched items that were not listed, if the board has no more items than were."""
        if expected is not None and len(self.listed) >= expected:
            clear_unlisted(self.board.link, self.started_at, self.listed)

    @property
    def unmatched(self) -> list[str]:
        """The items listed so far that no record has and that nobody ignores."""
        return unmatched_items(registry.entity(self.board.link.entity_type), self._ownerless)

    def matchable(self, unmatched: Iterable[str]) -> list[str]:
        """Return those of these items that the filter doesn't leave out."""
        return [item_id for item_id in unmatched if item_id not in self._filtered]

    def unlisted(self) -> list[UUID]:
        """Return the linked records whose items were not listed; whether these are gone only they themselves say."""
        # One that is left out by the filter is disabled too, though its own settings let it sync.
        linked = self.board.model._default_manager.exclude(monday_id=None).exclude(
            sync_status=RecordSyncStatus.DISABLED
        )
        rows = linked.order_by("pk").values_list("pk", "monday_id").iterator(chunk_size=2_000)
        return [pk for pk, item_id in rows if item_id not in self.listed]


def compared_fields(
    board: BoardContext, record_sync: RecordSync, item: Item, *, without: Collection[str] = ()
) -> Iterator[tuple[FieldMapping, Converter, FieldSides]]:
    """Yield every field that flows, as NPD, the item and the base say it."""
    for mapping in board.mappings:
        if not mapping.column_id or mapping.key in without or way_of(record_sync, mapping) is FieldDirection.NONE:
            continue
        base, convert = base_of(record_sync.ledger, mapping, item.id), board.converter(mapping, record_sync.record)
        local, cell = stored_values(record_sync.record, mapping), cell_of(convert, mapping, item)
        yield mapping, convert, sides_of(convert, base, local=local, remote=cell)


def _has_changed(board: BoardContext, record_sync: RecordSync, *, without: Collection[str] = ()) -> bool:
    """Whether a side differs from its half of the base, or the item doesn't bear the record's NPD ID."""
    item = record_sync.item
    if item is None or npd_id_of(board, item) not in (None, str(record_sync.id)):
        return True
    return not all(sides.stand for _, _, sides in compared_fields(board, record_sync, item, without=without))


# Which records a pass would change, or say something new of: `sync_reconcile` passes over these alone.
#
# A pass over any other ends as it began: its fields stand on their base on both sides, its ledger says nothing
# that the pass would take back, and nothing waits to be found out or decided. When in doubt a record gets its pass.


_FINDINGS = (
    "held",
    "altered",
    "conflicts",
    "asked_items",
    "note",
    "error_count",
    "last_error",
    "gone_since",
    "gone_looks",
)
"""Columns of the ledger in which a pass says what it found; all are empty where it found nothing to say."""


def records_to_pass(items: Sequence[Item], batch: Batch) -> list[UUID]:
    """Return those of a page's records that may be synced and of which a pass might find more than that all stands."""
    board, syncing = batch.board, [s for s in batch.record_syncs if s.may_sync]
    # What is wrong with a column every record's pass has to say, and whether it still is.
    unusable = any(
        mapping.problem or not mapping.column_id
        for mapping in board.mappings
        if mapping.direction != SyncDirection.NONE
    )
    if unusable or (syncing and missing_columns(board, items)):
        return [record_sync.id for record_sync in syncing]
    find_possible_duplicates(batch)
    now = batch.read_at or sync_now()
    # A pass has to say that a field counts as rewritten no more, and to look again for what a relation waits for.
    of_records = {"entity_type": batch.entity_type, "entity_id__in": [s.id for s in batch.record_syncs]}
    released = {loop.entity_id for loop in FieldLoop.objects.filter(**of_records) if is_loop_over(loop, now)}
    released |= set(AwaitedRelation.objects.filter(**of_records).values_list("entity_id", flat=True))
    busy = records_with_jobs(batch) | released
    # Values that passes read are kept for so long; the next one drops what is older.
    oldest = now - timedelta(days=settings.JOURNAL_DAYS)
    return [
        s.id
        for s in syncing
        if s.filter_changed or s.id in busy or not _is_at_rest(s, oldest) or _has_changed(board, s)
    ]


def records_with_jobs(batch: Batch) -> set[UUID]:
    """Return the records with a job that waits or is in a worker's hands."""
    ids, states = [s.id for s in batch.record_syncs], (QueueStatus.PENDING, QueueStatus.IN_PROGRESS)
    rows = SyncQueue.objects.filter(entity_type=batch.entity_type, entity_id__in=ids, status__in=states)
    return {pk for pk in rows.values_list("entity_id", flat=True) if pk}


def _is_at_rest(record_sync: RecordSync, oldest: datetime) -> bool:
    """Whether nothing is open about the record, and its ledger says what a pass without a finding leaves."""
    record, ledger = record_sync.record, record_sync.ledger
    if has_open_work(record_sync) or record_sync.events or record_sync.possible_duplicate:
        return False
    if record.sync_status != RecordSyncStatus.SYNCED or ledger.sync_status != SyncStatus.COMPLETED:
        return False
    if ledger.remote_id != record.monday_id or any(getattr(ledger, name) for name in _FINDINGS):
        return False
    times = [entry[1] for entries in ledger.seen.values() for entry in entries]
    return all(datetime.fromisoformat(at) >= oldest for at in times)


# The nightly comparison of every linked item with its base and with NPD. Whatever differs gets a pass.


@dataclass(frozen=True)
class ComparisonResult:
    """What a comparison found on one board; `problem` says why it could not be finished."""

    items: int = 0
    linked: int = 0
    differing: int = 0
    unlisted: int = 0
    without_record: int = 0
    without_item: int = 0
    problem: str = ""

    @property
    def summary(self) -> str:
        """Return the result as a sentence."""
        if self.problem:
            return f"The comparison could not be finished. {self.problem} It is made again the next night."
        return (
            f"{self.items:,} items on the board, {self.linked:,} of them linked: {self.differing:,} differed from "
            f"the last synced values; {self.unlisted:,} linked items were not listed; {self.without_record:,} items "
            f"had no record, {self.without_item:,} records no item."
        )


def compare_due_boards() -> list[ComparisonResult]:
    """Compare the boards that are due."""
    return [compare_board(link) for link in boards_to_compare()]


def compare_board(link: BoardLink) -> ComparisonResult:
    """Compare every item with its record and base, enqueue a pass for what differs, store the result."""
    try:
        result = _compare(link)
    except ShuttingDown as end:
        # As if it had not begun: it is due again, and the differences found so far are in the queue.
        BoardLink.objects.filter(pk=link.pk).update(compared_at=link.compared_at, compared=link.compared)
        return ComparisonResult(problem=end.sentence)
    except ConnectorError as error:
        breaker.trip_if_shared(error)
        result = ComparisonResult(problem=error.sentence)
    BoardLink.objects.filter(pk=link.pk).update(compared_at=SyncNow(), compared=result.summary)
    log.info("compared", board=link.entity_type, result=result.summary)
    return result


def _compare(link: BoardLink) -> ComparisonResult:
    structure = board_columns.inspect_board(link)
    if structure is None:
        raise BoardNotFound("The board is missing, or not active")
    listing, linked, differing = BoardListing(link), 0, 0
    for items, batch in listing.pages(structure.items_count):
        clear_column_problems(batch.board, items)
        changed = [s.id for s in batch.record_syncs if s.may_sync and _has_unexplained_change(batch.board, s)]
        _enqueue_passes(link, changed)
        linked, differing = linked + len(batch.record_syncs), differing + len(changed)
    # A listing doesn't tell whether an item is gone: linked records that it lacks are asked for by id.
    # In a shortened listing items are missing that are still on the board.
    is_complete = structure.items_count is None or len(listing.listed) >= structure.items_count
    unlisted = listing.unlisted() if is_complete else []
    _enqueue_passes(link, unlisted)
    listing.forget_unlisted(structure.items_count)
    # Records that should have an item, and don't wait for a job, a person or a direction.
    rows = SyncQueue.objects.filter(entity_type=link.entity_type, entity_id__isnull=False)
    busy = rows.exclude(status=QueueStatus.COMPLETED).values("entity_id")
    unlinked = listing.board.model._default_manager.filter(monday_id=None, sync_status=RecordSyncStatus.PENDING)
    unlinked = unlinked.exclude(unsynced()).exclude(sync_direction=SyncDirection.MONDAY_TO_NPD)
    without_item = list(unlinked.exclude(pk__in=busy).values_list("pk", flat=True))
    _enqueue_passes(link, without_item)
    unmatched = listing.unmatched
    # Items without a record get a pass where it could create one or match one.
    if unmatched and (link.creates_records or without_item):
        enqueue_unmatched(registry.entity(link.entity_type), listing.matchable(unmatched))
    return ComparisonResult(
        len(listing.listed),
        linked,
        differing,
        len(unlisted),
        without_record=len(unmatched),
        without_item=len(without_item),
    )


def _has_unexplained_change(board: BoardContext, record_sync: RecordSync) -> bool:
    """Whether a side differs from its half of the base, unexplained by what is blocked, or by a conflict.

    A pair that has to leave or return by the filter counts too.
    """
    ledger = record_sync.ledger
    if record_sync.filter_changed:
        return True
    problems = [mapping.key for mapping in board.mappings if mapping.problem]
    explained = {*ledger.held, *problems, *(key for keys in ledger.conflicts.values() for key in keys)}
    return _has_changed(board, record_sync, without=explained)


def _enqueue_passes(link: BoardLink, ids: Sequence[UUID]) -> None:
    if ids:
        enqueue_many(
            link.entity_type, sorted(ids), cause=Cause.SWEEP, priority=Priority.SWEEP, direction=QueueDirection.TO_NPD
        )


# The sampled proof of “synced”: how samples are drawn, compared on both sides, stored and summed up.


@dataclass(frozen=True)
class VerificationResult:
    """When `synced` records were last sampled, how many were compared and differed, and when one last did.

    `waiting` is a sentence on what keeps the first sample.
    """

    at: datetime | None = None
    sampled: int = 0
    drifted: int = 0
    diverged_at: datetime | None = None
    waiting: str = ""

    def summary(self, now: datetime) -> str:
        """Return it as a sentence, also where nothing was verified yet."""
        if self.at is None:
            return f"Not verified yet. {self.waiting}".rstrip()
        span = humanize.time_span((now - (self.diverged_at or self.at)).total_seconds())
        if not self.drifted:
            checked = f"{self.sampled:,} of {self.sampled:,} checked records"
            return f"Verified {span} ago: {checked} were the same on both sides."
        return (
            f"Differences, found {span} ago: {self.drifted:,} of {self.sampled:,} checked records said “synced” and "
            "differed. They are synced again, or you are asked."
        )


def latest_verification(entity_type: str | None = None) -> VerificationResult:
    """Return what the last day of samples found, of one type's board or of all; of none, what keeps the first one."""
    rows = SyncAudit.objects.filter(sampled__gt=0)
    if entity_type is not None:
        rows = rows.filter(entity_type=entity_type)
    newest = rows.aggregate(at=Max("at"))["at"]
    if newest is None:
        return VerificationResult(waiting=_first_sample(entity_type))
    day = rows.filter(at__gt=newest - VERIFICATION_WINDOW)
    diverged = day.filter(drifted__gt=0).aggregate(at=Max("at"))
    sums = day.aggregate(sampled=Sum("sampled"), drifted=Sum("drifted"))
    return VerificationResult(newest, sums["sampled"], sums["drifted"], diverged["at"])


def _first_sample(entity_type: str | None) -> str:
    """Say when a board's first sample is due, or what keeps it; of no type, of whichever board comes first."""
    newest = SyncAudit.objects.order_by("-at").values_list("at", flat=True).first()
    if entity_type is None:
        return first_sample_text(None, newest, sync_now(), has_synced=True)
    link, records = link_of(entity_type), registry.entity(entity_type).model._default_manager
    found = availability.of(link or entity_type)
    has_synced = records.filter(sync_status=RecordSyncStatus.SYNCED).exclude(monday_id=None).exists()
    failed = SyncAudit.objects.filter(entity_type=entity_type).order_by("-at").first()
    said = first_sample_text(found, newest, sync_now(), has_synced=has_synced)
    if failed is None or not settings.AUDIT_CALLS_A_DAY:
        return said
    why = " ".join(one["words"] for one in failed.details if "words" in one)
    return f"The attempt of {humanize.relative_time(failed.at, sync_now())} compared nothing. {why} {said}"


def first_sample_text(
    board: availability.BoardAvailability | None, newest: datetime | None, now: datetime, *, has_synced: bool
) -> str:
    """Return when the first sample of this board is due, or what keeps it; `newest` is the last sample of any board."""
    calls = settings.AUDIT_CALLS_A_DAY
    if calls <= 0:
        return "Verification is off (SYNC_AUDIT_CALLS_A_DAY is 0)."
    if board is not None and not board.is_available:
        return "Its board is paused." if board.is_paused else "Its board can’t be synced now."
    if not has_synced:
        return "No record is synced yet."
    due = newest + DAY / calls if newest else now
    when = "within 15 minutes" if due <= now else humanize.relative_time(due, now)
    turn = humanize.time_span((DAY / calls).total_seconds())
    return f"The boards take turns, one every {turn}: the next {when}."


def combine_results(boards: Iterable[VerificationResult]) -> VerificationResult:
    """Return the results of several boards as one."""
    verified_boards = [one for one in boards if one.at is not None]
    return VerificationResult(
        at=max((one.at for one in verified_boards if one.at), default=None),
        sampled=sum(one.sampled for one in verified_boards),
        drifted=sum(one.drifted for one in verified_boards),
        diverged_at=max((one.diverged_at for one in verified_boards if one.diverged_at), default=None),
    )


def verification_summary(entity_type: str | None = None) -> str:
    """Return `latest_verification` as a sentence."""
    return latest_verification(entity_type).summary(sync_now())


# Comparing one record: whether it equals its base on both sides, field by field.


@dataclass(frozen=True)
class Divergence:
    """A difference without a cause: a field's values as displayed, or what is wrong with the item."""

    reason: str
    key: str = ""
    values: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as stored in SyncAudit.details."""
        return {"key": self.key, "words": self.reason} | (self.values or {})


class UnreadableValue(LookupError):
    """A value can't be read now, so nothing can be said of the record."""


def divergences(board: BoardContext, sample: RecordSync, item: Item | None) -> list[Divergence]:
    """Return what differs between base, NPD and Monday; raises UnreadableValue."""
    if item is None:
        return [Divergence("Monday doesn't show its item.")]
    if item.state != "active":
        return [Divergence(f"Its item is {item.state}.")]
    if item.board_id is not None and item.board_id != board.link.board_id:
        return [Divergence("Its item is on another board.")]
    found = []
    # A relation that is left out of the sync has its own note on the record, and is not compared.
    for mapping, convert, sides in compared_fields(board, sample, item, without=sample.ledger.held):
        known = {"npd": sides.local, "monday": sides.remote} | ({"agreed": sides.base[0]} if sides.base else {})
        for side in (*known.values(), *(sides.base or ())):
            if isinstance(side, Unknown):
                raise UnreadableValue(f"{mapping.label}: {side.reason}")
        if sides.stand or (sides.base is None and sides.equal):
            continue
        values = {name: convert.display(v) for name, v in known.items() if not isinstance(v, Unknown)}
        text = f"{mapping.label}: NPD says “{values['npd']}”, Monday “{values['monday']}”"
        agreed = f", last synced was “{values['agreed']}”." if "agreed" in values else "; it was never synced."
        found.append(Divergence(text + agreed, mapping.key, values))
    return found


# One sample: drawn, read in one call, checked again, stored.


# As many items as one call can ask for by their ids (developer.monday.com/api-reference/reference/items).
SAMPLE_SIZE = 100
DAY = timedelta(days=1)

MAX_DETAILS = 20


def verify_if_due() -> SyncAudit | None:
    """Take the next sample where the day's calls, spread evenly, have one to spend and no change needs it."""
    calls = settings.AUDIT_CALLS_A_DAY
    if calls <= 0:
        return None
    spent = SyncAudit.objects.filter(at__gt=SyncNow() - DAY).aggregate(calls=Sum("calls"), last=Max("at"))
    is_rested = spent["last"] is None or sync_now() - spent["last"] >= DAY / calls
    if (spent["calls"] or 0) >= calls or not is_rested:
        return None
    if not metered_client.is_configured() or quota.forecast().ends_at is not None:
        return None
    # The board whose last sample is oldest comes first.
    last: dict[str, datetime] = dict(SyncAudit.objects.values_list("entity_type").annotate(Max("at")))
    links = [link for spec in registry.entities() if (link := link_of(spec.entity_type))]
    for link in sorted(links, key=lambda link: (link.entity_type in last, last.get(link.entity_type))):
        if availability.of(link).is_available and (result := verify_board(link)) is not None:
            return result
    return None


def verify_board(link: BoardLink) -> SyncAudit | None:
    """Verify one board with one call; None where there is nothing to sample or the quota has no room."""
    board = BoardContext.load(link)
    synced = board.model._default_manager.filter(sync_status=RecordSyncStatus.SYNCED).exclude(monday_id=None)
    size = min(SAMPLE_SIZE, board_costs(link.pk).size)
    samples = _settled_samples(board, list(synced.order_by("?").values_list("pk", flat=True)[:size]))
    if not samples:
        return None
    try:
        items = _read_items(board, [str(sample.record.monday_id) for sample in samples.values()])
    # Samples come last: where the quota has no call left for one, none is taken.
    except BudgetExhausted:
        return None
    except ConnectorError as error:
        log.warning("verification not read", board=link.entity_type, reason=error.sentence)
        return SyncAudit.objects.create(
            entity_type=link.entity_type, sampled=0, calls=1, details=[{"words": error.sentence}]
        )
    compared, differing, unread = _compare_samples(board, samples, items)
    if differing or unread:
        enqueue_many(link.entity_type, [*differing, *unread], cause=Cause.SWEEP, priority=Priority.SWEEP)
    if differing:
        log.error("drift", board=link.entity_type, sampled=compared, drifted=len(differing))
    names = board.model._default_manager.in_bulk(list(differing)[:MAX_DETAILS])
    details = [
        {"record": str(key), "name": str(names.get(key, "")), "fields": [found.to_json() for found in differing[key]]}
        for key in names
    ]
    return SyncAudit.objects.create(
        entity_type=link.entity_type, sampled=compared, drifted=len(differing), calls=1, details=details
    )


def _settled_samples(board: BoardContext, ids: Iterable[UUID]) -> dict[UUID, RecordSync]:
    """Return those of these records that say `synced` now and have no job, intent or event under way."""
    batch = Batch(Lease(board.link), board, uuid.uuid4(), is_preview=True)
    load(batch, [Claim(key, None, []) for key in sorted(ids)])
    busy = records_with_jobs(batch) | {s.id for s in batch.record_syncs if s.intents or s.events}
    return {
        s.id: s
        for s in batch.record_syncs
        if s.id not in busy and s.record.monday_id and s.record.sync_status == RecordSyncStatus.SYNCED
    }


def _read_items(board: BoardContext, item_ids: Sequence[str]) -> dict[str, Item]:
    """Read the items in one call; raises ConnectorError, also where the board itself is gone."""
    link = board.link
    with call_cost(link, len(item_ids)):
        connector = metered_client.connector(link.system)
        found = connector.read_batch(link.board_id, item_ids, board.columns, link.npd_id_column, [], types=board.types)
    return found.linked


def _compare_samples(
    board: BoardContext, samples: dict[UUID, RecordSync], items: dict[str, Item]
) -> tuple[int, dict[UUID, list[Divergence]], list[UUID]]:
    """Return how many records were compared, what differs, and the records that can't be judged."""
    later, now = _settled_samples(board, samples), sync_now()
    compared, differing, unread = 0, {}, []
    for key, sample in samples.items():
        item = items.get(str(sample.record.monday_id))
        sample.item = item
        # A pair that the filter leaves out, by what either side says now, proves nothing by a difference.
        verdicts = [record_verdict(board, sample.record), *([item_verdict(board, sample.item)] if sample.item else [])]
        if any(verdict.holds is False for verdict in verdicts):
            unread.append(key)
            continue
        try:
            found = divergences(board, sample, item)
        except UnreadableValue:
            unread.append(key)
            continue
        edited = parse_datetime(item.updated_at) if item and item.updated_at else None
        moments = (edited, sample.ledger.last_sync_attempt)
        is_fresh = any(moment is not None and now - moment < LONGEST_DELAY for moment in moments)
        # The change, or its webhook, may be on its way on either side, so it proves no divergence.
        if found and (is_fresh or key not in later or not _is_unchanged(board, sample, later[key])):
            continue
        compared += 1
        if found:
            differing[key] = found
    return compared, differing, unread


def _is_unchanged(board: BoardContext, sample: RecordSync, later: RecordSync) -> bool:
    """Whether NPD still had the same values when it was read again."""
    same = all(still_holds(later.record, stored_values(sample.record, m)) for m in board.mappings)
    return same and later.record.monday_id == sample.record.monday_id and later.ledger.base == sample.ledger.base
