"""The triggers of a synced table: bookkeeping before a row is written, the outbox after the statement.

The outbox row is written in the transaction of the change, whichever way the row changed: `save()`,
`bulk_create`, `update()`, raw SQL, or the `SET NULL` of a cascade. The engine's own writes name the
records they settle in `npd.settling`; those alone make no outbox row.
"""

from __future__ import annotations

import pgtrigger

from sync.choices import Cause, Priority

BOOKKEEPING = ("monday_id", "monday_last_synced", "sync_status", "created_at", "updated_at")
"""Columns that say how sync stands; a change of them is no change of the record."""

SETTLING = "string_to_array(coalesce(current_setting('npd.settling', true), ''), ',')"

_STATUS_BEFORE_INSERT = """
    NEW.sync_status := CASE
        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled' ELSE 'pending' END;
    RETURN NEW;
"""

_BOOKKEEPING_BEFORE_UPDATE = """
    NEW.updated_at := sync_now();
    NEW.sync_status := CASE
        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled'
        WHEN OLD.sync_status IN ('disabled', 'synced') THEN 'pending'
        ELSE NEW.sync_status END;
    RETURN NEW;
"""

# DO UPDATE and never DO NOTHING: the waiting row stays locked until the save commits, so that a claim
# (SKIP LOCKED) can't use it up before the save is visible. Sorted, so that two bulk updates that touch
# the same records lock them in the same order.
_UPSERT = """
    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)
    SELECT '{meta.model_name}', changed.id, 'to_monday', '__OPERATION__', __PAYLOAD__, __EDIT__, __SAVE__
    FROM (__CHANGED__) AS changed
    WHERE NOT changed.id::text = ANY (__SETTLING__)
    ORDER BY changed.id
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes,
        attempts = 0, reason = '', error_message = ''__REPLACE__;
"""

_TOMBSTONES = """
    INSERT INTO sync_tombstones (entity_type, entity_id, monday_id, data)
    SELECT '{meta.model_name}', gone.id, gone.monday_id, to_jsonb(gone.*)
    FROM old_values AS gone ORDER BY gone.id
    ON CONFLICT (entity_type, entity_id) DO UPDATE
    SET monday_id = excluded.monday_id, data = excluded.data, deleted_at = sync_now();
"""


def _upsert(operation: str, changed: str, payload: str = "'{{}}'::jsonb", replace: str = "") -> str:
    return (
        _UPSERT.replace("__OPERATION__", operation)
        .replace("__CHANGED__", changed)
        .replace("__PAYLOAD__", payload)
        .replace("__REPLACE__", replace)
        .replace("__EDIT__", str(int(Priority.EDIT)))
        .replace("__SAVE__", str(int(Cause.SAVE)))
        .replace("__SETTLING__", SETTLING)
    )


class _Statement(pgtrigger.Composer):
    """A statement-level trigger with transition tables, whose function is given for its one event."""

    level = pgtrigger.Statement
    when = pgtrigger.After


class ChangedColumns(pgtrigger.AnyChange):
    """Any column but the bookkeeping ones differs."""

    def __init__(self) -> None:
        super().__init__(exclude=list(BOOKKEEPING))


INSERTED = _upsert("create", "SELECT id FROM new_values")
DELETED = _TOMBSTONES + _upsert(
    "delete",
    "SELECT id, monday_id FROM old_values",
    payload="jsonb_build_object('monday_id', changed.monday_id)",
    replace=", operation = excluded.operation, payload = sync_queue.payload || excluded.payload",
)
UPDATED = _upsert(
    "update",
    "SELECT new_values.id FROM {cond_joined_values}",
)


def _function(statements: str) -> pgtrigger.Func:
    return pgtrigger.Func(statements + "RETURN NULL;")  # type: ignore[no-untyped-call]


def synced_triggers() -> list[pgtrigger.Trigger]:
    """Return the triggers that every synced table carries."""
    return [
        pgtrigger.Trigger(
            name="sync_status_new",
            when=pgtrigger.Before,
            operation=pgtrigger.Insert,
            func=_STATUS_BEFORE_INSERT,
        ),
        pgtrigger.Trigger(
            name="sync_bookkeeping",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            condition=ChangedColumns(),
            func=_BOOKKEEPING_BEFORE_UPDATE,
        ),
        _Statement(
            name="sync_outbox_insert",
            operation=pgtrigger.Insert,
            func=_function(INSERTED),
        ),
        _Statement(
            name="sync_outbox_update",
            operation=pgtrigger.Update,
            condition=ChangedColumns(),
            func=_function(UPDATED),
        ),
        _Statement(
            name="sync_outbox_delete",
            operation=pgtrigger.Delete,
            func=_function(DELETED),
        ),
    ]
