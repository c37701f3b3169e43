"""An older form's second table, `sync_states` beside `sync_metadata`, becomes rows of the one ledger; and back again.

Nothing is lost on either way: the old table is kept under another name, and of every row written what stood before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DataError, connection, transaction
from django.db.models.fields import NOT_PROVIDED
from psycopg import sql

from sync import registry
from sync.choices import LedgerDirection, ResolutionStrategy, SyncStatus
from sync.kernel.db import fetch_rows
from sync.models import SyncMetadata

OLD, KEPT, LOG = "sync_states", "sync_states_consolidated", "sync_states_consolidation"
"""The older table, its name once it is consolidated, and what was written meanwhile."""

LEFT = "sync_states_not_undone"
"""Of the rows that were written since and so not undone, what consolidating had written."""

_CHOICES = {
    "sync_status": SyncStatus.values,
    "sync_direction": LedgerDirection.values,
    "resolution_strategy": ResolutionStrategy.values,
}

MAX_TOLD = 20


class ConsolidationError(Exception):
    """Nothing was done; the message says why."""


@dataclass(frozen=True)
class Difference:
    """A row that says one thing in the old table and another in the ledger: both values by column."""

    thing: str
    columns: dict[str, tuple[Any, Any]]
    old_is_newer: bool


@dataclass
class Consolidation:
    """What consolidating comes to, in rows of the old table; `own` ones are left to the engine, `doubled` is one thing
    twice, of which the row that was tried last counts.
    """

    added: int = 0
    equal: int = 0
    own: int = 0
    doubled: int = 0
    differences: list[Difference] = field(default_factory=list)


# What each old row says (`said`) in the ledger's own columns and types; what the old table lacks or leaves empty has
# its default. A success was an attempt, and what is open was opened.
_GIVEN = """
    CREATE TEMPORARY TABLE given ON COMMIT DROP AS
    SELECT DISTINCT ON (entity_type, entity_id, system) * FROM (
        SELECT (jsonb_populate_record(NULL::sync_metadata, jsonb_build_object('conflict_opened_at',
            CASE WHEN said -> 'conflicts' <> '{{}}' THEN coalesce(said -> 'last_sync_attempt', to_jsonb(sync_now())) END
            ) || %(defaults)s::jsonb || said)).*, said
        FROM (
            SELECT (SELECT coalesce(jsonb_object_agg(key, value), '{{}}') FROM jsonb_each(to_jsonb(old) - 'id')
                    WHERE value <> 'null')
                || jsonb_strip_nulls(jsonb_build_object(
                    'entity_id', old.entity_id::text,
                    'system', coalesce(to_jsonb(old) ->> 'system', 'jira'),
                    'remote_id', coalesce(to_jsonb(old) ->> 'jira_id', to_jsonb(old) ->> 'remote_id'),
                    'last_sync_attempt', greatest((to_jsonb(old) ->> 'last_sync_attempt')::timestamptz,
                        (to_jsonb(old) ->> 'last_successful_sync')::timestamptz))) AS said
            FROM {old} AS old) AS told) AS rows
    ORDER BY entity_type, entity_id, system, last_sync_attempt DESC NULLS LAST
"""
_DIFFERING = """
    SELECT key, value, to_jsonb(stored) -> key AS here FROM jsonb_each(to_jsonb(given))
    WHERE key = ANY (%(columns)s) AND given.said ? key AND value IS DISTINCT FROM to_jsonb(stored) -> key
"""
_COMPARED = f"""
    SELECT given.entity_type || ' ' || given.entity_id || ' (' || given.system || ')',
        coalesce(given.last_sync_attempt > stored.last_sync_attempt, stored.last_sync_attempt IS NULL),
        (SELECT jsonb_object_agg(key, jsonb_build_array(value, here)) FROM ({_DIFFERING}) AS one)
    FROM given JOIN sync_metadata AS stored USING (entity_type, entity_id, system) ORDER BY 1
"""
_ADD = """
    WITH added AS (
        INSERT INTO sync_metadata ({columns}) SELECT {columns} FROM given
        ON CONFLICT (entity_type, entity_id, system) DO NOTHING RETURNING *)
    INSERT INTO {log} (ledger_id, before, after) SELECT id, NULL, to_jsonb(added) FROM added
