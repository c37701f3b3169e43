"""Who is meant, and where the database holds this person: rows that name the record or item, and texts anywhere.

No table is listed by name, so that one that is added tomorrow is searched, too. A row belongs to a person by a column
that names a record (`OWNER_COLUMNS`), or, where it names none, an item (`ITEM_COLUMNS`).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from itertools import islice
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import UUID

import phonenumbers
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import IntegrityError, connection, transaction
from django.db.models import Model, Q, QuerySet
from pghistory.core import event_models

from npd.accounts.second_factor import PASSED_KEY
from npd.models import Contact, Organization
from sync import registry
from sync.models import Intent, SyncedModel, SyncMetadata, Tombstone, UnmatchedItem
from sync.reconcile.lookups import canonical_value, phone_region

# Who is meant, and by which texts they are found where no id names them.


MIN_HINT = 4
"""Letters or digits in a row of which few texts have the same."""

MIN_DIGITS = 7
"""A shorter number is no phone number that belongs to one person only."""

MAX_NOTES = 200
"""Longer notes are not searched for elsewhere; the rows that belong to the person are found without."""

MAX_TEXTS = {"notes": 10}
OTHER_TEXTS = 20
"""Texts of one kind, the newest, that are searched for: every version that notes ever had would make a pattern that
takes hours, or more memory than there is.
"""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")
_SPACES = r"(?:\s|\+|%20|&nbsp;|\\[nrt])+"
# In JSON a line break is written “\n”, in an address “%0A”: their last letter stands before the word.
_ESCAPED = r"(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})"
_AROUND = {
    kind: (rf"(?:(?<!{letter})|{_ESCAPED})", after)
    for kind, letter, after in (
        ("name", r"\w", r"(?!\w)"), ("email", r"[\w.+-]", r"(?!\.?[\w-])"), ("notes", r"\w", r"(?!\w)"),
    )
}  # fmt: skip
_BETWEEN_DIGITS = r"[^0-9A-Za-z\"\\]{0,3}"


@dataclass(frozen=True)
class Identifier:
    """A text by which somebody is found: `kind` is a field of the contact."""

    kind: str
    text: str

    @property
    def pattern(self) -> str:
        """A regular expression for PostgreSQL and Python, in all forms in which the text may be stored."""
        before, after = ("(?<![0-9])", "(?![0-9])") if self.kind == "phone" else _AROUND[self.kind]
        return f"{before}{self.part}{after}"

    @cached_property
    def part(self) -> str:
        """As `pattern`, but within a longer word, too."""
        if self.kind == "phone":
            return _phone_pattern(self.text)
        if self.kind == "notes":  # long, and neither typed anew by somebody nor part of an address
            forms = dict.fromkeys(_pattern_of(form) for form in (self.text, json.dumps(self.text)[1:-1]))
        else:
            forms = dict.fromkeys(_pattern_of(form) for text in self.literals for form in _written_forms(text))
        return f"(?:{'|'.join(forms)})"

    @cached_property
    def hint(self) -> str:
        """A quick regular expression that any form of the text matches, once in small letters; empty where none does.

        Letters and digits of ASCII are written the same in every form, and so are spaces between them, or as _SPACES
        says: the longest row of such words is in each.
        """
        if self.kind == "phone":
            return _BETWEEN_DIGITS.join(_digits_of(self.text)[0])
        text = unicodedata.normalize("NFC", self.text)
        # What stands before an address's “@” is rarer than what follows.
        for one in (text.partition("@")[0], text) if self.kind == "email" else (text,):
            longest = max(re.findall(r"[0-9A-Za-z]+(?: +[0-9A-Za-z]+)*", one), key=len, default="").lower()
            if len(longest) >= MIN_HINT:
                return _SPACES.join(longest.split())
        return ""

    @property
    def literals(self) -> tuple[str, ...]:
        """The text itself; letters outside ASCII in each case, which not every database folds."""
        composed = [unicodedata.normalize(form, self.text) for form in ("NFC", "NFD")]
        return tuple(dict.fromkeys(one for text in composed for one in (text, text.lower(), text.upper())))


def _written_forms(text: str) -> Iterator[str]:
    """As text, in JSON, in HTML and in an address."""
    yield from (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], escape(text), quote(text))
    yield quote_plus(text)


def _pattern_of(text: str) -> str:
    return re.sub(r"(?:\\?[ \t\n+]|%20)+", lambda _: _SPACES, re.escape(text))


def _phone_pattern(text: str) -> str:
    national, code = _digits_of(text)
    prefix = f"(?:(?:\\+|00)?{code}{_BETWEEN_DIGITS})?" if code else ""
    return f"{prefix}(?:\\(?0\\)?{_BETWEEN_DIGITS})?{_BETWEEN_DIGITS.join(national)}"


def _digits_of(text: str) -> tuple[str, str]:
    """The national number and the calling code; of what can't be read all its digits."""
    with suppress(phonenumbers.NumberParseException):
        number = phonenumbers.parse(str(canonical_value("contact", "phone", text)), phone_region())
        return str(number.national_number), str(number.country_code)
    return re.sub(r"\D", "", text), ""


