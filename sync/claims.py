"""Claims: which records a worker looks at next, and the rows of a worker that died.

A claim is one short transaction under the lease. It takes all waiting rows of a record together, counts
the attempt of those that were due, and is committed before anything is read or sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from sync.choices import Cause, Priority, QueueStatus
from sync.finish import give_back_lost
from sync.lease import Lease, giving_way
from sync.models import SyncQueue

_DUE = """
    SELECT id, entity_id, remote_id, claim_alone FROM sync_queue AS row
    WHERE status = 'pending' AND entity_type = %s AND next_retry <= sync_now()
      AND priority <= %s AND NOT EXISTS (
        SELECT 1 FROM sync_intents AS intent
        WHERE intent.entity_id = row.entity_id AND intent.state = 'open'
          AND (intent.deadline > sync_now() OR intent.item_id = ''))
      AND (entity_id IS NOT NULL OR NOT EXISTS (
        SELECT 1 FROM sync_backfills AS backfill
        WHERE backfill.entity_type = row.entity_type AND backfill.state IN ('started', 'uploaded', 'listed')
          AND backfill.seen_at > sync_now() - interval '3 minutes'
          AND backfill.put_at > sync_now() - interval '30 minutes'))
    ORDER BY priority, next_retry, id LIMIT %s
    FOR UPDATE SKIP LOCKED
"""
_SIBLINGS = """
    SELECT id FROM sync_queue
    WHERE status = 'pending' AND entity_type = %s AND entity_id = ANY (%s) FOR UPDATE SKIP LOCKED
"""
_TAKE = """
    UPDATE sync_queue SET status = 'in_progress', lease_token = %s, last_attempt = sync_now(),
        attempts = attempts + (next_retry <= sync_now())::int, counted = next_retry <= sync_now(),
        claim_size = %s, reason = ''
    WHERE id = ANY (%s)
"""


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
    """Whether any row of this type waits and its time has come; cheaper than taking the lease."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM sync_queue WHERE entity_type = %s AND ("
            " (status = 'pending' AND next_retry <= sync_now()) OR status = 'in_progress'))",
            [entity_type],
        )
        return bool(cursor.fetchone()[0])


def claim(lease: Lease, size: int, *, only_urgent: bool = False) -> list[Claimed]:
    """Claim up to `size` records with a due row, `only_urgent` ones where asked for; raises LeaseLost.

    A record whose create has an unknown outcome is not among them until that is found out about; nor, for half an
    hour after a backfill has sent its file, are items that no record has: mostly they are its own, and it will tell.
    """
    ids = giving_way(lambda: _take(lease, size, Priority.PERSON if only_urgent else max(Priority)))
    lease.renew()
    return _grouped(
        SyncQueue.objects.filter(id__in=ids, status=QueueStatus.IN_PROGRESS, lease_token=lease.token)
    )


def claim_records(lease: Lease, ids: Sequence[UUID]) -> list[Claimed]:
    """Claim these records whatever is open of them, those without a row too; raises LeaseLost.

    A row that a save holds is passed over; its record then comes without that row.
    """
    taken = giving_way(lambda: _take_records(lease, ids))
    lease.renew()
    rows = SyncQueue.objects.filter(id__in=taken, status=QueueStatus.IN_PROGRESS, lease_token=lease.token)
    claimed = {one.entity_id: one for one in _grouped(rows)}
    return [claimed.get(entity_id) or Claimed(entity_id, None, []) for entity_id in ids]


def _take_records(lease: Lease, ids: Sequence[UUID]) -> list[int]:
    with lease.held():
        give_back_lost(lease.link.entity_type, lease.token)
        rows = sorted(row[0] for row in _query(_SIBLINGS, [lease.link.entity_type, list(ids)]))
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, [lease.token, len(ids), rows])
    return rows


def _take(lease: Lease, size: int, priority: int) -> list[int]:
    entity_type = lease.link.entity_type
    with lease.held():
        give_back_lost(entity_type, lease.token)
        due = _query(_DUE, [entity_type, int(priority), size])
        chosen = _one_batch(due)
        records = [row[1] for row in chosen if row[1] is not None]
        siblings = _query(_SIBLINGS, [entity_type, records]) if records else []
        ids = sorted({row[0] for row in [*chosen, *siblings]})
        records_in_claim = len({(row[1], None if row[1] else row[2]) for row in chosen})
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, [lease.token, records_in_claim, ids])
    return ids


def _query(sql: str, params: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def _one_batch(due: list[Any]) -> list[Any]:
    """A row whose worker died among others comes alone; the others come without it."""
    if due and due[0][3]:
        return [row for row in due if (row[1], row[2]) == (due[0][1], due[0][2])]
    return [row for row in due if not row[3]]


def _grouped(rows: Any) -> list[Claimed]:
    groups: dict[tuple[UUID | None, str | None], list[SyncQueue]] = {}
    for row in rows.order_by("priority", "id"):
        groups.setdefault((row.entity_id, None if row.entity_id else row.remote_id), []).append(row)
    return [Claimed(entity_id, remote_id, found) for (entity_id, remote_id), found in groups.items()]
