"""Both sides of whole boards held against each other and the base at night, outside of passes.

A listing brings 500 items a call, a pass reads 100. So what must look at everything lets a pass's own rules decide
about the listing first, and only records whose plan isn't empty get a pass. It is also the proof that those which say
“synced” are.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.utils.dateparse import parse_datetime

from sync import choices, limits, registry
from sync.boards import board_columns
from sync.boards.board_columns import InspectedColumns, store_inspection
from sync.clock import SyncNow, sync_now
from sync.kernel import humanize
from sync.limits import breaker
from sync.merge import Action
from sync.models import AwaitedRelation, BoardLink, IgnoredItem, SyncQueue
from sync.models.synced_model import unsynced
from sync.monday import errors
from sync.monday.board_items import BatchItems, Item
from sync.operations.detect import LONGEST_DELAY, boards_to_compare
from sync.outbox.claim import Claim
from sync.outbox.queue_rows import enqueue, enqueue_comparison
from sync.reconcile import pass_plan
from sync.reconcile.board_filter import item_verdict, record_verdict
from sync.reconcile.facts import RecordFacts
from sync.reconcile.field_values import BoardContext, still_holds, stored_values
from sync.reconcile.gather import Gatherer
from sync.reconcile.gather.record_facts import claimed
from sync.reconcile.gather.related import EmptiedCells
from sync.reconcile.lookups import load_board
from sync.reconcile.new_items import listed_finding
from sync.reconcile.settlement import changed_records
from sync.records.unmatched_items import clear_unlisted, note_unmatched
from sync.registry import EntitySpec

log = structlog.get_logger(__name__)


# A board's whole list of items: how its pages are asked for, what happens where it breaks, and which nobody knows.


# A listing begins again when its cursor expires, at most this often.
MAX_LISTINGS = 3


def item_pages(
    link: BoardLink, columns: Sequence[str] | None = None, types: Sequence[str] = (), *, expected: int | None = None
) -> Iterator[list[Item]]:
    """Yield the board's active items, 500 a call, from the start again where the cursor expires.

    Without `columns` only the NPD ID is read. A listing of fewer than `expected` items may have been cut
    short and is read twice, so an item may come twice. Raises MondayError.
    """
    connector = limits.connector()
    columns = [link.npd_id_column] if columns is None else columns
    shortest: int | None = None
    for listing in range(MAX_LISTINGS):
        count = 0
        try:
            for items in connector.list_items(link.board_id, columns, types):
                count += len(items)
                yield items
        except errors.MondayError as error:
            if error.kind is not errors.CURSOR_EXPIRED or listing + 1 == MAX_LISTINGS:
                raise
            continue
        if expected is None or count >= expected or shortest == count:
            return
        shortest = count


def enqueue_unmatched(spec: EntitySpec, item_ids: Iterable[str]) -> None:
    """Enqueue a pass for unmatched items, all or none."""
    enqueue(spec.entity_type, items=item_ids, cause=choices.Cause.SWEEP, priority=choices.Priority.SWEEP)


# A board's listing, page by page, beside what a pass would do with the records that have its items.


@dataclass(frozen=True)
class ListedPage:
    """A page of a board's items that were not listed before, and the plan of a pass over the records that have them."""

    facts: pass_plan.PassFacts
    plan: pass_plan.Plan
    changed: frozenset[UUID]  # records of which the plan isn't empty
    unread: frozenset[UUID]  # those of which Monday would have to be asked more before it could be told
    busy: frozenset[UUID]  # those with a job that waits or is in a worker's hands
    read_at: datetime  # the page was read after this

    @property
    def syncing(self) -> list[pass_plan.RecordPlan]:
        """The records that are synced: their own settings let them, and the filter doesn't leave them out."""
        return [plan for plan in self.plan.records.values() if plan.may_sync]

    @property
    def differing(self) -> list[UUID]:
        """The records for which a pass would do or say anything, or of which only it can tell."""
        return sorted(self.changed | self.unread)

    @property
    def unsettled(self) -> list[UUID]:
        """These, and all that are not in sync, or have a job: `sync_reconcile` passes over them."""
        is_synced = choices.RecordSyncStatus.SYNCED
        open_ids = {p.id for p in self.syncing if p.id in self.busy or p.record.sync_status != is_synced}
        return sorted(open_ids.union(self.differing))

    @property
    def settled(self) -> list[UUID]:
        """The records that are in sync, and that a pass would leave as they are."""
        return sorted({plan.id for plan in self.syncing} - set(self.unsettled))


