"""What Django's database layer lacks: bulk updates, prepared statements, retries, lookups of its own."""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import psycopg
from django.core.exceptions import EmptyResultSet
from django.db import Error, OperationalError, connection, models
from psycopg.errors import DeadlockDetected, LockNotAvailable

from sync.monday.texts import SEEN_SQL, drop_invisible, search_spellings


def update_many(rows: Sequence[models.Model], names: Sequence[str]) -> None:
    """Write these fields of these rows of one model in one statement; triggers fire as for any other."""
    if not rows or not names:
        return
    opts: Any = rows[0]._meta
    fields = [opts.get_field(name) for name in names]
    quote = connection.ops.quote_name
    kinds = [(opts.pk, opts.pk.rel_db_type(connection)), *((field, field.db_type(connection)) for field in fields)]
    typed_columns = ", ".join(f"{quote(field.column)} {kind}" for field, kind in kinds)
    assignments = ", ".join(f"{quote(field.column)} = given.{quote(field.column)}" for field in fields)
    table = quote(opts.db_table)
    key = quote(opts.pk.column)
    values = [{field.column: _json(getattr(row, field.attname)) for field, _kind in kinds} for row in rows]
    run_sql(
        f"UPDATE {table} AS stored SET {assignments} "
        f"FROM jsonb_to_recordset(%s::jsonb) AS given({typed_columns}) WHERE stored.{key} = given.{key}",
        [json.dumps(values, default=str)],
    )


def _json(value: Any) -> Any:
    """A value as JSON; keys and choices become text."""
    return value if value is None or isinstance(value, str | int | bool | list | dict) else str(value)


# Prepared statements: PostgreSQL parses and plans them once for each connection. Used for the two statements
# that are large and run all the time.
#
# Django's own cursors write the parameters into the text, so that each statement is a new one; for a claim or
# a delivery, parsing and planning would be a third of the work. Django's wrappers don't see these statements:
# the history's wrapper would put a command of its own in front, and two commands can't be prepared together.
# So what is written here gets no history.
#
# A pooler that gives each transaction another connection may lose prepared statements;
# `?prepare_threshold=off` at the end of DATABASE_URL switches them off.


# SQLSTATEs of a prepared statement whose result has changed shape, or that the server has lost.
STALE_SQLSTATES = ("0A000", "26000")


