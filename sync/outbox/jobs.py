"""Enqueuing jobs: several reasons for a pass make one pending job; the record becomes pending."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from sync import choices, registry
from sync.kernel.db import run_sql
from sync.outbox import wakeups

# Not DO NOTHING: the update locks the row until this transaction commits.
_MERGE = """
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes,
        payload = sync_queue.payload || excluded.payload
"""

# The end of an INSERT of a record's row: an already pending row is merged with the new one.
RECORD_UPSERT = f"""
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL {_MERGE}
"""

# The same for an unmatched item.
ITEM_UPSERT = f"""
    ON CONFLICT (entity_type, remote_id) WHERE status = 'pending' AND entity_id IS NULL {_MERGE}
"""

_ENQUEUE = """
    INSERT INTO sync_queue (entity_type, {column}, direction, operation, payload, priority, causes, next_retry)
    SELECT %(entity_type)s, id, {job}, %(payload)s::jsonb, %(priority)s, %(cause)s,
        sync_now() + make_interval(secs => %(seconds)s)
    FROM unnest(%(ids)s::{type}[]) AS id ORDER BY id
    {upsert}
"""
_ENQUEUE_RECORDS = _ENQUEUE.format(column="entity_id", job="%(direction)s, 'update'", type="uuid", upsert=RECORD_UPSERT)
_ENQUEUE_ITEMS = _ENQUEUE.format(column="remote_id", job="'to_npd', 'create'", type="text", upsert=ITEM_UPSERT)


def enqueue(  # noqa: PLR0913 - the columns of a job
    entity_type: str,
    records: Iterable[UUID],
    *,
    cause: choices.Cause,
    priority: choices.Priority | None = None,
    direction: choices.QueueDirection = choices.QueueDirection.TO_MONDAY,
    payload: Mapping[str, Any] | None = None,
    due_in_seconds: float = 0,
) -> None:
    """Enqueue records, in the caller's transaction if there is one; workers are woken on commit.

    Their priority is that of the cause unless another is named. Jobs that come from Monday or a person make synced
    records pending; a save has done that already.
    """
    if not (ids := list(records)):
        return
    job = {"entity_type": entity_type, "ids": ids, "direction": direction, "cause": cause, "seconds": due_in_seconds}
    job |= {"priority": priority or choices.PRIORITY_OF[cause], "payload": json.dumps(payload or {})}
    is_of_person = cause is choices.Cause.PERSON
    # A pass that took the job before its record is pending would leave the record pending without a job.
    with transaction.atomic(savepoint=False):
        run_sql(_ENQUEUE_RECORDS, job)
        wakeups.wake_on_commit(entity_type, due_in_seconds)
        if is_of_person or direction == choices.QueueDirection.TO_NPD:
            mark_pending(entity_type, ids, skips_locked=not is_of_person)


def enqueue_unmatched(  # noqa: PLR0913 - the columns of a job
    entity_type: str,
    items: Iterable[str],
    *,
    cause: choices.Cause,
    priority: choices.Priority | None = None,
    payload: Mapping[str, Any] | None = None,
    due_in_seconds: float = 0,
) -> None:
    """Enqueue items that no record has, as `enqueue` does records."""
    if not (ids := list(dict.fromkeys(items))):
        return
    job = {"entity_type": entity_type, "ids": ids, "cause": cause, "seconds": due_in_seconds}
    job |= {"priority": priority or choices.PRIORITY_OF[cause], "payload": json.dumps(payload or {})}
    run_sql(_ENQUEUE_ITEMS, job)
    wakeups.wake_on_commit(entity_type, due_in_seconds)


def enqueue_comparison(entity_type: str, records: Iterable[UUID]) -> None:
    """Enqueue records to be compared with their items, as a sweep does."""
    enqueue(entity_type, records, cause=choices.Cause.SWEEP, direction=choices.QueueDirection.TO_NPD)


# Only synced records, so that a conflict doesn't become pending.
_MARK_PENDING = """
    UPDATE {table} SET sync_status = 'pending' WHERE id IN (
        SELECT id FROM {table} AS record WHERE id = ANY (%(ids)s::uuid[]) AND sync_status = 'synced' {condition}
        ORDER BY id FOR NO KEY UPDATE {locked}
    )
"""

_HAS_JOB = """
    AND EXISTS (SELECT FROM sync_queue AS job WHERE job.status = 'pending' AND job.entity_type = %(entity_type)s
        AND job.entity_id = record.id)
"""


def mark_pending(entity_type: str, ids: Sequence[UUID], *, skips_locked: bool = False) -> None:
    """Make the synced ones of these records pending, by one statement.

    A locked record may be skipped, because its pass is about to write its status.
    """
    table = connection.ops.quote_name(registry.entity(entity_type).model._meta.db_table)
    locked = "SKIP LOCKED" if skips_locked else ""
    run_sql(_MARK_PENDING.format(table=table, condition="", locked=locked), {"ids": list(ids)})


def mark_pending_with_jobs(entity_type: str, ids: Sequence[UUID]) -> None:
    """Make synced records pending that have a job; a webhook may have come while their pass wrote their status."""
    table = connection.ops.quote_name(registry.entity(entity_type).model._meta.db_table)
    sql = _MARK_PENDING.format(table=table, condition=_HAS_JOB, locked="SKIP LOCKED")
    run_sql(sql, {"ids": list(ids), "entity_type": entity_type})
