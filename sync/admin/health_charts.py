"""The charts of the first page, of 24 hours or of 30 days: changes both ways, failures, API calls, and how long changes
took. Drawn on the server, each with its axes, said as a sentence, and listed as a table behind it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format

from sync.admin.board_cards import MEDIAN, P95, Bar, hour_label, precise_duration
from sync.choices import QueueDirection
from sync.kernel import humanize
from sync.kernel.counters import FAILED_ATTEMPTS, FAILED_JOBS, quantile
from sync.limits import quota

WIDTH, HEIGHT = 600.0, 120.0
BAR_SHARE = 0.8
"""Of the width of an hour or a day, what its bars take."""
X_LABELS = 5

FIGURES = """
    SELECT 'figure', direction, '', bucket, sum(changes), '', date_trunc(%(unit)s, hour, 'UTC') AS start
    FROM sync_latency_hours WHERE hour >= %(since)s AND hour <= %(now)s GROUP BY direction, bucket, start
    UNION ALL
    SELECT 'figure', name, '', 0, round(sum(value))::bigint, '', date_trunc(%(unit)s, hour, 'UTC') AS start
    FROM sync_hour_counts WHERE hour >= %(since)s AND hour <= %(now)s AND name = ANY (%(names)s) GROUP BY name, start
"""
"""A part of the first page's statement: what is counted, its step of the scale, how often, in which hour or day."""


@dataclass(frozen=True)
class Period:
    """What a chart spans: so many hours or days up to now, the present one in part."""

    unit: str
    steps: int
    label: str
    step_label: str

    @property
    def query(self) -> str:
        """The address that shows it."""
        return "?days=1" if self.unit == "hour" else "?days=30"

    def starts(self, now: datetime) -> list[datetime]:
        """Return where its hours or days begin; days are UTC's, as the API quota's are."""
        last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if self.unit == "day":
            return [last.replace(hour=0) - timedelta(days=back) for back in range(self.steps - 1, -1, -1)]
        return [last - timedelta(hours=back) for back in range(self.steps - 1, -1, -1)]

    def name(self, start: datetime, now: datetime) -> str:
        """Return what one of them is called in the table."""
        return hour_label(start, now) if self.unit == "hour" else f"{date_format(start, 'DATE_FORMAT')} (UTC)"

    def axis_label(self, start: datetime) -> str:
        """Return the same in a few signs, for the axis."""
        here = timezone.localtime(start) if self.unit == "hour" else start
        return f"{here:%H:%M}" if self.unit == "hour" else f"{here:%d %b}"


DAY = Period("hour", 24, "24 hours", "hour")
MONTH = Period("day", 30, "30 days", "day")
PERIODS = (DAY, MONTH)


@dataclass(frozen=True)
class Series:
    """One row of bars; `kind` is its colour."""

    label: str
    kind: str
    values: Sequence[float]


@dataclass(frozen=True)
class TimeChart:
    """A chart of one period: its numbers as bars with axes, as a sentence, and as a table with a row an hour or a day.

    `line` is a value to measure the bars by, with its name; without any number there is only the sentence.
    """

    title: str
    sentence: str
    period: Period
    now: datetime
    series: Sequence[Series] = ()
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    text_of: Callable[[float], str] = field(default=lambda value: f"{value:,.0f}" if value == int(value) else "")
    line: tuple[str, float] = ("", 0.0)

    @property
    def size(self) -> str:
        """The drawing's own coordinates."""
        return f"0 0 {WIDTH:.0f} {HEIGHT:.0f}"

    @property
    def top(self) -> float:
        """The value at the upper end of the axis: round, and not below any bar or the line."""
        return round_up(max([self.line[1], *(value for one in self.series for value in one.values)]))

    @property
    def y_labels(self) -> list[str]:
        """What stands at the axis, from above."""
        return [self.text_of(self.top), self.text_of(self.top / 2), "0"]

    @property
    def x_labels(self) -> list[str]:
        """What stands below, from left to right."""
        starts = self.period.starts(self.now)
        places = [round(number * (len(starts) - 1) / (X_LABELS - 1)) for number in range(X_LABELS)]
        return [self.period.axis_label(starts[place]) for place in places]

    @property
    def line_y(self) -> str:
        """Where the line is drawn; empty without one."""
        return f"{HEIGHT * (1 - self.line[1] / self.top):.1f}" if self.line[1] else ""

    @property
    def bars(self) -> list[tuple[Bar, str]]:
        """The bars, each with what it says where the mouse rests; the smallest can be seen still."""
        found, starts = [], self.period.starts(self.now)
        slot = WIDTH / len(starts)
        width = slot * BAR_SHARE / len(self.series)
        for number, one in enumerate(self.series):
            for place, value in enumerate(one.values):
                if value:
                    height = max(2.0, HEIGHT * value / self.top)
                    x = place * slot + slot * (1 - BAR_SHARE) / 2 + number * width
                    bar = Bar(f"{x:.1f}", f"{HEIGHT - height:.1f}", f"{width:.1f}", f"{height:.1f}", one.kind)
                    found.append(
                        (bar, f"{self.period.name(starts[place], self.now)}, {one.label}: {self.text_of(value)}")
                    )
        return found


def round_up(value: float) -> float:
    """Return the next 1, 2 or 5 with zeros that is not below; 1 of nothing."""
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    # A little less will do: of floats, a number that is round already may come out a hair above itself.
    return next(step * size for step in (1, 2, 5, 10) if step * size >= value * (1 - 1e-9))


@dataclass(frozen=True)
class Figure:
    """So many of what `name` counts fell into one step of the scale, in the hour or day that begins at `start`."""

    name: str
    step: int
    number: int
    start: datetime