@dataclass(frozen=True)
class Person:
    """One person: a contact, one that was deleted, or with an email address alone nobody that NPD has a record of.

    `item_ids` are the items on Monday that are theirs. `identifiers` are searched for everywhere; those that are
    `shared` with another record or with an account are not, as they would take others' data with them.
    """

    key: UUID | None
    name: str
    identifiers: tuple[Identifier, ...]
    shared: tuple[Identifier, ...] = ()
    item_ids: tuple[str, ...] = ()
    is_recorded: bool = True

    @property
    def keys(self) -> list[UUID]:
        """The id, for look-ups; none where there is no record and never was."""
        return [self.key] if self.key else []

    @property
    def handle(self) -> str:
        return str(self.key or self.name)

    @property
    def emails(self) -> list[str]:
        """The addresses, for telling two of one name apart."""
        return [one.text for one in (*self.identifiers, *self.shared) if one.kind == "email"]

    @cached_property
    def pattern(self) -> str:
        """Finds every identifier; empty where there is none."""
        return "|".join(one.pattern for one in self.identifiers)

    @cached_property
    def hint(self) -> str:
        """Matches whatever holds one of the identifiers that have a hint, in small letters; empty where none has."""
        return "|".join(dict.fromkeys(one.hint for one in self.identifiers if one.hint))

    @cached_property
    def part_without_hint(self) -> str:
        """Finds the other identifiers, within a longer word, too."""
        return "|".join(one.part for one in self.identifiers if not one.hint)

    @cached_property
    def conditions(self) -> list[str]:
        """What a text has to match: first without looking around a word, which takes PostgreSQL many times as long."""
        return ["|".join(one.part for one in self.identifiers), self.pattern]


def find_persons(text: str) -> list[Person]:
    """Return who has this id, email address or name, or had it; deleted contacts too. By name only where it is whole.

    An email address that no contact has or had is a person without a record.
    """
    text = text.strip()
    with suppress(ValueError):
        return [person for person in [person_of(UUID(text))] if person]
    if not text:
        return []
    field = "email" if _EMAIL.match(text) else "name"
    keys = {row["pk"]: None for row in Contact.objects.filter(**{f"{field}__iexact": text}).values("pk")}
    stones = Tombstone.objects.filter(entity_type=Contact.entity_type(), **{f"data__{field}__iexact": text})
    keys |= dict.fromkeys(stones.values_list("entity_id", flat=True))
    keys |= dict.fromkeys(_events().filter(**{f"{field}__iexact": text}).values_list("pgh_obj_id", flat=True))
    found = [person for key in keys if (person := person_of(key))]
    if not found and field == "email":
        return [_with_items([], text, [Identifier("email", text)], is_recorded=False)]
    return found


def person_of(key: UUID) -> Person | None:
    """Return the contact with this id as a person, also one that was deleted; None where there never was one."""
    values: list[Any] = [*Contact.objects.filter(pk=key).values()]
    is_recorded = bool(values)
    values += Tombstone.objects.filter(entity_type=Contact.entity_type(), entity_id=key).values_list("data", flat=True)
    values += _events().filter(pgh_obj_id=key).order_by("-pgh_id").values("name", "email", "phone", "notes")
    if not values:
        return None
    states = [one for row in _rows_about(key) for one in _fields_in(row)]
    found = [*(pair for row in values for pair in row.items()), *states]
    of_kind: dict[str, dict[Identifier, None]] = {}
    for one in filter(None, (_identifier(kind, text) for kind, text in found)):
        of_kind.setdefault(one.kind, {})[one] = None
    identifiers = [one for kind, texts in of_kind.items() for one in islice(texts, MAX_TEXTS.get(kind, OTHER_TEXTS))]
    return _with_items([key], str(values[0].get("name") or key), identifiers, is_recorded=is_recorded)


