"""What waits for a person: definitions in SQL, and the triggers that keep the rows of `sync_attention`.

Each definition selects the rows of one kind. A trigger on each table that a definition reads calls a function that
refreshes the rows of the record, item or board concerned, in the same transaction. `install` creates both after each
`migrate`, because some name the tables of the registered models. The chaos suite compares all rows with all
definitions. Triggers see only writes: a row that time alone ends has an `until`, by which `sync.attention.waiting`
leaves it out.
"""

# ruff: noqa: S608 - the statements are made of names of our own

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from django.db import connections

from sync import registry
from sync.attention import cause_table
from sync.choices import ENDING_STOPS, QUIET_REASONS, ActivityKind, BlockedCode, UnmatchedReason
from sync.models.activity_lines import UNREPORTED
from sync.models.jobs import FAILING_ATTEMPTS
from sync.monday.board_items import ARCHIVED, DELETED

# Removals by one person with shorter pauses are one act: a group on Home, not one of Home's buttons.
ACT_GAP = "interval '10 minutes'"

# As a list in SQL.
_ASKED_CODES = ", ".join(f"'{code}'" for code in cause_table.ASKED_CODES)

_ENDING_STOPS = ", ".join(f"'{code}'" for code in ENDING_STOPS)

# A result of the nightly comparison is shown until the next one replaces it, but no longer than this.
DIFFERENCES_SHOWN = "interval '1 day'"


@dataclass(frozen=True)
class RefreshFunction:
    """A function in the database that refreshes the rows of one record, item, board or receiver."""

    name: str
    parameters: str  # as SQL declares them
    rows: str  # the condition for its rows, which are called `stored`
    # Locks the record or board first, so that of two transactions the second sees what the first has written. Not
    # needed if all its rows are read from one row. A record is locked by its sync state, because one statement may
    # refresh thousands of records, and PostgreSQL has room for a few thousand advisory locks.
    lock: str = ""


RECORD = RefreshFunction(
    "sync_attention_of_record",
    "its_type text, its_id uuid",
    "stored.entity_type = its_type AND stored.entity_id = its_id",
    """PERFORM FROM sync_metadata AS sync_state WHERE sync_state.system = 'monday'
        AND sync_state.entity_type = its_type AND sync_state.entity_id = its_id::text FOR NO KEY UPDATE;""",
)

# An item without a record has two functions, because its job and its reason to be unmatched are rows of two tables.
_ITEMS_ROWS = "stored.entity_id IS NULL AND stored.item_id = its_item AND stored.entity_type = its_type"
ITEM_JOB = RefreshFunction(
    "sync_attention_of_item_job", "its_type text, its_item text", f"stored.kind = 'failed' AND {_ITEMS_ROWS}"
)
UNMATCHED_ITEM = RefreshFunction(
    "sync_attention_of_item", "its_type text, its_item text", f"stored.kind = 'unmatched' AND {_ITEMS_ROWS}"
)

