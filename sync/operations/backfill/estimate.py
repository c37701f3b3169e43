"""What a backfill would do and cost, before anything is written, and how estimate and outcome read."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from uuid import UUID

from sync import connectors
from sync.boards.board_listing import item_pages
from sync.choices import QueueDirection
from sync.clock import sync_now
from sync.connectors.base.board import BoardCapacity
from sync.connectors.base.board_items import BatchItems, Item
from sync.kernel.humanize import count_with_noun
from sync.limits import metered_client
from sync.models import ApiBudget, Backfill, BackfillState, Intent, IntentState
from sync.operations.backfill.deferral import hours_to_wait
from sync.operations.backfill.file_rows import CHUNK_SIZE, id_chunks, plan_row, records_to_import
from sync.outbox.claim import Claim
from sync.outbox.lease import Lease
from sync.reconcile.batch import Batch, RecordSync
from sync.reconcile.board_filter import exclude_items, exclude_records
from sync.reconcile.field_values import BoardContext
from sync.reconcile.identity import identify
from sync.reconcile.new_items import listed_finding
from sync.reconcile.sides import load, match_text_of_item, match_text_of_record, npd_id_of
from sync.records import availability
from sync.records.unmatched_items import note_unmatched
from sync.registry import EntitySpec, link_of


@dataclass
class ItemIndex:
    """A board's items by what a record could find them by."""

    batch: Batch
    items: dict[str, Item] = field(default_factory=dict)
    _by_npd_id: dict[str, list[Item]] = field(default_factory=dict)
    _by_match: dict[str, list[Item]] = field(default_factory=dict)

    @classmethod
    def of(cls, batch: Batch, on_progress: Callable[[int], None] = lambda items: None) -> ItemIndex:
        """List the whole board; raises ConnectorError. `on_progress` gets the number of items after a page."""
        index, match = cls(batch), batch.board.match_mapping
        columns = [batch.link.npd_id_column]
        if match is not None and match.column_id != "name":
            columns.append(match.column_id)
        for items in item_pages(batch.link, columns, batch.board.types):
            for item in items:
                index.add(item)
            on_progress(len(index.items))
        return index

    def add(self, item: Item) -> None:
        """Index an item by its id, its NPD ID and its match key."""
        if item.id in self.items:
            return
        self.items[item.id] = item
        if npd_id := npd_id_of(self.batch.board, item):
            self._by_npd_id.setdefault(npd_id, []).append(item)
        if key := match_text_of_item(self.batch, item):
            self._by_match.setdefault(key, []).append(item)

    def find_matches(self, record_syncs: Sequence[RecordSync]) -> BatchItems:
        """Return what a pass over these records would find: by NPD ID, and by the match rule."""
        named = [item for s in record_syncs for item in self._by_npd_id.get(str(s.id), ())]
        keys = dict.fromkeys(match_text_of_record(self.batch, s.record) for s in record_syncs)
        matched = [item for key in keys if key for item in self._by_match.get(key, ())]
        return BatchItems(by_npd_id=named, by_match=matched)


# The estimate: records in groups, with samples and reasons, and the cost.


SAMPLES_PER_GROUP = 3
ITEMS_PER_STATEMENT = 500
ROWS_PER_JOB = connectors.get().import_rows
CALLS_PER_JOB = 7  # its start, four polls, and what a listing may need besides its pages
SECONDS_PER_JOB = 130  # the waits between these polls
SECONDS_PER_CALL = 2


@dataclass(frozen=True)
class WorkCost:
    """About how many API calls a work takes, and for how many seconds it only waits."""

    calls: int = 0
    waits: int = 0

    @property
    def minutes(self) -> int:
        """Return about how many minutes it takes."""
        return math.ceil((self.waits + self.calls * SECONDS_PER_CALL) / 60)

    @cached_property
    def share_of_day(self) -> float | None:
        """Return the calls as a share of the day's quota; None where that isn't known."""
        limit = ApiBudget.objects.filter(id=1).values_list("day_limit", flat=True).first()
        return self.calls / limit if limit else None


class BackfillError(RuntimeError):
    """A backfill can't begin; the message says why and what to do."""


@dataclass
class RecordGroup:
    """Records that the backfill treats alike, with the first few of them and the reason."""

    ids: list[UUID] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)

    def add(self, record_sync: RecordSync, reason: str = "") -> None:
        """Add a record."""
        self.ids.append(record_sync.id)
        if len(self.samples) < SAMPLES_PER_GROUP:
            self.samples.append(f"{record_sync.record}: {reason}" if reason else str(record_sync.record))


