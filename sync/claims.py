"""Claims: which records a worker looks at next, and the rows of a worker that died.

A claim is one short transaction under the lease. It takes all waiting rows of a record together, counts
the attempt of those that were due, and is committed before anything is read or sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from sync.choices import Cause, Priority, QueueDirection
from sync.finish import give_back_lost
from sync.lease import HOLD, SLACK_SECONDS, STEP_SECONDS, Lease, giving_way
from sync.metrics.facts import IMPORTS
from sync.models import SyncQueue
from sync.pausing import PAUSED_DIRECTIONS
from sync.prepared import fetch_prepared

# ruff: noqa: S608 - statements made of the fragments below

# A row of a paused direction leads no claim, and stays where it is when its record is looked at for another reason.
_FLOWS = f"direction <> ALL ({PAUSED_DIRECTIONS.format(entity_type='%(entity_type)s')})"
# Priority by priority, each from where the last claim ended (sync/course.py): neither rows that are not due are read,
# nor what finished rows have left in the index. A query of its own asks `sync_now()` once, so that it bounds the
# index scan. The lateral join can only be run level by level, in their order.
_DUE = f"""
    SELECT found.* FROM unnest(CASE WHEN EXISTS (SELECT FROM lease) THEN %(priorities)s::smallint[] END,
                               %(since)s::timestamptz[]) AS level (priority, since)
    CROSS JOIN LATERAL (
        SELECT row.id, row.entity_id, row.remote_id, row.direction, row.claim_alone, row.priority, row.next_retry
        FROM sync_queue AS row
        WHERE status = 'pending' AND entity_type = %(entity_type)s AND row.priority = level.priority
          AND next_retry >= level.since AND next_retry <= (SELECT sync_now()) AND {_FLOWS} AND NOT EXISTS (
            SELECT 1 FROM sync_intents AS intent
            WHERE intent.entity_id = row.entity_id AND intent.state = 'open'
              AND (intent.deadline > sync_now() OR intent.item_id = ''))
          AND (entity_id IS NOT NULL OR NOT EXISTS (
            SELECT 1 FROM sync_backfills AS backfill
            WHERE backfill.entity_type = row.entity_type AND {IMPORTS}))
        ORDER BY next_retry LIMIT %(size)s
        FOR UPDATE SKIP LOCKED
    ) AS found LIMIT %(size)s
"""
# A row whose worker died among others comes alone; the others come without it.
_ONE_BATCH = """
    SELECT due.* FROM due
    CROSS JOIN (SELECT * FROM due ORDER BY priority, next_retry, id LIMIT 1) AS head
    WHERE CASE WHEN head.claim_alone
               THEN (due.entity_id, due.remote_id) IS NOT DISTINCT FROM (head.entity_id, head.remote_id)
               ELSE NOT due.claim_alone END
"""
# A record's rows of the other direction; of each there is one that waits at most.
_SIBLINGS = f"""
    SELECT sibling.id FROM chosen CROSS JOIN unnest(ARRAY{QueueDirection.values}) AS other (direction)
    CROSS JOIN LATERAL (
        SELECT id FROM sync_queue
        WHERE status = 'pending' AND entity_type = %(entity_type)s AND entity_id = chosen.entity_id
          AND direction = other.direction AND {_FLOWS}
        FOR UPDATE SKIP LOCKED
    ) AS sibling WHERE other.direction <> chosen.direction
"""
_ALL_OF = f"""
    SELECT id FROM sync_queue
    WHERE status = 'pending' AND entity_type = %(entity_type)s AND {_FLOWS} AND entity_id = ANY (%(ids)s::uuid[])
    FOR UPDATE SKIP LOCKED
"""
# The condition on `status` lets rows that changed at the same moment be looked at again before they are taken.
_TAKE = """
    UPDATE sync_queue SET status = 'in_progress', lease_token = %(token)s, last_attempt = sync_now(),
        attempts = attempts + (next_retry <= sync_now())::int, counted = next_retry <= sync_now(),
        claim_size = {size}, reason = ''
    WHERE status = 'pending' AND id = ANY ({rows})
    RETURNING {columns}
"""
# What looks and finishes read of a row; the rest is loaded where it is asked for. Times above all: reading one takes
# as long as reading five of these.
_READ = dict.fromkeys(
    [
        *("id", "entity_type", "entity_id", "remote_id", "direction", "operation", "payload"),
        *("priority", "causes", "attempts", "max_attempts", "counted"),
    ]
)
_REACHED = """
    (SELECT json_object_agg(priority, place)::text FROM (
        SELECT priority, max(next_retry) AS place FROM chosen GROUP BY priority) AS reached)
"""
_CLAIM = f"""
    WITH lease AS MATERIALIZED ({HOLD}), due AS MATERIALIZED ({_DUE}), chosen AS MATERIALIZED ({_ONE_BATCH})
