"""Operations on boards and items for API, pages and tests; each writes the activity log and emits webhook events.

The log's rows are as published probes saw them (developer.monday.com/api-reference/docs/activity-logs names the shape).
"""

import copy
import json
import secrets
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sandbox import api_errors, model
from sandbox.columns import Writing, connected_board_ids, kind_of
from sandbox.model import World


def column_of(board: model.Board, column_id: str) -> model.Column:
    column = board.column(column_id)
    if column is None:
        raise api_errors.column_not_found(column_id)
    return column


def target_group(board: model.Board, group_id: str | None) -> model.Group:
    """Return the group with this id, or the top group for None; raises FieldError."""
    if group_id is None:
        return board.active_groups()[0]
    group = board.group(group_id)
    if group is None:
        raise api_errors.group_not_found(group_id, board.id)
    return group


# Columns.

TITLE_LIMIT = 255  # our guess, as for names


def create_column(world: World, user_id: int, board_id: int, column: model.Column) -> model.Column:
    """Add a column, whose id was never used on this board; raises FieldError."""
    with world.transaction():
        board = world.active_board(board_id)
        column_type = kind_of(column.type).internal_type
        _check_title("A column's title", column.title)
        # A relation to a board that isn't there is refused before the column exists.
        for target_id in connected_board_ids(column) if column.type == "board_relation" else ():
            world.active_board(target_id)
        # Deleted columns too: Monday's undo brings them back under their ids.
        if any(existing.id == column.id for existing in board.columns):
            raise api_errors.invalid_argument(
                "This column id is or was in use on the board", column_id=column.id, board_id=board_id
            )
        board.columns.append(column)
        if column.type == "board_relation" and column.settings.get("allowCreateReflectionColumn"):
            _reflect_column(world, board, column)
        details = {"column_id": column.id, "column_title": column.title, "column_type": column_type}
        world.save_board("create_column", board, user_id, **details)
        return column


def _reflect_column(world: World, board: model.Board, column: model.Column) -> None:
    """Add the other end of a two-way connection to the first of its boards, as create_column does on request.

    developer.monday.com/api-reference/changelog, "New ability to create mirror and connect board columns" (2025-10).
    """
    other = world.active_board(connected_board_ids(column)[0])
    settings = {"boardIds": [board.id], "allowMultipleItems": True, "allowCreateReflectionColumn": True}
    end = model.Column(fresh_id(column.type), board.name, column.type, settings, reflection=column.id)
    column.reflection = end.id
    other.columns.append(end)
    world.put_board(other)


def delete_column(world: World, user_id: int, board_id: int, column_id: str) -> model.Column:
    """Delete a column with its values; its id can't be used again."""
    with world.transaction():
        board = world.active_board(board_id)
        column = column_of(board, column_id)
        if column_id == "name":
            raise api_errors.invalid_argument("The name column cannot be deleted", column_id=column_id)
        # The cells stay, for the case that a person restores the column.
        column.archived = True
        world.save_board("delete_column", board, user_id, column_id=column_id, column_title=column.title)
        return column


def rename_column(world: World, user_id: int, board_id: int, column_id: str, title: str) -> model.Column:
    with world.transaction():
        board = world.active_board(board_id)
        column = column_of(board, column_id)
        _check_title("A column's title", title)
        details = {"column_id": column_id, "previous_value": column.title, "value": title}
        column.title = title
        world.save_board("update_column_name", board, user_id, **details)
        return column


def _check_title(owner: str, title: str) -> None:
    if not 1 <= len(title) <= TITLE_LIMIT:
        raise api_errors.invalid_argument(f"{owner} has 1 to {TITLE_LIMIT} characters")


def fresh_id(prefix: str) -> str:
    """Return an id as Monday makes them, such as `text_mkmw91z2`."""
    return f"{prefix}_mk" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(6))


# Groups.


def create_group(world: World, user_id: int, board_id: int, title: str) -> model.Group:
    """Create a group at the top, where Monday puts it."""
    with world.transaction():
        board = world.active_board(board_id)
        _check_title("A group's title", title)
        group = model.Group(fresh_id("group"), title)
        board.groups.insert(0, group)
        world.save_board("create_group", board, user_id, group_id=group.id, group_title=title)
        return group


