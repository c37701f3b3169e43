"""The last 24 hours as bars: drawn on the server, said as a sentence, and listed as a table behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync.admin import words
from sync.admin.queue_cards import Board, chart, hour_label
from sync.admin.queue_figures import HOURS, hours_until
from sync.choices import QueueDirection
from sync.metrics.scale import quantile

WIDTH, HEIGHT, GAP = 500.0, 72.0, 3.0
MEDIAN, MOST = 0.5, 0.95


@dataclass(frozen=True)
class Bar:
    """One bar as numbers of the drawing, written out: a page's language must not put commas into them."""

    x: str
    y: str
    width: str
    height: str
    kind: str


@dataclass(frozen=True)
class Drawing:
    """A chart: its title, its sentence, its bars, and the table with a row an hour; without bars there is nothing."""

    title: str
    sentence: str
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    bars: Sequence[Bar] = ()
    key: str = ""

    @property
    def size(self) -> str:
        """The drawing's own coordinates."""
        return f"0 0 {WIDTH:.0f} {HEIGHT:.0f}"


def throughput(board: Board) -> Drawing:
    """Return what was finished on one board, hour by hour: what the queue's screen says of it."""
    title = _("Rows finished: %(board)s") % {"board": board.spec.board_title}
    found = chart(board)
    if found is None:
        return Drawing(title, _("Nothing was finished in the last 24 hours."))
    heights = [float(hour.rows) for hour in found.hours]
    return Drawing(
        title,
        found.sentence,
        (_("Hour"), _("Rows finished")),
        [(hour.label, f"{hour.rows:,}") for hour in found.hours],
        bars(heights, max(heights), "main"),
    )


def latency(direction: QueueDirection, counted: Mapping[datetime, Counter[int]], now: datetime) -> Drawing:
    """Return how long changes of one direction were on their way: half of them, and 95 of 100."""
    title = titles()[direction]
    together: Counter[int] = sum(counted.values(), Counter())
    if not together:
        return Drawing(title, _("No change went this way in the last 24 hours."))
    hours = hours_until(now)[-HOURS:]
    steps = [counted.get(hour, Counter()) for hour in hours]
    most = [quantile(one, MOST) for one in steps]
    half = [quantile(one, MEDIAN) for one in steps]
    top = max(most)
    return Drawing(
        title,
        _latency_sentence(together),
        (_("Hour"), _("Changes"), _("Half within"), _("95 of 100 within")),
        [_latency_row(hour_label(hour, now), one) for hour, one in zip(hours, steps, strict=True)],
        [*bars(most, top, "soft"), *bars(half, top, "main")],
        _("Light: 95 of 100 changes; dark: half of them. The highest bar: %(top)s.") % {"top": duration(top)},
    )


def titles() -> Mapping[QueueDirection, str]:
    """Return what each direction's chart is called."""
    return {
        QueueDirection.TO_MONDAY: _("From a save in NPD to the board"),
        QueueDirection.TO_NPD: _("From an edit on a board to NPD"),
    }


def _latency_sentence(counts: Counter[int]) -> str:
    number = sum(counts.values())
    return ngettext(
        "%(number)s change in the last 24 hours, on its way for %(half)s.",
        "%(number)s changes in the last 24 hours: half arrived within %(half)s, 95 of 100 within %(most)s.",
        number,
    ) % {
        "number": f"{number:,}",
        "half": duration(quantile(counts, MEDIAN)),
        "most": duration(quantile(counts, MOST)),
    }


def _latency_row(label: str, counts: Counter[int]) -> Sequence[str]:
    if not counts:
        return (label, "0", words.NOTHING, words.NOTHING)
    told = [duration(quantile(counts, share)) for share in (MEDIAN, MOST)]
    return (label, f"{sum(counts.values()):,}", *told)


def bars(values: Sequence[float], top: float, kind: str) -> list[Bar]:
    """Return a bar for every value that is not 0; the smallest can be seen still."""
    step = WIDTH / len(values)
    found = []
    for place, value in enumerate(values):
        if value:
            height = max(2.0, HEIGHT * value / top)
            x, y = place * step + GAP / 2, HEIGHT - height
            found.append(Bar(f"{x:.1f}", f"{y:.1f}", f"{step - GAP:.1f}", f"{height:.1f}", kind))
    return found


def duration(seconds: float) -> str:
    """Return a length of time as precisely as it is known, to within a tenth: "0.6 s", "14 s", "3 minutes"."""
    if seconds < 0.1:
        return _("less than 0.1 s")
    if seconds < 10:
        return _("%(seconds)s s") % {"seconds": f"{seconds:.1f}"}
    return _("%(seconds)s s") % {"seconds": f"{seconds:.0f}"} if seconds < 120 else words.span(seconds)
