"""The plan of one board's set-up: a dry run over its records and items, as the set-up would leave them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError

from sync import registry
from sync.boards.board_columns import InspectedColumns
from sync.choices import BlockedCode, Cause, TombstoneState
from sync.fields import field_values, lookups
from sync.fields.field_values import BoardContext, match_key_of_record, record_name, with_item
from sync.kernel import humanize
from sync.kernel.acts import CREATE_RECORD, LINK
from sync.kernel.db import match_key_sql
from sync.models import BoardLink, SyncedModel, SyncMetadata, SyncQueue, Tombstone, UnmatchedItem
from sync.models.synced_model import unsynced
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.board_items import RELATION, BoardColumn, Item
from sync.monday.columns import empty_reading
from sync.monday.text_forms import match_key
from sync.operations import dry_run
from sync.operations.planned_changes import BoardPlan, ChangeKind, PlannedChange
from sync.operations.setup import ended_questions, future_board, selection
from sync.operations.setup.namesakes import Namesake, find_namesakes
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.facts import ItemFacts, PassFacts, RecordFacts, RecordHistory
from sync.records.item_links import AS_NEW_KEY, NEW_ITEM_KEY
from sync.records.tombstones import OPEN_TOMBSTONE_STATES
from sync.words.message import Message

# The calls of a set-up beside its passes, its new columns and its webhooks.
CALLS_PER_BOARD = 3
CALLS_PER_NEW_BOARD = 2

NAMESAKES_SHOWN = 100


@dataclass
class SetupBoardPlan(BoardPlan):
    """What a set-up does with a board's records and items."""

    chosen: selection.ChosenBoard = field(kw_only=True)
    namesakes: list[Namesake] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)  # names of related records that NPD lacks, by type
    creates_held: str = ""  # why no items are created on the board
    items_to_check: dict[str, str] = field(default_factory=dict)  # names of the items that need a pass, by id
    # What existed when a board was chosen and gets nothing new: records, and items with their names.
    unplanned_records: list[str] = field(default_factory=list)
    unplanned_items: dict[str, str] = field(default_factory=dict)
    # What a person chose for namesakes: the item of a record, records and items that get something new.
    links: dict[str, str] = field(default_factory=dict)
    new_items: list[str] = field(default_factory=list)
    new_records: list[str] = field(default_factory=list)
    left_board: str = ""  # the name and id of the board that is left, and how many records have an item there
    left_links: int = 0
    # Fields of other types whose columns lead to the board that is left, not to the chosen one: (field, board's title).
    cut_relations: list[tuple[str, str]] = field(default_factory=list)

    @property
    def match_label(self) -> str:
        """The label of the field by which records and items are matched."""
        spec = self.chosen.spec
        return next(mapping.label for mapping in spec.mappings if mapping.key == spec.match_key)

    @property
    def shown_namesakes(self) -> Sequence[Namesake]:
        return self.namesakes[:NAMESAKES_SHOWN]

    @property
    def may_link_namesakes(self) -> bool:
        return any(not namesake.linked for namesake in self.namesakes)

    @property
    def missing_text(self) -> str:
        """The related records that NPD lacks: their number and first names."""
        return " and ".join(
            f"{registry.count_of_type(len(names), entity_type)} that NPD doesn't have ({humanize.join_first(names)})"
            for entity_type, names in self.missing.items()
        )


