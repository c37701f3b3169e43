"""How a reason for a pass becomes a pending row: one row however many reasons, and the record says pending."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F

from conflicts.store import reject_resolutions
from sync import registry
from sync.choices import Cause, Operation, Priority, QueueDirection, RecordSyncStatus, SyncStatus
from sync.kernel.db import run_sql
from sync.models import SyncMetadata

# DO UPDATE and never DO NOTHING: the row it locks stays locked until this transaction commits.
_MERGE = """
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes,
        payload = sync_queue.payload || excluded.payload
"""

RECORD_UPSERT = f"""
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL {_MERGE}
"""
"""The end of an INSERT of a record's row: an already pending row is merged with the new one."""

ITEM_UPSERT = f"""
    ON CONFLICT (entity_type, remote_id) WHERE status = 'pending' AND entity_id IS NULL {_MERGE}
"""
"""The same for an unmatched item."""

_ENQUEUE_RECORDS = f"""
    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes, next_retry)
    SELECT %(entity_type)s, id, %(direction)s, %(operation)s, %(payload)s::jsonb, %(priority)s, %(cause)s,
        sync_now() + make_interval(secs => %(seconds)s)
    FROM unnest(%(ids)s::uuid[]) AS id ORDER BY id
    {RECORD_UPSERT}
"""  # noqa: S608 - made of the constant above

_ENQUEUE_ITEMS = f"""
    INSERT INTO sync_queue (entity_type, remote_id, direction, operation, payload, priority, causes, next_retry)
    SELECT %(entity_type)s, item_id, 'to_npd', 'create', %(payload)s::jsonb, %(priority)s, %(cause)s,
        sync_now() + make_interval(secs => %(seconds)s)
    FROM unnest(%(ids)s::text[]) AS item_id ORDER BY item_id
    {ITEM_UPSERT}
"""  # noqa: S608 - made of the constant above


def enqueue_many(
    entity_type: str,
    ids: Iterable[UUID],
    *,
    cause: Cause,
    priority: Priority,
    direction: QueueDirection = QueueDirection.TO_MONDAY,
    operation: Operation = Operation.UPDATE,
    payload: Mapping[str, Any] | None = None,
    due_in_seconds: float = 0,
) -> None:
    """Enqueue many records in one statement, in the caller's transaction.

    What comes from Monday makes synced records pending; a save has done so by itself.
    """
    params: dict[str, Any] = {
        "entity_type": entity_type,
        "ids": list(ids),
        "direction": direction,
        "operation": operation,
        "payload": json.dumps(dict(payload or {})),
        "priority": int(priority),
        "cause": int(cause),
        "seconds": due_in_seconds,
    }
    run_sql(_ENQUEUE_RECORDS, params)
    if direction == QueueDirection.TO_NPD and params["ids"]:
        mark_incoming(entity_type, params["ids"])


def enqueue_item_many(
    entity_type: str,
    ids: Iterable[str],
    *,
    cause: Cause,
    priority: Priority,
    due_in_seconds: float = 0,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Enqueue many unmatched items in one statement, in the caller's transaction."""
    params: dict[str, Any] = {
        "entity_type": entity_type,
        "ids": list(dict.fromkeys(ids)),
        "payload": json.dumps(dict(payload or {})),
        "priority": int(priority),
        "cause": int(cause),
        "seconds": due_in_seconds,
    }
    run_sql(_ENQUEUE_ITEMS, params)


# The status of a record that a pass has not settled: nothing says `synced` that may differ.

# Waits for nobody: whoever has a record locked is about to write its status.
_MARK_INCOMING = """
    UPDATE {table} SET sync_status = 'pending' WHERE id IN (
        SELECT id FROM {table} WHERE id = ANY (%(ids)s::uuid[]) AND sync_status = 'synced'
        FOR NO KEY UPDATE SKIP LOCKED
    )
"""


def mark_incoming(entity_type: str, ids: Sequence[UUID]) -> None:
    """Make those of these records pending that say synced while a job to NPD waits for them."""
    table = connection.ops.quote_name(registry.entity(entity_type).model._meta.db_table)
    run_sql(_MARK_INCOMING.format(table=table), {"ids": list(ids)})


def mark_failed(entity_type: str, entity_id: UUID | None, error: str, *, is_final: bool) -> None:
    """Make a synced record pending after a failure, and tell its ledger, `failed` if it is final."""
    if entity_id is None:
        return
    mark_pending(entity_type, entity_id)
    # A resolution that no pass will apply any more is returned to the person.
    if is_final:
        reject_resolutions(entity_type, [entity_id], f"Your resolution could not be applied: {error}")
    SyncMetadata.objects.of(entity_type, [entity_id]).update(
        sync_status=SyncStatus.FAILED if is_final else SyncStatus.PENDING,
        last_error=error,
        error_count=F("error_count") + 1,
    )


def mark_pending(entity_type: str, entity_id: UUID) -> None:
    """A row of a person or of a failure is pending, so the record is not known to be in sync."""
    mark_many_pending(entity_type, [entity_id])


def mark_many_pending(entity_type: str, entity_ids: Sequence[UUID]) -> None:
    """Make those of these records pending that are synced, in one statement."""
    records = registry.entity(entity_type).model._default_manager
    # Only synced records: a conflict or a question must not turn into `pending`.
    records.filter(pk__in=entity_ids, sync_status=RecordSyncStatus.SYNCED).update(sync_status=RecordSyncStatus.PENDING)