@dataclass
class BackfillEstimate:
    """What would become of every record without an item, and what it costs.

    `create` go into the file; `one_by_one` are created by aliased mutations, because a file can't carry one
    of their values. `link`, `ambiguous` and `invalid` are left to passes too: these link, ask a person, or
    report what is wrong. `blocked_fields` counts those of records that are created all the same.
    `recheck_ids` are the ambiguous records that get a pass after the imports, because one of them brings the
    item that they match.
    """

    spec: EntitySpec
    estimated_at: datetime
    room: BoardCapacity
    create: RecordGroup = field(default_factory=RecordGroup)
    one_by_one: RecordGroup = field(default_factory=RecordGroup)
    link: RecordGroup = field(default_factory=RecordGroup)
    ambiguous: RecordGroup = field(default_factory=RecordGroup)
    invalid: RecordGroup = field(default_factory=RecordGroup)
    left_out: RecordGroup = field(default_factory=RecordGroup)
    blocked_fields: RecordGroup = field(default_factory=RecordGroup)
    recheck_ids: list[UUID] = field(default_factory=list)
    items: int = 0

    @property
    def age_seconds(self) -> float:
        """Return how long ago this was computed."""
        return (sync_now() - self.estimated_at).total_seconds()

    @property
    def record_count(self) -> int:
        """Return how many records were checked."""
        groups = (self.create, self.one_by_one, self.link, self.ambiguous, self.invalid, self.left_out)
        return sum(len(group.ids) for group in groups)

    @property
    def jobs(self) -> int:
        """Return how many files it takes."""
        return math.ceil(len(self.create.ids) / ROWS_PER_JOB)

    @property
    def cost(self) -> WorkCost:
        """Return what is still to come, waits for the hourly limit of imported items included."""
        listings = sum(
            math.ceil((self.items + min(done * ROWS_PER_JOB, len(self.create.ids))) / connectors.get().items_per_page)
            for done in range(1, self.jobs + 1)
        )
        # A pass reads, then writes; one that asks a person only reads.
        passes = 2 * (len(self.one_by_one.ids) + len(self.link.ids)) + len(self.ambiguous.ids)
        calls = self.jobs * CALLS_PER_JOB + listings + math.ceil(passes / connectors.get().items_per_read)
        hours = hours_to_wait(len(ids) for ids in id_chunks(self.create.ids, ROWS_PER_JOB))
        return WorkCost(calls, self.jobs * SECONDS_PER_JOB + hours * 3600)

    @property
    def items_over_limit(self) -> int:
        """Return by how many items this would exceed what the board may hold."""
        if self.room.limit is None:
            return 0
        return max(0, self.items + len(self.create.ids) + len(self.one_by_one.ids) - self.room.limit)


def estimate_backfill(
    spec: EntitySpec, on_progress: Callable[[int, int], None] = lambda done, of: None, *, is_preview: bool = False
) -> BackfillEstimate:
    """Check every record without an item against the whole board; raises BackfillError, ConnectorError.

    `on_progress` gets how many records were checked, and of how many. Items that no record has are noted, but for a
    preview.
    """
    link = link_of(spec.entity_type)
    reason = availability.of(spec.entity_type).toward(QueueDirection.TO_MONDAY).blocked_reason
    if reason or link is None:
        raise BackfillError(reason)
    board = BoardContext.load(link)
    room = metered_client.connector(link.system).board_capacity(link.board_id)
    ids = list(records_to_import(board).values_list("pk", flat=True))
    estimate = BackfillEstimate(spec, sync_now(), room)
    if not ids:
        return estimate
    index = ItemIndex.of(unclaimed_batch(board), lambda items: on_progress(0, len(ids)))
    estimate.items = len(index.items)
    sorter = _RecordSorter(estimate, index)
    for done, chunk in enumerate(id_chunks(ids)):
        batch = unclaimed_batch(board)
        load(batch, [Claim(entity_id, None, []) for entity_id in chunk])
        exclude_records(batch)
        found = index.find_matches(batch.open_records)
        sorter.matched |= {item.id for item in [*found.by_npd_id, *found.by_match]}
        identify(batch, found)
        exclude_items(batch)
        for record_sync in batch.record_syncs:
            sorter.sort(batch, record_sync)
        on_progress(min((done + 1) * CHUNK_SIZE, len(ids)), len(ids))
    if not is_preview:
        _note_unmatched(index, sorter.matched)
    return estimate


def _note_unmatched(index: ItemIndex, matched: Collection[str]) -> None:
    """Note the items that no record has, nor will have by what was found just now."""
    free = [item for item in index.items.values() if item.id not in matched and not npd_id_of(index.batch.board, item)]
    for start in range(0, len(free), ITEMS_PER_STATEMENT):
        items = free[start : start + ITEMS_PER_STATEMENT]
        note_unmatched(index.batch.link, [listed_finding(index.batch, item) for item in items])


def unclaimed_batch(board: BoardContext) -> Batch:
    """Return a batch that is only looked at: it takes no lease and writes nothing."""
    return Batch(Lease(board.link), board, uuid.uuid4(), is_preview=True)


