"""Which rows a worker claims next, and what becomes of the rows of a worker that died."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from sync.choices import Cause, Priority, QueueDirection
from sync.kernel.db import fetch_prepared, fetch_rows, retry_on_lock_timeout
from sync.models import SyncQueue
from sync.outbox.finish import release_orphaned
from sync.outbox.lease import LOCK_LEASE, SLACK_SECONDS, STEP_SECONDS, Lease
from sync.outbox.pauses import PAUSED_DIRECTIONS

# ruff: noqa: S608 - statements made of the fragments below

# A row of a paused direction starts no claim, and stays pending when its record gets a pass for another reason.
_NOT_PAUSED = f"direction <> ALL ({PAUSED_DIRECTIONS.format(entity_type='%(entity_type)s')})"

# Priority by priority, each from where the last claim ended (sync/outbox/lease.py): this reads neither rows
# that are not due nor the dead index entries of finished rows. A query of its own calls `sync_now()` once, so
# that it bounds the index scan. The lateral join can only be run level by level, in their order.
_DUE = f"""
    SELECT found.* FROM unnest(CASE WHEN EXISTS (SELECT FROM lease) THEN %(priorities)s::smallint[] END,
                               %(since)s::timestamptz[]) AS level (priority, since)
    CROSS JOIN LATERAL (
        SELECT row.id, row.entity_id, row.remote_id, row.direction, row.claim_at_most, row.priority, row.next_retry
        FROM sync_queue AS row
        WHERE status = 'pending' AND entity_type = %(entity_type)s AND row.priority = level.priority
          AND next_retry >= level.since AND next_retry <= (SELECT sync_now()) AND {_NOT_PAUSED}
          AND NOT (row.claim_at_most > 0 AND %(others)s) AND NOT EXISTS (
            SELECT 1 FROM sync_intents AS intent
            WHERE intent.entity_id = row.entity_id AND intent.state = 'open'
              AND (intent.deadline > sync_now() OR intent.item_id = ''))
        ORDER BY next_retry LIMIT %(size)s
        FOR UPDATE SKIP LOCKED
    ) AS found LIMIT %(size)s
"""

# Rows whose worker died with several are claimed in parts of at most so many; the others are claimed without them.
_ONE_BATCH = """
    SELECT ranked.* FROM (
        SELECT due.*, row_number() OVER (PARTITION BY claim_at_most ORDER BY priority, next_retry, id) AS place FROM due
    ) AS ranked
    JOIN (SELECT claim_at_most FROM due ORDER BY priority, next_retry, id LIMIT 1) AS head USING (claim_at_most)
    WHERE claim_at_most = 0 OR place <= claim_at_most
"""

# A record's rows of the other direction; at most one of each is pending.
_SIBLINGS = f"""
    SELECT sibling.id FROM chosen CROSS JOIN unnest(ARRAY{QueueDirection.values}) AS other (direction)
    CROSS JOIN LATERAL (
        SELECT id FROM sync_queue
        WHERE status = 'pending' AND entity_type = %(entity_type)s AND entity_id = chosen.entity_id
          AND direction = other.direction AND {_NOT_PAUSED}
        FOR UPDATE SKIP LOCKED
    ) AS sibling WHERE other.direction <> chosen.direction
"""

_ROWS_OF_RECORDS = f"""
    SELECT id FROM sync_queue
    WHERE status = 'pending' AND entity_type = %(entity_type)s AND {_NOT_PAUSED} AND entity_id = ANY (%(ids)s::uuid[])
    FOR UPDATE SKIP LOCKED
"""

# Rows that changed at the same moment fail the condition on `status` when it is checked again under the lock.
_CLAIM_ROWS = """
    UPDATE sync_queue SET status = 'in_progress', lease_token = %(token)s, last_attempt = sync_now(),
        attempts = attempts + (next_retry <= sync_now())::int, counted = next_retry <= sync_now(),
        claim_size = {size}, reason = ''
    WHERE status = 'pending' AND id = ANY ({rows})
    RETURNING {columns}
"""

# What passes and finishes read of a row; the rest is loaded where it is needed. Times above all: reading one
# takes as long as reading five of these.
_COLUMNS = dict.fromkeys(
    [
        *("id", "entity_type", "entity_id", "remote_id", "direction", "operation", "payload"),
        *("priority", "causes", "attempts", "max_attempts", "counted"),
    ]
)

_POSITIONS = """
    (SELECT json_object_agg(priority, place)::text FROM (
        SELECT priority, max(next_retry) AS place FROM chosen GROUP BY priority) AS reached)
"""

_CLAIM = f"""
    WITH lease AS MATERIALIZED ({LOCK_LEASE}), due AS MATERIALIZED ({_DUE}), chosen AS MATERIALIZED ({_ONE_BATCH})
