"""The base classes of converters, which translate between fields of a record and one column of a board.

A value has four forms: stored in NPD (`Local`: field names with JSON values), stored on the board (a JSON value, as a
base keeps it), sent to the board (a JSON value that may look different: `{"checked": "true"}` becomes
`{"checked": true}`), and canonical (the form that is compared, and is also sent and pulled where `to_remote` and
`changed_value` don't say otherwise). `None` is the empty canonical value. What is called
`raw` is a stored value: NPD's is `local`, the board's `remote`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sync.monday.board_items import Reading, Reason
from sync.monday.text_forms import canonical_text, fold_whitespace

# A text, or for lists the sorted elements without duplicates; never an empty text or an empty tuple.
Canonical = str | tuple[str, ...] | None


# NPD's stored values by field: text, bool (checkbox), list of texts, ISO date, decimal as text, None; a related record
# is `{"id": its uuid, "item": its item's id or None, "name": its name}`.
Local = Mapping[str, Any]


class UnknownValue(ValueError):
    """The value is unknown, which is not the same as empty. A Reason says why."""


class AmbiguousSplit(ValueError):
    """A column's value can't be split into its fields for certain. A Reason says why."""


@dataclass(frozen=True)
class ConverterOptions:
    """What a converter needs besides the value."""

    region: str = "US"  # the country of phone numbers without one, by code or name
    time_zone: str = "UTC"  # IANA name of the zone in which a date with a time gets its day
    column_settings: Mapping[str, Any] = field(default_factory=dict)  # as Monday gives them
    items: Mapping[str, str] = field(default_factory=dict)  # names of related items by id, for display
    # Connected items that people don't see in a cell, by id: why, or an empty text if a value leaves the item out.
    hidden_items: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)  # label by stored value, if NPD's field has choices


class Converter:
    """One type of column: how its values are read, compared and written."""

    name: ClassVar[str]  # what mappings call the converter
    readable_types: ClassVar[tuple[str, ...]] = ()  # the types of columns that it reads; empty means only its own
    # The GraphQL fields to read besides `value` and `text`
    # (developer.monday.com/api-reference/reference/column-types-reference).
    fragment: ClassVar[str] = ""
    empty_fields: ClassVar[Mapping[str, Any]] = {}  # the fragment's fields of an empty cell
    # Whether the board gets the labels of a field's choices, not the stored values (ChoiceConverter).
    sends_choice_labels: ClassVar[bool] = False
    # Whether a value that hasn't changed may become unknown (UnknownValue), such as one whose label was deleted.
    may_become_unknown: ClassVar[bool] = True
    # Whether the value names items of another board; its cell empties by itself when they are removed.
    names_items: ClassVar[bool] = False
    takes_bare_text: ClassVar[bool] = True  # whether an event's bare text is certainly the value

    # A ChoiceConverter has these of its inner converter.
    column_type: str = "text"  # the Monday column type to create: "text", "status", "board_relation" …, or "name"
    has_labels: bool = False  # whether values are labels of the column; a write creates missing ones

    def __init__(self, options: ConverterOptions) -> None:
        pass

    def canonical_local(self, raw: Local) -> Canonical:
        """Return the canonical form of NPD's fields.

        Raises UnknownValue if they can't be compared, such as a related record without an item.
        """
        raise NotImplementedError

    def canonical_remote(self, raw: Any) -> Canonical:
        """Return the canonical form of a `cell_value`; raises UnknownValue."""
        raise NotImplementedError

    def cell_value(self, reading: Reading) -> Any:
        """Return the cell's JSON value as a base keeps it; raises UnknownValue for an unknown reading."""
        raise NotImplementedError

    def to_remote(self, local_raw: Local, current_remote: Any) -> Any:
        """Return the column value to send, None to clear it.

        Parts that aren't mapped, such as an email's label or a date's time, are kept from the current value.
        """
        return self.canonical_local(local_raw)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        """Return NPD's fields for Monday's value; a field with an equal value keeps its spelling.

        A list has the form of the current value: a list, or a text with commas. Raises AmbiguousSplit where the value
        can't be split for certain, UnknownValue where the field can't hold it (several values in a field for one).
        """
        name, current = only_field(current_local)
        is_unchanged = self.canonical_local(current_local) == self.canonical_remote(remote_raw)
        return {name: current if is_unchanged else self.changed_value(remote_raw)}

    def changed_value(self, remote_raw: Any) -> Any:
        """Return the new value of NPD's field when Monday's value differs."""
        return self.canonical_remote(remote_raw)

    def from_text(self, text: str, current_local: Local) -> Local:
        """Return NPD's fields for a value that a person typed; raises ValueError with a Reason."""
        raise NotImplementedError

    def completed(self, local_raw: Local) -> Local:
        """Return the value in a form that is complete by itself, such as a phone number with its country."""
        return local_raw

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        """Return why Monday will certainly reject the value, or None."""
        return None

    def display(self, canonical: Canonical) -> str:
        """Return the value for people, an empty text for the empty value."""
        return ", ".join(canonical) if isinstance(canonical, tuple) else canonical or ""

    def display_remote(self, raw: Any) -> str:
        """Return a `cell_value` for people; raises UnknownValue."""
        return self.display(self.canonical_remote(raw))

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        """Return the canonical form of a webhook's `value`; raises UnknownValue where it can't be decoded."""
        value = event_value(payload_value, column_type, *(self.readable_types or (self.column_type,)))
        if isinstance(value, str) and not self.takes_bare_text:
            raise UnknownValue(EVENT_UNREADABLE)
        return self.canonical_remote(value)


