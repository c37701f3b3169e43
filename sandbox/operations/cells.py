"""Column values and names are written: parsed as a whole first, so that a refusal changes nothing."""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sandbox import api_errors
from sandbox.columns import kind_of
from sandbox.columns.value_kinds import Writing
from sandbox.model import Board, Cell, Column, Item
from sandbox.operations import column_of, emit, log
from sandbox.world import World


def _log_value(world: World, user_id: int, item: Item, column: Column, old: Any, raw: Any) -> None:
    kind = kind_of(column.type)
    log(
        world,
        "update_column_value",
        item,
        user_id,
        column_id=column.id,
        column_type=kind.old_type,
        column_title=column.title,
        value=kind.payload(column, raw),
        previous_value=kind.payload(column, old),
        is_column_with_hide_permissions=False,
        # Of rows of 2026-05 (github.com/ilaiyomsh/monday-apps); textual_value stood in older ones alone.
        is_rollup_column=False,
        is_undo_action=None,
        action_record_uuid=None,
    )


# Monday answers a longer one with ItemNameTooLongException.
NAME_LIMIT = 255

# About 64 KB of column values fit into an item (developer.monday.com/api-reference/reference/text).
ITEM_BYTES = 65_536
WIDEST = 6  # bytes of one character in JSON, at most
Parsed = dict[str, Any]


@contextmanager
def parsed_values(world: World, board: Board, values: Mapping[str, Any], create_labels: bool) -> Iterator[Parsed]:
    """The raw values by column id, "name" left out. A refusal takes back labels that were made on the way."""
    columns = {key: column_of(board, key) for key in values if key != "name"}
    kept = {key: copy.deepcopy(column.settings) for key, column in columns.items()} if create_labels else {}
    writing = Writing(world.clock.stamp(), create_labels, keep_column=lambda column: world.put_board(board))
    try:
        yield {key: kind_of(c.type).parse(c, values[key], writing) for key, c in columns.items()}
    except api_errors.FieldError:
        for key, settings in kept.items():
            columns[key].settings = settings
        raise


def check_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise api_errors.bad_value("an item needs a name", "name")
    if len(name) > NAME_LIMIT:
        raise api_errors.name_too_long(name)


def check_size(item: Item | None, parsed: Parsed) -> None:
    """Refuse values that make the item hold more than 64 KB."""
    before = {key: cell.raw for key, cell in item.cells.items()} if item else {}
    raws = before | parsed
    if sum(len(str(raw)) for raw in raws.values()) * WIDEST <= ITEM_BYTES:
        return  # counting every byte of every change would cost more than the change
    # An item that is over the limit already, as one that was loaded may be, can still be made smaller.
    if (size := _bytes(raws.values())) > ITEM_BYTES and size > _bytes(before.values()):
        raise api_errors.item_too_large()


def _bytes(raws: Iterable[Any]) -> int:
    return sum(len(json.dumps(raw, ensure_ascii=False).encode()) for raw in raws if raw is not None)


def write_cell(world: World, user_id: int, item: Item, column_id: str, raw: Any) -> bool:
    """Put a raw value into a cell and say so; False, and nothing said, when it says the same already."""
    board = world.boards[item.board_id]
    column = column_of(board, column_id)
    kind = kind_of(column.type)
    old = item.raw(column_id)
    if kind.same(old, raw):
        return False
    item.cells[column_id] = Cell(raw, world.clock.stamp())
    _log_value(world, user_id, item, column, old, raw)
    emit(
        world,
        "change_column_value",
        item,
        user_id,
        column=column,
        column_type=kind.old_type,
        value=kind.payload(column, raw),
        previous=kind.payload(column, old),
    )
    return True


def rename(world: World, user_id: int, item: Item, name: str) -> bool:
    """Give an item another name and say so; False when it has it already."""
    if name == item.name:
        return False
    previous, item.name = item.name, name
    log(world, "update_name", item, user_id, value={"name": name}, previous_value={"name": previous})
    emit(world, "change_name", item, user_id, value={"name": name}, previous={"name": previous})
    return True


def payloads(board: Board, parsed: Parsed) -> dict[str, Any]:
    """Raw values as webhooks and logs show them."""
    columns = {key: column_of(board, key) for key in parsed}
    return {key: kind_of(columns[key].type).payload(columns[key], raw) for key, raw in parsed.items()}
