"""How a moment is said in words: in the zone of whoever reads, and always with that zone's name.

A page is read in its reader's zone, which the site activates for the request. A sentence that a worker writes down is
read by everyone: no zone is active there, so it says UTC. Forms of dates are the language's (config/formats).
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

_STEPS = (
    (86_400, ngettext_lazy("%(n)d day", "%(n)d days", "n")),
    (3_600, ngettext_lazy("%(n)d hour", "%(n)d hours", "n")),
    (60, ngettext_lazy("%(n)d minute", "%(n)d minutes", "n")),
    (1, ngettext_lazy("%(n)d second", "%(n)d seconds", "n")),
)


def time_of_day(moment: datetime, *, seconds: bool = False) -> str:
    """Return the time alone: "14:05 CET"; of a moment close to now."""
    here = timezone.localtime(moment)
    told = f"{here:%H:%M:%S}" if seconds else date_format(here, "TIME_FORMAT")
    return f"{told} {zone_name(here)}"


def day_and_time(moment: datetime) -> str:
    """Return the day and the time: "21 Nov 2026, 14:05 CET"."""
    here = timezone.localtime(moment)
    return f"{date_format(here, 'DATETIME_FORMAT')} {zone_name(here)}"


def day_time_seconds(moment: datetime) -> str:
    """Return a moment to the second: "2026-11-21 14:05:09 CET"."""
    here = timezone.localtime(moment)
    return f"{here:%Y-%m-%d %H:%M:%S} {zone_name(here)}"


def utc_and_here(moment: datetime) -> str:
    """Return the time of what is fixed in UTC, and what that is here: "00:00 UTC (01:00 CET)"."""
    here, there = timezone.localtime(moment), f"{moment.astimezone(UTC):%H:%M} UTC"
    return there if zone_name(here) == "UTC" else f"{there} ({time_of_day(moment)})"


def midnight(moment: datetime) -> str:
    """Return the midnight that ends Monday's day of calls, and what that is here: "midnight UTC (01:00 CET)"."""
    here, there = timezone.localtime(moment), _("midnight UTC")
    return there if zone_name(here) == "UTC" else f"{there} ({time_of_day(moment)})"


def span(seconds: float) -> str:
    """Return a length of time in its largest whole unit: "5 minutes"."""
    whole = max(1, round(abs(seconds)))
    size, unit = next((size, unit) for size, unit in _STEPS if whole >= size)
    return str(unit % {"n": whole // size})


def zone_name(here: datetime) -> str:
    """Return what people call the zone at that moment: "CET", "CEST", or "UTC+3" where it has no letters."""
    name = here.tzname() or "UTC"
    if name[0] not in "+-":
        return name
    hours, minutes = name[1:3].lstrip("0") or "0", name[3:5]
    return f"UTC{name[0]}{hours}{':' + minutes if minutes.strip('0') else ''}"