def _events() -> Any:
    model: Any = event_models(tracks_model=Contact)[0]
    return model._default_manager


def _rows_about(key: UUID) -> Iterator[Any]:
    """What Monday said of them too: values that NPD never took over are theirs as well."""
    yield from SyncMetadata.objects.of(Contact.entity_type(), [key]).values_list("base", flat=True)
    yield from Intent.objects.filter(entity_id=key).values_list("values", flat=True)


def _fields_in(value: Any, kind: str = "") -> Iterator[tuple[str, str]]:
    """The texts of a JSON value, each with the last field's name above it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            # To which cell a value belongs is nothing of the person's.
            if name in ("item", "column", "version"):
                continue
            yield from _fields_in(inner, name if name in ("name", "email", "phone", "notes") else kind)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields_in(inner, kind)
    elif isinstance(value, str) and kind:
        yield kind, value


def _identifier(kind: str, text: Any) -> Identifier | None:
    """A text that names this person alone, as far as a text can: a single word of a name doesn't."""
    text = text.strip() if isinstance(text, str) else ""
    if kind == "email" and _EMAIL.match(text):
        return Identifier(kind, text)
    if kind == "name" and len(text.split()) > 1:
        return Identifier(kind, text)
    if kind == "phone" and text[:1] not in "{[" and len(_digits_of(text)[0]) >= MIN_DIGITS:
        return Identifier(kind, text)
    if kind == "notes" and len(text.split()) > 2 and len(text) <= MAX_NOTES:
        return Identifier(kind, text)
    return None


def _with_items(keys: list[UUID], name: str, found: Iterable[Identifier], *, is_recorded: bool) -> Person:
    all_found = list(found)
    shared = tuple(one for one in all_found if _is_shared(one, keys))
    identifiers = tuple(one for one in all_found if one not in shared)
    items: set[str | None] = set()
    if keys:
        kind = Contact.entity_type()
        items |= set(Contact.objects.filter(pk__in=keys).values_list("monday_id", flat=True))
        items |= set(SyncMetadata.objects.of(kind, keys).values_list("remote_id", flat=True))
        items |= set(Tombstone.objects.filter(entity_type=kind, entity_id__in=keys).values_list("monday_id", flat=True))
        items |= set(Intent.objects.filter(entity_id__in=keys).values_list("item_id", flat=True))
    for one in identifiers:
        if one.kind == "email":
            unmatched = UnmatchedItem.objects.filter(entity_type=Contact.entity_type())
            items |= set(unmatched.filter(values__email__iexact=one.text).values_list("item_id", flat=True))
    # Whoever had it once: an item that another record has now is that record's.
    items -= set(Contact.objects.exclude(pk__in=keys).filter(monday_id__in=items).values_list("monday_id", flat=True))
    return Person(
        keys[0] if keys else None, name, identifiers, shared, tuple(sorted(one for one in items if one)), is_recorded
    )


def _is_shared(one: Identifier, keys: list[UUID]) -> bool:
    """Whether another record or an account is known by it, too."""
    others = Contact.objects.exclude(pk__in=keys)
    if one.kind == "phone":
        return others.filter(phone__iregex=one.pattern).exists()
    if one.kind == "notes":
        return others.filter(notes__iexact=one.text).exists()
    if one.kind == "email":
        is_account = _accounts().filter(Q(email__iexact=one.text) | Q(username__iexact=one.text)).exists()
        return is_account or others.filter(email__iexact=one.text).exists()
    # A part of another's name is theirs, too: “Maria Schmidt” in “Anna Maria Schmidt” and in “Maria Schmidt Ltd”.
    models: list[Any] = [Organization._default_manager, others]
    # The hint first, which is quick.
    if any(named.filter(name__iregex=one.hint).filter(name__iregex=one.pattern).exists() for named in models):
        return True
    wanted = re.compile(one.pattern, re.IGNORECASE)
    return any(wanted.search(f"{first} {last}") for first, last in _accounts().values_list("first_name", "last_name"))


def _accounts() -> Any:
    return get_user_model()._default_manager


# Where they are found.


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
    return Q(*conditions, _connector=Q.OR) if conditions else None


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
