"""Timelines, weeks and hours."""

import re
from datetime import date, timedelta
from typing import Any

from sandbox.columns.base import EMPTY_OBJECT, ColumnKind, Writing, text_in
from sandbox.model import Column

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class _Range(ColumnKind):
    """Two days, read back as they were written."""

    def _days(self, first: str, last: str) -> tuple[date, date]:
        if not DAY.fullmatch(first) or not DAY.fullmatch(last):
            raise self.bad("both dates must be YYYY-MM-DD")
        try:
            start, end = date.fromisoformat(first), date.fromisoformat(last)
        except ValueError:
            raise self.bad("there is no such date") from None
        if end < start:
            raise self.bad("the end is before the start")
        return start, end

    def parse_edit(self, column: Column, text: str, writing: Writing) -> Any:
        first, _, last = text.strip().partition(" ")
        if not first:
            return None
        return self._kept(first, last.lstrip("-– ").strip() or first, writing)

    def _kept(self, first: str, last: str, writing: Writing) -> Any:
        raise NotImplementedError


class Timeline(_Range):
    """From a day to a day (developer.monday.com/api-reference/reference/timeline)."""

    type = "timeline"
    old_type = "timerange"
    graphql_type = "TimelineValue"
    clearings = EMPTY_OBJECT

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        return self._kept(text_in(self, given, "from"), text_in(self, given, "to"), writing)

    def _kept(self, first: str, last: str, writing: Writing) -> Any:
        self._days(first, last)
        return {"from": first, "to": last, "changed_at": writing.stamp}

    def text(self, column: Column, raw: Any) -> str:
        return f"{raw['from']} - {raw['to']}" if raw else ""

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        if not raw:
            return {"from": None, "to": None, "visualization_type": None}
        return {"from": raw["from"], "to": raw["to"], "visualization_type": None}


class Week(_Range):
    """Seven days from the account's first day of the week, which is Monday here.

    Source: developer.monday.com/api-reference/reference/week.
    """

    type = old_type = "week"
    graphql_type = "WeekValue"
    clearings = EMPTY_OBJECT

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        week = given.get("week", given)
        if week is None or week in ("", {}):
            return None
        if not isinstance(week, dict):
            raise self.bad('{"week": {"startDate", "endDate"}} is expected')
        return self._kept(text_in(self, week, "startDate"), text_in(self, week, "endDate"), writing)

    def _kept(self, first: str, last: str, writing: Writing) -> Any:
        start, end = self._days(first, last)
        if end - start != timedelta(days=6) or start.weekday() != 0:
            raise self.bad("a week has seven days and starts on the account's first day of the week")
        return {"week": {"startDate": first, "endDate": last}, "changed_at": writing.stamp}

    def text(self, column: Column, raw: Any) -> str:
        return f"{raw['week']['startDate']} - {raw['week']['endDate']}" if raw else ""

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        week = raw["week"] if raw else {"startDate": None, "endDate": None}
        return {"start_date": week["startDate"], "end_date": week["endDate"]}


class Hour(ColumnKind):
    """A time of day (developer.monday.com/api-reference/reference/hour): numbers without leading zeros."""

    type = old_type = "hour"
    graphql_type = "HourValue"
    clearings = EMPTY_OBJECT

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        hour, minute = given.get("hour"), given.get("minute", 0)
        if hour is None:
            return None
        for number, below in ((hour, 24), (minute, 60)):
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < below:
                raise self.bad('"hour" is 0 to 23 and "minute" 0 to 59, as numbers')
        return {"hour": hour, "minute": minute, "changed_at": writing.stamp}

    def parse_edit(self, column: Column, text: str, writing: Writing) -> Any:
        if not text.strip():
            return None
        found = re.fullmatch(r"(\d{1,2}):(\d{2})", text.strip())
        if found is None:
            raise self.bad("a time is written HH:MM")
        return self.parse_object(column, {"hour": int(found[1]), "minute": int(found[2])}, writing)

    def text(self, column: Column, raw: Any) -> str:
        return f"{raw['hour']:02d}:{raw['minute']:02d}" if raw else ""

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"hour": raw["hour"], "minute": raw["minute"]} if raw else {"hour": None, "minute": None}