def plan_board(
    chosen: selection.ChosenBoard,
    earlier: Sequence[SyncedModel] = (),
    progress: Callable[[int], None] = lambda number: None,
) -> tuple[SetupBoardPlan, list[SyncedModel]]:
    """Return the board's plan, and its records as the set-up leaves them, those that it creates included.

    `earlier` are such records of the boards before this one. Raises MondayError.
    """
    listing = SetupListing(chosen, earlier)
    board = listing.board
    spec = chosen.spec
    plan = SetupBoardPlan(spec.entity_type, spec.board_title, chosen=chosen)
    if listing.left_board:
        name = chosen.stored_link.shape.get("name") if chosen.stored_link else ""
        plan.left_board = f"“{name}” ({listing.left_board})" if name else listing.left_board
        plan.left_links = lookups.linked_records(spec.entity_type).count()
        plan.cut_relations = _cut_relations(chosen)
    listing.read(progress)
    listing.hold_creates(listing.items.values())
    planned_passes = _plan_passes(plan, listing)
    plan.creates_held = board.link.creates_held
    off = spec.model.objects.filter(unsynced()).order_by("created_at", "pk")
    plan.add(*(PlannedChange(ChangeKind.SYNC_OFF, spec.entity_type, str(record), record.pk) for record in off))
    plan.add(*listing.unreadable_changes())
    following = [planned_pass.following for planned_pass in planned_passes if planned_pass.following]
    record_plans = [*dry_run.record_plans(planned_passes).values(), *dry_run.record_plans(following).values()]
    item_plans = dry_run.item_plans(planned_passes)
    tried_again = list(_tried_again(spec.entity_type, record_plans))
    sent_again = {(change.entity_id, change.field) for change in tried_again}
    plan.add(*tried_again)
    for planned_pass in planned_passes:
        for change in planned_pass.changes:
            if change.kind is not ChangeKind.PUSH or (change.entity_id, change.field) not in sent_again:
                plan.add(change)
        plan.calls += dry_run.cost_of(planned_pass, len(planned_pass.plan.records) + len(planned_pass.plan.items))
    if listing.left_board:
        plan.add(*ended_questions.of_left_board(spec.entity_type))
    else:
        remapped = future_board.remapped_keys(board.link, board.mappings)
        listed = None if listing.problem else {*listing.items, *listing.unreadable}
        plan.add(*ended_questions.of_records(record_plans, remapped))
        plan.add(*ended_questions.of_items(board, item_plans, listed))
    _note_work(plan, listing, planned_passes)
    plan.missing = _missing_names(board, record_plans)
    plan.calls += CALLS_PER_BOARD + len(chosen.new_titles) + len(WEBHOOK_EVENTS)
    plan.calls += CALLS_PER_NEW_BOARD if chosen.board is None else 0
    records = [listing.as_planned(each.record) for each in dry_run.record_plans(planned_passes).values()]
    made = [item_plan.record for item_plan in item_plans if item_plan.act == CREATE_RECORD and item_plan.record]
    return plan, [*records, *made]


def _cut_relations(chosen: selection.ChosenBoard) -> list[tuple[str, str]]:
    """Return the fields, with their boards, that can't name this type's items on the chosen board.

    Boards that are set up together with this one have plans of their own.
    """
    cut = []
    for link in BoardLink.objects.exclude(board_id="").exclude(entity_type__in=chosen.boards_by_type):
        for mapping, relation in lookups.load_board(link).relations:
            column = BoardColumn(
                mapping.column_id, mapping.label, mapping.options["column_type"], mapping.options["settings"]
            )
            is_to_this_type = registry.target_of(relation) is chosen.spec.model
            if is_to_this_type and column.type == RELATION and chosen.choices.board_id not in column.target_boards:
                cut.append((mapping.label, registry.board_title(link.entity_type)))
    return cut


def _plan_passes(plan: SetupBoardPlan, listing: SetupListing) -> list[dry_run.PlannedPass]:
    """Plan the passes. Where a new item or record would have a namesake, plan again by what a person chose for them."""
    model = listing.board.model
    off = set(model.objects.filter(unsynced()).values_list("monday_id", flat=True))
    synced = model.objects.exclude(unsynced()).exclude(monday_id__in=listing.unreadable)
    ids = list(synced.order_by("created_at", "pk").values_list("pk", flat=True))
    item_ids = [item_id for item_id in listing.items if item_id not in off]
    records = [Claim(record_id, None, []) for record_id in ids]
    items = [Claim(None, item_id, []) for item_id in item_ids]
    planned_passes = dry_run.plan_board(listing, records, items)
    plan.namesakes = find_namesakes(
        listing, planned_passes, plan.chosen.choices.namesakes, is_other_board=listing.is_other_board
    )
    deciding = [pair for pair in plan.namesakes if not (pair.is_made and pair.choice == selection.APART)]
    if not deciding:
        return planned_passes
    _take_choices(plan, listing, deciding, dry_run.record_plans(planned_passes))
    wants_item = [SyncQueue(causes=int(Cause.PERSON), payload={NEW_ITEM_KEY: True})]
    wants_record = [SyncQueue(causes=int(Cause.PERSON), payload={AS_NEW_KEY: True})]
    records = [Claim(record_id, None, wants_item if str(record_id) in plan.new_items else []) for record_id in ids]
    # Of an item that is linked, or becomes a record, it is known whose it is.
    linked_items = set(plan.links.values())
    known = linked_items.union(plan.new_records)
    listing.hold_creates([item for key, item in listing.items.items() if key not in known])
    free_ids = [item_id for item_id in item_ids if item_id not in linked_items]
    items = [Claim(None, item_id, wants_record if item_id in plan.new_records else []) for item_id in free_ids]
    return dry_run.plan_board(listing, records, items)


