"""Forms that several converters share: canonical text, and the raw values inside Monday's columns."""

import unicodedata
from collections.abc import Mapping
from typing import Any

from sync.connectors.monday.converters.base import Local, UnknownValue
from sync.connectors.monday.items import Reading

# Webhooks and the activity log name column types as Monday does inside, GraphQL as its API does.
# (developer.monday.com/api-reference/reference/webhooks; only those whose names differ. "boolean" and "tag"
# are the names of columns in the API before 2023-10.)
_API_TYPES = {
    "long-text": "long_text",
    "color": "status",
    "numeric": "numbers",
    "multiple-person": "people",
    "board-relation": "board_relation",
    "boolean": "checkbox",
    "tag": "tags",
}


_ABSENT = object()


def canonical_text(text: str | None) -> str | None:
    """Unicode NFC, line ends as \\n, outer whitespace dropped; None where nothing is left."""
    lines = (text or "").replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", lines).strip() or None


def folded(text: str | None) -> str | None:
    """Canonical text with every run of whitespace made one space."""
    return " ".join((canonical_text(text) or "").split()) or None


def only_field(raw: Local) -> tuple[str, Any]:
    """The name and value of the one field of a mapping; raises ValueError where there are several."""
    if len(raw) != 1:
        raise ValueError(f"This converter takes one field, not {len(raw)}: {', '.join(raw)}.")
    return next(iter(raw.items()))


def only_text(raw: Local) -> tuple[str, str | None]:
    """The name and text of the one field of a mapping; raises UnknownValue where it holds no text."""
    name, value = only_field(raw)
    if value is None or isinstance(value, str):
        return name, value
    raise UnknownValue(f"{words(name)} holds a {type(value).__name__} where a text was expected")


def words(field: str) -> str:
    """The name of a field as people read it."""
    return field.replace("_", " ")


def known_value(reading: Reading, *types: str) -> Any:
    """The raw value of a reading of one of these types; raises UnknownValue with the reason otherwise."""
    if not reading.known:
        raise UnknownValue(reading.reason)
    if reading.type not in types:
        raise UnknownValue(f"the column is of the type {reading.type!r}, not {' or '.join(types)}")
    return reading.value


def shown_value(reading: Reading, *types: str) -> Any:
    """As `known_value`, of types whose every value shows in `value`; raises UnknownValue where only `text` shows one.

    What is rolled up from sub-items may read so (no page says how it does). It is not an empty cell.
    """
    value = known_value(reading, *types)
    if value is None and reading.text:
        raise UnknownValue("Monday showed a text without the value behind it")
    return value


def event_value(value: Any, column_type: str, *types: str) -> Any:
    """A webhook's value of one of these types, None when cleared (null or {}); else raises UnknownValue."""
    api_type = api_column_type(column_type)
    if api_type not in types:
        raise UnknownValue(f"the event is about a column of the type {api_type!r}, not {' or '.join(types)}")
    return None if value in (None, {}, "") else value


def api_column_type(column_type: str) -> str:
    """The GraphQL name of a column type as webhooks name it."""
    return _API_TYPES.get(column_type, column_type)


def text_at(value: Any, *keys: str) -> str | None:
    """The text under the first of these keys that a JSON object has; else raises UnknownValue."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        text = next((value[key] for key in keys if key in value), _ABSENT)
        if text is None or isinstance(text, str):
            return text
    raise unreadable(value)


def object_in(value: Any) -> Mapping[str, Any]:
    """A JSON object, {} for null; raises UnknownValue for anything else."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise unreadable(value)


def list_at(value: Any, key: str) -> list[Any]:
    """The list under the key of a JSON object, empty for null and {}; raises UnknownValue for other forms."""
    inside = object_in(value)
    if not inside:
        return []
    found = inside.get(key, _ABSENT)
    if found is None or isinstance(found, list):
        return found or []
    raise unreadable(value)


def ids_in(value: Any) -> list[str]:
    """A list of ids, which are digits, as texts or numbers; raises UnknownValue for anything else."""
    if isinstance(value, list | tuple) and all(_is_id(entry) for entry in value):
        return list(dict.fromkeys(str(entry) for entry in value))
    raise unreadable(value)


def unreadable(value: Any) -> UnknownValue:
    """The error for a value in a form that nobody described."""
    return UnknownValue(f"Monday sent a value in a form that is not known ({type(value).__name__})")


def _is_id(entry: Any) -> bool:
    if isinstance(entry, str):
        return entry.isascii() and entry.isdecimal()
    return isinstance(entry, int) and not isinstance(entry, bool) and entry >= 0
