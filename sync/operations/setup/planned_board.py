"""The board as passes would see it once it is set up: a link and mappings that are never stored, and its listing.

A column that is to be created has a stand-in id, and every item is empty in it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any
from uuid import UUID

from sync.boards import board_columns
from sync.boards.field_choices import NEW_COLUMN, FieldChoice, MappableField
from sync.choices import RemovedItemPolicy
from sync.models import BoardLink, FieldMapping, SyncedModel
from sync.monday.board_items import BatchItems, Item
from sync.monday.columns import empty_reading
from sync.monday.texts import match_key
from sync.operations.setup import selection
from sync.reconcile import field_values, pass_plan
from sync.reconcile.facts import ItemFacts
from sync.reconcile.gather import Gatherer
from sync.reconcile.lookups import load_settings
from sync.registry import link_of, target_of

NEW_NPD_ID_COLUMN = "+npd_id"


def planned_board(chosen: selection.ChosenBoard) -> field_values.BoardContext:
    """Return the board as it would be, with the chosen columns, directions and rules."""
    choices = chosen.choices
    spec = choices.spec
    present = link_of(choices.entity_type)
    link = copy(present) if present is not None else BoardLink(
        entity_type=choices.entity_type, match_key=spec.match_key, removed_item_policy=RemovedItemPolicy.ASK
    )  # fmt: skip
    link.board_id = choices.board_id
    link.npd_id_column = chosen.npd_id or NEW_NPD_ID_COLUMN
    link.creates_records = choices.creates_records
    link.sync_filter = dict(choices.sync_filter)
    link.npd_id_problem = link.creates_held = ""
    stored = {}
    if choices.link is None:
        link.group_id = ""
        link.shape = {}
    else:
        stored = {mapping.key: mapping for mapping in choices.link.mappings.all()}
    if link.group_id not in chosen.groups:
        link.group_id = (chosen.board.group_id if chosen.board is not None else "") or ""
    mappings = []
    for position, mappable in enumerate(chosen.fields):
        choice = choices.choice_of(mappable)
        if choice.is_synced:
            mapping = _planned_mapping(chosen, mappable, choice, stored.get(mappable.key))
            mapping.link = link
            mapping.position = position
            mappings.append(mapping)
    return field_values.BoardContext(link, mappings, spec.model, load_settings())


def _planned_mapping(
    chosen: selection.ChosenBoard, mappable: MappableField, choice: FieldChoice, stored: FieldMapping | None
) -> FieldMapping:
    column = chosen.columns.get(choice.column)
    kind = column.type if column is not None else mappable.made_type
    column_id = f"{NEW_COLUMN}{mappable.key}" if choice.column == NEW_COLUMN else choice.column
    options: dict[str, Any] = {"column_type": kind, "settings": dict(column.settings) if column is not None else {}}
    if mappable.is_name:
        kind = column_id = board_columns.NAME_TYPE
        options = {}
    converter = mappable.types.get(kind) or next(iter(mappable.types.values()))
    moved = stored is not None and (stored.column_id, stored.converter) != (column_id, converter)
    return FieldMapping(
        key=mappable.key, label=mappable.label, fields=list(mappable.fields), column_id=column_id,
        converter=converter, direction=choice.direction, rule=choice.rule, first_match=chosen.choices.first_match,
        required=mappable.required, version=stored.version + moved if stored is not None else 1, options=options,
        **board_columns.NO_PROBLEM,
    )  # fmt: skip


def fill_new_columns(board: field_values.BoardContext, item: Item) -> Item:
    types = {
        mapping.column_id: str(mapping.options["column_type"])
        for mapping in board.mappings
        if mapping.column_id.startswith(NEW_COLUMN)
    }
    if board.link.npd_id_column == NEW_NPD_ID_COLUMN:
        types[NEW_NPD_ID_COLUMN] = "text"
    cells = {column: empty_reading(column, kind) for column, kind in types.items()}
    return replace(item, values={**item.values, **cells}) if cells else item


class ListedBoard(Gatherer):
    """Answers what rules ask of Monday from the whole listing, and of NPD as this set-up will have left it by then.

    `linked` are the records that the passes before would link, each with its item, and `made` those that they would
    make, by match key; `coming` are records of other types as this set-up leaves them: with their items, and new ones.
    What isn't listed is asked for by its id.
    """

    def __init__(
        self, board: field_values.BoardContext, others: Collection[str], coming: Iterable[SyncedModel]
    ) -> None:
        super().__init__()
        self.board = board
        targets = [target_of(relation).entity_type() for _, relation in board.relations]
        # A board that is set up with this one gives its records their items in the same run.
        self.related_boards = frozenset(targets) & set(others)
        self.coming = dict[UUID, SyncedModel]()
        self._coming_by_item = dict[str | None, SyncedModel]()
        self._coming_by_name = defaultdict[str, list[SyncedModel]](list)
        self.expect(record for record in coming if record.entity_type() in targets)
        self.items = dict[str, Item]()
        self.linked = dict[UUID, SyncedModel]()
        self.made = defaultdict[str, list[SyncedModel]](list)
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

    def expect(self, records: Iterable[SyncedModel]) -> None:
        """Count these among the records of other types as this set-up leaves them."""
        for record in records:
            self.coming[record.pk] = record
            self._coming_by_item[record.monday_id] = record
            self._coming_by_name[match_key(field_values.record_name(record))].append(record)

    def gather(self, facts: pass_plan.PassFacts) -> tuple[pass_plan.PassFacts, pass_plan.Plan]:
        """Raises MondayError."""
        for record in facts.records:
            for _, relation in self.board.relations:
                related = getattr(record.record, relation.name)
                if related is not None and related.pk in self.coming:
                    setattr(record.record, relation.name, self.coming[related.pk])
        # What becomes of items without a match key is told as it is once they have waited.
        settings = replace(facts.board.settings, new_item_wait_seconds=0)
        board = replace(facts.board, settings=settings)
        facts, plan = super().gather(
            replace(facts, board=board, related=field_values.RelatedFacts(boards=self.related_boards))
        )
        if facts.error is not None:
            raise facts.error
        return facts, plan

    def board_items(
        self, board: field_values.BoardContext, linked: Sequence[str], npd_ids: Sequence[str], texts: Sequence[str]
    ) -> BatchItems:
        named = [item for npd_id in npd_ids for item in self._by_npd_id.get(npd_id, ())]
        matched = [item for key in dict.fromkeys(map(match_key, texts)) for item in self._by_match.get(key, ())]
        return BatchItems({key: self.items[key] for key in linked if key in self.items}, named, matched)

    def items_by_id(self, board: field_values.BoardContext, ids: Sequence[str]) -> dict[str, Item]:
        listed = {key: self.items[key] for key in ids if key in self.items}
        return listed | super().items_by_id(board, [key for key in ids if key not in listed])

    def inspect(
        self, board: field_values.BoardContext, *_: Any
    ) -> tuple[field_values.BoardContext, board_columns.InspectedColumns]:
        # The columns were just read, and those that are to be made aren't there.
        return board, board_columns.InspectedColumns()

    def what_items_point_at(self, facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.PassFacts:
        facts = super().what_items_point_at(facts, plan)
        owners = {str(record.monday_id): key for key, record in self.linked.items()}
        return replace(
            facts,
            identity=replace(facts.identity, owners=owners | dict(facts.identity.owners)),
            unmatched=tuple(map(self._as_linked, facts.unmatched)),
            related=self._related_as_coming(facts.related) if self.coming else facts.related,
        )

    def _related_as_coming(self, related: field_values.RelatedFacts) -> field_values.RelatedFacts:
        records = {reference: self._as_coming(reference, hits) for reference, hits in related.records.items()}
        # What is named by its item or name is written by its id.
        named = [(reference.model, record) for reference, hits in records.items() for record in hits]
        records |= {field_values.Reference(model, "pk", str(record.pk)): (record,) for model, record in named}
        return replace(related, records=records)

    def _as_coming(self, reference: field_values.Reference, hits: Sequence[SyncedModel]) -> Sequence[SyncedModel]:
        hits = [self.coming.get(record.pk, record) for record in hits]
        if reference.by == "monday_id" and reference.value in self._coming_by_item:
            hits = [self._coming_by_item[reference.value]]
        elif reference.by == "name":
            stored = {record.pk for record in hits}
            named = self._coming_by_name.get(match_key(reference.value), ())
            hits += [record for record in named if record.pk not in stored and isinstance(record, reference.model)]
        return hits

    def _as_linked(self, item: ItemFacts) -> ItemFacts:
        matching = [self.linked.get(record.pk, record) for record in item.matching]
        if item.item is not None and (key := field_values.match_text_of_item(self.board, item.item)):
            matching += self.made.get(key, ())
        named = self.linked.get(item.named.pk, item.named) if item.named else None
        return replace(item, matching=tuple(matching), named=named)
