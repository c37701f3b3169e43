"""Webhook subscriptions."""

from typing import Any
from urllib.parse import urlsplit

from sandbox import errors
from sandbox.model import Board, Hook
from sandbox.world import World

URL_LIMIT = 255


def check(world: World, board_id: int, url: str, event: str, config: Any) -> None:
    """Refuse what Monday refuses before it tries the address."""
    board = world.boards.get(board_id)
    if board is None or board.state != "active":
        raise errors.invalid_argument("Board not found", board_id=board_id)
    if board.type == "sub_items_board":
        raise errors.invalid_argument("Creating webhook on subitems board isn't allowed", board_id=board_id)
    if len(url) > URL_LIMIT or not _is_address(url):
        raise errors.invalid_argument(f"url must be an http address of at most {URL_LIMIT} characters")
    if config is not None and not isinstance(config, dict):
        raise errors.invalid_argument("config must be a JSON object")
    if event == "change_specific_column_value":
        column_id = (config or {}).get("columnId")
        if not isinstance(column_id, str) or board.column(column_id) is None:
            raise errors.invalid_argument("config needs the columnId of a column of this board")
    if event == "change_status_column_value":
        _check_status(board, config or {})
    if event == "item_moved_to_specific_group":
        group_id = (config or {}).get("groupId")
        if not isinstance(group_id, str) or board.group(group_id) is None:
            raise errors.invalid_argument("config needs the groupId of a group of this board")


def _check_status(board: Board, config: dict[str, Any]) -> None:
    column_id, value = config.get("columnId"), config.get("columnValue")
    column = board.column(column_id) if isinstance(column_id, str) else None
    if column_id is not None and (column is None or column.type != "status"):
        raise errors.invalid_argument("columnId in config is no status column of this board")
    if value is not None and not isinstance(value, dict):
        raise errors.invalid_argument('columnValue in config is {"index": number} or {"$any$": true}')


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def create(
    world: World, user_id: int, board_id: int, *, url: str, event: str, config: dict[str, Any] | None
) -> Hook:
    """Keep a subscription whose address answered the challenge."""
    with world.transaction():
        hook = Hook(world.next_id("hook"), board_id, url, event, config, user_id)
        world.put_hook(hook)
        return hook


def delete(world: World, hook_id: int) -> Hook:
    """End a subscription."""
    with world.transaction():
        hook = world.hooks.get(hook_id)
        if hook is None or hook.deleted:
            raise errors.FieldError("Webhook not found", "ResourceNotFoundException", 404, webhook_id=hook_id)
        hook.deleted = True
        world.put_hook(hook)
        return hook