"""
_TAKE_NEWER = f"""
    WITH before AS (SELECT stored.* FROM sync_metadata AS stored JOIN given USING (entity_type, entity_id, system)
        WHERE coalesce(given.last_sync_attempt > stored.last_sync_attempt, stored.last_sync_attempt IS NULL)
            AND EXISTS ({_DIFFERING.replace("{", "{{").replace("}", "}}")})
    ), changed AS (
        UPDATE sync_metadata AS stored SET {{assignments}} FROM given, before
        WHERE stored.id = before.id AND given.entity_type = stored.entity_type
            AND given.entity_id = stored.entity_id AND given.system = stored.system
        RETURNING stored.*)
    INSERT INTO {{log}} (ledger_id, before, after)
    SELECT before.id, to_jsonb(before), to_jsonb(changed) FROM changed JOIN before USING (id)
"""
_UNCHANGED = (
    "log.ledger_id = stored.id AND stored IS NOT DISTINCT FROM jsonb_populate_record(NULL::sync_metadata, after)"
)
_UNDO = (
    f"""UPDATE sync_metadata AS stored SET {{restored}}
        FROM {{log}} AS log, jsonb_populate_record(NULL::sync_metadata, log.before) AS before
        WHERE log.before IS NOT NULL AND {_UNCHANGED}""",
    f"DELETE FROM sync_metadata AS stored USING {{log}} AS log WHERE log.before IS NULL AND {_UNCHANGED}",
)  # fmt: skip
_KEEP_LEFT = f"""
    INSERT INTO {{left}} SELECT * FROM {{log}} AS log
    WHERE NOT EXISTS (SELECT FROM sync_metadata AS stored WHERE {_UNCHANGED})
"""
# ruff: noqa: S608 - statements made of the names above


def consolidate(*, take_newer: bool | None = None, dry_run: bool = False) -> Consolidation:
    """Make the old table's rows the ledger's, in one transaction, and rename the old table.

    Where both have a row and differ, `take_newer` takes the one that was tried later; False keeps the ledger's; None
    does nothing at all, so that somebody can look first. Raises ConsolidationError where there is no old table, where
    an earlier one's is still kept, and where it says what no sync state can say.
    """
    with transaction.atomic():
        if not _exists(OLD):
            raise ConsolidationError(f"There is no table {OLD}, so there is nothing to consolidate.")
        if _exists(KEPT) or _exists(LOG):
            raise ConsolidationError(f"{KEPT} and {LOG} are of an earlier time: undo that, or drop both.")
        _run("LOCK TABLE {old}, sync_metadata IN SHARE ROW EXCLUSIVE MODE")
        found, columns, known = _compare()
        if not dry_run and (take_newer is not None or not found.differences):
            _run("CREATE TABLE {log} (ledger_id bigint NOT NULL, before jsonb, after jsonb NOT NULL)")
            if take_newer:
                _run(_TAKE_NEWER, {"columns": known}, assignments=_newer(known))
            _run(_ADD, columns=sql.SQL(", ").join(map(sql.Identifier, columns)))
            _run("ALTER TABLE {old} RENAME TO {kept}")
        return found


def _compare() -> tuple[Consolidation, list[str], list[str]]:
    """What the old table comes to, its rows in the temporary table `given`; the ledger's columns, and those it has."""
    fields = [one for one in SyncMetadata._meta.local_concrete_fields if not one.primary_key]
    # A default is the value as it is, or within an expression.
    stated = [(one.column, one.db_default) for one in fields if one.db_default is not NOT_PROVIDED]
    defaults = {name: getattr(getattr(value, "expression", value), "value", value) for name, value in stated}
    try:
        _run(_GIVEN, {"defaults": json.dumps(defaults)})
    except DataError as error:
        raise ConsolidationError(f"{OLD} has a value that no sync state can have: {error}") from error
    _check_choices()
    old = {name for (name,) in fetch_rows("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass", [OLD])}
    columns = _columns()
    known = [name for name in columns if name in old | {"system", "remote_id", "last_sync_attempt"}]
    [(total,)], [(things,)] = fetch_rows(f"SELECT count(*) FROM {OLD}"), fetch_rows("SELECT count(*) FROM given")
    types = [spec.entity_type for spec in registry.entities()]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM given WHERE entity_type = ANY (%s)", [types])
        own = cursor.rowcount
    compared = fetch_rows(_COMPARED, {"columns": known})
    differences = [Difference(thing, _pairs(values), newer) for thing, newer, values in compared if values]
    found = Consolidation(
        added=things - own - len(compared),
        equal=len(compared) - len(differences),
        own=own,
        doubled=total - things,
        differences=differences,
    )
    return found, columns, known


