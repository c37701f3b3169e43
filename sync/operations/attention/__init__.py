"""What needs attention: one computation for the inbox, the sidebar's badge, the first page, the API and notifications.

Each source is a query with the same columns, and all are united in the database: so a count, the causes and a page of
entries are one statement each, whatever waits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import Any
from uuid import UUID

from django.db import connection
from django.urls import reverse

from conflicts.reports import (
    DELETIONS,
    KIND_DELETE,
    KIND_DELETED_RECORD,
    KIND_FIRST_MATCH,
    KIND_LOST_UPDATE,
    KIND_REPLACED,
    KIND_RESTORED_ITEM,
)
from sync import registry
from sync.choices import ApprovalKind, BlockedCode, DeletedRecordPolicy
from sync.kernel import humanize
from sync.kernel.db import fetch_rows
from sync.kernel.messages import UNMATCHED_LABELS, UnmatchedReason, unmatched_sentence
from sync.models import FieldMapping
from sync.operations.attention.sources import CAUSE, NOTHING, SAME, AttentionKind, Source, sources_of
from sync.records.blocked_fields import without_where
from sync.records.tombstones import deleted_record_names

# What a cause is called.


MAX_CAUSE_LENGTH = 140

_CAUSES: Mapping[tuple[str, str], str] = {
    (AttentionKind.FAILED, ""): "No reason is known",
    (AttentionKind.APPROVAL, ""): "Bulk deletions",
    (AttentionKind.APPROVAL, ApprovalKind.ITEMS): "Items would be removed on Monday",
    (AttentionKind.APPROVAL, DeletedRecordPolicy.ARCHIVE): "Items would be archived on Monday",
    (AttentionKind.APPROVAL, DeletedRecordPolicy.DELETE): "Items would be deleted on Monday",
    (AttentionKind.APPROVAL, ApprovalKind.RECORDS): "Records would be deleted in NPD",
    (AttentionKind.APPROVAL, ApprovalKind.CLEAR_MONDAY): "Fields would be emptied on Monday",
    (AttentionKind.APPROVAL, ApprovalKind.CLEAR_NPD): "Fields would be emptied in NPD",
    (AttentionKind.CONFLICT, ""): "{field} changed on both sides",
    (AttentionKind.CONFLICT, KIND_FIRST_MATCH): "{field} different since linking",
    (AttentionKind.CONFLICT, KIND_LOST_UPDATE): "An edit of {field} on Monday was overwritten",
    (AttentionKind.CONFLICT, KIND_REPLACED): "{field}: column replaced, with a value in the old one",
    (AttentionKind.CONFLICT, KIND_DELETE): "The item left the board",
    (AttentionKind.CONFLICT, KIND_DELETED_RECORD): "Deleted in NPD, with an item on Monday",
    (AttentionKind.CONFLICT, KIND_RESTORED_ITEM): "Deleted in NPD, and the item was restored on Monday",
    (AttentionKind.DUPLICATE, ""): "Which item belongs to which {record}?",
    (AttentionKind.REJECTED, ""): "{field} was rejected by Monday",
    (AttentionKind.REJECTED, BlockedCode.LIMIT): "{field} has a value that its column can't take",
    (AttentionKind.BLOCKED, ""): "{field} is blocked",
    (AttentionKind.BLOCKED, BlockedCode.COLUMN): "{field}: its column can't be used",
    (AttentionKind.BLOCKED, BlockedCode.RELATION): "{field} waits for a record that has no item yet",
    (AttentionKind.BLOCKED, BlockedCode.INVALID): "{field}: NPD can't use Monday's value",
    (AttentionKind.BLOCKED, BlockedCode.UNKNOWN): "{field}: the value can't be read",
    (AttentionKind.BLOCKED, BlockedCode.REQUIRED): "{field} is required in NPD and was emptied on Monday",
    (AttentionKind.BLOCKED, BlockedCode.THROTTLED): "{field} is in an update loop",
    (AttentionKind.BLOCKED, BlockedCode.DIRECTION): "{field}: its direction lets nothing be sent",
    (AttentionKind.REMOVED, "archived"): "Archived on the board",
    (AttentionKind.REMOVED, "deleted"): "Deleted on the board",
    (AttentionKind.REMOVED, "moved"): "Moved to another board",
    (AttentionKind.UNMATCHED, ""): "No record belongs to it",
    (AttentionKind.NOTIFICATION, ""): "Notifications by email don't arrive",
    (AttentionKind.NOTIFICATION, "chat"): "Notifications in a chat don't arrive",
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
        mapping = self.mappings.get((entity_type, key))
        return mapping.label if mapping else key.replace("_", " ").capitalize()

    def cause(self, kind: str, entity_type: str, code: str, subject: str, common: str | None) -> str:
        """Say a cause in a few words, the same for all entries that have it."""
        if kind == AttentionKind.REMOVED:
            who = _actor(subject)
            return f"{_CAUSES[kind, code]} by {who}" if who else _CAUSES[kind, code]
        fields = humanize.join_first([self.label(entity_type, key) for key in subject.split(",") if key])
        mapping = self.mappings.get((entity_type, subject)) if code == BlockedCode.COLUMN else None
        problem = mapping.problem if mapping else ""
        if (kind, code) == (AttentionKind.APPROVAL, ApprovalKind.ITEMS):
            found = (one.link for (of, _key), one in self.mappings.items() if of == entity_type)
            policy = next((link.deleted_record_policy for link in found), "")
            code = policy if (kind, policy) in _CAUSES else code
        template = common or without_where(problem) or _CAUSES.get((kind, code)) or _CAUSES[kind, ""]
        # What others wrote may hold braces of its own.
        said = template if common or problem else template.format(field=fields, record=registry.type_name(entity_type))
        if fields and code in DELETIONS:
            said = f"{said}; edited since the last sync: {fields}"
        return humanize.first_sentences(said, MAX_CAUSE_LENGTH)


def _actor(subject: str) -> str:
    """Who removed items; that it was on Monday is said anyway."""
    return subject.partition(" ")[2].removesuffix(" on Monday")


__all__ = [
    "EVERYTHING",
    "AttentionCause",
    "AttentionEntry",
    "AttentionKind",
    "AttentionScope",
    "SideValues",
    "Tally",
    "ValuesLoader",
    "Wording",
    "causes",
    "counts",
    "entries",
    "keys",
    "may_act_on",
    "register_values",
    "scope_of",
    "tallies",
    "tallies_at",
    "with_values",
]

_SEEN_WITH = {
    AttentionKind.FAILED: "sync.syncqueue",
    AttentionKind.APPROVAL: "sync.approvalrequest",
    AttentionKind.REMOVED: "conflicts.syncconflict",
    AttentionKind.CONFLICT: "conflicts.syncconflict",
    AttentionKind.DUPLICATE: "conflicts.syncconflict",
    AttentionKind.REJECTED: "conflicts.syncconflict",
    AttentionKind.BLOCKED: "sync.syncmetadata",
    AttentionKind.UNMATCHED: "sync.unmatcheditem",
    AttentionKind.NOTIFICATION: "sync.notificationreceiver",  # a right that superusers alone have
}
"""The rows that a person has to be allowed to view for a kind: those of the list on which it was always shown."""


@dataclass(frozen=True)
class AttentionScope:
    """What a person is shown: these kinds.

    `reads_only` says that this person may act on none of it, `others` are the kinds that they may see, and others act
    on.
    """

    kinds: frozenset[AttentionKind]
    reads_only: bool = False
    others: frozenset[AttentionKind] = frozenset()


EVERYTHING = AttentionScope(frozenset(AttentionKind))
"""The scope of code that speaks to nobody."""


def scope_of(user: Any) -> AttentionScope:
    """Return what this person may see and act on; of who may act on nothing, all that they may see.

    Nothing is asked of the database but their permissions, once.
    """
    seen = frozenset(kind for kind, row in _SEEN_WITH.items() if registry.may_view(user, row))
    types = [spec.entity_type for spec in registry.entities()]
    own = frozenset(kind for kind in seen if any(may_act_on(user, kind, one) for one in types))
    kinds = own or seen
    return AttentionScope(kinds, reads_only=not own, others=seen - kinds)


_ACTED_ON_WITH = {
    AttentionKind.BLOCKED: "sync.change_fieldmapping",
    AttentionKind.FAILED: "sync.retry_syncqueue",
    AttentionKind.APPROVAL: "sync.change_approvalrequest",
    AttentionKind.REMOVED: "conflicts.change_syncconflict",
    AttentionKind.CONFLICT: "conflicts.change_syncconflict",
    AttentionKind.DUPLICATE: "conflicts.change_syncconflict",
    AttentionKind.REJECTED: "conflicts.change_syncconflict",
    AttentionKind.UNMATCHED: "sync.change_unmatcheditem",
    AttentionKind.NOTIFICATION: "sync.change_notificationreceiver",
}
"""The right that a kind asks for, of whatever type its records are."""

_ACTED_ON_RECORDS_WITH = {
    AttentionKind.REMOVED: ("change", "delete"),
    AttentionKind.BLOCKED: ("change",),
    AttentionKind.UNMATCHED: ("add", "change"),
}
"""What somebody may do with records of a type, who so may act on these kinds: of an item, create or link one."""


def may_act_on(user: Any, kind: AttentionKind, entity_type: str) -> bool:
    """Whether this person may do something about an entry."""
    if kind in _ACTED_ON_WITH and user.has_perm(_ACTED_ON_WITH[kind]):
        return True
    acts = _ACTED_ON_RECORDS_WITH.get(kind, ())
    return any(registry.may_act(user, act, entity_type) for act in acts)


MAX_SHOWN_VALUE = 120
"""Characters of a value of which nobody says where it differs."""


@dataclass(frozen=True)
class SideValues:
    """A field with what each side has; of long values `excerpts` has what differs, in pieces that may be marked.

    `names` say what each of the two is, where both sides have one value.
    """

    key: str
    label: str
    npd: str | None
    monday: str | None
    excerpts: Sequence[Sequence[tuple[str, bool]]] = ()
    names: tuple[str, str] = ("NPD", "Monday")

    @property
    def sides(self) -> list[tuple[str, str | None, Sequence[tuple[str, bool]]]]:
        """What a row shows: the side, the whole value, and the pieces of its excerpt."""
        wholes = (self.npd, self.monday)
        whole_ones = [[(humanize.shorten(whole, MAX_SHOWN_VALUE), False)] if whole else [] for whole in wholes]
        return list(zip(self.names, wholes, self.excerpts or whole_ones, strict=True))


@dataclass(frozen=True)
class AttentionEntry:
    """One thing that needs attention.

    `key` stays the same while the same thing is wrong; `cause` is that of all entries with the same cause, which
    `cause_text` says; `detail` is this one's own reason. `entity_id` is None for an item that no record has, and for a
    column that can't be used: that is one entry, about so many `records`. `acts` are what can be done with a deletion,
    as an OptionAct, or with a record whose item was removed. `failures` is how many
    attempts of a job that is tried again came to nothing, `job` the one that is current.
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
    failures: int = 0
    job: int = 0
    records: int = 1
    acts: tuple[str, ...] = ()

    @property
    def row_id(self) -> str:
        """What the kind's own service calls it by: the key without its kind."""
        return self.key.partition(":")[2]

    @property
    def own_detail(self) -> str:
        """Its reason without what its cause says above it already."""
        return self.detail.replace(self.cause_text, "", 1).lstrip(" .").rstrip()