class _ListedItems(Gatherer):
    """Answers from a page of the listing what rules ask of Monday; what that doesn't show is `unread`, and not asked.

    Of a column that no item shows only a call would tell more, and every record's pass may have to speak of it.
    """

    def __init__(self, items: Mapping[str, Item]) -> None:
        super().__init__()
        self.items = items
        self.unread = set[str]()

    def board_items(self, board: BoardContext, linked: Sequence[str], *_: Any) -> BatchItems:
        return BatchItems(linked={key: self.items[key] for key in linked if key in self.items})

    def items_by_id(self, board: BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        self.unread |= set(ids)
        return {}

    def removed_items(self, board: BoardContext, emptied: EmptiedCells) -> set[str]:
        removed = super().removed_items(board, emptied)
        self.unread |= {item_id for _, named_item, item_id in emptied if named_item in self.unread}
        return removed

    def inspect(
        self, board: BoardContext, missing: Collection[str], healed: Collection[str]
    ) -> tuple[BoardContext, InspectedColumns]:
        self.unread |= set(self.items) if missing else set()
        return super().inspect(board, (), healed) if healed else (board, InspectedColumns())


class BoardListing:
    """A board's items with their records; it keeps ids only, and never more than a page of anything else.

    It notes the items that no record has, but for a preview.
    """

    def __init__(self, link: BoardLink, *, is_preview: bool = False) -> None:
        self.board = load_board(link)
        self._notes_unmatched = not is_preview
        self.listed: set[str] = set()
        self.started_at = sync_now()
        self._filtered: set[str] = set()
        self._ownerless: list[str] = []

    def pages(self, expected: int | None = None) -> Iterator[ListedPage]:
        """Yield each page with its records, loaded as a pass loads them; raises MondayError.

        An item that was listed before is left out, also by an earlier call. `expected` is as item_pages takes it.
        """
        link = self.board.link
        read_at = sync_now()
        for page in item_pages(link, self.board.columns, self.board.types, expected=expected):
            board = self.board
            fresh = {item.id: item for item in page if item.id not in self.listed}
            self.listed |= set(fresh)
            facts = claimed(board, [Claim(None, item_id, []) for item_id in fresh])
            ownerless = [fresh[str(unmatched.remote_id)] for unmatched in facts.item_claims]
            self._ownerless += [item.id for item in ownerless]
            if self._notes_unmatched:
                note_unmatched(link, [listed_finding(board, item) for item in ownerless])
            if board.sync_filter.items:
                self._filtered |= {key for key, item in fresh.items() if item_verdict(board, item).holds is False}
            planned = _planned(replace(facts, item_claims=()), fresh, read_at)
            # A column that is there again is so on the pages that follow, too; the names that this page's relations
            # point to are many, and forgotten.
            self.board = replace(planned.facts.board, item_names=board.item_names)
            yield planned
            read_at = sync_now()

    def forget_unlisted(self, expected: int | None) -> None:
        """Forget the unmatched items that were not listed, if the board has no more items than were."""
        if expected is not None and len(self.listed) >= expected:
            clear_unlisted(self.board.link, self.started_at, self.listed)

    @property
    def unmatched(self) -> list[str]:
        """The items listed so far that no record has and that nobody ignores."""
        ids = list(dict.fromkeys(self._ownerless))
        owned = self.board.model._default_manager.filter(monday_id__in=ids).values_list("monday_id", flat=True)
        ignored = IgnoredItem.objects.filter(entity_type=self.board.link.entity_type, item_id__in=ids)
        others = {*owned, *ignored.values_list("item_id", flat=True)}
        return [item_id for item_id in ids if item_id not in others]

    def matchable(self, unmatched: Iterable[str]) -> list[str]:
        """Return those of these items that the filter doesn't leave out."""
        return [item_id for item_id in unmatched if item_id not in self._filtered]

    def unlisted(self) -> list[UUID]:
        """Return the linked records whose items were not listed; whether these are gone only they themselves say."""
        # One that is left out by the filter is disabled too, though its own settings let it sync.
        linked = self.board.model._default_manager.exclude(monday_id=None).exclude(
            sync_status=choices.RecordSyncStatus.DISABLED
        )
        rows = linked.order_by("pk").values_list("pk", "monday_id").iterator(chunk_size=2_000)
        return [pk for pk, item_id in rows if item_id not in self.listed]


def _planned(facts: pass_plan.PassFacts, items: Mapping[str, Item], read_at: datetime) -> ListedPage:
    gatherer = _ListedItems(items)
    link = facts.board.link
    facts, plan = gatherer.gather(facts)
    of_records = {"entity_type": link.entity_type, "entity_id__any_of": list(plan.records)}
    waiting = AwaitedRelation.objects.filter(**of_records).values_list("entity_id", "key", "target_type", "target")
    busy = _records_with_jobs(link, plan.records)
    changed = changed_records(facts, plan, waiting, busy)
    unread = {p.id for p in plan.records.values() if p.may_sync and p.record.monday_id in gatherer.unread}
    return ListedPage(facts, plan, changed, frozenset(unread), busy, read_at)


def _records_with_jobs(link: BoardLink, ids: Collection[UUID]) -> frozenset[UUID]:
    states = (choices.QueueStatus.PENDING, choices.QueueStatus.IN_PROGRESS)
    rows = SyncQueue.objects.filter(entity_type=link.entity_type, entity_id__any_of=list(ids), status__in=states)
    return frozenset(pk for pk in rows.values_list("entity_id", flat=True) if pk)


# The nightly comparison of every linked item with its base and with NPD. Whatever differs gets a pass.


@dataclass
class ComparisonResult:
    """What a comparison found on one board."""

    items: int = 0
    linked: int = 0
    differing: int = 0
    unlisted: int = 0
    without_record: int = 0
    without_item: int = 0
    problem: str = ""  # why it could not be finished
    verified: int = 0  # records that said `synced`, without anything of them on its way
    differed: int = 0  # of these, those that did
    differences: list[dict[str, Any]] = field(default_factory=list)  # the first of them, by field and in words

    @property
    def summary(self) -> str:
        if self.problem:
            return f"The comparison could not be finished. {self.problem} It is made again the next night."
        unlisted = humanize.count_with_noun(self.unlisted, "linked item is", "linked items are")
        clauses = {
            f"{self.differing:,} differed from the last synced values, or had something open": self.differing,
            f"{unlisted} not on the board any more: archived, deleted or moved": self.unlisted,
            f"{humanize.count_with_noun(self.without_record, 'item')} had no record": self.without_record,
            f"{humanize.count_with_noun(self.without_item, 'record')} had no item": self.without_item,
        }
        differences = "; ".join(clause for clause, number in clauses.items() if number) or "nothing differed"
        items = humanize.count_with_noun(self.items, "item")
        return f"{items} on the board, {self.linked:,} of them linked: {differences}."


def compare_due_boards() -> list[ComparisonResult]:
    return [compare_board(link) for link in boards_to_compare()]


def compare_board(link: BoardLink) -> ComparisonResult:
    """Compare every item with its record and base, enqueue a pass for what differs, store the result."""
    try:
        result = _compare(link)
    except errors.MondayError as error:
        if error.kind is errors.SHUTTING_DOWN:
            # As if it had not begun: it is due again, and the differences found so far are in the queue.
            BoardLink.objects.filter(pk=link.pk).update(compared_at=link.compared_at, compared=link.compared)
            return ComparisonResult(problem=error.sentence)
        breaker.trip_if_shared(error)
        result = ComparisonResult(problem=error.sentence)
    BoardLink.objects.filter(pk=link.pk).update(compared_at=SyncNow(), compared=result.summary)
    log.info("compared", board=link.entity_type, result=result.summary)
    return result


def _compare(link: BoardLink) -> ComparisonResult:
    spec = registry.entity(link.entity_type)
    structure = board_columns.inspect_board(link)
    if structure is None:
        raise errors.MondayError(errors.BOARD_NOT_FOUND, "The board is missing, or not active")
    result = ComparisonResult()
    listing = BoardListing(link)
    for page in listing.pages(structure.items_count):
        if page.facts.columns is not None:
            store_inspection(link, page.facts.columns)
        _verify(result, page)
        enqueue_comparison(link.entity_type, page.differing)
        result.linked += len(page.plan.records)
        result.differing += len(page.differing)
    # A listing doesn't tell whether an item is gone: linked records that it lacks are asked for by id.
    # In a shortened listing items are missing that are still on the board.
    is_complete = structure.items_count is None or len(listing.listed) >= structure.items_count
    unlisted = listing.unlisted() if is_complete else []
    for start in range(0, len(unlisted), PAGE):
        _verify_unlisted(result, listing.board, unlisted[start : start + PAGE])
    enqueue_comparison(link.entity_type, unlisted)
    listing.forget_unlisted(structure.items_count)
    without_item = records_without_item(spec)
    enqueue_comparison(link.entity_type, without_item)
    unmatched = listing.unmatched
    # Items without a record get a pass where it could create one or match one.
    if unmatched and (link.creates_records or without_item):
        enqueue_unmatched(spec, listing.matchable(unmatched))
    BoardLink.objects.filter(pk=link.pk).update(
        verified_at=SyncNow(),
        verified_records=result.verified,
        differed_records=result.differed,
        differences=result.differences,
    )
    if result.differed:
        log.error("drift", board=link.entity_type, compared=result.verified, differed=result.differed)
    result.items = len(listing.listed)
    result.unlisted = len(unlisted)
    result.without_record = len(unmatched)
    result.without_item = len(without_item)
    return result


def records_without_item(spec: EntitySpec) -> list[UUID]:
    """Return the records that should have an item, and don't wait for a job, a person or a direction."""
    rows = SyncQueue.objects.filter(entity_type=spec.entity_type, entity_id__isnull=False)
    busy = rows.exclude(status=choices.QueueStatus.COMPLETED).values("entity_id")
    unlinked = spec.model._default_manager.filter(monday_id=None, sync_status=choices.RecordSyncStatus.PENDING)
    unlinked = unlinked.exclude(unsynced()).exclude(sync_direction=choices.SyncDirection.MONDAY_TO_NPD)
    return list(unlinked.exclude(pk__in=busy).values_list("pk", flat=True))


# The proof of “synced”: how many records that say so the comparison looked at, and which differed.


def latest_verification(links: Iterable[BoardLink] | None = None) -> dict[str, Any]:
    """Return when these boards were compared last, or all, and how many records were and differed; None: never yet."""
    links = list(BoardLink.objects.all() if links is None else links)
    return {
        "at": max((link.verified_at for link in links if link.verified_at), default=None),
        "compared": sum(link.verified_records for link in links),
        "differed": sum(link.differed_records for link in links),
    }


def verification_text(at: datetime | None = None, compared: int = 0, differed: int = 0) -> str:
    """Return what was verified as a sentence, also where nothing was yet."""
    if at is None or not compared:
        return "Not verified yet: both sides are compared every night."
    span = humanize.time_span((sync_now() - at).total_seconds())
    if not differed:
        return f"Verified {span} ago: {compared:,} of {compared:,} checked records were the same on both sides."
    return (
        f"Differences, found {span} ago: {differed:,} of {compared:,} checked records said “synced” and differed. They "
        "are synced again, or you are asked."
    )


# The fields of which a plan says that they differ, as `BoardLink.differences` keeps them: each with its key, its values
# as displayed, and the difference in words.


UNLISTED = {"key": "", "words": "Monday doesn't show its item."}


def divergences(plan: pass_plan.RecordPlan) -> list[dict[str, str]] | None:
    """Return the fields that differ from what was last agreed on; None where a value can't be read now."""
    # A relation that is left out of the sync has its own note on the record, and is not compared.
    compared = [p for key, p in plan.plans.items() if key not in plan.ledger.blocked_fields]
    if any(p.decision.action is Action.UNDECIDED for p in compared):
        return None
    return [
        _divergence(p)
        for p in compared
        if p.decision.action is not Action.NOTHING and not (p.decision.action is Action.AGREED and p.base is None)
    ]


def _divergence(plan: pass_plan.FieldPlan) -> dict[str, str]:
    remote = plan.convert.display(plan.convert.remote(plan.remote_raw))
    values = {"npd": plan.display_local(plan.local_raw), "monday": remote}
    agreed = "; it was never synced."
    if plan.base is not None:
        values["agreed"] = plan.display_local(plan.base["local"])
        agreed = f", last synced was “{values['agreed']}”."
    text = f"{plan.mapping.label}: NPD says “{values['npd']}”, Monday “{values['monday']}”{agreed}"
    return {"key": plan.mapping.key, "words": text} | values


PAGE = 500
MAX_DIFFERENCES = 20


def _verify(result: ComparisonResult, page: ListedPage) -> None:
    """Add the records of a page to those verified that say `synced`, with nothing of them on its way."""
    differing = dict[UUID, tuple[RecordFacts, list[dict[str, str]]]]()
    claiming = _claiming((plan.facts for plan in page.syncing), page.busy) - page.unread
    for plan in page.syncing:
        if plan.id not in claiming:
            continue
        fields = divergences(plan) if plan.id in page.changed else []
        # Of a pair that leaves the filter with its next pass a difference proves nothing either.
        if fields is None or (fields and (plan.leaving or _is_fresh(plan.facts))):
            continue
        result.verified += 1
        if fields:
            differing[plan.id] = plan.facts, fields
    _record_differing(result, page.facts.board, differing)


def _verify_unlisted(result: ComparisonResult, board: BoardContext, ids: Collection[UUID]) -> None:
    """Add those that say `synced`, though a complete listing lacks their items."""
    records = {facts.id: facts for facts in _loaded(board, ids) if facts.record.may_sync}
    claiming = _claiming(records.values(), _records_with_jobs(board.link, records))
    missing = {
        key
        for key in claiming
        if not _is_fresh(records[key]) and record_verdict(board, records[key].record).holds is not False
    }
    result.verified += len(missing)
    _record_differing(result, board, {key: (records[key], [UNLISTED]) for key in missing})


def _record_differing(
    result: ComparisonResult, board: BoardContext, differing: Mapping[UUID, tuple[RecordFacts, list[dict[str, str]]]]
) -> None:
    """Store these differences, but of records that a pass or a save may have changed since they were loaded."""
    reloaded = {facts.id: facts for facts in _loaded(board, differing)} if differing else {}
    claiming = _claiming(reloaded.values(), _records_with_jobs(board.link, reloaded))
    for key, (before, fields) in differing.items():
        if key not in claiming or not _is_unchanged(board, before, reloaded[key]):
            result.verified -= 1
            continue
        result.differed += 1
        if len(result.differences) < MAX_DIFFERENCES:
            result.differences.append({"record": str(key), "name": str(before.record), "fields": fields})


def _loaded(board: BoardContext, ids: Iterable[UUID]) -> Sequence[RecordFacts]:
    return claimed(board, [Claim(key, None, []) for key in sorted(ids)]).records


def _claiming(records: Iterable[RecordFacts], busy: Collection[UUID]) -> set[UUID]:
    """Return those of these records that say `synced` and have no job, intent or event under way."""
    return {
        facts.id
        for facts in records
        if facts.id not in busy and not facts.intents and not facts.events
        if facts.record.monday_id and facts.record.sync_status == choices.RecordSyncStatus.SYNCED
    }


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
