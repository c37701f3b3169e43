"""Writing waiting rows: an upsert, so that a hundred reasons to look at a record are one row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection

from sync.choices import Cause, Operation, Priority, QueueDirection

# DO UPDATE and never DO NOTHING: the row it locks stays locked until this transaction commits.
_MORE_URGENT = """
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes,
        payload = sync_queue.payload || excluded.payload
"""
RECORD_WAITS = f"""
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL {_MORE_URGENT}
"""
"""The end of an INSERT of a record's row: where one waits already, that one becomes what both ask for."""
ITEM_WAITS = f"""
    ON CONFLICT (entity_type, remote_id) WHERE status = 'pending' AND entity_id IS NULL {_MORE_URGENT}
"""
"""The same of an item that no record has."""

_RECORDS = f"""
    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes, next_retry)
    SELECT %(entity_type)s, id, %(direction)s, %(operation)s, %(payload)s::jsonb, %(priority)s, %(cause)s,
        sync_now() + make_interval(secs => %(seconds)s)
    FROM unnest(%(ids)s::uuid[]) AS id ORDER BY id
    {RECORD_WAITS}
"""  # noqa: S608 - made of the constant above
_ITEM = f"""
    INSERT INTO sync_queue (entity_type, remote_id, direction, operation, payload, priority, causes, next_retry)
    VALUES (%(entity_type)s, %(remote_id)s, 'to_npd', 'create', %(payload)s::jsonb, %(priority)s, %(cause)s,
            sync_now() + make_interval(secs => %(seconds)s))
    {ITEM_WAITS}
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
    """Say of many records that they may differ, in one statement, in the caller's transaction."""
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
    with connection.cursor() as cursor:
        cursor.execute(_RECORDS, params)


def enqueue_item(
    entity_type: str,
    remote_id: str,
    *,
    cause: Cause,
    priority: Priority,
    due_in_seconds: float,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Say of an item that no record has that it may be new."""
    params: dict[str, Any] = {
        "entity_type": entity_type,
        "remote_id": remote_id,
        "payload": json.dumps(dict(payload or {})),
        "priority": int(priority),
        "cause": int(cause),
        "seconds": due_in_seconds,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ITEM, params)
