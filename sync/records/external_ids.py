"""Which record another system means, by its own id or by a match value; and the lock between two who say the same."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef

from sync.kernel.db import fetch_rows, run_sql
from sync.kernel.messages import Conflict
from sync.models import ExternalId
from sync.models.api_clients import SOURCE_LENGTH, VALUE_LENGTH

TAKEN = "external_id_taken"
"""The code of the Conflict that an id is another record's already."""

SOURCE_PATTERN = f"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{SOURCE_LENGTH - 1}}}"
"""What a source looks like."""

_SOURCE = re.compile(SOURCE_PATTERN)

Name = tuple[str, str]
"""A source and the value by which it knows a record."""

_SET = """
    INSERT INTO sync_external_ids (entity_type, entity_id, source, value)
    SELECT %(entity_type)s, given.entity_id, given.source, given.value
    FROM unnest(%(ids)s::uuid[], %(sources)s::text[], %(values)s::text[]) AS given (entity_id, source, value)
    ORDER BY given.source, given.value
    ON CONFLICT (entity_type, entity_id, source) DO UPDATE
    SET value = excluded.value, at = sync_now(), released_at = NULL
    WHERE sync_external_ids.value <> excluded.value OR sync_external_ids.released_at IS NOT NULL
"""

_REMOVE = """
    DELETE FROM sync_external_ids AS old
    USING unnest(%(ids)s::uuid[], %(sources)s::text[]) AS given (entity_id, source)
    WHERE old.entity_type = %(entity_type)s AND old.entity_id = given.entity_id AND old.source = given.source
"""

_FIND = """
    SELECT source, value, entity_id FROM sync_external_ids
    JOIN unnest(%(sources)s::text[], %(values)s::text[]) AS wanted (source, value) USING (source, value)
    WHERE entity_type = %(entity_type)s AND released_at IS NULL
"""


def source_problem(source: str) -> str:
    """Return what is wrong with the name of a source; empty where nothing is."""
    if _SOURCE.fullmatch(source):
        return ""
    return (
        f"The source of an external id is a name of at most {SOURCE_LENGTH} letters, digits, dots, hyphens and "
        "underscores, such as “crm”."
    )


def value_problem(value: str) -> str:
    """Return what is wrong with another system's id; empty where nothing is."""
    if 0 < len(value) <= VALUE_LENGTH and value == value.strip() and value.isprintable():
        return ""
    return f"An external id has 1 to {VALUE_LENGTH} printable characters, without a space at its ends."


def parse_name(text: str) -> Name:
    """Return the source and value of “source:value”; raises ValueError with what is wrong."""
    source, colon, value = text.partition(":")
    if not colon:
        raise ValueError("Write source:value, such as “crm:4711”.")
    if problem := source_problem(source) or value_problem(value):
        raise ValueError(f"{problem} Write source:value.")
    return source, value


def external_ids_of(entity_type: str, ids: Iterable[UUID]) -> dict[UUID, dict[str, str]]:
    """Return each record's ids by source, in one query; a record without any is missing."""
    rows = ExternalId.objects.filter(entity_type=entity_type, entity_id__in=list(ids), released_at=None)
    found: dict[UUID, dict[str, str]] = defaultdict(dict)
    for entity_id, source, value in rows.order_by("source").values_list("entity_id", "source", "value"):
        found[entity_id][source] = value
    return dict(found)


def records_named(entity_type: str, names: Collection[Name]) -> dict[Name, UUID]:
    """Return the records that have these ids, in one query."""
    if not names:
        return {}
    pairs = list(names)
    params = {"entity_type": entity_type, "sources": [s for s, _v in pairs], "values": [v for _s, v in pairs]}
    return {(source, value): entity_id for source, value, entity_id in fetch_rows(_FIND, params)}


def taken(entity_type: str, name: Name, owner: UUID | None) -> Conflict:
    """Why an id can't be given: it is `owner`'s; None for who may not know whose."""
    source, value = name
    whose = f"that of {entity_type} {owner}" if owner else f"another {entity_type}'s"
    advice = "Change that one instead, or take the id away from it first."
    return Conflict(f"The external id {source}:{value} is {whose}. {advice}", code=TAKEN)


def set_external_ids(
    entity_type: str, given: Mapping[UUID, Mapping[str, str | None]], *, names_owner: bool = True
) -> None:
    """Give records these ids by source, None takes one away, others stay; in the caller's transaction.

    Raises Conflict for an id that another record has, or that is given to two; IntegrityError where another record
    gets it at this moment.
    """
    wanted = [(pk, source, value) for pk, ids in given.items() for source, value in ids.items() if value]
    removed = [(pk, source) for pk, ids in given.items() for source, value in ids.items() if not value]
    # Removed first, so that one call can move an id from one record to another.
    if removed:
        params: dict[str, Any] = {"ids": [pk for pk, _s in removed], "sources": [source for _pk, source in removed]}
        run_sql(_REMOVE, params | {"entity_type": entity_type})
    if wanted:
        names = [(source, value) for _pk, source, value in wanted]
        owners = records_named(entity_type, set(names))
        for pk, source, value in wanted:
            owner = owners.setdefault((source, value), pk)
            if owner != pk:
                raise taken(entity_type, (source, value), owner if names_owner else None)
        params = {"ids": [pk for pk, _s, _v in wanted], "sources": [s for s, _v in names]}
        run_sql(_SET, params | {"values": [v for _s, v in names], "entity_type": entity_type})


def inherit_external_ids(entity_type: str, deleted_id: UUID, heir_id: UUID) -> None:
    """Give a record the ids of the one that was the same and is deleted now; its own of a source stays."""
    own = ExternalId.objects.filter(entity_type=entity_type, entity_id=heir_id).values("source")
    taken = ExternalId.objects.filter(
        entity_type=entity_type, source=OuterRef("source"), value=OuterRef("value"), released_at=None
    )
    left = ExternalId.objects.filter(~Exists(taken), entity_type=entity_type, entity_id=deleted_id)
    left.exclude(source__in=own).update(entity_id=heir_id, released_at=None)


def lock_sources(entity_type: str, sources: Iterable[str]) -> None:
    """Let nobody else who names an id of these sources go on before the caller's transaction ends.

    Nothing is there yet whose row could be locked, and two who look at once would both find nothing and both create.
    Taken before `lock_values`, and that before any record's row, so that no two wait for each other.
    """
    lock_values(entity_type, "external id", sources)


def lock_values(entity_type: str, field: str, keys: Iterable[str]) -> None:
    """The same for whoever writes a field's value, by its match key."""
    # A bulk names a thousand, and PostgreSQL has room for a few thousand locks of all transactions together.
    shares = {advisory_key(key) % VALUE_LOCKS for key in keys}
    locks = sorted(advisory_key("upsert", entity_type, field, str(share)) for share in shares)
    run_sql("SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key", [locks])


VALUE_LOCKS = 256


def advisory_key(*parts: str) -> int:
    """Return the number that stands for these texts among PostgreSQL's advisory locks."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
