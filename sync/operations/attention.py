"""What needs attention: one computation for the inbox, the sidebar's badge, the first page, the API and notifications.

Each source is a query with the same columns, and all are united in the database: so a count, the causes and a page of
entries are one statement each, whatever waits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery, TextChoices

from sync import registry
from sync.choices import ApprovalKind, BlockedCode
from sync.kernel import humanize
from sync.kernel.conflict_store import KIND_DELETE, KIND_LOST_UPDATE, current_store
from sync.kernel.messages import EXPLAINED_REASONS, UNMATCHED_LABELS, UnmatchedReason, unmatched_sentence
from sync.models import Assignment, DisabledCode, FieldMapping, Tombstone
from sync.operations.outgoing_webhooks import what_switching_on_does
from sync.records.authors import actor_label
from sync.records.blocked_fields import synced_types, waiting_fields_sql
from sync.registry import RecordKey, known_text, may_view, record_names, record_url, type_name, visible_types


class AttentionKind(TextChoices):
    """What kind of thing needs attention, the gravest first."""

    FAILED = "failed", "Failed"
    WEBHOOK = "webhook", "Webhooks off"
    APPROVAL = "approval", "Approvals"
    CONFLICT = "conflict", "Conflicts"
    DUPLICATE = "duplicate", "Possible duplicates"
    REJECTED = "rejected", "Rejected by Monday"
    BLOCKED = "blocked", "Blocked"
    UNMATCHED = "unmatched", "Unmatched items"


_SEEN_WITH = {
    AttentionKind.FAILED: "sync.syncqueue",
    AttentionKind.APPROVAL: "sync.approvalrequest",
    AttentionKind.CONFLICT: "conflicts.syncconflict",
    AttentionKind.DUPLICATE: "conflicts.syncconflict",
    AttentionKind.REJECTED: "conflicts.syncconflict",
    AttentionKind.BLOCKED: "sync.syncmetadata",
    AttentionKind.UNMATCHED: "sync.unmatcheditem",
    AttentionKind.WEBHOOK: "sync.webhookendpoint",
}
"""The rows that a person has to be allowed to view for a kind: those of the list on which it was always shown."""


@dataclass(frozen=True)
class AttentionScope:
    """What a person is shown: these kinds, and records of these types by their names; None: of every type.

    `assigned_to` narrows it to what is this user's. `reads_only` says that this person may act on none of it,
    `others` are the kinds that they may see, and others act on.
    """

    kinds: frozenset[AttentionKind]
    named_types: frozenset[str] | None = None
    assigned_to: int | None = None
    reads_only: bool = False
    others: frozenset[AttentionKind] = frozenset()


EVERYTHING = AttentionScope(frozenset(AttentionKind))
"""The scope of code that speaks to nobody."""


def scope_of(user: Any) -> AttentionScope:
    """Return what this person may see and act on; of who may act on nothing, all that they may see.

    Nothing is asked of the database but their permissions, once.
    """
    seen = frozenset(kind for kind, row in _SEEN_WITH.items() if may_view(user, row))
    types = [spec.entity_type for spec in registry.entities()]
    own = frozenset(kind for kind in seen if any(may_act_on(user, kind, one) for one in types))
    kinds = own or seen
    return AttentionScope(kinds, visible_types(user), reads_only=not own, others=seen - kinds)


_ACTED_ON_WITH = {
    AttentionKind.FAILED: "sync.retry_syncqueue",
    AttentionKind.APPROVAL: "sync.change_approvalrequest",
    AttentionKind.CONFLICT: "conflicts.change_syncconflict",
    AttentionKind.DUPLICATE: "conflicts.change_syncconflict",
    AttentionKind.REJECTED: "conflicts.change_syncconflict",
    AttentionKind.UNMATCHED: "sync.change_unmatcheditem",
    AttentionKind.WEBHOOK: "sync.change_webhookendpoint",
}
"""The right that a kind asks for, of whatever type its records are."""

_ACTED_ON_RECORDS_WITH = {AttentionKind.BLOCKED: ("change",), AttentionKind.UNMATCHED: ("add", "change")}
"""What somebody may do with records of a type, who so may act on these kinds: of an item, create or link one."""


def may_act_on(user: Any, kind: AttentionKind, entity_type: str) -> bool:
    """Whether this person may do something about an entry, and so take it on or note something."""
    if kind in _ACTED_ON_WITH and user.has_perm(_ACTED_ON_WITH[kind]):
        return True
    acts = _ACTED_ON_RECORDS_WITH.get(kind, ())
    return any(registry.may_act(user, act, entity_type) for act in acts)


MAX_SHOWN_VALUE = 120
"""Characters of a value of which nobody says where it differs."""


@dataclass(frozen=True)
class SideValues:
    """A field with what each side has; of long values `excerpts` has what differs, in pieces that may be marked."""

    key: str
    label: str
    npd: str | None
    monday: str | None
    excerpts: Sequence[Sequence[tuple[str, bool]]] = ()

    @property
    def sides(self) -> list[tuple[str, str | None, Sequence[tuple[str, bool]]]]:
        """What a row shows: the side, the whole value, and the pieces of its excerpt."""
        wholes = (self.npd, self.monday)
        whole_ones = [[(humanize.shorten(whole, MAX_SHOWN_VALUE), False)] if whole else [] for whole in wholes]
        return list(zip(("NPD", "Monday"), wholes, self.excerpts or whole_ones, strict=True))


@dataclass(frozen=True)
class AttentionEntry:
    """One thing that needs attention.

    `key` stays the same while the same thing is wrong; `cause` is that of all entries with the same cause, which
    `cause_text` says; `detail` is this one's own reason. `since` of a rejected or blocked field is when it was last
    checked. `entity_id` is None for an item that no record has, and for a column that can't be used: that is one entry,
    about so many `records`. `acts` are what can be done with a deletion, as an OptionAct. `failures` is how many
    attempts of a failed job that is being retried came to nothing.
    """

    kind: AttentionKind
    key: str
    entity_type: str
    entity_id: UUID | None
    item_id: str
    name: str
    board: str
    since: datetime | None
    cause: str
    cause_code: str
    cause_text: str
    detail: str
    url: str
    record_url: str
    field: str = ""
    values: tuple[SideValues, ...] = ()
    assignee: str = ""
    assignee_id: int | None = None
    assignee_name: str = ""
    note: str = ""
    failures: int = 0
    records: int = 1
    acts: tuple[str, ...] = ()

    @property
    def row_id(self) -> str:
        """What the kind's own service calls it by: the key without its kind."""
        return self.key.partition(":")[2]


