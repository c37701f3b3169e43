"""Charts of numbers over time: drawn on the server, with axes, said as a sentence, and listed as a table behind it; and
those of Health, of 24 hours or of 30 days: changes both ways, how long these took, failures, API calls.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db.models import Sum
from django.db.models.functions import Trunc
from django.utils import timezone
from django.utils.formats import date_format

from sync.choices import QueueDirection
from sync.kernel import humanize
from sync.kernel.counters import FAILED_ATTEMPTS, FAILED_JOBS, quantile
from sync.limits import quota
from sync.models import HourCount, LatencyHour

WIDTH, HEIGHT = 600.0, 120.0
BAR_SHARE = 0.8
"""Of the width of an hour or a day, what its bars take."""
X_LABELS = 5


@dataclass(frozen=True)
class Step:
    """An hour, a day or another part of what a chart spans: what the table calls it, and the axis in a few signs."""

    name: str
    short: str


@dataclass(frozen=True)
class Series:
    """One row of bars; `kind` is its colour."""

    label: str
    kind: str
    values: Sequence[float]


@dataclass(frozen=True)
class Bar:
    """One bar as numbers of the drawing, written out: a page's language must not put commas into them."""

    x: str
    y: str
    width: str
    height: str
    kind: str
    words: str


@dataclass(frozen=True)
class TimeChart:
    """Numbers as bars with axes, as a sentence, and as a table with a row for each step.

    `table` is its head and rows where these say more than the bars; `line` is a value to measure the bars by, with its
    name; without any number there is only the sentence.
    """

    title: str
    sentence: str
    steps: Sequence[Step] = ()
    series: Sequence[Series] = ()
    table: tuple[Sequence[str], Sequence[Sequence[str]]] = ((), ())
    text_of: Callable[[float], str] = field(default=lambda value: f"{value:,.0f}" if value == int(value) else "")
    line: tuple[str, float] = ("", 0.0)

    @property
    def heads(self) -> Sequence[str]:
        return self.table[0] or ["From", *(one.label for one in self.series)]

    @property
    def rows(self) -> Sequence[Sequence[str]]:
        by_step = zip(self.steps, *(one.values for one in self.series), strict=True)
        return self.table[1] or [[step.name, *(f"{value:,.0f}" for value in values)] for step, *values in by_step]

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
        return [self.text_of(self.top), self.text_of(self.top / 2), "0"]

    @property
    def x_labels(self) -> list[str]:
        last = len(self.steps) - 1
        return [self.steps[round(number * last / (X_LABELS - 1))].short for number in range(X_LABELS)]

    @property
    def line_y(self) -> str:
        """Where the line is drawn; empty without one."""
        return f"{HEIGHT * (1 - self.line[1] / self.top):.1f}" if self.line[1] else ""

    @property
    def bars(self) -> list[Bar]:
        """The bars, each with what it says where the mouse rests; the smallest can be seen still."""
        found = []
        slot = WIDTH / len(self.steps)
        width = slot * BAR_SHARE / len(self.series)
        for number, one in enumerate(self.series):
            for place, (step, value) in enumerate(zip(self.steps, one.values, strict=True)):
                if value:
                    height = max(2.0, HEIGHT * value / self.top)
                    x = place * slot + slot * (1 - BAR_SHARE) / 2 + number * width
                    left, top, wide, high = (f"{size:.1f}" for size in (x, HEIGHT - height, width, height))
                    words = f"{step.name}, {one.label}: {self.text_of(value)}"
                    found.append(Bar(left, top, wide, high, one.kind, words))
        return found


def count_chart(title: str, label: str, steps: Sequence[Step], numbers: Sequence[int], nothing: str = "") -> TimeChart:
    """Return the chart of one count, said as its sum and where it was the most; `nothing` where there is none."""
    if not any(numbers):
        return TimeChart(title, nothing)
    most = max(numbers)
    sentence = f"{sum(numbers):,} in all; most at once: {most:,}, {steps[list(numbers).index(most)].name}."
    return TimeChart(title, sentence, steps, [Series(label, "main", numbers)])


def hour_step(hour: datetime, now: datetime) -> Step:
    """Return an hour of the last 24 as a chart calls it: "today from 14:00 UTC"."""
    here = timezone.localtime(hour)
    day = "today" if here.date() == timezone.localtime(now).date() else "yesterday"
    return Step(f"{day} from {humanize.time_of_day(hour)}", f"{here:%H:%M}")


def round_up(value: float) -> float:
    """Return the next 1, 2 or 5 with zeros that is not below; 1 of nothing."""
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    # A little less will do: of floats, a number that is round already may come out a hair above itself.
    return next(step * size for step in (1, 2, 5, 10) if step * size >= value * (1 - 1e-9))


# The charts of the first page.


MEDIAN, P95 = 0.5, 0.95


