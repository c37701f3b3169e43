"""The plan of a set-up: a dry run over every record and item of the chosen boards, as the set-up would leave them.

A worker makes it and caches it by its choices. It is too old after 30 minutes. The board as it will be afterwards is a
link and mappings that are never stored; a column that will be created has a stand-in id and is empty in every item.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.core.cache import cache
from django.core.exceptions import ValidationError

from sync import registry
from sync.boards import board_columns
from sync.choices import RemovedItemPolicy
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import ActionError
from sync.limits import api_quota
from sync.models import BoardLink, FieldMapping, SyncedModel
from sync.models.synced_model import unsynced
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.board_items import NAME_COLUMN, BatchItems, BoardColumn, Item
from sync.monday.columns import empty_reading
from sync.monday.errors import MondayError
from sync.monday.items import ITEMS_PER_READ
from sync.monday.texts import match_key
from sync.operations.listing import item_pages
from sync.operations.preview import ChangeKind, PlannedChange, PlannedRun, item_claim, plan_changes, plan_pass, run_cost
from sync.operations.setup import board_setup, selection
from sync.outbox.claim import Claim
from sync.outbox.notify import send_task
from sync.reconcile import field_values, pass_plan
from sync.reconcile.facts import PassFacts
from sync.reconcile.gather import Gatherer
from sync.reconcile.lookups import load_settings, match_key_sql

log = structlog.get_logger(__name__)

# A set-up can't be started from an older plan, because people work on both sides meanwhile.
PLAN_LIFETIME = timedelta(minutes=30)

PLAN_DONE = "done"

# After this long without progress, a plan is requested again and pages call it or the set-up stalled.
STALLED_AFTER = timedelta(seconds=20)

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
WAITING = "waiting"

# The rows of a plan's parts in their order, each for one and for several records or items.
DONE_ROWS = {
    ChangeKind.CREATE: ("item is created on Monday", "items are created on Monday"),
    ChangeKind.LINK: ("record is linked with its item", "records are linked with their items"),
    ChangeKind.PUSH: ("item is updated on Monday", "items are updated on Monday"),
    ChangeKind.PULL: ("record is updated in NPD", "records are updated in NPD"),
    ChangeKind.NEW_RECORD: ("record is created from an item", "records are created from items"),
    ChangeKind.UNLINK: ("record is unlinked", "records are unlinked"),
    ChangeKind.DELETE_RECORD: ("record is deleted in NPD", "records are deleted in NPD"),
}
ASKED_ROWS = {
    ChangeKind.CONFLICT: ("record has a conflict to resolve", "records have conflicts to resolve"),
    ChangeKind.ASK: ("record or item needs your choice", "records or items need your choice"),
    ChangeKind.BLOCKED: ("record syncs without its blocked fields", "records sync without their blocked fields"),
    ChangeKind.FAILED: ("record can't be synced", "records can't be synced"),
    SAME_NAME: (
        "record gets a new item, although an unmatched item has its name",
        "records get new items, although unmatched items have their names",
    ),
}
WAITING_ROWS = {WAITING: ("item is checked again later", "items are checked again later")}
LEFT_ROWS = {
    FILTERED: ("record is left out by the filter", "records are left out by the filter"),
    SYNC_OFF: ("record's sync is off", "records' sync is off"),
    ChangeKind.LEFT: ("record or item stays as it is", "records or items stay as they are"),
}
ROWS: dict[str, dict[Any, tuple[str, str]]] = {
    "done": DONE_ROWS,
    "asked": ASKED_ROWS,
    "waiting": WAITING_ROWS,
    "left": LEFT_ROWS,
}
ATTENTION = {ChangeKind.CONFLICT, ChangeKind.ASK, ChangeKind.BLOCKED, ChangeKind.FAILED}


# Precedes a record's id to stand for the item that is created for it.
NEW_ITEM = "+"
# Stands for the column of the NPD ID until the set-up has created it.
NEW_NPD_ID_COLUMN = "+npd_id"


def planned_board(chosen: selection.ChosenBoard) -> field_values.BoardContext:
    """Return the board with the chosen columns, directions and rules."""
    choices = chosen.choices
    spec = choices.spec
    present = registry.link_of(choices.entity_type)
    if present is not None:
        link = copy(present)
    else:
        ask = RemovedItemPolicy.ASK
        link = BoardLink(entity_type=choices.entity_type, match_key=spec.match_key, removed_item_policy=ask)
    link.board_id = choices.board_id
    link.npd_id_column = chosen.npd_id_column or NEW_NPD_ID_COLUMN
    link.creates_records = choices.creates_records
    link.sync_filter = dict(choices.sync_filter)
    link.npd_id_problem = link.creates_held = ""
    stored_link = choices.link
    stored_mappings = {}
    if stored_link is not None:
        stored_mappings = {mapping.key: mapping for mapping in stored_link.mappings.all()}
    else:
        link.group_id = ""
        link.shape = {}
    if link.group_id not in chosen.groups:
        link.group_id = (chosen.board.group_id if chosen.board is not None else "") or ""
    mappings = []
    for position, mappable in enumerate(chosen.fields):
        choice = choices.choice_of(mappable)
        if not choice.is_synced:
            continue
        column = chosen.columns.get(choice.column)
        column_id = choice.column
        if column_id == selection.NEW_COLUMN:
            column_id = f"{selection.NEW_COLUMN}{mappable.key}"
        kind = column.type if column is not None else mappable.new_column_type
        options = {"column_type": kind, "settings": dict(column.settings) if column is not None else {}}
        if mappable.is_name:
            kind = board_columns.NAME_TYPE
            column_id = NAME_COLUMN
            options = {}
        converter = mappable.types.get(kind) or next(iter(mappable.types.values()))
        mapping = FieldMapping(
            link=link,
            position=position,
            key=mappable.key,
            label=mappable.label,
            fields=list(mappable.fields),
            column_id=column_id,
            converter=converter,
            direction=choice.direction,
            rule=choice.rule,
            first_match=choices.first_match,
            required=mappable.required,
            version=1,
            options=options,
            **board_columns.NO_PROBLEM,
        )
        stored = stored_mappings.get(mappable.key)
        if stored is not None:
            mapping.version = stored.version + ((stored.column_id, stored.converter) != (column_id, converter))
        mappings.append(mapping)
    return field_values.BoardContext(link, mappings, spec.model, load_settings())


def fill_new_columns(board: field_values.BoardContext, item: Item) -> Item:
    types = {
        mapping.column_id: str(mapping.options["column_type"])
        for mapping in board.mappings
        if mapping.column_id.startswith(selection.NEW_COLUMN)
    }
    if board.link.npd_id_column == NEW_NPD_ID_COLUMN:
        types[NEW_NPD_ID_COLUMN] = "text"
    cells = {column: empty_reading(column, kind) for column, kind in types.items()}
    return replace(item, values={**item.values, **cells}) if cells else item


class ListedBoard(Gatherer):
    """A Gatherer that reads the board's listing instead of calling Monday, and NPD as it will be after the set-up.

    Items that aren't listed are read by their ids.
    """

    def __init__(
        self, board: field_values.BoardContext, planned_types: Collection[str], records_of_others: Iterable[SyncedModel]
    ) -> None:
        super().__init__()
        self.board = board
        targets = [registry.target_of(relation).entity_type() for _, relation in board.relations]
        # Related types whose boards are set up together with this one, so that their records get items, too.
        self.related_boards = frozenset(targets) & set(planned_types)
        # Related records of other types as the set-up will leave them: by pk, by item id and by name.
        self.records_of_others = dict[UUID, SyncedModel]()
        self._others_by_item = dict[str | None, SyncedModel]()
        self._others_by_name = defaultdict[str, list[SyncedModel]](list)
        for record in records_of_others:
            if record.entity_type() in targets:
                self.records_of_others[record.pk] = record
                self._others_by_item[record.monday_id] = record
                self._others_by_name[match_key(field_values.record_name(record))].append(record)
        # Records that the passes so far would link, each with its item, by pk.
        self.linked = dict[UUID, SyncedModel]()
        # Records that the passes so far would create from items, by match key.
        self.new_records = defaultdict[str, list[SyncedModel]](list)
        # The listed items: by item id, by NPD ID and by match key.
        self.items = dict[str, Item]()
        self._by_npd_id = defaultdict[str, list[Item]](list)
        self._by_match = defaultdict[str, list[Item]](list)

    def add(self, item: Item) -> None:
        """Index an item by its id, its NPD ID and its match key."""
        if item.id in self.items:
            return
        self.items[item.id] = item
        if npd_id := field_values.npd_id_of(self.board, item):
            self._by_npd_id[npd_id].append(item)
        if key := field_values.match_text_of_item(self.board, item):
            self._by_match[key].append(item)

    def gather(self, facts: PassFacts) -> tuple[PassFacts, pass_plan.Plan]:
        """Gather as in a pass, but raise MondayError instead of returning it in the facts."""
        for record in facts.records:
            for _, relation in self.board.relations:
                related = getattr(record.record, relation.name)
                if related is not None and related.pk in self.records_of_others:
                    setattr(record.record, relation.name, self.records_of_others[related.pk])
        facts, plan = super().gather(replace(facts, related_boards=self.related_boards))
        if facts.error is not None:
            raise facts.error
        return facts, plan

    def board_items(
        self, board: field_values.BoardContext, linked: Sequence[str], npd_ids: Sequence[str], texts: Sequence[str]
    ) -> BatchItems:
        named = [item for npd_id in npd_ids for item in self._by_npd_id.get(npd_id, ())]
        matched = [item for key in dict.fromkeys(map(match_key, texts)) for item in self._by_match.get(key, ())]
        # As a pass, it asks by id for what isn't listed: the item may be archived, deleted or on another board.
        stored = [key for key in linked if not key.startswith(NEW_ITEM)]
        return BatchItems(self.items_by_id(board, stored), named, matched)

    def items_by_id(self, board: field_values.BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        listed = {key: self.items[key] for key in ids if key in self.items}
        unlisted = super().items_by_id(board, [key for key in ids if key not in listed])
        return listed | {key: fill_new_columns(board, item) for key, item in unlisted.items()}

    def inspect(
        self, board: field_values.BoardContext, *_: Any
    ) -> tuple[field_values.BoardContext, board_columns.InspectedColumns]:
        # The columns were just read, and those that will be created don't exist yet.
        return board, board_columns.InspectedColumns()

    def read_references(self, facts: PassFacts, plan: pass_plan.Plan) -> PassFacts:
        facts = super().read_references(facts, plan)
        owner_of_item = {str(record.monday_id): key for key, record in self.linked.items()}
        related: dict[field_values.Reference, Sequence[SyncedModel]] = {}
        for reference, stored in facts.related.items():
            hits = [self.records_of_others.get(record.pk, record) for record in stored]
            if reference.by == "monday_id" and reference.value in self._others_by_item:
                hits = [self._others_by_item[reference.value]]
            elif reference.by == "name":
                stored_ids = {record.pk for record in stored}
                named = self._others_by_name.get(match_key(reference.value), ())
                others = [record for record in named if record.pk not in stored_ids]
                hits += [record for record in others if isinstance(record, reference.model)]
            related[reference] = hits
        # By pk too, because relations are written by pk.
        for reference, records in list(related.items()):
            related |= {field_values.Reference(reference.model, "pk", str(record.pk)): (record,) for record in records}
        unmatched = []
        for item in facts.unmatched:
            matching = [self.linked.get(record.pk, record) for record in item.matching]
            if item.item is not None and (key := field_values.match_text_of_item(self.board, item.item)):
                matching += self.new_records.get(key, ())
            bearer = self.linked.get(item.npd_id_record.pk, item.npd_id_record) if item.npd_id_record else None
            unmatched.append(replace(item, matching=tuple(matching), npd_id_record=bearer))
        return replace(
            facts,
            identity=replace(facts.identity, owners=owner_of_item | dict(facts.identity.owners)),
            unmatched=tuple(unmatched),
            related=related,
        )


@dataclass
class BoardPlan:
    """How many records and items a set-up links, creates, asks about and leaves, with samples: a name and a reason."""

    chosen: selection.ChosenBoard
    settings: dict[str, Any]  # the board's when the plan was made
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    attention: set[UUID] = field(default_factory=set)  # records that need a person afterwards
    missing: dict[str, list[str]] = field(default_factory=dict)  # names of related records that NPD lacks, by type
    hold: str = ""  # why no items are created on the board
    calls: int = 0
    items_to_check: dict[str, str] = field(default_factory=dict)  # names of the items that need a pass, by id

    @property
    def entity_type(self) -> str:
        return self.chosen.choices.entity_type

    def add(self, row: str, name: str, reason: str = "") -> None:
        self.counts[row] += 1
        if len(self.samples[row]) < SAMPLES_PER_ROW:
            self.samples[row].append((name[:120], reason[:300]))

    @property
    def rows(self) -> dict[str, list[tuple[str, str, list[tuple[str, str]]]]]:
        """The rows that count anything, by the part of the plan: their code, sentence and samples."""
        return {
            part: [
                (str(row), humanize.count_with_noun(self.counts[row], *nouns), self.samples[row])
                for row, nouns in rows.items()
                if self.counts[row]
            ]
            for part, rows in ROWS.items()
        }

    @property
    def missing_words(self) -> list[str]:
        return [registry.count_of_type(len(names), entity_type) for entity_type, names in self.missing.items()]

    @property
    def missing_examples(self) -> list[str]:
        return [name for names in self.missing.values() for name in names[:SAMPLES_PER_ROW]]

    @property
    def figures(self) -> str:
        """The plan in short, for the page of its set-up and for the log."""
        words: dict[str, tuple[str, ...]] = {
            "linked": (ChangeKind.LINK,),
            "created": (ChangeKind.CREATE, ChangeKind.NEW_RECORD),
            "to resolve": (ChangeKind.CONFLICT, ChangeKind.ASK),
            "waiting": tuple(WAITING_ROWS),
            "left out": tuple(LEFT_ROWS),
        }
        numbers = {word: sum(self.counts[row] for row in rows) for word, rows in words.items()}
        texts = [f"{number:,} {word}" for word, number in numbers.items() if number]
        return ", ".join(texts) or "nothing to link or create"


class Planner:
    """Plans passes over every record and item of one board."""

    def __init__(
        self,
        chosen: selection.ChosenBoard,
        records_of_others: Sequence[SyncedModel],
        progress: Callable[[int, int], None],
    ) -> None:
        """`records_of_others` are the records of boards that are set up before this one, as they will be then."""
        self.chosen = chosen
        self.board = planned_board(chosen)
        self.progress = progress
        self.listed = ListedBoard(self.board, chosen.boards_by_type, records_of_others)
        self.result = BoardPlan(chosen, selection.board_settings(chosen.choices.link))
        self.missing_names = defaultdict[type[SyncedModel], dict[str, str]](dict)
        self.taken_items = set[str]()  # ids of the items that a record has, gets or asks about
        # Records for which an item is created. Of several with the same key only the first gets one, which others find.
        self.created = list[SyncedModel]()
        self.first_of_key = dict[str, SyncedModel]()  # by match key
        self.twins = dict[UUID, SyncedModel]()  # the first one, by the ids of the others

    @property
    def records_after_setup(self) -> list[SyncedModel]:
        """The records that this set-up links with an item or creates."""
        new_records = [record for records in self.listed.new_records.values() for record in records]
        return [*self.listed.linked.values(), *self.created, *new_records]

    def plan(self) -> BoardPlan:
        """Return the board's plan. Raises MondayError."""
        if self.chosen.board is not None:
            columns = [column for column in self.board.columns if not column.startswith(selection.NEW_COLUMN)]
            for page in item_pages(self.board.link, columns, self.board.types):
                for item in page:
                    self.listed.add(fill_new_columns(self.board, item))
                self.progress(0, len(self.listed.items))
            self._hold_creates()
        records = self.board.model._default_manager.order_by("created_at", "pk")
        off = records.filter(unsynced())
        for record in off:
            self.result.add(SYNC_OFF, str(record))
            self.taken_items.add(record.monday_id or "")
        ids = records.exclude(unsynced()).values_list("pk", flat=True)
        self._plan_in_chunks([Claim(key, None, []) for key in ids])
        items = [item_id for item_id in self.listed.items if item_id not in self.taken_items]
        self._plan_in_chunks([item_claim(self.board.link.entity_type, item_id) for item_id in items])
        # New items with the name of an item that no record has: names alone don't link.
        unmatched_names = {match_key(self.listed.items[item_id].name) for item_id in items}
        for name in map(field_values.record_name, self.created):
            if match_key(name) in unmatched_names:
                self.result.add(SAME_NAME, name)
        self.result.calls += CALLS_PER_BOARD + len(self.chosen.new_titles) + len(WEBHOOK_EVENTS)
        if self.chosen.board is None:
            self.result.calls += CALLS_PER_NEW_BOARD
        for model, names in self.missing_names.items():
            if missing := named_records(model, list(names.values())):
                self.result.missing[model.entity_type()] = [field_values.record_name(record) for record in missing]
        return self.result

    def _hold_creates(self) -> None:
        """Hold creates if no item can be recognized, as the set-up itself will."""
        match = self.board.match_mapping
        link = self.chosen.choices.link
        if match is None or match.column_id == NAME_COLUMN:
            return
        if link is not None and board_setup.is_matched_by(link, match.column_id):
            return
        column = self.chosen.columns.get(match.column_id) or BoardColumn(match.column_id, match.label, "")
        pages = [self.listed.items.values()]
        self.result.hold = board_setup.reason_to_hold(column, self.board.link.npd_id_column, pages)
        self.board.link.creates_held = self.result.hold

    def _plan_in_chunks(self, claims: Sequence[Claim]) -> None:
        for start in range(0, len(claims), ITEMS_PER_READ):
            # The second run compares the values of what the first one links or creates.
            runs = plan_pass(self.board, claims[start : start + ITEMS_PER_READ], self.listed)
            for record_plan in runs[0].plan.records.values():
                # What later passes would see of this record's pass.
                record = record_plan.record
                candidates = record_plan.identity.question["candidates"] if record_plan.identity.question else []
                shown_items = {str(candidate["id"]) for candidate in candidates}
                self.taken_items |= {str(record.monday_id), record_plan.item_id, *shown_items}
                if record_plan.link_to:
                    self.listed.linked[record_plan.id] = record_plan.linked_record
                if not (record_plan.is_open and record_plan.creates):
                    continue
                key = field_values.match_text_of_record(self.board, record)
                first = self.first_of_key.setdefault(key, record) if key else record
                if first.pk != record.pk:
                    self.twins[record.pk] = first
                    continue
                created = copy(record)
                created.monday_id = f"{NEW_ITEM}{record.pk}"
                self.created.append(created)
            for item_plan in runs[0].plan.items:
                item = item_plan.facts.item
                assert item is not None
                if item_plan.act is pass_plan.ItemAct.ASK or self.chosen.choices.creates_records:
                    self.result.items_to_check[item.id] = item.name[:200]
                if item_plan.act is pass_plan.ItemAct.CREATE and item_plan.record is not None:
                    key = field_values.match_text_of_item(self.board, item) or ""
                    self.listed.new_records[key].append(item_plan.record)
            self._count(runs)
            self.progress(min(start + ITEMS_PER_READ, len(claims)), len(claims))

    def _count(self, runs: Sequence[PlannedRun]) -> None:
        """Count each record and item once in each of its rows."""
        counted = set[tuple[str, object]]()
        relations = {mapping.key: registry.target_of(relation) for mapping, relation in self.board.relations}
        for run in runs:
            self.result.calls += 1 + run_cost(run)
            # The names of related records that NPD lacks.
            for field_plan in [field_plan for plan in run.plan.records.values() for field_plan in plan.plans.values()]:
                awaits = field_plan.awaits
                if field_plan.blocked_reason and awaits is not None and awaits.by == "name" and awaits.is_missing:
                    missing_names = self.missing_names[relations[field_plan.key]]
                    missing_names.setdefault(match_key(awaits.value), awaits.value)
            for change in plan_changes(run):
                row, reason = self._row_of(run, change)
                name = change.name
                if change.entity_id is None:
                    item = self.listed.items.get(change.item_id)
                    name = item.name if item is not None else name
                elif row in ATTENTION:
                    self.result.attention.add(change.entity_id)
                key = (row, change.entity_id or change.item_id)
                if key not in counted:
                    counted.add(key)
                    self.result.add(row, name, reason)

    def _row_of(self, run: PlannedRun, change: PlannedChange) -> tuple[str, str]:
        """Return the row that counts a change, and the reason that a person reads."""
        plan = run.plan.records.get(change.entity_id) if change.entity_id else None
        if plan is not None and plan.id in self.twins:
            return ChangeKind.ASK, f"“{self.twins[plan.id]}” looks the same, and gets an item first."
        if plan is not None and plan.identity.wait_seconds:
            return ChangeKind.ASK, change.reason  # so does a record of this chunk
        row = FILTERED if plan is not None and (plan.left_out or plan.left_out_after_pass) else change.kind
        waits = {item.facts.item_id for item in run.plan.items if item.outcome is pass_plan.Outcome.DEFERRED}
        # Without new records such an item mostly stays as it is.
        if row == ChangeKind.LEFT and change.item_id in waits and self.chosen.choices.creates_records:
            row = WAITING
        if row in DONE_ROWS:
            return row, change.field
        return row, f"{change.field}: {change.reason}" if change.field else change.reason


