"""The plan of a set-up: a dry run over every record and item of the chosen boards, as the set-up would leave them.

A worker makes it and caches it by its choices. It is too old after 30 minutes. The board as it will be afterwards is a
link and mappings that are never stored; a column that will be created has a stand-in id and is empty in every item.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import structlog
from django.core.cache import cache
from django.core.exceptions import ValidationError

from sync import registry
from sync.boards.board_columns import InspectedColumns
from sync.choices import RemovedItemPolicy
from sync.clock import sync_now
from sync.fields import lookups
from sync.fields.field_values import BoardContext, Reference, match_key_of_item, npd_id_of, record_name
from sync.kernel import humanize
from sync.kernel.acts import ActionError
from sync.kernel.db import match_key_sql
from sync.limits import api_quota, connector
from sync.models import BoardLink, SyncedModel
from sync.models.synced_model import unsynced
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.board_items import BatchItems, BoardColumn, Item
from sync.monday.columns import empty_reading
from sync.monday.errors import MondayError
from sync.monday.text_forms import match_key
from sync.operations import preview
from sync.operations.setup import board_setup, selection
from sync.outbox.claim import Claim
from sync.outbox.wakeups import send_task
from sync.reconcile import pass_plan
from sync.reconcile.facts import PassFacts
from sync.reconcile.gather import Gatherer

log = structlog.get_logger(__name__)

# A set-up can't be started from an older plan, because people work on both sides meanwhile.
PLAN_LIFETIME = timedelta(minutes=30)

# A plan is requested again if no worker has begun it after this long, or its worker has been silent for this long.
UNTOUCHED_AFTER = timedelta(seconds=20)
SILENT_AFTER = timedelta(minutes=5)

# For the estimated duration.
SECONDS_PER_CALL = 2
# The calls of a set-up beside its passes, its new columns and its webhooks.
CALLS_PER_BOARD = 3
CALLS_PER_NEW_BOARD = 2

SAMPLES_PER_ROW = 3

# Rows of a plan beside the kinds of changes of a dry run.
FILTERED = "filtered"
SAME_NAME = "same_name"
SYNC_OFF = "sync_off"
UNREADABLE = "unreadable"
WAITING = "waiting"

# The rows of a plan by its parts, in the order of its page.
ROWS: dict[str, dict[str, str]] = {
    "changes": {
        preview.ChangeKind.CREATE: "items to create on Monday",
        preview.ChangeKind.LINK: "records to link with their items",
        preview.ChangeKind.PUSH: "items to update on Monday",
        preview.ChangeKind.PULL: "records to update in NPD",
        preview.ChangeKind.NEW_RECORD: "records to create from items",
        preview.ChangeKind.ARCHIVE: "items to archive on Monday",
        preview.ChangeKind.UNLINK: "records to unlink",
        preview.ChangeKind.DELETE_RECORD: "records to delete in NPD",
    },
    "asked": {
        preview.ChangeKind.CONFLICT: "records with a conflict to resolve",
        preview.ChangeKind.ASK: "records or items that need your choice",
        preview.ChangeKind.BLOCKED: "records that sync without their blocked fields",
        preview.ChangeKind.FAILED: "records that can't be synced",
        SAME_NAME: "records with a new item, although an unmatched item has their name",
    },
    "waiting": {WAITING: "items to check again later", UNREADABLE: "items for which Monday answers an error"},
    "left": {
        FILTERED: "records that the filter leaves out",
        SYNC_OFF: "records with sync off",
        preview.ChangeKind.LEFT: "other records or items",
    },
}

# With a record's id after it, it stands for the item that will be created for the record.
NEW_ITEM_PREFIX = "+"
# Stands for the column of the NPD ID until the set-up has created it.
NEW_NPD_ID_COLUMN = "+npd_id"


def planned_board(chosen: selection.ChosenBoard) -> BoardContext:
    """Return the board with the chosen columns, directions and rules."""
    choices = chosen.choices
    stored = lookups.link_of(choices.entity_type)
    ask = RemovedItemPolicy.ASK
    new = BoardLink(entity_type=choices.entity_type, match_key=chosen.spec.match_key, removed_item_policy=ask)
    link = copy(stored) if stored is not None else new
    if choices.link is None:  # what is stored is about another board
        link.group_id = ""
        link.shape = {}
    groups = chosen.board.groups if chosen.board is not None else {}
    if link.group_id not in groups:
        link.group_id = next(iter(groups), "")
    link.board_id = choices.board_id
    link.npd_id_column = chosen.npd_id_column or NEW_NPD_ID_COLUMN
    link.creates_records = choices.creates_records
    link.sync_filter = dict(choices.sync_filter)
    link.npd_id_problem = link.creates_held = ""
    columns = {}
    for spec in chosen.synced:
        if not spec.is_name:
            new_column = BoardColumn(f"{selection.NEW_COLUMN}{spec.key}", spec.label, spec.new_column_type)
            columns[spec.key] = chosen.columns.get(choices.choice_of(spec).column, new_column)
    synced = {spec.key for spec in chosen.synced}
    mappings = [mapping for mapping in board_setup.mappings_after(chosen, link, columns) if mapping.key in synced]
    return BoardContext(link, mappings, chosen.spec.model, lookups.load_settings())


class ListingGatherer(Gatherer):
    """A Gatherer that reads the board's listing instead of calling Monday, and NPD as it will be after the set-up.

    Items that aren't listed are read by their ids. `earlier` are the records of boards that are set up before this one,
    as they will be then.
    """

    def __init__(self, chosen: selection.ChosenBoard, earlier: Sequence[SyncedModel]) -> None:
        super().__init__()
        self.board = planned_board(chosen)
        self._related_boards = frozenset(chosen.boards_by_type)
        # What is stored about items is about the former board's, and is deleted as the set-up switches.
        self._is_other_board = chosen.choices.link is None
        self._earlier = defaultdict[Reference, list[SyncedModel]](list)
        for record in earlier:
            names = {"pk": str(record.pk), "monday_id": record.monday_id, "name": match_key(record_name(record))}
            for by, value in names.items():
                self._earlier[Reference(type(record), by, value or "")].append(record)
        # The records that are linked with an item, by pk.
        self.linked = dict[Any, SyncedModel]()
        # The listed items: by item id, by NPD ID, by match key and by name.
        self.items = dict[str, Item]()
        self.unreadable = dict[str, MondayError]()  # by the item's id
        self._by_npd_id = defaultdict[str, list[Item]](list)
        self._by_match = defaultdict[str, list[Item]](list)
        self._by_name = defaultdict[str, list[Item]](list)
        types = {mapping.column_id: str(mapping.options.get("column_type")) for mapping in self.board.mappings}
        types[self.board.link.npd_id_column] = "text"
        self._new_cells = {
            column_id: empty_reading(column_id, column_type)
            for column_id, column_type in types.items()
            if column_id.startswith(selection.NEW_COLUMN)
        }

    def read(self, progress: Callable[[int], None]) -> None:
        """List the items of a board that is there. Raises MondayError."""
        if not self.board.link.board_id:
            return
        columns = [column for column in self.board.columns if column not in self._new_cells]
        for page in connector().list_items(self.board.link.board_id, columns, self.board.types, self.unreadable):
            for item in map(self._with_new_cells, page):
                self.items[item.id] = item
                if npd_id := npd_id_of(self.board, item):
                    self._by_npd_id[npd_id].append(item)
                if key := match_key_of_item(self.board, item):
                    self._by_match[key].append(item)
                self._by_name[match_key(item.name)].append(item)
            progress(len(self.items))

    def _with_new_cells(self, item: Item) -> Item:
        return replace(item, values={**item.values, **self._new_cells}) if self._new_cells else item

    def read_claims(
        self, board: BoardContext, claims: Sequence[Claim], planned: Mapping[UUID, SyncedModel] = MappingProxyType({})
    ) -> PassFacts:
        facts = super().read_claims(board, claims, planned)
        # The records of earlier boards that these name have their items only in those boards' plans.
        for record in facts.records:
            for _, relation in self.board.relations:
                related = getattr(record.record, relation.name)
                by_pk = Reference(registry.target_of(relation), "pk", str(related and related.pk))
                if earlier := self._earlier_records(by_pk):
                    setattr(record.record, relation.name, earlier[0])
        return replace(facts, related_boards=self._related_boards)

    def gather(self, facts: PassFacts, plan: pass_plan.Plan) -> PassFacts:
        """Gather as in a pass, but raise MondayError instead of returning it in the facts."""
        facts = super().gather(facts, plan)
        if facts.error is not None:
            raise facts.error
        return facts

    def find_items(
        self,
        board: BoardContext,
        item_ids: Sequence[str],
        npd_ids: Sequence[str],
        texts: Sequence[str],
        names: Collection[str] = (),
    ) -> BatchItems:
        named = [item for npd_id in npd_ids for item in self._by_npd_id.get(npd_id, ())]
        matched = [item for key in dict.fromkeys(map(match_key, texts)) for item in self._by_match.get(key, ())]
        namesakes = [item for name in names for item in self._by_name.get(name, ())]
        # As a pass, it asks by id for what isn't listed: the item may be archived, deleted or on another board.
        stored = [key for key in item_ids if not key.startswith(NEW_ITEM_PREFIX)]
        return BatchItems(self.items_by_id(board, stored), named, matched, namesakes)

    def items_by_id(self, board: BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        listed = {key: self.items[key] for key in ids if key in self.items}
        unlisted = super().items_by_id(board, [key for key in ids if key not in listed])
        return listed | {key: self._with_new_cells(item) for key, item in unlisted.items()}

    def inspect_columns(self, board: BoardContext, *_: Any) -> tuple[BoardContext, InspectedColumns]:
        # The columns were just read, and those that will be created don't exist yet.
        return board, InspectedColumns()

    def read_about_items(self, facts: PassFacts, plan: pass_plan.Plan) -> PassFacts:
        facts = super().read_about_items(facts, plan)
        if self._is_other_board:
            ignored = {key: row for key, row in facts.identity.ignored.items() if row.erased}
            facts = replace(facts, identity=replace(facts.identity, ignored=ignored, unlinked={}))
        related: dict[Reference, Sequence[SyncedModel]] = {}
        for reference, stored in facts.related.items():
            records = {record.pk: record for record in [*stored, *self._earlier_records(reference)]}
            for pk, record in records.items():
                by_pk = Reference(reference.model, "pk", str(pk))
                records[pk] = next(iter(self._earlier_records(by_pk)), record)
                # By pk too, because relations are written by pk.
                related[by_pk] = (records[pk],)
            related[reference] = list(records.values())
        unmatched = []
        for item in facts.unmatched:
            matching = tuple(self.linked.get(record.pk, record) for record in item.matching)
            bearer = self.linked.get(item.npd_id_record.pk, item.npd_id_record) if item.npd_id_record else None
            namesakes = tuple(self.linked.get(record.pk, record) for record in item.namesakes)
            unmatched.append(replace(item, matching=matching, namesakes=namesakes, npd_id_record=bearer))
        return replace(facts, unmatched=tuple(unmatched), related=related)

    def _earlier_records(self, reference: Reference) -> Sequence[SyncedModel]:
        """Return the records of earlier boards that a reference will name."""
        value = match_key(reference.value) if reference.by == "name" else reference.value
        return self._earlier.get(reference._replace(value=value), ())


@dataclass
class BoardPlan:
    """How many records and items a set-up links, creates, asks about and leaves, with samples: a name and a reason."""

    chosen: selection.ChosenBoard
    stored: selection.Choices | None  # the board's settings when the plan was made
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[str, list[str]] = field(default_factory=dict)  # names of related records that NPD lacks, by type
    creates_held: str = ""  # why no items are created on the board
    calls: int = 0
    items_to_check: dict[str, str] = field(default_factory=dict)  # names of the items that need a pass, by id

    def add(self, row: str, name: str, reason: str = "") -> None:
        self.counts[row] += 1
        if len(self.samples[row]) < SAMPLES_PER_ROW:
            self.samples[row].append((name[:120], reason[:300]))

    def add_unreadable(self, unreadable: Mapping[str, MondayError]) -> None:
        for item_id, error in unreadable.items():
            self.add(UNREADABLE, f"Item {item_id}", error.sentence)

    @property
    def rows(self) -> dict[str, list[tuple[str, str, int, list[tuple[str, str]]]]]:
        """The rows that count anything, by the part of the plan: their code, label, number and samples."""
        return {
            part: [(str(row), rows[row], self.counts[row], self.samples[row]) for row in rows if self.counts[row]]
            for part, rows in ROWS.items()
        }

    @property
    def missing_text(self) -> str:
        """The related records that NPD lacks: their number and first names."""
        return " and ".join(
            f"{registry.count_of_type(len(names), entity_type)} that NPD doesn't have ({humanize.join_first(names)})"
            for entity_type, names in self.missing.items()
        )

    @property
    def figures(self) -> str:
        """The plan in short, for the page of its set-up and for the log."""
        texts = [f"{label}: {number:,}" for rows in self.rows.values() for _, label, number, _ in rows]
        return ", ".join(texts) or "nothing to link or create"


def plan_board(
    chosen: selection.ChosenBoard,
    earlier: Sequence[SyncedModel] = (),
    progress: Callable[[int], None] = lambda number: None,
) -> tuple[BoardPlan, list[SyncedModel]]:
    """Return the board's plan, and the records that the set-up links with an item or creates, as they will be.

    `earlier` are such records of the boards before this one. Raises MondayError.
    """
    listing = ListingGatherer(chosen, earlier)
    board = listing.board
    plan = BoardPlan(chosen, selection.stored_choices(chosen.choices.link))
    listing.read(progress)
    plan.add_unreadable(listing.unreadable)
    if (match := board.match_mapping) is not None:
        column = chosen.columns.get(match.column_id) or BoardColumn(match.column_id, match.label, "")
        plan.creates_held = board_setup.reason_to_hold(
            board.link.entity_type, chosen.choices.link, column, board.link.npd_id_column, listing.items.values()
        )
    board.link.creates_held = plan.creates_held
    all_records = board.model.objects.order_by("created_at", "pk")
    taken_items = set[str]()  # ids of the items that a record has, gets or asks about
    created = []  # records that are created, or that get a new item, with a stand-in for its id
    for record in all_records.filter(unsynced()):
        plan.add(SYNC_OFF, str(record))
        taken_items.add(record.monday_id or "")
    # The second pass compares the values of what the first one links or creates.
    ids = all_records.exclude(unsynced()).values_list("pk", flat=True)
    record_passes = preview.plan_passes(board, [Claim(key, None, []) for key in ids], listing)
    for record_plan in record_passes[0].plan.records.values():
        taken_items |= {record_plan.record.monday_id or "", record_plan.item_id}
        if record_plan.identity.question:
            taken_items |= {str(candidate["id"]) for candidate in record_plan.identity.question["candidates"]}
        if record_plan.link_to:
            listing.linked[record_plan.id] = record_plan.linked_record
        if record_plan.is_open and record_plan.creates:
            record = copy(record_plan.record)
            record.monday_id = f"{NEW_ITEM_PREFIX}{record.pk}"
            created.append(record)
    free_items = {item_id: item for item_id, item in listing.items.items() if item_id not in taken_items}
    item_passes = preview.plan_passes(board, [Claim(None, item_id, []) for item_id in free_items], listing)
    # New items with the name of an item that no record has: names alone don't link.
    free_names = {match_key(item.name) for item in free_items.values()}
    for name in map(record_name, created):
        if match_key(name) in free_names:
            plan.add(SAME_NAME, name)
    for item_plan in item_passes[0].plan.items:
        item_id = item_plan.facts.item_id
        if item_plan.act in (pass_plan.ItemAct.ASK, *pass_plan.DUPLICATES) or chosen.choices.creates_records:
            plan.items_to_check[item_id] = free_items[item_id].name[:200]
        if item_plan.act is pass_plan.ItemAct.CREATE and item_plan.record is not None:
            created.append(item_plan.record)
    _count(plan, record_passes, listing)
    _count(plan, item_passes, listing)
    plan.calls += CALLS_PER_BOARD + len(chosen.new_titles) + len(WEBHOOK_EVENTS)
    plan.calls += CALLS_PER_NEW_BOARD if chosen.board is None else 0
    return plan, [*listing.linked.values(), *created]


def _count(plan: BoardPlan, planned_passes: Sequence[preview.PlannedPass], listing: ListingGatherer) -> None:
    """Count each record and item once in each of its rows."""
    counted = set[tuple[str, object]]()
    relations = {mapping.key: registry.target_of(relation) for mapping, relation in listing.board.relations}
    missing = defaultdict[type[SyncedModel], dict[str, str]](dict)
    for planned_pass in planned_passes:
        # It stands for so many real passes, each with a call that reads and those that write. What is about second
        # items and answers happens in one of them.
        real_passes = math.ceil((len(planned_pass.plan.records) + len(planned_pass.plan.items)) / api_quota.FULL_BATCH)
        once = 0 if planned_pass.unread_reason else preview.calls_about_items(planned_pass.plan)
        calls_of_each = 1 + preview.calls_of_real_pass(replace(planned_pass, calls=0)) - once
        plan.calls += planned_pass.calls + real_passes * calls_of_each + once
        for record_plan in planned_pass.plan.records.values():
            for field_plan in record_plan.fields.values():
                awaited = field_plan.awaited
                if field_plan.blocked_reason and awaited is not None and awaited.by == "name" and awaited.is_missing:
                    missing[relations[field_plan.key]].setdefault(match_key(awaited.value), awaited.value)
        for change in preview.plan_changes(planned_pass):
            row, reason = _row_of(plan, planned_pass, change)
            key = (row, change.entity_id or change.item_id)
            if key not in counted:
                counted.add(key)
                item = listing.items.get(change.item_id) if change.entity_id is None else None
                plan.add(row, item.name if item is not None else change.name, reason)
    for model, names in missing.items():
        if records := new_named_records(model, list(names.values())):
            plan.missing[model.entity_type()] = [record_name(record) for record in records]


def _row_of(plan: BoardPlan, planned_pass: preview.PlannedPass, change: preview.PlannedChange) -> tuple[str, str]:
    """Return the row that counts a change, and the reason that a person reads."""
    record_plan = planned_pass.plan.records.get(change.entity_id) if change.entity_id else None
    row: str = change.kind
    if record_plan is not None and record_plan.identity.wait_seconds:
        row = preview.ChangeKind.ASK  # the first of several records with one key gets an item, which the others find
    elif record_plan is not None and (record_plan.left_out or record_plan.left_out_after_pass):
        row = FILTERED
    elif row == preview.ChangeKind.LEFT and plan.chosen.choices.creates_records:
        # Without new records such an item mostly stays as it is.
        items = planned_pass.plan.items
        deferred = {item.facts.item_id for item in items if item.outcome is pass_plan.Outcome.DEFERRED}
        row = WAITING if change.item_id in deferred else row
    if row in ROWS["changes"]:
        return row, change.field
    return row, f"{change.field}: {change.reason}" if change.field else change.reason


def new_named_records(model: type[SyncedModel], names: Sequence[str]) -> list[SyncedModel]:
    """Return a new, unsaved record for each valid name that no record has."""
    field_name = registry.name_field(model)
    if field_name is None:
        return []
    stored = model.objects.annotate(match=match_key_sql(field_name))
    existing = set(stored.filter(match__in=map(match_key, names)).values_list("match", flat=True))
    records = []
    for name in names:
        record = model(**{field_name: name})
        with suppress(ValidationError):
            record.clean_fields()
            record.clean()
            if match_key(name) not in existing:
                records.append(record)
    return records


# A plan that a page waits for.


@dataclass
class SetupPlan:
    """The plan of all boards of a set-up, as the cache holds it."""

    key: str
    choices: list[selection.Choices]
    state: str = "waiting"  # then "working", finally "done" or "failed"
    title: str = ""  # of the board that a worker is comparing
    items_read: int = 0  # of that board, so far
    progressed_at: datetime = field(default_factory=sync_now)  # when it was requested, then of a worker's last step
    problem: str = ""
    boards: list[BoardPlan] = field(default_factory=list)

    @property
    def is_busy(self) -> bool:
        return self.state in ("waiting", "working")

    @property
    def is_stalled(self) -> bool:
        """Whether nothing happens: no worker runs, or the plan's worker was killed."""
        limit = UNTOUCHED_AFTER if self.state == "waiting" else SILENT_AFTER
        return self.is_busy and sync_now() - self.progressed_at > limit

    @property
    def is_old(self) -> bool:
        return sync_now() - self.progressed_at > PLAN_LIFETIME

    @property
    def calls(self) -> int:
        return sum(board.calls for board in self.boards)

    @property
    def minutes(self) -> int:
        return math.ceil(self.calls * SECONDS_PER_CALL / 60)

    @property
    def share_text(self) -> str:
        return api_quota.share_text(self.calls)

    def save(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self.progressed_at = sync_now()
        cache.set(_cache_key(self.key), self, PLAN_LIFETIME.total_seconds() * 2)


def _cache_key(key: str) -> str:
    return f"sync.setup.plan.{key}"


def stored_plan(key: str) -> SetupPlan | None:
    plan: SetupPlan | None = cache.get(_cache_key(key))
    return plan


def request_plan(key: str, choices: Iterable[selection.Choices], *, again: bool = False) -> SetupPlan:
    """Return the plan of these choices; have a worker make it if it is missing, old or stalled."""
    plan = stored_plan(key)
    if plan is None or again or (plan.is_old and not plan.is_busy):
        plan = SetupPlan(key, list(choices))
        plan.save()
        send_task("sync.plan_set_up", key)
    elif plan.is_stalled:
        send_task("sync.plan_set_up", key)
    return plan


def make_plan(key: str) -> None:
    """Make a requested plan, unless another worker is making it."""
    plan = stored_plan(key)
    if plan is None or not plan.is_busy or (plan.state == "working" and not plan.is_stalled):
        return
    boards_by_type = {choices.entity_type: choices.board_id for choices in plan.choices}
    boards = []
    earlier = list[SyncedModel]()
    try:
        for choices in plan.choices:
            plan.save(state="working", title=choices.spec.board_title, items_read=0)
            chosen = selection.read_chosen_board(choices, boards_by_type)
            if problems := chosen.problem_text:
                raise ActionError(f"{choices.spec.board_title}: {problems}")
            board_plan, records = plan_board(chosen, earlier, lambda number: plan.save(items_read=number))
            boards.append(board_plan)
            earlier += records
        plan.save(state="done", boards=boards)
    except ActionError as why:
        plan.save(state="failed", problem=str(why))
    except MondayError as error:
        plan.save(state="failed", problem=humanize.without_request_id(error.sentence))
    except Exception:
        log.exception("a set-up could not be planned")
        plan.save(state="failed", problem="NPD Sync itself failed. Please report it with the worker's log.")
        raise