def figure_params(period: Period, now: datetime) -> dict[str, Any]:
    """Return what FIGURES asks for."""
    names = [FAILED_ATTEMPTS.name, FAILED_JOBS.name, quota.QUOTA_CALLS]
    return {"unit": period.unit, "since": period.starts(now)[0], "names": names}


def time_charts(
    period: Period, now: datetime, figures: Sequence[Figure], forecast: quota.Forecast | None
) -> list[TimeChart]:
    """Return the charts of a period up to now."""
    found: dict[str, dict[datetime, Counter[int]]] = {}
    for one in figures:
        found.setdefault(one.name, {}).setdefault(one.start, Counter())[one.step] += one.number
    counted = {
        name: [by_start.get(start, Counter()) for start in period.starts(now)] for name, by_start in found.items()
    }
    drawing = _Drawing(period, now, counted)
    return [drawing.changes(), drawing.medians(), drawing.failures(), drawing.calls(forecast)]


WAYS = {QueueDirection.TO_MONDAY: ("To Monday", "main"), QueueDirection.TO_NPD: ("To NPD", "second")}


@dataclass(frozen=True)
class _Drawing:
    period: Period
    now: datetime
    counted: Mapping[str, Sequence[Counter[int]]]

    def _of(self, name: str) -> Sequence[Counter[int]]:
        return self.counted.get(name, [Counter()] * self.period.steps)

    def _numbers(self, name: str) -> list[float]:
        return [float(one.total()) for one in self._of(name)]

    def _names(self) -> list[str]:
        return [self.period.name(start, self.now) for start in self.period.starts(self.now)]

    def _chart(self, title: str, sentence: str, series: Sequence[Series], **more: Any) -> TimeChart:
        heads = ("From", *(one.label for one in series))
        rows = [[name, *(f"{value:,.0f}" for value in values)] for name, *values in self._rows(series)]
        return TimeChart(title, sentence, self.period, self.now, series, **{"heads": heads, "rows": rows} | more)

    def _rows(self, series: Sequence[Series]) -> list[tuple[Any, ...]]:
        return list(zip(self._names(), *(one.values for one in series), strict=True))

    def _nothing(self, title: str, sentence: str) -> TimeChart:
        return TimeChart(title, sentence.format(period=self.period.label), self.period, self.now)

    def changes(self) -> TimeChart:
        """How many changes were synced, in both directions."""
        title = f"Edits synced, by {self.period.step_label}"
        series = [Series(label, kind, self._numbers(way.value)) for way, (label, kind) in WAYS.items()]
        up, down = (sum(one.values) for one in series)
        if not up + down:
            return self._nothing(
                title,
                "No edit went over by itself in the last {period}. What people decide or ask for, checks and linking "
                "are not counted here.",
            )
        sentence = f"{up:,.0f} to Monday and {down:,.0f} to NPD in the last {self.period.label}."
        return self._chart(title, sentence, series)

    def medians(self) -> TimeChart:
        """Within what time half of the changes were on the other side."""
        title = "Time until an edit is synced (median)"
        parts, series, columns = [], [], []
        for way, (label, kind) in WAYS.items():
            steps = self._of(way.value)
            whole: Counter[int] = sum(steps, Counter())
            medians, most = [quantile(one, MEDIAN) for one in steps], [quantile(one, P95) for one in steps]
            series.append(Series(label, kind, medians))
            columns += [medians, most]
            if whole:
                half, nearly_all = (precise_duration(quantile(whole, share)) for share in (MEDIAN, P95))
                parts.append(f"{label}: half within {half}, 95 of 100 within {nearly_all}.")
        if not parts:
            return self._nothing(title, "No edit went over by itself in the last {period}.")
        heads = ("From", *(head for one in series for head in (one.label, "95 of 100")))
        rows = [
            [name, *(precise_duration(value) if value else humanize.DASH for value in values)]
            for name, *values in zip(self._names(), *columns, strict=True)
        ]
        return self._chart(title, " ".join(parts), series, heads=heads, rows=rows, text_of=precise_duration)

    def failures(self) -> TimeChart:
        """How many attempts failed, and how many jobs after their last one."""
        title = f"Failures, by {self.period.step_label}"
        series = [
            Series("Failed attempts", "warn", self._numbers(FAILED_ATTEMPTS.name)),
            Series("Failed jobs", "bad", self._numbers(FAILED_JOBS.name)),
        ]
        attempts, jobs = (round(sum(one.values)) for one in series)
        if not attempts + jobs:
            return self._nothing(title, "Nothing failed in the last {period}.")
        words = (
            f"{humanize.count_with_noun(attempts, 'failed attempt')}, {humanize.count_with_noun(jobs, 'failed job')}"
        )
        return self._chart(title, f"{words} in the last {self.period.label}.", series)

    def calls(self, forecast: quota.Forecast | None) -> TimeChart:
        """How many calls of the API quota were used."""
        title = f"API calls, by {self.period.step_label}"
        series = [Series("API calls", "main", self._numbers(quota.QUOTA_CALLS))]
        limit = forecast.limit if forecast else None
        used = f" {round(forecast.used):,} of today's {limit:,} are used." if forecast and limit else ""
        total = round(sum(series[0].values))
        if not total:
            return self._nothing(title, f"No call was made in the last {{period}}.{used}")
        allowed = (limit or 0) / (24 if self.period is DAY else 1)
        # A quota far above all bars would press them to the ground: then the sentence alone says it.
        line = ("Quota, spread evenly" if self.period is DAY else "Quota", allowed)
        drawn = line if 0 < allowed <= 4 * max(series[0].values) else ("", 0.0)
        sentence = f"{humanize.count_with_noun(total, 'call')} in the last {self.period.label}.{used}"
        return self._chart(title, sentence, series, line=drawn)
