"""How a reason for a pass becomes a pending row: one row however many reasons, and the record says pending."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from sync import choices, registry
from sync.kernel.db import run_sql
from sync.outbox import notify

# DO UPDATE and never DO NOTHING: the row it locks stays locked until this transaction commits.
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
    SELECT %(entity_type)s, id, %(direction)s, %(operation)s, %(payload)s::jsonb, %(priority)s, %(cause)s,
        sync_now() + make_interval(secs => %(seconds)s)
    FROM unnest(%(ids)s::{type}[]) AS id ORDER BY id
    {upsert}
"""


def enqueue(
    entity_type: str,
    records: Iterable[UUID] = (),
    *,
    items: Iterable[str] = (),
    cause: choices.Cause,
    priority: choices.Priority,
    direction: choices.QueueDirection = choices.QueueDirection.TO_MONDAY,
    operation: choices.Operation = choices.Operation.UPDATE,
    payload: Mapping[str, Any] | None = None,
    due_in_seconds: float = 0,
) -> None:
    """Enqueue records, and `items` that no record has, in the caller's transaction; its commit wakes the board.

    What comes from Monday or from a person makes synced records pending; a save has done so by itself.
    """
    params: dict[str, Any] = {
        "entity_type": entity_type,
        "payload": json.dumps(dict(payload or {})),
        "priority": int(priority),
        "cause": int(cause),
        "seconds": due_in_seconds,
    }
    if ids := list(records):
        sql = _ENQUEUE.format(column="entity_id", type="uuid", upsert=RECORD_UPSERT)
        run_sql(sql, params | {"ids": ids, "direction": direction, "operation": operation})
        is_of_person = cause is choices.Cause.PERSON
        if is_of_person or direction == choices.QueueDirection.TO_NPD:
            mark_pending(entity_type, ids, waits=is_of_person)
    if item_ids := list(dict.fromkeys(items)):
        sql = _ENQUEUE.format(column="remote_id", type="text", upsert=ITEM_UPSERT)
        of_items = {"direction": choices.QueueDirection.TO_NPD, "operation": choices.Operation.CREATE}
        run_sql(sql, params | {"ids": item_ids, **of_items})
    if ids or item_ids:
        transaction.on_commit(partial(notify.notify_board, entity_type, due_in_seconds), robust=True)


# The status of a record that a pass has not settled: nothing says `synced` that may differ.

# Only synced records: a conflict or a question must not turn into `pending`.
_MARK_PENDING = """
    UPDATE {table} SET sync_status = 'pending' WHERE id IN (
        SELECT id FROM {table} WHERE id = ANY (%(ids)s::uuid[]) AND sync_status = 'synced'
        ORDER BY id FOR NO KEY UPDATE {locked}
    )
"""


def enqueue_comparison(entity_type: str, records: Iterable[UUID]) -> None:
    """Enqueue records to be compared with their items, after all that people wait for."""
    enqueue(
        entity_type,
        records,
        cause=choices.Cause.SWEEP,
        priority=choices.Priority.SWEEP,
        direction=choices.QueueDirection.TO_NPD,
    )


def mark_pending(entity_type: str, ids: Sequence[UUID], *, waits: bool = True) -> None:
    """Make those of these records pending that say synced while a job waits for them, in one statement.

    Unless it `waits`, a record that is locked is passed over: who has it is about to write its status.
    """
    table = connection.ops.quote_name(registry.entity(entity_type).model._meta.db_table)
    run_sql(_MARK_PENDING.format(table=table, locked="" if waits else "SKIP LOCKED"), {"ids": list(ids)})