def _check_choices() -> None:
    """Raise ConsolidationError with the values that the ledger's checks would refuse."""
    unknown = [
        f"{column} {value!r}"
        for column, known in _CHOICES.items()
        for (value,) in fetch_rows(f"SELECT DISTINCT {column} FROM given WHERE {column} <> ALL (%s)", [known])
    ]
    if unknown:
        raise ConsolidationError(f"{OLD} has values that no sync state can have: {', '.join(unknown)}.")


def _newer(known: Sequence[str]) -> sql.Composed:
    """Assign what an old row says; what it says nothing about stays, and a conflict that is open has a time."""
    pair = sql.SQL("{0} = CASE WHEN given.said ? {1} THEN given.{0} ELSE stored.{0} END")
    opened = sql.SQL("conflict_opened_at = coalesce(stored.conflict_opened_at, given.conflict_opened_at)")
    pairs = [pair.format(sql.Identifier(name), sql.Literal(name)) for name in known]
    return sql.SQL(", ").join([*pairs, *([] if "conflict_opened_at" in known else [opened])])


def _pairs(values: str | dict[str, list[Any]]) -> dict[str, tuple[Any, Any]]:
    loaded: dict[str, list[Any]] = json.loads(values) if isinstance(values, str) else values
    return {name: (old, now) for name, (old, now) in sorted(loaded.items())}


def _columns() -> list[str]:
    return [str(one.column) for one in SyncMetadata._meta.local_concrete_fields if not one.primary_key]


def undo() -> tuple[int, int]:
    """Put back what stood before and give the old table its name; return how many rows, and how many were left.

    A row that was written since is left as it is: what it says now is newer, and what stood before is kept in
    another table. Raises ConsolidationError.
    """
    with transaction.atomic():
        if not _exists(LOG):
            raise ConsolidationError("Nothing was consolidated here, so there is nothing to undo.")
        _run("LOCK TABLE {kept}, sync_metadata IN SHARE ROW EXCLUSIVE MODE")
        [(total,)] = fetch_rows(f"SELECT count(*) FROM {LOG}")
        _run("CREATE TABLE IF NOT EXISTS {left} (LIKE {log})")
        _run(_KEEP_LEFT)
        done = sum(_run(statement, restored=_assignments(_columns(), "before")) for statement in _UNDO)
        _run("ALTER TABLE {kept} RENAME TO {old}")
        _run("DROP TABLE {log}")
        if not fetch_rows(f"SELECT FROM {LEFT} LIMIT 1"):
            _run("DROP TABLE {left}")
        return done, total - done


def difference_lines(differences: Sequence[Difference]) -> Iterator[str]:
    """Each difference as a line, the first twenty."""
    for one in differences[:MAX_TOLD]:
        told = "; ".join(f"{name}: {old!r} there, {now!r} here" for name, (old, now) in one.columns.items())
        yield f"{one.thing}, {OLD} was tried {'later' if one.old_is_newer else 'no later'}: {told}"
    if len(differences) > MAX_TOLD:
        yield f"… and {len(differences) - MAX_TOLD:,} more."


def _exists(table: str) -> bool:
    return table in connection.introspection.table_names()


def _assignments(columns: Sequence[str], source: str) -> sql.Composed:
    pair = sql.SQL("{0} = {1}.{0}")
    return sql.SQL(", ").join(pair.format(sql.Identifier(name), sql.Identifier(source)) for name in columns)


def _run(statement: str, params: Any = None, **parts: sql.Composable) -> int:
    names = {"old": sql.Identifier(OLD), "kept": sql.Identifier(KEPT), "log": sql.Identifier(LOG)}
    names["left"] = sql.Identifier(LEFT)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(**names, **parts), params)
        return int(cursor.rowcount)
