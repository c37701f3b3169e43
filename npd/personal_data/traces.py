"""Where the database holds a person: rows that name their record or item, and texts in any column of any table.

Nothing is listed by name, so that a table that is added tomorrow is searched, too. A row belongs to a person by a
column that names a record (`OWNER_COLUMNS`), or, where it names none, an item (`ITEM_COLUMNS`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import IntegrityError, connection, transaction
from django.db.models import Model, Q, QuerySet

from npd.accounts.second_factor import PASSED_KEY
from npd.personal_data.persons import Person
from sync import registry
from sync.models import SyncedModel, SyncMetadata

OWNER_COLUMNS = ("entity_id", "record_id", "pgh_obj_id", "object_id")
ITEM_COLUMNS = ("item_id", "remote_id", "monday_item_id", "monday_id")
ERASED = "[erased]"
"""What stands in place of a text that named somebody."""

_KEPT_OF_A_SESSION = ("_auth_user_id", "_auth_user_backend", "_auth_user_hash", PASSED_KEY)

_PROGRAM_TABLES = ("auth_permission", "django_content_type", "django_migrations")
"""What the program says of itself; a contact may be called like one of its words."""

_SETTINGS = {
    "auth_group": ("name",),
    "django_celery_beat_periodictask": ("name", "description"),
    "sync_board_links": ("shape", "known_titles", "sync_filter"),
    "sync_field_mappings": ("label", "options"),
}
"""What administrators and boards say of the sync. Anybody may type a name, on a board too: rewritten, one that is
called like a group, a job, a column or a label would rename it, or change which records a filter lets in.
"""

_JSON = ("json", "jsonb")

# ruff: noqa: S608, S610 - statements made of the names of our own tables

_COLUMNS = """
    SELECT one.table_name, one.column_name, one.udt_name, one.character_maximum_length
    FROM information_schema.columns AS one JOIN information_schema.tables AS held USING (table_schema, table_name)
    WHERE table_schema = current_schema() AND held.table_type = 'BASE TABLE' AND one.is_generated = 'NEVER'
        AND one.udt_name IN ('text', 'varchar', 'bpchar', 'citext', 'jsonb', 'json', '_text', '_varchar', 'bytea')
    ORDER BY one.table_name, one.ordinal_position
"""


@dataclass(frozen=True)
class TextColumn:
    """A column that may hold a text."""

    name: str
    kind: str
    length: int | None

    @property
    def quoted(self) -> str:
        return connection.ops.quote_name(self.name)

    @property
    def text(self) -> str:
        if self.kind.startswith("_"):
            return f"array_to_string({self.quoted}, E'\\n')"
        return f"encode({self.quoted}, 'escape')" if self.kind == "bytea" else f"{self.quoted}::text"

    @property
    def condition(self) -> str:
        """Whether a person is named in it; the parameters are `Person.conditions`."""
        # In this order in any case, which AND doesn't promise.
        return f"CASE WHEN {self.text} ~* %s THEN {self.text} ~* %s ELSE false END"

    @property
    def read(self) -> str:
        return f"{self.quoted}::text" if self.kind in _JSON else self.quoted

    @property
    def written(self) -> str:
        return f"%s::{self.kind}"

    def without(self, wanted: re.Pattern[str], value: Any, mark: str) -> Any:
        """Return a value with the mark in place of each text that is wanted."""
        if self.kind in _JSON and value is not None:
            held = json.loads(value)
            cleared = _cleared(held, wanted, mark)
            return value if cleared == held else json.dumps(cleared)
        cleared = _cleared(value, wanted, mark)
        return cleared[: self.length] if self.length and isinstance(cleared, str) else cleared


def _cleared(value: Any, wanted: re.Pattern[str], mark: str) -> Any:
    """Only texts are changed: a number is nobody's, nor is what says which row, item or column is meant."""
    if isinstance(value, str):
        return wanted.sub(mark, value)
    if isinstance(value, list):
        return [_cleared(one, wanted, mark) for one in value]
    if isinstance(value, dict):
        return {
            wanted.sub(mark, name): inner if is_reference(name) else _cleared(inner, wanted, mark)
            for name, inner in value.items()
        }
    return value


def is_reference(name: str) -> bool:
    """Whether a column, or a name in JSON, is of something's number or key: a phone number may look the same."""
    return name in ("item", "column", "version") or re.search(r"(?:^|_)ids?$|[a-z]Ids?$", name) is not None


