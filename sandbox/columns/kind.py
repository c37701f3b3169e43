"""What a column type must be able to do, and what most of them do alike.

Shapes and clearing rules: developer.monday.com/api-reference/reference (one page per column type).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox import api_errors
from sandbox.model import Column

EMPTY: tuple[Any, ...] = ({}, "")
EMPTY_OBJECT: tuple[Any, ...] = ({},)


@dataclass(frozen=True)
class Writing:
    """Around a write: the moment, whether missing labels may be made, and how to keep a changed column."""

    stamp: str
    create_labels: bool = False
    unchecked_phones: bool = False
    keep_column: Callable[[Column], None] = lambda column: None


class ColumnKind:
    """One column type. A raw value is what Monday reads back as `value`, decoded; None when empty."""

    type = "unsupported"
    old_type = "unsupported"
    graphql_type = "UnsupportedValue"
    # What `text` is when the cell is empty: "" for most types, null for some.
    empty_text: str | None = ""
    # What clears a cell in `column_values`, beside null.
    clearings: tuple[Any, ...] = EMPTY

    def parse(self, column: Column, given: Any, writing: Writing) -> Any:
        """The raw value of what `column_values` holds for this column. Raises ColumnValueException."""
        if given is None or given in self.clearings:
            return None
        if isinstance(given, str):
            return self.parse_simple(column, given, writing)
        if not isinstance(given, dict):
            raise self.bad("a string or an object is expected")
        return self.parse_object(column, given, writing)

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        """The raw value of a simple string; "" clears every type."""
        raise self.bad("simple strings are not supported for this column type")

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        raise self.bad("objects are not supported for this column type")

    def text(self, column: Column, raw: Any) -> str:
        """The cell in words, "" when it is empty."""
        raise NotImplementedError

    def api_text(self, column: Column, raw: Any) -> str | None:
        return self.text(column, raw) or self.empty_text

    def choices(self, column: Column, raw: Any) -> set[str]:
        """What a validation rule's ANY_OF compares with, and the page picks: ids for choices, else the text."""
        return {self.text(column, raw)} - {""}

    def parse_edit(self, column: Column, text: str, writing: Writing) -> Any:
        return self.parse_simple(column, text.strip(), writing) if text.strip() else None

    def value(self, raw: Any) -> str | None:
        """What the API gives as `value`: JSON in a string, or null."""
        return None if raw is None else json.dumps(raw, ensure_ascii=False)

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        """The fields of the column's own GraphQL type that somebody reads."""
        return {}

    def payload(self, column: Column, raw: Any) -> Any:
        """What webhooks and activity logs carry as value."""
        return raw

    def same(self, one: Any, other: Any) -> bool:
        """Whether two raw values say the same; when it was written does not count."""
        return bool(_undated(one) == _undated(other))

    def bad(self, reason: str) -> api_errors.FieldError:
        return api_errors.bad_value(reason, self.old_type)


def _undated(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {key: value for key, value in raw.items() if key != "changed_at"}
    return raw


def text_in(kind: ColumnKind, given: dict[str, Any], key: str) -> str:
    """The text under `key`, "" when it is missing or null; anything else is refused."""
    found = given.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise kind.bad(f'"{key}" must be a string')
    return found


def ids_in(kind: ColumnKind, given: list[Any]) -> list[int]:
    """The ids of a list of numbers or digits, each once, in order."""
    for one in given:
        if isinstance(one, bool) or not re.fullmatch(r"\d{1,18}", str(one)):
            raise kind.bad("an id must be a number")
    return list(dict.fromkeys(int(one) for one in given))