""" + _TAKE.format(
    size="(SELECT count(DISTINCT coalesce(entity_id::text, remote_id)) FROM chosen)",
    rows=f"ARRAY(SELECT id FROM chosen) || ARRAY({_SIBLINGS})",
    columns=", ".join(_READ) + f", (SELECT count(*) FROM due), {_REACHED}",
)
_CLAIM_RECORDS = _TAKE.format(
    size="cardinality(%(ids)s::uuid[])",
    rows=f"ARRAY({_ALL_OF})",
    columns=", ".join(_READ),
)


@dataclass(frozen=True)
class Claimed:
    """A record (or, with `entity_id` None, an item that no record had) with all its claimed rows."""

    entity_id: UUID | None
    remote_id: str | None
    rows: Sequence[SyncQueue]

    @property
    def causes(self) -> Cause:
        """Everything that gave a reason to look."""
        found = Cause(0)
        for row in self.rows:
            found |= Cause(row.causes)
        return found

    @property
    def payload(self) -> dict[str, Any]:
        """What the rows carry, together."""
        return {key: value for row in self.rows for key, value in row.payload.items()}


def has_due(entity_type: str) -> bool:
    """Whether any row of this type waits, its time has come and its direction flows; cheaper than taking the lease."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM sync_queue WHERE entity_type = %(entity_type)s AND ("
            f" (status = 'pending' AND next_retry <= sync_now() AND {_FLOWS}) OR status = 'in_progress'))",
            {"entity_type": entity_type},
        )
        return bool(cursor.fetchone()[0])


def claim(lease: Lease, size: int, *, only_urgent: bool = False) -> list[Claimed]:
    """Claim up to `size` records with a due row, `only_urgent` ones where asked for; raises LeaseLost.

    A record whose create has an unknown outcome is not among them until that is found out about; nor, for half an
    hour after a backfill has sent its file, are items that no record has: mostly they are its own, and it will tell.
    """
    priorities = [Priority.PERSON] if only_urgent else sorted(Priority)
    return _grouped(giving_way(lambda: _take(lease, size, priorities)))


def claim_records(lease: Lease, ids: Sequence[UUID]) -> list[Claimed]:
    """Claim these records whatever is open of them, those without a row too; raises LeaseLost.

    A row that a save holds is passed over; its record then comes without that row.
    """
    rows = giving_way(lambda: _take_records(lease, ids))
    claimed = {one.entity_id: one for one in _grouped(rows)}
    return [claimed.get(entity_id) or Claimed(entity_id, None, []) for entity_id in ids]


def _take_records(lease: Lease, ids: Sequence[UUID]) -> list[SyncQueue]:
    with lease.held(step=True), connection.cursor() as cursor:
        _give_back_lost(lease)
        cursor.execute(_CLAIM_RECORDS, _params(lease, 0) | {"ids": list(ids)})
        return [_row(values) for values in cursor.fetchall()]


def _take(lease: Lease, size: int, priorities: Sequence[Priority]) -> list[SyncQueue]:
    """Go on where the last claim ended, in one statement; where nothing is found so, from the start."""
    if lease.course.goes_on() and (rows := _run(lease, size, priorities, STEP_SECONDS - SLACK_SECONDS)):
        return rows
    with lease.held(step=True):
        _give_back_lost(lease)
        with lease.course.from_start():
            return _run(lease, size, priorities, 0)


def _run(lease: Lease, size: int, priorities: Sequence[Priority], left: float) -> list[SyncQueue]:
    """Claim, where so many seconds are left of the lease."""
    since = lease.course.since(priorities)
    asked = {"priorities": [int(one) for one in priorities], "since": since, "size": size}
    found = fetch_prepared(_CLAIM, _params(lease, left) | asked)
    if found:
        *_, due, reached = found[0]
        lease.course.went(json.loads(reached), short=due < size)
    return [_row(values) for values in found]


def _params(lease: Lease, left: float) -> dict[str, Any]:
    return lease.holding(left) | {"entity_type": lease.link.entity_type}


def _row(values: Sequence[Any]) -> SyncQueue:
    row = SyncQueue.from_db("default", _READ, values[: len(_READ)])
    row.payload = json.loads(row.payload) if row.payload != "{}" else {}
    return row


def _give_back_lost(lease: Lease) -> None:
    """Once a lease: from then on nobody but its holder has rows of this board in progress."""
    if not lease.course.lost_given_back:
        give_back_lost(lease.link.entity_type, lease.token)
        transaction.on_commit(lease.course.found_lost)


def _grouped(rows: Sequence[SyncQueue]) -> list[Claimed]:
    _add_times([row for row in rows if row.entity_id is None])
    groups: dict[tuple[UUID | None, str | None], list[SyncQueue]] = {}
    for row in sorted(rows, key=lambda row: (row.priority, row.id)):
        groups.setdefault((row.entity_id, None if row.entity_id else row.remote_id), []).append(row)
    return [Claimed(entity_id, remote_id, found) for (entity_id, remote_id), found in groups.items()]


def _add_times(items: Sequence[SyncQueue]) -> None:
    """An item that no record has is new since its row was written, where no event says when."""
    if items:
        ids = [row.id for row in items]
        written = dict(SyncQueue.objects.filter(id__in=ids).values_list("id", "created_at"))
        for row in items:
            row.created_at = written[row.id]