@dataclass(frozen=True)
class AttentionCause:
    """Entries of one kind and board that have the same cause: how many, and since when the first."""

    kind: AttentionKind
    cause: str
    text: str
    board: str
    number: int
    since: datetime | None


# The sources. Each of them is asked for as many of these columns as a question needs, which is what a statement costs.


NOTHING = "''"


@dataclass(frozen=True)
class _Source:
    """A kind of what waits, or two: what each column is in SQL, and the `rows`, from FROM to WHERE.

    `code`, `subject` (fields by commas) and `common` (a sentence of all) are the same for all of one cause; `detail` is
    the sentence of this one, `sides` the values of a conflict. `place_by` is how those of a cause are told apart and
    ordered, where an index has it so.
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
        by = self.place_by or f"{self.kind}, {', '.join(getattr(self, one) for one in _SAME)} ORDER BY {self.since}"
        return f"row_number() OVER (PARTITION BY {by}, {self.id if not self.place_by else 'id'})"


_SAME = ("entity_type", "code", "subject", "common")
"""Beside the kind, what all entries with one cause have in common."""

_KEY_OF = "{kind} || ':' || {id} = ANY(%(keys)s)"

_CAUSE = """
    CASE WHEN kind = 'failed' THEN concat_ws(':', kind, entity_type, left(md5(common), 12))
        WHEN kind IN ('rejected', 'blocked') THEN concat_ws(':', kind, entity_type, subject, nullif(code, ''))
        WHEN kind IN ('unmatched', 'approval', 'webhook') THEN concat_ws(':', kind, entity_type, code)
        ELSE concat_ws(':', kind, entity_type, code, subject) END
"""

# What is quoted or numbered in an error differs from record to record, though its cause is one.
_ERROR = r"""
    FROM sync_queue
    CROSS JOIN LATERAL (SELECT regexp_replace(<error>, '\s*\[Monday request [^\]]*\]', '', 'g')) AS plain (error)
    CROSS JOIN LATERAL (SELECT regexp_replace(error, '“[^”]*”|\d+', '…', 'g')) AS same (common)
