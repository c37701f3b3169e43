"""Create, change, move, archive, delete and restore items."""

from collections.abc import Mapping
from typing import Any

from sandbox import errors
from sandbox.model import Board, Cell, Group, Item
from sandbox.operations.cells import (
    Parsed,
    check_name,
    check_size,
    parsing,
    payloads,
    rename,
    write_cell,
)
from sandbox.operations.load import load_items
from sandbox.operations.reflections import reflect
from sandbox.operations.telling import group_of, log, tell, tell_board, wanted_group
from sandbox.ranks import rank_beside
from sandbox.world import World

__all__ = [
    "change_values",
    "check_active",
    "check_name",
    "create_item",
    "load_items",
    "move_item",
    "place_item",
    "set_state",
    "tell",
    "tell_board",
]

STATE_EVENTS = {"archived": "item_archived", "deleted": "item_deleted", "active": "item_restored"}
STATE_LOGS = {"archived": "archive_pulse", "deleted": "delete_pulse", "active": "restore_pulse"}


def create_item(
    world: World,
    user_id: int,
    board_id: int,
    name: str,
    values: Mapping[str, Any],
    *,
    group_id: str | None = None,
    create_labels: bool = False,
    beside: tuple[int, bool] | None = None,
) -> Item:
    """Add an item, or nothing if a value is refused.

    `beside` is another item's id, and whether to stand after it.
    """
    with world.transaction():
        board = world.active_board(board_id)
        check_name(name)
        group = wanted_group(board, group_id)
        rank = _rank(world, board, beside)
        with parsing(world, board, values, create_labels) as parsed:
            check_size(None, parsed)
            return place_item(world, user_id, board, group, name, parsed, rank=rank)


def place_item(
    world: World,
    user_id: int,
    board: Board,
    group: Group,
    name: str,
    parsed: Parsed,
    *,
    rank: float | None = None,
    parent_id: int | None = None,
) -> Item:
    """Put an item with raw values onto a board and say so. ItemsLimitationException when it is full."""
    if world.active_count(board.id) >= board.items_limit:
        raise errors.items_limit(board.id, board.items_limit)
    stamp, item_id = world.clock.stamp(), world.next_id("item")
    place = float(item_id) if rank is None else rank
    item = Item(item_id, board.id, group.id, name, place, stamp, stamp, user_id, user_id, parent_id=parent_id)
    item.cells = {key: Cell(raw, stamp) for key, raw in parsed.items() if raw is not None}
    world.put_items([item])
    shown = payloads(board, parsed)
    log(
        world,
        "create_pulse",
        item,
        user_id,
        group_name=group.title,
        group_color=group.color,
        column_values_json=shown,
    )
    tell(world, "create_item", item, user_id, column_values=shown)
    for column in (column for column in board.columns if column.type == "board_relation"):
        reflect(world, user_id, item, column, None, parsed.get(column.id))
    return item


def change_values(
    world: World,
    user_id: int,
    item: Item,
    values: Mapping[str, Any],
    *,
    create_labels: bool = False,
    parse: str = "parse",
) -> Item:
    """Write several columns of an item, all or none; the key "name" renames. The same value does nothing.

    `parse` names the column type's parser: `parse` (column_values), `parse_simple` or `parse_edit`.
    """
    with world.transaction():
        board = world.boards[item.board_id]
        check_active(world, item)
        with parsing(world, board, values, create_labels, parse) as parsed:
            name = values.get("name", item.name)
            check_name(name)
            check_size(item, parsed)
        moved = [write_cell(world, user_id, item, key, raw) for key, raw in parsed.items()]
        if any([*moved, rename(world, user_id, item, name)]):
            _touch(world, item, user_id)
    return item


def set_state(world: World, user_id: int, item_id: int | None, state: str, *, logged: bool = True) -> Item:
    """Archive, delete or restore ("active") an item; the state it has already changes nothing."""
    with world.transaction():
        item = world.item(item_id)
        previous = item.state
        if previous == state:
            return item
        if previous == "deleted" and state == "archived":
            raise errors.item_inactive(item.board_id, item.id)
        item.state = state
        _touch(world, item, user_id)
        if logged:
            log(world, STATE_LOGS[state], item, user_id, value={}, previous_value={})
        tell(world, STATE_EVENTS[state], item, user_id, value=state, previous=previous)
        return item


def move_item(world: World, user_id: int, item_id: int | None, group_id: str) -> Item:
    """Put an item into another group of its board."""
    with world.transaction():
        item = world.item(item_id)
        check_active(world, item)
        board = world.boards[item.board_id]
        group = wanted_group(board, group_id)
        source = group_of(board, item)
        if source is group:
            return item
        item.group_id = group.id
        _touch(world, item, user_id)
        groups = {
            "source_group": _named(source),
            "dest_group": _named(group),
            "pulse": {"id": item.id, "name": item.name},
        }
        log(world, "move_pulse_from_group", item, user_id, **groups)
        log(world, "move_pulse_into_group", item, user_id, **groups)
        tell(world, "item_moved_to_any_group", item, user_id, source_group_id=source.id)
        return item


def check_active(world: World, item: Item) -> None:
    """Refuse a write to an item that is archived or deleted, or whose board is."""
    if world.state_of(item) != "active":
        raise errors.item_inactive(item.board_id, item.id)


def _touch(world: World, item: Item, user_id: int) -> None:
    item.updated_at, item.changed_by = world.clock.stamp(), user_id
    world.put_items([item])


def _named(group: Group) -> dict[str, str]:
    return {"id": group.id, "title": group.title}


def _rank(world: World, board: Board, beside: tuple[int, bool] | None) -> float | None:
    if beside is None:
        return None
    item = world.item(beside[0])
    if item.board_id != board.id:
        raise errors.item_not_on_board(item.id, board.id)
    return rank_beside(world, item, after=beside[1])