@dataclass(frozen=True)
class AttentionCause:
    """Entries of one kind and board that have the same cause: how many, of how many records, and since when the first.

    `entity_id` is the record of a single one; `column_of` is the field whose column can't be used; `noticed` is when a
    pass first found one of removed items to be so.
    """

    kind: AttentionKind
    cause: str
    text: str
    board: str
    number: int
    since: datetime | None
    entity_type: str = ""
    code: str = ""
    entity_id: UUID | None = None
    records: int = 1
    column_of: str = ""
    noticed: datetime | None = None

    @property
    def count_text(self) -> str:
        """How many they are about, as “60 contacts”; empty of one alone."""
        if self.records < 2:
            return ""
        if self.kind is AttentionKind.UNMATCHED:
            return humanize.count_with_noun(self.number, "item")
        return registry.count_of_type(self.records, self.entity_type) if self.entity_type else f"{self.number:,}"


@dataclass(frozen=True)
class Tally:
    """How many things of a kind need attention: by their causes, which is what there is to do, and each by itself."""

    causes: int = 0
    entries: int = 0


def _fetch(
    scope: AttentionScope,
    kinds: Iterable[AttentionKind] | None,
    sql: str,
    part: Callable[[Source, bool], str],
    *,
    keys: Collection[str] = (),
    **params: Any,
) -> list[Any]:
    """Run a statement on what waits: in place of {waiting} the united `part` of each source.

    `kinds` narrows the scope, and so do `keys`; a part is told whether there are any.
    """
    wanted = scope.kinds if kinds is None else scope.kinds & set(kinds)
    if keys:
        wanted = wanted & {kind for kind in AttentionKind if any(key.startswith(f"{kind.value}:") for key in keys)}
    parts = [part(source, bool(keys)) for source in sources_of(wanted)]
    if not parts:
        return []
    ids = [key.partition(":")[2] for key in keys if key.startswith("unmatched:")]
    params |= {
        "kinds": [kind.value for kind in wanted],
        "order": [kind.value for kind in AttentionKind],
        "keys": list(keys),
        "unmatched": [int(one) for one in ids if one.isascii() and one.isdecimal() and len(one) < LONGEST_ID],
    }
    return fetch_rows(sql.replace("{waiting}", " UNION ALL ".join(f"({one})" for one in parts)), params)