"""

_FAILED = _Source(
    frozenset({AttentionKind.FAILED}),
    f"{_ERROR.replace('<error>', 'error_message')} WHERE status = 'failed'",
    kind="'failed'",
    item_id="coalesce(remote_id, '')",
    since="coalesce(last_attempt, created_at)",
    common="common",
    detail="error",
)

_LAST_ERROR = "coalesce(nullif(error_message, ''), payload #>> '{retried,error}')"

# A failed job that somebody retried is not done before it succeeds; it keeps its key, so nobody is notified anew.
_RETRYING = replace(
    _FAILED,
    rows=f"{_ERROR.replace('<error>', _LAST_ERROR)} WHERE status IN ('pending', 'in_progress') AND payload ? 'retried'",
    id="(payload #>> '{retried,job}')",
    sides="jsonb_build_object('retried', attempts + (payload #>> '{retried,attempts}')::int)",
)

_APPROVALS = _Source(
    frozenset({AttentionKind.APPROVAL}),
    "FROM sync_approval_requests WHERE state = 'pending'",
    kind="'approval'",
    code="kind",
    subject="key",
    detail="label",
)

# `detail` is the item's name, `sides` what the sentence of its reason names. A question about who it is, is a conflict.
_UNMATCHED = _Source(
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


# Endpoints that NPD Sync switched off itself. `detail` is what one is called; its entity_type is empty, as it is of no
# board.
_WEBHOOKS = _Source(
    frozenset({AttentionKind.WEBHOOK}),
    "FROM sync_webhook_endpoints WHERE disabled_code IN ('gone', 'failing', 'owner')",
    kind="'webhook'",
    entity_type=NOTHING,
    entity_id="NULL::uuid",
    item_id=NOTHING,
    since="disabled_at",
    code="disabled_code",
    detail="coalesce(nullif(description, ''), split_part(split_part(address, '://', 2), '/', 1))",
)


def _conflicts(rows: str) -> _Source:
    columns = "kind, id, entity_type, entity_id, item_id, since, code, subject, detail, sides"
    return _Source(
        frozenset({AttentionKind.CONFLICT, AttentionKind.DUPLICATE}),
        f"FROM ({rows}) AS conflict ({columns}) WHERE true",
        **{column: column for column in columns.split(", ")},
    )


_FIELDS = """
    SELECT concat_ws(':', ledger.entity_type, ledger.entity_id, field.key), ledger.entity_type, ledger.entity_id::uuid,
        coalesce(ledger.remote_id, ''), ledger.last_sync_attempt, coalesce(field.value ->> 'code', ''), field.key,
        field.value ->> 'reason'
"""


def _fields(kind: AttentionKind) -> _Source:
    columns = "id, entity_type, entity_id, item_id, since, code, subject, detail"
    found = f"FROM ({_FIELDS}{waiting_fields_sql(rejected=kind is AttentionKind.REJECTED)}) AS blocked ({columns})"
    if kind is AttentionKind.BLOCKED:
        columns += ", sides"
        found = f"FROM ({_BY_COLUMN.format(rows=found)}) AS waiting ({columns})"
    return _Source(
        frozenset({kind}),
        f"{found} WHERE true",
        kind=f"'{kind.value}'",
        **{column: column for column in columns.split(", ")},
    )


# A column that can't be used blocks its field on every record: that is one thing to do, and one entry. Once the column
# is back, its records are synced again by themselves and need nobody.
_BY_COLUMN = """
    SELECT CASE WHEN code = 'column' THEN concat_ws(':', entity_type, subject) ELSE id END, entity_type,
        CASE WHEN code <> 'column' THEN entity_id END, CASE WHEN code = 'column' THEN '' ELSE item_id END, max(since),
        code, subject, max(detail), jsonb_build_object('records', count(*))
    {rows}
    WHERE code <> 'column' OR EXISTS (
        SELECT FROM sync_field_mappings AS mapping JOIN sync_board_links AS link ON link.id = mapping.link_id
        WHERE link.entity_type = blocked.entity_type AND mapping.key = subject
            AND (mapping.problem <> '' OR mapping.column_id = ''))
    GROUP BY 1, 2, 3, 4, 6, 7
