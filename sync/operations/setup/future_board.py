"""A board and its records as a set-up will leave them, for its plan.

The board is a link and mappings that are never stored; a column that will be created has a stand-in id and is empty in
every item. The records are copies without the items of a board that is left.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from sync import registry
from sync.boards.board_columns import InspectedColumns
from sync.choices import DeletedRecordPolicy, RemovedItemPolicy, TombstoneState
from sync.fields import field_values, lookups
from sync.fields.field_values import BoardContext
from sync.models import BoardLink, SyncedModel, Tombstone, UnmatchedItem
from sync.monday.board_items import BoardColumn
from sync.monday.columns import empty_reading
from sync.monday.text_forms import match_key
from sync.operations import preview
from sync.operations.setup import board_setup, selection
from sync.operations.setup.item_links import STATE_WITHOUT_ITEM
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.facts import ItemFacts, PassFacts, RecordFacts, RecordHistory
from sync.records.tombstones import OPEN_TOMBSTONE_STATES
from sync.words.message import Message

# Stands for the column of the NPD ID until the set-up has created it.
NEW_NPD_ID_COLUMN = "+npd_id"


def planned_board(chosen: selection.ChosenBoard) -> BoardContext:
    """Return the board with the chosen columns, directions and rules."""
    choices = chosen.choices
    # A link that isn't stored yet has no policies from the database.
    policies = {"removed_item_policy": RemovedItemPolicy.ASK, "deleted_record_policy": DeletedRecordPolicy.ARCHIVE}
    new = BoardLink(entity_type=choices.entity_type, match_key=chosen.spec.match_key, **policies)
    link = copy(chosen.stored_link or new)
    if chosen.link is None:  # what is stored is about another board
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
    if chosen.link is None:  # bases count for the board that is left only
        for mapping in mappings:
            mapping.version += 1
    return BoardContext(link, mappings, chosen.spec.model, lookups.load_settings())


Facts = TypeVar("Facts", bound=RecordFacts)


class SetupListing(preview.Listing):
    """Reads the listing of a chosen board, and NPD as it will be after the set-up.

    `earlier` are the records of boards that are set up before this one, as they will be then. What is stored about the
    items of a board that is left is forgotten.
    """

    def __init__(self, chosen: selection.ChosenBoard, earlier: Sequence[SyncedModel]) -> None:
        board = planned_board(chosen)
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
        self.deleted = dict[
            UUID, Tombstone
        ]()  # the deleted records that the plan decides, as their items' passes leave them

    def read(self, progress: Callable[[int], None] = lambda number: None) -> None:
        """List the items of a board that is there. Raises MondayError."""
        if self.board.link.board_id:
            super().read(progress)

    @property
    def problem(self) -> Message | None:
        return board_setup.listing_problem(self.chosen.board, len(self.items) + len(self.unreadable))

    def records_without_item(self) -> set[UUID]:
        if not self.left_board:
            return super().records_without_item() - self.linked.keys()
        return set(self.board.model.objects.values_list("pk", flat=True)) - self.linked.keys()

    def read_claims(
        self, board: BoardContext, claims: Sequence[Claim], planned: Mapping[UUID, SyncedModel] = MappingProxyType({})
    ) -> PassFacts:
        facts = super().read_claims(board, claims, planned)
        facts.records = [self._after_set_up(record_facts) for record_facts in facts.records]
        facts.deleted = tuple(
            replace(self._after_set_up(deleted), tombstone=self.deleted.get(deleted.id, deleted.tombstone))
            for deleted in facts.deleted
        )
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
            for name, value in STATE_WITHOUT_ITEM.items():
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
