"""How Monday writes the value of a column as JSON, in answers and in webhooks, whose names of types differ."""

from collections.abc import Mapping
from typing import Any, ClassVar

from sync.monday.board_items import Reading
from sync.monday.conversion import (
    Canonical,
    Converter,
    ConverterOptions,
    Local,
    UnknownValue,
    only_field,
    unreadable_value,
)

_API_TYPES: dict[str, str] = {}
"""Our name of each type that webhooks and the activity log name otherwise: as its column declares."""

_ABSENT = object()


class MondayColumn(Converter):
    """A converter, and all that is particular to its type of column besides the values.

    Of several converters of one type, the first in `columns.COLUMN_CLASSES` speaks for the type.
    """

    name: ClassVar[str]
    """What mappings call the converter."""
    readable_types: ClassVar[tuple[str, ...]] = ()
    """The types of columns that it reads; empty means only its own."""
    event_type: ClassVar[str] = ""
    """What webhooks and the activity log call the type, where that differs (reference/webhooks)."""
    fragment: ClassVar[str] = ""
    """What an item's fragment needs of it beside `value` and `text` (reference/column-types-reference)."""
    is_always_asked: ClassVar[bool] = False
    """Whether the fragment is part of every document, so that there are few texts."""
    empty_fields: ClassVar[Mapping[str, Any]] = {}
    """What the fragment's fields show of an empty cell."""
    has_labels: ClassVar[bool] = False
    shows_labels: ClassVar[bool] = False
    """Whether it shows a field with choices by the labels of its values."""
    is_multiline: ClassVar[bool] = False
    """Whether its values are mostly of several lines."""
    is_distinctive: ClassVar[bool] = False
    """Whether a board's only column of the type is most likely the one that is looked for."""
    bare_text_problem: ClassVar[str] = ""
    """Why an event's bare text can't be taken for the value; empty where it can."""

    def __init__(self, options: ConverterOptions = ConverterOptions()) -> None:  # noqa: B008 (frozen)
        pass

    def __init_subclass__(cls) -> None:
        if cls.event_type:
            _API_TYPES[cls.event_type] = cls.column_type

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = only_field(current_local)
        # The same value: NPD's spelling stays.
        is_unchanged = self.local(current_local) == self.remote(remote_raw)
        return {name: current if is_unchanged else self.changed_value(remote_raw, current)}

    def changed_value(self, remote_raw: Any, current: Any) -> Any:
        """What NPD's one field gets where Monday has another value."""
        return self.remote(remote_raw)

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        value = event_value(payload_value, column_type, *(self.readable_types or (self.column_type,)))
        if isinstance(value, str) and self.bare_text_problem:
            raise UnknownValue(f"the event's {self.column_type} is a bare text{self.bare_text_problem}")
        return self.remote(value)


def known_value(reading: Reading, *types: str) -> Any:
    """The raw value of a reading of one of these types; raises UnknownValue with the reason otherwise."""
    if not reading.known:
        raise UnknownValue(reading.reason)
    if reading.type not in types:
        raise UnknownValue(f"the column is of the type {reading.type!r}, not {' or '.join(types)}")
    return None if _is_only_bookkeeping(reading.value) else reading.value


def complete_value(reading: Reading, *types: str) -> Any:
    """As `known_value`, for types whose value never shows in `text` alone; raises UnknownValue if it does.

    A roll-up of sub-items may read like that (Monday documents it nowhere). It is not an empty cell.
    """
    value = known_value(reading, *types)
    # A text without its value must not look like an empty cell.
    if value is None and reading.text:
        raise UnknownValue("Monday showed a text without the value behind it")
    return value


def event_value(value: Any, column_type: str, *types: str) -> Any:
    """A webhook's value of one of these types, None when cleared (null or {}); else raises UnknownValue."""
    api_type = api_column_type(column_type)
    if api_type not in types:
        raise UnknownValue(f"the event is about a column of the type {api_type!r}, not {' or '.join(types)}")
    # Monday clears a column in several forms.
    return None if value in (None, {}, "") or _is_only_bookkeeping(value) else value


_BOOKKEEPING = frozenset({"column_settings", "changed_at"})
"""What stands beside a value; alone, it is what an emptied cell has left (community 32099, answers of 2024-11)."""


def _is_only_bookkeeping(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and _BOOKKEEPING.issuperset(value)


def api_column_type(column_type: str) -> str:
    return _API_TYPES.get(column_type, column_type)


def text_under(value: Any, *keys: str) -> str | None:
    """The text under these keys of a JSON object; raises UnknownValue where there is none, or more than one."""
    if value is None or isinstance(value, str):
        return value
    values = [value[key] for key in keys if key in value] if isinstance(value, Mapping) else []
    texts = [text for text in values if text not in (None, "")]
    if values and all(isinstance(text, str) and text == texts[0] for text in texts):
        return texts[0] if texts else None
    raise unreadable_value(value)


def object_or_empty(value: Any) -> Mapping[str, Any]:
    """A JSON object, {} for null; raises UnknownValue for anything else."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise unreadable_value(value)


def list_under(value: Any, key: str) -> list[Any]:
    """The list under the key of a JSON object, empty for null and {}; raises UnknownValue for other forms."""
    inside = object_or_empty(value)
    if not inside:
        return []
    entries = inside.get(key, _ABSENT)
    if entries is None or isinstance(entries, list):
        return entries or []
    raise unreadable_value(value)


def parse_ids(value: Any) -> list[str]:
    """A list of ids, which are digits, as texts or numbers; raises UnknownValue for anything else."""
    if isinstance(value, list | tuple) and all(_is_id(entry) for entry in value):
        # Each id once, in the order in which they came.
        return list(dict.fromkeys(str(entry) for entry in value))
    raise unreadable_value(value)


def _is_id(entry: Any) -> bool:
    if isinstance(entry, str):
        return entry.isascii() and entry.isdecimal()
    # A bool is an int in Python, but no id.
    return isinstance(entry, int) and not isinstance(entry, bool) and entry >= 0
