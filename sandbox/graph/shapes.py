"""Column values as their GraphQL types show them."""

from typing import Any

from sandbox.columns import kind_of
from sandbox.model import Board, Column, Item


def column_values(
    board: Board, item: Item, ids: list[str] | None, types: list[str] | None
) -> list[dict[str, Any]]:
    """The item's values in the order of the board's columns; the name is none of them."""
    columns = [c for c in board.visible_columns() if c.type != "name" and not c.hidden]
    if ids is not None:
        columns = [c for c in columns if c.id in ids]
    if types is not None:
        columns = [c for c in columns if c.type in types]
    return [column_value(item, column) for column in columns]


def column_value(item: Item, column: Column) -> dict[str, Any]:
    kind = kind_of(column.type)
    cell = item.cells.get(column.id)
    raw = None if cell is None else cell.raw
    return {
        "__typename": kind.graphql_type,
        "id": column.id,
        "type": column.type,
        "column": column,
        "is_leaf": True,
        "text": kind.api_text(column, raw),
        "value": kind.value(raw),
        "updated_at": None if cell is None else _with_offset(cell.updated_at),
        **kind.fields(column, raw),
    }


def _with_offset(stamp: str | None) -> str | None:
    """Column values write UTC as +00:00 where items write Z."""
    return None if stamp is None else stamp.removesuffix("Z") + "+00:00"