"""


def _sources(kinds: Collection[AttentionKind]) -> list[_Source]:
    """The sources of these kinds."""
    conflicts = current_store().attention_sql()
    found = [_conflicts(conflicts)] if conflicts else []
    found += [_fields(kind) for kind in (AttentionKind.REJECTED, AttentionKind.BLOCKED) if synced_types()]
    return [
        one
        for one in (*found, _FAILED, _RETRYING, _APPROVALS, _UNMATCHED, _WEBHOOKS)
        if not one.kinds.isdisjoint(kinds)
    ]


def _fetch(
    scope: AttentionScope,
    kinds: Iterable[AttentionKind] | None,
    sql: str,
    part: Callable[[_Source, bool], str],
    *,
    keys: Collection[str] = (),
    **params: Any,
) -> list[Any]:
    """Run a statement on what waits: in place of {waiting} the united `part` of each source.

    `kinds` narrows the scope, and so do `keys`; a part is told whether there are any.
    """
    wanted = scope.kinds if kinds is None else scope.kinds & set(kinds)
    if scope.assigned_to is not None:
        # Assigned are those of which the newest word says so.
        newest = Assignment.objects.filter(key=OuterRef("key")).order_by("-id").values("id")[:1]
        rows = Assignment.objects.filter(assignee_id=scope.assigned_to, id=Subquery(newest))
        assigned = set(rows.values_list("key", flat=True))
        keys = assigned.intersection(keys) if keys else assigned
        if not keys:
            return []
    if keys:
        wanted = wanted & {kind for kind in AttentionKind if any(key.startswith(f"{kind.value}:") for key in keys)}
    parts = [part(source, bool(keys)) for source in _sources(wanted)]
    if not parts:
        return []
    ids = [key.partition(":")[2] for key in keys if key.startswith("unmatched:")]
    params |= {
        "kinds": [kind.value for kind in wanted],
        "order": [kind.value for kind in AttentionKind],
        "keys": list(keys),
        "unmatched": [int(one) for one in ids if one.isascii() and one.isdecimal() and len(one) < LONGEST_ID],
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.replace("{waiting}", " UNION ALL ".join(f"({one})" for one in parts)), params)
        return list(cursor.fetchall())


LONGEST_ID = 19
"""Digits from which on a number may be larger than any row's."""


# What others ask.


def counts(scope: AttentionScope = EVERYTHING) -> dict[AttentionKind, int]:
    """Return how many entries of each kind there are, zeros for kinds that the scope leaves out; one query."""
    sql = "SELECT kind, sum(number)::int FROM ({waiting}) AS waiting WHERE kind = ANY(%(kinds)s) GROUP BY kind"
    part = "SELECT kind, count(*) AS number FROM ({source}) AS source GROUP BY kind"
    found = dict(_fetch(scope, None, sql, lambda one, some: part.format(source=one.select("kind", keys=some))))
    return {kind: found.get(kind.value, 0) for kind in AttentionKind}


_counted = ("", dict[AttentionKind, int]())
_counting = Lock()


def counts_at(version: str, scope: AttentionScope) -> dict[AttentionKind, int]:
    """Return the same for a scope of everybody's, counted once by this process as long as `version` stays the same.

    The version has to be read before, and be another one after any change of what is counted.
    """
    global _counted  # noqa: PLW0603 - what this process knows
    if connection.in_atomic_block:  # what isn't committed has no version
        return counts(scope)
    # Many open pages ask at once after a change: one of them counts, the others wait for it.
    with _counting:
        if _counted[0] != version:
            _counted = (version, counts())
        found = _counted[1]
    return {kind: number if kind in scope.kinds else 0 for kind, number in found.items()}