def _take_choices(
    plan: SetupBoardPlan,
    listing: SetupListing,
    deciding: Sequence[Namesake],
    record_plans: Mapping[UUID, pass_plan.RecordPlan],
) -> None:
    """Note what a person chose for these namesakes, for the set-up and for the passes that are planned again."""
    listing.linked = {}
    listing.written = {}
    for namesake in deciding:  # each record and each item once
        if namesake.choice == selection.LINK and namesake.item_id not in plan.links.values():
            plan.links.setdefault(namesake.record_id, namesake.item_id)
    for record in listing.board.model.objects.filter(pk__in=plan.links):
        item_id = plan.links[str(record.pk)]
        listing.linked[record.pk] = with_item(record, item_id)
        reason = Message("as_you_chose")
        plan.add(PlannedChange(ChangeKind.LINK, plan.entity_type, str(record), record.pk, item_id, reason=reason))
    linked_items = set(plan.links.values())
    open_pairs = [
        namesake
        for namesake in deciding
        if namesake.record_id not in plan.links and namesake.item_id not in linked_items
    ]
    left = [namesake for namesake in open_pairs if namesake.choice != selection.APART]
    # A linked record sends its match key to its item, which other records with that key would then find: asked, too.
    keys = {key: match_key_of_record(listing.board, entry.record) for key, entry in record_plans.items()}
    sent_keys = {keys[key] for key in listing.linked} - {""}
    same_key = {key for key, value in keys.items() if value in sent_keys and key not in listing.linked}
    left_records = {UUID(namesake.record_id) for namesake in left if namesake.linked != "record"}
    listing.undecided_records = frozenset(left_records | same_key)
    listing.undecided_items = frozenset(namesake.item_id for namesake in left if namesake.linked != "item")
    apart = [namesake for namesake in open_pairs if namesake.choice == selection.APART]
    seeking = {pair.record_id for pair in apart if pair.linked != "record"}
    plan.new_items = sorted(seeking - {str(key) for key in listing.undecided_records})
    if plan.chosen.choices.creates_records:
        doubtful = {pair.item_id for pair in apart if pair.linked or not pair.item_key}
        plan.new_records = sorted(doubtful - listing.undecided_items)


def _note_work(plan: SetupBoardPlan, listing: SetupListing, planned_passes: Sequence[dry_run.PlannedPass]) -> None:
    """Note the items that the set-up has to check, and the records and items for which it makes nothing new."""
    record_plans = dry_run.record_plans(planned_passes)
    item_plans = dry_run.item_plans(planned_passes)
    names = {key: item.name[:200] for key, item in listing.items.items()}
    if listing.is_other_board:
        unplanned = plan.ids(ChangeKind.LINK) | plan.ids(ChangeKind.ASK)
        # The set-up's own listing may be complete, and nothing new is held then.
        unplanned |= plan.ids(ChangeKind.HELD) if listing.problem else set()
        plan.unplanned_records = sorted(unplanned & {str(key) for key in record_plans})
        owned = {record_plan.record.monday_id for record_plan in record_plans.values()} - set(plan.links.values())
        left_out = {item_plan.facts.item_id for item_plan in item_plans if item_plan.is_left_out}
        skipped = {*owned, *left_out, *plan.ids(ChangeKind.NEW_RECORD)}
        listed = names | dict.fromkeys(listing.unreadable, "")
        plan.unplanned_items = {key: name for key, name in listed.items() if key not in skipped}
    else:
        plan.unplanned_records = sorted(map(str, listing.undecided_records))
        plan.unplanned_items = {key: names[key] for key in sorted(listing.undecided_items)}
        # Edits of which nothing has told NPD Sync yet.
        changed = {change.entity_id for change in plan.changes}
        differing = [entry.item for key, entry in record_plans.items() if entry.item is not None and key in changed]
        plan.items_to_check = {item.id: item.name[:200] for item in differing}
    for item_plan in item_plans:
        # Records that sync find their items themselves; one whose sync is off gets its item by the item's pass.
        needs_pass = item_plan.candidates or item_plan.is_duplicate or item_plan.act == LINK or item_plan.tombstone
        if needs_pass or plan.chosen.choices.creates_records:
            plan.items_to_check[item_plan.facts.item_id] = names[item_plan.facts.item_id]


