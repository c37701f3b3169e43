"""What waits for a person, in SQL: a source for each kind, all with the same columns, to be united in the database."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from django.db.models import TextChoices

from conflicts.store import attention_sql
from sync import registry
from sync.choices import ApprovalKind
from sync.kernel.messages import EXPLAINED_REASONS
from sync.outbox.operate import FAILING_ATTEMPTS
from sync.reconcile.pass_plan import TAKEN_AWAY_STATES
from sync.records.availability import VARYING
from sync.records.blocked_fields import synced_records_sql, synced_types, waiting_fields_sql


class AttentionKind(TextChoices):
    """What kind of thing needs attention, the gravest first."""

    FAILED = "failed", "Failed"
    NOTIFICATION = "notification", "Notifications failing"
    APPROVAL = "approval", "Approvals"
    REMOVED = "removed", "Removed on Monday"
    CONFLICT = "conflict", "Conflicts"
    DUPLICATE = "duplicate", "Possible duplicates"
    REJECTED = "rejected", "Rejected by Monday"
    BLOCKED = "blocked", "Blocked"
    UNMATCHED = "unmatched", "Unmatched items"


# The sources. Each of them is asked for as many of these columns as a question needs, which is what a statement costs.


NOTHING = "''"


@dataclass(frozen=True)
class Source:
    """A kind of what waits, or two: what each column is in SQL, and the `rows`, from FROM to WHERE.

    `code`, `subject` (fields by commas; of what was removed when that began, and who did it) and `common` (a sentence
    of all) are the same for all of one cause; `detail` is the sentence of this one, `sides` the values of a conflict.
    `records` is how many records it is about, `place_by` how those of a cause are told apart and ordered, where an
    index has it so.
    """

    kinds: frozenset[AttentionKind]
    rows: str
    kind: str
    id: str = "id::text"
    entity_type: str = "entity_type"
    entity_id: str = "entity_id"
    item_id: str = "remote_id"
    since: str = "at"
    code: str = NOTHING
    subject: str = NOTHING
    common: str = NOTHING
    detail: str = NOTHING
    sides: str = "'{}'::jsonb"
    records: str = "1"
    place_by: str = ""
    by_key: str = ""

    def select(self, *columns: str, keys: bool) -> str:
        """Return the query of these columns, of all that waits or of `%(keys)s` only."""
        listed = ", ".join(f"{getattr(self, column)} AS {column}" for column in columns)
        wanted = f" AND {self.by_key or _KEY_OF.format(kind=self.kind, id=self.id)}" if keys else ""
        return f"SELECT {listed} {self.rows}{wanted}"

    @property
    def place(self) -> str:
        """The how-manieth of its cause a row is, the oldest first."""
        by = self.place_by or f"{self.kind}, {', '.join(getattr(self, one) for one in SAME)} ORDER BY {self.since}"
        return f"row_number() OVER (PARTITION BY {by}, {self.id if not self.place_by else 'id'})"


SAME = ("entity_type", "code", "subject", "common")
"""Beside the kind, what all entries with one cause have in common."""

_KEY_OF = "{kind} || ':' || {id} = ANY(%(keys)s)"

CAUSE = """
    CASE WHEN kind = 'failed' THEN concat_ws(':', kind, entity_type, left(md5(common), 12))
        WHEN kind IN ('rejected', 'blocked') THEN concat_ws(':', kind, entity_type, subject, nullif(code, ''))
        WHEN kind IN ('unmatched', 'approval') THEN concat_ws(':', kind, entity_type, code)
        WHEN kind = 'removed' THEN concat_ws(':', kind, entity_type, code, left(md5(subject), 12))
        ELSE concat_ws(':', kind, entity_type, code, subject) END
"""

_ERROR = rf"""
    FROM sync_queue
    CROSS JOIN LATERAL (SELECT regexp_replace(<error>, '\s*\[Monday request [^\]]*\]', '', 'g')) AS plain (error)
    CROSS JOIN LATERAL (SELECT regexp_replace(error, '{VARYING}', '…', 'g')) AS same (common)
