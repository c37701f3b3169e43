"""One day and a date column; the column's time and icon belong to the board's people."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local, Plain, UnknownValue
from sync.connectors.monday.converters.forms import (
    canonical_text,
    event_value,
    object_in,
    only_field,
    shown_value,
    text_at,
    words,
)
from sync.connectors.monday.items import Reading

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


class DateConverter(Plain):
    """What a base keeps is `{"date", "time", "icon"}`, or None for an empty cell.

    Day and time are Monday's in UTC, both when read and when written; people see them in the time zone of
    their profile (developer.monday.com/api-reference/reference/date). A day without a time is the same
    everywhere; with a time, the day is UTC's, and the time goes back as it was read.
    """

    column_type = "date"

    def local(self, raw: Local) -> Canonical:
        return canonical_text(_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        return canonical_text(text_at(raw, "date"))

    def raw_of(self, reading: Reading) -> Any:
        value = object_in(shown_value(reading, "date"))
        day = text_at(value, "date") if value else None
        return (
            {"date": day, "time": value.get("time") or None, "icon": value.get("icon") or None}
            if day
            else None
        )

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        day = self.local(raw_local)
        if day is None:
            return None
        kept = existing_remote_raw if isinstance(existing_remote_raw, Mapping) else {}
        return {"date": day} | {key: kept[key] for key in ("time", "icon") if kept.get(key)}

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = only_field(current_local)
        canonical = self.remote(remote_raw)
        return {name: current if self.local(current_local) == canonical else canonical}

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = canonical_text(text)
        if typed is not None and not _is_day(typed):
            raise ValueError(f"{typed} is not a date; write it as year-month-day, such as 2026-01-31.")
        return {only_field(current_local)[0]: typed}

    def limit(self, raw_local: Local) -> str | None:
        name, text = _text(raw_local)
        day = canonical_text(text)
        if day is None or _is_day(day):
            return None
        return f"{words(name)}: “{day}” is not a day such as 2026-01-31, and the column on Monday holds days"

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        value = event_value(payload_value, column_type, "date")
        if isinstance(value, str):
            raise UnknownValue("the event's date is a bare text, which may be in a person's time zone")
        return self.remote(value)


def _text(raw: Local) -> tuple[str, str | None]:
    name, value = only_field(raw)
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return name, value.isoformat()
    if value is None or isinstance(value, str):
        return name, value
    raise UnknownValue(f"{words(name)} holds a {type(value).__name__} where a day was expected")


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.match(text) and dt.date.fromisoformat(text))
    except ValueError:
        return False
