"""Rows of a board's activity log as values, and as the webhooks that should have told the same.

Pure. Which events there are: published probes of 2026-05 and community topic 45686; the rows' shape is that of
version 2026-10 (developer.monday.com/api-reference/reference/activity-logs).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.connectors.monday.errors import LogShapeChanged

_TICKS = 10**7  # a row's time: ticks of 100 ns since 1970


@dataclass(frozen=True)
class Entry:
    """A row of the log. Ids are texts; `data` is what its event tells; `at` is when it happened, by Monday's clock."""

    id: str
    event: str
    entity: str
    user_id: str
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def item_ids(self) -> list[str]:
        """The items that it is about: one, several of a batch, none; sub-items are not counted."""
        if self.entity != "pulse" or self.data.get("parent_item_id") is not None:
            return []
        several = self.data.get("pulse_ids")
        ids = several if isinstance(several, list) else [self.data.get("pulse_id")]
        return [str(one) for one in ids if isinstance(one, int | str) and str(one)]


def entry_from(row: Any, request_id: str | None = None) -> Entry:
    """Read a row as version 2026-10 tells it; raises LogShapeChanged."""
    try:
        data = row["data"]
        found = json.loads(data) if isinstance(data, str) else data
        return Entry(
            id=str(row["id"]),
            event=str(row["event"]),
            entity=str(row["entity"]),
            user_id=str(row["user_id"]),
            at=_moment_of(row["created_at"]),
            data=found if isinstance(found, Mapping) else {},
        )
    except (KeyError, TypeError, ValueError, OverflowError) as wrong:
        words = f"A row of Monday's activity log can't be read ({type(wrong).__name__})"
        raise LogShapeChanged(words, request_id=request_id) from wrong


def _moment_of(ticks: Any) -> datetime:
    """The time in a row: 17 digits, ticks of 100 ns (community topic 45686); else ValueError."""
    text = str(ticks)
    if not (text.isascii() and text.isdecimal() and len(text) == 17):
        raise ValueError("a time of another form")
    seconds, rest = divmod(int(text), _TICKS)
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest // 10)


def event_bodies(entry: Entry, board_id: str) -> Iterator[dict[str, Any]]:
    """What a row would have told as webhooks, one body an item; nothing where no webhook tells such a thing.

    The trigger's id is "log:" and the row's id, so that it is stored once however often it is read.
    """
    kind = _AS_WEBHOOK.get(entry.event)
    for item_id in entry.item_ids if kind else ():
        yield {"event": _told(entry, board_id, item_id, str(kind))}


def touches_items(entry: Entry) -> bool:
    """Whether the row says that items changed without telling their values: a reason to look at them."""
    return entry.event in _WITHOUT_VALUES


def tells_of_items(entry: Entry) -> bool:
    """Whether the row says anything at all that a record could hold."""
    return entry.event in _AS_WEBHOOK or touches_items(entry)


_AS_WEBHOOK = {
    "create_pulse": "create_pulse",
    "update_column_value": "update_column_value",
    "update_name": "update_name",
    "archive_pulse": "archive_pulse",
    "delete_pulse": "delete_pulse",
    "restore_pulse": "restore_pulse",
    "archive_group_pulse": "archive_pulse",
    "delete_group_pulse": "delete_pulse",
    "batch_archive_pulses": "archive_pulse",
    "batch_delete_pulses": "delete_pulse",
}
"""Rows by the type that a webhook about the same thing bears."""
_WITHOUT_VALUES = frozenset(
    {"batch_change_pulses_column_value", "move_pulse_from_board", "move_pulse_into_board", "duplicate_pulse"}
)


def _told(entry: Entry, board_id: str, item_id: str, kind: str) -> dict[str, Any]:
    data = entry.data
    told: dict[str, Any] = {
        "type": kind,
        "triggerUuid": f"log:{entry.id}",
        "triggerTime": entry.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "boardId": board_id,
        "pulseId": item_id,
        "pulseName": data.get("pulse_name"),
        "userId": entry.user_id,
        "originalTriggerUuid": None,
    }
    if kind in ("update_column_value", "update_name"):
        told |= {"value": data.get("value"), "previousValue": data.get("previous_value")}
        told["changedAt"] = entry.at.timestamp()
    if kind == "update_column_value":
        told |= {"columnId": data.get("column_id"), "columnType": data.get("column_type")}
        told["columnTitle"] = data.get("column_title")
    if kind == "create_pulse":
        told["columnValues"] = _json_object(data.get("column_values_json"))
    return told


def _json_object(value: Any) -> dict[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return dict(found) if isinstance(found, Mapping) else {}
