"""Both sides of whole boards held against each other and the base at night, outside of passes.

A listing brings 500 items a call, a pass reads 100. So what must look at everything compares the listing first, and
only what differs, or has something open, gets a pass. It is also the proof that records which say “synced” are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.utils.dateparse import parse_datetime

from sync import registry
from sync.boards import board_columns
from sync.boards.board_listing import enqueue_unmatched, item_pages, unmatched_items
from sync.choices import Cause, Priority, QueueDirection, QueueStatus, RecordSyncStatus, SyncDirection, SyncStatus
from sync.clock import SyncNow, sync_now
from sync.connectors.base.board_items import Item
from sync.connectors.base.conversion import Converter
from sync.connectors.base.errors import BoardNotFound, ConnectorError, ShuttingDown
from sync.kernel import humanize
from sync.limits import breaker
from sync.merge import FieldDirection, FieldSides, Unknown
from sync.models import AwaitedRelation, BoardLink, FieldMapping, SyncQueue, Verification, WriteLoop
from sync.models.synced_model import unsynced
from sync.operations.detect.missed_webhooks import LONGEST_DELAY
from sync.operations.detect.sweep_schedule import boards_to_compare
from sync.outbox.claim import Claim
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile import queries
from sync.reconcile.board_filter import decide_listed, item_verdict, record_verdict
from sync.reconcile.duplicates import duplicate_keys, others_with_key, possible_duplicates
from sync.reconcile.facts import RecordFacts
from sync.reconcile.field_plan import base_of, cell_of, sides_of, way_of
from sync.reconcile.field_values import BoardContext, npd_id_of, still_holds, stored_values
from sync.reconcile.lookups import load_board
from sync.reconcile.new_items import listed_finding
from sync.reconcile.restraints import is_loop_over
from sync.reconcile.settle_rest import store_columns
from sync.reconcile.sides import InspectedColumns, column_findings, has_open_work
from sync.records.unmatched_items import clear_unlisted, note_unmatched
from sync.registry import EntitySpec

log = structlog.get_logger(__name__)


# A board's listing, page by page, beside what a pass would know of the same records.


@dataclass(frozen=True)
class ListedRecord:
    """A listed record as a pass would know it, with its item where that was listed.

    `left_out` is why the filter leaves it out, as its sync state says; `filter_changed`, that a pass has to say
    something else of that.
    """

    facts: RecordFacts
    left_out: str = ""
    filter_changed: bool = False

    @property
    def may_sync(self) -> bool:
        """Whether it is synced: its own settings let it, and the filter doesn't leave it out."""
        return self.facts.record.may_sync and not self.left_out


@dataclass(frozen=True)
class ListedPage:
    """A page of a board's items that were not listed before, and the records that have them; read after `read_at`."""

    board: BoardContext
    items: Sequence[Item]
    records: Sequence[ListedRecord]
    read_at: datetime


class BoardListing:
    """A board's items with their records; it keeps ids only, and never more than a page of anything else.

    It notes the items that no record has, but for a preview.
    """

    def __init__(self, link: BoardLink, *, is_preview: bool = False) -> None:
        self.board, self._notes_unmatched = load_board(link), not is_preview
        self.listed: set[str] = set()
        self.started_at = sync_now()
        self._filtered: set[str] = set()
        self._ownerless: list[str] = []

    def pages(self, expected: int | None = None) -> Iterator[ListedPage]:
        """Yield each page with its records, loaded as a pass loads them; raises ConnectorError.

        An item that was listed before is left out, also by an earlier call. `expected` is as item_pages takes it.
        """
        board = self.board
        read_at = sync_now()
        for page in item_pages(board.link, board.columns, board.types, expected=expected):
            fresh = {item.id: item for item in page if item.id not in self.listed}
            self.listed |= set(fresh)
            claimed = queries.claimed_facts(board, [Claim(None, item_id, []) for item_id in fresh])
            ownerless = [fresh[str(unmatched.remote_id)] for unmatched in claimed.unmatched]
            self._ownerless += [item.id for item in ownerless]
            if self._notes_unmatched:
                note_unmatched(board.link, [listed_finding(board, item) for item in ownerless])
            records = [
                ListedRecord(known, *decide_listed(board, known))
                for facts in claimed.records
                for known in [replace(facts, item=fresh.get(facts.record.monday_id or ""))]
            ]
            if board.sync_filter.items:
                self._filtered |= {key for key, item in fresh.items() if item_verdict(board, item).holds is False}
            yield ListedPage(board, list(fresh.values()), records, read_at)
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
    board: BoardContext, facts: RecordFacts, item: Item, *, without: Collection[str] = ()
) -> Iterator[tuple[FieldMapping, Converter, FieldSides]]:
    """Yield every field that flows, as NPD, the item and the base say it."""
    for mapping in board.mappings:
        if not mapping.column_id or mapping.key in without or way_of(facts, mapping) is FieldDirection.NONE:
            continue
        base, convert = base_of(facts.ledger, mapping, item.id), board.converter(mapping, facts.record)
        local, cell = stored_values(facts.record, mapping), cell_of(convert, mapping, item)
        yield mapping, convert, sides_of(convert, base, local=local, remote=cell)


