"""Operations on boards and items, shared by API, page and tests. Each writes the activity log and emits webhook events.

The log's rows are as published probes saw them (developer.monday.com/api-reference/docs/activity-logs names the shape).
"""

import copy
import json
import re
import secrets
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sandbox import api_errors, model
from sandbox.columns import Status, initial_settings, kind_of
from sandbox.columns.value_kinds import Writing
from sandbox.web import percent_decode
from sandbox.world import World


def emit(world: World, kind: str, item: model.Item, user_id: int, **more: Any) -> None:
    """Report that something happened to an item, as it is now."""
    board = world.boards[item.board_id]
    group = group_of(board, item)
    world.emit(
        model.WorldEvent(
            kind=kind,
            board_id=board.id,
            user_id=user_id,
            seconds=world.clock.time(),
            item=item,
            item_name=item.name,
            group=group,
            is_top_group=is_top(board, group),
            **more,
        )
    )


def log(world: World, event: str, item: model.Item, user_id: int, **data: Any) -> None:
    """A row about an item in its board's activity log."""
    board = world.boards[item.board_id]
    about = {
        "board_id": board.id,
        "group_id": item.group_id,
        "is_top_group": is_top(board, group_of(board, item)),
        "pulse_id": item.id,
        "pulse_name": item.name,
    }
    if event == "update_column_value":
        about |= {"parent_board_id": None, "parent_item_id": None}
    world.log(board.id, event, about | data, user_id, item.id)


def log_board(world: World, event: str, board: model.Board, user_id: int, **data: Any) -> None:
    world.log(board.id, event, {"board_id": board.id} | data, user_id, None)


def column_of(board: model.Board, column_id: str) -> model.Column:
    column = board.column(column_id)
    if column is None:
        raise api_errors.column_not_found(column_id)
    return column


def wanted_group(board: model.Board, group_id: str | None) -> model.Group:
    """The group of this id, without one the top group; ResourceNotFoundException when there is none."""
    if group_id is None:
        return board.visible_groups()[0]
    group = board.group(group_id)
    if group is None:
        raise api_errors.group_not_found(group_id, board.id)
    return group


def group_of(board: model.Board, item: model.Item) -> model.Group:
    return next((group for group in board.groups if group.id == item.group_id), board.groups[0])


def is_top(board: model.Board, group: model.Group) -> bool:
    return next((other for other in board.groups if not other.deleted and not other.archived), None) is group


# Columns.

# An id that a caller chooses has 1 to 20 of these characters (reference/columns of Monday's API).
COLUMN_ID = re.compile(r"[a-z_]{1,20}")
TITLE_LIMIT = 255


def create_column(
    world: World,
    user_id: int,
    board_id: int,
    title: str,
    column_type: str,
    *,
    column_id: str | None = None,
    defaults: Any = None,
) -> model.Column:
    """A new column. A given id has 1 to 20 characters of a-z and _, and was never used on this board."""
    with world.transaction():
        board = world.active_board(board_id)
        kind = kind_of(column_type)
        _check_title("A column's title", title)
        settings = initial_settings(column_type, json_in(defaults))
        if column_type == "board_relation":
            for target_id in settings.get("boardIds") or ():
                world.active_board(target_id)
        if column_id is not None and not COLUMN_ID.fullmatch(column_id):
            raise api_errors.invalid_argument(
                "A column id has 1 to 20 characters of a-z and _", column_id=column_id, board_id=board_id
            )
        column_id = fresh_id(column_type) if column_id is None else column_id
        if any(existing.id == column_id for existing in board.columns):
            raise api_errors.invalid_argument(
                "This column id is or was in use on the board", column_id=column_id, board_id=board_id
            )
        column = model.Column(column_id, title, column_type, settings)
        board.columns.append(column)
        world.put_board(board)
        about = {"column_id": column.id, "column_title": title, "column_type": kind.old_type}
        log_board(world, "create_column", board, user_id, **about)
        world.emit(
            model.WorldEvent(
                "create_column", board_id, user_id, world.clock.time(), column=column, column_type=kind.old_type
            )
        )
        return column


def delete_column(world: World, user_id: int, board_id: int, column_id: str) -> model.Column:
    """Take a column off the board with what was in it; its id stays used."""
    with world.transaction():
        board = world.active_board(board_id)
        column = column_of(board, column_id)
        if column_id == "name":
            raise api_errors.invalid_argument("The name column cannot be deleted", column_id=column_id)
        column.archived = True
        world.put_board(board)
        log_board(world, "delete_column", board, user_id, column_id=column_id, column_title=column.title)
        return column


def rename_column(world: World, user_id: int, board_id: int, column_id: str, title: str) -> model.Column:
    with world.transaction():
        board = world.active_board(board_id)
        column = column_of(board, column_id)
        _check_title("A column's title", title)
        previous = column.title
        column.title = title
        about = {"column_id": column_id, "previous_value": previous, "value": title}
        log_board(world, "update_column_name", board, user_id, **about)
        world.put_board(board)
        return column