@dataclass
class SetupPlan:
    """The plan of all boards of a set-up, as the cache holds it."""

    key: str
    choices: list[selection.Choices]
    state: str = "waiting"  # then "working", finally "done" or "failed"
    done: int = 0
    total: int = 0
    title: str = ""
    progressed_at: datetime = field(default_factory=sync_now)  # when it was requested, then of a worker's last step
    problem: str = ""
    boards: list[BoardPlan] = field(default_factory=list)

    @property
    def is_busy(self) -> bool:
        return self.state in ("waiting", "working")

    @property
    def is_stalled(self) -> bool:
        """Whether nothing happens: no worker runs, or the plan's worker was killed."""
        return self.is_busy and sync_now() - self.progressed_at > STALLED_AFTER

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
    def share_of_day(self) -> float | None:
        """Return the calls as a share of the day's quota; None if the quota is unknown."""
        return api_quota.share_of_day(self.calls)

    def save(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self.progressed_at = sync_now()
        cache.set(_cache_key(self.key), self, PLAN_LIFETIME.total_seconds() * 2)


def named_records(model: type[SyncedModel], names: Sequence[str]) -> list[SyncedModel]:
    """Return a new, unsaved record for each valid name that no record has."""
    field_name = registry.name_field(model)
    if field_name is None:
        return []
    stored = model._default_manager.annotate(match=match_key_sql(field_name))
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
    plan.save(state="working")
    boards = []
    records_of_others = list[SyncedModel]()
    try:
        for choices in plan.choices:
            plan.save(title=choices.spec.board_title, done=0, total=0)
            chosen = selection.read_board(choices, boards_by_type)
            if problems := chosen.problem_text:
                raise ActionError(f"{choices.spec.board_title}: {problems}")
            planner = Planner(chosen, records_of_others, lambda done, total: plan.save(done=done, total=total))
            boards.append(planner.plan())
            records_of_others += planner.records_after_setup
        plan.save(state=PLAN_DONE, boards=boards)
    except ActionError as why:
        plan.save(state="failed", problem=str(why))
    except MondayError as error:
        plan.save(state="failed", problem=humanize.without_request_id(error.sentence))
    except Exception:
        log.exception("a set-up could not be planned")
        plan.save(state="failed", problem="NPD Sync itself failed. Please report it with the worker's log.")
        raise