def _has_changed(board: BoardContext, facts: RecordFacts, *, without: Collection[str] = ()) -> bool:
    """Whether a side differs from its half of the base, or the item doesn't bear the record's NPD ID."""
    item = facts.item
    if item is None or npd_id_of(board, item) not in (None, str(facts.id)):
        return True
    return not all(sides.stand for _, _, sides in compared_fields(board, facts, item, without=without))


# Which records a pass would change, or say something new of: `sync_reconcile` passes over these alone.
#
# A pass over any other ends as it began: its fields stand on their base on both sides, its ledger says nothing
# that the pass would take back, and nothing waits to be found out or decided. When in doubt a record gets its pass.


_FINDINGS = (
    "blocked_fields",
    "altered",
    "conflicts",
    "asked_items",
    "note",
    "error_count",
    "last_error",
    "removed_since",
    "removed_passes",
)
"""Columns of the ledger in which a pass says what it found; all are empty where it found nothing to say."""


def records_to_pass(page: ListedPage) -> list[UUID]:
    """Return those of a page's records that may be synced and of which a pass might find more than that all stands."""
    board, syncing = page.board, [one for one in page.records if one.may_sync]
    # What is wrong with a column every record's pass has to say, and whether it still is.
    unusable = any(
        not mapping.has_usable_column for mapping in board.mappings if mapping.direction != SyncDirection.NONE
    )
    if unusable or (syncing and column_findings(board, page.items).missing):
        return [one.facts.id for one in syncing]
    made = [one.facts for one in page.records if one.facts.ledger.made_from_item]
    keys = duplicate_keys(board, made)
    others = others_with_key(keys, queries.records_by_match_key(board, keys.values()))
    asked = possible_duplicates(board, made, others, queries.unedited_records(board.model, list(others)))
    # A pass has to say that a field counts as rewritten no more, and to look again for what a relation waits for.
    of_records = {"entity_type": board.link.entity_type, "entity_id__in": [one.facts.id for one in page.records]}
    released = {loop.entity_id for loop in WriteLoop.objects.filter(**of_records) if is_loop_over(loop, page.read_at)}
    released |= set(AwaitedRelation.objects.filter(**of_records).values_list("entity_id", flat=True))
    busy = _records_with_jobs(board, (one.facts for one in page.records)) | released | asked.keys()
    # Values that passes read are kept for so long; the next one drops what is older.
    oldest = page.read_at - timedelta(days=settings.JOURNAL_DAYS)
    return [
        one.facts.id
        for one in syncing
        if one.filter_changed
        or one.facts.id in busy
        or not _is_at_rest(one.facts, oldest)
        or _has_changed(board, one.facts)
    ]


def _records_with_jobs(board: BoardContext, records: Iterable[RecordFacts]) -> set[UUID]:
    """The records with a job that waits or is in a worker's hands."""
    ids, states = [one.id for one in records], (QueueStatus.PENDING, QueueStatus.IN_PROGRESS)
    rows = SyncQueue.objects.filter(entity_type=board.link.entity_type, entity_id__in=ids, status__in=states)
    return {pk for pk in rows.values_list("entity_id", flat=True) if pk}


