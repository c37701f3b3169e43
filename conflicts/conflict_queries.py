"""Queries on conflicts: which are open and in which order, whose edits they concern, who edited a side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField, CharField, Count, F, Func, Q, QuerySet
from django.db.models.expressions import RawSQL
from pghistory.core import event_models

from conflicts.models import ConflictKind, SyncConflict
from sync import connectors, registry
from sync.kernel.conflict_store import OptionAct
from sync.models import FieldMapping, MondayAccount, WebhookEvent
from sync.records import blocked_fields
from sync.records.authors import MAX_EDITS, last_edit, latest_edits, monday_user_name, users_of

# Resolved ones are counted 30 days back: of years there may be more than a page should wait for.
# sync_now() is volatile: only as a sub-select is it asked once, and can an index be searched for it.
_COUNTS = """
    SELECT count(*), count(*) FILTER (WHERE resolution IS NOT NULL AND resolution -> 'fields' <> '{}'),
        (SELECT count(*) FROM sync_conflicts WHERE resolved_at >= (SELECT sync_now()) - interval '30 days'),
        (SELECT count(*) FROM ({rejected}) AS stuck),
        array(SELECT DISTINCT option ->> 'does' FROM sync_conflicts, jsonb_array_elements(about -> 'options') AS option
            WHERE resolved_at IS NULL AND kind = 'delete' AND (resolution IS NULL OR resolution -> 'fields' = '{}'))
    FROM sync_conflicts WHERE resolved_at IS NULL
"""

# Counted are those without a resolution, as the inbox counts them: one that is being applied waits for nobody.
# NOT MATERIALIZED, for PostgreSQL stores what is read more than once: all open ones, where each of the four needs
# one row of the index by time.
_POSITION = """
    WITH waiting AS NOT MATERIALIZED (
        SELECT id, detected_at FROM sync_conflicts
        WHERE resolved_at IS NULL AND (resolution IS NULL OR resolution -> 'fields' = '{}')
    )
    SELECT count(*), count(*) FILTER (WHERE (detected_at, id) > (%(at)s, %(id)s)),
        coalesce(bool_or(id = %(id)s), false),
        (SELECT id FROM waiting WHERE (detected_at, id) > (%(at)s, %(id)s) ORDER BY detected_at, id LIMIT 1),
        (SELECT id FROM waiting WHERE (detected_at, id) < (%(at)s, %(id)s) ORDER BY detected_at DESC, id DESC LIMIT 1),
        (SELECT id FROM waiting WHERE id <> %(id)s ORDER BY detected_at, id LIMIT 1),
        (SELECT id FROM waiting WHERE id <> %(id)s ORDER BY detected_at DESC, id DESC LIMIT 1)
    FROM waiting
"""

BEING_APPLIED = Q(resolved_at=None, resolution__isnull=False) & ~Q(resolution__fields={})
"""Open, with a resolution: one whose fields were all handed back doesn't count."""


def unresolved_conflicts() -> QuerySet[SyncConflict]:
    """Return open conflicts without a resolution, oldest first."""
    return SyncConflict.objects.filter(resolved_at=None).exclude(BEING_APPLIED).order_by("detected_at", "id")


def conflict_position(conflict: SyncConflict | None) -> blocked_fields.Position[UUID]:
    """Return the place among those without a resolution, oldest first; without a conflict their number and ends."""
    at, key = (conflict.detected_at, conflict.pk) if conflict else (datetime.min.replace(tzinfo=UTC), UUID(int=0))
    with connection.cursor() as cursor:
        cursor.execute(_POSITION, {"at": at, "id": key})
        total, later, waits, *neighbours = cursor.fetchone()
    return blocked_fields.Position(total - later if waits else 0, total, *neighbours)


# The walk from case to case, over all that waits for a person's decision on a value: conflicts, the oldest first, then
# rejected values, then the page of blocked fields, which asks about all of them; after it the first conflict again.


class CaseKind(StrEnum):
    """What waits, in the order in which it is decided."""

    CONFLICT = "conflict"
    REJECTED = "rejected"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class CaseRef:
    """A case: a conflict's id, the field of a rejected value, nothing of blocked fields."""

    kind: CaseKind
    conflict_id: UUID | None = None
    field_ref: blocked_fields.FieldRef | None = None


@dataclass(frozen=True)
class Neighbours:
    """Which of all cases of the walk one is, 0 where it waits for nobody any more, and what is before and behind it."""

    number: int
    total: int
    following: CaseRef | None
    preceding: CaseRef | None


def conflict_neighbours(conflict: SyncConflict, *, with_blocked: bool) -> Neighbours:
    """The walk from a conflict; blocked fields are in it where the person may see them."""
    position = conflict_position(conflict)
    here = [CaseRef(CaseKind.CONFLICT, key) if key else None for key in _ends(position)]
    return _neighbours(CaseKind.CONFLICT, position, here, with_blocked)


