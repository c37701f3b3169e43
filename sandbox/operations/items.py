"""Create, change, move, archive, delete and restore items."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sandbox import errors
from sandbox.columns import Writing, kind_of
from sandbox.events import Happening
from sandbox.model import Board, Cell, Column, Group, Item
from sandbox.people import NOBODY
from sandbox.world import World

NAME_LIMIT = 255
Parsed = dict[str, Any]
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
        if world.active_count(board_id) >= board.items_limit:
            raise errors.items_limit(board_id, board.items_limit)
        group = _group(board, group_id)
        rank = _rank(world, board, beside)
        with parsing(world, board, values, create_labels) as parsed:
            stamp = world.clock.stamp()
            item_id = world.next_id("item")
            item = Item(
                item_id, board_id, group.id, name, rank or float(item_id), stamp, stamp, user_id, user_id
            )
            item.cells = {key: Cell(raw, stamp) for key, raw in parsed.items() if raw is not None}
            world.put_items([item])
        _tell_created(world, board, item, group, parsed)
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
        _check_active(world, item)
        with parsing(world, board, values, create_labels, parse) as parsed:
            name = values.get("name", item.name)
            check_name(name)
        moved = [_write_cell(world, user_id, item, key, raw) for key, raw in parsed.items()]
        if any([*moved, _rename(world, user_id, item, name)]):
            item.updated_at, item.changed_by = world.clock.stamp(), user_id
            world.put_items([item])
    return item


def set_state(world: World, user_id: int, item_id: int | None, state: str) -> Item:
    """Archive, delete or restore ("active") an item; the state it has already changes nothing."""
    with world.transaction():
        item = world.item(item_id)
        previous = item.state
        if previous == state:
            return item
        if previous == "deleted" and state == "archived":
            raise errors.item_inactive(item.board_id, item.id)
        item.state, item.updated_at, item.changed_by = state, world.clock.stamp(), user_id
        world.put_items([item])
        _log(world, STATE_LOGS[state], item, user_id, value={}, previous_value={})
        tell(world, STATE_EVENTS[state], item, user_id, value=state, previous=previous)
        return item


def move_item(world: World, user_id: int, item_id: int | None, group_id: str) -> Item:
    """Put an item into another group of its board."""
    with world.transaction():
        item = world.item(item_id)
        _check_active(world, item)
        board = world.boards[item.board_id]
        group = _group(board, group_id)
        source, item.group_id = item.group_id, group.id
        if source != group.id:
            item.updated_at, item.changed_by = world.clock.stamp(), user_id
            world.put_items([item])
            _log(world, "move_pulse_into_group", item, user_id, source_group=source, dest_group=_named(group))
            tell(world, "item_moved_to_any_group", item, user_id, source_group_id=source)
        return item


def load_items(world: World, board_id: int, rows: list[Mapping[str, Any]]) -> list[int]:
    """Put items on a board as if they had always been there: no logs, no webhooks, no items limit."""
    with world.transaction():
        board = world.active_board(board_id)
        stamp = world.clock.stamp()
        ids = world.next_ids("item", len(rows))
        # Numbers that were always there may be older than Monday's check of them.
        writing = Writing(
            stamp, True, unchecked_phones=True, keep_column=lambda column: world.put_board(board)
        )
        items = [_loaded(board, row, item_id, stamp, writing) for row, item_id in zip(rows, ids, strict=True)]
        world.put_items(items)
        if world.active_count(board_id) > board.items_limit:
            board.items_limit = world.active_count(board_id)
            world.put_board(board)
        tell_board(world, board_id)
        return list(ids)


def _loaded(board: Board, row: Mapping[str, Any], item_id: int, stamp: str, writing: Writing) -> Item:
    name, group = row["name"], _group(board, row.get("group_id"))
    check_name(name)
    rank = float(item_id)
    item = Item(item_id, board.id, group.id, name, rank, stamp, stamp, board.creator_id, NOBODY)
    for column_id, given in (row.get("values") or {}).items():
        column = _column(board, column_id)
        raw = kind_of(column.type).parse(column, given, writing)
        if raw is not None:
            item.cells[column_id] = Cell(raw, stamp)
    return item


@contextmanager
def parsing(
    world: World, board: Board, values: Mapping[str, Any], create_labels: bool, parse: str = "parse"
) -> Iterator[Parsed]:
    """The raw values by column id, "name" left out. A refusal takes back labels that were made on the way."""
    columns = {key: _column(board, key) for key in values if key != "name"}
    kept = {key: copy.deepcopy(column.settings) for key, column in columns.items()} if create_labels else {}
    writing = Writing(world.clock.stamp(), create_labels, keep_column=lambda column: world.put_board(board))
    try:
        yield {key: getattr(kind_of(c.type), parse)(c, values[key], writing) for key, c in columns.items()}
    except errors.FieldError:
        for key, settings in kept.items():
            columns[key].settings = settings
        raise


def check_name(name: Any) -> None:
    """An item's name has 1 to 255 characters."""
    if not isinstance(name, str) or not name:
        raise errors.bad_value("an item needs a name", "name")
    if len(name) > NAME_LIMIT:
        raise errors.name_too_long(name)