_OF_COLUMN = (AttentionKind.BLOCKED, BlockedCode.COLUMN)

LONGEST_ID = 19
"""Digits from which on a number may be larger than any row's."""


# What others ask.


def tallies(scope: AttentionScope = EVERYTHING) -> dict[AttentionKind, Tally]:
    """Return how many causes and entries of each kind there are, none of kinds that the scope leaves out; one query."""
    sql = """
        SELECT kind, count(DISTINCT cause)::int, sum(number)::int FROM ({waiting}) AS waiting
        WHERE kind = ANY(%(kinds)s) GROUP BY kind
    """
    part = f"SELECT kind, {CAUSE} AS cause, count(*) AS number FROM ({{source}}) AS source GROUP BY 1, 2"  # noqa: S608
    columns = ("kind", *SAME)
    rows = _fetch(scope, None, sql, lambda one, some: part.format(source=one.select(*columns, keys=some)))
    found = {kind: Tally(number, entries) for kind, number, entries in rows}
    return {kind: found.get(kind.value, Tally()) for kind in AttentionKind}


def counts(scope: AttentionScope = EVERYTHING) -> dict[AttentionKind, int]:
    """Return how many entries of each kind there are, zeros for kinds that the scope leaves out; one query."""
    return {kind: tally.entries for kind, tally in tallies(scope).items()}