def delete_group(world: World, user_id: int, board_id: int, group_id: str) -> model.Group:
    """Delete a group with its items, unless it is the last one.

    It emits no webhook events, because Monday publishes nothing about them.
    """
    with world.transaction():
        board = world.active_board(board_id)
        group = target_group(board, group_id)
        if len(board.active_groups()) == 1:
            raise api_errors.last_group(group_id, board_id)
        # Archived items go with their group: our guess.
        items = [item for item in world.items_of(board_id, ("active", "archived")) if item.group_id == group_id]
        for item in items:
            item.state = "deleted"
            _touch(world, item, user_id)
            world.log("delete_group_pulse", item, user_id, value={}, previous_value={})
        group.deleted = True
        world.save_board("delete_group", board, user_id, group_id=group.id, group_title=group.title)
        return group


# Boards.


def create_board(world: World, user_id: int, name: str) -> model.Board:
    with world.transaction():
        _check_title("A board's name", name)
        board = model.Board(world.next_id("board"), name)
        board.columns = [model.Column("name", "Name", "name")]
        board.groups = [model.Group("topics", "Group Title")]
        world.save_board("create_board", board, user_id, board_name=name)
        return board


def set_board_state(world: World, user_id: int, board_id: int, state: str) -> model.Board:
    """Archive, delete or restore ("active") a board; the items of an inactive board count as inactive too."""
    with world.transaction():
        # Only an active board can be archived; an archived one can be deleted, and both can be restored.
        board = world.active_board(board_id) if state == "archived" else world.board(board_id)
        board.state = state
        event = {"archived": "archive_board", "deleted": "delete_board", "active": "restore_board"}[state]
        world.save_board(event, board, user_id, board_name=board.name)
        return board


def rename_board(world: World, user_id: int, board_id: int, name: str) -> None:
    with world.transaction():
        board = world.active_board(board_id)
        _check_title("A board's name", name)
        details = {"previous_value": board.name, "value": name}
        board.name = name
        world.save_board("update_board_name", board, user_id, **details)


# Items.

NAME_LIMIT = 255  # above, Monday answers ItemNameTooLongException

# About 64 KB of column values fit into an item (developer.monday.com/api-reference/reference/text).
ITEM_BYTES = 65_536
RawValues = dict[str, Any]  # by column id