def rejection_neighbours(ledger_id: int, key: str, *, with_blocked: bool) -> Neighbours:
    """The walk from a rejected value."""
    position = blocked_fields.position_of(ledger_id, key)
    here = [CaseRef(CaseKind.REJECTED, field_ref=ref) if ref else None for ref in _ends(position)]
    return _neighbours(CaseKind.REJECTED, position, here, with_blocked)


def first_case() -> CaseRef | None:
    """The first conflict or rejected value that waits."""
    ends = _ends_by_kind()
    return ends[CaseKind.CONFLICT].first or ends[CaseKind.REJECTED].first


def _ends(position: blocked_fields.Position[Any]) -> tuple[Any, Any, Any, Any]:
    return position.following, position.preceding, position.first, position.last


def _neighbours(
    kind: CaseKind, position: blocked_fields.Position[Any], here: Sequence[CaseRef | None], with_blocked: bool
) -> Neighbours:
    following, preceding, first, last = here
    kinds = [one for one in CaseKind if with_blocked or one is not CaseKind.BLOCKED]
    place = kinds.index(kind)
    others = {one: ends for one, ends in _ends_by_kind(but=kind).items() if one in kinds}
    ahead = [others[one] for one in (*kinds[place + 1 :], *kinds[:place])]
    after = next((one.first for one in ahead if one.first), first)
    before = next((one.last for one in reversed(ahead) if one.last), last)
    earlier = sum(others[one].total for one in kinds[:place])
    total = position.total + sum(one.total for one in others.values())
    number = earlier + position.number if position.number else 0
    return Neighbours(number, total, following or after, preceding or before)


@dataclass(frozen=True)
class _Ends:
    """How many cases of a kind wait, and the first and the last of them."""

    total: int
    first: CaseRef | None
    last: CaseRef | None


def _ends_by_kind(but: CaseKind | None = None) -> dict[CaseKind, _Ends]:
    """How many cases of each kind but one there are, with the first and the last, in one query or two."""
    first, last, number, is_blocked = blocked_fields.waiting_ends()
    rejected = [CaseRef(CaseKind.REJECTED, field_ref=ref) if ref else None for ref in (first, last)]
    page = CaseRef(CaseKind.BLOCKED) if is_blocked else None
    found = {CaseKind.REJECTED: _Ends(number, *rejected), CaseKind.BLOCKED: _Ends(int(is_blocked), page, page)}
    if but is not CaseKind.CONFLICT:
        ends = conflict_position(None)
        conflicts = [CaseRef(CaseKind.CONFLICT, key) if key else None for key in (ends.first, ends.last)]
        found[CaseKind.CONFLICT] = _Ends(ends.total, *conflicts)
    return {kind: ends for kind, ends in found.items() if kind is not but}


def conflict_counts() -> dict[str, int]:
    """Return how many are open, being applied, resolved in 30 days, and rejected values; one query."""
    return counts_and_acts()[0]


def counts_and_acts() -> tuple[dict[str, int], list[OptionAct]]:
    """Return the same, and what the options of open conflicts about a deletion do; one query."""
    with connection.cursor() as cursor:
        sql = _COUNTS.replace("{rejected}", blocked_fields.rejected_values_sql())
        cursor.execute(sql, {"types": blocked_fields.synced_types()})
        open_ones, applying, settled, rejected, offered = cursor.fetchone()
    counts = {"open": open_ones, "applying": applying, "settled": settled, "rejected": rejected}
    return counts, [act for act in OptionAct if act.value in offered]


def open_by_field() -> list[tuple[str, str, int]]:
    """Return how many open conflicts each field has: type, field, number; the most first, one query."""
    rows = SyncConflict.objects.filter(resolved_at=None).order_by()
    fields = rows.annotate(field=Func(F("conflict_fields"), function="unnest", output_field=CharField()))
    counted = fields.values_list("entity_type", "field").annotate(Count("pk"))
    return sorted(counted, key=lambda one: (-one[2], one[0], one[1]))


def counts_by_kind() -> dict[str, int]:
    """Return how many are open of each kind."""
    open_ones = SyncConflict.objects.filter(resolved_at=None).order_by()
    counted = dict(open_ones.values_list("kind").annotate(Count("pk")))
    return {kind.value: counted.get(kind.value, 0) for kind in ConflictKind}


OPEN_FIRST = (F("resolved_at").desc(nulls_first=True), F("detected_at").asc(), "id")
"""The order of the list: open ones first, the oldest first, then what was resolved last."""

# Which conflicts somebody's edits concern: in NPD by the records' history, on Monday by webhook events.
#
# Conditions for the list: each is checked per conflict by an index, so a page needs few of them.