_counted = ("", dict[AttentionKind, Tally]())
_counting = Lock()


def tallies_at(version: str, scope: AttentionScope) -> dict[AttentionKind, Tally]:
    """Return the same for a scope of everybody's, counted once by this process as long as `version` stays the same.

    The version has to be read before, and be another one after any change of what is counted.
    """
    global _counted  # noqa: PLW0603 - what this process knows
    if connection.in_atomic_block:  # what isn't committed has no version
        return tallies(scope)
    # Many open pages ask at once after a change: one of them counts, the others wait for it.
    with _counting:
        if _counted[0] != version:
            _counted = (version, tallies())
        found = _counted[1]
    return {kind: tally if kind in scope.kinds else Tally() for kind, tally in found.items()}


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
        SELECT * FROM (SELECT kind, {CAUSE} AS cause, entity_type, code, subject, common, number, since, told, single,
            records FROM ({{waiting}}) AS waiting WHERE kind = ANY(%(kinds)s)) AS named
        WHERE %(any_cause)s OR cause = ANY(%(causes)s)
        ORDER BY array_position(%(order)s, kind), since, cause LIMIT %(limit)s OFFSET %(offset)s
    """  # noqa: S608 - made of the fragment above
    same = ", ".join(("kind", *SAME))
    part = (
        "SELECT {same}, count(*) AS number, min(since) AS since, {told} AS told, sum(records)::int AS records, "
        "CASE WHEN count(*) = 1 THEN min(entity_id::text) END AS single FROM ({rows}) AS rows GROUP BY {same}"
    )
    # Where all say the same, nothing has to be left out of it.
    sentence = "CASE WHEN min(detail) = max(detail) THEN min(detail) END"

    def grouped(one: Source, some: bool) -> str:
        columns = ("kind", *SAME, "since", "entity_id", "records")
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
            wording.cause(kind, entity_type, code, subject, only or common),
            registry.board_title(entity_type), number, since, entity_type, code, UUID(single) if single else None,
            records, wording.label(entity_type, subject) if (kind, code) == _OF_COLUMN else "",
            datetime.fromtimestamp(int(common), UTC) if kind == AttentionKind.REMOVED else None,
        )
        for kind, cause, entity_type, code, subject, common, number, since, only, single, records in rows
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
        FROM (SELECT *, {CAUSE} AS cause FROM ({{waiting}}) AS waiting WHERE kind = ANY(%(kinds)s)) AS named
        WHERE %(any_cause)s OR cause = ANY(%(causes)s)
        ORDER BY array_position(%(order)s, kind), since, kind || ':' || id LIMIT %(limit)s OFFSET %(offset)s
    """  # noqa: S608 - made of the fragment above
    columns = ("kind", "id", *SAME, "entity_id", "item_id", "since", "detail", "sides")
    rows = _fetch(
        scope, kinds, sql, lambda source, some: source.select(*columns, keys=some),
        keys=keys, any_cause=not of_causes, causes=list(of_causes), limit=limit, offset=offset,
    )  # fmt: skip
    wording = wording or Wording.of_boards()
    names = _names([(row[2], row[3], row[4]) for row in rows])
    return [_entry(AttentionKind(row[0]), row, wording, names) for row in rows]


