"""Who gave each side its value, and when: NPD's side by the record's own history, Monday's by its deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from conflicts.models import SyncConflict
from conflicts.records import MappedField
from sync import registry
from sync.authors import bare_name, editor_of, latest_edits, users_of
from sync.models import FieldMapping, MondayAccount, WebhookEvent

EVENTS_READ = 50
"""How many of an item's last deliveries are searched for who edited a column."""


@dataclass(frozen=True)
class Editor:
    """Who edited a side of a field, and when; `way` is a phrase, as "in the admin", or empty."""

    who: str
    at: datetime
    way: str = ""


def in_npd(conflict: SyncConflict, mapped: Mapping[str, MappedField]) -> dict[str, Editor]:
    """The last edit of each field in conflict in NPD, as far as its history is kept; three queries."""
    try:
        model = registry.entity(conflict.entity_type).model
    except registry.UnknownEntity:
        return {}
    history = latest_edits(model, [conflict.entity_id]).get(conflict.entity_id, [])
    users = users_of(history)
    found = {}
    for key in conflict.conflict_fields:
        names = [
            model._meta.get_field(name).attname  # type: ignore[union-attr]
            for name in (mapped[key].fields if key in mapped else ())
        ]
        edit = editor_of(history, names, users)
        if edit is not None:
            found[key] = Editor(edit.who, edit.at, "" if edit.who in edit.way else edit.way)
    return found


def on_monday(conflict: SyncConflict, mappings: Sequence[FieldMapping]) -> dict[str, Editor]:
    """The last edit of each field in conflict on Monday, as far as deliveries tell; our own writes are left out."""
    keys = {one.column_id: one.key for one in mappings if one.key in conflict.conflict_fields}
    if not keys or not conflict.monday_item_id:
        return {}
    events = WebhookEvent.objects.filter(item_id=conflict.monday_item_id, column_id__in=list(keys))
    account = MondayAccount.objects.filter(id=1).only("users", "user_id").first()
    people, ours = (account.users, account.user_id) if account else ({}, "")
    found: dict[str, Editor] = {}
    for event in events.order_by("-received_at")[:EVENTS_READ]:
        user, key = str(event.body.get("event", {}).get("userId") or ""), keys[str(event.column_id)]
        if user and user != ours and key not in found:
            found[key] = Editor(bare_name(user, people), event.received_at)
    return found
