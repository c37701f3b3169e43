"""The board of a set-up as it will be afterwards: a link and mappings that are never stored, and its listed items.

A column that will be created has a stand-in id and is empty in every item.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any
from uuid import UUID

from sync import registry
from sync.boards import board_columns, field_choices
from sync.choices import RemovedItemPolicy
from sync.clock import sync_now
from sync.models import BoardLink, FieldMapping, SyncedModel
from sync.monday.board_items import BatchItems, Item
from sync.monday.columns import empty_reading
from sync.monday.texts import match_key
from sync.operations.setup import selection
from sync.reconcile import field_values, pass_plan
from sync.reconcile.facts import PassFacts
from sync.reconcile.gather import Gatherer
from sync.reconcile.lookups import load_settings

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
    link.npd_id_column = chosen.npd_id or NEW_NPD_ID_COLUMN
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
    now = sync_now()
    for position, mappable in enumerate(chosen.fields):
        choice = choices.choice_of(mappable)
        if not choice.is_synced:
            continue
        column = chosen.columns.get(choice.column)
        column_id = choice.column
        if column_id == field_choices.NEW_COLUMN:
            column_id = f"{field_choices.NEW_COLUMN}{mappable.key}"
        kind = column.type if column is not None else mappable.new_column_type
        options = {"column_type": kind, "settings": dict(column.settings) if column is not None else {}}
        if mappable.is_name:
            kind = column_id = board_columns.NAME_TYPE
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
            mapped_at=now,
            options=options,
            **board_columns.NO_PROBLEM,
        )
        stored = stored_mappings.get(mappable.key)
        if stored is not None:
            is_moved = (stored.column_id, stored.converter) != (column_id, converter)
            mapping.version = stored.version + is_moved
            mapping.mapped_at = now if is_moved else stored.mapped_at
        mappings.append(mapping)
    return field_values.BoardContext(link, mappings, spec.model, load_settings())


def fill_new_columns(board: field_values.BoardContext, item: Item) -> Item:
    types = {
        mapping.column_id: str(mapping.options["column_type"])
        for mapping in board.mappings
        if mapping.column_id.startswith(field_choices.NEW_COLUMN)
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