def text_columns() -> dict[str, list[TextColumn]]:
    found: dict[str, list[TextColumn]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS)
        for table, name, *rest in cursor.fetchall():
            if table not in _PROGRAM_TABLES and not is_reference(name):
                found.setdefault(table, []).append(TextColumn(name, *rest))
    return found


def rows_naming(person: Person, columns: Sequence[TextColumn]) -> tuple[str, list[str]]:
    """Return the condition that one of a table's columns names a person, and its parameters.

    All columns are first asked together by what is quickly found: few rows are left for what takes its time.
    """
    joined = f"concat_ws(E'\\n', {', '.join(column.text for column in columns)})"
    quick = {f'lower({joined} COLLATE "C") ~ %s': person.hint, f"{joined} ~* %s": person.part_without_hint}
    hints = {condition: pattern for condition, pattern in quick.items() if pattern}
    exact = " OR ".join(column.condition for column in columns)
    condition = f"CASE WHEN {' OR '.join(hints)} THEN {exact} ELSE false END"
    return condition, [*hints.values(), *person.conditions * len(columns)]


def own_rows(
    person: Person, besides: Collection[str] = (), only: Collection[str] | None = None
) -> Iterator[QuerySet[Any]]:
    """Return the rows that belong to the person, of each model that has such, or of these by their labels.

    The contact's own table is not among them.
    """
    for model in apps.get_models(include_auto_created=True):
        if model._meta.proxy or not model._meta.managed or model._meta.label in besides:
            continue
        if only is not None and model._meta.label not in only:
            continue
        condition = _ownership(model, person)
        if condition is not None:
            rows: QuerySet[Any] = model._base_manager.filter(condition)
            if rows.exists():
                yield rows


def _ownership(model: type[Model], person: Person) -> Q | None:
    columns = {one.column: one for one in model._meta.concrete_fields}
    if "sync_status" in columns and "sync_enabled" in columns and "pgh_id" not in columns:
        return None  # a synced record itself
    owner = next((columns[name] for name in OWNER_COLUMNS if name in columns), None)
    item = next((columns[name] for name in ITEM_COLUMNS if name in columns), None)
    conditions = []
    if owner is not None and person.key:
        is_text = owner.get_internal_type() in ("CharField", "TextField")
        conditions.append(Q(**{owner.attname: str(person.key) if is_text else person.key}))
    if item is not None and person.item_ids and item.get_internal_type() in ("CharField", "TextField"):
        unowned = Q(**{f"{owner.attname}__isnull": True}) if owner is not None else Q()
        conditions.append(Q(**{f"{item.attname}__in": person.item_ids}) & unowned)
    if not conditions:
        return None
    found = conditions[0]
    for other in conditions[1:]:
        found |= other
    return found


@dataclass(frozen=True)
class NamedIn:
    """Another record that names the person: in these columns, or (none) in what was last synced of it."""

    record: SyncedModel
    columns: tuple[str, ...]