@dataclass
class _RecordSorter:
    estimate: BackfillEstimate
    index: ItemIndex
    linked: set[str] = field(default_factory=set)
    matched: set[str] = field(default_factory=set)
    match_keys: set[str] = field(default_factory=set)

    def sort(self, batch: Batch, record_sync: RecordSync) -> None:
        """Add a record to its group, as reconcile would decide it after those before."""
        estimate = self.estimate
        if record_sync.left_out:
            estimate.left_out.add(record_sync, record_sync.left_out)
            return
        if not record_sync.creates:
            if record_sync.link_to and record_sync.link_to not in self.linked:
                self.linked.add(record_sync.link_to)
                estimate.link.add(record_sync, f"the item “{record_sync.item.name}”" if record_sync.item else "")
            elif record_sync.link_to:
                estimate.ambiguous.add(record_sync, "the item with the same key belongs to another record")
            else:
                estimate.ambiguous.add(record_sync, record_sync.reason)
            return
        row = plan_row(batch, record_sync)
        key = match_text_of_record(batch, record_sync.record)
        if row.invalid:
            estimate.invalid.add(record_sync, row.invalid)
        elif key and key in self.match_keys:
            # The pass after the first one's create would find that item, and ask.
            estimate.ambiguous.add(record_sync, "another record with the same key gets an item first")
            estimate.recheck_ids.append(record_sync.id)
        else:
            self.match_keys.add(key)
            group = estimate.one_by_one if row.import_problem else estimate.create
            group.add(record_sync, row.import_problem)
            for label, reason in row.blocked_fields.items():
                estimate.blocked_fields.add(record_sync, f"{label}: {reason}")


# Estimate and outcome as sentences.


MAX_REASONS = 3


def estimate_lines(estimate: BackfillEstimate) -> Iterator[str]:
    """Return the estimate as lines: group by group, with samples, then the cost."""
    title = estimate.spec.board_title
    if not estimate.record_count:
        yield f"{title}: every record that may sync has its item, or is being given one."
        return
    yield f"{title}: {estimate.record_count:,} records without an item; {estimate.items:,} items on the board."
    yield from _group_lines(estimate.create, "to create in bulk")
    yield from _group_lines(estimate.one_by_one, "to create one by one, for a value that an import can't carry")
    yield from _group_lines(estimate.link, "to link with an item that is there")
    yield from _group_lines(estimate.ambiguous, "ambiguous; you will be asked")
    yield from _group_lines(estimate.invalid, "that Monday won't take; each record's page will say why")
    yield from _group_lines(estimate.left_out, "left out by the filter")
    yield from _group_lines(
        estimate.blocked_fields, "fields left out until they are corrected; their records are created"
    )
    yield f"  It costs {cost_text(estimate)}."
    if estimate.items_over_limit:
        yield (
            f"  The board may hold {estimate.room.limit:,} items: {estimate.items_over_limit:,} too "
            "few. Archive items, or ask Monday "
            "for a higher limit. Nothing will be written."
        )


def cost_text(estimate: BackfillEstimate) -> str:
    """Return the cost in calls and minutes, as a clause."""
    cost = estimate.cost
    share = cost.share_of_day
    of_day = f" ({share:.1%} of the day's API quota)" if share is not None else ""
    minutes = count_with_noun(max(1, cost.minutes), "minute")
    return f"about {count_with_noun(cost.calls, 'API call')}{of_day} and {minutes}"


def _group_lines(group: RecordGroup, description: str) -> Iterator[str]:
    if group.ids:
        yield f"  {len(group.ids):,} {description}"
        yield from (f"      {sample}" for sample in group.samples)
        if len(group.ids) > len(group.samples):
            yield f"      … and {len(group.ids) - len(group.samples):,} more"


def outcome_lines(backfill: Backfill) -> Iterator[str]:
    """Return what became of a backfill."""
    if backfill.state == BackfillState.FAILED:
        yield f"The backfill failed. {backfill.problem}"
        yield "Its records are synced one by one, by a worker or by `manage.py sync_drain`."
        return
    counts = backfill.counts
    parts = [f"{counts[key]:,} {key}" for key in ("created", "skipped", "invalid", "failed") if counts.get(key)]
    yield f"{counts.get('linked', 0):,} of {backfill.rows:,} rows have their item ({', '.join(parts) or 'no counts'})."
    if backfill.problem:
        yield backfill.problem
    rest = Intent.objects.filter(backfill=backfill, state=IntentState.VOID)
    if count := rest.count():
        yield f"{count:,} records are synced one by one, by a worker or by `manage.py sync_drain`."
        reasons = rest.exclude(answer=None).values_list("entity_id", "answer")[:MAX_REASONS]
        yield from (f"      {entity_id}: {answer['reason']}" for entity_id, answer in reasons if answer)
