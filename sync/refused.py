"""Values that Monday refuses, or that its columns can't hold: what is stuck, for whom, and leaving one in NPD.

They stand in the ledger, where the last look put them: no second table says what the ledger says. A look that finds
another value, another column, or the value taken forgets them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _

from sync import registry
from sync.models import SyncMetadata

MONDAY, LIMIT = "monday", "limit"
"""The sides of a held field on which Monday stands in the way: it refused the value, or it is known to be too much."""
LEFT_BY = "left_by"
"""Marks a held field whose value a person left in NPD: it waits for nobody, until the value or the column changes."""
CELL = "remote"
"""In that mark: the raw value that stood on Monday when the value was left; missing until a look has read it."""
LEFT = "left"
"""In a field that is held for another reason: the entry that is left in NPD, for when that reason has passed."""

# What has no record any more, or no sync, is stuck for nobody; of a field in conflict the conflict asks. The index on
# held rows is the only part read.
_WAITING = """
    SELECT ledger.id, ledger.entity_type, ledger.entity_id::uuid, field.key, field.value ->> 'reason',
        ledger.last_sync_attempt, record.name
    FROM sync_metadata AS ledger
    CROSS JOIN LATERAL jsonb_each(ledger.held) AS field
    JOIN ({records}) AS record ON record.entity_type = ledger.entity_type
        AND record.id = CASE WHEN ledger.entity_type = ANY(%(types)s) THEN ledger.entity_id::uuid END
    WHERE NOT (ledger.held = '{{}}'::jsonb) AND ledger.system = 'monday'
        AND field.value ->> 'side' IN ('monday', 'limit') AND NOT jsonb_exists(field.value, 'left_by')
        AND NOT jsonb_exists(coalesce(ledger.conflicts -> 'fields', '[]'), field.key)
        AND NOT jsonb_exists(coalesce(ledger.conflicts -> 'overwritten', '[]'), field.key)
"""
_RECORDS = "SELECT '{type}'::text AS entity_type, id, {name}::text AS name FROM {table} WHERE sync_status <> 'disabled'"
_PLACE = """
    WITH waiting AS MATERIALIZED ({waiting})
    SELECT count(*), count(*) FILTER (WHERE (id, key) < (%(id)s, %(key)s)),
        coalesce(bool_or((id, key) = (%(id)s, %(key)s)), false),
        (SELECT ARRAY[entity_type, entity_id::text, key] FROM waiting WHERE (id, key) > (%(id)s, %(key)s)
            ORDER BY id, key LIMIT 1),
        (SELECT ARRAY[entity_type, entity_id::text, key] FROM waiting WHERE (id, key) < (%(id)s, %(key)s)
            ORDER BY id DESC, key DESC LIMIT 1),
        (SELECT ARRAY[entity_type, entity_id::text, key] FROM waiting WHERE (id, key) <> (%(id)s, %(key)s)
            ORDER BY id, key LIMIT 1),
        (SELECT ARRAY[entity_type, entity_id::text, key] FROM waiting WHERE (id, key) <> (%(id)s, %(key)s)
            ORDER BY id DESC, key DESC LIMIT 1)
    FROM waiting
"""

Named = tuple[str, UUID, str]
"""A field of a record: the kind, the record's id, the field's key."""


@dataclass(frozen=True)
class Refused:
    """A value that is stuck: whose, which field's, why in words, and when a look last found it so."""

    ledger_id: int
    entity_type: str
    entity_id: UUID
    key: str
    reason: str
    looked_at: datetime | None
    name: str

    @property
    def named(self) -> Named:
        """What an address names it by."""
        return self.entity_type, self.entity_id, self.key


@dataclass(frozen=True)
class Place:
    """Where a value stands among those that are stuck: `number` of `total`, 0 when it is no more; its neighbours.

    `first` and `last` are those of all others.
    """

    number: int = 0
    total: int = 0
    following: Named | None = None
    preceding: Named | None = None
    first: Named | None = None
    last: Named | None = None


def waiting(limit: int, offset: int = 0) -> list[Refused]:
    """Return what is stuck, what is stuck longest first; one query."""
    sql = f"{waiting_sql()} ORDER BY ledger.id, field.key LIMIT %(limit)s OFFSET %(offset)s"
    return [Refused(*row) for row in _rows(sql, limit=limit, offset=offset)]


def place_of(ledger_id: int = 0, key: str = "") -> Place:
    """Return the place of one; without arguments how many there are, the first and the last. One query."""
    [row] = _rows(_PLACE.format(waiting=waiting_sql()), id=ledger_id, key=key)
    total, earlier, waits, *neighbours = row
    return Place(earlier + 1 if waits else 0, total, *(_named(one) for one in neighbours))


def is_refused(entry: Mapping[str, Any] | None) -> bool:
    """Whether an entry of the ledger's `held` is a value that Monday stands in the way of."""
    return bool(entry) and entry is not None and entry.get("side") in (MONDAY, LIMIT)


def reason_of(entry: Mapping[str, Any]) -> str:
    """Why a field is held, and who has left its value in NPD, where somebody has."""
    left = entry.get(LEFT_BY)
    told = _("%(who)s left it in NPD, so it isn’t sent before it or its column changes.")
    return " ".join([str(entry["reason"]), *([told % {"who": left.get("who", "")}] if left else [])])


def left_entry(entry: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The entry that a person left in NPD, also where the field is held for another reason by now."""
    if not entry:
        return None
    return dict(entry) if LEFT_BY in entry else entry.get(LEFT)


def is_about(left: Mapping[str, Any], local: Any, column: str, version: int) -> bool:
    """Whether an entry that was left is about this value in this column."""
    return (left["local"], left["column"], left["version"]) == (local, column, version)


def mark_left(ledger: SyncMetadata, key: str, by: Mapping[str, Any] | None) -> None:
    """Leave a held value in NPD, or ask about it again where `by` is None. The caller has locked the row."""
    entry = {name: value for name, value in ledger.held[key].items() if name != LEFT_BY}
    ledger.held = {**ledger.held, key: entry if by is None else {**entry, LEFT_BY: dict(by)}}
    ledger.save(update_fields=["held"])


def waiting_sql() -> str:
    """The query of all that is stuck, for one that counts it too; its parameter is `types`, as `types()` gives them."""
    parts = [
        _RECORDS.format(type=spec.entity_type, name=_name_column(spec), table=spec.model._meta.db_table)
        for spec in registry.entities()
    ]
    return _WAITING.format(records=" UNION ALL ".join(parts))


def types() -> list[str]:
    """The kinds of records that are synced."""
    return [spec.entity_type for spec in registry.entities()]


def _name_column(spec: registry.EntitySpec) -> str:
    """The column that holds a record's name; the id of a model that has none."""
    named = registry.name_field(spec.model) or "id"
    return str(spec.model._meta.get_field(named).column)  # type: ignore[union-attr]


def _rows(sql: str, **params: Any) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, {"types": types(), **params})
        return list(cursor.fetchall())


def _named(row: Sequence[str] | None) -> Named | None:
    return (row[0], UUID(row[1]), row[2]) if row else None