def records_naming(person: Person) -> list[NamedIn]:
    """Return the other records that name a person.

    Only their own edit can take that out: rewritten here, it would come back from the board, or stay in its log.
    """
    found: list[NamedIn] = []
    columns_of = text_columns()
    for spec in registry.entities() if person.pattern else ():
        model = spec.model
        columns = columns_of[model._meta.db_table]
        where, params = rows_naming(person, columns)
        table = connection.ops.quote_name(model._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM {table} WHERE {where}", params)
            named = [row[0] for row in cursor.fetchall() if row[0] != person.key]
        wanted = re.compile(person.pattern, re.IGNORECASE)
        for record in model._default_manager.filter(pk__in=named):
            names = tuple(one.name for one in columns if wanted.search(str(getattr(record, one.name))))
            found.append(NamedIn(record, names))
        # An edit that took it out, and is not synced yet, still has the old text to compare with.
        states = SyncMetadata.objects.of(spec.entity_type).exclude(entity_id__in=map(str, [person.key, *named]))
        where, params = rows_naming(person, [TextColumn("base", "jsonb", None)])
        ids = states.extra(where=[where], params=params).values_list("entity_id", flat=True)
        found += [NamedIn(record, ()) for record in model._default_manager.filter(pk__in=list(ids))]
    return found


@dataclass
class Mentions:
    """Where the person is named although the row isn't theirs: found, or replaced."""

    person: Person
    rewritten: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)

    def found(self) -> Iterator[dict[str, Any]]:
        """Yield each text that names the person, of every table."""
        if not self.person.pattern:
            return
        with connection.cursor() as cursor:
            for table, every in text_columns().items():
                # Nobody can read binary data here; the erasure says how many rows of it there are.
                columns = [column for column in every if column.kind != "bytea"]
                if not columns:
                    continue
                where, params = rows_naming(self.person, columns)
                values = ", ".join(f"CASE WHEN {one.condition} THEN {one.quoted} END" for one in columns)
                name = connection.ops.quote_name(table)
                cursor.execute(
                    f"SELECT {values} FROM {name} WHERE {where}", [*self.person.conditions * len(columns), *params]
                )
                for row in cursor:
                    for column, value in zip(columns, row, strict=True):
                        if value is not None:
                            yield {"table": table, "column": column.name, "value": value}

    def erase(self) -> None:
        """Replace the texts everywhere but in settings, and delete what is binary and names the person; in the caller's
        transaction.
        """
        if not self.person.pattern:
            return
        self._erase_of_sessions()
        records = {spec.model._meta.db_table for spec in registry.entities()}
        for table, every in text_columns().items():
            if table in records:
                continue
            columns = [one for one in every if one.name not in _SETTINGS.get(table, ())]
            texts, binary = ([c for c in columns if (c.kind == "bytea") is is_bytes] for is_bytes in (False, True))
            if texts:
                self._rewrite(table, texts)
            if binary:
                self._remove(table, binary)

    def _rewrite(self, table: str, columns: list[TextColumn]) -> None:
        name = connection.ops.quote_name(table)
        where, params = rows_naming(self.person, columns)
        read = ", ".join(column.read for column in columns)
        with connection.cursor() as cursor:
            # Locked, because a row is found again by its ctid, and PostgreSQL gives an updated row another one.
            cursor.execute(f"SELECT ctid::text, {read} FROM {name} WHERE {where} FOR UPDATE", params)
            for place, *values in cursor.fetchall():
                self.rewritten[table] += self._rewrite_row(name, place, list(zip(columns, values, strict=True)))

    def _rewrite_row(self, table: str, place: str, cells: list[tuple[TextColumn, Any]]) -> bool:
        """Rewrite a row; where that makes it equal to another and no two may be, the mark says which it is."""
        wanted = re.compile(self.person.pattern, re.IGNORECASE)
        for mark in (ERASED, f"{ERASED[:-1]} {place}]"):
            # Only a column that is changed is written: a trigger may ask for its change.
            cleared = [(column, column.without(wanted, value, mark), value) for column, value in cells]
            changed = [(column, new) for column, new, old in cleared if new != old]
            if not changed:
                return False
            changes = ", ".join(f"{column.quoted} = {column.written}" for column, _new in changed)
            # In a savepoint: after a violated constraint PostgreSQL refuses everything else of the transaction.
            with suppress(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {table} SET {changes} WHERE ctid = %s::tid", [*(new for _, new in changed), place]
                )
                return True
        raise RuntimeError(f"A row of {table} can't be rewritten")

    def _remove(self, table: str, columns: list[TextColumn]) -> None:
        texts = [text.encode() for one in self.person.identifiers for text in one.literals]
        positions = [f"position(%s::bytea in {column.quoted}) > 0" for column in columns for _ in texts]
        where = " OR ".join([*(column.condition for column in columns), *positions])
        with connection.cursor() as cursor:
            params: list[Any] = self.person.conditions * len(columns) + texts * len(columns)
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)} WHERE {where}", params)
            if cursor.rowcount:
                self.removed[table] += cursor.rowcount

    def _erase_of_sessions(self) -> None:
        """What a session remembers, as a message that was not shown yet, is encoded: no statement can read it."""
        wanted = re.compile(self.person.pattern, re.IGNORECASE)
        for row in Session.objects.iterator():
            store = SessionStore(session_key=row.session_key)
            remembered = store.decode(row.session_data)
            if wanted.search(str(remembered)):
                kept = {key: remembered[key] for key in _KEPT_OF_A_SESSION if key in remembered}
                Session.objects.filter(pk=row.pk).update(session_data=store.encode(kept))
                self.rewritten[Session._meta.db_table] += 1