@dataclass(frozen=True)
class Period:
    """What a chart spans: so many hours or days up to now, the present one in part."""

    unit: str
    steps: int
    label: str
    step_label: str

    @property
    def query(self) -> str:
        return "?days=1" if self.unit == "hour" else "?days=30"

    def starts(self, now: datetime) -> list[datetime]:
        """Return where its hours or days begin; days are UTC's, as the API quota's are."""
        last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if self.unit == "day":
            return [last.replace(hour=0) - timedelta(days=back) for back in range(self.steps - 1, -1, -1)]
        return [last - timedelta(hours=back) for back in range(self.steps - 1, -1, -1)]

    def named(self, now: datetime) -> list[Step]:
        """Return the same as a chart calls them."""
        if self.unit == "hour":
            return [hour_step(start, now) for start in self.starts(now)]
        return [Step(f"{date_format(start, 'DATE_FORMAT')} (UTC)", f"{start:%d %b}") for start in self.starts(now)]


DAY = Period("hour", 24, "24 hours", "hour")
MONTH = Period("day", 30, "30 days", "day")
PERIODS = (DAY, MONTH)


@dataclass(frozen=True)
class Figure:
    """So many of what `name` counts fell into one step of the scale, in the hour or day that begins at `start`."""

    name: str
    step: int
    number: int
    start: datetime


def load_figures(period: Period, now: datetime) -> list[Figure]:
    hours = {"hour__gte": period.starts(now)[0], "hour__lte": now}
    start = Trunc("hour", period.unit, tzinfo=UTC)
    edits = LatencyHour.objects.filter(**hours).values_list("direction", "bucket").annotate(start=start).order_by()
    names = [FAILED_ATTEMPTS.name, FAILED_JOBS.name, quota.QUOTA_CALLS]
    counts = HourCount.objects.filter(**hours, name__in=names).values_list("name").annotate(start=start).order_by()
    return [
        *(Figure(way, step, number, at) for way, step, at, number in edits.annotate(number=Sum("changes"))),
        *(Figure(name, 0, round(number), at) for name, at, number in counts.annotate(number=Sum("value"))),
    ]


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
    drawing = _Drawing(period, period.named(now), counted)
    return [drawing.changes(), drawing.medians(), drawing.failures(), drawing.calls(forecast)]


WAYS = {QueueDirection.TO_MONDAY: ("To Monday", "main"), QueueDirection.TO_NPD: ("To NPD", "second")}


@dataclass(frozen=True)
class _Drawing:
    period: Period
    steps: Sequence[Step]
    counted: Mapping[str, Sequence[Counter[int]]]

    def _of(self, name: str) -> Sequence[Counter[int]]:
        return self.counted.get(name, [Counter()] * self.period.steps)

    def _numbers(self, name: str) -> list[float]:
        return [float(one.total()) for one in self._of(name)]

    def _nothing(self, title: str, sentence: str) -> TimeChart:
        return TimeChart(title, sentence.format(period=self.period.label))

    def changes(self) -> TimeChart:
        """How many changes were synced, in both directions."""
        title = f"Edits synced, by {self.period.step_label}"
        series = [Series(label, kind, self._numbers(way.value)) for way, (label, kind) in WAYS.items()]
        up, down = (sum(one.values) for one in series)
        if not up + down:
            return self._nothing(
                title,
                "No edit was synced automatically in the last {period}. What people decide or ask for, checks and "
                "linking are not counted here.",
            )
        edits = humanize.count_with_noun(round(up + down), "edit")
        sentence = f"{edits} synced in the last {self.period.label}: {up:,.0f} to Monday, {down:,.0f} to NPD."
        return TimeChart(title, sentence, self.steps, series)

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
            return self._nothing(title, "No edit was synced automatically in the last {period}.")
        heads = ("From", *(head for one in series for head in (one.label, "95 of 100")))
        rows = [
            [step.name, *(precise_duration(value) if value else humanize.DASH for value in values)]
            for step, *values in zip(self.steps, *columns, strict=True)
        ]
        return TimeChart(title, " ".join(parts), self.steps, series, (heads, rows), precise_duration)

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
        return TimeChart(title, f"{words} in the last {self.period.label}.", self.steps, series)

    def calls(self, forecast: quota.Forecast | None) -> TimeChart:
        """How many calls of the API quota were used."""
        title = f"API calls, by {self.period.step_label}"
        series = [Series("API calls", "main", self._numbers(quota.QUOTA_CALLS))]
        limit = forecast.limit if forecast else None
        used = f" {forecast.used_text} are used." if forecast and forecast.used_text else ""
        total = round(sum(series[0].values))
        if not total:
            return self._nothing(title, f"No call was made in the last {{period}}.{used}")
        allowed = (limit or 0) / (24 if self.period is DAY else 1)
        # A quota far above all bars would press them to the ground: then the sentence alone says it.
        line = ("Quota, spread evenly" if self.period is DAY else "Quota", allowed)
        drawn = line if 0 < allowed <= 4 * max(series[0].values) else ("", 0.0)
        sentence = f"{humanize.count_with_noun(total, 'call')} in the last {self.period.label}.{used}"
        return TimeChart(title, sentence, self.steps, series, line=drawn)


def precise_duration(seconds: float) -> str:
    """Return a length of time as precisely as it is known, to within a tenth: "0.6 s", "14 s", "3 minutes"."""
    if seconds < 0.1:
        return "less than 0.1 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else humanize.time_span(seconds)
