"""What a converter is: the translation between fields of a record and one column of a board.

Everything here is pure. A value has three forms: stored in NPD (field names with JSON values), stored on the board (a
JSON value, as a base keeps it), and canonical (the form that is compared). `None` is the empty canonical value.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sync.monday.board_items import Reading
from sync.monday.texts import canonical_text, fold_whitespace

# A text, or for lists the sorted elements without duplicates; never an empty text or an empty tuple.
Canonical = str | tuple[str, ...] | None


# NPD's stored values by field: text, bool (checkbox), list of texts, ISO date, decimal as text, None; a
# related record is `{"id": its uuid, "item": its item's id or None, "name": its name}`, or None where there is
# none.
Local = Mapping[str, Any]


class UnknownValue(ValueError):
    """The value is unknown, and nothing may be concluded from it. The message says why."""


class AmbiguousSplit(ValueError):
    """A column's value can't be divided among its fields for certain. The message says why."""


@dataclass(frozen=True)
class ConverterOptions:
    """What a converter needs to know besides the value."""

    region: str = "US"  # the country of phone numbers without one, by code or name
    time_zone: str = "UTC"  # that in which a moment has its day, by its IANA name
    settings: Mapping[str, Any] = field(default_factory=dict)  # the column's, as Monday gives them
    items: Mapping[str, str] = field(default_factory=dict)  # names of related items by id, only to show them
    choices: Mapping[str, str] = field(default_factory=dict)  # labels of the values that NPD's field may have


class Converter:
    """One type of column: how its values are read, compared and written."""

    name: ClassVar[str]  # what mappings call the converter
    column_type: str = "text"  # the Monday column type to create: "text", "status", "board_relation" …, or "name"
    readable_types: ClassVar[tuple[str, ...]] = ()  # the types of columns that it reads; empty means only its own
    # What an item's fragment needs of it beside `value` and `text` (reference/column-types-reference).
    fragment: ClassVar[str] = ""
    empty_fields: ClassVar[Mapping[str, Any]] = {}  # what the fragment's fields show of an empty cell
    # Whether values are labels of the column; one that the column lacks is created by the write.
    has_labels: bool = False
    shows_choices: ClassVar[bool] = False  # whether it shows a field with choices by the labels of its values
    is_stateless: bool = False  # whether a value is known by itself alone: what could be read once can be read for ever
    # Whether the value names items of another board; when one of them is removed, its cell empties by itself.
    names_items: bool = False
    bare_text_problem: ClassVar[str] = ""  # why an event's bare text can't be taken for the value; empty where it can

    def __init__(self, options: ConverterOptions) -> None:
        pass

    def local(self, raw: Local) -> Canonical:
        """The canonical form of the mapping's NPD fields.

        Raises UnknownValue where it can't be known yet: a related record without an item.
        """
        raise NotImplementedError

    def remote(self, raw: Any) -> Canonical:
        """The canonical form of what `stored_value` returned; raises UnknownValue where it can't be known."""
        raise NotImplementedError

    def stored_value(self, reading: Reading) -> Any:
        """The JSON value of a reading, as a base keeps it; raises UnknownValue for an unknown reading."""
        raise NotImplementedError

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        """What to send as the column's value; None clears it. Unmapped parts are sent back unchanged."""
        return self.local(raw_local)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        """The NPD fields for Monday's value; a field that already says the same keeps its spelling.

        A list takes the form of the current value: a list stays a list, a text gets the elements between
        commas. Raises AmbiguousSplit where the value can't be divided for certain, UnknownValue where the
        field can't hold it (several values for a field of one).
        """
        name, current = only_field(current_local)
        is_unchanged = self.local(current_local) == self.remote(remote_raw)
        return {name: current if is_unchanged else self.changed_value(remote_raw, current)}

    def changed_value(self, remote_raw: Any, current: Any) -> Any:
        """What NPD's one field gets where Monday has another value."""
        return self.remote(remote_raw)

    def from_text(self, text: str, current_local: Local) -> Local:
        """The NPD fields for a value that a person typed; raises ValueError with a sentence for them."""
        raise NotImplementedError

    def completed(self, raw_local: Local) -> Local:
        """The same value in a form whose meaning depends on nothing else, as a phone number with its country."""
        return raw_local

    def rejection_reason(self, raw_local: Local) -> str | None:
        """Why Monday will certainly reject the value, or None."""
        return None

    def rejection_risk(self, raw_local: Local) -> str | None:
        """Why Monday will probably reject the value, though it is sent and Monday asked, or None."""
        return None

    def sent_as_stored(self, sent: Any) -> Any:
        """What `to_remote` returned, in the form of what `stored_value` returns for it."""
        return sent

    def display(self, canonical: Canonical) -> str:
        """The value for people; the empty value is an empty text."""
        return ", ".join(canonical) if isinstance(canonical, tuple) else canonical or ""

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        """The canonical form of a webhook's `value`; raises UnknownValue where it can't be decoded."""
        value = event_value(payload_value, column_type, *(self.readable_types or (self.column_type,)))
        if isinstance(value, str) and self.bare_text_problem:
            raise UnknownValue(f"the event's {self.column_type} is a bare text{self.bare_text_problem}")
        return self.remote(value)