def json_in(text: Any) -> Any:
    """What an argument of type JSON holds; it may come as JSON in a string. JsonParseException."""
    if not isinstance(text, str):
        return text
    try:
        return percent_decode(text)
    except ValueError:
        raise api_errors.not_json(text) from None


def _check_title(owner: str, title: str) -> None:
    if not 1 <= len(title) <= TITLE_LIMIT:
        raise api_errors.invalid_argument(f"{owner} has 1 to {TITLE_LIMIT} characters")


def fresh_id(prefix: str) -> str:
    """Return an id as Monday makes them, such as `text_mkmw91z2`."""
    return f"{prefix}_mk" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(6))


# Groups.


GROUP_COLOURS = ("#a25ddc", "#00c875", "#e2445c", "#fdab3d", "#037f4c", "#784bd1", "#cab641")


def create_group(world: World, user_id: int, board_id: int, title: str) -> model.Group:
    """Create a group, on top, where Monday puts it."""
    with world.transaction():
        board = world.active_board(board_id)
        _check_title("A group's title", title)
        group = model.Group(fresh_id("group"), title, GROUP_COLOURS[len(board.groups) % len(GROUP_COLOURS)], "0")
        board.groups.insert(0, group)
        for number, other in enumerate(board.groups, start=1):
            other.position = f"{number * 65536}.0"
        world.put_board(board)
        log_board(world, "create_group", board, user_id, group_id=group.id, group_title=title)
        return group


def delete_group(world: World, user_id: int, board_id: int, group_id: str) -> model.Group:
    """Delete a group with its items; the last one stays. Webhooks aren't told: what Monday tells isn't published."""
    with world.transaction():
        board = world.active_board(board_id)
        group = wanted_group(board, group_id)
        if len(board.visible_groups()) == 1:
            raise api_errors.last_group(group_id, board_id)
        items = [item for item in world.items_of(board_id, ("active", "archived")) if item.group_id == group_id]
        for item in items:
            item.state = "deleted"
            item.updated_at = world.clock.stamp()
            item.changed_by = user_id
        world.put_items(items)
        for item in items:
            log(world, "delete_group_pulse", item, user_id, value={}, previous_value={})
        group.deleted = True
        world.put_board(board)
        log_board(world, "delete_group", board, user_id, group_id=group.id, group_title=group.title)
        return group


# Boards.


TOP_GROUP_COLOUR = "#579bfc"


def create_board(world: World, user_id: int, name: str) -> model.Board:
    with world.transaction():
        _check_title("A board's name", name)
        board = model.Board(world.next_id("board"), name)
        board.columns = [model.Column("name", "Name", "name")]
        board.groups = [model.Group("topics", "Group Title", TOP_GROUP_COLOUR, "65536.0")]
        world.put_board(board)
        log_board(world, "create_board", board, user_id, board_name=name)
        return board


def set_board_state(world: World, user_id: int, board_id: int, state: str) -> model.Board:
    """Archive, delete or restore ("active") a board; while it is inactive, its items count as inactive too."""
    with world.transaction():
        board = world.active_board(board_id) if state == "archived" else world.board(board_id)
        board.state = state
        world.put_board(board)
        event = {"archived": "archive_board", "deleted": "delete_board", "active": "restore_board"}[state]
        log_board(world, event, board, user_id, board_name=board.name)
        return board


def rename_board(world: World, user_id: int, board_id: int, name: str) -> str:
    """Rename a board; return its old name."""
    with world.transaction():
        board = world.active_board(board_id)
        _check_title("A board's name", name)
        previous = board.name
        board.name = name
        log_board(world, "update_board_name", board, user_id, previous_value=previous, value=name)
        world.put_board(board)
        return previous


# Items. Their places are numbers with room between them.

# Monday answers a longer one with ItemNameTooLongException.
NAME_LIMIT = 255

# About 64 KB of column values fit into an item (developer.monday.com/api-reference/reference/text).
ITEM_BYTES = 65_536
WIDEST = 6  # bytes of one character in JSON, at most
Parsed = dict[str, Any]


