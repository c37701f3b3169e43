"""Which rows are due, and since when: a row's time has come, its board can be worked, its direction isn't paused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sync.choices import QueueStatus
from sync.metrics import facts
from sync.metrics.facts import QueueRows
from sync.models import BoardLease, BoardLink
from sync.standing import Overview, Standing, overview

NOBODY = "no worker has taken the board: check that a worker and beat are running"
LEFT_BEHIND = "its worker ended, and none has taken the board since: check that a worker and beat are running"
BUSY = "a worker holds the board and is busy with what it claimed {seconds:,.0f} s ago: look into its log"
HELD = "a worker holds the board, and has claimed nothing: look into its log"


@dataclass(frozen=True)
class Overdue:
    """A board whose oldest due row waits too long: for how many seconds, and what is known of the reason."""

    entity_type: str
    seconds: float
    why: str


def due_rows(now: Overview, standing: Standing, rows: Iterable[QueueRows]) -> list[QueueRows]:
    """Those with rows that could be worked now: of a board that can, and of no direction that people paused."""
    if standing.why is not None:
        return []
    paused = now.paused(standing.entity_type)
    return [row for row in rows if row.due and row.direction not in paused]


def due_since(standing: Standing, due: Iterable[QueueRows]) -> datetime | None:
    """Since when the oldest of them could have been worked: not while its board could not."""
    return _not_before(standing, oldest(due))


def overdue(longest: float) -> list[Overdue]:
    """The boards whose oldest due row has waited for more than so many seconds, and why; seven queries or so.

    So has a row whose worker died: nobody works on it, whatever it says, once the lease of its worker has ended.
    """
    now, rows = overview(), facts.queue()
    found = []
    for standing in now.boards:
        one = _of_board(now, standing, [row for row in rows if row.entity_type == standing.entity_type])
        if one is not None and one.seconds > longest:
            found.append(one)
    return found


def oldest(rows: Iterable[QueueRows]) -> datetime | None:
    """The earliest of what is known of these rows."""
    return min((row.oldest for row in rows if row.oldest is not None), default=None)


def in_progress(rows: Iterable[QueueRows]) -> list[QueueRows]:
    """Those that are being worked on, or say so."""
    return [row for row in rows if row.status == QueueStatus.IN_PROGRESS]


def is_held(link: BoardLink, now: datetime) -> bool:
    """Whether a worker holds the board; one that died holds it until its lease ends."""
    lease = _lease(link)
    return lease is not None and lease.token is not None and lease.expires > now


def _of_board(now: Overview, standing: Standing, rows: list[QueueRows]) -> Overdue | None:
    held = is_held(standing.link, now.now)
    claimed = oldest(in_progress(rows))
    waiting = due_since(standing, due_rows(now, standing, rows))
    left = None if held else _left_behind(standing, claimed)
    since = min((moment for moment in (waiting, left) if moment is not None), default=None)
    if since is None:
        return None
    seconds = (now.now - since).total_seconds()
    if held:
        why = BUSY.format(seconds=(now.now - claimed).total_seconds()) if claimed else HELD
    else:
        why = LEFT_BEHIND if left is not None else NOBODY
    return Overdue(standing.entity_type, seconds, why)


def _left_behind(standing: Standing, claimed: datetime | None) -> datetime | None:
    """Since when nobody works on claimed rows: since their worker's lease ended."""
    if claimed is None or standing.why is not None:
        return None
    lease = _lease(standing.link)
    return _not_before(standing, max(claimed, lease.expires) if lease else claimed)


def _not_before(standing: Standing, moment: datetime | None) -> datetime | None:
    return None if moment is None else max(moment, standing.free_since or moment)


def _lease(link: BoardLink) -> BoardLease | None:
    return getattr(link, "lease", None)
