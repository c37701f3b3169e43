"""How far today's calls will last, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync import moments
from sync.budget import store, usage
from sync.connectors.monday.budget import midnight_after


@dataclass(frozen=True)
class Forecast:
    """Calls of the UTC day: used (everyone's), the limit, left of it, and the reserve for what people click.

    `ends_at` is when all but the reserve is used up at the rate of the last hour, None where that is not before
    midnight UTC, or the limit isn't known; `as_of` when Monday last told its own figure.
    """

    used: float
    limit: int | None
    left: float | None
    reserve: int
    ends_at: datetime | None
    words: str
    as_of: datetime | None


def forecast(
    books: store.Books | None = None, last_hour: Callable[[], usage.LastHour] = usage.last_hour
) -> Forecast:
    """How the day's allowance stands, and when it ends at this rate; `books` where they are read already."""
    books = books or store.read()
    budget, used = books.budget, float(books.budget.used_today)
    limit, left, spare = budget.allowance.day, budget.day_left(urgent=True), budget.day_left()
    if limit is None or left is None or spare is None:
        calls = ngettext("%(calls)s call to Monday today.", "%(calls)s calls to Monday today.", round(used))
        none = _("Monday has named no limit for the day.")
        words = f"{calls % {'calls': intcomma(round(used))}} {none}"
        return Forecast(used, None, None, 0, None, words, budget.reported_at)
    midnight = midnight_after(books.now)
    ends = _ends(books.now, spare, last_hour().calls)
    if ends is not None and ends >= midnight:
        ends = None
    of_all = _("%(used)s of today's %(limit)s calls to Monday are used.") % {
        "used": intcomma(round(used)),
        "limit": intcomma(limit),
    }
    words = f"{of_all} {_outlook(spare, ends, midnight)}"
    return Forecast(used, limit, left, budget.day_reserve, ends, words, budget.reported_at)


def _ends(now: datetime, spare: float, calls_an_hour: float) -> datetime | None:
    if spare < 1:
        return now
    return now + timedelta(hours=spare / calls_an_hour) if calls_an_hour else None


def _outlook(spare: float, ends: datetime | None, midnight: datetime) -> str:
    if spare < 1:
        return _("What is left is kept for what people ask for; everything else goes on at %(time)s.") % {
            "time": moments.utc_and_here(midnight)
        }
    if ends is not None:
        return _("At this rate the allowance ends at %(time)s.") % {"time": moments.time_of_day(ends)}
    return _("At this rate it lasts until %(time)s.") % {"time": moments.midnight(midnight)}