def keys(
    scope: AttentionScope = EVERYTHING, *, kinds: Iterable[AttentionKind] | None = None, limit: int = 50
) -> list[str]:
    """Return the keys of entries in their order; one query."""
    return _chosen_keys(scope, kinds, (), 0, limit, 0)


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
        WHERE kind = ANY(%(kinds)s) AND (%(any_cause)s OR {CAUSE} = ANY(%(causes)s)) AND {{place}}
        ORDER BY since, id LIMIT %(needed)s
    """  # noqa: S608 - made of the fragment above
    columns: tuple[str, ...] = ("kind", "id", *SAME, "since")
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


def _edits_sentence(wording: Wording, entity_type: str, keys: Sequence[str], values: Mapping[str, Any]) -> str:
    """What of a record whose item is gone was edited since both sides agreed, and of what that can't be told."""
    npd, base, monday = (values[side] for side in ("npd", "base", "monday"))
    edited = [key for key in keys if npd.get(key) != base.get(key) or monday.get(key)]
    unread = [key for key in keys if key not in edited]
    named = (("Edited since the last sync", edited), ("Can't be read on Monday", unread))
    labels = ((what, ", ".join(wording.label(entity_type, key) for key in found)) for what, found in named)
    return " ".join(f"{what}: {found}." for what, found in labels if found)


