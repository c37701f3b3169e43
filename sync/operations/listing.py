"""A board's listing: all its items, page by page, with the plan of a pass over their records.

A listing reads 500 items a call, a pass 100. So sweeps and comparisons let the rules of a pass decide about the listing
first, and only records whose plan isn't empty get a pass.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from sync import choices, limits, registry
from sync.boards.board_columns import InspectedColumns
from sync.clock import sync_now
from sync.models import BoardLink, IgnoredItem, SyncedModel, SyncQueue
from sync.models.synced_model import unsynced
from sync.monday import errors
from sync.monday.board_items import BatchItems, Item
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.board_filter import item_verdict
from sync.reconcile.facts import PassFacts
from sync.reconcile.field_bases import EmptiedCell
from sync.reconcile.field_values import BoardContext
from sync.reconcile.gather import Gatherer
from sync.reconcile.gather.record_facts import read_facts
from sync.reconcile.lookups import load_board
from sync.reconcile.new_items import listed_finding
from sync.reconcile.settlement import changed_records
from sync.records import availability
from sync.records.item_links import note_unmatched

# A listing starts again when its cursor expires, at most this often.
MAX_LISTINGS = 3


def item_pages(link: BoardLink, columns: Sequence[str], types: Sequence[str]) -> Iterator[list[Item]]:
    """Yield the board's active items, 500 a call; if the cursor expires, start again, so that an item may come twice.

    Raises MondayError.
    """
    for listing in range(MAX_LISTINGS):
        try:
            yield from limits.connector().list_items(link.board_id, columns, types)
        except errors.MondayError as error:
            if error.kind is not errors.CURSOR_EXPIRED or listing + 1 == MAX_LISTINGS:
                raise
        else:
            return


@dataclass(frozen=True)
class ListedPage:
    """A page of newly listed items, and the plan of a pass over their records."""

    facts: PassFacts
    plan: pass_plan.Plan
    changed: frozenset[UUID]  # records whose plan isn't empty
    unread: frozenset[UUID]  # records whose plan needs items that aren't on this page
    busy: frozenset[UUID]  # records with a job that is pending or in progress

    @property
    def syncing(self) -> list[pass_plan.RecordPlan]:
        """The records that may sync: neither their own settings nor the filter excludes them."""
        return [plan for plan in self.plan.records.values() if plan.is_synced]

    @property
    def need_pass(self) -> list[UUID]:
        """The records that a pass would change, or may change."""
        return sorted(self.changed | self.unread)

    @property
    def not_in_sync(self) -> list[UUID]:
        """The records to which `sync_reconcile` gives a pass: also those that are not in sync or have a job."""
        is_synced = choices.RecordSyncStatus.SYNCED
        open_ids = {plan.id for plan in self.syncing if plan.id in self.busy or plan.record.sync_status != is_synced}
        return sorted(open_ids.union(self.need_pass))


class _ListedItems(Gatherer):
    """A Gatherer that reads a page of the listing; it doesn't read other items, but notes them as `unread`.

    It doesn't inspect missing columns, because that takes a call and may concern every record's pass.
    """

    def __init__(self, items: Mapping[str, Item]) -> None:
        super().__init__()
        self.items = items
        self.unread = set[str]()

    def find_items(self, board: BoardContext, linked: Sequence[str], *_: Any) -> BatchItems:
        return BatchItems(linked={key: self.items[key] for key in linked if key in self.items})

    def items_by_id(self, board: BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        self.unread |= set(ids)
        return {}

    def items_off_board(self, board: BoardContext, emptied: Sequence[EmptiedCell]) -> set[str]:
        removed = super().items_off_board(board, emptied)
        self.unread |= {cell.item_id for cell in emptied if cell.expected_item_id in self.unread}
        return removed

    def inspect(
        self, board: BoardContext, suspect: Collection[str], healed: Collection[str]
    ) -> tuple[BoardContext, InspectedColumns]:
        self.unread |= set(self.items) if suspect else set()
        return super().inspect(board, (), healed) if healed else (board, InspectedColumns())


class BoardListing:
    """Lists a board's items with their records; holds all ids, but only one page of anything else.

    Stores the items without a record as unmatched, except in a preview.
    """

    def __init__(self, link: BoardLink, *, is_preview: bool = False) -> None:
        self.board = load_board(link)
        self._notes_unmatched = not is_preview
        self.listed: set[str] = set()
        self.started_at = sync_now()
        self.left_out: set[str] = set()  # items that the filter leaves out
        self._without_record: list[str] = []

    def pages(self) -> Iterator[ListedPage]:
        """Yield each page with its records, loaded as a pass loads them; raises MondayError."""
        link = self.board.link
        for page in item_pages(link, self.board.columns, self.board.types):
            board = self.board
            fresh = {item.id: item for item in page if item.id not in self.listed}
            self.listed |= set(fresh)
            facts = read_facts(board, [Claim(None, item_id, []) for item_id in fresh])
            without_record = [fresh[str(unmatched.remote_id)] for unmatched in facts.item_claims]
            self._without_record += [item.id for item in without_record]
            if self._notes_unmatched:
                note_unmatched(link, [listed_finding(board, item) for item in without_record])
            if board.sync_filter.items:
                self.left_out |= {key for key, item in fresh.items() if item_verdict(board, item).holds is False}
            gatherer = _ListedItems(fresh)
            facts, plan = gatherer.gather(replace(facts, item_claims=()))
            # A column that was found again stays found on later pages. The names of this page's related items are
            # dropped, because they are many.
            self.board = replace(facts.board, item_names=board.item_names)
            busy = records_with_jobs(link, plan.records)
            changed = changed_records(facts, plan, busy)
            synced = [record_plan for record_plan in plan.records.values() if record_plan.is_synced]
            unread = {record_plan.id for record_plan in synced if record_plan.record.monday_id in gatherer.unread}
            yield ListedPage(facts, plan, changed, frozenset(unread), busy)

    @property
    def unmatched(self) -> list[str]:
        """The listed items that have no record and aren't left alone."""
        ids = list(dict.fromkeys(self._without_record))
        owned = self.board.model._default_manager.filter(monday_id__in=ids).values_list("monday_id", flat=True)
        left_alone = IgnoredItem.objects.filter(
            entity_type=self.board.link.entity_type, item_id__in=ids, left_alone=True
        )
        excluded = {*owned, *left_alone.values_list("item_id", flat=True)}
        return [item_id for item_id in ids if item_id not in excluded]

    def unlisted(self) -> list[UUID]:
        """Return the linked records whose items were not listed; the items may still exist."""
        rows = swept_records(self.board.model).order_by("pk").values_list("pk", "monday_id").iterator(chunk_size=2_000)
        return [pk for pk, item_id in rows if item_id not in self.listed]


