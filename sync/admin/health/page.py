"""Sync health, the first page: everything of one moment, in a number of queries that doesn't grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from sync import budget, moments, record_health
from sync.account import is_configured
from sync.admin import words
from sync.admin.health import charts
from sync.admin.health.boards import BoardHealth, board_health
from sync.admin.health.headline import headline
from sync.admin.health.items import new_items
from sync.admin.health.reading import Needs, needs
from sync.admin.health.tasks import Known, Task, queue_url, tasks
from sync.admin.queue_cards import Board
from sync.admin.queue_panel import Panel, panel_of
from sync.audit.figures import Verified, together
from sync.models import SyncQueue
from sync.queue_permissions import Steering, may
from sync.queue_views import NEW_ITEMS

PAUSE_FORM = "npd-pause"
"""The part of the queue's page with the form that pauses."""


@dataclass(frozen=True)
class Allowance:
    """Today's calls: used, of how many, kept for what people click; `tight` where they end before midnight UTC."""

    words: str
    used: float
    limit: int | None
    reserve: int
    tight: bool
    reported: str


def health(
    request: HttpRequest,
    context: dict[str, Any],
    in_front: Callable[[datetime], Sequence[Task]] | None = None,
) -> dict[str, Any]:
    """Add the first page's figures to its context, those that this person may see the rows of.

    `in_front` tells tasks that others than the engine know of, as they are at a time.
    """
    panel = panel_of(request)
    seen = [board for board in panel.boards if _may_see(request, board.spec.model)]
    read = needs(panel.now, [board.spec.entity_type for board in seen])
    boards = _boards(seen, panel, read)
    dead = sum(board.figures.rows("failed") for board in panel.boards)
    set_up = any(board.is_set_up for board in panel.boards)
    known = Known(boards, set_up, panel.links, read, dead, panel.now)
    todo = [*(in_front(panel.now) if in_front else ()), *tasks(known, lambda model: _may_see(request, model))]
    return context | {
        "boards": boards,
        "tasks": todo,
        "headline": headline(boards, todo) if boards else None,
        "verified": together(read.samples.values()).words(panel.now) if boards else "",
        "set_up": set_up,
        "guide_url": reverse("admin:connect_monday"),
        "pause_url": queue_url(part=PAUSE_FORM) if may(request.user, Steering.PAUSE) else "",
        **_of_the_queue(request, panel, read),
    }


def _boards(seen: Sequence[Board], panel: Panel, read: Needs) -> list[BoardHealth]:
    counts = record_health.counts(board.spec for board in seen)
    return [
        board_health(
            board,
            counts.get(board.spec.entity_type, {}),
            read.samples.get(board.spec.entity_type, Verified()),
            panel.overview.pauses,
        )
        for board in seen
    ]


def _of_the_queue(request: HttpRequest, panel: Panel, read: Needs) -> dict[str, Any]:
    """What only who may see the queue is told."""
    if not _may_see(request, SyncQueue):
        return {"sees_queue": False}
    items, total = new_items(panel)
    return {
        "sees_queue": True,
        "queue": queue_line(panel.boards),
        "queue_url": queue_url(),
        "new_items": items,
        "new_items_total": total,
        "new_items_url": queue_url(NEW_ITEMS),
        "allowance": allowance(panel) if is_configured() else None,
        "charts": [
            *(charts.throughput(board) for board in panel.boards),
            *(charts.latency(way, read.latencies.get(way.value, {}), panel.now) for way in charts.titles()),
        ],
    }


def _may_see(request: HttpRequest, model: type[Model]) -> bool:
    names = (f"{model._meta.app_label}.{act}_{model._meta.model_name}" for act in ("view", "change"))
    return any(request.user.has_perm(name) for name in names)


def allowance(panel: Panel) -> Allowance:
    """Return how today's calls stand, with the time until which they last."""
    found = budget.forecast(panel.overview.books, lambda: panel.overview.last_hour)
    reported = (
        (_("Monday's own figure is of %(as_of)s.") % {"as_of": moments.time_of_day(found.as_of)})
        if found.as_of
        else ""
    )
    return Allowance(found.words, found.used, found.limit, found.reserve, found.ends_at is not None, reported)


def queue_line(boards: Sequence[Board]) -> str:
    """Return how the queue stands, as a sentence."""
    waiting = sum(board.figures.waiting for board in boards)
    working = sum(board.figures.rows("in_progress") for board in boards)
    if not waiting and not working:
        return _("Nothing waits in the queue.")
    since = min((board.due_since for board in boards if board.due_since), default=None)
    age = (
        (_(", the oldest due for %(span)s") % {"span": words.span((boards[0].now - since).total_seconds())})
        if since
        else ""
    )
    return _("%(count)s waiting%(age)s; %(count2)s being worked on.") % {
        "count": words.counted(waiting, "row"),
        "age": age,
        "count2": words.counted(working, "row"),
    }
