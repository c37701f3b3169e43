"""How the queue stands: what the panel above its rows says, of one moment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync import registry
from sync.admin.queue_cards import Board, Card, card
from sync.admin.queue_figures import Figures, figures
from sync.admin.queue_words import Holds, by_direction
from sync.choices import QueueDirection
from sync.models import BoardLink, QueuePause
from sync.registry import EntitySpec
from sync.standing import Overview, Why, overview
from sync.standstill import Standstill, standstill

CHART_OPTIONS = json.dumps(
    {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "plugins": {"legend": {"display": False}},
        "scales": {"x": {"display": False}, "y": {"display": False, "beginAtZero": True}},
    }
)
"""No axes: what they would say stands below the chart, in words."""
EVERY_BOARD, BOTH_WAYS = gettext_lazy("Every board"), gettext_lazy("Both directions")
_WAYS = {
    QueueDirection.TO_MONDAY.value: gettext_lazy("writing to Monday"),
    QueueDirection.TO_NPD.value: gettext_lazy("taking over from Monday"),
}


@dataclass(frozen=True)
class Pause:
    """A pause with its words and what its Resume button sends."""

    row: QueuePause
    what: str


@dataclass(frozen=True)
class Panel:
    """Everything above the list, and for the first page what it was made of.

    `holds` and `links` say what the rows need of their boards.
    """

    cards: Sequence[Card]
    boards: Sequence[Board]
    overview: Overview
    pauses: Sequence[Pause]
    holds: Holds
    links: Mapping[str, BoardLink]
    live: int
    now: datetime
    chart_options: str = CHART_OPTIONS

    @property
    def board_choices(self) -> list[tuple[str, str]]:
        """What can be paused: every board, or one."""
        return [
            ("", str(EVERY_BOARD)),
            *((spec.entity_type, spec.board_title) for spec in registry.entities()),
        ]

    @property
    def direction_choices(self) -> list[tuple[str, str]]:
        """Which direction of it can be paused."""
        return [("", str(BOTH_WAYS)), *((str(way.value), str(way.label)) for way in QueueDirection)]


def panel() -> Panel:
    """Return how the queue stands now."""
    found = overview()
    rows = figures(found.now)
    boards = [_board(spec, found, rows.get(spec.entity_type, Figures())) for spec in registry.entities()]
    return Panel(
        cards=[card(one) for one in boards],
        boards=boards,
        overview=found,
        pauses=[Pause(one, what_is_paused(one)) for one in found.pauses],
        holds=_holds(found, boards),
        links={link.entity_type: link for link in found.links},
        live=sum(one.alive for one in rows.values()),
        now=found.now,
    )


def panel_of(request: HttpRequest) -> Panel:
    """Return the panel of a page; whatever the page shows is of one moment."""
    if not hasattr(request, "queue_panel"):
        request.queue_panel = panel()  # type: ignore[attr-defined]
    found: Panel = request.queue_panel  # type: ignore[attr-defined]
    return found


def _board(spec: EntitySpec, found: Overview, rows: Figures) -> Board:
    """Put together what is known of a board; only of one that stands still the reason is asked for, in words."""
    standing = next((one for one in found.boards if one.entity_type == spec.entity_type), None)
    still = standing is None or standing.why is not None
    words = standstill(spec.entity_type, standing.link if standing else None) if still else Standstill()
    return Board(
        spec=spec,
        standing=words,
        why=standing.why if standing else Why.NO_BOARD,
        paused_ways=frozenset(found.paused(spec.entity_type)),
        free_since=standing.free_since if standing else None,
        figures=rows,
        now=found.now,
    )


def _holds(found: Overview, boards: Sequence[Board]) -> Holds:
    holds: dict[tuple[str, str], Standstill] = {}
    for board in boards:
        kind = board.spec.entity_type
        mine = [pause for pause in found.pauses if pause.direction and pause.entity_type in ("", kind)]
        holds |= by_direction(kind, board.standing, {pause.direction: pause for pause in mine})
    return holds


def what_is_paused(pause: QueuePause) -> str:
    """Return what a pause holds, in words: "Everything", "Contacts", "Every board, writing to Monday"."""
    titles = {spec.entity_type: spec.board_title for spec in registry.entities()}
    board = titles.get(pause.entity_type, pause.entity_type)
    if not pause.direction:
        return board or _("Everything")
    return f"{board or EVERY_BOARD}, {_WAYS.get(pause.direction, pause.direction)}"
