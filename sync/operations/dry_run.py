"""Passes that only plan: their facts, and what reconcile's rules decide. Nothing is written on either side.

`decide_pass` plans one pass, for the comparison by night; `plan_pass_with_following` also the one that follows it.
`plan_passes` plans those over a whole board, for `sync_reconcile --dry-run` and the set-up; each of them takes both
sides as the ones before it leave them, because the `Listing` notes what they change.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sync import choices
from sync.boards import availability
from sync.fields import field_values, lookups
from sync.fields.field_values import BoardContext
from sync.kernel import grouped
from sync.limits import api_quota, metered_client
from sync.models import BoardLink, SyncedModel, SyncQueue, Tombstone
from sync.monday.board_items import NAME_COLUMN, BatchItems, Item, Reading
from sync.monday.errors import MondayError
from sync.monday.item_documents import ITEMS_PER_READ
from sync.monday.text_forms import match_key
from sync.operations.empty_plans import changed_records
from sync.operations.planned_changes import ACT_KINDS, ChangeKind, PlannedChange, plan_changes
from sync.outbox.claim import Claim
from sync.reconcile import outcomes, pass_plan
from sync.reconcile.changes import item_writes
from sync.reconcile.facts import PassFacts
from sync.reconcile.failed_reads import end_unread
from sync.reconcile.gather.gatherer import Gatherer
from sync.reconcile.missing.questions import answered_items
from sync.reconcile.restraints import new_clear_requests
from sync.reconcile.run import plan_pass
from sync.words.message import Message, of_error

# With a record's id after it, it stands for the item that will be created for the record.
NEW_ITEM_PREFIX = "+"


class ReadOnlyClient(metered_client.MeteredClient):
    """Refuses to write."""

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Any:
        """Send a query; raises RuntimeError for a mutation, MondayError as the metered client does."""
        if document.lstrip().startswith("mutation"):
            raise RuntimeError("A dry run came to a call that writes. It was not sent. Please report it.")
        return super().execute(document, variables)


@contextmanager
def read_only_client() -> Iterator[ReadOnlyClient]:
    """Let all code inside read from Monday, but not write there."""
    metered = metered_client.client()
    client = ReadOnlyClient(metered.inner, urgent=metered.urgent)
    with metered_client.client_override(client):
        yield client


@dataclass(frozen=True)
class PlannedPass:
    """The facts and the plan of a pass that isn't made."""

    facts: PassFacts
    plan: pass_plan.Plan
    calls: int = 0  # that reading took
    unread_reason: str = ""  # why Monday could not be read
    # Over the records that this pass would link or create, and the deleted ones whose items it has found.
    following: PlannedPass | None = None

    @property
    def changes(self) -> Iterator[PlannedChange]:
        """What the pass would change, and the one that follows it."""
        following = list(self.following.changes) if self.following else []
        deleted = self.following.plan.deleted if self.following else {}
        # The deleted record's own change says what becomes of its item.
        decided_items = {change.item_id for change in following if change.entity_id in deleted}
        for change in plan_changes(self.facts, self.plan):
            if change.entity_id or change.item_id not in decided_items:
                yield change
        yield from following

    @property
    def synced_plans(self) -> list[pass_plan.RecordPlan]:
        """The plans of the records that neither their own settings nor the filter keep from being synced."""
        return [plan for plan in self.plan.records.values() if plan.takes_part]

    @cached_property
    def busy(self) -> frozenset[UUID]:
        """The records with a job that is pending or in progress."""
        return records_with_jobs(self.facts.board.link, self.plan.records)

    @cached_property
    def changed(self) -> frozenset[UUID]:
        """The records whose plan isn't empty."""
        return changed_records(self.facts, self.plan, self.busy)

    @property
    def differing_or_unfinished(self) -> list[UUID]:
        """The records that `sync_reconcile` gives a pass: also those that say otherwise than `synced` or have a job."""
        unfinished = {
            plan.id
            for plan in self.synced_plans
            if plan.id in self.busy or plan.record.sync_status != choices.RecordSyncStatus.SYNCED
        }
        return sorted(self.changed.union(unfinished))