def causes(
    scope: AttentionScope = EVERYTHING,
    *,
    kinds: Iterable[AttentionKind] | None = None,
    of_causes: Sequence[str] = (),
    among: Sequence[str] = (),
    limit: int = 50,
    offset: int = 0,
    wording: Wording | None = None,
) -> list[AttentionCause]:
    """Return the causes, the gravest kind and the oldest first; two queries.

    `of_causes` leaves only those, `among` only the causes of the entries with these keys, which alone are counted.
    """
    sql = f"""
        SELECT * FROM (SELECT kind, {_CAUSE} AS cause, entity_type, code, subject, common, number, since, told
            FROM ({{waiting}}) AS waiting WHERE kind = ANY(%(kinds)s)) AS named
        WHERE %(any_cause)s OR cause = ANY(%(causes)s)
        ORDER BY array_position(%(order)s, kind), since, cause LIMIT %(limit)s OFFSET %(offset)s
    """  # noqa: S608 - made of the fragment above
    same = ", ".join(("kind", *_SAME))
    part = (
        "SELECT {same}, count(*) AS number, min(since) AS since, {told} AS told FROM ({rows}) AS rows GROUP BY {same}"
    )
    # Where all say the same, nothing has to be left out of it.
    sentence = "CASE WHEN min(detail) = max(detail) THEN min(detail) END"

    def grouped(one: _Source, some: bool) -> str:
        columns = ("kind", *_SAME, "since")
        if one.common == NOTHING:
            return part.format(same=same, told="NULL::text", rows=one.select(*columns, keys=some))
        return part.format(same=same, told=sentence, rows=one.select(*columns, "detail", keys=some))

    rows = _fetch(
        scope, kinds, sql, grouped,
        keys=among, any_cause=not of_causes, causes=list(of_causes), limit=limit, offset=offset,
    )  # fmt: skip
    wording = wording or Wording.of_boards()
    return [
        AttentionCause(
            AttentionKind(kind), cause,
            wording.cause(kind, entity_type, code, subject, _known_text(scope, kind, entity_type, only or common)),
            registry.board_title(entity_type), number, since,
        )
        for kind, cause, entity_type, code, subject, common, number, since, only in rows
    ]  # fmt: skip


def entries(
    scope: AttentionScope = EVERYTHING,
    *,
    kinds: Iterable[AttentionKind] | None = None,
    of_causes: Sequence[str] = (),
    keys: Sequence[str] = (),
    first_of_each: int = 0,
    limit: int = 50,
    offset: int = 0,
    wording: Wording | None = None,
) -> list[AttentionEntry]:
    """Return entries, the gravest kind and the oldest first, in a number of queries that doesn't grow with them.

    `of_causes` and `keys` leave only those; `first_of_each` no more than so many of one cause.
    """
    if not keys:
        keys, offset = _chosen_keys(scope, kinds, of_causes, first_of_each, limit, offset), 0
        if not keys:
            return []
    sql = f"""
        SELECT kind, kind || ':' || id, entity_type, entity_id, item_id, since, cause, code, subject, common, detail,
            sides
        FROM (SELECT *, {_CAUSE} AS cause FROM ({{waiting}}) AS waiting WHERE kind = ANY(%(kinds)s)) AS named
        WHERE %(any_cause)s OR cause = ANY(%(causes)s)
        ORDER BY array_position(%(order)s, kind), since, kind || ':' || id LIMIT %(limit)s OFFSET %(offset)s
    """  # noqa: S608 - made of the fragment above
    columns = ("kind", "id", *_SAME, "entity_id", "item_id", "since", "detail", "sides")
    rows = _fetch(
        scope, kinds, sql, lambda source, some: source.select(*columns, keys=some),
        keys=keys, any_cause=not of_causes, causes=list(of_causes), limit=limit, offset=offset,
    )  # fmt: skip
    wording = wording or Wording.of_boards()
    if scope.named_types is not None:
        rows = [row if row[2] in scope.named_types else _without_names(row) for row in rows]
    names = _names(scope, [(row[2], row[3], row[4]) for row in rows])
    assigned = assignments([row[1] for row in rows])
    return [_entry(AttentionKind(row[0]), row, wording, names, assigned.get(row[1])) for row in rows]