# The account's rows are those of the type ''.
BOARD = RefreshFunction(
    "sync_attention_of_board",
    "its_type text",
    "stored.entity_id IS NULL AND stored.item_id = '' AND stored.entity_type = its_type"
    " AND stored.kind <> 'notification'",
    "PERFORM pg_advisory_xact_lock(hashtext('sync_attention'), hashtext(its_type));",
)
RECEIVER = RefreshFunction(
    "sync_attention_of_receiver", "its_id bigint", "stored.kind = 'notification' AND stored.source = its_id::text"
)


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A SELECT of rows that wait, in SQL; the model Attention says what its columns mean.

    For a new one, add the columns that it reads to WATCHED, and a function of its own, if it needs one, to `install`.
    """

    refreshed_by: RefreshFunction
    concerned: str  # the condition for what the function's parameters name
    tables: str
    waits: str  # the condition for what waits

    kind: str
    source: str
    code: str = "''"
    entity_type: str
    entity_id: str = "NULL::uuid"
    item_id: str = "''"
    field: str = "''"
    actor: str = "''"
    since: str = "NULL::timestamptz"  # if NULL, the row keeps the moment when it first appeared
    until: str = "NULL::timestamptz"
    values: str

    def select(self, concerned: str) -> str:
        columns = ", ".join(getattr(self, column) for column in COLUMNS)
        return f"SELECT {columns} FROM {self.tables} WHERE {concerned} AND ({self.waits})"


# The columns of Attention that a definition selects: its fields from `kind` on.
COLUMNS = tuple(field.name for field in fields(Definition))[4:]


# An attempt under way has not failed.
_FAILED_ATTEMPTS = "job.attempts - (job.status = 'in_progress')::int"

# Failed jobs, jobs that somebody retried, and jobs that fail repeatedly, unless they wait for a given reason or another
# job of the record is shown.
_JOB_WAITS = f"""job.status = 'failed' OR (job.status IN ('pending', 'in_progress') AND (
    jsonb_exists(job.payload, 'retried') OR (
        job.reason = '' AND {_FAILED_ATTEMPTS} >= {FAILING_ATTEMPTS}
        AND NOT EXISTS (SELECT FROM sync_queue AS other WHERE other.entity_id = job.entity_id AND (
            other.status = 'failed' OR (other.status <> 'completed'
                AND jsonb_exists(other.payload, 'retried')))))))"""

_JOBS = Definition(
    refreshed_by=RECORD,
    concerned="job.entity_type = its_type AND job.entity_id = its_id",
    tables="""sync_queue AS job
        CROSS JOIN LATERAL (SELECT CASE WHEN job.status = 'failed' THEN nullif(job.error_message, '')::jsonb
            ELSE coalesce(nullif(job.error_message, '')::jsonb, nullif(job.payload #> '{retried,error}', '""')) END
            #- '{params,request}') AS plain (error)""",
    # Not the jobs of records whose sync is off, unless a person asked for them by “Sync now” or “Unlink”: turning sync
    # off answers them, and turning it on writes another job.
    waits=f"""({_JOB_WAITS}) AND job.entity_id IS NOT NULL
        AND (jsonb_exists_any(job.payload, ARRAY['sync_pressed', 'unlink'])
            OR NOT sync_is_off(job.entity_type, job.entity_id))""",
    kind="'failed'",
    # A retried job keeps the key of the failed one until it succeeds, so that nobody is notified again. A job that
    # fails repeatedly keeps its own key when it fails for good.
    source="coalesce(CASE WHEN job.status <> 'failed' THEN job.payload #>> '{retried,job}' END, job.id::text)",
    entity_type="job.entity_type",
    entity_id="job.entity_id",
    item_id="coalesce(job.remote_id, '')",
    since="CASE job.status WHEN 'failed' THEN coalesce(job.last_attempt, job.created_at) END",
    values=f"""jsonb_build_object('job', job.id, 'error', coalesce(plain.error, '""'), 'failures',
        CASE job.status WHEN 'failed' THEN 0 ELSE {_FAILED_ATTEMPTS}
            + coalesce((job.payload #>> '{{retried,attempts}}')::int, 0) END)""",
)

_IS_UNANSWERED = (
    "conflict.resolved_at IS NULL AND (conflict.resolution IS NULL OR conflict.resolution -> 'fields' = '{}')"
)

# Somebody removed its item from the board.
_IS_TAKEN_AWAY = f"""sync_state.system = 'monday' AND sync_state.removed_since IS NOT NULL
    AND sync_state.remote_state IN ('{ARCHIVED}', '{DELETED}', 'moved')"""

# In the form of the index sync_metadata_blocked.
_HAS_BLOCKED_FIELDS = "NOT (sync_state.blocked_fields = '{}'::jsonb)"

DEFINITIONS = (
    _JOBS,
    # Jobs about an item without a record.
    replace(
        _JOBS,
        refreshed_by=ITEM_JOB,
        concerned="job.entity_type = its_type AND job.remote_id = its_item",
        waits=f"({_JOB_WAITS}) AND job.entity_id IS NULL",
    ),
    # Deletions and emptied values that wait for approval.
    Definition(
        refreshed_by=RECORD,
        concerned="request.entity_type = its_type AND request.entity_id = its_id",
        tables="""sync_approval_requests AS request
            LEFT JOIN sync_metadata AS sync_state ON sync_state.system = 'monday' AND request.kind = 'records'
                AND sync_state.entity_type = request.entity_type AND sync_state.entity_id = request.entity_id::text""",
        waits="request.state = 'pending'",
        kind="'approval'",
        source="request.id::text",
        code=f"CASE WHEN request.values ? '{UNREPORTED}' THEN '{UNREPORTED}' ELSE request.kind END",
        entity_type="request.entity_type",
        entity_id="request.entity_id",
        item_id="request.remote_id",
        field="request.key",
        since="request.at",
        values="""CASE WHEN request.kind IN ('clear_monday', 'clear_npd')
            THEN jsonb_build_object('label', request.values -> 'label', 'value', request.values -> 'value')
            ELSE jsonb_build_object('removed', coalesce(sync_state.remote_state, '')) END""",
    ),
    # Conflicts, without those about removed items, which have a kind of their own.
    Definition(
        refreshed_by=RECORD,
        concerned="conflict.entity_type = its_type AND conflict.entity_id = its_id",
        tables="sync_conflicts AS conflict",
        waits=f"""{_IS_UNANSWERED} AND (conflict.kind <> 'delete' OR NOT EXISTS (
            SELECT FROM sync_metadata AS sync_state WHERE {_IS_TAKEN_AWAY}
                AND sync_state.entity_type = conflict.entity_type
                AND sync_state.entity_id = conflict.entity_id::text))""",
        kind="CASE conflict.kind WHEN 'identity' THEN 'duplicate' ELSE 'conflict' END",
        source="conflict.id::text",
        code=f"""CASE WHEN conflict.kind = 'fields' AND NOT conflict.base_data @? '$.* ? (@ != null)'
                THEN '{cause_table.CODE_FIRST_MATCH}'
            WHEN conflict.about ->> 'asks' IN ({_ASKED_CODES}) THEN conflict.about ->> 'asks'
            ELSE conflict.kind END""",
        entity_type="conflict.entity_type",
        entity_id="conflict.entity_id",
        item_id="conflict.monday_item_id",
        field="array_to_string(conflict.conflict_fields, ',')",
        since="conflict.detected_at",
        values="""jsonb_build_object('npd', conflict.npd_data, 'base', conflict.base_data,
            'monday', conflict.monday_data, 'what', coalesce(conflict.about -> 'what', '""'),
            'editors', coalesce(conflict.about -> 'editors', '{}'), 'acts',
            CASE WHEN conflict.kind IN ('delete', 'identity')
                THEN jsonb_path_query_array(conflict.about, '$.options[*].choose') ELSE '[]' END)""",
    ),
    # Records whose items somebody removed, both during the quiet time and once a conflict asks about them. Not those
    # with an answer that a job still carries out, and those that wait for an approval.
    Definition(
        refreshed_by=RECORD,
        concerned="sync_state.entity_type = its_type AND sync_state.entity_id = its_id::text",
        # `author` is who removed the item, as the activity says. A sync state of another system may have an entity_id
        # that is no UUID.
        tables=f"""sync_metadata AS sync_state
            CROSS JOIN LATERAL
                (SELECT sync_synced_direction(sync_state.entity_type, sync_state.entity_id)) AS record (direction)
            LEFT JOIN sync_conflicts AS conflict ON conflict.kind = 'delete' AND {_IS_UNANSWERED}
                AND conflict.entity_type = sync_state.entity_type
                AND conflict.entity_id = CASE WHEN sync_state.system = 'monday' THEN sync_state.entity_id::uuid END
            LEFT JOIN LATERAL (
                SELECT line.actor, (line.values ->> 'at')::timestamptz AS done_at FROM sync_decisions AS line
                WHERE line.entity_id = sync_state.entity_id::uuid AND line.kind = '{ActivityKind.REMOVED}'
                ORDER BY line.at DESC, line.id DESC LIMIT 1) AS author ON true""",
        waits=f"""{_IS_TAKEN_AWAY} AND record.direction IS NOT NULL
            AND (conflict.id IS NOT NULL OR NOT jsonb_exists(sync_state.conflicts, 'delete'))
            AND NOT EXISTS (SELECT FROM sync_approval_requests AS request
                WHERE request.entity_type = sync_state.entity_type AND request.kind = 'records'
                    AND request.entity_id = sync_state.entity_id::uuid AND request.state = 'pending')
            AND NOT EXISTS (SELECT FROM sync_queue AS answer
                WHERE answer.entity_id = sync_state.entity_id::uuid AND answer.status IN ('pending', 'in_progress')
                    AND jsonb_exists_any(answer.payload, ARRAY['recreate', 'unlink']))""",
        kind="'removed'",
        source="concat_ws(':', sync_state.entity_type, sync_state.entity_id)",
        code="sync_state.remote_state",
        entity_type="sync_state.entity_type",
        entity_id="sync_state.entity_id::uuid",
        item_id="coalesce(sync_state.remote_id, '')",
        actor="coalesce(author.actor, '')",
        # The removal if a webhook reported it, otherwise the first pass that found it.
        since="coalesce(author.done_at, sync_state.removed_since)",
        # `noticed` is rounded up: the page adds the quiet time, and rounded down it would show a minute too early.
        values="""jsonb_build_object('noticed', ceil(extract(epoch FROM sync_state.removed_since))::bigint,
            'conflict', conflict.id, 'edited', array_to_string(conflict.conflict_fields, ','),
            'asked', jsonb_build_object(
                'npd', conflict.npd_data, 'base', conflict.base_data, 'monday', conflict.monday_data),
            'acts', array_remove(ARRAY[
                CASE WHEN record.direction <> 'monday_to_npd' THEN 'create_item' END,
                CASE WHEN record.direction <> 'npd_to_monday' THEN 'delete_record' END,
                'unlink'], NULL))""",
    ),
    # Fields that Monday rejected, or that are blocked. Not those of deleted records or of records whose sync is off,
    # those in conflict, those that a person keeps different, relations that are left out, those that wait for an
    # approval, those in an update loop, and those whose column can't be used; the last two are below.
    Definition(
        refreshed_by=RECORD,
        concerned="sync_state.entity_type = its_type AND sync_state.entity_id = its_id::text",
        tables="sync_metadata AS sync_state CROSS JOIN LATERAL jsonb_each(sync_state.blocked_fields) AS field",
        waits=f"""{_HAS_BLOCKED_FIELDS} AND sync_state.system = 'monday'
            AND coalesce(field.value ->> 'code', '') NOT IN ('{BlockedCode.APPROVAL}', '{BlockedCode.COLUMN}',
                '{BlockedCode.RELATION_SKIPPED}', '{BlockedCode.THROTTLED}')
            AND NOT jsonb_exists(field.value, 'kept_by')
            AND NOT jsonb_exists(coalesce(sync_state.conflicts -> 'fields', '[]'), field.key)
            AND NOT jsonb_exists(coalesce(sync_state.conflicts -> 'overwritten', '[]'), field.key)
            AND sync_synced_direction(sync_state.entity_type, sync_state.entity_id) IS NOT NULL""",
        kind=f"CASE WHEN field.value ->> 'code' IN ('{BlockedCode.REJECTED}', '{BlockedCode.LIMIT}')"
        " THEN 'rejected' ELSE 'blocked' END",
        source="concat_ws(':', sync_state.entity_type, sync_state.entity_id, field.key)",
        code="coalesce(field.value ->> 'code', '')",
        entity_type="sync_state.entity_type",
        entity_id="sync_state.entity_id::uuid",
        item_id="coalesce(sync_state.remote_id, '')",
        field="field.key",
        since="(field.value ->> 'since')::timestamptz",
        values="jsonb_build_object('reason', field.value -> 'reason')",
    ),
    # Fields in an update loop, also if nothing waits to be sent now.
    Definition(
        refreshed_by=RECORD,
        concerned="loop.entity_type = its_type AND loop.entity_id = its_id",
        tables="""sync_write_loops AS loop
            JOIN sync_metadata AS sync_state ON sync_state.system = 'monday'
                AND sync_state.entity_type = loop.entity_type AND sync_state.entity_id = loop.entity_id::text
            JOIN sync_board_links AS link ON link.entity_type = loop.entity_type
            JOIN sync_field_mappings AS mapping ON mapping.link_id = link.id AND mapping.key = loop.key""",
        waits="""loop.throttled_until IS NOT NULL AND mapping.direction <> 'none'
            AND sync_synced_direction(loop.entity_type, loop.entity_id::text) IS NOT NULL""",
        kind="'blocked'",
        source="concat_ws(':', loop.entity_type, loop.entity_id, loop.key)",
        code=f"'{BlockedCode.THROTTLED}'",
        entity_type="loop.entity_type",
        entity_id="loop.entity_id",
        item_id="coalesce(sync_state.remote_id, '')",
        field="loop.key",
        since="(loop.times -> -1 ->> 'at')::timestamptz",
        until="loop.throttled_until",
        values="jsonb_build_object('by', loop.by)",
    ),
    # Unmatched items, without ignored ones and those that need nobody (`QUIET_REASONS`).
    Definition(
        refreshed_by=UNMATCHED_ITEM,
        concerned="item.entity_type = its_type AND item.item_id = its_item",
        tables="sync_unmatched_items AS item",
        waits=f"""item.ignored_at IS NULL
            AND item.reason_code NOT IN ({", ".join(f"'{code}'" for code in QUIET_REASONS)})""",
        kind="'unmatched'",
        source="item.id::text",
        code="item.reason_code",
        entity_type="item.entity_type",
        item_id="item.item_id",
        since="item.first_seen",
        values="jsonb_build_object('name', item.name, 'details', item.details)",
    ),
    # Columns that can't be used, one row for all records. A field without a column waits only if a record needs it.
    Definition(
        refreshed_by=BOARD,
        concerned="link.entity_type = its_type",
        tables="sync_field_mappings AS mapping JOIN sync_board_links AS link ON link.id = mapping.link_id",
        waits=f"""mapping.direction <> 'none' AND (mapping.problem <> '' OR (mapping.column_id = '' AND EXISTS (
            SELECT FROM sync_metadata AS sync_state
            WHERE sync_state.system = 'monday' AND {_HAS_BLOCKED_FIELDS}
                AND sync_state.entity_type = link.entity_type
                AND sync_state.blocked_fields -> mapping.key ->> 'code' = '{BlockedCode.COLUMN}'
                AND sync_synced_direction(sync_state.entity_type, sync_state.entity_id) IS NOT NULL)))""",
        kind="'blocked'",
        source="concat_ws(':', link.entity_type, mapping.key)",
        code=f"'{BlockedCode.COLUMN}'",
        entity_type="link.entity_type",
        field="mapping.key",
        values="jsonb_build_object('reason', nullif(mapping.problem, '')::jsonb)",
    ),
    # What stops every board, all calls before writes, and what stops one; not while people have paused it.
    Definition(
        refreshed_by=BOARD,
        concerned="holder.entity_type = its_type",
        tables="""(SELECT '' AS entity_type, stops, pause FROM sync_monday_account
                UNION ALL SELECT entity_type, stops, pause FROM sync_board_links) AS holder
            CROSS JOIN LATERAL (SELECT value FROM jsonb_each(holder.stops) AS call (kind, value)
                WHERE kind IN ('all', 'writes') AND value ->> 'reason' <> '' ORDER BY kind LIMIT 1) AS call (stop)""",
        waits="holder.pause IS NULL AND NOT EXISTS (SELECT FROM sync_monday_account WHERE pause IS NOT NULL)",
        kind="'stop'",
        source="coalesce(nullif(holder.entity_type, ''), 'account')",
        code="call.stop ->> 'code'",
        entity_type="holder.entity_type",
        since="(call.stop ->> 'since')::timestamptz",
        until=f"""CASE WHEN call.stop ->> 'code' IN ({_ENDING_STOPS}) AND call.stop ->> 'needs_probe' = 'false'
            THEN (call.stop ->> 'until')::timestamptz END""",
        values="jsonb_build_object('reason', call.stop -> 'reason', 'next', call.stop ->> 'until')",
    ),
    Definition(
        refreshed_by=BOARD,
        concerned="link.entity_type = its_type",
        # The problems that a board's row has a column for.
        tables="""sync_board_links AS link CROSS JOIN LATERAL (VALUES
            ('npd_id', link.npd_id_problem), ('creates_held', link.creates_held), ('silence', link.silence),
            ('webhooks', link.webhooks_problem), ('sweeps', link.sweep_problem),
            ('comparison', link.comparison_problem)) AS problem (code, reason)""",
        waits="problem.reason <> ''",
        kind="'board'",
        source="concat_ws(':', link.entity_type, problem.code)",
        code="problem.code",
        entity_type="link.entity_type",
        values="jsonb_build_object('reason', problem.reason::jsonb, 'board', link.id)",
    ),
    # Kinds of calls that Monday refuses for one board, until one of them succeeds.
    Definition(
        refreshed_by=BOARD,
        concerned="link.entity_type = its_type",
        tables="sync_board_links AS link CROSS JOIN LATERAL jsonb_each(link.stops - 'all') AS call (kind, stop)",
        waits="true",
        kind="'board'",
        source="concat_ws(':', link.entity_type, 'refused_' || call.kind)",
        code="'refused_' || call.kind",
        entity_type="link.entity_type",
        since="(call.stop ->> 'since')::timestamptz",
        values="jsonb_build_object('reason', call.stop -> 'reason', 'board', link.id)",
    ),
    # Nightly comparisons that found differences.
    Definition(
        refreshed_by=BOARD,
        concerned="link.entity_type = its_type",
        tables="sync_board_links AS link",
        waits="link.differed_records > 0",
        kind="'difference'",
        source="concat_ws(':', link.entity_type, (link.verified_at AT TIME ZONE 'UTC')::date)",
        entity_type="link.entity_type",
        since="link.verified_at",
        until=f"link.verified_at + {DIFFERENCES_SHOWN}",
        values="""jsonb_build_object(
            'board', link.id, 'compared', link.verified_records, 'differed', link.differed_records)""",
    ),
    # People and chats whose messages fail; administrators solve it.
    Definition(
        refreshed_by=RECEIVER,
        concerned="receiver.id = its_id",
        tables="sync_notification_receivers AS receiver",
        waits="receiver.failed_since IS NOT NULL AND receiver.frequency <> 'off'",
        kind="'notification'",
        source="receiver.id::text",
        code="CASE WHEN receiver.user_id IS NULL THEN 'chat' ELSE 'email' END",
        entity_type="''",
        since="receiver.failed_since",
        values="""jsonb_build_object('name', receiver.name, 'user', receiver.user_id,
            'problem', nullif(receiver.problem, '')::jsonb)""",
    ),
)

# Rows with the same cause form a group: failed jobs by the codes of the error, its column and what it quotes, without
# the names and numbers in that; removed items by the act. What has one of _JOINED is one group, whatever its kind:
# records and items that a set-up's plan had nothing new for; a board that creates nothing, and the items in its way.
_JOINED = f"('{UnmatchedReason.UNPLANNED}', '{UnmatchedReason.CREATES_HELD}')"
_CAUSE = f"""
    concat_ws(':',
        CASE WHEN waiting.code NOT IN {_JOINED} THEN waiting.kind END, waiting.entity_type, CASE
        WHEN waiting.kind = 'failed' THEN left(md5(concat(
            jsonb_path_query_array(waiting.values -> 'error', '$.**.code'),
            jsonb_path_query_array(waiting.values -> 'error', '$.**.column'), regexp_replace(
            jsonb_path_query_array(waiting.values -> 'error', '$.**.quote')::text, '“[^”]*”|\\d+', '…', 'g'))), 12)
        WHEN waiting.kind = 'removed'
            THEN concat_ws(':', waiting.code, left(md5(concat(removal.act, waiting.actor)), 12))
        WHEN waiting.kind IN ('rejected', 'blocked') THEN concat_ws(':', waiting.field, nullif(waiting.code, ''))
        WHEN waiting.kind IN ('unmatched', 'approval') OR waiting.code IN {_JOINED}
            THEN waiting.code
        ELSE concat_ws(':', waiting.code, waiting.field) END)
"""


def _refresh_function(function: RefreshFunction) -> str:
    own = [definition for definition in DEFINITIONS if definition.refreshed_by is function]
    selects = " UNION ALL ".join(definition.select(definition.concerned) for definition in own)
    # Without seqscan, because a session keeps the plan of its first calls, when tables may have been empty. Without
    # jit, because a table that must be scanned anyway then costs so much that PostgreSQL before 18 would compile the
    # plan, for seconds, at each call.
    #
    # DISTINCT, because ON CONFLICT refuses a row that comes twice. The act of a removal is named by the moment when it
    # began: that of a removal shortly before or after, or its own.
    columns = (*COLUMNS, "act", "cause")
    changeable = columns[2:]  # without the key
    updates = ", ".join(f"{column} = excluded.{column}" for column in changeable)
    stored_values = ", ".join(f"stored.{column}" for column in changeable)
    new_values = ", ".join(f"excluded.{column}" for column in changeable)
    return f"""
        CREATE OR REPLACE FUNCTION {function.name}({function.parameters}) RETURNS void LANGUAGE plpgsql
        SET enable_seqscan = off SET jit = off AS $$
        BEGIN
            {function.lock}
            WITH waiting AS MATERIALIZED (
                SELECT DISTINCT ON (kind, source) * FROM ({selects}) AS defined ({", ".join(COLUMNS)})
                ORDER BY kind, source
            ), deleted AS (
                DELETE FROM sync_attention AS stored WHERE {function.rows} AND NOT EXISTS (
                    SELECT FROM waiting WHERE waiting.kind = stored.kind AND waiting.source = stored.source)
            )
            INSERT INTO sync_attention AS stored ({", ".join(columns)})
            SELECT waiting.kind, waiting.source, waiting.code, waiting.entity_type, waiting.entity_id, waiting.item_id,
                waiting.field, waiting.actor, coalesce(waiting.since, before.since, sync_now()), waiting.until,
                waiting.values, removal.act, {_CAUSE}
            FROM waiting
            LEFT JOIN sync_attention AS before ON before.kind = waiting.kind AND before.source = waiting.source
            LEFT JOIN LATERAL (
                SELECT other.act FROM sync_attention AS other WHERE waiting.kind = 'removed' AND other.kind = 'removed'
                    AND other.entity_type = waiting.entity_type AND other.code = waiting.code
                    AND other.actor = waiting.actor
                    AND other.since BETWEEN waiting.since - {ACT_GAP} AND waiting.since + {ACT_GAP}
                    AND other.source <> waiting.source LIMIT 1) AS neighbour (act) ON true
            CROSS JOIN LATERAL (SELECT CASE waiting.kind WHEN 'removed' THEN coalesce(
                CASE WHEN (before.actor, before.code) = (waiting.actor, waiting.code) THEN before.act END,
                neighbour.act, extract(epoch FROM waiting.since)::bigint::text) ELSE '' END) AS removal (act)
            ON CONFLICT (kind, source) DO UPDATE SET {updates}
            WHERE ({stored_values}) IS DISTINCT FROM ({new_values});
        END $$
    """


# The sync state's ids are texts, and those of other systems may be no UUIDs.
_IS_UUID = "~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"


def _record_functions() -> Iterator[str]:
    """Yield the functions that read the tables of the registered models."""

    def by_type(value: str) -> str:
        """Return the statements that return a value read from the table of the type."""
        return "\n".join(
            f"IF its_type = '{spec.entity_type}' THEN RETURN ({value.format(table=spec.model._meta.db_table)}); END IF;"
            for spec in registry.entities()
        )

    is_off = "EXISTS (SELECT FROM {table} WHERE id = its_id AND (NOT sync_enabled OR sync_direction = 'none'))"
    # Whether a person has turned the record's sync off; not for one that the filter leaves out, or that was deleted.
    yield f"""
        CREATE OR REPLACE FUNCTION sync_is_off(its_type text, its_id uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
        BEGIN
            {by_type(is_off)}
            RETURN false;
        END $$
    """
    direction = "SELECT sync_direction FROM {table} WHERE id = its_id::uuid AND sync_status <> 'disabled'"
    # NULL if the record is deleted, its sync is off, or the filter leaves it out.
    yield f"""
        CREATE OR REPLACE FUNCTION sync_synced_direction(its_type text, its_id text) RETURNS text
        LANGUAGE plpgsql STABLE AS $$
        BEGIN
            IF NOT its_id {_IS_UUID} THEN RETURN NULL; END IF;
            {by_type(direction)}
            RETURN NULL;
        END $$
    """


@dataclass(frozen=True)
class WatchedTable:
    """A table that definitions read, whose writes refresh rows."""

    name: str
    refresh: str  # the statements that refresh the rows of what the row `written` concerns
    matters: str = "true"  # the condition of NEW; an update matters also if OLD fulfilled it
    columns: tuple[str, ...] = ()  # or conditions: an update matters only if one of these changes

    def statements(self) -> Iterator[str]:
        """Yield the trigger function, and the triggers that call it."""
        yield f"""
            CREATE OR REPLACE FUNCTION sync_attention_at_{self.name}() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE written {self.name}%ROWTYPE;
            BEGIN
                IF TG_OP = 'DELETE' THEN written := OLD; ELSE written := NEW; END IF;
                {self.refresh}
                RETURN NULL;
            END $$
        """
        before = self.matters.replace("NEW.", "OLD.")
        changed = f"(({before}) OR ({self.matters}))"
        if self.columns:
            old = ", ".join(f"OLD.{column}" for column in self.columns)
            new = ", ".join(f"NEW.{column}" for column in self.columns)
            changed = f"{changed} AND ({old}) IS DISTINCT FROM ({new})"
        for operation, condition in (("INSERT", self.matters), ("UPDATE", changed), ("DELETE", before)):
            trigger = f"sync_attention_{operation.lower()}"
            yield f"DROP TRIGGER IF EXISTS {trigger} ON {self.name}"
            yield (
                f"CREATE TRIGGER {trigger} AFTER {operation} ON {self.name} FOR EACH ROW WHEN ({condition})"
                f" EXECUTE FUNCTION sync_attention_at_{self.name}()"
            )


_REFRESH_RECORD = "PERFORM sync_attention_of_record(written.entity_type, written.entity_id);"

WATCHED = (
    WatchedTable(
        "sync_queue",
        f"""IF written.entity_id IS NULL
            THEN PERFORM sync_attention_of_item_job(written.entity_type, written.remote_id);
        ELSE {_REFRESH_RECORD} END IF;""",
        f"""NEW.status = 'failed' OR NEW.attempts >= {FAILING_ATTEMPTS}
            OR jsonb_exists_any(NEW.payload, ARRAY['retried', 'recreate', 'unlink'])""",
    ),
    WatchedTable("sync_conflicts", _REFRESH_RECORD),
    WatchedTable(
        "sync_metadata",
        # The board's rows, because a field without a column waits if a record needs it.
        """PERFORM sync_attention_of_record(written.entity_type, written.entity_id::uuid);
        IF EXISTS (SELECT FROM sync_field_mappings AS mapping JOIN sync_board_links AS link ON link.id = mapping.link_id
            WHERE link.entity_type = written.entity_type AND mapping.column_id = '' AND mapping.direction <> 'none')
        THEN PERFORM sync_attention_of_board(written.entity_type); END IF;""",
        f"""NEW.system = 'monday' AND NEW.entity_id {_IS_UUID} AND (NEW.removed_since IS NOT NULL
            OR NEW.blocked_fields <> '{{}}'::jsonb OR NEW.conflicts <> '{{}}'::jsonb)""",
        ("removed_since", "remote_state", "blocked_fields", "conflicts", "remote_id"),
    ),
    WatchedTable("sync_decisions", _REFRESH_RECORD, "NEW.kind = 'removed' AND NEW.entity_id IS NOT NULL"),
    WatchedTable("sync_approval_requests", _REFRESH_RECORD, "NEW.state = 'pending'"),
    WatchedTable("sync_write_loops", _REFRESH_RECORD, "NEW.throttled_until IS NOT NULL"),
    WatchedTable(
        "sync_unmatched_items",
        "PERFORM sync_attention_of_item(written.entity_type, written.item_id);",
        columns=("ignored_at", "reason_code", "details", "name"),
    ),
    WatchedTable(
        "sync_field_mappings",
        """PERFORM sync_attention_of_board(link.entity_type), sync_attention_of_record(loop.entity_type, loop.entity_id)
            FROM sync_board_links AS link LEFT JOIN sync_write_loops AS loop
            ON loop.entity_type = link.entity_type AND loop.key = written.key WHERE link.id = written.link_id;""",
        columns=("problem", "direction", "column_id", "key"),
    ),
    WatchedTable(
        "sync_board_links",
        "PERFORM sync_attention_of_board(written.entity_type);",
        columns=(
            "stops",
            "npd_id_problem",
            "creates_held",
            "silence",
            "webhooks_problem",
            "sweep_problem",
            "comparison_problem",
            "verified_at",
            "differed_records",
            "pause",
        ),
    ),
    WatchedTable(
        "sync_monday_account",
        """PERFORM sync_attention_of_board('');
        IF TG_OP <> 'UPDATE' OR OLD.pause IS DISTINCT FROM NEW.pause THEN
            PERFORM sync_attention_of_board(link.entity_type) FROM sync_board_links AS link;
        END IF;""",
        columns=("stops", "pause"),
    ),
    WatchedTable(
        "sync_notification_receivers", "PERFORM sync_attention_of_receiver(written.id);", "NEW.failed_since IS NOT NULL"
    ),
)


def install(using: str = "default", **kwargs: Any) -> None:
    """Create or replace the functions, and the triggers on those tables that exist already."""
    with connections[using].cursor() as cursor:
        tables = set(connections[using].introspection.table_names(cursor))
        if "sync_attention" not in tables:
            return
        for statement in _record_functions():
            cursor.execute(statement)
        for function in (RECORD, ITEM_JOB, UNMATCHED_ITEM, BOARD, RECEIVER):
            cursor.execute(_refresh_function(function))
        # Records' deletions, and changes of sync and direction, also by the filter. A new record has no rows, unless it
        # was restored and already has a sync state.
        record_tables = [
            WatchedTable(
                spec.model._meta.db_table,
                f"""IF TG_OP <> 'INSERT' OR EXISTS (SELECT FROM sync_metadata AS sync_state
                WHERE sync_state.entity_type = '{spec.entity_type}' AND sync_state.entity_id = written.id::text)
            THEN PERFORM sync_attention_of_record('{spec.entity_type}', written.id); END IF;
            IF EXISTS (SELECT FROM sync_metadata AS sync_state WHERE sync_state.entity_type = '{spec.entity_type}'
                AND sync_state.entity_id = written.id::text
                AND jsonb_path_exists(sync_state.blocked_fields, '$.*.code ? (@ == "{BlockedCode.COLUMN}")'))
            THEN PERFORM sync_attention_of_board('{spec.entity_type}'); END IF;""",
                # A pass writes the other statuses, which don't matter.
                columns=("sync_direction", "sync_enabled", "sync_status = 'disabled'"),
            )
            for spec in registry.entities()
        ]
        for table in (*WATCHED, *record_tables):
            if table.name in tables:
                for statement in table.statements():
                    cursor.execute(statement)