def _tried_again(entity_type: str, record_plans: Iterable[pass_plan.RecordPlan]) -> Iterator[PlannedChange]:
    """Yield the values that Monday rejected and that are sent again: nobody knows whether it takes them now."""
    blocked = SyncMetadata.objects.of(entity_type).exclude(blocked_fields={})
    keys = {
        (UUID(entity_id), key)
        for entity_id, fields in blocked.values_list("entity_id", "blocked_fields")
        for key, entry in fields.items()
        if entry.get("code") in (BlockedCode.REJECTED, BlockedCode.LIMIT)
    }
    for record_plan in record_plans:
        name = str(record_plan.record)
        for field_plan in record_plan.fields.values():
            if (record_plan.id, field_plan.key) in keys and field_plan.send_raw is not None:
                sent = {"field": field_plan.mapping.label, "after": field_plan.display_local(field_plan.send_raw)}
                yield PlannedChange(ChangeKind.TRIED_AGAIN, entity_type, name, record_plan.id, **sent)


def _missing_names(board: BoardContext, record_plans: Iterable[pass_plan.RecordPlan]) -> dict[str, list[str]]:
    """Return the names of the related records that items name and NPD lacks, by type."""
    relations = {mapping.key: registry.target_of(relation) for mapping, relation in board.relations}
    missing = defaultdict[type[SyncedModel], dict[str, str]](dict)
    for field_plan in [field_plan for record_plan in record_plans for field_plan in record_plan.fields.values()]:
        awaited = field_plan.awaited
        if field_plan.blocked_code and awaited is not None and awaited.by == "name" and awaited.is_missing:
            missing[relations[field_plan.key]].setdefault(match_key(awaited.value), awaited.value)
    new = {model.entity_type(): new_named_records(model, list(names.values())) for model, names in missing.items()}
    return {entity_type: [record_name(record) for record in records] for entity_type, records in new.items() if records}


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


# The board and NPD as the set-up will leave them.


Facts = TypeVar("Facts", bound=RecordFacts)


