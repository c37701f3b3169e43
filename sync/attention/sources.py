"""When something waits for a person: definitions in SQL, and the triggers that keep the rows of `sync_attention`.

Each definition selects the rows of one kind. A trigger on each table that a definition reads refreshes the rows of the
written record, item or board in the same transaction. `install` creates the functions and triggers after each
`migrate`, because one function names the tables of the registered models. The chaos suite compares all rows with all
definitions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connections

from conflicts import reports
from sync import registry
from sync.choices import BlockedCode
from sync.kernel.messages import EXPLAINED_REASONS, TombstoneReason
from sync.models import Attention
from sync.models.jobs import FAILING_ATTEMPTS
from sync.monday.board_items import ARCHIVED, DELETED

# Quotes and numbers of an error differ from record to record, though the cause is the same.
VARYING = r"“[^”]*”|\d+"

# The states of an item that somebody removed from the board.
TAKEN_AWAY = (ARCHIVED, DELETED, "moved")

# Removals by one person with shorter pauses are one act.
ACT_GAP = "interval '10 minutes'"

# The columns of a definition, in this order. If its source knows no `since`, it is NULL, and the row keeps the moment
# when it first appeared.
COLUMNS = (
    "kind",
    "source",
    "code",
    "entity_type",
    "entity_id",
    "item_id",
    "field",
    "actor",
    "since",
    "until",
    "values",
)

# ruff: noqa: S608 - the statements are made of names of our own


@dataclass(frozen=True)
class Unit:
    """The rows that one call of a function refreshes: those of a record, an item, a board or a receiver."""

    name: str
    parameters: Mapping[str, str]  # of the function: types by name
    rows: str  # the condition for its rows, `sync_attention AS stored`
    # Taken first, so that the second of two transactions sees what the first has written: a statement after the lock
    # has a snapshot of its own. A unit whose rows are all read from one row needs none. A record locks its row of the
    # sync state, because one statement may refresh thousands of records, and PostgreSQL has room for a few thousand
    # advisory locks in all.
    lock: str = ""


RECORD = Unit(
    "record",
    {"its_type": "text", "its_id": "uuid"},
    "stored.entity_type = its_type AND stored.entity_id = its_id",
    """PERFORM FROM sync_metadata AS sync_state WHERE sync_state.system = 'monday'
        AND sync_state.entity_type = its_type AND sync_state.entity_id = its_id::text FOR NO KEY UPDATE;""",
)
_OF_ITEM = "stored.entity_id IS NULL AND stored.item_id = its_item AND stored.entity_type = its_type"
JOB_OF_ITEM = Unit("item_job", {"its_type": "text", "its_item": "text"}, f"stored.kind = 'failed' AND {_OF_ITEM}")
ITEM = Unit("item", {"its_type": "text", "its_item": "text"}, f"stored.kind = 'unmatched' AND {_OF_ITEM}")
BOARD = Unit(
    "board",
    {"its_type": "text"},
    "stored.entity_id IS NULL AND stored.item_id = '' AND stored.entity_type = its_type"
    " AND stored.kind <> 'notification'",
    "PERFORM pg_advisory_xact_lock(hashtext('sync_attention'), hashtext(its_type));",
)
RECEIVER = Unit("receiver", {"its_id": "bigint"}, "stored.kind = 'notification' AND stored.source = its_id::text")
UNITS = (RECORD, JOB_OF_ITEM, ITEM, BOARD, RECEIVER)


@dataclass(frozen=True)
class Definition:
    """A SELECT of rows that wait; {wanted} in `sql` is the place of the condition for one unit."""

    unit: Unit
    sql: str
    wanted: str  # the condition


# Failed jobs, jobs that somebody retried, and jobs that fail repeatedly (FAILING_ATTEMPTS). A retried job keeps the key
# of the failed one until it succeeds, so that nobody is notified again; a job that fails repeatedly keeps its own key
# when it fails for good. Not the jobs of records whose sync is off, unless a person asked for them by “Sync now” or
# “Unlink”: turning sync off answers them, and turning it on writes another job.
_JOBS = f"""
    SELECT 'failed',
        coalesce(CASE WHEN job.status <> 'failed' THEN job.payload #>> '{{retried,job}}' END, job.id::text), '',
        job.entity_type, job.entity_id, coalesce(job.remote_id, ''), '', '',
        CASE job.status WHEN 'failed' THEN coalesce(job.last_attempt, job.created_at) END,
        NULL::timestamptz,
        jsonb_build_object('job', job.id, 'error', plain.error, 'common',
            regexp_replace(plain.error, '{VARYING}', '…', 'g'), 'failures',
            CASE job.status WHEN 'failed' THEN 0 ELSE job.attempts - (job.status = 'in_progress')::int
                + coalesce((job.payload #>> '{{retried,attempts}}')::int, 0) END)
    FROM sync_queue AS job
    CROSS JOIN LATERAL (SELECT regexp_replace(CASE WHEN job.status = 'failed' THEN job.error_message
        ELSE coalesce(nullif(job.error_message, ''), job.payload #>> '{{retried,error}}', '') END,
        '\\s*\\[Monday request [^\\]]*\\]', '', 'g')) AS plain (error)
    WHERE {{wanted}} AND (job.status = 'failed' OR (job.status IN ('pending', 'in_progress') AND (
        jsonb_exists(job.payload, 'retried') OR (
            job.reason = '' AND job.attempts - (job.status = 'in_progress')::int >= {FAILING_ATTEMPTS}
            AND NOT EXISTS (SELECT FROM sync_queue AS other WHERE other.entity_id = job.entity_id AND (
                other.status = 'failed' OR (other.status <> 'completed'
                    AND jsonb_exists(other.payload, 'retried'))))))))
"""

_JOBS_OF_RECORDS = f"""{_JOBS} AND job.entity_id IS NOT NULL
    AND (jsonb_exists_any(job.payload, ARRAY['by_name', 'unlink']) OR NOT sync_is_off(job.entity_type, job.entity_id))
"""

_APPROVALS = """
    SELECT 'approval', request.id::text, request.kind, request.entity_type, request.entity_id, request.remote_id,
        request.key, '', request.at, NULL::timestamptz, CASE WHEN request.kind IN ('clear_monday', 'clear_npd')
            THEN jsonb_build_object('label', request.values -> 'label', 'value', request.values -> 'value')
            ELSE jsonb_build_object('removed', coalesce(sync_state.remote_state, '')) END
    FROM sync_approval_requests AS request
    LEFT JOIN sync_metadata AS sync_state ON sync_state.system = 'monday' AND request.kind = 'records'
        AND sync_state.entity_type = request.entity_type AND sync_state.entity_id = request.entity_id::text
    WHERE {wanted} AND request.state = 'pending'
"""

_UNANSWERED = "conflict.resolved_at IS NULL AND (conflict.resolution IS NULL OR conflict.resolution -> 'fields' = '{}')"

_TAKEN_AWAY = f"""sync_state.system = 'monday' AND sync_state.removed_since IS NOT NULL
    AND sync_state.remote_state IN ({", ".join(f"'{state}'" for state in TAKEN_AWAY)})"""

# Without the conflicts about removed items, which wait as `_REMOVED`.
_CONFLICTS = f"""
    SELECT CASE conflict.kind WHEN 'identity' THEN 'duplicate' ELSE 'conflict' END, conflict.id::text,
        CASE WHEN conflict.kind = 'fields' AND NOT conflict.base_data @? '$.* ? (@ != null)'
            AND NOT EXISTS (SELECT FROM sync_metadata AS sync_state WHERE sync_state.system = 'monday'
                AND sync_state.entity_type = conflict.entity_type AND sync_state.entity_id = conflict.entity_id::text
                AND jsonb_exists_any(sync_state.base, conflict.conflict_fields::text[]))
            THEN '{reports.KIND_FIRST_MATCH}'
            WHEN conflict.kind = 'delete'
                AND conflict.about @? '$.options[*] ? (@.does == "{reports.RESTORE_RECORD}")'
            THEN CASE WHEN EXISTS (SELECT FROM sync_tombstones AS tombstone
                WHERE tombstone.entity_type = conflict.entity_type AND tombstone.entity_id = conflict.entity_id
                    AND tombstone.reason_code = '{TombstoneReason.QUESTION_RESTORED}')
                THEN '{reports.KIND_RESTORED_ITEM}' ELSE '{reports.KIND_DELETED_RECORD}' END
            ELSE conflict.kind END,
        conflict.entity_type, conflict.entity_id, conflict.monday_item_id,
        array_to_string(conflict.conflict_fields, ','), '', conflict.detected_at, NULL::timestamptz,
        jsonb_build_object('npd', conflict.npd_data, 'base', conflict.base_data, 'monday', conflict.monday_data,
            'what', coalesce(conflict.about ->> 'what', ''), 'acts',
            CASE WHEN conflict.kind = 'delete' THEN jsonb_path_query_array(conflict.about, '$.options[*].does')
                ELSE '[]' END)
    FROM sync_conflicts AS conflict
    WHERE {{wanted}} AND {_UNANSWERED} AND (conflict.kind <> 'delete' OR NOT EXISTS (
        SELECT FROM sync_metadata AS sync_state WHERE {_TAKEN_AWAY}
            AND sync_state.entity_type = conflict.entity_type AND sync_state.entity_id = conflict.entity_id::text))
"""

# Records whose items somebody removed, both during the quiet time and once a conflict asks about them. They wait since
# the removal if a webhook reported it, otherwise since the first pass that found it. Records with an answer that a job
# still carries out, and those that wait for an approval, don't wait here. The activity says who removed the item.
_REMOVED = f"""
    SELECT 'removed', concat_ws(':', sync_state.entity_type, sync_state.entity_id), sync_state.remote_state,
        sync_state.entity_type, sync_state.entity_id::uuid, coalesce(sync_state.remote_id, ''), '',
        coalesce(author.actor, ''),
        coalesce(author.done_at, sync_state.removed_since), NULL::timestamptz,
        -- Rounded up, because rounded down the page would show a minute too early.
        jsonb_build_object('noticed', ceil(extract(epoch FROM sync_state.removed_since))::bigint,
            'conflict', conflict.id, 'edited', array_to_string(conflict.conflict_fields, ','),
            'asked', jsonb_build_object(
                'npd', conflict.npd_data, 'base', conflict.base_data, 'monday', conflict.monday_data),
            'acts', array_remove(ARRAY[
                CASE WHEN record.direction <> 'monday_to_npd' THEN 'create_item' END,
                CASE WHEN record.direction <> 'npd_to_monday' THEN 'delete_record' END,
                'unlink'], NULL))
    FROM sync_metadata AS sync_state
    CROSS JOIN LATERAL
        (SELECT sync_synced_direction(sync_state.entity_type, sync_state.entity_id)) AS record (direction)
    LEFT JOIN sync_conflicts AS conflict ON conflict.kind = 'delete' AND {_UNANSWERED}
        AND conflict.entity_type = sync_state.entity_type
        AND conflict.entity_id = CASE WHEN sync_state.system = 'monday' THEN sync_state.entity_id::uuid END
    LEFT JOIN LATERAL (
        SELECT line.actor, (line.values ->> 'at')::timestamptz AS done_at FROM sync_decisions AS line
        WHERE line.entity_id = sync_state.entity_id::uuid AND line.kind = 'removed'
        ORDER BY line.at DESC, line.id DESC LIMIT 1) AS author ON true
    WHERE {{wanted}} AND {_TAKEN_AWAY} AND record.direction IS NOT NULL
        AND (conflict.id IS NOT NULL OR NOT jsonb_exists(sync_state.conflicts, 'delete'))
        AND NOT EXISTS (SELECT FROM sync_approval_requests AS request
            WHERE request.entity_type = sync_state.entity_type AND request.kind = 'records'
                AND request.entity_id = sync_state.entity_id::uuid AND request.state = 'pending')
        AND NOT EXISTS (SELECT FROM sync_queue AS answer
            WHERE answer.entity_id = sync_state.entity_id::uuid AND answer.status IN ('pending', 'in_progress')
                AND jsonb_exists_any(answer.payload, ARRAY['recreate', 'unlink']))
"""

# Fields that Monday rejected, or that are blocked. Not those of deleted records or of records whose sync is off, those
# in conflict, those that a person keeps different, those that wait for an approval, and those whose column can't be
# used, which the board's row is about.
_FIELDS = f"""
    SELECT CASE WHEN field.value ->> 'code' IN ('{BlockedCode.REJECTED}', '{BlockedCode.LIMIT}')
            THEN 'rejected' ELSE 'blocked' END,
        concat_ws(':', sync_state.entity_type, sync_state.entity_id, field.key), coalesce(field.value ->> 'code', ''),
        sync_state.entity_type, sync_state.entity_id::uuid, coalesce(sync_state.remote_id, ''), field.key, '',
        (field.value ->> 'since')::timestamptz, NULL::timestamptz,
        jsonb_build_object('reason', field.value ->> 'reason')
    FROM sync_metadata AS sync_state CROSS JOIN LATERAL jsonb_each(sync_state.blocked_fields) AS field
    WHERE {{wanted}} AND NOT (sync_state.blocked_fields = '{{}}'::jsonb) AND sync_state.system = 'monday'
        AND coalesce(field.value ->> 'code', '') NOT IN ('{BlockedCode.APPROVAL}', '{BlockedCode.COLUMN}',
            '{BlockedCode.RELATION_SKIPPED}', '{BlockedCode.THROTTLED}')
        AND NOT jsonb_exists(field.value, 'kept_by')
        AND NOT jsonb_exists(coalesce(sync_state.conflicts -> 'fields', '[]'), field.key)
        AND NOT jsonb_exists(coalesce(sync_state.conflicts -> 'overwritten', '[]'), field.key)
        AND sync_synced_direction(sync_state.entity_type, sync_state.entity_id) IS NOT NULL
"""

# Fields in an update loop, also if nothing waits to be sent now.
_LOOPS = f"""
    SELECT 'blocked', concat_ws(':', loop.entity_type, loop.entity_id, loop.key), '{BlockedCode.THROTTLED}',
        loop.entity_type, loop.entity_id, coalesce(sync_state.remote_id, ''), loop.key, '',
        (loop.times -> -1 ->> 'at')::timestamptz, loop.throttled_until, jsonb_build_object('by', loop.by)
    FROM sync_write_loops AS loop
    JOIN sync_metadata AS sync_state ON sync_state.system = 'monday' AND sync_state.entity_type = loop.entity_type
        AND sync_state.entity_id = loop.entity_id::text
    JOIN sync_board_links AS link ON link.entity_type = loop.entity_type
    JOIN sync_field_mappings AS mapping ON mapping.link_id = link.id AND mapping.key = loop.key
    WHERE {{wanted}} AND loop.throttled_until IS NOT NULL AND mapping.direction <> 'none'
        AND sync_synced_direction(loop.entity_type, loop.entity_id::text) IS NOT NULL
"""

# Without the items that an identity conflict asks about.
_UNMATCHED = f"""
    SELECT 'unmatched', item.id::text, item.reason_code, item.entity_type, NULL::uuid, item.item_id, '', '',
        item.first_seen, NULL::timestamptz, jsonb_build_object('name', item.name, 'details', item.details)
    FROM sync_unmatched_items AS item WHERE {{wanted}} AND item.ignored_at IS NULL
        AND item.reason_code NOT IN ({", ".join(f"'{code}'" for code in EXPLAINED_REASONS)})
"""

# Columns that can't be used, one row for all records. A field without a column waits only if a record needs the column.
_BROKEN_COLUMNS = f"""
    SELECT 'blocked', concat_ws(':', link.entity_type, mapping.key), '{BlockedCode.COLUMN}', link.entity_type,
        NULL::uuid, '', mapping.key, '', NULL::timestamptz, NULL::timestamptz,
        jsonb_build_object('reason', mapping.problem)
    FROM sync_field_mappings AS mapping JOIN sync_board_links AS link ON link.id = mapping.link_id
    WHERE {{wanted}} AND mapping.direction <> 'none' AND (mapping.problem <> '' OR (mapping.column_id = '' AND EXISTS (
        SELECT FROM sync_metadata AS sync_state
        WHERE sync_state.system = 'monday' AND NOT (sync_state.blocked_fields = '{{}}'::jsonb)
            AND sync_state.entity_type = link.entity_type
            AND sync_state.blocked_fields -> mapping.key ->> 'code' = '{BlockedCode.COLUMN}'
            AND sync_synced_direction(sync_state.entity_type, sync_state.entity_id) IS NOT NULL)))
"""

# What stops every board, or one, until Monday has answered; not while people have paused it.
_ACCOUNT_STOPS = """
    SELECT 'stop', 'account', account.stop_code, '', NULL::uuid, '', '', '', account.stopped_since,
        CASE WHEN NOT account.needs_probe THEN account.stopped_until END,
        jsonb_build_object('reason', account.stop_reason)
    FROM sync_monday_account AS account
    WHERE {wanted} AND account.stop_code <> '' AND (account.needs_probe OR account.stopped_until IS NOT NULL)
        AND account.pause IS NULL
"""

_BOARD_STOPS = """
    SELECT 'stop', link.entity_type, 'board', link.entity_type, NULL::uuid, '', '', '',
        (link.stops -> 'all' ->> 'since')::timestamptz, NULL::timestamptz,
        jsonb_build_object('reason', link.stops -> 'all' ->> 'reason')
    FROM sync_board_links AS link WHERE {wanted} AND jsonb_exists(link.stops, 'all')
        AND link.pause IS NULL AND NOT EXISTS (SELECT FROM sync_monday_account WHERE pause IS NOT NULL)
"""

_BOARD_PROBLEMS = """
    SELECT 'board', concat_ws(':', link.entity_type, problem.code), problem.code, link.entity_type, NULL::uuid, '', '',
        '', NULL::timestamptz, NULL::timestamptz, jsonb_build_object('reason', problem.reason)
    FROM sync_board_links AS link CROSS JOIN LATERAL (VALUES
        ('npd_id', link.npd_id_problem), ('creates_held', link.creates_held), ('silence', link.silence),
        ('webhooks', link.webhooks_problem), ('sweeps', link.sweep_problem)) AS problem (code, reason)
    WHERE {wanted} AND problem.reason <> ''
"""

# Kinds of calls that Monday refuses for one board, until one of them succeeds.
_REFUSED_CALLS = """
    SELECT 'board', concat_ws(':', link.entity_type, 'refused_' || call.kind), 'refused_' || call.kind,
        link.entity_type, NULL::uuid, '', '', '', (call.stop ->> 'since')::timestamptz, NULL::timestamptz,
        jsonb_build_object('reason', call.stop ->> 'reason')
    FROM sync_board_links AS link CROSS JOIN LATERAL jsonb_each(link.stops - 'all') AS call (kind, stop)
    WHERE {wanted}
"""

# The next night's comparison replaces a result. If it can't be made, a result says nothing of today any more.
DIFFERENCES_SHOWN = "interval '1 day'"

# Nightly comparisons that found differences.
_DIFFERENCES = f"""
    SELECT 'difference', concat_ws(':', link.entity_type, (link.verified_at AT TIME ZONE 'UTC')::date), '',
        link.entity_type, NULL::uuid, '', '', '', link.verified_at, link.verified_at + {DIFFERENCES_SHOWN},
        jsonb_build_object('board', link.id, 'compared', link.verified_records, 'differed', link.differed_records)
    FROM sync_board_links AS link WHERE {{wanted}} AND link.differed_records > 0
"""

# People and chats whose messages fail; administrators solve it.
_NOTIFICATIONS = """
    SELECT 'notification', receiver.id::text, CASE WHEN receiver.user_id IS NULL THEN 'chat' ELSE 'email' END, '',
        NULL::uuid, '', '', '', receiver.failed_since, NULL::timestamptz,
        jsonb_build_object('name', receiver.name, 'user', receiver.user_id, 'problem', receiver.problem)
    FROM sync_notification_receivers AS receiver
    WHERE {wanted} AND receiver.failed_since IS NOT NULL AND receiver.frequency <> 'off'
"""


def _record(alias: str, key: str = "its_id") -> str:
    return f"{alias}.entity_type = its_type AND {alias}.entity_id = {key}"


DEFINITIONS = (
    Definition(RECORD, _JOBS_OF_RECORDS, _record("job")),
    Definition(RECORD, _APPROVALS, _record("request")),
    Definition(RECORD, _CONFLICTS, _record("conflict")),
    Definition(RECORD, _REMOVED, _record("sync_state", "its_id::text")),
    Definition(RECORD, _FIELDS, _record("sync_state", "its_id::text")),
    Definition(RECORD, _LOOPS, _record("loop")),
    Definition(
        JOB_OF_ITEM, _JOBS + " AND job.entity_id IS NULL", "job.entity_type = its_type AND job.remote_id = its_item"
    ),
    Definition(ITEM, _UNMATCHED, "item.entity_type = its_type AND item.item_id = its_item"),
    Definition(BOARD, _BROKEN_COLUMNS, "link.entity_type = its_type"),
    Definition(BOARD, _ACCOUNT_STOPS, "its_type = ''"),
    Definition(BOARD, _BOARD_STOPS, "link.entity_type = its_type"),
    Definition(BOARD, _BOARD_PROBLEMS, "link.entity_type = its_type"),
    Definition(BOARD, _REFUSED_CALLS, "link.entity_type = its_type"),
    Definition(BOARD, _DIFFERENCES, "link.entity_type = its_type"),
    Definition(RECEIVER, _NOTIFICATIONS, "receiver.id = its_id"),
)

# Rows with the same cause form a group: failed jobs by the error without names and numbers, removed items by the act.
_CAUSE = """
    CASE waiting.kind
        WHEN 'failed' THEN concat_ws(':', waiting.kind, waiting.entity_type, left(md5(waiting.values ->> 'common'), 12))
        WHEN 'removed' THEN concat_ws(':', waiting.kind, waiting.entity_type, waiting.code,
            left(md5(concat(act.began, waiting.actor)), 12))
        WHEN 'rejected' THEN concat_ws(':', waiting.kind, waiting.entity_type, waiting.field, nullif(waiting.code, ''))
        WHEN 'blocked' THEN concat_ws(':', waiting.kind, waiting.entity_type, waiting.field, nullif(waiting.code, ''))
        WHEN 'unmatched' THEN concat_ws(':', waiting.kind, waiting.entity_type, waiting.code)
        WHEN 'approval' THEN concat_ws(':', waiting.kind, waiting.entity_type, waiting.code)
        ELSE concat_ws(':', waiting.kind, waiting.entity_type, waiting.code, waiting.field) END
"""

# Without seqscan, because a session keeps the plan of its first calls, when tables may have been empty. Without jit,
# because a table that must be scanned anyway then costs so much that PostgreSQL before 18 would compile the plan, for
# seconds, at each call.
_REFRESH = f"""
CREATE OR REPLACE FUNCTION sync_attention_of_{{name}}({{parameters}}) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
BEGIN
    {{lock}}
    WITH waiting AS MATERIALIZED (
        SELECT DISTINCT ON (kind, source) * FROM ({{definitions}}) AS defined ({", ".join(COLUMNS)})
        ORDER BY kind, source
    ), over AS (
        DELETE FROM sync_attention AS stored WHERE {{rows}} AND NOT EXISTS (
            SELECT FROM waiting WHERE waiting.kind = stored.kind AND waiting.source = stored.source)
    )
    INSERT INTO sync_attention AS stored ({", ".join((*COLUMNS, "act", "cause"))})
    SELECT waiting.kind, waiting.source, waiting.code, waiting.entity_type, waiting.entity_id, waiting.item_id,
        waiting.field, waiting.actor, coalesce(waiting.since, before.since, sync_now()), waiting.until, waiting.values,
        act.began, {_CAUSE}
    FROM waiting
    LEFT JOIN sync_attention AS before ON before.kind = waiting.kind AND before.source = waiting.source
    LEFT JOIN LATERAL (
        SELECT other.act FROM sync_attention AS other WHERE waiting.kind = 'removed' AND other.kind = 'removed'
            AND other.entity_type = waiting.entity_type AND other.code = waiting.code AND other.actor = waiting.actor
            AND other.since BETWEEN waiting.since - {ACT_GAP} AND waiting.since + {ACT_GAP}
            AND other.source <> waiting.source LIMIT 1) AS joined (act) ON true
    CROSS JOIN LATERAL (SELECT CASE waiting.kind WHEN 'removed'
        THEN coalesce(CASE WHEN (before.actor, before.code) = (waiting.actor, waiting.code) THEN before.act END,
            joined.act, extract(epoch FROM waiting.since)::bigint::text) ELSE '' END) AS act (began)
    ON CONFLICT (kind, source) DO UPDATE SET
        code = excluded.code, entity_type = excluded.entity_type, entity_id = excluded.entity_id,
        item_id = excluded.item_id, field = excluded.field, actor = excluded.actor, since = excluded.since,
        until = excluded.until, values = excluded.values, act = excluded.act, cause = excluded.cause
    WHERE (stored.code, stored.entity_id, stored.item_id, stored.field, stored.actor, stored.since, stored.until,
        stored.values, stored.act, stored.cause) IS DISTINCT FROM (excluded.code, excluded.entity_id,
        excluded.item_id, excluded.field, excluded.actor, excluded.since, excluded.until, excluded.values,
        excluded.act, excluded.cause);
END $$
"""


def _refresh_functions() -> Iterator[str]:
    for unit in UNITS:
        own = [
            definition.sql.replace("{wanted}", definition.wanted)
            for definition in DEFINITIONS
            if definition.unit is unit
        ]
        yield (
            _REFRESH.replace("{name}", unit.name)
            .replace("{parameters}", ", ".join(f"{name} {kind}" for name, kind in unit.parameters.items()))
            .replace("{lock}", unit.lock)
            .replace("{definitions}", " UNION ALL ".join(own))
            .replace("{rows}", unit.rows)
        )


# The sync state's ids are texts, and other code's may be no UUIDs.
_IS_UUID = "~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"

# Whether a person has turned the record's sync off; not for one that the filter leaves out, or that was deleted.
_IS_OFF = """
CREATE OR REPLACE FUNCTION sync_is_off(its_type text, its_id uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    {cases}
    RETURN false;
END $$
"""

_IS_OFF_CASE = """
    IF its_type = '{type}' THEN
        RETURN EXISTS (SELECT FROM {table} WHERE id = its_id AND (NOT sync_enabled OR sync_direction = 'none'));
    END IF;
"""

# NULL if the record is deleted or its sync is off.
_DIRECTION = """
CREATE OR REPLACE FUNCTION sync_synced_direction(its_type text, its_id text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT its_id {is_uuid} THEN RETURN NULL; END IF;
    {cases}
    RETURN NULL;
END $$
"""

_DIRECTION_CASE = """
    IF its_type = '{type}' THEN
        RETURN (SELECT sync_direction FROM {table} WHERE id = its_id::uuid AND sync_status <> 'disabled');
    END IF;
"""


def _record_functions() -> Iterator[str]:
    """Yield the functions that name the tables of the registered models."""
    tables = [{"type": spec.entity_type, "table": spec.model._meta.db_table} for spec in registry.entities()]
    for function, case in ((_IS_OFF, _IS_OFF_CASE), (_DIRECTION, _DIRECTION_CASE)):
        cases = "".join(case.format(**names) for names in tables)
        yield function.replace("{is_uuid}", _IS_UUID).replace("{cases}", cases)


@dataclass(frozen=True)
class Watched:
    """A table that definitions read, whose writes refresh rows; `{row}` in its SQL is the written row."""

    table: str
    refresh: str  # the statements that refresh the rows
    matters: str = "true"  # the condition for the row before or after the write
    columns: tuple[str, ...] = ()  # an update matters only if one of these changes; empty for any

    def statements(self) -> Iterator[str]:
        before = self.matters.replace("{row}", "OLD")
        after = self.matters.replace("{row}", "NEW")
        changed = f"(({before}) OR ({after}))"
        if self.columns:
            old, new = (", ".join(f"{row}.{column}" for column in self.columns) for row in ("OLD", "NEW"))
            changed = f"{changed} AND ({old}) IS DISTINCT FROM ({new})"
        for operation, condition in (("INSERT", after), ("UPDATE", changed), ("DELETE", before)):
            name = f"sync_attention_{operation.lower()}"
            yield f"DROP TRIGGER IF EXISTS {name} ON {self.table}"
            yield (
                f"CREATE TRIGGER {name} AFTER {operation} ON {self.table} FOR EACH ROW WHEN ({condition})"
                f" EXECUTE FUNCTION sync_attention_at_{self.table}()"
            )

    def function(self) -> str:
        refresh = self.refresh.replace("{row}", "written")
        return f"""
            CREATE OR REPLACE FUNCTION sync_attention_at_{self.table}() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE written {self.table}%ROWTYPE;
            BEGIN
                IF TG_OP = 'DELETE' THEN written := OLD; ELSE written := NEW; END IF;
                {refresh}
                RETURN NULL;
            END $$
        """


_OF_RECORD = "PERFORM sync_attention_of_record({row}.entity_type, {row}.entity_id);"

WATCHED = (
    Watched(
        "sync_queue",
        """IF {row}.entity_id IS NULL THEN PERFORM sync_attention_of_item_job({row}.entity_type, {row}.remote_id);
        ELSE PERFORM sync_attention_of_record({row}.entity_type, {row}.entity_id); END IF;""",
        f"""{{row}}.status = 'failed' OR {{row}}.attempts >= {FAILING_ATTEMPTS}
            OR jsonb_exists_any({{row}}.payload, ARRAY['retried', 'recreate', 'unlink'])""",
    ),
    Watched("sync_conflicts", _OF_RECORD),
    Watched(
        "sync_metadata",
        """PERFORM sync_attention_of_record({row}.entity_type, {row}.entity_id::uuid);
        IF EXISTS (SELECT FROM sync_field_mappings AS mapping JOIN sync_board_links AS link ON link.id = mapping.link_id
            WHERE link.entity_type = {row}.entity_type AND mapping.column_id = '' AND mapping.direction <> 'none')
        THEN PERFORM sync_attention_of_board({row}.entity_type); END IF;""",
        f"""{{row}}.system = 'monday' AND {{row}}.entity_id {_IS_UUID} AND ({{row}}.removed_since IS NOT NULL
            OR {{row}}.blocked_fields <> '{{}}'::jsonb OR {{row}}.conflicts <> '{{}}'::jsonb)""",
        ("removed_since", "remote_state", "blocked_fields", "conflicts", "remote_id", "base"),
    ),
    Watched("sync_decisions", _OF_RECORD, "{row}.kind = 'removed' AND {row}.entity_id IS NOT NULL"),
    Watched("sync_approval_requests", _OF_RECORD, "{row}.state = 'pending'"),
    Watched("sync_write_loops", _OF_RECORD, "{row}.throttled_until IS NOT NULL"),
    Watched("sync_tombstones", _OF_RECORD, columns=("reason_code", "state")),
    Watched(
        "sync_unmatched_items",
        "PERFORM sync_attention_of_item({row}.entity_type, {row}.item_id);",
        columns=("ignored_at", "reason_code", "details", "name"),
    ),
    Watched(
        "sync_field_mappings",
        """PERFORM sync_attention_of_board(link.entity_type), sync_attention_of_record(loop.entity_type, loop.entity_id)
            FROM sync_board_links AS link LEFT JOIN sync_write_loops AS loop
            ON loop.entity_type = link.entity_type AND loop.key = {row}.key WHERE link.id = {row}.link_id;""",
        columns=("problem", "direction", "column_id", "key"),
    ),
    Watched(
        "sync_board_links",
        "PERFORM sync_attention_of_board({row}.entity_type);",
        columns=(
            *("stops", "npd_id_problem", "creates_held", "silence", "webhooks_problem"),
            *("sweep_problem", "verified_at", "differed_records", "pause"),
        ),
    ),
    Watched(
        "sync_monday_account",
        """PERFORM sync_attention_of_board('');
        IF TG_OP <> 'UPDATE' OR OLD.pause IS DISTINCT FROM NEW.pause THEN
            PERFORM sync_attention_of_board(link.entity_type) FROM sync_board_links AS link;
        END IF;""",
        columns=("stop_code", "stop_reason", "stopped_since", "stopped_until", "needs_probe", "pause"),
    ),
    Watched(
        "sync_notification_receivers", "PERFORM sync_attention_of_receiver({row}.id);", "{row}.failed_since IS NOT NULL"
    ),
)


def _watched_records() -> Iterator[Watched]:
    """Yield the synced tables, for deletions and changes of sync and direction.

    A new record has no rows, unless it was restored and already has a sync state.
    """
    for spec in registry.entities():
        yield Watched(
            spec.model._meta.db_table,
            f"""IF TG_OP <> 'INSERT' OR EXISTS (SELECT FROM sync_metadata AS sync_state
                WHERE sync_state.entity_type = '{spec.entity_type}' AND sync_state.entity_id = {{row}}.id::text)
            THEN PERFORM sync_attention_of_record('{spec.entity_type}', {{row}}.id); END IF;""",
            columns=("sync_direction", "sync_enabled"),
        )


def install(using: str = "default", **kwargs: Any) -> None:
    """Create or replace the functions and triggers, on the tables that exist yet."""
    with connections[using].cursor() as cursor:
        tables = set(connections[using].introspection.table_names(cursor))
        if Attention._meta.db_table not in tables:
            return
        for statement in (*_record_functions(), *_refresh_functions()):
            cursor.execute(statement)
        for watched in (*WATCHED, *_watched_records()):
            if watched.table in tables:
                cursor.execute(watched.function())
                for statement in watched.statements():
                    cursor.execute(statement)