def tell(world: World, kind: str, item: Item, user_id: int, **more: Any) -> None:
    """Say that something happened to an item, as it stands now."""
    board = world.boards[item.board_id]
    group = next((g for g in board.groups if g.id == item.group_id), board.groups[0])
    world.tell(
        Happening(
            kind=kind,
            board_id=board.id,
            user_id=user_id,
            seconds=world.clock.time(),
            item=item,
            item_name=item.name,
            group=group,
            is_top_group=_is_top(board, group),
            **more,
        )
    )


def tell_board(world: World, board_id: int) -> None:
    """Say that a board changed in a way that Monday has no webhook for; the page redraws itself."""
    world.tell(Happening("board_changed", board_id, 0, world.clock.time()))


def _tell_created(world: World, board: Board, item: Item, group: Group, parsed: Parsed) -> None:
    payloads = {}
    for key, raw in parsed.items():
        column = _column(board, key)
        payloads[key] = kind_of(column.type).payload(column, raw)
    _log(
        world,
        "create_pulse",
        item,
        item.creator_id,
        group_name=group.title,
        group_color=group.color,
        column_values_json=payloads,
    )
    tell(world, "create_item", item, item.creator_id, column_values=payloads)


def _write_cell(world: World, user_id: int, item: Item, column_id: str, raw: Any) -> bool:
    board = world.boards[item.board_id]
    column = _column(board, column_id)
    kind = kind_of(column.type)
    old = item.raw(column_id)
    if kind.same(old, raw):
        return False
    item.cells[column_id] = Cell(raw, world.clock.stamp())
    value, previous = kind.payload(column, raw), kind.payload(column, old)
    _log(
        world,
        "update_column_value",
        item,
        user_id,
        column_id=column_id,
        column_type=kind.old_type,
        column_title=column.title,
        value=value,
        previous_value=previous,
        textual_value=kind.text(column, raw),
        is_column_with_hide_permissions=False,
    )
    tell(
        world,
        "change_column_value",
        item,
        user_id,
        column=column,
        column_type=kind.old_type,
        value=value,
        previous=previous,
    )
    return True


def _rename(world: World, user_id: int, item: Item, name: str) -> bool:
    if name == item.name:
        return False
    previous, item.name = item.name, name
    _log(world, "update_name", item, user_id, value={"name": name}, previous_value={"name": previous})
    tell(world, "change_name", item, user_id, value={"name": name}, previous={"name": previous})
    return True


def _log(world: World, event: str, item: Item, user_id: int, **data: Any) -> None:
    board = world.boards[item.board_id]
    top = _is_top(board, next((g for g in board.groups if g.id == item.group_id), board.groups[0]))
    about = {
        "board_id": board.id,
        "group_id": item.group_id,
        "is_top_group": top,
        "pulse_id": item.id,
        "pulse_name": item.name,
    }
    world.log(board.id, event, about | data, user_id, item.id)


def _check_active(world: World, item: Item) -> None:
    if world.state_of(item) != "active":
        raise errors.item_inactive(item.board_id, item.id)


def _column(board: Board, column_id: str) -> Column:
    column = board.column(column_id)
    if column is None:
        raise errors.column_not_found(column_id)
    return column


def _group(board: Board, group_id: str | None) -> Group:
    if group_id is None:
        return board.visible_groups()[0]
    group = board.group(group_id)
    if group is None:
        raise errors.group_not_found(group_id, board.id)
    return group


def _is_top(board: Board, group: Group) -> bool:
    visible = board.visible_groups()
    return bool(visible) and visible[0].id == group.id


def _named(group: Group) -> dict[str, str]:
    return {"id": group.id, "title": group.title}


def _rank(world: World, board: Board, beside: tuple[int, bool] | None) -> float | None:
    if beside is None:
        return None
    item = world.item(beside[0])
    if item.board_id != board.id:
        raise errors.item_not_on_board(item.id, board.id)
    return world.rank_beside(item, after=beside[1])