def _is_at_rest(facts: RecordFacts, oldest: datetime) -> bool:
    """Whether nothing is open about the record, and its ledger says what a pass without a finding leaves."""
    record, ledger = facts.record, facts.ledger
    if has_open_work(facts) or facts.events:
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
    audit, healed = Verification(entity_type=link.entity_type, compared=0, differed=0, details=[]), set[str]()
    for page in listing.pages(structure.items_count):
        if new := {mapping.key for mapping in column_findings(page.board, page.items).healed} - healed:
            store_columns(link, InspectedColumns(healed=tuple(new)))
            healed |= new
        syncing = [one for one in page.records if one.may_sync]
        changed = [one.facts.id for one in syncing if _has_unexplained_change(page.board, one, healed)]
        known = [one.facts for one in page.records]
        _verify(audit, page.board, known, [one.facts for one in syncing if one.facts.item], changed)
        _enqueue_passes(link, changed)
        linked, differing = linked + len(page.records), differing + len(changed)
    # A listing doesn't tell whether an item is gone: linked records that it lacks are asked for by id.
    # In a shortened listing items are missing that are still on the board.
    is_complete = structure.items_count is None or len(listing.listed) >= structure.items_count
    unlisted = listing.unlisted() if is_complete else []
    for start in range(0, len(unlisted), PAGE):
        records = _loaded(listing.board, unlisted[start : start + PAGE])
        _verify(audit, listing.board, records, [one for one in records if one.record.may_sync], unlisted)
    _enqueue_passes(link, unlisted)
    listing.forget_unlisted(structure.items_count)
    without_item = records_without_item(registry.entity(link.entity_type))
    _enqueue_passes(link, without_item)
    unmatched = listing.unmatched
    # Items without a record get a pass where it could create one or match one.
    if unmatched and (link.creates_records or without_item):
        enqueue_unmatched(registry.entity(link.entity_type), listing.matchable(unmatched))
    audit.save()
    if audit.differed:
        log.error("drift", board=link.entity_type, compared=audit.compared, differed=audit.differed)
    return ComparisonResult(
        len(listing.listed),
        linked,
        differing,
        len(unlisted),
        without_record=len(unmatched),
        without_item=len(without_item),
    )


def records_without_item(spec: EntitySpec) -> list[UUID]:
    """Return the records that should have an item, and don't wait for a job, a person or a direction."""
    rows = SyncQueue.objects.filter(entity_type=spec.entity_type, entity_id__isnull=False)
    busy = rows.exclude(status=QueueStatus.COMPLETED).values("entity_id")
    unlinked = spec.model._default_manager.filter(monday_id=None, sync_status=RecordSyncStatus.PENDING)
    unlinked = unlinked.exclude(unsynced()).exclude(sync_direction=SyncDirection.MONDAY_TO_NPD)
    return list(unlinked.exclude(pk__in=busy).values_list("pk", flat=True))


def _has_unexplained_change(board: BoardContext, listed: ListedRecord, healed: Collection[str]) -> bool:
    """Whether a side differs from its half of the base, unexplained by what is blocked, or by a conflict.

    A pair that has to leave or return by the filter counts too.
    """
    ledger = listed.facts.ledger
    if listed.filter_changed:
        return True
    problems = [mapping.key for mapping in board.mappings if mapping.problem and mapping.key not in healed]
    explained = {*ledger.blocked_fields, *problems, *(key for keys in ledger.conflicts.values() for key in keys)}
    return _has_changed(board, listed.facts, without=explained)


def _enqueue_passes(link: BoardLink, ids: Sequence[UUID]) -> None:
    if ids:
        enqueue_many(
            link.entity_type, sorted(ids), cause=Cause.SWEEP, priority=Priority.SWEEP, direction=QueueDirection.TO_NPD
        )


# The proof of “synced”: how many records that say so the comparison looked at, and which differed.


@dataclass(frozen=True)
class VerificationResult:
    """When both sides were last compared, how many `synced` records were, and how many of them differed."""

    at: datetime | None = None
    compared: int = 0
    differed: int = 0

    def summary(self, now: datetime) -> str:
        """Return it as a sentence, also where nothing was verified yet."""
        if self.at is None or not self.compared:
            return "Not verified yet: both sides are compared every night."
        span = humanize.time_span((now - self.at).total_seconds())
        if not self.differed:
            checked = f"{self.compared:,} of {self.compared:,} checked records"
            return f"Verified {span} ago: {checked} were the same on both sides."
        return (
            f"Differences, found {span} ago: {self.differed:,} of {self.compared:,} checked records said “synced” and "
            "differed. They are synced again, or you are asked."
        )


def latest_verification(entity_type: str | None = None) -> VerificationResult:
    """Return what the last night found, of one type's board or of all."""
    rows = Verification.objects.order_by("entity_type", "-at").distinct("entity_type")
    if entity_type is not None:
        rows = rows.filter(entity_type=entity_type)
    return combine_results(VerificationResult(*row) for row in rows.values_list("at", "compared", "differed"))


