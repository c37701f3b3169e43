"""What happened on a board, in the sandbox's own words; `webhooks.payloads` says it in Monday's."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.model import Column, Group, Item


@dataclass(frozen=True)
class Posted:
    """An update below an item, as a webhook tells it; `reply_id` is the update that it answers."""

    id: int
    body: str
    text_body: str
    reply_id: int | None = None


@dataclass(frozen=True)
class Happening:
    """One thing that happened. `kind` is the name of the webhook event that subscribes to it:

    create_item, change_column_value, change_name, item_archived, item_deleted, item_restored,
    item_moved_to_any_group, create_column; of subitems create_subitem, change_subitem_column_value,
    change_subitem_name, move_subitem, subitem_archived, subitem_deleted (`board_id` is the subitems board,
    `parent` the item above, and `source_parent` the one that a moved subitem left); of updates create_update,
    edit_update, delete_update, create_subitem_update (with `update`); and, without a webhook, board_changed.
    `seconds` is the sandbox's time. `value` and `previous` are as the event's webhook shows them.
    """

    kind: str
    board_id: int
    user_id: int
    seconds: float
    item: Item | None = None
    item_name: str = ""
    group: Group | None = None
    is_top_group: bool = True
    source_group_id: str = ""
    column: Column | None = None
    column_type: str = ""
    value: Any = None
    previous: Any = None
    column_values: dict[str, Any] = field(default_factory=dict)
    parent: Item | None = None
    source_parent: Item | None = None
    update: Posted | None = None
