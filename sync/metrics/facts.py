"""What gauges are made of, read at the scrape: each function is one query, and none reads finished rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import CharField, Count, Value

from sync import registry
from sync.audit.figures import WINDOW
from sync.choices import GuardKind

IMPORTS = """backfill.state IN ('started', 'uploaded', 'listed')
    AND backfill.seen_at > sync_now() - interval '3 minutes' AND backfill.put_at > sync_now() - interval '30 minutes'"""
"""SQL: whether a backfill makes items at this moment, which no worker looks at as new ones."""
# A UNION, for each part has a partial index of its own. Not due is what no worker may touch: what a bulk import
# carries, items while it makes them, and a create without an answer of which nothing can be found out or done.
_QUEUE = f"""
    WITH moment AS MATERIALIZED (SELECT sync_now() AS now),
    carried AS (
        SELECT DISTINCT intent.entity_id FROM sync_intents AS intent
        LEFT JOIN sync_board_links AS link ON link.entity_type = intent.entity_type
        WHERE intent.state = 'open' AND (intent.backfill_id IS NOT NULL OR (intent.item_id = '' AND (
            link.npd_id_problem <> '' OR EXISTS (
                SELECT 1 FROM sync_queue_pauses AS pause
                WHERE pause.direction = 'to_monday' AND pause.entity_type IN ('', intent.entity_type)))))
    ), imports AS (
        SELECT entity_type, bool_or({IMPORTS}) AS busy, max(finished_at) AS ended
        FROM sync_backfills AS backfill WHERE put_at IS NOT NULL GROUP BY 1
    ), waiting AS (
        SELECT row.entity_type, row.status, row.direction, row.attempts,
            carried.entity_id IS NULL AND imports.busy IS NOT TRUE AND row.next_retry <= moment.now AS due,
            greatest(row.next_retry, imports.ended) AS since
        FROM sync_queue AS row CROSS JOIN moment LEFT JOIN carried ON carried.entity_id = row.entity_id
        LEFT JOIN imports ON imports.entity_type = row.entity_type AND row.entity_id IS NULL
        WHERE row.status = 'pending'
    )
    SELECT entity_type, status, direction, attempts, count(*), count(*) FILTER (WHERE due),
        min(since) FILTER (WHERE due)
    FROM waiting GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT entity_type, status, '', 0, count(*), 0, min(last_attempt)
    FROM sync_queue WHERE status = 'in_progress' GROUP BY 1, 2
    UNION ALL
    SELECT entity_type, status, '', 0, count(*), 0, NULL::timestamptz
    FROM sync_queue WHERE status = 'failed' GROUP BY 1, 2
"""  # noqa: S608 - made of the constant above
# A delivery without a waiting row has nobody to weigh it: one of a record whose sync is off, looked at when it is on.
# Joined by one key, for an OR of two EXISTS would read every row of the queue.
_INBOX = """
    WITH items AS (
        SELECT board.entity_type, event.item_id, count(*) AS events, min(event.received_at) AS oldest
        FROM sync_webhook_events AS event
        JOIN unnest(%s::text[], %s::text[]) AS board (entity_type, board_id) ON board.board_id = event.board_id
        WHERE event.weighed_at IS NULL GROUP BY 1, 2
    ), keys AS (
        SELECT items.*, 'item ' || items.item_id AS key FROM items
        UNION ALL
        SELECT items.*, ledger.entity_id FROM items JOIN sync_metadata AS ledger
            ON ledger.entity_type = items.entity_type AND ledger.remote_id = items.item_id
            AND ledger.system = 'monday'
    ), busy AS (
        SELECT entity_type, coalesce(entity_id::text, 'item ' || remote_id) AS key
        FROM sync_queue WHERE status = 'pending'
        UNION ALL
        SELECT entity_type, coalesce(entity_id::text, 'item ' || remote_id)
        FROM sync_queue WHERE status = 'in_progress'
    ), awaited AS (
        SELECT DISTINCT keys.entity_type, keys.item_id, keys.events, keys.oldest FROM keys
        WHERE EXISTS (SELECT 1 FROM busy WHERE busy.entity_type = keys.entity_type AND busy.key = keys.key)
    )
    SELECT entity_type, sum(events), min(oldest) FROM awaited GROUP BY 1
