"""One board's card in the queue's panel: its state as a badge, why it stands still, its numbers, its last 24 hours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils import timezone
from django.utils.translation import gettext as _

from sync import moments
from sync.admin import words
from sync.admin.queue_figures import Figures, hours_until
from sync.choices import QueueDirection, QueueStatus
from sync.registry import EntitySpec
from sync.standing import Why
from sync.standstill import Standstill


@dataclass(frozen=True)
class Figure:
    """One number with its word, and the filters of the list that shows its rows."""

    label: str
    number: int
    query: str
    icon: str
    kind: str


@dataclass(frozen=True)
class Hour:
    """The rows finished in one hour; `label` says which."""

    label: str
    rows: int


@dataclass(frozen=True)
class Chart:
    """What was finished, hour by hour: for the eye, as a sentence, and as a table."""

    data: str
    sentence: str
    hours: Sequence[Hour]


@dataclass(frozen=True)
class Badge:
    """A state as colour, icon and words."""

    kind: str
    icon: str
    words: str


@dataclass(frozen=True)
class Board:
    """What is known of a board at one moment."""

    spec: EntitySpec
    standing: Standstill
    why: Why | None
    paused_ways: frozenset[str]
    free_since: datetime | None
    figures: Figures
    now: datetime

    @property
    def is_paused(self) -> bool:
        """Whether people have paused it as a whole."""
        return self.why is Why.PAUSED

    @property
    def is_set_up(self) -> bool:
        """Whether Monday is connected, and the board is there."""
        return self.why not in (Why.NOT_CONFIGURED, Why.NO_BOARD)

    @property
    def ready(self) -> int:
        """Rows whose time has come and whose direction is not paused."""
        return self.figures.rows("ready", leaving_out=self.paused_ways)

    @property
    def due(self) -> int:
        """Rows that a worker could take now: none while the board stands still."""
        return 0 if self.standing.words else self.ready

    @property
    def held(self) -> int:
        """Rows whose time has come, and which wait for the board or for a direction."""
        return self.figures.rows("ready") - self.due

    @property
    def due_since(self) -> datetime | None:
        """Since when the oldest due row could have been taken: not while its board could not be worked."""
        oldest = self.figures.first("ready", leaving_out=self.paused_ways) if self.due else None
        return max(oldest, self.free_since or oldest) if oldest else None


@dataclass(frozen=True)
class Card:
    """A board as the panel shows it."""

    title: str
    entity_type: str
    badge: Badge
    reason: str
    figures: Sequence[Figure]
    waits: str
    times: Sequence[str]
    chart: Chart | None


def card(board: Board) -> Card:
    """Return the card of a board."""
    return Card(
        board.spec.board_title,
        board.spec.entity_type,
        badge_of(board),
        # Who has paused it, and since when, stands above all cards, with the button that resumes it.
        "" if board.is_paused else words.plain(board.standing.words),
        numbers(board),
        waits(board),
        times(board),
        chart(board),
    )


def badge_of(board: Board) -> Badge:
    """Return whether the board flows, as one badge."""
    if board.is_paused:
        return Badge("warn", "pause_circle", _("Paused"))
    if board.standing.words:
        passing = board.standing.passing
        return (
            Badge("wait", "hourglass", _("A short wait"))
            if passing
            else Badge("bad", "block", _("Standing still"))
        )
    for way in board.paused_ways:
        return Badge("warn", "pause_circle", f"{QueueDirection(way).label} paused")
    return Badge("ok", "check_circle", _("Flowing"))


def numbers(board: Board) -> list[Figure]:
    """Return how many rows wait, are in flight, stopped, and were done."""
    found = board.figures
    return [
        _figure(board, _("Waiting"), found.waiting, QueueStatus.PENDING, "schedule", "wait"),
        _figure(board, _("In flight"), found.rows("in_progress"), QueueStatus.IN_PROGRESS, "sync", "wait"),
        _figure(board, _("Dead letters"), found.rows("failed"), QueueStatus.FAILED, "error", "bad"),
        _figure(board, _("Done in 24 hours"), found.finished, QueueStatus.COMPLETED, "check_circle", "ok"),
    ]


def _figure(board: Board, label: str, number: int, status: QueueStatus, icon: str, kind: str) -> Figure:
    query = urlencode({"entity_type": board.spec.entity_type, "status__exact": status.value})
    return Figure(label, number, query, icon, kind if number else "off")


def waits(board: Board) -> str:
    """Return what the waiting rows wait for."""
    backoff, put_off = board.figures.rows("backoff"), board.figures.rows("put_off")
    parts = [
        (board.due, _("due now")),
        (board.held, _("held")),
        (backoff, _("in backoff")),
        (put_off, _("snoozed")),
    ]
    return ", ".join(f"{intcomma(number)} {what}" for number, what in parts if number)


def times(board: Board) -> list[str]:
    """Return since when the oldest row is due, and when the next one is tried."""
    since, said = board.due_since, []
    if since is not None:
        said.append(
            _("Oldest due: for %(span)s.") % {"span": words.span((board.now - since).total_seconds())}
        )
    retry = board.figures.first("backoff", "put_off", leaving_out=board.paused_ways)
    if retry is not None:
        at = max(retry, board.standing.until or retry, board.now)
        said.append(_("Next retry: %(now)s.") % {"now": words.when(at, board.now)})
    return said


def chart(board: Board) -> Chart | None:
    """Return the finished rows hour by hour; None where there were none."""
    if not board.figures.finished:
        return None
    hours = hours_until(board.now)
    rows = [board.figures.hours.get(hour, 0) for hour in hours]
    labels = [hour_label(hour, board.now) for hour in hours]
    most = max(rows)
    sentence = _("%(count)s finished in the last 24 hours; most in one hour: %(most)s, %(most2)s.") % {
        "count": words.counted(board.figures.finished, "row"),
        "most": intcomma(most),
        "most2": labels[rows.index(most)],
    }
    data = {
        "labels": labels,
        "datasets": [
            {"label": _("Rows finished"), "data": rows, "backgroundColor": "var(--color-primary-500)"}
        ],
    }
    return Chart(json.dumps(data), sentence, [Hour(*one) for one in zip(labels, rows, strict=True)])


def hour_label(hour: datetime, now: datetime) -> str:
    """Return what an hour is called: "today from 14:00 UTC"."""
    here = timezone.localtime(hour)
    told = {"time": moments.time_of_day(hour)}
    if here.date() == timezone.localtime(now).date():
        return _("today from %(time)s") % told
    return _("yesterday from %(time)s") % told