_EDITED_IN_NPD = """(sync_conflicts.entity_type = %s AND EXISTS (
    SELECT 1 FROM (
        SELECT context.metadata ->> 'user' AS who, context.metadata ->> 'cause' AS cause, to_jsonb(event) AS now,
            lead(to_jsonb(event)) OVER (ORDER BY event.pgh_id DESC) AS before
        FROM {table} AS event LEFT JOIN pghistory_context AS context ON context.id = event.pgh_context_id
        WHERE event.pgh_obj_id = sync_conflicts.entity_id ORDER BY event.pgh_id DESC LIMIT {edits}) AS edit,
        unnest(sync_conflicts.conflict_fields) AS field, jsonb_array_elements_text(%s::jsonb -> field) AS name
    WHERE edit.who = %s AND edit.cause IS DISTINCT FROM 'sync'
        AND edit.now ->> name IS DISTINCT FROM edit.before ->> name))"""

_EDITED_ON_MONDAY = """EXISTS (
    SELECT 1 FROM sync_webhook_events AS event
    JOIN sync_field_mappings AS mapping ON mapping.column_id = event.column_id
    JOIN sync_board_links AS link ON link.id = mapping.link_id AND link.entity_type = sync_conflicts.entity_type
    WHERE event.item_id = sync_conflicts.monday_item_id AND mapping.key = ANY(sync_conflicts.conflict_fields)
        AND event.body #>> %s = %s)"""


def edited_in_npd(user_id: str) -> Q:
    """Conflicts about a field that this user of NPD has edited, within the last changes of the record."""
    found = Q(pk__in=[])
    for spec in registry.entities():
        history = event_models(tracks_model=spec.model)
        if history:
            names = {one.key: [_attname(spec, name) for name in one.fields] for one in spec.mappings}
            sql = _EDITED_IN_NPD.format(table=history[0]._meta.db_table, edits=MAX_EDITS)
            found |= _sql_condition(sql, [spec.entity_type, json.dumps(names), user_id])
    return found


def edited_on_monday(user_id: str) -> Q:
    """Conflicts about a column that this user of Monday has edited, as far as webhook events are kept."""
    return _sql_condition(_EDITED_ON_MONDAY, [list(connectors.get().event_paths.user_id), user_id])


def _attname(spec: registry.EntitySpec, name: str) -> str:
    return str(spec.model._meta.get_field(name).attname)  # type: ignore[union-attr]


def _sql_condition(sql: str, params: list[Any]) -> Q:
    """The SQL as a condition of a query on conflicts."""
    return Q(RawSQL(sql, params, BooleanField()))  # noqa: S611 - literals of this module; what is asked are parameters


# Who gave each side its value, and when: in NPD by the record's own history, on Monday by webhook events.


EVENTS_READ = 50
"""How many of an item's last webhook events are searched for who edited a column."""


@dataclass(frozen=True)
class FieldEditor:
    """Who edited a side of a field, and when; `way` is a phrase, as "in the admin", or empty."""

    who: str
    at: datetime
    way: str = ""


def npd_editors(conflict: SyncConflict, mapped: Mapping[str, FieldMapping]) -> dict[str, FieldEditor]:
    """The last edit of each field in conflict in NPD, as far as its history is kept; three queries."""
    try:
        spec = registry.entity(conflict.entity_type)
    except registry.UnknownEntity:
        return {}
    history = latest_edits(spec.model, [conflict.entity_id]).get(conflict.entity_id, [])
    users = users_of(history)
    found = {}
    for key in conflict.conflict_fields:
        names = [_attname(spec, name) for name in (mapped[key].fields if key in mapped else ())]
        edit = last_edit(history, names, users)
        if edit is not None:
            found[key] = FieldEditor(edit.who, edit.at, "" if edit.who in edit.way else edit.way)
    return found


UNKNOWN_USER = "An unknown user"


def monday_editors(conflict: SyncConflict, mappings: Sequence[FieldMapping]) -> dict[str, FieldEditor]:
    """The last edit of each field in conflict on Monday, by webhook events; our own writes are left out."""
    keys = {mapping.column_id: mapping.key for mapping in mappings if mapping.key in conflict.conflict_fields}
    if not keys or not conflict.monday_item_id:
        return {}
    history = WebhookEvent.objects.filter(item_id=conflict.monday_item_id, column_id__in=list(keys))
    account = MondayAccount.objects.filter(id=1).only("users", "user_id").first()
    people, own_user_id = (account.users, account.user_id) if account else ({}, "")
    found: dict[str, FieldEditor] = {}
    for event in history.order_by("-received_at")[:EVENTS_READ]:
        user, key = event.user_id, keys[str(event.column_id)]
        if user and user != own_user_id and key not in found:
            # Until it is known which user is ours, one whom nobody named may be ourselves.
            is_known = own_user_id or people.get(user, {}).get("name")
            who = monday_user_name(user, people) if is_known else UNKNOWN_USER
            found[key] = FieldEditor(who, event.received_at)
    return found
