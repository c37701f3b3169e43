"""Webhook subscriptions: which a board takes, and which events each gets."""

from typing import Any
from urllib.parse import urlsplit

from sandbox import api_errors
from sandbox.model import Hook, WorldEvent
from sandbox.webhooks.payloads import EVENTS
from sandbox.world import World

# developer.monday.com/api-reference/reference/webhooks
URL_LIMIT = 255


def check_subscription(world: World, board_id: int, url: str, event: str, config: Any) -> None:
    """Refuse what Monday refuses before it tries the address."""
    board = world.boards.get(board_id)
    if board is None or board.state != "active":
        raise api_errors.invalid_argument("Board not found", board_id=board_id)
    if board.type == "sub_items_board":
        raise api_errors.invalid_argument("Creating webhook on subitems board isn't allowed", board_id=board_id)
    if len(url) > URL_LIMIT or not _is_address(url):
        raise api_errors.invalid_argument(f"url must be an http address of at most {URL_LIMIT} characters")
    if config is not None and not isinstance(config, dict):
        raise api_errors.invalid_argument("config must be a JSON object")
    if event == "change_specific_column_value":
        column_id = (config or {}).get("columnId")
        if not isinstance(column_id, str) or board.column(column_id) is None:
            raise api_errors.invalid_argument("config needs the columnId of a column of this board")
    if event == "change_status_column_value":
        column_id, value = (config or {}).get("columnId"), (config or {}).get("columnValue")
        column = board.column(column_id) if isinstance(column_id, str) else None
        if column_id is not None and (column is None or column.type != "status"):
            raise api_errors.invalid_argument("columnId in config is no status column of this board")
        if value is not None and not isinstance(value, dict):
            raise api_errors.invalid_argument('columnValue in config is {"index": number} or {"$any$": true}')
    if event == "item_moved_to_specific_group":
        group_id = (config or {}).get("groupId")
        if not isinstance(group_id, str) or board.group(group_id) is None:
            raise api_errors.invalid_argument("config needs the groupId of a group of this board")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def subscribe(
    world: World, user_id: int, board_id: int, *, url: str, event: str, config: dict[str, Any] | None
) -> Hook:
    """Keep a subscription whose address answered the challenge."""
    with world.transaction():
        hook = Hook(world.next_id("hook"), board_id, url, event, config, user_id)
        world.put(hook)
        return hook


def unsubscribe(world: World, hook_id: int) -> Hook:
    """End a subscription."""
    with world.transaction():
        hook = world.hooks.get(hook_id)
        if hook is None or hook.deleted:
            raise api_errors.FieldError("Webhook not found", "ResourceNotFoundException", 404, webhook_id=hook_id)
        hook.deleted = True
        world.put(hook)
        return hook


# Which subscription gets an event, by its event type and its config.


# Subscribed to in a narrower way: the event type of which it gets some.
NARROWER = {
    "change_specific_column_value": "change_column_value",
    "change_status_column_value": "change_column_value",
    "item_moved_to_specific_group": "item_moved_to_any_group",
}

NAMES = (*EVENTS, *NARROWER)


def wants(hook: Hook, happening: WorldEvent) -> bool:
    """Whether this subscription gets it."""
    # Events of subitems are sent to who subscribed to the board of the item above, too.
    boards = (happening.board_id, happening.parent.board_id if happening.parent is not None else None)
    if hook.deleted or happening.kind not in EVENTS or hook.board_id not in boards:
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


def _wants_status(config: dict[str, Any], happening: WorldEvent) -> bool:
    if happening.column is None or happening.column.type != "status":
        return False
    if config.get("columnId") not in (None, happening.column.id):
        return False
    asked = config.get("columnValue") or {"$any$": True}
    if not isinstance(asked, dict) or asked.get("$any$"):
        return True
    return happening.value is not None and happening.value["label"]["index"] == asked.get("index")