"""
# One table of figures, by the names under which they are exported. Sums that grow stand in their own table.
_FIGURES = """
    SELECT name, entity_type, label, bucket, value FROM sync_metric_counts
    UNION ALL
    SELECT 'guard_held', board.entity_type, act.kind, '', held.number
    FROM unnest(%(types)s::text[]) AS board (entity_type)
    CROSS JOIN unnest(%(kinds)s::text[]) AS act (kind)
    CROSS JOIN LATERAL (
        SELECT count(*) AS number FROM sync_guarded_acts
        WHERE entity_type = board.entity_type AND kind = act.kind AND state = 'held') AS held
    UNION ALL
    SELECT figure.name, board.entity_type, '', '', figure.value
    FROM unnest(%(types)s::text[]) AS board (entity_type)
    CROSS JOIN LATERAL (
        SELECT at FROM sync_audits WHERE entity_type = board.entity_type AND sampled > 0
        ORDER BY at DESC LIMIT 1) AS newest
    CROSS JOIN LATERAL (
        SELECT sum(sampled) AS sampled, sum(drifted) AS drifted FROM sync_audits
        WHERE entity_type = board.entity_type AND sampled > 0 AND at > newest.at - %(window)s::interval) AS day
    CROSS JOIN LATERAL (VALUES
        ('audit_timestamp_seconds', extract(epoch FROM newest.at)),
        ('audit_sampled', day.sampled), ('audit_drifted', day.drifted)) AS figure (name, value)
"""


@dataclass(frozen=True)
class QueueRows:
    """Rows of one board, state, direction and number of attempts; of waiting ones how many are due, and since when.

    Of rows in progress `oldest` is when the first was claimed.
    """

    entity_type: str
    status: str
    direction: str
    attempts: int
    rows: int
    due: int
    oldest: datetime | None


@dataclass(frozen=True)
class Inbox:
    """Deliveries that a waiting look has yet to weigh, and when the oldest came."""

    events: int
    oldest: datetime


@dataclass(frozen=True)
class Figure:
    """One number under the name by which it is exported; `bucket` of a histogram's only."""

    name: str
    entity_type: str
    label: str
    bucket: str
    value: float


def queue() -> list[QueueRows]:
    """Every row that isn't finished, counted."""
    return [QueueRows(*row) for row in _rows(_QUEUE)]


def inbox(board_ids: Mapping[str, str]) -> dict[str, Inbox]:
    """Unweighed deliveries by board; `board_ids` has each type's board."""
    found = _rows(_INBOX, [list(board_ids), list(board_ids.values())])
    return {entity_type: Inbox(int(events), oldest) for entity_type, events, oldest in found}


def records() -> dict[tuple[str, str], int]:
    """Records by type and sync status."""
    queries = [
        spec.model._default_manager.order_by()
        .annotate(board=Value(spec.entity_type, CharField()))
        .values_list("board", "sync_status")
        .annotate(number=Count("pk"))
        for spec in registry.entities()
    ]
    if not queries:
        return {}
    return {(row[0], row[1]): row[2] for row in queries[0].union(*queries[1:], all=True)}


def figures(types: Sequence[str]) -> list[Figure]:
    """What only grows; and of these boards, what waits for approval and what samples of late have found."""
    params = {"types": list(types), "kinds": GuardKind.values, "window": WINDOW}
    return [
        Figure(name, entity_type, label, bucket, float(value))
        for name, entity_type, label, bucket, value in _rows(_FIGURES, params)
    ]


def _rows(sql: str, params: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