def records_with_jobs(link: BoardLink, ids: Collection[UUID]) -> frozenset[UUID]:
    states = (choices.QueueStatus.PENDING, choices.QueueStatus.IN_PROGRESS)
    jobs = SyncQueue.objects.filter(entity_type=link.entity_type, entity_id__any_of=list(ids), status__in=states)
    return frozenset(pk for pk in jobs.values_list("entity_id", flat=True) if pk)


def plan_pass_with_following(board: BoardContext, claims: Sequence[Claim], gatherer: Gatherer) -> PlannedPass:
    """Plan a pass over these records and items, and the pass that follows it at once, if any.

    The gatherer remembers the approvals that they would ask for, because these count in the passes that it plans later.
    """
    planned_pass = decide_pass(board, claims, gatherer)
    # The records that the pass would link or create, and the deleted ones that it enqueues, as it would leave them.
    plans = planned_pass.plan.records
    items = planned_pass.plan.items
    records = {item.record.pk: item.record for item in items if item.assigns and item.record}
    records = {key: record for key, record in records.items() if key not in plans}
    linked = [record_plan for record_plan in plans.values() if record_plan.ending == outcomes.LINKED]
    records |= {record_plan.id: record_plan.linked_record for record_plan in linked}
    tombstones = {
        tombstone.entity_id: tombstone
        for item in items
        for tombstone in (*item.facts.tombstones, item.tombstone)
        if tombstone is not None and tombstone.entity_id in item.to_enqueue
    }
    if records or tombstones:
        claims = [Claim(pk, None, []) for pk in sorted({*records, *tombstones})]
        following = decide_pass(planned_pass.facts.board, claims, gatherer, records, tombstones)
        reason = planned_pass.unread_reason or following.unread_reason
        planned_pass = replace(planned_pass, following=following, unread_reason=reason)
    for plan in [each.plan for each in (planned_pass, planned_pass.following) if each is not None]:
        state = choices.ApprovalState
        clears = new_clear_requests(plan, state.DONE, state.REFILLED, state.PENDING)
        removals = [each.approval for each in (*plan.deleted.values(), *plan.records.values()) if each.approval]
        gatherer.planned_requests = [*gatherer.planned_requests, *removals, *clears]
    return planned_pass


def decide_pass(
    board: BoardContext,
    claims: Sequence[Claim],
    gatherer: Gatherer,
    records: Mapping[UUID, SyncedModel] = MappingProxyType({}),
    tombstones: Mapping[UUID, Tombstone] = MappingProxyType({}),
) -> PlannedPass:
    """Read the facts of a pass and decide it, without the rest. `records` and `tombstones` replace the stored ones."""
    facts = gatherer.read_claims(board, claims, records)
    if tombstones:
        facts.deleted = tuple(
            replace(deleted, tombstone=tombstones.get(deleted.id, deleted.tombstone)) for deleted in facts.deleted
        )
    calls_before = gatherer.calls
    plan = plan_pass(gatherer, facts)
    calls = gatherer.calls - calls_before
    error = gatherer.error
    if error is None:
        return PlannedPass(facts, plan, calls)
    if gatherer.inspected is not None:
        # The next real pass would do without the missing column, too.
        again = decide_pass(facts.board, claims, gatherer, records, tombstones)
        return replace(again, calls=calls + again.calls)
    reason = of_error(error)
    end_unread(facts, plan, outcomes.Ending(outcomes.Outcome.RELEASED, reason))
    return PlannedPass(facts, plan, calls, reason)


def comparison_claim(entity_id: UUID, jobs: Sequence[SyncQueue]) -> Claim:
    """Return the claim of a record's pending jobs as if a comparison had just enqueued the record."""
    for job in jobs:
        job.causes |= int(choices.Cause.SWEEP)
    return Claim(entity_id, None, jobs)


