"""Charts of numbers over time: drawn on the server, with axes, said as a sentence, and listed as a table behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from sync.kernel import humanize

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