class OneText(Converter):
    """One field with a text; texts with the same `canonical` form are equal."""

    def canonical(self, text: str | None) -> str | None:
        return canonical_text(text)

    def tidied(self, text: str | None) -> str | None:
        """Return the form in which a typed text is stored."""
        return self.canonical(text)

    def problem(self, text: str) -> Reason | None:
        """Return why the column can't hold a text, or None."""
        return None

    def canonical_local(self, raw: Local) -> Canonical:
        return self.canonical(only_text(raw)[1])

    def from_text(self, text: str, current_local: Local) -> Local:
        tidy = self.tidied(text)
        problem = None if tidy is None else self.problem(tidy)
        if problem:
            raise ValueError(Reason("typed_wrong", problem=problem))
        return {only_field(current_local)[0]: tidy}

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        name, text = only_text(local_raw)
        tidy = self.tidied(text)
        problem = None if tidy is None else self.problem(tidy)
        return of_field(name, problem) if problem else None


def only_field(raw: Local) -> tuple[str, Any]:
    """Return name and value of a mapping's only field; raises ValueError where there are several."""
    if len(raw) != 1:
        raise ValueError(f"This converter takes one field, not {len(raw)}: {', '.join(raw)}.")
    return next(iter(raw.items()))


def only_text(raw: Local) -> tuple[str, str | None]:
    """Return name and text of a mapping's only field; raises UnknownValue unless it is a text or None."""
    name, value = only_field(raw)
    if value is None or isinstance(value, str):
        return name, value
    raise unreadable_value(value)


def field_label(field: str) -> str:
    return field.replace("_", " ")


def of_field(field: str, reason: Reason) -> Reason:
    """Return a reason after the field's label."""
    return Reason("problem_of_field", label=field_label(field), quote=reason)


EVENT_UNREADABLE = Reason("event_unreadable")


def unreadable_value(value: Any) -> UnknownValue:
    """Return the error for a value of Monday's or NPD's in an undocumented form."""
    return UnknownValue(Reason("other_form", type=type(value).__name__))


# What separates the elements of a list in a text; we write commas.
_SEPARATORS = re.compile(r"[,\n\r]")


def unlistable_reason(element: str, place: Reason) -> Reason | None:
    """Return why a text can't hold this element of a list: it would be read back as two; None if it can."""
    return Reason("separator_in_element", element=element, place=place) if _SEPARATORS.search(element) else None


class ListConverter(Converter):
    """One field with several values: a list of texts, or one text with separators between the elements.

    The canonical form is a sorted tuple without duplicates, because the order has no meaning.
    """

    # Whether a text in NPD is one element (dropdown, whose `elements` doesn't split it), so that the rule “unite” isn't
    # offered (registry.py). A ChoiceListConverter has its inner converter's.
    takes_single_text: bool = False

    def key(self, element: str) -> str:
        """Return the form in which elements are compared."""
        return element

    def canonical_local(self, raw: Local) -> Canonical:
        return self.canonical(self.elements(only_field(raw)[1]))

    def elements(self, value: Any) -> list[str]:
        return parse_elements(value)

    def remote_elements(self, raw: Any) -> list[str]:
        """Return the elements of a `cell_value`."""
        raise NotImplementedError

    def canonical_remote(self, raw: Any) -> Canonical:
        return self.canonical(self.remote_elements(raw))

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        return self.with_elements(self.remote_elements(remote_raw), current_local)

    def canonical(self, elements: Iterable[str]) -> Canonical:
        return tuple(sorted({self.key(element) for element in elements})) or None

    def from_text(self, text: str, current_local: Local) -> Local:
        return self.with_elements(parse_elements(text), current_local)

    def with_elements(self, new_elements: Sequence[str], current_local: Local) -> Local:
        """Return NPD's fields for these elements; raises UnknownValue where a text can't hold one of them.

        Elements that NPD has keep their order and spelling, and new ones follow.
        """
        name, current = only_field(current_local)
        current_elements = self.elements(current)
        if self.canonical(current_elements) == self.canonical(new_elements):
            return {name: current}
        new_keys = {self.key(element) for element in new_elements}
        elements = [element for element in current_elements if self.key(element) in new_keys]
        keys = {self.key(element) for element in elements}
        for element in new_elements:
            if self.key(element) not in keys:
                keys.add(self.key(element))
                elements.append(element)
        return {name: self.like_current(elements, current)}

    def merge_elements(self, merged_keys: Canonical, remote_raw: Any, current_local: Local) -> Local:
        """Return NPD's fields for the elements with these keys, each as its side spells it, NPD's first.

        Raises UnknownValue where NPD's field can't hold one of them.
        """
        keys = set(merged_keys or ())
        both = [*self.elements(only_field(current_local)[1]), *self.remote_elements(remote_raw)]
        return self.with_elements([element for element in both if self.key(element) in keys], current_local)

    def like_current(self, elements: list[str], current: Any) -> Any:
        """Return the elements in the form of the current value: a list, or a text with commas between them."""
        if not isinstance(current, str):
            return elements
        for element in elements:
            if reason := unlistable_reason(element, Reason("in_npd")):
                raise UnknownValue(reason)
        return ", ".join(elements)


