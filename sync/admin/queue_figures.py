"""The queue's figures by board, each from an index: the live rows, and what was finished in the last 24 hours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection

HOURS = 24
FINISHED = "finished"
_FIGURES = """
    WITH carried AS MATERIALIZED (
        SELECT entity_id FROM sync_intents WHERE state = 'open' AND backfill_id IS NOT NULL)
    SELECT entity_type, direction,
        CASE WHEN status <> 'pending' THEN status
            WHEN next_retry > %(now)s AND attempts > 0 AND reason = '' THEN 'backoff'
            WHEN next_retry > %(now)s OR entity_id IN (SELECT entity_id FROM carried) THEN 'put_off'
            ELSE 'ready' END,
        count(*), min(next_retry)
    FROM sync_queue WHERE status = 'pending' OR status = 'in_progress' OR status = 'failed'
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT entity_type, '', 'finished', count(*), date_bin('1 hour', finished_at, timestamptz '2001-01-01 00:00:00+00')
    FROM sync_queue WHERE status = 'completed' AND finished_at > %(since)s AND finished_at <= %(now)s
    GROUP BY 1, 5
"""


@dataclass(frozen=True)
class Share:
    """Rows of one direction that stand alike, and the time of the first of them."""

    rows: int = 0
    first: datetime | None = None


@dataclass
class Figures:
    """One board's rows. `live` by direction and standing: ready, backoff, put_off, in_progress, failed."""

    live: dict[tuple[str, str], Share] = field(default_factory=dict)
    hours: dict[datetime, int] = field(default_factory=dict)

    def rows(self, *standings: str, leaving_out: frozenset[str] = frozenset()) -> int:
        """Count the rows that stand so, without directions that are left out."""
        return sum(one.rows for one in self._of(standings, leaving_out))

    def first(self, *standings: str, leaving_out: frozenset[str] = frozenset()) -> datetime | None:
        """Return the time of the first of them."""
        times = [one.first for one in self._of(standings, leaving_out) if one.first is not None]
        return min(times, default=None)

    @property
    def waiting(self) -> int:
        """Rows in any kind of wait."""
        return self.rows("ready", "backoff", "put_off")

    @property
    def alive(self) -> int:
        """Rows that are not done."""
        return sum(one.rows for one in self.live.values())

    @property
    def finished(self) -> int:
        """Rows finished in the last 24 hours."""
        return sum(self.hours.values())

    def _of(self, standings: tuple[str, ...], leaving_out: frozenset[str]) -> list[Share]:
        return [one for (way, name), one in self.live.items() if name in standings and way not in leaving_out]


def figures(now: datetime) -> Mapping[str, Figures]:
    """Return the figures of every type that has rows, in one query; `now` is the database's time."""
    found: dict[str, Figures] = {}
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES, {"now": now, "since": now - timedelta(hours=HOURS)})
        for entity_type, direction, standing, rows, at in cursor.fetchall():
            board = found.setdefault(entity_type, Figures())
            if standing == FINISHED:
                board.hours[at] = rows
            else:
                board.live[direction, standing] = Share(rows, at)
    return found


def hours_until(now: datetime) -> list[datetime]:
    """Return the beginnings of the hours that the last 24 hours touch, the first and the last in part."""
    last = now.replace(minute=0, second=0, microsecond=0)
    return [last - timedelta(hours=back) for back in range(HOURS, -1, -1)]