def _chosen_keys(
    scope: AttentionScope,
    kinds: Iterable[AttentionKind] | None,
    of_causes: Sequence[str],
    first_of_each: int,
    limit: int,
    offset: int,
) -> list[str]:
    """Which entries a page shows: what else a row says is most of the work, and read of these alone."""
    # Of each source no more than the page may need, so that none of them is sorted whole.
    narrowed = f"""
        SELECT kind, id, since FROM ({{source}}) AS source
        WHERE kind = ANY(%(kinds)s) AND (%(any_cause)s OR {_CAUSE} = ANY(%(causes)s)) AND {{place}}
        ORDER BY since, id LIMIT %(needed)s
    """  # noqa: S608 - made of the fragment above
    columns: tuple[str, ...] = ("kind", "id", *_SAME, "since")
    place = "true"
    if first_of_each:
        columns, place = (*columns, "place"), "place <= %(most)s"
    sql = """
        SELECT kind || ':' || id AS key FROM ({waiting}) AS waiting
        ORDER BY array_position(%(order)s, kind), since, key LIMIT %(limit)s OFFSET %(offset)s
    """
    rows = _fetch(
        scope, kinds, sql,
        lambda source, keys: narrowed.format(source=source.select(*columns, keys=keys), place=place),
        any_cause=not of_causes, causes=list(of_causes), most=first_of_each, needed=limit + offset,
        limit=limit, offset=offset,
    )  # fmt: skip
    return [key for (key,) in rows]


def _without_names(row: Sequence[Any]) -> Sequence[Any]:
    """A row without what its sentence names: the records that an item could be, what an approval is about, or what
    Monday said, which quotes values.
    """
    *head, common, detail, sides = row
    hidden = known_text((), row[2], detail)
    match row[0]:
        case AttentionKind.APPROVAL:
            detail = ""
        case AttentionKind.UNMATCHED:
            sides = "{}"
        case AttentionKind.FAILED:
            common = detail = hidden
        case AttentionKind.REJECTED:
            detail = hidden
    return [*head, common, detail, sides]


def _known_text(scope: AttentionScope, kind: str, entity_type: str, text: str) -> str:
    """What Monday said, which quotes values, where this person may see such records."""
    is_told = scope.named_types is None or kind != AttentionKind.FAILED
    return text if is_told else known_text(scope.named_types or (), entity_type, text)


def _entry(
    kind: AttentionKind,
    row: Sequence[Any],
    wording: Wording,
    names: Mapping[tuple[str, UUID | None, str], str],
    assigned: Assignment | None,
) -> AttentionEntry:
    _kind, key, entity_type, entity_id, item_id, since, cause, code, subject, common, detail, stored_sides = row
    sides = json.loads(stored_sides)
    name = names[entity_type, entity_id, item_id]
    if kind is AttentionKind.UNMATCHED:
        name, detail = detail or name, unmatched_sentence(UnmatchedReason(code), **sides)
    if kind is AttentionKind.WEBHOOK:
        cause_text = wording.cause(kind, entity_type, code, subject, common)
        name, detail = detail, f"{cause_text}. {what_switching_on_does(code)}"
    failures = sides.pop("retried", 0)
    if failures:
        detail = f"Retrying; failed {humanize.count_with_noun(failures, 'time')}. {detail}"
    if is_column := kind is AttentionKind.BLOCKED and entity_id is None:
        name = f"{wording.label(entity_type, subject)} of {registry.count_of_type(sides['records'], entity_type)}"
    fields = subject.split(",") if subject else []
    return AttentionEntry(
        kind=kind,
        key=key,
        entity_type=entity_type,
        entity_id=entity_id,
        item_id=item_id,
        name=name,
        board=registry.board_title(entity_type),
        since=since,
        cause=cause,
        cause_code=code,
        cause_text=wording.cause(kind, entity_type, code, subject, common),
        detail=humanize.without_request_id(detail or ""),
        url=_url(kind, key, code, entity_type, entity_id),
        record_url=record_url(entity_type, entity_id) if entity_id else "",
        field=fields[0] if len(fields) == 1 else "",
        values=tuple(
            SideValues(one, wording.label(entity_type, one), sides["npd"].get(one), sides["monday"].get(one))
            for one in (fields if "npd" in sides else ())
        ),
        records=sides["records"] if is_column else 1,
        acts=tuple(one for one in sides.get("acts", ()) if one) if kind is AttentionKind.CONFLICT else (),
        assignee=actor_label(assigned.assignee) if assigned and assigned.assignee else "",
        assignee_id=assigned.assignee_id if assigned else None,
        assignee_name=assigned.assignee.get_username() if assigned and assigned.assignee else "",
        note=assigned.note if assigned else "",
        failures=failures,
    )


