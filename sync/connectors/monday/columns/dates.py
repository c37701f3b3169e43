"""One day and a date column. The column's time and icon are not mapped and stay as they are on Monday."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from sync.connectors.base.board_items import NotImportable, Reading
from sync.connectors.base.conversion import Canonical, Local, UnknownValue, canonical_text, field_label, only_field
from sync.connectors.monday.columns.raw_values import MondayColumn, complete_value, object_or_empty, text_under

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


class DateConverter(MondayColumn):
    """A base keeps `{"date", "time", "icon"}`, or None for an empty cell.

    Monday reads and writes day and time in UTC; people see them in the time zone of their profile
    (developer.monday.com/api-reference/reference/date). A day without a time is the same everywhere; with a
    time, the day is UTC's, and the time is sent back unchanged.
    """

    column_type = "date"
    name = "date"
    bare_text_problem = ", which may be in a person's time zone"

    def local(self, raw: Local) -> Canonical:
        return canonical_text(_day_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        return canonical_text(text_under(raw, "date"))

    def stored_value(self, reading: Reading) -> Any:
        value = object_or_empty(complete_value(reading, "date"))
        day = text_under(value, "date") if value else None
        return {"date": day, "time": value.get("time") or None, "icon": value.get("icon") or None} if day else None

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        day = self.local(raw_local)
        if day is None:
            return None
        existing = existing_remote_raw if isinstance(existing_remote_raw, Mapping) else {}
        # The time and the icon are a person's on the board and stay.
        return {"date": day} | {key: existing[key] for key in ("time", "icon") if existing.get(key)}

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = canonical_text(text)
        if typed is not None and not _is_day(typed):
            raise ValueError(f"{typed} is not a date; write it as year-month-day, such as 2026-01-31.")
        return {only_field(current_local)[0]: typed}

    def rejection_reason(self, raw_local: Local) -> str | None:
        name, text = _day_text(raw_local)
        day = canonical_text(text)
        if day is None or _is_day(day):
            return None
        return f"{field_label(name)}: “{day}” is not a day such as 2026-01-31, and the column on Monday holds days"

    @staticmethod
    def import_cell(value: Any, settings: Mapping[str, Any]) -> str:
        # Imports take days only.
        if value.get("time"):
            raise NotImportable("a date with a time can't be imported")
        return str(value["date"])


def _day_text(raw: Local) -> tuple[str, str | None]:
    name, value = only_field(raw)
    # A datetime is a date in Python, but its day depends on a time zone.
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return name, value.isoformat()
    if value is None or isinstance(value, str):
        return name, value
    raise UnknownValue(f"{field_label(name)} holds a {type(value).__name__} where a day was expected")


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.match(text) and dt.date.fromisoformat(text))
    except ValueError:
        return False
