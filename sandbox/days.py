"""Days as filter rules name them: `2026-03-01`, or words such as TODAY and ONE_WEEK_AGO.

Source: developer.monday.com/api-reference/reference/date and …/timeline. Weeks start on Monday here.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sandbox import errors

Span = tuple[date, date]
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
UNITS = {"DAYS": 1, "WEEKS": 7, "MONTHS": 30}
MOST_UNITS = 1_000


def span(words: str) -> Span | None:
    """The first and the last day that a text names; None when it names none."""
    found = [_day(one) for one in DAY.findall(words)]
    days = [day for day in found if day is not None]
    return (days[0], days[-1]) if days else None


def moment(words: str) -> datetime | None:
    """The moment that a text names to the second, as `2026-03-01T18:00:00Z`; None for a day or a word."""
    if "T" not in words or DAY.match(words) is None:
        return None
    try:
        found = datetime.fromisoformat(words)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def days_meant(values: list[str], today: date) -> list[Span]:
    """The spans that compare values name; values that name none are left out."""
    spans = [_meant(value, today) for value in values]
    return [one for one in spans if one is not None]


def day_of(values: list[Any], today: date, ahead: bool) -> Span:
    """The span of `within_the_next` and `within_the_last`: a number, and its unit (days unless it is named)."""
    amount = next((int(value) for value in values if str(value).isdecimal()), None)
    unit = next((UNITS[str(value).upper()] for value in values if str(value).upper() in UNITS), 1)
    if amount is None or amount > MOST_UNITS:
        raise errors.invalid_argument("compare_value needs a number and DAYS, WEEKS or MONTHS")
    distance = timedelta(days=amount * unit)
    return (today, today + distance) if ahead else (today - distance, today)


def _meant(value: str, today: date) -> Span | None:
    exact = _day(value) if DAY.fullmatch(value) else None
    if exact is not None:
        return exact, exact
    named = WORDS.get(value.upper())
    return None if named is None else named(today)


def _days_away(days: int) -> Callable[[date], Span]:
    return lambda today: (today + timedelta(days=days), today + timedelta(days=days))


def _week(away: int) -> Callable[[date], Span]:
    def span_of(today: date) -> Span:
        monday = today + timedelta(weeks=away, days=-today.weekday())
        return monday, monday + timedelta(days=6)

    return span_of


def _past(today: date) -> Span:
    return date.min, today - timedelta(days=1)


def _future(today: date) -> Span:
    return today + timedelta(days=1), date.max


def _month(today: date, away: int) -> Span:
    first = (today.replace(day=15) + timedelta(days=30 * away)).replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return first, following - timedelta(days=1)


WORDS: dict[str, Callable[[date], Span]] = {
    "TODAY": _days_away(0),
    "CURRENT": _days_away(0),
    "TOMORROW": _days_away(1),
    "YESTERDAY": _days_away(-1),
    "THIS_WEEK": _week(0),
    "ONE_WEEK_AGO": _week(-1),
    "ONE_WEEK_FROM_NOW": _week(1),
    "THIS_MONTH": lambda today: _month(today, 0),
    "ONE_MONTH_AGO": lambda today: _month(today, -1),
    "ONE_MONTH_FROM_NOW": lambda today: _month(today, 1),
    "PAST_DATETIME": _past,
    "PAST_TIMELINE": _past,
    "PAST_WEEKS": _past,
    "FUTURE_DATETIME": _future,
    "FUTURE_TIMELINE": _future,
    "NEXT_WEEKS": _future,
    "UPCOMING": _future,
}


def _day(words: str) -> date | None:
    try:
        return date.fromisoformat(words)
    except ValueError:
        return None