def cost_of(planned_pass: PlannedPass, number: int, read_before: int = 0) -> int:
    """Return the calls of the real passes over so many of its records and items, if Monday accepts them all.

    They are read together with `read_before` others. The pass that follows is counted, too.
    """
    plan = planned_pass.plan
    batches = math.ceil(number / ITEMS_PER_READ)
    reads = math.ceil((read_before + number) / ITEMS_PER_READ) - math.ceil(read_before / ITEMS_PER_READ)
    writes = [*filter(None, item_writes(planned_pass.facts.board, plan))]
    removals = {deleted.act for deleted in plan.deleted.values()} - {""}
    # One call clears the NPD IDs of all duplicates, another archives all copies.
    duplicate_acts = {item.act for item in plan.items if item.is_duplicate}
    # The pass after such an answer reads, and writes. The other kinds of answers change nothing on Monday.
    answers = {ACT_KINDS.get(answer.act) for answer in plan.applied_answers} - {None}
    calls = planned_pass.calls + reads + batches * len([*writes, *removals]) + len(duplicate_acts) + 2 * len(answers)
    following = planned_pass.following
    if following is None:
        return calls
    return calls + cost_of(following, len(following.plan.records) + len(following.plan.deleted))


def plan_record(link: BoardLink, entity_id: UUID) -> PlannedPass:
    """Plan the next pass of a record, or of its tombstone."""
    pending = SyncQueue.objects.filter(
        entity_type=link.entity_type, entity_id=entity_id, status=choices.QueueStatus.PENDING
    )
    record_claim = comparison_claim(entity_id, list(pending.order_by("priority", "id")))
    return plan_pass_with_following(lookups.load_board(link), [record_claim], Gatherer())


def plan_link(record: SyncedModel, item_id: str) -> tuple[list[PlannedChange], str]:
    """Return the changes of the first pass after linking the two, or why the item can't be read."""
    link = lookups.link_of(record.entity_type())
    reason = availability.of(record.entity_type(), urgent=True).blocked_reason
    if link is None or reason:
        return [], reason
    linked = copy(record)
    linked.monday_id = item_id
    linked.sync_enabled = True
    # A person's click may use the urgent reserve of calls.
    with metered_client.urgent_calls(), read_only_client():
        claim = Claim(record.pk, None, [])
        planned_pass = decide_pass(lookups.load_board(link), [claim], Gatherer(), {record.pk: linked})
    [plan] = planned_pass.plan.records.values()
    if plan.item is None:
        return [], planned_pass.unread_reason or plan.ending.detail or Message("chosen_item_not_shown")
    return [change for change in planned_pass.changes if change.kind is not ChangeKind.LEFT], ""


# The dry run of whole boards.


