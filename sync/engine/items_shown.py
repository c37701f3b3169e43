"""What an item's mapped columns say, for the screen on which a person decides whose item it is."""

from __future__ import annotations

from typing import Any

from sync.connectors.monday.converters import UnknownValue
from sync.connectors.monday.items import Item
from sync.engine.board import Board


def values_of_item(board: Board, item: Item) -> dict[str, str]:
    """Return the item's values by field as a person reads them; what can't be told is left out."""
    found = {}
    for mapping in board.mappings:
        if not mapping.column_id:
            continue
        convert = board.converter(mapping)
        try:
            found[mapping.key] = convert.display(
                convert.remote(convert.raw_of(item.reading(mapping.column_id)))
            )
        except UnknownValue:
            continue
    return found


def item_as_told(board: Board, item: Item) -> dict[str, Any]:
    """Return the item in question, as `Finding.data["item"]` holds it."""
    return {"id": item.id, "label": item.name, "values": values_of_item(board, item)}