def _name_and_detail(
    row: Sequence[Any], wording: Wording, name: str, sides: Mapping[str, Any], cause_text: str, failures: int
) -> tuple[str, str]:
    """What a thing is called, and its own reason."""
    kind, _key, entity_type, entity_id, _item, _since, _cause, code, subject, _common, detail, _sides = row
    match kind:
        case AttentionKind.UNMATCHED:
            name, detail = detail or name, unmatched_sentence(UnmatchedReason(code), **sides)
        case AttentionKind.NOTIFICATION:
            name = sides["name"]
        case AttentionKind.BLOCKED if entity_id is None:
            of = f" of {registry.count_of_type(sides['records'], entity_type)}" if sides["records"] else ""
            name = f"{wording.label(entity_type, subject)}{of}"
        case AttentionKind.FAILED if failures:
            detail = f"Retrying; failed {humanize.count_with_noun(failures, 'time')}. {detail}"
        case AttentionKind.REMOVED if edited := sides.get("edited"):
            detail = f"{cause_text}. {_edits_sentence(wording, entity_type, edited.split(','), sides['asked'])}"
    return name, detail


def _entry(
    kind: AttentionKind, row: Sequence[Any], wording: Wording, names: Mapping[tuple[str, UUID | None, str], str]
) -> AttentionEntry:
    _kind, key, entity_type, entity_id, item_id, since, cause, code, subject, common, detail, stored_sides = row
    sides, cause_text = json.loads(stored_sides), wording.cause(kind, entity_type, code, subject, common)
    failures, job = sides.pop("retried", 0), sides.pop("job", "") or key.partition(":")[2]
    name, detail = _name_and_detail(row, wording, names[entity_type, entity_id, item_id], sides, cause_text, failures)
    is_column = kind is AttentionKind.BLOCKED and entity_id is None
    fields = subject.split(",") if subject and kind is not AttentionKind.REMOVED else []
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
        cause_text=cause_text,
        detail=without_where(humanize.without_request_id(detail or "")),
        url=_url(kind, sides.get("conflict") or job, code, entity_type, entity_id),
        record_url=registry.record_url(entity_type, entity_id) if entity_id else "",
        field=fields[0] if len(fields) == 1 else "",
        values=tuple(
            SideValues(one, wording.label(entity_type, one), sides["npd"].get(one), sides["monday"].get(one))
            for one in (fields if "npd" in sides else ())
        ),
        records=sides["records"] if is_column else 1,
        acts=tuple(one for one in sides.get("acts", ()) if one),
        failures=failures,
        job=int(job) if kind is AttentionKind.FAILED else 0,
    )


def _names(keys: Collection[tuple[str, UUID | None, str]]) -> dict[tuple[str, UUID | None, str], str]:
    """What each record or item is called; without a name, its type."""
    records = registry.record_names((entity_type, entity_id) for entity_type, entity_id, _item in keys)
    records |= deleted_record_names((key[0], key[1]) for key in keys if key[1] and (key[0], key[1]) not in records)
    found = {}
    for entity_type, entity_id, item in keys:
        unnamed = registry.type_name(entity_type) if entity_id else f"Item {item}"
        known = records.get((entity_type, entity_id)) if entity_id else None
        found[entity_type, entity_id, item] = known or str(unnamed).capitalize()
    return found


def _url(kind: AttentionKind, row_id: str, code: str, entity_type: str, entity_id: UUID | None) -> str:
    """The page on which an entry is dealt with; empty where no application shows it."""
    if kind is AttentionKind.NOTIFICATION:
        return reverse("npd-notifications")
    if kind is AttentionKind.REMOVED and entity_id and ":" in row_id:  # no question is open yet
        return registry.record_url(entity_type, entity_id)
    if kind is AttentionKind.BLOCKED and entity_id:
        return registry.record_url(entity_type, entity_id)
    if kind in (AttentionKind.BLOCKED, AttentionKind.APPROVAL):
        about = row_id if kind is AttentionKind.BLOCKED else entity_type
        return f"{reverse('npd-inbox')}?cause={kind.value}:{about}:{code}"
    name = {
        AttentionKind.FAILED: "sync_syncqueue_change",
        AttentionKind.UNMATCHED: "sync_unmatcheditem_change",
        AttentionKind.REJECTED: "conflicts_syncconflict_rejected_screen",
    }.get(kind, "conflicts_syncconflict_screen")
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