class SetupListing(dry_run.Listing):
    """Reads the listing of a chosen board, and NPD as it will be after the set-up.

    `earlier` are the records of boards that are set up before this one, as they will be then. What is stored about the
    items of a board that is left is forgotten.
    """

    def __init__(self, chosen: selection.ChosenBoard, earlier: Sequence[SyncedModel]) -> None:
        board = future_board.planned_board(chosen)
        types = {mapping.column_id: str(mapping.options.get("column_type")) for mapping in board.mappings}
        types[board.link.npd_id_column] = "text"
        new_columns = [column_id for column_id in types if column_id.startswith(selection.NEW_COLUMN)]
        super().__init__(board, {column_id: empty_reading(column_id, types[column_id]) for column_id in new_columns})
        self.chosen = chosen
        self.is_other_board = chosen.link is None
        self.left_board = chosen.stored.board_id if chosen.stored is not None and self.is_other_board else ""
        self._related_boards = frozenset(chosen.boards_by_type)
        self._earlier = defaultdict[field_values.Reference, list[SyncedModel]](list)
        for record in earlier:
            names = {
                "pk": str(record.pk),
                "monday_id": record.monday_id,
                "name": match_key(field_values.record_name(record)),
            }
            for by, value in names.items():
                self._earlier[field_values.Reference(type(record), by, value or "")].append(record)
        # Whoever turns new records on says so of all items.
        self._keeps_unplanned = chosen.stored is not None and chosen.stored.creates_records
        if not self.is_other_board:
            listed = UnmatchedItem.objects.filter(entity_type=board.link.entity_type, ignored_at=None)
            self.checked_items = frozenset(listed.values_list("item_id", flat=True))
        # The records and items whose namesakes a person left for later.
        self.undecided_records = frozenset[UUID]()
        self.undecided_items = frozenset[str]()

    def read(self, progress: Callable[[int], None] = lambda number: None) -> None:
        """List the items of a board that is there. Raises MondayError."""
        if self.board.link.board_id:
            super().read(progress)

    @property
    def problem(self) -> Message | None:
        return future_board.listing_problem(self.chosen.board, len(self.items) + len(self.unreadable))

    def hold_creates(self, items: Iterable[Item]) -> None:
        """Let nothing new be created if one of these items can't be recognized."""
        link = self.board.link
        match = self.board.match_mapping
        if match is None or self.chosen.choices.creates_anyway:
            return
        column = self.chosen.columns.get(match.column_id) or BoardColumn(match.column_id, match.label, "")
        reason = future_board.reason_to_hold(link.entity_type, self.chosen.link, column, link.npd_id_column, items)
        link.creates_held = Message("creates_held_by_plan", **reason.params) if reason else ""
        if future_board.lists_items(self.chosen.link, column):
            link.creates_held = self.problem or link.creates_held

    def records_without_item(self) -> set[UUID]:
        if not self.left_board:
            return super().records_without_item() - self.linked.keys()
        return set(self.board.model.objects.values_list("pk", flat=True)) - self.linked.keys()

    def read_claims(
        self, board: BoardContext, claims: Sequence[Claim], planned: Mapping[UUID, SyncedModel] = MappingProxyType({})
    ) -> PassFacts:
        facts = super().read_claims(board, claims, planned)
        facts.records = [self._after_set_up(record_facts) for record_facts in facts.records]
        facts.deleted = tuple(self._after_set_up(deleted) for deleted in facts.deleted)
        # The records of earlier boards that these name have their items only in those boards' plans.
        for record in [record_facts.record for record_facts in facts.records]:
            for _, relation in self.board.relations:
                related = getattr(record, relation.name)
                by_pk = field_values.Reference(registry.target_of(relation), "pk", str(related and related.pk))
                if earlier := self._earlier_records(by_pk):
                    setattr(record, relation.name, earlier[0])
        facts.related_boards = self._related_boards
        return facts

    def _after_set_up(self, facts: Facts) -> Facts:
        """Return the facts about a record as the set-up leaves them."""
        record = self.as_planned(facts.record)
        sync_state = copy(facts.sync_state)
        if self.left_board:
            for name, value in future_board.STATE_WITHOUT_ITEM.items():
                setattr(sync_state, name, value)
            history = RecordHistory(facts.history.now, token_user=facts.history.token_user)
            facts = replace(facts, conflicts=(), undo_requests=(), history=history, owned_items=frozenset())
        if facts.id in self.undecided_records:
            sync_state.is_unplanned = True
        return replace(facts, record=record, sync_state=sync_state)

    def as_planned(self, record: SyncedModel) -> SyncedModel:
        if not self.left_board or record.pk in self.linked or record.monday_id in self.items:
            return super().as_planned(record)
        return field_values.with_item(record, None)

    def inspect_columns(self, board: BoardContext, *_: Any) -> tuple[BoardContext, InspectedColumns]:
        # The columns were just read, and those that will be created don't exist yet.
        return board, InspectedColumns()

    def gather(self, facts: PassFacts, plan: pass_plan.Plan) -> None:
        """Gather, and change the facts as the set-up leaves them. Raises MondayError if Monday can't be read."""
        super().gather(facts, plan)
        if self.error is not None:
            raise self.error
        related: dict[field_values.Reference, Sequence[SyncedModel]] = {}
        for reference, stored in facts.related.items():
            records = {record.pk: record for record in [*stored, *self._earlier_records(reference)]}
            for pk, record in records.items():
                by_pk = field_values.Reference(reference.model, "pk", str(pk))
                records[pk] = next(iter(self._earlier_records(by_pk)), record)
                # By pk too, because relations are written by pk.
                related[by_pk] = (records[pk],)
            related[reference] = list(records.values())
        facts.related = related
        facts.unmatched = [
            replace(
                item, is_unplanned=self._is_unplanned(item), tombstones=tuple(map(self._as_decided, item.tombstones))
            )
            for item in facts.unmatched
        ]

    def _as_decided(self, tombstone: Tombstone) -> Tombstone:
        """Return a deleted record as its pass leaves it, if its item isn't on the chosen board."""
        if tombstone.monday_id in self.items:
            return tombstone
        decided = copy(tombstone)
        decided.settled_at = None  # that Monday may still show that item says nothing about the item on this board
        if self.left_board and tombstone.state in OPEN_TOMBSTONE_STATES:
            # Its item stays on the board that is left.
            decided.state = TombstoneState.KEPT if tombstone.monday_id else TombstoneState.NOTHING_LEFT
        return decided

    def _is_unplanned(self, facts: ItemFacts) -> bool:
        """Whether a listed item becomes a record only if that is asked for: on a new board one without a key."""
        if facts.item_id in self.undecided_items:
            return True
        if not self.is_other_board:
            return facts.is_unplanned and self._keeps_unplanned
        return facts.item is not None and field_values.match_key_of_item(self.board, facts.item) == ""

    def _earlier_records(self, reference: field_values.Reference) -> Sequence[SyncedModel]:
        """Return the records of earlier boards that a reference will name."""
        value = match_key(reference.value) if reference.by == "name" else reference.value
        return self._earlier.get(reference._replace(value=value), ())
