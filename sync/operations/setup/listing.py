"""What passes read of a chosen board and of NPD, as its set-up and those of the boards before it will leave them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from sync import registry
from sync.boards.board_columns import InspectedColumns
from sync.choices import TombstoneState
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.models import SyncedModel, Tombstone, UnmatchedItem
from sync.monday.board_items import BoardColumn, Item
from sync.monday.columns import empty_reading
from sync.monday.text_forms import match_key
from sync.operations import dry_run
from sync.operations.setup import future_board, selection
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.facts import ItemFacts, PassFacts, RecordFacts, RecordHistory
from sync.records.tombstones import OPEN_TOMBSTONE_STATES
from sync.words.message import Message

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