def fetch_prepared(sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement on Django's connection, in its transaction where there is one, and return the rows.

    A prepared statement may be stale: a table was altered, a pooler reset the session. Outside a transaction
    it is tried again on a new connection; inside one, the rollback drops it, so that the next try prepares it
    anew. Raises Django's database errors.
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
        driver.prepare_threshold = former_threshold  # Django's own statements are new each time


# Each gives way after half a second: no save holds its locks for ten seconds.
MAX_ATTEMPTS = 20

# ruff: noqa: S608 - statements made of the fragments above

P = ParamSpec("P")
T = TypeVar("T")


def gave_way(error: BaseException) -> bool:
    """Whether a transaction was ended in favour of another one, so that it may be done again."""
    return isinstance(error.__cause__, LockNotAvailable | DeadlockDetected)


def retry_on_lock_timeout(transaction: Callable[P, T]) -> Callable[P, T]:
    """Repeat a function that runs one transaction when it gave way to a save; a decorator.

    Raises OperationalError when it gave way MAX_ATTEMPTS times.
    """

    @wraps(transaction)
    def repeat(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return transaction(*args, **kwargs)
            except OperationalError as error:
                if not gave_way(error):
                    raise
        return transaction(*args, **kwargs)

    return repeat


LOCK_WAIT_SECONDS = 10

# A shorter wait stays: who has set it has reasons, as a pass that gives way to saves.
_BOUND_WAITS = """
    SELECT set_config('lock_timeout', CASE WHEN waits.bound > '0' AND waits.bound < %(longest)s THEN waits.text
        ELSE %(longest)s END, true)
    FROM (SELECT current_setting('lock_timeout') AS text, current_setting('lock_timeout')::interval AS bound) AS waits
"""


def bound_lock_waits() -> None:
    """Let nothing wait longer than LOCK_WAIT_SECONDS for others' locks until the end of this transaction."""
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


def fetch_rows(sql: str, params: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def run_sql(sql: str, params: Any = None) -> int:
    """Run a statement whose answer nobody reads; return how many rows it was about."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


_LOCKS = {
    "wait": "SELECT pg_advisory_xact_lock(%s)",
    "share": "SELECT pg_advisory_xact_lock_shared(%s)",
    "try": "SELECT pg_try_advisory_xact_lock(%s)",
}


def advisory_lock(key: int, mode: Literal["wait", "share", "try"] = "wait") -> bool:
    """Take the lock of this number, which nothing else in this database uses, until the transaction ends.

    Return whether it was taken: by `try` only where nobody has it. Those who `share` it wait for no other of them.
    """
    return fetch_rows(_LOCKS[mode], [key])[0][0] is not False


# A search without diacritics: “Muller” finds “Müller”. PostgreSQL's unaccent is an extension that not every
# server has or lets one create, so each letter is looked for as it is or with a mark.


def _marked_letters() -> dict[str, str]:
    """By plain letter, in lower case, its forms with marks in both cases."""
    forms = {"o": "øØ", "l": "łŁ", "d": "đĐ", "h": "ħĦ", "i": "ı", "t": "ŧŦ"}
    for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00)):
        plain = unicodedata.normalize("NFD", chr(code))[0].lower()
        if plain.isascii() and plain.isalpha():
            forms[plain] = forms.get(plain, "") + chr(code)
    return forms


_MARKED = _marked_letters()
_DOUBLE = {"ss": "ßẞ", "ae": "æÆ", "oe": "œŒ", "th": "þÞ"}
_PART = re.compile("|".join([*_DOUBLE, "."]), re.IGNORECASE | re.DOTALL)
# Characters. Each word costs a comparison of every row, and a pattern thirty characters for one.
LONGEST_SEARCH = 200


def unmarked_pattern(text: str) -> str:
    """Return a regular expression, of Python and PostgreSQL, for a text whose plain letters may have marks.

    Each letter is there in both cases, for a database may know those of ASCII alone.
    """

    def part(match: re.Match[str]) -> str:
        whole = match[0]
        if len(whole) > 1:
            return f"({''.join(map(letter, whole))}|[{_DOUBLE[whole.lower()]}])"
        return letter(whole)

    def letter(character: str) -> str:
        cases = {form for form in (character, character.lower(), character.upper()) if len(form) == 1}
        forms = "".join(sorted(cases)) + _MARKED.get(character.lower(), "")
        return f"[{forms}]" if len(forms) > 1 else re.escape(character)

    return _PART.sub(part, text)


# A phone number as pages show it and people type it; its extension is no part of what is looked for.
_PHONE = re.compile(
    r"(?:tel:)?([+＋(\d][\d\s()/.·\u2010-\u2015\u2212-]{4,}?)(?:[\s,;]*(?:ext\.?|x|#)[\s.:=]*\d+)?", re.IGNORECASE
)


def typed_phone_digits(text: str) -> str:
    """Return the digits that a phone number has however it is written, or an empty text where none was typed."""
    number = _PHONE.fullmatch(drop_invisible(text).strip())
    if number is None:
        return ""
    # Not the zero that stands before an area's number within its country.
    digits = re.sub(r"\D", "", re.sub(r"\(0\)", "", number[1]))
    digits = "".join(str(unicodedata.digit(digit)) for digit in digits).lstrip("0")
    return digits if len(digits) > 4 else ""


@models.Field.register_lookup
class AnyOf(models.Lookup):
    """Whether a value is one of many that are known, all of them one parameter.

    Of `in` Django and psycopg look at each value's own parameter several times, which of a page of 500 takes longer
    than PostgreSQL (`bench.memory`).
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
    """Whether a text has letters beyond ASCII, and shows what is given whatever its marks.

    A regular expression takes thrice as long as a comparison, so texts in which it can find no more are left out first.
    """

    lookup_name = "holds_marked"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        column, params = self.process_lhs(compiler, connection)
        shown = SEEN_SQL.replace("__TEXT__", f"{column}::text")
        condition = f"(octet_length({column}::text) <> char_length({column}::text) AND {shown} ~ %s)"
        return condition, [*params * 3, unmarked_pattern(self.rhs)]


@models.Field.register_lookup
class HoldsPhone(models.Lookup):
    """Whether a text is a phone number with these digits, in whichever spelling, with its country or without."""

    lookup_name = "holds_phone"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        column, params = self.process_lhs(compiler, connection)
        digits = f"ltrim(regexp_replace({column}::text, '\\(0\\)|\\D', '', 'g'), '0')"
        whole = f"(length({digits}) > 4 AND %s LIKE '%%' || {digits})"
        return f"({digits} LIKE %s OR {whole})", [*params, f"%{self.rhs}%", *params, self.rhs, *params]


def contains_unmarked(name: str, text: str) -> models.Q:
    """Return the condition that a field's text holds this one, whatever its case, width and marks."""
    condition = models.Q()
    for spelling in search_spellings(text):
        condition |= models.Q(**{f"{name}__icontains": spelling})
        if any(map(str.isalpha, spelling)):
            condition |= models.Q(**{f"{name}__holds_marked": spelling})
    return condition