def parse_elements(value: Any) -> list[str]:
    """Return the elements of a list, or of a text with commas or line breaks; raises UnknownValue for others."""
    if value is None:
        return []
    if isinstance(value, str):
        return _fold_elements(_SEPARATORS.split(value))
    if isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
        return _fold_elements(value)
    raise unreadable_value(value)


def _fold_elements(texts: Iterable[str]) -> list[str]:
    folded = [fold_whitespace(text) for text in texts]
    return list(dict.fromkeys(text for text in folded if text is not None))


# The API's names of types that have other names in webhooks and the activity log
# (developer.monday.com/api-reference/reference/webhooks).
_EVENT_TYPES = {
    "long-text": "long_text",
    "board-relation": "board_relation",
    "color": "status",
    "numeric": "numbers",
    "boolean": "checkbox",
}


def known_value(reading: Reading, *types: str) -> Any:
    """Return the raw value of a reading of one of these types; raises UnknownValue with the reason otherwise."""
    if not reading.is_known:
        raise UnknownValue(reading.reason)
    if reading.type not in types:
        raise UnknownValue(Reason("other_type", type=reading.type, types=types))
    return None if _is_empty(reading.value) else reading.value


def complete_value(reading: Reading, *types: str) -> Any:
    """As `known_value`, for types whose filled cells have a JSON value besides the text.

    Raises UnknownValue for a text alone. A roll-up of sub-items may look like that (Monday documents it nowhere).
    """
    value = known_value(reading, *types)
    if value is None and reading.text:
        raise UnknownValue(Reason("text_without_value"))
    return value


def event_value(value: Any, column_type: str, *types: str) -> Any:
    """Return a webhook's value of one of these types, None when cleared; raises UnknownValue for other types."""
    api_type = api_column_type(column_type)
    if api_type not in types:
        raise UnknownValue(EVENT_UNREADABLE)
    return None if _is_empty(value) else value


# What Monday stores beside a value. An object with nothing else is an empty cell: one that was emptied may still have
# these keys (community.monday.com topic 32099, and answers of the API of November 2024).
_BOOKKEEPING = frozenset({"column_settings", "changed_at"})


def _is_empty(value: Any) -> bool:
    """Whether the value is one of the several forms in which Monday reports a cleared column."""
    return value in (None, "", [], {}) or (isinstance(value, Mapping) and _BOOKKEEPING.issuperset(value))


def api_column_type(column_type: str) -> str:
    return _EVENT_TYPES.get(column_type, column_type)


def text_under(value: Any, *keys: str) -> str | None:
    """Return a text, or the one under these keys of an object; None if it is empty.

    Raises UnknownValue if the object has none of the keys, or different texts under them.
    """
    if value is None or isinstance(value, str):
        return value
    values = [value[key] for key in keys if key in value] if isinstance(value, Mapping) else []
    texts = [text for text in values if text not in (None, "")]
    if values and all(isinstance(text, str) and text == texts[0] for text in texts):
        return texts[0] if texts else None
    raise unreadable_value(value)


def object_or_empty(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, {} for null; raises UnknownValue for anything else."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise unreadable_value(value)


def list_under(value: Any, key: str) -> list[Any]:
    """Return the list under the key of a JSON object, empty for null and {}; raises UnknownValue for other forms."""
    content = object_or_empty(value)
    if not content:
        return []
    if key not in content:
        raise unreadable_value(value)
    entries = content[key]
    if entries is None or isinstance(entries, list):
        return entries or []
    raise unreadable_value(value)


_DIGITS = re.compile(r"[0-9]+")


def parse_ids(value: Any) -> list[str]:
    """Return the ids in a list of digits or numbers, each once; raises UnknownValue for anything else."""
    if not isinstance(value, list | tuple):
        raise unreadable_value(value)
    for entry in value:
        # True is an int, and `str(True)` has no digits.
        if not isinstance(entry, int | str) or not _DIGITS.fullmatch(str(entry)):
            raise unreadable_value(value)
    return list(dict.fromkeys(str(entry) for entry in value))
