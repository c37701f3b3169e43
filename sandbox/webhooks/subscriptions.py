"""Which subscription hears of what happened, by its event and its config."""

from typing import Any

from sandbox.events import Happening
from sandbox.model import Hook
from sandbox.webhooks.payloads import EVENTS

# Subscribed to in a narrower way: the event whose happenings it hears some of.
NARROWER = {
    "change_specific_column_value": "change_column_value",
    "change_status_column_value": "change_column_value",
    "item_moved_to_specific_group": "item_moved_to_any_group",
}
NAMES = (*EVENTS, *NARROWER)


def wants(hook: Hook, happening: Happening) -> bool:
    """Whether this subscription hears of it."""
    if hook.deleted or happening.kind not in EVENTS or not _is_of_board(hook, happening):
        return False
    if hook.event == happening.kind:
        return True
    if NARROWER.get(hook.event) != happening.kind:
        return False
    config = hook.config or {}
    if hook.event == "item_moved_to_specific_group":
        return happening.group is not None and config.get("groupId") == happening.group.id
    if hook.event == "change_specific_column_value":
        return happening.column is not None and config.get("columnId") == happening.column.id
    return _wants_status(config, happening)


def _is_of_board(hook: Hook, happening: Happening) -> bool:
    """Events of subitems are told to who subscribed to the board of the item above."""
    if happening.parent is not None and hook.board_id == happening.parent.board_id:
        return True
    return hook.board_id == happening.board_id


def _wants_status(config: dict[str, Any], happening: Happening) -> bool:
    if happening.column is None or happening.column.type != "status":
        return False
    if config.get("columnId") not in (None, happening.column.id):
        return False
    asked = config.get("columnValue") or {"$any$": True}
    if not isinstance(asked, dict) or asked.get("$any$"):
        return True
    return happening.value is not None and happening.value["label"]["index"] == asked.get("index")