""" + _CLAIM_ROWS.format(
    size="(SELECT count(DISTINCT coalesce(entity_id::text, remote_id)) FROM chosen)",
    rows=f"ARRAY(SELECT id FROM chosen) || ARRAY({_SIBLINGS})",
    columns=", ".join(_COLUMNS)
    + f", (SELECT bool_or(claim_at_most > 0) FROM chosen), (SELECT count(*) FROM due), {_POSITIONS}",
)

_CLAIM_RECORDS = _CLAIM_ROWS.format(
    size="cardinality(%(ids)s::uuid[])", rows=f"ARRAY({_ROWS_OF_RECORDS})", columns=", ".join(_COLUMNS)
)


@dataclass(frozen=True)
class Claim:
    """A record (or, with `entity_id` None, an unmatched item) with all its claimed rows."""

    entity_id: UUID | None
    remote_id: str | None
    rows: Sequence[SyncQueue]

    @property
    def causes(self) -> Cause:
        found = Cause(0)
        for row in self.rows:
            found |= Cause(row.causes)
        return found

    @property
    def payload(self) -> dict[str, Any]:
        return {key: value for row in self.rows for key, value in row.payload.items()}


def has_due_rows(entity_type: str) -> bool:
    """Whether a row of this type is due in a direction that isn't paused; cheaper than taking the lease."""
    return bool(
        fetch_rows(
            "SELECT EXISTS (SELECT 1 FROM sync_queue WHERE entity_type = %(entity_type)s AND ("
            f" (status = 'pending' AND next_retry <= sync_now() AND {_NOT_PAUSED}) OR status = 'in_progress'))",
            {"entity_type": entity_type},
        )[0][0]
    )


def claim(lease: Lease, size: int, *, only_urgent: bool = False) -> list[Claim]:
    """Claim up to `size` records with a due row, `only_urgent` ones where asked for; raises LeaseLost.

    A record whose create is unconfirmed is left out until its outcome is known.
    """
    priorities = [Priority.PERSON] if only_urgent else sorted(Priority)
    return _group_by_record(retry_on_lock_timeout(lambda: _claim_rows(lease, size, priorities)))


def claim_records(lease: Lease, ids: Sequence[UUID]) -> list[Claim]:
    """Claim all pending rows of these records, also of records without a row; raises LeaseLost.

    A row that a save has locked is skipped; its record is then returned without that row.
    """

    def claim_rows() -> list[SyncQueue]:
        with lease.transaction(seconds=STEP_SECONDS):
            _release_orphaned(lease)
            found = fetch_rows(_CLAIM_RECORDS, lease.lock_params() | {"ids": list(ids)})
            return [_load_row(values) for values in found]

    claimed = {one.entity_id: one for one in _group_by_record(retry_on_lock_timeout(claim_rows))}
    return [claimed.get(entity_id) or Claim(entity_id, None, []) for entity_id in ids]


def _claim_rows(lease: Lease, size: int, priorities: Sequence[Priority]) -> list[SyncQueue]:
    """Continue where the last claim ended, in one statement; where that finds nothing, begin at the start.

    After a record that was claimed alone come those that need not be, if there are any: so a hundred records
    whose worker was killed don't keep all others waiting for a hundred passes.
    """
    if lease.claim_cursor.is_resumable() and (
        rows := _run_claim(lease, size, priorities, STEP_SECONDS - SLACK_SECONDS)
    ):
        return rows
    with lease.transaction(seconds=STEP_SECONDS):
        _release_orphaned(lease)
        with lease.claim_cursor.rescan():
            if lease.claim_cursor.was_isolated and (rows := _run_claim(lease, size, priorities, 0, skip_isolated=True)):
                return rows
            return _run_claim(lease, size, priorities, 0)


def _run_claim(
    lease: Lease, size: int, priorities: Sequence[Priority], seconds_left: float, *, skip_isolated: bool = False
) -> list[SyncQueue]:
    """Claim, if so many seconds are left of the lease.

    `skip_isolated`: no rows that must be claimed alone.
    """
    since = lease.claim_cursor.start_times(priorities)
    params = {"priorities": [int(one) for one in priorities], "since": since, "size": size, "others": skip_isolated}
    found = fetch_prepared(_CLAIM, lease.lock_params(seconds_left) | params)
    if found:
        *_, isolated, due, positions = found[0]
        lease.claim_cursor.advance(json.loads(positions), short=isolated or due < size, isolated=isolated)
    return [_load_row(values) for values in found]


def _load_row(values: Sequence[Any]) -> SyncQueue:
    row = SyncQueue.from_db("default", _COLUMNS, values[: len(_COLUMNS)])
    row.payload = json.loads(row.payload) if row.payload != "{}" else {}
    return row


def _release_orphaned(lease: Lease) -> None:
    """Once for each lease: from then on only its holder has rows of this board in progress."""
    if not lease.claim_cursor.orphans_released:
        release_orphaned(lease.link.entity_type, lease.token)
        transaction.on_commit(lease.claim_cursor.mark_orphans_released)


def _group_by_record(rows: Sequence[SyncQueue]) -> list[Claim]:
    # An unmatched item counts as new since its row was written, where no event says when it was created.
    if items := {row.id: row for row in rows if row.entity_id is None}:
        for row_id, created_at in SyncQueue.objects.filter(id__in=items).values_list("id", "created_at"):
            items[row_id].created_at = created_at
    groups: dict[tuple[UUID | None, str | None], list[SyncQueue]] = {}
    for row in sorted(rows, key=lambda row: (row.priority, row.id)):
        groups.setdefault((row.entity_id, None if row.entity_id else row.remote_id), []).append(row)
    return [Claim(entity_id, remote_id, found) for (entity_id, remote_id), found in groups.items()]
