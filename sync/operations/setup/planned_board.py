"""The board as a pass would see it once it is set up: a link and mappings that are never stored.

A column that is to be created has a stand-in id, and every item is empty in it.
"""

from copy import copy
from dataclasses import replace
from typing import Any

from sync.boards import board_columns
from sync.boards.field_choices import NEW_COLUMN, FieldChoice, MappableField
from sync.choices import RemovedItemPolicy
from sync.models import BoardLink, FieldMapping
from sync.monday.board_items import Item
from sync.monday.columns import empty_reading
from sync.operations.setup import selection
from sync.reconcile import field_values
from sync.reconcile.lookups import load_settings
from sync.registry import link_of

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
