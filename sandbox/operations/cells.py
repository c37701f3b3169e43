"""Column values and names are written: parsed as a whole first, and held against the board's own rules: a refusal
changes nothing.

Without a condition (`if`) a column has one rule with one constraint
(developer.monday.com/api-reference/docs/validation-rules-guide, as of 2026-09); rules with one are kept and told, and
nothing is refused by them.
"""

import copy
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sandbox import api_errors
from sandbox.columns import kind_of
from sandbox.columns.value_kinds import Writing
from sandbox.model import Board, Cell, Column, Item
from sandbox.operations import column_of, emit, log
from sandbox.world import World

REQUIRABLE = frozenset(
    ("status", "dropdown", "numbers", "date", "timeline", "people", "text", "long_text", "email", "phone", "link")
) | {"country", "location"}

TEXTS: Mapping[str, Callable[[str, str], bool]] = {
    "CONTAINS_TEXT": lambda text, part: part.casefold() in text.casefold(),
    "NOT_CONTAINS_TEXT": lambda text, part: part.casefold() not in text.casefold(),
    "STARTS_WITH_TEXT": lambda text, part: text.casefold().startswith(part.casefold()),
}


def set_required(world: World, board_id: int, column_id: str, *, required: bool) -> list[str]:
    """Have a column required, or not; all that are."""
    with world.transaction():
        board = world.active_board(board_id)
        column = column_of(board, column_id)
        if required and column.type not in REQUIRABLE:
            raise api_errors.invalid_argument("Column ids are unsupported due to their types", column_id=column_id)
        others = [one for one in board.required if one != column_id]
        board.required = [*others, column_id] if required else others
        world.put_board(board)
        return board.required


def add_rule(world: World, board_id: int, rule: dict[str, Any]) -> dict[str, Any]:
    """A new rule, with its id."""
    with world.transaction():
        board = world.active_board(board_id)
        for part in ("if", "then"):
            for group in (rule.get(part) or {}).get("groups") or ():
                column_of(board, group["column_id"])
        own = {group["column_id"] for group in rule["then"]["groups"]}
        known = [one["then"]["groups"][0]["column_id"] for one in board.rules.values() if "if" not in one]
        unknown = {group["operator"] for group in rule["then"]["groups"]} - set(TEXTS)
        if not rule.get("if") and unknown:
            raise api_errors.invalid_argument(f"The sandbox has no rule {min(unknown)}")
        if not rule.get("if") and (len(rule["then"]["groups"]) != 1 or own & set(known)):
            raise api_errors.invalid_argument("A column can have only one non-conditional rule")
        rule_id = f"{secrets.token_hex(4)}-{secrets.token_hex(8)}"
        board.rules[rule_id] = {part: rule[part] for part in ("if", "then") if rule.get(part)}
        world.put_board(board)
        return {"id": rule_id, "if": rule.get("if"), "then": rule["then"]}


def delete_rule(world: World, board_id: int, rule_id: str) -> dict[str, Any]:
    with world.transaction():
        board = world.active_board(board_id)
        if rule_id not in board.rules:
            raise api_errors.invalid_argument("The validation rule was not found", rule_id=rule_id)
        rule = board.rules.pop(rule_id)
        world.put_board(board)
        return {"id": rule_id, "if": rule.get("if"), "then": rule["then"]}


def check_values(board: Board, parsed: Mapping[str, Any], *, creates: bool) -> None:
    """Refuse raw values that break the board's rules, of a new item also those that are missing."""
    found = []
    for column_id in board.required:
        column = board.column(column_id)
        if column is not None and parsed.get(column_id) is None and (creates or column_id in parsed):
            found.append(_broken(column, "must not be empty"))
    for rule in board.rules.values():
        constraint = rule["then"]["groups"][0]
        column, raw = board.column(constraint["column_id"]), parsed.get(constraint["column_id"])
        if "if" not in rule and column is not None and raw is not None and not _holds(column, raw, constraint):
            words = constraint["operator"].replace("_", " ").lower()
            found.append(_broken(column, f"must be {words} {constraint.get('compare_value')}"))
    if found:
        refusal = api_errors.FieldError("data_validation_error", "DATA_VALIDATIONS_ERROR", 422)
        refusal.extensions["error_data"] = found
        raise refusal


def _broken(column: Column, words: str) -> dict[str, Any]:
    return {"itemId": None, "columnIds": [column.id], "message": f"'{column.title}' {words}"}


def _holds(column: Column, raw: Any, constraint: Mapping[str, Any]) -> bool:
    holds = TEXTS[constraint["operator"]]
    return holds(kind_of(column.type).text(column, raw), str(constraint["compare_value"][0]))


# Column values and names are written: parsed as a whole first, so that a refusal changes nothing.


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
