"""One board on the first page: how many of its records stand how, each number with the list behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from sync import pausing
from sync.admin import words
from sync.admin.queue_cards import Badge, Board, badge_of
from sync.audit.figures import Verified
from sync.choices import QueueDirection
from sync.models import QueuePause
from sync.record_health import PARTS, Group, Part
from sync.registry import EntitySpec

_LOOKS = {
    Group.IN_SYNC: ("check_circle", "ok"),
    Group.WAITING: ("schedule", "wait"),
    Group.CONFLICT: ("call_split", "warn"),
    Group.EXCLUDED: ("sync_disabled", "off"),
    Group.FAILING: ("error", "bad"),
}


@dataclass(frozen=True)
class Share:
    """One reason of several within a tile, with the list behind it."""

    label: str
    count: int
    url: str


@dataclass(frozen=True)
class Tile:
    """One count with the list behind it; `below` says more, `parts` why."""

    label: str
    count: int
    url: str
    icon: str
    kind: str
    below: str = ""
    parts: Sequence[Share] = ()


@dataclass(frozen=True)
class BoardHealth:
    """One model and its board; `reason` is what is wrong, `gathering` why changes wait though nothing is."""

    title: str
    total: int
    badge: Badge
    reason: str
    gathering: str
    verified: str
    is_paused: bool
    is_set_up: bool
    tiles: Sequence[Tile] = field(default_factory=list)


def board_health(
    board: Board, counts: Mapping[Part, int], samples: Verified, pauses: Sequence[QueuePause]
) -> BoardHealth:
    """Return how the records of one type stand, and their board."""
    passing = board.standing.passing
    return BoardHealth(
        title=board.spec.board_title,
        total=sum(counts.values()),
        badge=badge_of(board),
        reason="" if passing else words.plain(board.standing.words),
        gathering=board.standing.words if passing else _one_way(board, pauses),
        verified=samples.words(board.now),
        is_paused=board.is_paused,
        is_set_up=board.is_set_up,
        tiles=tiles(board.spec, counts, _oldest(board)),
    )


def _one_way(board: Board, pauses: Sequence[QueuePause]) -> str:
    """Which direction people have paused, where the board as a whole goes on."""
    if board.standing.words or board.paused_ways == set(QueueDirection.values):
        return ""
    mine = [pause for pause in pauses if pause.entity_type in ("", board.spec.entity_type)]
    return " ".join(pausing.words(pause) for pause in mine if pause.direction)


def _oldest(board: Board) -> str:
    since: datetime | None = board.due_since
    if since is None:
        return ""
    return _("oldest due for %(span)s") % {"span": words.span((board.now - since).total_seconds())}


def tiles(spec: EntitySpec, counts: Mapping[Part, int], oldest: str = "") -> list[Tile]:
    """Return a tile for each group of records; `oldest` says since when a change waits."""
    total = {group: sum(counts.get(part, 0) for part in parts) for group, parts in PARTS.items()}
    said = {Group.IN_SYNC: in_sync_words(total), Group.WAITING: oldest if total[Group.WAITING] else ""}
    return [_tile(spec, group, total[group], counts, said.get(group, "")) for group in PARTS]


def in_sync_words(total: Mapping[Group, int]) -> str:
    """Return how much of what is to be in sync is so, without the excluded; rounded down, for 100 % is a claim."""
    wanted = sum(total.values()) - total[Group.EXCLUDED]
    if not wanted:
        return ""
    tenths = total[Group.IN_SYNC] * 1000 // wanted
    share = f"{tenths / 10:.1f}".removesuffix(".0")
    if total[Group.EXCLUDED]:
        return _("%(share)s %% of %(wanted)s not excluded") % {"share": share, "wanted": f"{wanted:,}"}
    return _("%(share)s %% of %(wanted)s") % {"share": share, "wanted": f"{wanted:,}"}


def _tile(spec: EntitySpec, group: Group, number: int, counts: Mapping[Part, int], below: str) -> Tile:
    icon, kind = _LOOKS[group]
    url, parts = list_url(spec), PARTS[group]
    shares = [
        Share(str(part.label), counts[part], _with(url, part.value))
        for part in parts
        if len(parts) > 1 and counts.get(part)
    ]
    return Tile(
        str(group.label), number, _with(url, group.value), icon, kind if number else "off", below, shares
    )


def list_url(spec: EntitySpec) -> str:
    """Return the address of the list of this type's records; empty where the admin has none."""
    opts = spec.model._meta
    try:
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    except NoReverseMatch:
        return ""


def _with(url: str, health: str) -> str:
    return f"{url}?{urlencode({'health': health})}" if url else ""