def load_items(world: World, board_id: int, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Create items without logs, webhooks or an items limit; return their ids, in order."""
    with world.transaction():
        board = world.active_board(board_id)
        ids = world.next_ids("item", len(rows))
        # Numbers that were always there may be older than Monday's check of them.
        writing = Writing(world.clock.stamp(), create_labels=True, unchecked_phones=True)
        with _new_labels(world, board, board.columns):
            items = [_loaded_item(board, row, item_id, writing) for row, item_id in zip(rows, ids, strict=True)]
        world.put_items(items)
        if world.active_count(board_id) > board.items_limit:
            board.items_limit = world.active_count(board_id)
            world.put_board(board)
        return list(ids)


def _loaded_item(board: model.Board, row: Mapping[str, Any], item_id: int, writing: Writing) -> model.Item:
    check_name(row["name"])
    group = wanted_group(board, row.get("group_id"))
    stamp = writing.stamp
    item = model.Item(item_id, board.id, group.id, row["name"], float(item_id), stamp, stamp, model.NOBODY)
    for column_id, value in (row.get("values") or {}).items():
        column = column_of(board, column_id)
        raw = kind_of(column.type).parse(column, value, writing)
        if raw is not None:
            item.cells[column_id] = model.Cell(raw, stamp)
    return item


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
) -> model.Item:
    """Add an item, or nothing if a value is refused."""
    with world.transaction():
        board = world.active_board(board_id)
        check_name(name)
        group = wanted_group(board, group_id)
        with parsed_values(world, board, values, create_labels) as parsed:
            check_size(None, parsed)
            return place_item(world, user_id, board, group, name, parsed)


def place_item(
    world: World, user_id: int, board: model.Board, group: model.Group, name: str, parsed: Parsed
) -> model.Item:
    """Put an item with raw values onto a board and say so. ItemsLimitationException when it is full."""
    if world.active_count(board.id) >= board.items_limit:
        raise api_errors.items_limit(board.id, board.items_limit)
    stamp = world.clock.stamp()
    item_id = world.next_id("item")
    item = model.Item(item_id, board.id, group.id, name, float(item_id), stamp, stamp, user_id)
    item.cells = {key: model.Cell(raw, stamp) for key, raw in parsed.items() if raw is not None}
    world.put_items([item])
    shown = payloads(board, parsed)
    words = json.dumps(shown, ensure_ascii=False)  # a text within the row's own (45686; monday_ruby, 2024-07)
    log(world, "create_pulse", item, user_id, group_name=group.title, group_color=group.color, column_values_json=words)
    emit(world, "create_item", item, user_id, column_values=shown)
    return item


def change_values(
    world: World, user_id: int, item: model.Item, values: Mapping[str, Any], *, create_labels: bool = False
) -> model.Item:
    """Write several columns, all or none; the key "name" renames. Unchanged values are skipped."""
    with world.transaction():
        board = world.boards[item.board_id]
        check_active(world, item)
        with parsed_values(world, board, values, create_labels) as parsed:
            name = values.get("name", item.name)
            check_name(name)
            check_size(item, parsed)
        moved = [write_cell(world, user_id, item, key, raw) for key, raw in parsed.items()]
        # A list: any() would end a generator at the first change, and leave the others unwritten.
        if any([*moved, rename(world, user_id, item, name)]):
            _touch(world, item, user_id)
    return item


def set_state(world: World, user_id: int, item_id: int | None, state: str) -> model.Item:
    """Archive, delete or restore ("active") an item; no effect if it has that state already."""
    with world.transaction():
        item = world.item(item_id)
        previous = item.state
        if previous == state:
            return item
        if previous == "deleted" and state == "archived":
            raise api_errors.item_inactive(item.board_id, item.id)
        item.state = state
        _touch(world, item, user_id)
        log(world, STATE_LOGS[state], item, user_id, value={}, previous_value={})
        emit(world, STATE_EVENTS[state], item, user_id, value=state, previous=previous)
        return item


def move_item(world: World, user_id: int, item_id: int | None, group_id: str) -> model.Item:
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
        emit(world, "item_moved_to_any_group", item, user_id, source_group_id=source.id)
        return item


def check_active(world: World, item: model.Item) -> None:
    """Refuse a write to an item that is archived or deleted, or whose board is."""
    if world.state_of(item) != "active":
        raise api_errors.item_inactive(item.board_id, item.id)


def _touch(world: World, item: model.Item, user_id: int) -> None:
    item.updated_at = world.clock.stamp()
    item.changed_by = user_id
    world.put_items([item])


def _named(group: model.Group) -> dict[str, str]:
    return {"id": group.id, "title": group.title}


# Duplicate and move to another board.


COPY = " (copy)"


def duplicate_item(world: World, user_id: int, item_id: int) -> model.Item:
    """Copy an item to the end, with its cells, even those that identify it, such as an NPD ID."""
    with world.transaction():
        item = world.item(item_id)
        check_active(world, item)
        board = world.boards[item.board_id]
        copied = {column.id for column in board.visible_columns()}
        raws = {key: cell.raw for key, cell in item.cells.items() if key in copied}
        name = item.name[: NAME_LIMIT - len(COPY)] + COPY
        return place_item(world, user_id, board, group_of(board, item), name, raws)


def move_to_board(world: World, user_id: int, item_id: int, board_id: int, group_id: str) -> model.Item:
    """Put an item onto another board, its id unchanged; columns of the same type and title go together.

    What Monday tells webhooks of it is not published; the sandbox sends none.
    """
    with world.transaction():
        item = world.item(item_id)
        board = world.active_board(board_id)
        check_active(world, item)
        group = wanted_group(board, group_id)
        source = world.boards[item.board_id]
        if world.active_count(board_id) >= board.items_limit:
            raise api_errors.items_limit(board_id, board.items_limit)
        with _new_labels(world, board, board.columns):
            cells = _transfer_cells(item, source, board, world.clock.stamp())
        log(world, "move_pulse_from_board", item, user_id, dest_board_id=board_id)
        item.cells = cells
        item.group_id = group.id
        item.updated_at = world.clock.stamp()
        item.changed_by = user_id
        # Items are ordered by id, so rank it by a fresh id to put it last.
        world.move_to_board(item, board_id, float(world.next_id("item")))
        log(world, "move_pulse_into_board", item, user_id, source_board_id=source.id)
        return item


def _transfer_cells(item: model.Item, source: model.Board, target: model.Board, stamp: str) -> dict[str, model.Cell]:
    """The cells on the other board. Labels go by their words, and are made there when they are missing."""
    writing = Writing(stamp, create_labels=True)
    titled = {(column.type, column.title): column for column in target.visible_columns() if column.type != "name"}
    cells = {}
    for column in source.visible_columns():
        other = titled.get((column.type, column.title))
        if other is None:
            continue
        raw = item.raw(column.id)
        kind = kind_of(column.type)
        if raw is not None and column.type == "status":
            raw = Status().named(other, kind.text(column, raw), writing)
        elif raw is not None and column.type == "dropdown":
            labels = [label["label"] for label in kind.fields(column, raw)["values"]]
            raw = kind.parse_object(other, {"labels": labels}, writing)
        if raw is not None:
            cells[other.id] = model.Cell(raw, stamp)
    return cells


# Values. Column values and names are parsed as a whole first, so that a refusal changes nothing.


@contextmanager
def parsed_values(world: World, board: model.Board, values: Mapping[str, Any], create_labels: bool) -> Iterator[Parsed]:
    """The raw values by column id, "name" left out. A refusal takes back labels that were made on the way."""
    columns = {key: column_of(board, key) for key in values if key != "name"}
    writing = Writing(world.clock.stamp(), create_labels)
    with _new_labels(world, board, columns.values() if create_labels else ()):
        yield {key: kind_of(c.type).parse(c, values[key], writing) for key, c in columns.items()}


@contextmanager
def _new_labels(world: World, board: model.Board, columns: Iterable[model.Column]) -> Iterator[None]:
    """Keep the labels that a change makes in these columns of a board; take them back if it is refused."""
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


def check_size(item: model.Item | None, parsed: Parsed) -> None:
    """Refuse values that make the item hold more than 64 KB."""
    before = {key: cell.raw for key, cell in item.cells.items()} if item else {}
    raws = before | parsed
    if sum(len(str(raw)) for raw in raws.values()) * WIDEST <= ITEM_BYTES:
        return  # counting every byte of every change would cost more than the change
    # A loaded item may exceed the limit; allow changes that shrink it.
    if (size := _bytes(raws.values())) > ITEM_BYTES and size > _bytes(before.values()):
        raise api_errors.item_too_large()


def _bytes(raws: Iterable[Any]) -> int:
    return sum(len(json.dumps(raw, ensure_ascii=False).encode()) for raw in raws if raw is not None)


def write_cell(world: World, user_id: int, item: model.Item, column_id: str, raw: Any) -> bool:
    """Write a raw value into a cell, with log and webhook; return False, and do neither, if it is there already."""
    board = world.boards[item.board_id]
    column = column_of(board, column_id)
    kind = kind_of(column.type)
    old = item.raw(column_id)
    if kind.same(old, raw):
        return False
    item.cells[column_id] = model.Cell(raw, world.clock.stamp())
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


def rename(world: World, user_id: int, item: model.Item, name: str) -> bool:
    """Give an item another name and say so; False when it has it already."""
    if name == item.name:
        return False
    previous = item.name
    item.name = name
    log(world, "update_name", item, user_id, value={"name": name}, previous_value={"name": previous})
    emit(world, "change_name", item, user_id, value={"name": name}, previous={"name": previous})
    return True


def payloads(board: model.Board, parsed: Parsed) -> dict[str, Any]:
    """Raw values as webhooks and logs show them."""
    columns = {key: column_of(board, key) for key in parsed}
    return {key: kind_of(columns[key].type).payload(columns[key], raw) for key, raw in parsed.items()}


def _log_value(world: World, user_id: int, item: model.Item, column: model.Column, old: Any, raw: Any) -> None:
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
