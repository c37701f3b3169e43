"""The triggers of synced tables: bookkeeping before a write; jobs and tombstones after it; and jobs for other records.

pgtrigger fills in names in braces, and makes doubled braces plain ones; `_fill` fills in names like __TABLE__ before.
The SQL stands in migrations, too.
"""

from typing import Any

import pgtrigger

from sync.choices import PRIORITY_OF, Cause, Priority
from sync.monday.text_forms import MATCH_KEY_SQL

# ruff: noqa: S608 - statements made of names that applications declare, for migrations

# The sync's own columns; changing them doesn't count as a change of the record.
BOOKKEEPING = ("monday_id", "item_since", "monday_last_synced", "sync_status", "created_at", "updated_at")

# The records that a pass is writing in this transaction (`mark_settling`): what it writes itself needs no job.
_SETTLING_IDS = "string_to_array(coalesce(current_setting('npd.settling', true), ''), ',')"

# The transaction gets its id before the row gets its time, so that a reader's mark waits for the row (`readers_mark`).
# An update has locked its row by then, which needs an id.
_BEFORE_INSERT = """
    PERFORM pg_current_xact_id();
    NEW.updated_at := sync_now();
    NEW.sync_status := CASE
        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled' ELSE 'pending' END;
    RETURN NEW;
"""

# A conflict stays one until a pass has ended.
_BOOKKEEPING_BEFORE_UPDATE = """
    NEW.updated_at := sync_now();
    NEW.sync_status := CASE
        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled'
        WHEN OLD.sync_status IN ('disabled', 'synced') THEN 'pending'
        ELSE NEW.sync_status END;
    RETURN NEW;
"""

# DO UPDATE and never DO NOTHING: it locks the pending row until the save commits, so that a claim (SKIP LOCKED) can't
# take it before the save is visible. Sorted, so that bulk updates of the same records lock them in the same order.
_ENQUEUE = """
    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)
    SELECT '{meta.model_name}', changed.id, 'to_monday', '__OPERATION__', __PAYLOAD__, __PRIORITY__, __CAUSES__
    FROM (__ROWS__) AS changed
    WHERE NOT changed.id::text = ANY (__SETTLING__)
    ORDER BY changed.id
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes,
        attempts = 0, reason = '', error_message = ''__REPLACE__;
"""

# pghistory's context says who deleted the record, and how.
_TOMBSTONES = """
    deletion := _pgh_attach_context();
    INSERT INTO sync_tombstones (entity_type, entity_id, monday_id, data, context_id)
    SELECT '{meta.model_name}', gone.id, gone.monday_id, to_jsonb(gone.*), deletion
    FROM old_values AS gone ORDER BY gone.id
    ON CONFLICT (entity_type, entity_id) DO UPDATE
    SET monday_id = excluded.monday_id, data = excluded.data, deleted_at = sync_now(),
        context_id = excluded.context_id, state = 'waiting', settled_at = NULL, note = '';
"""


def _fill(sql: str, **values: object) -> str:
    for name, value in values.items():
        sql = sql.replace(f"__{name}__", str(value))
    return sql


def _enqueue(operation: str, rows: str, payload: str = "'{{}}'::jsonb", replace: str = "") -> str:
    """Return SQL that enqueues the selected rows; `replace` is what else it changes in a job that already waits."""
    return _fill(
        _ENQUEUE,
        OPERATION=operation,
        ROWS=rows,
        PAYLOAD=payload,
        REPLACE=replace,
        PRIORITY=int(PRIORITY_OF[Cause.SAVE]),
        CAUSES=int(Cause.SAVE),
        SETTLING=_SETTLING_IDS,
    )


class _Statement(pgtrigger.Composer):
    """A statement-level trigger with transition tables."""

    level = pgtrigger.Statement
    when = pgtrigger.After


def _function(statements: str) -> pgtrigger.Func:
    return pgtrigger.Func(statements + "RETURN NULL;")  # type: ignore[no-untyped-call]


def synced_triggers() -> list[pgtrigger.Trigger]:
    """Return the triggers that every synced table has."""
    record_changed = pgtrigger.AnyChange(exclude=list(BOOKKEEPING))
    enqueue_new = _enqueue("create", "SELECT id FROM new_values")
    enqueue_changed = _enqueue("update", "SELECT new_values.id FROM {cond_joined_values}")
    enqueue_deleted = _enqueue(
        "delete",
        "SELECT id, monday_id FROM old_values",
        payload="jsonb_build_object('monday_id', changed.monday_id)",
        replace=", operation = excluded.operation, payload = sync_queue.payload || excluded.payload",
    )
    return [
        pgtrigger.Trigger(
            name="sync_status_new", when=pgtrigger.Before, operation=pgtrigger.Insert, func=_BEFORE_INSERT
        ),
        pgtrigger.Trigger(
            name="sync_item_since",
            when=pgtrigger.Before,
            operation=pgtrigger.UpdateOf("monday_id"),  # type: ignore[no-untyped-call]
            condition=pgtrigger.AnyChange("monday_id"),
            func="NEW.item_since := sync_now(); RETURN NEW;",
        ),
        pgtrigger.Trigger(
            name="sync_bookkeeping",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            condition=record_changed,
            func=_BOOKKEEPING_BEFORE_UPDATE,
        ),
        _Statement(name="sync_outbox_insert", operation=pgtrigger.Insert, func=_function(enqueue_new)),
        _Statement(
            name="sync_outbox_update",
            operation=pgtrigger.Update,
            condition=record_changed,
            func=_function(enqueue_changed),
        ),
        _Statement(
            name="sync_outbox_delete",
            operation=pgtrigger.Delete,
            declare=[("deletion", "uuid")],
            func=_function(_TOMBSTONES + enqueue_deleted),
        ),
        # A row trigger, because with a condition it costs a bulk insert nothing.
        pgtrigger.Trigger(
            name="sync_item_matched",
            when=pgtrigger.After,
            operation=pgtrigger.Insert | pgtrigger.UpdateOf("monday_id"),  # type: ignore[no-untyped-call]
            condition=pgtrigger.Q(new__monday_id__isnull=False),
            func="DELETE FROM sync_unmatched_items WHERE item_id = NEW.monday_id; RETURN NULL;",
        ),
    ]


