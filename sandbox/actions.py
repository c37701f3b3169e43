"""`POST /_control/actions`: what a person does on the board page."""

from collections.abc import Callable
from typing import Any

from sandbox.given import number, words
from sandbox.model import Item
from sandbox.operations import items, subitems, transfers, updates
from sandbox.pages.choices import value_of
from sandbox.people import PEOPLE, is_person
from sandbox.web import BadRequestError
from sandbox.world import World

Given = dict[str, Any]
Action = Callable[[World, int, Given], Item]


def act(world: World, given: Given) -> Item:
    """Do `{action, user_id, …}`; `ACTIONS` names what there is to do. Raises BadRequestError and FieldError."""
    user_id = number(given, "user_id", PEOPLE[0].id)
    if not is_person(user_id):
        raise BadRequestError("user_id is nobody here")
    name = given.get("action")
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        raise BadRequestError(f"action is one of {', '.join(ACTIONS)}")
    return action(world, user_id, given)


def _edit(world: World, user_id: int, given: Given) -> Item:
    """`text` is what a person types, `value` what the API's column_values would hold, `chosen` and `made` are
    keys of `pages.choices` and names of new ones."""
    item = world.item(number(given, "item_id"))
    column_id = words(given, "column_id")
    parse, content = "parse", given.get("value")
    if "chosen" in given:
        content = value_of(world, item.board_id, column_id, given["chosen"], given.get("made", []))
    elif "value" not in given:
        parse, content = "parse_edit", words(given, "text")
    return items.change_values(world, user_id, item, {column_id: content}, create_labels=True, parse=parse)


def _rename(world: World, user_id: int, given: Given) -> Item:
    item = world.item(number(given, "item_id"))
    return items.change_values(world, user_id, item, {"name": words(given, "name").strip()})


def _add(world: World, user_id: int, given: Given) -> Item:
    check_item(given)
    return items.create_item(
        world,
        user_id,
        number(given, "board_id"),
        given["name"].strip(),
        given.get("values") or {},
        group_id=given.get("group_id"),
        create_labels=True,
    )


def check_item(row: Given) -> None:
    """Refuse what is no item: `{name, values?, group_id?}`."""
    words(row, "name")
    if not isinstance(row.get("values") or {}, dict):
        raise BadRequestError("values is an object of values by column id")
    if not isinstance(row.get("group_id"), str | None):
        raise BadRequestError("group_id must be a string")


def _state(state: str) -> Action:
    return lambda world, user_id, given: items.set_state(world, user_id, number(given, "item_id"), state)


def _move(world: World, user_id: int, given: Given) -> Item:
    return items.move_item(world, user_id, number(given, "item_id"), words(given, "group_id"))


def _move_to_board(world: World, user_id: int, given: Given) -> Item:
    item_id, board_id = number(given, "item_id"), number(given, "board_id")
    return transfers.move_to_board(world, user_id, item_id, board_id, words(given, "group_id"))


def _duplicate(world: World, user_id: int, given: Given) -> Item:
    return transfers.duplicate_item(world, user_id, number(given, "item_id"))


def _add_subitem(world: World, user_id: int, given: Given) -> Item:
    """Below `item_id`."""
    check_item(given)
    values, name = given.get("values") or {}, given["name"].strip()
    return subitems.create_subitem(world, user_id, number(given, "item_id"), name, values, create_labels=True)


def _move_subitem(world: World, user_id: int, given: Given) -> Item:
    return subitems.move_subitem(world, user_id, number(given, "item_id"), number(given, "parent_id"))


def _write(world: World, user_id: int, given: Given) -> Item:
    """An update below `item_id`."""
    made = updates.create_update(world, user_id, words(given, "body"), item_id=number(given, "item_id"))
    return world.item(made.item_id)


def _rewrite(world: World, user_id: int, given: Given) -> Item:
    update = updates.edit_update(world, user_id, number(given, "update_id"), words(given, "body"))
    return world.item(update.item_id)


def _unwrite(world: World, user_id: int, given: Given) -> Item:
    return world.item(updates.delete_update(world, user_id, number(given, "update_id")).item_id)


ACTIONS: dict[str, Action] = {
    "edit": _edit,
    "rename": _rename,
    "add": _add,
    "archive": _state("archived"),
    "delete": _state("deleted"),
    "restore": _state("active"),
    "move": _move,
    "move_to_board": _move_to_board,
    "duplicate": _duplicate,
    "add_subitem": _add_subitem,
    "move_subitem": _move_subitem,
    "create_update": _write,
    "edit_update": _rewrite,
    "delete_update": _unwrite,
}
