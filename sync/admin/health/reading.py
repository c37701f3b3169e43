"""What needs a person, what samples said, how long changes took: one statement, whatever there is of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from sync.audit.figures import WINDOW, Verified
from sync.choices import GuardKind, SyncDirection
from sync.guard.deciding import Waiting
from sync.models import FieldMapping

# Each part reads an index of its own that holds little more than what is counted. Columns: what it is, the board,
# a name, two numbers, words, two times.
_NEEDS = """
    SELECT 'held', '', (count(*) FILTER (WHERE field.value ->> 'side' IN ('monday', 'limit')))::text,
        count(*), count(DISTINCT ledger.id),
        (array_agg(field.value ->> 'reason' ORDER BY ledger.id DESC))[1],
        NULL::timestamptz, NULL::timestamptz
    FROM sync_metadata AS ledger CROSS JOIN LATERAL jsonb_each(ledger.held) AS field
    WHERE NOT (ledger.held = '{}'::jsonb) AND ledger.system = 'monday'
        AND NOT jsonb_exists(field.value, 'left_by')
    UNION ALL
    SELECT 'loop', '', coalesce(min(by) FILTER (WHERE by <> ''), ''), count(*), count(DISTINCT entity_id), '',
        min(damped_until), NULL
    FROM sync_field_loops WHERE damped_until > %(now)s
    UNION ALL
    SELECT * FROM (
        SELECT 'dead', '', '', 0, 0, error_message, NULL::timestamptz, NULL::timestamptz
        FROM sync_queue WHERE status = 'failed' ORDER BY created_at DESC LIMIT 1) AS newest
    UNION ALL
    SELECT 'guard', entity_type, kind, count(DISTINCT entity_id), count(*), '', NULL, NULL
    FROM sync_guarded_acts WHERE state = 'held' GROUP BY 2, 3
    UNION ALL
    SELECT 'column', link.entity_type, mapping.label, mapping.position, mapping.id, mapping.problem, NULL, NULL
    FROM sync_field_mappings AS mapping JOIN sync_board_links AS link ON link.id = mapping.link_id
    WHERE mapping.problem <> '' AND mapping.direction <> %(no_sync)s
    UNION ALL
    SELECT 'samples', board.entity_type, '', day.sampled, day.drifted, '', newest.at, day.drift_at
    FROM unnest(%(types)s::text[]) AS board (entity_type)
    CROSS JOIN LATERAL (
        SELECT at FROM sync_audits WHERE entity_type = board.entity_type AND sampled > 0
        ORDER BY at DESC LIMIT 1) AS newest
    CROSS JOIN LATERAL (
        SELECT sum(sampled) AS sampled, sum(drifted) AS drifted, max(at) FILTER (WHERE drifted > 0) AS drift_at
        FROM sync_audits
        WHERE entity_type = board.entity_type AND sampled > 0 AND at > newest.at - %(window)s::interval) AS day
    UNION ALL
    SELECT 'latency', direction, '', bucket, sum(changes), '', hour, NULL
    FROM sync_latency_hours WHERE hour > %(now)s - interval '24 hours' AND hour <= %(now)s
    GROUP BY direction, bucket, hour
"""


@dataclass(frozen=True)
class Held:
    """Fields that can't flow, of how many records, and why the newest one can't; `refused` of them by Monday."""

    fields: int = 0
    records: int = 0
    reason: str = ""
    refused: int = 0


@dataclass(frozen=True)
class Loops:
    """Fields that somebody rewrites after each of our writes: who one of them is, and when the first is sent again."""

    fields: int = 0
    records: int = 0
    by: str = ""
    until: datetime | None = None


@dataclass
class Needs:
    """What was read at one moment.

    `columns` has of each type the mappings whose column can't be used, `latencies` of each direction and hour how many
    changes fell into which step of the scale (sync/metrics/scale.py).
    """

    held: Held = field(default_factory=Held)
    loops: Loops = field(default_factory=Loops)
    newest_dead: str = ""
    guarded: list[Waiting] = field(default_factory=list)
    columns: dict[str, list[FieldMapping]] = field(default_factory=dict)
    samples: dict[str, Verified] = field(default_factory=dict)
    latencies: dict[str, dict[datetime, Counter[int]]] = field(default_factory=dict)


def needs(now: datetime, types: Sequence[str]) -> Needs:
    """Read what needs a person, and what samples of these types said; `now` is the database's time."""
    params: dict[str, Any] = {
        "now": now,
        "no_sync": SyncDirection.NONE.value,
        "types": list(types),
        "window": WINDOW,
    }
    with connection.cursor() as cursor:
        cursor.execute(_NEEDS, params)
        rows = cursor.fetchall()
    found = Needs()
    for row in sorted(rows, key=lambda row: row[:5]):
        _take(found, *row)
    return found


def _take(
    found: Needs, what: str, board: str, name: str, first: int, second: int, words: str,
    at: datetime | None, later: datetime | None,
) -> None:  # fmt: skip
    match what:
        case "held":
            found.held = Held(int(first), int(second), words or "", int(name))
        case "loop":
            found.loops = Loops(int(first), int(second), name, at)
        case "dead":
            found.newest_dead = words
        case "guard":
            found.guarded.append(Waiting(board, GuardKind(name), int(first), int(second)))
        case "column":
            found.columns.setdefault(board, []).append(FieldMapping(label=name, problem=words))
        case "samples":
            found.samples[board] = Verified(at, int(first), int(second), later)
        case "latency" if at is not None:
            found.latencies.setdefault(board, {}).setdefault(at, Counter())[int(first)] += int(second)