def _names(
    scope: AttentionScope, keys: Collection[tuple[str, UUID | None, str]]
) -> dict[tuple[str, UUID | None, str], str]:
    """What each record or item is called, where this person may know it; else its type."""
    visible = {key for key in keys if scope.named_types is None or key[0] in scope.named_types}
    records: dict[RecordKey, str] = record_names((entity_type, entity_id) for entity_type, entity_id, _item in visible)
    missing = [key[1] for key in visible if key[1] and (key[0], key[1]) not in records]
    deleted = Tombstone.objects.filter(entity_id__in=missing) if missing else ()
    records |= {(one.entity_type, one.entity_id): f"{one.data.get('name', '')} (deleted)".strip() for one in deleted}
    found = {}
    for entity_type, entity_id, item in keys:
        unnamed = type_name(entity_type) if entity_id else f"Item {item}"
        known = records.get((entity_type, entity_id)) if entity_id else None
        found[entity_type, entity_id, item] = known or str(unnamed).capitalize()
    return found


def _url(kind: AttentionKind, key: str, code: str, entity_type: str, entity_id: UUID | None) -> str:
    """The page on which an entry is dealt with; empty where no application shows it."""
    row_id = key.partition(":")[2]
    if kind is AttentionKind.APPROVAL:
        return registry.page_url("sync_approvalrequest_changelist", query="state__exact=pending")
    if kind is AttentionKind.BLOCKED and entity_id:
        return record_url(entity_type, entity_id) or registry.page_url("sync_boardlink_blocked")
    name = {
        AttentionKind.FAILED: "sync_syncqueue_change",
        AttentionKind.UNMATCHED: "sync_unmatcheditem_change",
        AttentionKind.WEBHOOK: "sync_webhookendpoint_change",
        AttentionKind.REJECTED: "conflicts_syncconflict_rejected_screen",
        AttentionKind.BLOCKED: "sync_boardlink_blocked",
    }.get(kind, "conflicts_syncconflict_screen")
    if kind is AttentionKind.BLOCKED:
        page = registry.page_url(name, query="show=blocked")
        return f"{page}#field-{row_id.replace(':', '-')}" if page else ""
    args = row_id.split(":") if kind is AttentionKind.REJECTED else [row_id]
    return registry.page_url(name, *args)


# What each side has, of kinds whose application knows it.


ValuesLoader = Callable[[Sequence[AttentionEntry], Sequence[FieldMapping]], Mapping[str, Sequence[SideValues]]]
_values: dict[AttentionKind, ValuesLoader] = {}


def register_values(kind: AttentionKind, load: ValuesLoader) -> None:
    """Let entries of a kind say what each side has: `load` returns it by the entries' keys, given all mappings."""
    _values[kind] = load


def with_values(found: Sequence[AttentionEntry], wording: Wording) -> list[AttentionEntry]:
    """Return the entries with what each side has, of kinds that somebody knows it of."""
    values: dict[str, Sequence[SideValues]] = {}
    for kind, load in _values.items():
        values |= load([entry for entry in found if entry.kind is kind], list(wording.mappings.values()))
    return [replace(entry, values=tuple(values.get(entry.key, entry.values))) for entry in found]


# Whose an entry is, and what is noted about it: one row a word, the newest of a key counts.


MAX_NOTE_LENGTH = 1_000


def assignable_people() -> QuerySet[Any]:
    """Return who an entry can be assigned to: whoever works here."""
    return get_user_model()._default_manager.filter(is_staff=True, is_active=True).order_by("username")


def assignments(keys: Collection[str]) -> dict[str, Assignment]:
    """Return the newest word about each of these entries, where somebody has said one; one query."""
    if not keys:
        return {}
    rows = Assignment.objects.filter(key__in=keys).order_by("key", "-id").distinct("key").select_related("assignee")
    return {row.key: row for row in rows}


def assignment_history(key: str) -> list[Assignment]:
    """Return all that was said about an entry, the newest first."""
    return list(Assignment.objects.filter(key=key).order_by("-id").select_related("assignee"))


def assign(keys: Sequence[str], *, by: Any, assignee: Any | None) -> None:
    """Make these entries a user's, or nobody's; what is noted about them stays."""
    _say(keys, by, lambda before: {"assignee": assignee, "note": before.note if before else ""})


def take_note(key: str, *, by: Any, note: str) -> None:
    """Note something about an entry, or nothing any more; whose it is stays."""
    text = note.replace("\0", "").strip()[:MAX_NOTE_LENGTH]
    _say([key], by, lambda before: {"assignee_id": before.assignee_id if before else None, "note": text})


