"""What happened on a board, in the sandbox's own words; `webhooks.payloads` says it in Monday's."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.model import Column, Group, Item


@dataclass(frozen=True)
class Happening:
    """One thing that happened. `kind` is the name of the webhook event that subscribes to it:

    create_item, change_column_value, change_name, item_archived, item_deleted, item_restored,
    item_moved_to_any_group, create_column; and, without a webhook, board_changed.
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