class OneText(Converter):
    """One field with a text; two are the same where `canonical` is."""

    def canonical(self, text: str | None) -> str | None:
        return canonical_text(text)

    def tidied(self, text: str | None) -> str | None:
        """A text that a person typed, as it is stored."""
        return self.canonical(text)

    def problem(self, text: str) -> str | None:
        """Why the column can't hold a text, as the end of a sentence; None where it can."""
        return None

    def local(self, raw: Local) -> Canonical:
        return self.canonical(only_text(raw)[1])

    def from_text(self, text: str, current_local: Local) -> Local:
        typed = self.tidied(text)
        if typed is not None and (problem := self.problem(typed)):
            raise ValueError(f"{problem}.")
        return {only_field(current_local)[0]: typed}

    def rejection_reason(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        tidy = self.tidied(text)
        problem = None if tidy is None else self.problem(tidy)
        return f"{field_label(name)}: {problem}" if problem else None


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
    raise UnknownValue(f"{field_label(name)} holds a {type(value).__name__} where a text was expected")


def field_label(field: str) -> str:
    return field.replace("_", " ")


def unreadable_value(value: Any) -> UnknownValue:
    """The error for a value in an undocumented form."""
    return UnknownValue(f"Monday sent a value in a form that is not known ({type(value).__name__})")


# Lists: what converters of several values in one column share.
#
# In NPD a list is a list of texts, or one text with the elements between commas or on lines of their own.
# Its canonical form is a sorted tuple without duplicates, because their order carries no meaning.


SEPARATORS = re.compile(r"[,\n\r]")


class ListConverter(Converter):
    """One field with a list; `key` is the form in which two elements are compared."""

    takes_single_text: bool = False  # whether it also takes a field of one text, which is then not split

    def key(self, element: str) -> str:
        return element

    def local(self, raw: Local) -> Canonical:
        return self.canonical(self.elements(only_field(raw)[1]))

    def elements(self, value: Any) -> list[str]:
        return parse_elements(value)

    def remote_elements(self, raw: Any) -> list[str]:
        """The elements of what `stored_value` returned; each kind of column reads them in its own way."""
        raise NotImplementedError

    def remote(self, raw: Any) -> Canonical:
        return self.canonical(self.remote_elements(raw))

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        return self.with_elements(self.remote_elements(remote_raw), current_local)

    def canonical(self, elements: Iterable[str]) -> Canonical:
        return tuple(sorted({self.key(element) for element in elements})) or None

    def from_text(self, text: str, current_local: Local) -> Local:
        return self.with_elements(parse_elements(text), current_local)

    def with_elements(self, wanted: Sequence[str], current_local: Local) -> Local:
        """The NPD fields for these elements; raises UnknownValue where a text can't hold one of them."""
        name, current = only_field(current_local)
        current_elements = self.elements(current)
        # The same elements: NPD's spelling and order stay.
        if self.canonical(current_elements) == self.canonical(wanted):
            return {name: current}
        # The elements that stay come first, in their order and spelling, then the new ones.
        wanted_keys = {self.key(element) for element in wanted}
        elements = [element for element in current_elements if self.key(element) in wanted_keys]
        present = {self.key(element) for element in elements}
        for element in wanted:
            # Of two spellings of a new element the first one wins.
            if self.key(element) not in present:
                present.add(self.key(element))
                elements.append(element)
        return {name: self.like_current(elements, current)}

    def merge_elements(self, wanted: Canonical, remote_raw: Any, current_local: Local) -> Local:
        """The NPD fields for elements of both sides, each in its own side's spelling; NPD's first.

        Raises UnknownValue where NPD's field can't hold one of them.
        """
        keys = set(wanted or ())
        # The remote ones as a list: a list can hold an element with a comma, a text can't.
        both = [*self.elements(only_field(current_local)[1]), *self.elements(self.remote_elements(remote_raw))]
        return self.with_elements([element for element in both if self.key(element) in keys], current_local)

    def like_current(self, elements: list[str], current: Any) -> Any:
        """The elements in the form of the current value: a list, or a text with commas between them."""
        # An element with a separator would read back as two.
        if not isinstance(current, str):
            return elements
        with_separator = next((element for element in elements if SEPARATORS.search(element)), None)
        if with_separator is not None:
            raise UnknownValue(
                f"“{with_separator}” holds a comma or a line break, which separate elements in NPD's field"
            )
        return ", ".join(elements)


def parse_elements(value: Any) -> list[str]:
    """The elements of a list, or of a text between commas and line breaks; raises UnknownValue for others."""
    if value is None:
        return []
    if isinstance(value, str):
        return _without_empty(SEPARATORS.split(value))
    if isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
        return _without_empty(value)
    raise unreadable_value(value)


def _without_empty(texts: Iterable[str]) -> list[str]:
    folded = [fold_whitespace(text) for text in texts]
    return list(dict.fromkeys(text for text in folded if text is not None))


# How Monday writes a column's value as JSON, in answers and in webhooks, whose names of types differ.


# Our name of each type that webhooks and the activity log call otherwise (reference/webhooks).
_EVENT_TYPES = {
    "long-text": "long_text",
    "board-relation": "board_relation",
    "color": "status",
    "numeric": "numbers",
    "boolean": "checkbox",
}


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


# What stands beside a value; alone, it is what an emptied cell has left (community 32099, answers of 2024-11).
_BOOKKEEPING = frozenset({"column_settings", "changed_at"})


def _is_only_bookkeeping(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and _BOOKKEEPING.issuperset(value)


def api_column_type(column_type: str) -> str:
    return _EVENT_TYPES.get(column_type, column_type)


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
    entries = inside.get(key, ())
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