class Listing(Gatherer):
    """Finds items in a listing of their board, also by NPD ID, by match key and by name.

    As a pass, it asks by id for what isn't listed: the item may be archived, deleted or on another board.
    """

    def __init__(self, board: BoardContext, new_cells: Mapping[str, Reading] = MappingProxyType({})) -> None:
        super().__init__()
        self.board = board
        self.new_cells = new_cells  # the empty cells of columns that a set-up will create
        self.items = dict[str, Item]()  # listed ones, by id
        self.unreadable: dict[str, MondayError] = {}  # items that Monday answers an error for
        self.by_name = defaultdict[str, list[Item]](list)
        self._by_npd_id = defaultdict[str, list[Item]](list)
        self._by_match = defaultdict[str, list[Item]](list)
        self.linked = dict[UUID, SyncedModel]()  # the records that the plan links or changes, as they will be
        self.written = dict[str, Item]()  # the items that the plan changes, as far as they are found by what is written
        self.checked_items = frozenset[str]()  # items that get a pass, even if a record is asked about them

    def read(self, progress: Callable[[int], None] = lambda number: None) -> None:
        """Keep all listed items; raises MondayError."""
        board = self.board
        columns = [column for column in board.columns if column not in self.new_cells]
        for page in self.connector.list_items(board.link.board_id, columns, board.types, self.unreadable):
            for listed in page:
                item = self.complete_item(listed)
                self.items[item.id] = item
                if npd_id := field_values.npd_id_of(board, item):
                    self._by_npd_id[npd_id].append(item)
                if key := field_values.match_key_of_item(board, item):
                    self._by_match[key].append(item)
                self.by_name[match_key(item.name)].append(item)
            progress(len(self.items))

    def complete_item(self, item: Item) -> Item:
        return replace(item, values={**item.values, **self.new_cells}) if self.new_cells else item

    def find_items(
        self,
        board: BoardContext,
        item_ids: Sequence[str],
        npd_ids: Sequence[str],
        texts: Sequence[str],
        names: Collection[str] = (),
    ) -> BatchItems:
        named = [item for npd_id in npd_ids for item in self._by_npd_id.get(npd_id, ())]
        keys = dict.fromkeys(map(match_key, texts))
        matched = [item for key in keys for item in self._by_match.get(key, ())]
        namesakes = [item for name in names for item in self.by_name.get(name, ())]
        if self.written:
            named = self._as_written(named)
            found = {item.id: item for item in [*self._as_written(matched), *self.written.values()]}
            matched = [item for item in found.values() if field_values.match_key_of_item(board, item) in keys]
            namesakes = self._as_written(namesakes)
        return BatchItems(self.items_by_id(board, item_ids), named, matched, namesakes)

    def _as_written(self, items: Iterable[Item]) -> list[Item]:
        return [self.written.get(item.id, item) for item in items]

    def items_by_id(self, board: BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        listed = {key: self.items[key] for key in ids if key in self.items}
        unlisted = [key for key in ids if key not in listed and not key.startswith(NEW_ITEM_PREFIX)]
        return listed | {key: self.complete_item(item) for key, item in super().items_by_id(board, unlisted).items()}

    def gather(self, facts: PassFacts, plan: pass_plan.Plan) -> None:
        """Gather, and put the records into the facts as the plan links them."""
        super().gather(facts, plan)
        facts.owners = {**facts.owners, **{record.monday_id or "": key for key, record in self.linked.items()}}
        unmatched = []
        by_key = self._by_match_key(self.linked.values())
        by_name = grouped(self.linked.values(), partial(field_values.name_key_of_record, self.board))
        same_key = [self.as_planned(record) for records in facts.same_key.values() for record in records]
        facts.same_key = self._by_match_key(same_key)
        for item in facts.unmatched:
            bearer = self.as_planned(item.npd_id_record) if item.npd_id_record else None
            key = field_values.match_key_of_item(self.board, item.item) if item.item else ""
            others = [self.as_planned(record) for record in item.matching if record.pk not in self.linked]
            matching = (*others, *by_key.get(key, ())) if key else ()
            named = [self.as_planned(record) for record in item.namesakes if record.pk not in self.linked]
            namesakes = (*named, *by_name.get(match_key(item.item.name), ())) if item.item else ()
            unmatched.append(replace(item, matching=matching, namesakes=namesakes, npd_id_record=bearer))
        facts.unmatched = unmatched

    def _by_match_key(self, records: Iterable[SyncedModel]) -> Mapping[str, Sequence[SyncedModel]]:
        return grouped(records, lambda record: field_values.match_key_of_record(self.board, record))

    def note(self, planned_pass: PlannedPass) -> None:
        """Remember the records and items that a pass changes, as they will be."""
        for record_plan in planned_pass.plan.records.values():
            is_written = record_plan.is_open and (record_plan.creates or record_plan.pulls)
            if record_plan.link_to or record_plan.changes_npd or is_written:
                self.linked[record_plan.id] = _record_after(record_plan)
        changes, _ = item_writes(self.board, planned_pass.plan)
        for write in changes:
            item = self.written.get(write.item_id) or self.items.get(write.item_id)
            if item is not None:
                self.written[item.id] = _item_after(self.board, item, write.values)
        following = planned_pass.following
        if following is not None:
            self.note(following)
            self.linked |= {key: _record_after(record_plan) for key, record_plan in following.plan.records.items()}

    def unreadable_changes(self) -> Iterator[PlannedChange]:
        """Yield the items for which Monday answers an error, as they are left."""
        entity_type = self.board.link.entity_type
        for item_id, error in self.unreadable.items():
            name = f"Item {item_id}"
            yield PlannedChange(ChangeKind.UNREADABLE, entity_type, name, item_id=item_id, reason=of_error(error))

    def records_without_item(self) -> set[UUID]:
        return set(self.board.model.objects.filter(monday_id=None).values_list("pk", flat=True))

    def as_planned(self, record: SyncedModel) -> SyncedModel:
        return self.linked.get(record.pk, record)


def _record_after(plan: pass_plan.RecordPlan) -> SyncedModel:
    """Return a record as its pass leaves it: with its item, and with the values that it pulls."""
    new_item = f"{NEW_ITEM_PREFIX}{plan.id}" if plan.creates else None
    record = field_values.with_item(plan.record, plan.link_to or plan.record.monday_id or new_item)
    for field_plan in plan.fields.values():
        for name, value in field_values.update_values(type(record), field_plan.pull_raw or {}).items():
            setattr(record, name, value)
    return record


def _item_after(board: BoardContext, item: Item, values: Mapping[str, Any]) -> Item:
    """Return an item with what is written of its name and its match key, by which records find it."""
    match = board.match_mapping
    readings = dict(item.values)
    if match is not None and match.column_id != NAME_COLUMN and match.column_id in values:
        readings[match.column_id] = replace(item.reading(match.column_id), text="", value=values[match.column_id])
    return replace(item, name=values.get(NAME_COLUMN, item.name), values=readings)


def plan_passes(listing: Listing, records: Sequence[Claim], items: Iterable[Claim]) -> list[PlannedPass]:
    """Plan passes over all these records of a listed board, then one over these items as far as they are still free."""
    board = listing.board
    listing.planned_requests = ()
    # One pass decides together which records get which items. The others are as large as real passes, because these
    # count what waits for approval.
    ids_without_item = listing.records_without_item()
    without_item = [claim for claim in records if claim.entity_id in ids_without_item]
    others = [claim for claim in records if claim.entity_id not in ids_without_item]
    size = api_quota.batch_size(board.link.pk) if board.link.pk else ITEMS_PER_READ
    chunks = [others[start : start + size] for start in range(0, len(others), size)]
    planned_passes = [plan_pass_with_following(board, chunk, listing) for chunk in (*chunks, without_item)]
    for planned_pass in planned_passes:
        listing.note(planned_pass)
    # A record that is asked about an item is decided again when another one's pass has written to that.
    asked = set[UUID]()
    for planned_pass in planned_passes:
        plans = planned_pass.plan.records
        asking = [key for key, plan in plans.items() if not listing.written.keys().isdisjoint(candidates_of(plan))]
        for key in asking:
            del plans[key]
        asked.update(asking)
    if asked:
        claims = [claim for claim in records if claim.entity_id in asked]
        planned_passes.append(plan_pass_with_following(board, claims, listing))
        listing.note(planned_passes[-1])
    taken = set[str]()
    for planned_pass in planned_passes:
        taken |= answered_items(planned_pass.facts, planned_pass.plan)
        taken |= {deleted.item_id for deleted in planned_pass.plan.deleted.values()}
        for record_plan in planned_pass.plan.records.values():
            taken |= {record_plan.record.monday_id or "", record_plan.item_id}
            taken |= candidates_of(record_plan) - listing.checked_items
    free = [claim for claim in items if claim.remote_id not in taken]
    return [*planned_passes, plan_pass_with_following(board, free, listing)]


def candidates_of(plan: pass_plan.RecordPlan) -> set[str]:
    """Return the items of which a person is asked whether they are the record's."""
    if plan.question is None or not plan.asks_which_item:
        return set()
    return {str(candidate["id"]) for candidate in plan.question.candidates}


def record_plans(planned_passes: Iterable[PlannedPass]) -> dict[UUID, pass_plan.RecordPlan]:
    return {key: plan for planned_pass in planned_passes for key, plan in planned_pass.plan.records.items()}


def item_plans(planned_passes: Iterable[PlannedPass]) -> list[pass_plan.ItemPlan]:
    return [item_plan for planned_pass in planned_passes for item_plan in planned_pass.plan.items]
