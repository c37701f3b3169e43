"""A draft as the engine would see it once it is set up: a board link and mappings that are stored nowhere.

A column that is to be made has a stand-in id, and every item shows nothing in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sync import registry
from sync.boards import link_of
from sync.connectors.monday.items import Item, Reading
from sync.engine.board import Board, Directory
from sync.models import BoardLink, FieldMapping, SetupDraft
from sync.setup_columns import NAME_TYPE, column_type
from sync.wizard.drafts import fields_of, link_with, npd_id_of
from sync.wizard.fields import MAKE, Chosen, Wanted, chosen_of

NPD_ID_TO_MAKE = "+npd_id"
_EMPTY: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "checkbox": (None, {"checked": False}),
    "dropdown": (None, {"values": []}),
    "board_relation": (None, {"linked_item_ids": []}),
    "tags": (None, {"tags": []}),
}
"""How an empty cell of a type reads, where that is more than nothing."""


def board_of(draft: SetupDraft) -> Board:
    """Return the board as it would be; its match rule and directions are the draft's."""
    spec = registry.entity(draft.entity_type)
    known = link_of(draft.entity_type)
    link = BoardLink(
        entity_type=draft.entity_type,
        board_id=draft.board_id,
        group_id="",
        npd_id_column=npd_id_of(draft) or NPD_ID_TO_MAKE,
        match_key=known.match_key if known is not None else spec.match_key,
        creates_records=draft.creates_records,
        npd_id_problem="",
    )
    mappings = mappings_of(draft, link)
    directory = Directory.of({one.converter for one in mappings if one.column_id}, draft.board_id)
    return Board(link, mappings, spec.model, directory)


def mappings_of(draft: SetupDraft, link: BoardLink) -> list[FieldMapping]:
    """Return the mappings of all fields that are synced, as they would be stored."""
    chosen = chosen_of(draft.fields)
    kept = link_with(draft)
    before = {one.key: one for one in kept.mappings.all()} if kept is not None else {}
    return [
        _mapping(draft, link, one, choice, before.get(one.key), position)
        for position, one in enumerate(fields_of(draft.entity_type))
        if (choice := chosen.get(one.key, Chosen())).synced
    ]


def _mapping(
    draft: SetupDraft,
    link: BoardLink,
    one: Wanted,
    choice: Chosen,
    before: FieldMapping | None,
    position: int,
) -> FieldMapping:
    column, converter, options = target_of(draft, one, choice)
    same = before is not None and (before.column_id, before.converter) == (column, converter)
    return FieldMapping(
        link=link,
        key=one.key,
        label=one.label,
        fields=list(one.fields),
        column_id=column,
        converter=converter,
        direction=choice.direction,
        rule=choice.rule,
        first_match=draft.first_match,
        required=one.required,
        version=before.version + (0 if same else 1) if before is not None else 1,
        position=position,
        options=options,
        problem="",
    )


def target_of(draft: SetupDraft, one: Wanted, choice: Chosen) -> tuple[str, str, dict[str, Any]]:
    """Return a synced field's column, converter and what the converter needs to know of the column."""
    if one.is_name:
        return NAME_TYPE, one.types[NAME_TYPE], {}
    if choice.column == MAKE:
        return f"{MAKE}{one.key}", one.types[one.made_type], {"column_type": one.made_type, "settings": {}}
    told = draft.columns.get(choice.column)
    if told is None:
        converter = next(iter(one.types.values()))
        return choice.column, converter, {"column_type": column_type(converter), "settings": {}}
    converter = one.types.get(told["type"]) or next(iter(one.types.values()))
    return choice.column, converter, {"column_type": told["type"], "settings": told.get("settings") or {}}


def asked_columns(board: Board) -> list[str]:
    """Return the ids of those of its columns that are there to be read."""
    return [column for column in board.columns if not column.startswith(MAKE)]


def completed(board: Board, item: Item) -> Item:
    """Return the item with nothing in the columns that are to be made."""
    made = {
        mapping.column_id: _empty(mapping.column_id, str(mapping.options["column_type"]))
        for mapping in board.mappings
        if mapping.column_id.startswith(MAKE)
    }
    if board.link.npd_id_column == NPD_ID_TO_MAKE:
        made[NPD_ID_TO_MAKE] = _empty(NPD_ID_TO_MAKE, "text")
    return replace(item, values={**item.values, **made}) if made else item


def _empty(column: str, kind: str) -> Reading:
    value, extra = _EMPTY.get(kind, (None, {}))
    return Reading(column, kind, text="", value=value, extra=extra)