def readable_boards() -> Iterator[BoardLink]:
    """Yield the boards that can be read: set up, not paused, with quota left. A stop of writes doesn't matter."""
    for spec in registry.entities():
        board = availability.of(spec.entity_type, reads=True)
        if board.link is not None and not board.blocked_reason:
            yield board.link


def records_with_jobs(link: BoardLink, ids: Collection[UUID]) -> frozenset[UUID]:
    states = (choices.QueueStatus.PENDING, choices.QueueStatus.IN_PROGRESS)
    rows = SyncQueue.objects.filter(entity_type=link.entity_type, entity_id__any_of=list(ids), status__in=states)
    return frozenset(pk for pk in rows.values_list("entity_id", flat=True) if pk)


def swept_records(model: type[SyncedModel]) -> QuerySet[SyncedModel]:
    """Return the linked records that are synced; those that the filter leaves out are disabled, too."""
    return model._default_manager.exclude(monday_id=None).exclude(sync_status=choices.RecordSyncStatus.DISABLED)


def records_without_item(spec: registry.EntitySpec) -> list[UUID]:
    """Return the records that should get an item and don't wait for a job, a person or another direction."""
    rows = SyncQueue.objects.filter(entity_type=spec.entity_type, entity_id__isnull=False)
    busy = rows.exclude(status=choices.QueueStatus.COMPLETED).values("entity_id")
    without_item = spec.model._default_manager.filter(monday_id=None, sync_status=choices.RecordSyncStatus.PENDING)
    without_item = without_item.exclude(unsynced()).exclude(sync_direction=choices.SyncDirection.MONDAY_TO_NPD)
    return list(without_item.exclude(pk__in=busy).values_list("pk", flat=True))