def combine_results(boards: Iterable[VerificationResult]) -> VerificationResult:
    """Return the results of several boards as one."""
    boards = list(boards)
    return VerificationResult(
        at=max((board.at for board in boards if board.at), default=None),
        compared=sum(board.compared for board in boards),
        differed=sum(board.differed for board in boards),
    )


# Comparing one record: whether it equals its base on both sides, field by field.


@dataclass(frozen=True)
class Divergence:
    """A difference without a cause: a field's values as displayed, or what is wrong with the item."""

    reason: str
    key: str = ""
    values: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as stored in Verification.details."""
        return {"key": self.key, "words": self.reason} | (self.values or {})


class UnreadableValue(LookupError):
    """A value can't be read now, so nothing can be said of the record."""


def divergences(board: BoardContext, sample: RecordFacts, item: Item | None) -> list[Divergence]:
    """Return what differs between base, NPD and Monday; raises UnreadableValue."""
    if item is None:
        return [Divergence("Monday doesn't show its item.")]
    if item.state != "active":
        return [Divergence(f"Its item is {item.state}.")]
    if item.board_id is not None and item.board_id != board.link.board_id:
        return [Divergence("Its item is on another board.")]
    found = []
    # A relation that is left out of the sync has its own note on the record, and is not compared.
    for mapping, convert, sides in compared_fields(board, sample, item, without=sample.ledger.blocked_fields):
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


PAGE = 500
MAX_DETAILS = 20


def _verify(
    audit: Verification,
    board: BoardContext,
    page: Sequence[RecordFacts],
    records: Iterable[RecordFacts],
    changed: Collection[UUID],
) -> None:
    """Add these records of a page to the audit where they say `synced` and nothing of them is on its way."""
    differing, suspects = {}, frozenset(changed)
    settled = _settled(board, page, records)
    for key, listed in settled.items():
        try:
            found = divergences(board, listed, listed.item) if key in suspects else []
        except UnreadableValue:
            continue
        if found and (_is_fresh(listed) or _is_left_out(board, listed)):
            continue
        audit.compared += 1
        if found:
            differing[key] = found
    # A pass may have changed them since they were loaded.
    again = _loaded(board, differing) if differing else []
    later = _settled(board, again, again)
    for key, found in differing.items():
        if key not in later or not _is_unchanged(board, settled[key], later[key]):
            audit.compared -= 1
            continue
        audit.differed += 1
        if len(audit.details) < MAX_DETAILS:
            fields = [one.to_json() for one in found]
            audit.details.append({"record": str(key), "name": str(settled[key].record), "fields": fields})


def _loaded(board: BoardContext, ids: Iterable[UUID]) -> Sequence[RecordFacts]:
    facts = queries.claimed_facts(board, [Claim(key, None, []) for key in sorted(ids)])
    return facts.records


def _settled(
    board: BoardContext, page: Sequence[RecordFacts], records: Iterable[RecordFacts]
) -> dict[UUID, RecordFacts]:
    """Return those of these records that say `synced` and have no job, intent or event under way."""
    if not page:
        return {}
    busy = _records_with_jobs(board, page) | {one.id for one in page if one.intents or one.events}
    return {
        one.id: one
        for one in records
        if one.id not in busy and one.record.monday_id and one.record.sync_status == RecordSyncStatus.SYNCED
    }


def _is_left_out(board: BoardContext, facts: RecordFacts) -> bool:
    """Whether either side says now that the pair is left out by the filter: then a difference proves nothing."""
    item = facts.item
    verdicts = [record_verdict(board, facts.record), *([item_verdict(board, item)] if item else [])]
    return any(verdict.holds is False for verdict in verdicts)


def _is_fresh(facts: RecordFacts) -> bool:
    """Whether a side was touched so lately that the change, or its webhook, may still be on its way."""
    item = facts.item
    edited = parse_datetime(item.updated_at) if item and item.updated_at else None
    moments = (edited, facts.ledger.last_sync_attempt)
    return any(moment is not None and sync_now() - moment < LONGEST_DELAY for moment in moments)


def _is_unchanged(board: BoardContext, before: RecordFacts, later: RecordFacts) -> bool:
    """Whether NPD still had the same values when it was read again."""
    same = all(still_holds(later.record, stored_values(before.record, m)) for m in board.mappings)
    return same and later.record.monday_id == before.record.monday_id and later.ledger.base == before.ledger.base