def _say(keys: Sequence[str], by: Any, word: Callable[[Assignment | None], dict[str, Any]]) -> None:
    before = assignments(keys)
    Assignment.objects.bulk_create(
        Assignment(key=key, by_id=by.pk, by_name=actor_label(by), **word(before.get(key)))
        for key in dict.fromkeys(keys)
    )


# What a cause is called.


MAX_CAUSE_LENGTH = 140

_CAUSES: Mapping[tuple[str, str], str] = {
    (AttentionKind.FAILED, ""): "No reason is known",
    (AttentionKind.APPROVAL, ""): "Bulk deletions",
    (AttentionKind.APPROVAL, ApprovalKind.ITEMS): "Items would be archived or deleted on Monday",
    (AttentionKind.APPROVAL, ApprovalKind.RECORDS): "Records would be deleted in NPD",
    (AttentionKind.APPROVAL, ApprovalKind.CLEAR_MONDAY): "Fields would be emptied on Monday",
    (AttentionKind.APPROVAL, ApprovalKind.CLEAR_NPD): "Fields would be emptied in NPD",
    (AttentionKind.CONFLICT, ""): "{field} changed on both sides",
    (AttentionKind.CONFLICT, KIND_LOST_UPDATE): "An edit of {field} on Monday was overwritten",
    (AttentionKind.CONFLICT, KIND_DELETE): "A {record} or its item was deleted on one side",
    (AttentionKind.DUPLICATE, ""): "Which item belongs to which {record}?",
    (AttentionKind.REJECTED, ""): "{field} was rejected by Monday",
    (AttentionKind.REJECTED, BlockedCode.LIMIT): "{field} is longer than its column can hold",
    (AttentionKind.BLOCKED, ""): "{field} is blocked",
    (AttentionKind.BLOCKED, BlockedCode.COLUMN): "{field}: its column can’t be used",
    (AttentionKind.BLOCKED, BlockedCode.RELATION): "{field} waits for a record that has no item yet",
    (AttentionKind.BLOCKED, BlockedCode.INVALID): "{field}: NPD can’t use Monday’s value",
    (AttentionKind.BLOCKED, BlockedCode.UNKNOWN): "{field}: the value can’t be read",
    (AttentionKind.BLOCKED, BlockedCode.REQUIRED): "{field} is required in NPD and was emptied on Monday",
    (AttentionKind.BLOCKED, BlockedCode.THROTTLED): "{field} is in an update loop",
    (AttentionKind.BLOCKED, BlockedCode.DIRECTION): "{field}: its direction lets nothing be sent",
    (AttentionKind.UNMATCHED, ""): "No record belongs to it",
    (AttentionKind.WEBHOOK, ""): "Switched off",
    **{(AttentionKind.WEBHOOK, code.value): str(code.label) for code in DisabledCode if code},
    **{(AttentionKind.UNMATCHED, code): label for code, label in UNMATCHED_LABELS.items()},
}
"""The words for a kind and its code; for a kind and an empty code those of all others."""


@dataclass(frozen=True)
class Wording:
    """Names causes, with the fields' labels as the boards have them now."""

    mappings: Mapping[tuple[str, str], FieldMapping]

    @classmethod
    def of_boards(cls) -> Wording:
        """Read the fields of all boards, which are few; one query."""
        rows = FieldMapping.objects.select_related("link")
        return cls({(row.link.entity_type, row.key): row for row in rows})

    def label(self, entity_type: str, key: str) -> str:
        """What a field is called."""
        mapping = self.mappings.get((entity_type, key))
        return mapping.label if mapping else key.replace("_", " ").capitalize()

    def cause(self, kind: str, entity_type: str, code: str, subject: str, common: str | None) -> str:
        """Say a cause in a few words, the same for all entries that have it."""
        fields = humanize.join_first([self.label(entity_type, key) for key in subject.split(",") if key])
        mapping = self.mappings.get((entity_type, subject)) if code == BlockedCode.COLUMN else None
        problem = mapping.problem if mapping else ""
        template = common or problem or _CAUSES.get((kind, code)) or _CAUSES[kind, ""]
        # What others wrote may hold braces of its own.
        found = template if common or problem else template.format(field=fields, record=type_name(entity_type))
        return humanize.first_sentences(found, MAX_CAUSE_LENGTH)