"""

_FAILED = Source(
    frozenset({AttentionKind.FAILED}),
    f"{_ERROR.replace('<error>', 'error_message')} WHERE status = 'failed'",
    kind="'failed'",
    item_id="coalesce(remote_id, '')",
    since="coalesce(last_attempt, created_at)",
    common="common",
    detail="error",
)

_LAST_ERROR = "coalesce(nullif(error_message, ''), payload #>> '{retried,error}')"

# A failed job that somebody retried is not done before it succeeds; it keeps its key, so nobody is notified anew. And a
# change that failed again is here from the second failure on, under the key that it keeps once it has failed for good.
_RETRYING = replace(
    _FAILED,
    rows=f"""{_ERROR.replace("<error>", _LAST_ERROR)}
    WHERE status IN ('pending', 'in_progress') AND (jsonb_exists(payload, 'retried') OR (
        reason = '' AND attempts - (status = 'in_progress')::int >= {FAILING_ATTEMPTS}
        AND NOT EXISTS (
            SELECT FROM sync_queue AS other WHERE other.entity_id = sync_queue.entity_id
                AND (other.status = 'failed'
                    OR (other.status <> 'completed' AND jsonb_exists(other.payload, 'retried'))))))
    """,
    id="coalesce(payload #>> '{retried,job}', id::text)",
    sides="""jsonb_build_object('job', id, 'retried',
        attempts - (status = 'in_progress')::int + coalesce((payload #>> '{retried,attempts}')::int, 0))""",
)

_APPROVALS = Source(
    frozenset({AttentionKind.APPROVAL}),
    "FROM sync_approval_requests WHERE state = 'pending'",
    kind="'approval'",
    code="kind",
    subject="key",
    # Whose it is, and what would become of it, its row and its cause say.
    detail=f"""
        CASE WHEN kind IN ('{ApprovalKind.CLEAR_MONDAY}', '{ApprovalKind.CLEAR_NPD}')
        THEN concat(values ->> 'label', ' “', values ->> 'value', '”') ELSE '' END""",
)

# `detail` is the item's name, `sides` what the sentence of its reason names. A question about who it is, is a conflict.
_UNMATCHED = Source(
    frozenset({AttentionKind.UNMATCHED}),
    f"""
    FROM sync_unmatched_items
    WHERE ignored_at IS NULL AND reason_code NOT IN ({", ".join(f"'{code}'" for code in EXPLAINED_REASONS)})
    """,
    kind="'unmatched'",
    entity_id="NULL::uuid",
    item_id="item_id",
    since="first_seen",
    code="reason_code",
    detail="name",
    sides="details",
    place_by="entity_type, reason_code ORDER BY first_seen",
    by_key="id = ANY(%(unmatched)s)",
)


# People and chats whose messages don't arrive: the administrators correct it.
_NOTIFICATIONS = Source(
    frozenset({AttentionKind.NOTIFICATION}),
    """
    FROM (
        SELECT receiver.*, coalesce(nullif(receiver.name, ''), person.username) AS receiver_name
        FROM sync_notification_receivers AS receiver LEFT JOIN auth_user AS person ON person.id = receiver.user_id
    ) AS receiver
    WHERE failed_since IS NOT NULL AND frequency <> 'off'
    """,
    kind="'notification'",
    entity_type=NOTHING,
    entity_id="NULL::uuid",
    item_id=NOTHING,
    since="failed_since",
    code="CASE WHEN user_id IS NULL THEN 'chat' ELSE 'email' END",
    detail="problem",
    sides="jsonb_build_object('name', receiver_name)",
)


def _conflicts(rows: str) -> Source:
    removed = _REMOVED_LEDGER.format(entity_type="conflict.entity_type", entity_id="conflict.entity_id::text")
    return Source(
        frozenset({AttentionKind.CONFLICT, AttentionKind.DUPLICATE}),
        f"FROM ({rows}) AS conflict ({_CONFLICT}) WHERE (code <> 'delete' OR NOT EXISTS (SELECT {removed}))",
        **{column: column for column in _CONFLICT.split(", ")},
    )


_CONFLICT = "kind, id, entity_type, entity_id, item_id, since, code, subject, detail, sides"
"""The columns of a conflict, as the store's query has them."""

_REMOVED_LEDGER = f"""
    FROM sync_metadata AS ledger WHERE ledger.removed_since IS NOT NULL AND ledger.system = 'monday'
        AND ledger.remote_state IN {TAKEN_AWAY_STATES}
        AND ledger.entity_type = {{entity_type}} AND ledger.entity_id = {{entity_id}}
"""

_GAP = "interval '10 minutes'"
"""What one person removed with shorter breaks is one act."""

# Records whose items are gone, since somebody took them away, as far as webhooks told, else since the first pass that
# found it so (`common` is when that was, for the quiet time): those that are waited for, and those about which a
# question is open. What somebody has answered is on its way, and what waits for an
# approval is listed as that. Who did it says the history; acts of one person are told apart by the breaks between them.
_REMOVED = """
    FROM (
        SELECT *, min(noticed) OVER (PARTITION BY entity_type, code, subject)::text AS common FROM (
        SELECT *, concat_ws(' ', max(opens) OVER (
            PARTITION BY entity_type, code, actor ORDER BY since, id), actor) AS subject
        FROM (
            SELECT found.*, CASE WHEN since - lag(since) OVER (
                PARTITION BY entity_type, code, actor ORDER BY since, id) < {gap} THEN NULL
                ELSE extract(epoch FROM since)::bigint END AS opens
            FROM (
                SELECT concat_ws(':', ledger.entity_type, ledger.entity_id) AS id, ledger.entity_type,
                    ledger.entity_id::uuid AS entity_id, coalesce(ledger.remote_id, '') AS item_id,
                    coalesce(author.done_at, ledger.removed_since) AS since,
                    extract(epoch FROM ledger.removed_since)::bigint AS noticed,
                    ledger.remote_state AS code, coalesce(author.actor, '') AS actor,
                    '' AS detail, jsonb_build_object(
                        'conflict', asked.id, 'edited', asked.subject, 'asked', asked.sides, 'acts', jsonb_build_array(
                        CASE WHEN record.direction <> 'monday_to_npd' THEN 'create_again' END,
                        CASE WHEN record.direction <> 'npd_to_monday' THEN 'delete_removed' END,
                        'unlink_removed')) AS sides
                FROM sync_metadata AS ledger
                CROSS JOIN LATERAL ({records}) AS record
                LEFT JOIN ({conflicts}) AS asked ({columns}) ON asked.code = 'delete'
                    AND asked.entity_type = ledger.entity_type AND asked.entity_id::text = ledger.entity_id
                LEFT JOIN LATERAL (
                    SELECT actor, (line.values ->> 'at')::timestamptz AS done_at FROM sync_decisions AS line
                    WHERE line.entity_id = ledger.entity_id::uuid AND line.kind = 'removed'
                    ORDER BY line.at DESC, line.id DESC LIMIT 1) AS author ON true
                WHERE ledger.removed_since IS NOT NULL AND ledger.system = 'monday'
                    AND ledger.remote_state IN {states}
                    AND (asked.id IS NOT NULL OR NOT jsonb_exists(ledger.conflicts, 'delete'))
                    AND NOT EXISTS (
                        SELECT FROM sync_approval_requests AS request
                        WHERE request.entity_type = ledger.entity_type AND request.kind = 'records'
                            AND request.entity_id = ledger.entity_id::uuid AND request.state = 'pending')
                    AND NOT EXISTS (
                        SELECT FROM sync_queue AS answer
                        WHERE answer.entity_id = ledger.entity_id::uuid AND answer.status IN ('pending', 'in_progress')
                            AND jsonb_exists_any(answer.payload, ARRAY['recreate', 'unlink']))
            ) AS found
        ) AS marked
        ) AS acts
    ) AS removed WHERE true
"""

_SYNCED_RECORD = """
    SELECT sync_direction AS direction FROM {table} WHERE sync_enabled AND sync_direction <> 'none'
        AND id = CASE WHEN ledger.entity_type = '{type}' THEN ledger.entity_id::uuid END
"""


def _removed(conflicts: str) -> Source:
    records = " UNION ALL ".join(
        _SYNCED_RECORD.format(table=spec.model._meta.db_table, type=spec.entity_type) for spec in registry.entities()
    )
    columns = "id, entity_type, entity_id, item_id, since, code, subject, common, detail, sides"
    rows = _REMOVED.format(
        gap=_GAP, records=records, conflicts=conflicts or _NO_CONFLICT, columns=_CONFLICT, states=TAKEN_AWAY_STATES
    )
    kind = AttentionKind.REMOVED
    return Source(frozenset({kind}), rows, kind=f"'{kind.value}'", **{one: one for one in columns.split(", ")})


_NO_CONFLICT = "SELECT '', '', '', NULL::uuid, '', NULL::timestamptz, '', '', '', '{}'::jsonb WHERE false"


_FIELDS = """
    SELECT concat_ws(':', ledger.entity_type, ledger.entity_id, field.key), ledger.entity_type, ledger.entity_id::uuid,
        coalesce(ledger.remote_id, ''), coalesce((field.value ->> 'since')::timestamptz, ledger.last_sync_attempt),
        coalesce(field.value ->> 'code', ''), field.key, field.value ->> 'reason'
"""


def _fields(kind: AttentionKind) -> Source:
    columns = "id, entity_type, entity_id, item_id, since, code, subject, detail"
    fields = f"{_FIELDS}{waiting_fields_sql(rejected=kind is AttentionKind.REJECTED)}"
    found = f"FROM ({fields}) AS blocked ({columns})"
    if kind is AttentionKind.BLOCKED:
        types = ", ".join(f"'{one}'" for one in synced_types())
        blocked = _BLOCKED.format(fields=fields, columns=columns, records=synced_records_sql(), types=types)
        columns += ", sides"
        found = f"FROM ({blocked}) AS waiting ({columns})"
    return Source(
        frozenset({kind}),
        f"{found} WHERE true",
        kind=f"'{kind.value}'",
        records="coalesce((sides ->> 'records')::int, 1)" if kind is AttentionKind.BLOCKED else "1",
        **{column: column for column in columns.split(", ")},
    )


# A column that can't be used blocks its field on every record: that is one thing to do, and one entry, also before the
# first record needs it. Once the column is back, its records are synced again by themselves and need nobody. A field in
# an update loop is held also where nothing waits to be sent just now.
_BLOCKED = """
    WITH blocked ({columns}) AS ({fields})
    SELECT {columns}, '{{}}'::jsonb FROM blocked WHERE code NOT IN ('column', 'throttled')
    UNION ALL
    SELECT concat_ws(':', link.entity_type, mapping.key), link.entity_type, NULL::uuid, '', max(blocked.since),
        'column', mapping.key, coalesce(max(blocked.detail), mapping.problem),
        jsonb_build_object('records', count(blocked.id))
    FROM sync_field_mappings AS mapping JOIN sync_board_links AS link ON link.id = mapping.link_id
    LEFT JOIN blocked ON code = 'column' AND blocked.entity_type = link.entity_type AND subject = mapping.key
    WHERE mapping.direction <> 'none' AND (mapping.problem <> '' OR (mapping.column_id = '' AND blocked.id <> ''))
        AND link.entity_type IN ({types})
    GROUP BY link.entity_type, mapping.id
    UNION ALL
    SELECT concat_ws(':', loop.entity_type, loop.entity_id, loop.key), loop.entity_type, loop.entity_id,
        coalesce(ledger.remote_id, ''), (loop.times -> -1 ->> 'at')::timestamptz, 'throttled', loop.key,
        concat('Rewritten on the board by ', coalesce(nullif(loop.by, ''), 'somebody'), '.'), '{{}}'::jsonb
    FROM sync_write_loops AS loop
    JOIN sync_board_links AS link ON link.entity_type = loop.entity_type
    JOIN sync_field_mappings AS mapping ON mapping.link_id = link.id AND mapping.key = loop.key
    JOIN sync_metadata AS ledger ON ledger.system = 'monday' AND ledger.entity_type = loop.entity_type
        AND ledger.entity_id = loop.entity_id::text
    CROSS JOIN LATERAL ({records}) AS record
    WHERE loop.throttled_until > sync_now() AND mapping.direction <> 'none'
"""


def sources_of(kinds: Collection[AttentionKind]) -> list[Source]:
    conflicts = attention_sql()
    found = [_conflicts(conflicts)] if conflicts else []
    if synced_types():
        found += [_removed(conflicts), *(_fields(kind) for kind in (AttentionKind.REJECTED, AttentionKind.BLOCKED))]
    return [
        one
        for one in (*found, _FAILED, _RETRYING, _APPROVALS, _UNMATCHED, _NOTIFICATIONS)
        if not one.kinds.isdisjoint(kinds)
    ]