def load_items(world: World, board_id: int, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Create items `{name, values?, group_id?}` without logs, webhooks or an items limit; return their ids."""
    with world.transaction():
        board = world.active_board(board_id)
        ids = world.next_ids("item", len(rows))
        # Old phone numbers may be older than Monday's check of them.
        writing = Writing(world.clock.stamp(), create_labels=True, unchecked_phones=True)
        stamp = writing.stamp
        items = []
        with _new_labels(world, board, board.columns):
            for row, item_id in zip(rows, ids, strict=True):
                check_name(row["name"])
                group = target_group(board, row.get("group_id"))
                # A later item has a higher id, so its id is its place on the board.
                item = model.Item(item_id, board.id, group.id, row["name"], item_id, stamp, model.NOBODY_ID)
                for column_id, value in (row.get("values") or {}).items():
                    column = column_of(board, column_id)
                    raw = kind_of(column.type).parse(column, value, writing)
                    if raw is not None:
                        item.cells[column_id] = raw
                items.append(item)
        world.put_items(items)
        if world.active_count(board_id) > board.items_limit:
            board.items_limit = world.active_count(board_id)
            world.put_board(board)
        return list(ids)


def create_item(
    world: World, user_id: int, board_id: int, row: Mapping[str, Any], *, create_labels: bool = False
) -> model.Item:
    """Add an item `{name, values?, group_id?}`, or nothing if a value is refused."""
    with world.transaction():
        board = world.active_board(board_id)
        check_name(row["name"])
        group = target_group(board, row.get("group_id"))
        # Parsed before the item exists, so that a refused value leaves nothing behind.
        with parsed_values(world, board, row.get("values") or {}, create_labels) as raws:
            check_size(None, raws)
            item = _new_item(world, user_id, board, group, row["name"])
            return _place_item(world, item, raws)


def _new_item(world: World, user_id: int, board: model.Board, group: model.Group, name: str) -> model.Item:
    """Return an empty item for the end of a board; raises FieldError if that is full."""
    if world.active_count(board.id) >= board.items_limit:
        raise api_errors.items_limit(board.id, board.items_limit)
    item_id = world.next_id("item")
    return model.Item(item_id, board.id, group.id, name, item_id, world.clock.stamp(), user_id)


def _place_item(world: World, item: model.Item, raws: RawValues) -> model.Item:
    """Put a new item with these raw values onto its board, and log and emit its creation."""
    board = world.boards[item.board_id]
    item.cells = {key: raw for key, raw in raws.items() if raw is not None}
    world.put_items([item])
    # As webhooks and logs show them.
    values = {}
    for column_id, raw in raws.items():
        column = column_of(board, column_id)
        _reflect(world, item, column, None, raw)
        values[column_id] = kind_of(column.type).event_value(column, raw)
    group = board.group_of(item)
    details = {
        "group_name": group.title,
        "group_color": model.GROUP_COLOUR,
        # A text within the row's own (community 45686; monday_ruby, 2024-07).
        "column_values_json": json.dumps(values, ensure_ascii=False),
    }
    world.log("create_pulse", item, item.changed_by, **details)
    world.emit("create_item", item, item.changed_by, column_values=values)
    return item


def change_values(
    world: World, user_id: int, item: model.Item, values: Mapping[str, Any], *, create_labels: bool = False
) -> model.Item:
    """Write several columns, all or none; the key "name" renames. Unchanged values are skipped."""
    with world.transaction():
        board = world.boards[item.board_id]
        check_active(world, item)
        with parsed_values(world, board, values, create_labels) as raws:
            name = values.get("name", item.name)
            check_name(name)
            check_size(item, raws)
        # Only a cell that changes causes an event.
        changes = [write_cell(world, user_id, item, key, raw) for key, raw in raws.items()]
        changes.append(rename(world, user_id, item, name))
        if any(changes):
            _touch(world, item, user_id)
    return item


STATE_EVENTS = {"archived": "item_archived", "deleted": "item_deleted", "active": "item_restored"}
STATE_LOGS = {"archived": "archive_pulse", "deleted": "delete_pulse", "active": "restore_pulse"}


def set_state(world: World, user_id: int, item_id: int | None, state: str) -> model.Item:
    """Archive, delete or restore ("active") an item; no event and no row if it has that state already."""
    with world.transaction():
        item = world.item(item_id)
        previous = item.state
        if previous == state:
            return item
        if previous == "deleted" and state == "archived":
            raise api_errors.item_inactive(item.board_id, item.id)
        item.state = state
        _touch(world, item, user_id)
        world.log(STATE_LOGS[state], item, user_id, value={}, previous_value={})
        world.emit(STATE_EVENTS[state], item, user_id, value=state, previous=previous)
        return item


def move_item(world: World, user_id: int, item_id: int | None, group_id: str) -> model.Item:
    with world.transaction():
        item = world.item(item_id)
        check_active(world, item)
        board = world.boards[item.board_id]
        group = target_group(board, group_id)
        source = board.group_of(item)
        if source is group:
            return item
        item.group_id = group.id
        _touch(world, item, user_id)
        groups = {
            "source_group": {"id": source.id, "title": source.title},
            "dest_group": {"id": group.id, "title": group.title},
            "pulse": {"id": item.id, "name": item.name},
        }
        # Two rows, one for each group, but one webhook.
        world.log("move_pulse_from_group", item, user_id, **groups)
        world.log("move_pulse_into_group", item, user_id, **groups)
        world.emit("item_moved_to_any_group", item, user_id, source_group_id=source.id)
        return item


def check_active(world: World, item: model.Item) -> None:
    """Refuse a write to an item that is archived or deleted, or on a board that is."""
    if world.state_of(item) != "active":
        raise api_errors.item_inactive(item.board_id, item.id)


def _touch(world: World, item: model.Item, user_id: int) -> None:
    item.updated_at = world.clock.stamp()
    item.changed_by = user_id
    world.put_items([item])


COPY = " (copy)"


def duplicate_item(world: World, user_id: int, item_id: int) -> model.Item:
    """Copy an item to the end of its board with all its values, also its NPD ID."""
    with world.transaction():
        item = world.item(item_id)
        check_active(world, item)
        board = world.boards[item.board_id]
        column_ids = {column.id for column in board.active_columns()}
        raws = {key: raw for key, raw in item.cells.items() if key in column_ids}
        name = item.name[: NAME_LIMIT - len(COPY)] + COPY
        return _place_item(world, _new_item(world, user_id, board, board.group_of(item), name), raws)


def move_to_board(world: World, user_id: int, item_id: int, board_id: int, group_id: str) -> model.Item:
    """Put an item onto another board under its id; values move to the columns of the same type and title.

    It emits no webhook events, because Monday publishes nothing about them.
    """
    with world.transaction():
        item = world.item(item_id)
        board = world.active_board(board_id)
        check_active(world, item)
        group = target_group(board, group_id)
        source = world.boards[item.board_id]
        if world.active_count(board_id) >= board.items_limit:
            raise api_errors.items_limit(board_id, board.items_limit)
        # Labels have other ids there, so their cells stay empty.
        targets = {(column.type, column.title): column.id for column in board.active_columns()}
        cells = {}
        for column in source.active_columns():
            column_id = targets.get((column.type, column.title))
            raw = item.raw(column.id)
            if column_id and raw is not None and column.type not in ("status", "dropdown"):
                cells[column_id] = raw
        world.log("move_pulse_from_board", item, user_id, dest_board_id=board_id)
        item.cells = cells
        item.group_id = group.id
        item.changed_by = user_id
        world.move_to_board(item, board_id)
        _touch(world, item, user_id)
        world.log("move_pulse_into_board", item, user_id, source_board_id=source.id)
        return item


# Values. All of them are parsed before any is written, so that a refusal changes nothing.


@contextmanager
def parsed_values(
    world: World, board: model.Board, values: Mapping[str, Any], create_labels: bool
) -> Iterator[RawValues]:
    """Yield the raw values by column id, without "name"; a refusal removes labels that were created for them."""
    columns = {key: column_of(board, key) for key in values if key != "name"}
    writing = Writing(world.clock.stamp(), create_labels)
    with _new_labels(world, board, columns.values()):
        yield {key: kind_of(c.type).parse(c, values[key], writing) for key, c in columns.items()}


@contextmanager
def _new_labels(world: World, board: model.Board, columns: Iterable[model.Column]) -> Iterator[None]:
    """Store the labels that a change creates in these columns of a board; remove them if it is refused."""
    before = [(column, copy.deepcopy(column.settings)) for column in columns]
    try:
        yield
    except api_errors.FieldError:
        for column, settings in before:
            column.settings = settings
        raise
    if any(column.settings != settings for column, settings in before):
        world.put_board(board)


def check_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise api_errors.bad_value("an item needs a name", "name")
    if len(name) > NAME_LIMIT:
        raise api_errors.name_too_long(name)


def check_size(item: model.Item | None, changes: RawValues) -> None:
    """Refuse values that make the item larger than 64 KB."""
    # Monday counts all values of an item together (developer.monday.com/api-reference/reference/text).
    before = item.cells if item else {}
    raws = before | changes
    size = _bytes(raws.values())
    # A loaded item may exceed the limit; allow changes that shrink it.
    if size > ITEM_BYTES and size > _bytes(before.values()):
        raise api_errors.item_too_large()


def _bytes(raws: Iterable[Any]) -> int:
    return sum(len(json.dumps(raw, ensure_ascii=False).encode()) for raw in raws if raw is not None)


def write_cell(world: World, user_id: int, item: model.Item, column_id: str, raw: Any) -> bool:
    """Write a raw value into a cell, and log and emit the change; return False if the cell has that value already."""
    board = world.boards[item.board_id]
    column = column_of(board, column_id)
    kind = kind_of(column.type)
    old = item.raw(column_id)
    if kind.same(old, raw):
        return False
    item.cells[column_id] = raw
    _reflect(world, item, column, old, raw)
    value = kind.event_value(column, raw)
    previous = kind.event_value(column, old)
    world.log(
        "update_column_value",
        item,
        user_id,
        # Null, because no item here is a subitem.
        parent_board_id=None,
        parent_item_id=None,
        column_id=column.id,
        column_type=kind.internal_type,
        column_title=column.title,
        value=value,
        previous_value=previous,
        is_column_with_hide_permissions=False,
        # As in rows of 2026-05 (github.com/ilaiyomsh/monday-apps); only older ones had textual_value.
        is_rollup_column=False,
        is_undo_action=None,
        action_record_uuid=None,
    )
    change = {"column": column, "column_type": kind.internal_type, "value": value, "previous": previous}
    world.emit("change_column_value", item, user_id, **change)
    return True


def _reflect(world: World, item: model.Item, column: model.Column, old: Any, raw: Any) -> None:
    """Show a change of a two-way connection on the other items, without an event and a row of their own."""
    if not column.reflection:
        return
    before = set(old["item_ids"] if old else ())
    after = set(raw["item_ids"] if raw else ())
    for other in (world.items[item_id] for item_id in before ^ after):
        cell = other.raw(column.reflection)
        ids = [item_id for item_id in (cell["item_ids"] if cell else ()) if item_id != item.id]
        ids += [item.id] if other.id in after else []
        other.cells[column.reflection] = {"item_ids": ids, "changed_at": world.clock.stamp()} if ids else None
        world.put_items([other])


def rename(world: World, user_id: int, item: model.Item, name: str) -> bool:
    """Rename an item, and log and emit that; return False if it has that name already."""
    if name == item.name:
        return False
    previous = item.name
    item.name = name
    world.log("update_name", item, user_id, value={"name": name}, previous_value={"name": previous})
    world.emit("change_name", item, user_id, value={"name": name}, previous={"name": previous})
    return True
