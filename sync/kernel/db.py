"""Additions to Django's database layer: bulk updates, prepared statements, retries, search lookups."""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import psycopg
from django.core.exceptions import EmptyResultSet
from django.db import Error, OperationalError, connection, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models.expressions import Combinable
from django.dispatch import receiver
from psycopg.errors import DeadlockDetected, LockNotAvailable

from sync.monday import text_forms

# ruff: noqa: S608 - statements made of names of columns and of fragments below

# The defaults of columns of JSON, in the database.
EMPTY_OBJECT = models.Value({}, models.JSONField())
EMPTY_LIST = models.Value([], models.JSONField())


@receiver(connection_created)
def set_session_defaults(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Replace what a role or a database may set: forms that psycopg can't read, and an isolation without waits."""
    # In the connection's startup packet, PgBouncer would refuse them.
    connection.connection.execute(
        "SELECT set_config('DateStyle', 'ISO, MDY', false), set_config('IntervalStyle', 'postgres', false), "
        "set_config('default_transaction_isolation', 'read committed', false)"
    )


def match_key_sql(field: str | Combinable) -> models.Func:
    """Return the SQL that computes `match_key` of a field, named by its name or an expression.

    sync/kernel/triggers.py uses the same SQL for names.
    """
    template = text_forms.MATCH_KEY_SQL.replace("__TEXT__", "%(expressions)s")
    return models.Func(field, template=template, output_field=models.TextField())


def fetch_rows(sql: str, params: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def run_sql(sql: str, params: Any = None) -> int:
    """Run a statement and return the number of affected rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def update_many(rows: Sequence[models.Model], names: Sequence[str]) -> None:
    """Write these fields of rows of one model in one statement; triggers fire."""
    if not rows or not names:
        return
    opts: Any = rows[0]._meta
    fields = [opts.get_field(name) for name in names]
    quote = connection.ops.quote_name
    kinds = [(opts.pk, opts.pk.rel_db_type(connection)), *((field, field.db_type(connection)) for field in fields)]
    typed_columns = ", ".join(f"{quote(field.column)} {kind}" for field, kind in kinds)
    assignments = ", ".join(f"{quote(field.column)} = changed.{quote(field.column)}" for field in fields)
    table = quote(opts.db_table)
    key = quote(opts.pk.column)
    values = [{field.column: field.get_prep_value(getattr(row, field.attname)) for field, _ in kinds} for row in rows]
    run_sql(
        f"UPDATE {table} AS stored SET {assignments} "
        f"FROM jsonb_to_recordset(%s::jsonb) AS changed({typed_columns}) WHERE stored.{key} = changed.{key}",
        [json.dumps(values, default=str)],
    )


# SQLSTATEs of a prepared statement with an outdated result type, or that the server lost.
STALE_SQLSTATES = ("0A000", "26000")


def fetch_prepared(sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a prepared statement on Django's connection and return the rows; raises Django's database errors.

    PostgreSQL parses and plans it once for each connection, which for a claim or a delivery is a third of the work;
    Django's cursors write the parameters into the text, so each statement is new. Django's execute wrappers are
    bypassed: the one of the history would prepend a command, and two commands can't be prepared together. So rows
    written here get no history.

    A prepared statement may be stale because a table was altered or a pooler reset the session. Outside a transaction
    it is repeated on a new connection; inside one, the rollback drops it. A pooler that changes connections between
    transactions may lose prepared statements; `?prepare_threshold=off` in DATABASE_URL switches them off.
    """
    try:
        return _fetch_once(sql, params)
    except Error as error:
        if connection.in_atomic_block or getattr(error.__cause__, "sqlstate", None) not in STALE_SQLSTATES:
            raise
        connection.close()
        return _fetch_once(sql, params)


def _fetch_once(sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    driver = connection.connection
    threshold = connection.settings_dict["OPTIONS"].get("prepare_threshold", 0)
    former_threshold = driver.prepare_threshold
    driver.prepare_threshold = threshold if isinstance(threshold, int) else None
    try:
        with connection.wrap_database_errors, psycopg.Cursor(driver) as cursor:
            return cursor.execute(sql, params).fetchall()
    finally:
        driver.prepare_threshold = former_threshold  # for Django's own statements, which are always new


# Each attempt waits half a second for locks; no save holds its locks for ten seconds.
MAX_ATTEMPTS = 20

P = ParamSpec("P")
T = TypeVar("T")


def is_lock_conflict(error: BaseException) -> bool:
    """Whether a transaction gave way to another one that holds its locks, so that it may be repeated."""
    return isinstance(error.__cause__, LockNotAvailable | DeadlockDetected)


def retry_on_lock_timeout(transaction: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that runs one transaction: repeat it if it gave way to a save, at most MAX_ATTEMPTS times."""

    @wraps(transaction)
    def repeat(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return transaction(*args, **kwargs)
            except OperationalError as error:
                if not is_lock_conflict(error):
                    raise
        return transaction(*args, **kwargs)

    return repeat


LOCK_WAIT_SECONDS = 10

# Keeps a shorter timeout, such as that of a pass, which gives way to saves.
_BOUND_WAITS = """
    SELECT set_config('lock_timeout', CASE WHEN waits.bound > '0' AND waits.bound < %(longest)s THEN waits.text
        ELSE %(longest)s END, true)
    FROM (SELECT current_setting('lock_timeout') AS text, current_setting('lock_timeout')::interval AS bound) AS waits
"""


def limit_lock_waits() -> None:
    """Wait at most LOCK_WAIT_SECONDS for each lock until the end of this transaction."""
    run_sql(_BOUND_WAITS, {"longest": f"{LOCK_WAIT_SECONDS}s"})


def storable_json(value: Any) -> Any:
    """Return the JSON value without what jsonb can't store: NUL, and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {storable_json(key): storable_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(entry) for entry in value]
    return value


class SortKey(models.Func):
    """The key by which people sort a text; an order of names, and its index, use it instead of the name."""

    template = text_forms.SORT_KEY_SQL.replace("__TEXT__", "%(expressions)s")
    output_field = models.TextField()


# In characters: each word is compared with every row.
LONGEST_SEARCH = 200

# A phone number as pages show it and people type it; the search ignores its extension.
_PHONE = re.compile(
    r"(?:tel:)?([+＋(\d][\d\s()/.·\u2010-\u2015\u2212-]{4,}?)(?:[\s,;]*(?:ext\.?|x|#)[\s.:=]*\d+)?", re.IGNORECASE
)


def typed_phone_digits(text: str) -> str:
    """Return the digits of a typed phone number, independent of its format; empty if it isn't one."""
    number = _PHONE.fullmatch(text_forms.drop_invisible(text).strip())
    if number is None:
        return ""
    # Without the trunk prefix: +49 (0)89 is +49 89.
    digits = re.sub(r"\D", "", re.sub(r"\(0\)", "", number[1]))
    digits = "".join(str(unicodedata.digit(digit)) for digit in digits).lstrip("0")
    return digits if len(digits) > 4 else ""


@models.Field.register_lookup
class AnyOf(models.Lookup):
    """Like `in`, with all values in one array parameter.

    With `in`, Django and psycopg process each value's own parameter several times, which for a page of 500 takes longer
    than the query (`bench.memory`).
    """

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        if not self.rhs:
            raise EmptyResultSet
        column, params = self.process_lhs(compiler, connection)
        field = self.lhs.output_field
        values = [field.get_db_prep_value(value, connection) for value in self.rhs]
        return f"{column} = ANY (%s::{field.rel_db_type(connection)}[])", [*params, values]


@models.Field.register_lookup
class HoldsMarked(models.Lookup):
    """Whether a text with letters beyond ASCII contains the given text, ignoring diacritics, apostrophes and dashes.

    “Muller” and “Mueller” find “Müller”. PostgreSQL's unaccent is an extension that not every server has. The keys take
    several times as long as a comparison, so ASCII texts are excluded first.
    """

    lookup_name = "holds_marked"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        column, params = self.process_lhs(compiler, connection)
        key = text_forms.SEARCH_KEY_SQL
        condition = _holds(key, f"{column}::text")
        texts = [*params, self.rhs]
        spelled_out = text_forms.without_umlauts(self.rhs)
        if any(pair in spelled_out.lower() for pair in ("ae", "oe", "ue")):
            condition = f"({condition} OR {_holds(key, text_forms.without_umlauts_sql(f'{column}::text'))})"
            texts += [*params, spelled_out]
        return (f"(octet_length({column}::text) <> char_length({column}::text) AND {condition})", [*params * 2, *texts])


def _holds(key: str, text: str) -> str:
    return f"strpos({key.replace('__TEXT__', text)}, {key.replace('__TEXT__', '%s::text')}) > 0"


@models.Field.register_lookup
class HoldsPhone(models.Lookup):
    """Whether a text is a phone number with these digits, in any format, with or without its country."""

    lookup_name = "holds_phone"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        column, params = self.process_lhs(compiler, connection)
        digits = f"ltrim(regexp_replace({column}::text, '\\(0\\)|\\D', '', 'g'), '0')"
        # The stored number may lack the country that was typed.
        is_end_of_typed = f"(length({digits}) > 4 AND %s LIKE '%%' || {digits})"
        return f"({digits} LIKE %s OR {is_end_of_typed})", [*params, f"%{self.rhs}%", *params, self.rhs, *params]


def contains_unmarked(name: str, text: str) -> models.Q:
    """Return the condition that a field contains a text, ignoring case, width, diacritics, apostrophes and dashes."""
    condition = models.Q()
    typed = {unicodedata.normalize("NFC", text_forms.drop_invisible(text)), text_forms.plain_letters(text)}
    for spelling in typed:
        for written in text_forms.ascii_spellings(spelling):
            condition |= models.Q(**{f"{name}__icontains": written})
        if text_forms.has_letters_or_signs(spelling):
            condition |= models.Q(**{f"{name}__holds_marked": spelling})
    return condition
