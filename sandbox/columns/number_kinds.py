"""Columns that count or measure time: numbers, checkbox, date, timeline."""

import math
import re
from datetime import date, time
from decimal import Decimal
from typing import Any

from sandbox.columns.kind import EMPTY_OBJECT, ColumnKind, Writing, text_in
from sandbox.model import Column

MOST_DIGITS = 9
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


class Numbers(ColumnKind):
    """Only null clears: "" sets 0 (developer.monday.com/api-reference/reference/number)."""

    type = "numbers"
    old_type = "numeric"
    graphql_type = "NumbersValue"

    def parse(self, column: Column, given: Any, writing: Writing) -> Any:
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, str | int | float):
            raise self.bad("a number in a string is expected")
        return self._number(str(given) or "0")

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        return self._number(text) if text else None

    def _number(self, text: str) -> str:
        if not NUMBER.fullmatch(text) or math.isinf(float(text)):
            raise self.bad("this is not a number")
        return text

    def text(self, column: Column, raw: Any) -> str:
        """With as many digits as the column's settings say under `precision`, else as it was written."""
        precision = column.settings.get("precision")
        if raw is None or not isinstance(precision, int) or not 0 <= precision <= MOST_DIGITS:
            return raw or ""
        return f"{Decimal(raw):.{precision}f}"

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        unit = column.settings.get("unit") or {}
        shown = {key: unit.get(key) for key in ("symbol", "direction")}
        return shown if raw is None else shown | {"number": float(raw)}

    def payload(self, column: Column, raw: Any) -> Any:
        if raw is None:
            return None
        number = float(raw)
        return {"value": int(number) if number.is_integer() else number, "unit": None}

    def same(self, one: Any, other: Any) -> bool:
        if one is None or other is None:
            return one is other
        return Decimal(one) == Decimal(other)


class Date(ColumnKind):
    """A day, and perhaps a time in UTC."""

    type = old_type = "date"
    graphql_type = "DateValue"

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        day, _, clock = text.strip().replace("T", " ").partition(" ")
        return self._value(day, clock, None, writing)

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        icon = text_in(self, given, "icon") or None
        return self._value(text_in(self, given, "date"), text_in(self, given, "time"), icon, writing)

    def _value(self, day: str, clock: str, icon: str | None, writing: Writing) -> Any:
        if not day:
            return None
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day) or not re.fullmatch(r"(\d{2}:\d{2}(:\d{2})?)?", clock):
            raise self.bad("the date must be YYYY-MM-DD and the time HH:MM:SS")
        try:
            date.fromisoformat(day)
            full_time = time.fromisoformat(clock).isoformat() if clock else None
        except ValueError:
            raise self.bad("there is no such date or time") from None
        return {"date": day, "time": full_time, "icon": icon, "changed_at": writing.stamp}

    def text(self, column: Column, raw: Any) -> str:
        if not raw:
            return ""
        return f"{raw['date']} {raw['time'][:5]}" if raw["time"] else str(raw["date"])

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        if not raw:
            return {"date": "", "time": ""}
        return {"date": raw["date"], "time": (raw["time"] or "")[:5], "icon": raw["icon"]}


class Checkbox(ColumnKind):
    """Ticked or empty; only null unticks it through the API."""

    type = "checkbox"
    old_type = "boolean"
    graphql_type = "CheckboxValue"
    clearings = ()

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        checked = given.get("checked")
        if checked not in (True, False, "true", "false"):
            raise self.bad('{"checked": "true"} is expected')
        if checked in (False, "false"):
            return None
        return {"checked": True, "changed_at": writing.stamp}

    def parse_edit(self, column: Column, text: str, writing: Writing) -> Any:
        return {"checked": True, "changed_at": writing.stamp} if text.strip() else None

    def text(self, column: Column, raw: Any) -> str:
        return "v" if raw else ""

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"checked": bool(raw)}


DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Timeline(ColumnKind):
    """From a day to a day (developer.monday.com/api-reference/reference/timeline)."""

    type = "timeline"
    old_type = "timerange"
    graphql_type = "TimelineValue"
    clearings = EMPTY_OBJECT

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        return self._kept(text_in(self, given, "from"), text_in(self, given, "to"), writing)

    def parse_edit(self, column: Column, text: str, writing: Writing) -> Any:
        first, _, last = text.strip().partition(" ")
        return self._kept(first, last.lstrip("-– ").strip() or first, writing) if first else None

    def _kept(self, first: str, last: str, writing: Writing) -> Any:
        if not DAY.fullmatch(first) or not DAY.fullmatch(last):
            raise self.bad("both dates must be YYYY-MM-DD")
        try:
            start, end = date.fromisoformat(first), date.fromisoformat(last)
        except ValueError:
            raise self.bad("there is no such date") from None
        if end < start:
            raise self.bad("the end is before the start")
        return {"from": first, "to": last, "changed_at": writing.stamp}

    def text(self, column: Column, raw: Any) -> str:
        return f"{raw['from']} - {raw['to']}" if raw else ""

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return raw or {}