# Finds the records that point at a changed row, if a mapped column shows the relation (by its item, or as text by its
# name) or the filter asks for its name.
_FIND_DEPENDENTS = """
    SELECT array_agg(DISTINCT pointing.id) INTO woken
    FROM (
        SELECT new_values.id, old_values.__NAME__ IS DISTINCT FROM new_values.__NAME__ AS renamed,
            (old_values.monday_id, old_values.sync_enabled, old_values.sync_direction) IS DISTINCT FROM
            (new_values.monday_id, new_values.sync_enabled, new_values.sync_direction) AS switched
        FROM {cond_joined_values}
    ) AS seen
    JOIN __TABLE__ AS pointing ON pointing.__COLUMN__ = seen.id
    JOIN sync_board_links AS link ON link.entity_type = '__TYPE__'
    JOIN sync_field_mappings AS mapping ON mapping.link_id = link.id AND '__FIELD__' = ANY (mapping.fields)
    WHERE pointing.sync_enabled AND pointing.sync_direction <> 'none' AND (
        mapping.column_id <> '' AND CASE mapping.converter WHEN 'relation_name' THEN seen.renamed ELSE seen.switched END
        OR seen.renamed AND link.sync_filter -> 'records' @> jsonb_build_array(jsonb_build_object('field', mapping.key))
    );
"""

# Enqueues the records in `woken`. Lock order: records by id, then queue rows.
_ENQUEUE_WOKEN = """
    IF woken IS NOT NULL THEN
        UPDATE __TABLE__ AS pointing SET sync_status = 'pending'
        FROM (SELECT id FROM __TABLE__ WHERE id = ANY (woken) AND sync_status = 'synced'
              ORDER BY id FOR NO KEY UPDATE) AS locked
        WHERE pointing.id = locked.id;
        INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)
        SELECT '__TYPE__', id, 'to_monday', 'update', __PRIORITY__, __CAUSES__ FROM unnest(woken) AS id
        ORDER BY id
        ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
        DO UPDATE SET
            priority = least(sync_queue.priority, excluded.priority),
            next_retry = least(sync_queue.next_retry, excluded.next_retry),
            causes = sync_queue.causes | excluded.causes;
    END IF;
"""

# Finds and enqueues the records that wait for a row.
_ENQUEUE_AWAITING = (
    """
    IF EXISTS (SELECT 1 FROM sync_awaited_relations WHERE entity_type = '__TYPE__') THEN
        SELECT array_agg(DISTINCT awaiting.entity_id) INTO woken
        FROM sync_awaited_relations AS awaiting JOIN (
            __TARGETS__
        ) AS come ON come.target = awaiting.target
        WHERE awaiting.entity_type = '__TYPE__' AND awaiting.target_type = '{meta.model_name}';
"""
    + _ENQUEUE_WOKEN.replace("\n    ", "\n        ")
    + """
    END IF;
"""
)


def _enqueue_awaiting(*tables: str, name: str) -> str:
    """Return SQL that enqueues records waiting for a row of these tables, as `AwaitedRelation.target` names it."""
    targets = [
        f"SELECT 'item ' || monday_id AS target FROM {table} WHERE monday_id IS NOT NULL"
        f" UNION SELECT 'name ' || {_fill(MATCH_KEY_SQL, TEXT=name)} FROM {table}"
        for table in tables
    ]
    return _fill(_ENQUEUE_AWAITING, TARGETS=" UNION ".join(targets))


def dependency_triggers(entity_type: str, table: str, field: str, *, name: str = "name") -> list[pgtrigger.Trigger]:
    """Return the triggers for the `Meta.triggers` of a model that a relation points at.

    The relation is the foreign key `field` in the `table` of the synced model `entity_type`; `name` is the target's
    column that a board shows if it has the relation as text. When a target's item, name or sync switch changes, the
    records that point at it are enqueued if a column shows the relation. When a target is created or deleted or gets
    an item or a name, the records with its name or item in their cell on the board are enqueued.
    """

    def build_trigger(event: str, operation: pgtrigger.Operation, sql: str, condition: Any = None) -> pgtrigger.Trigger:
        sql = _fill(
            sql,
            TYPE=entity_type,
            TABLE=table,
            COLUMN=f"{field}_id",
            FIELD=field,
            NAME=name,
            PRIORITY=int(Priority.SWEEP),
            CAUSES=int(Cause.DEPENDENCY),
        )
        return _Statement(
            name=f"wake_{entity_type}_{field}_{event}",
            operation=operation,
            condition=condition,
            declare=[("woken", "uuid[]")],
            func=_function(sql),
        )

    relevant_change = pgtrigger.AnyChange(name, "monday_id", "sync_enabled", "sync_direction")
    both_sides = [f"(SELECT {side}.* FROM {{cond_joined_values}}) AS {side}" for side in ("old_values", "new_values")]
    changed = _FIND_DEPENDENTS + _ENQUEUE_WOKEN + _enqueue_awaiting(*both_sides, name=name)
    return [
        build_trigger("new", pgtrigger.Insert, _enqueue_awaiting("new_values", name=name)),
        build_trigger("changed", pgtrigger.Update, changed, relevant_change),
        build_trigger("gone", pgtrigger.Delete, _enqueue_awaiting("old_values", name=name)),
    ]
