"""What a converter is: the translation between fields of a record and one column of a board.

Everything here is pure. A value has three forms: stored in NPD (field names with JSON values), stored on the board (a
JSON value, as a base keeps it), and canonical (the form that is compared). `None` is the empty canonical value.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sync.monday.board_items import Reading
from sync.monday.texts import fold_whitespace, label_key

Canonical = str | tuple[str, ...] | None
"""A text, or for lists the sorted elements without duplicates; never an empty text or an empty tuple."""


Local = Mapping[str, Any]
"""NPD's stored values by field: text, bool (checkbox), list of texts, ISO date, decimal as text, None; a
related record is `{"id": its uuid, "item": its item's id or None, "name": its name}`, or None where there is
none."""


class UnknownValue(ValueError):
    """The value is unknown, and nothing may be concluded from it. The message says why."""


class AmbiguousSplit(ValueError):
    """A column's value can't be divided among its fields for certain. The message says why."""


@dataclass(frozen=True)
class ConverterOptions:
    """What a converter needs to know besides the value.

    `region` is the country of phone numbers without one, by code or name; `time_zone` that in which a moment has its
    day, by its IANA name; `settings` the column's settings as
    Monday gives them; `items` names of related items by id (only to show them); `choices` the labels of the values that
    NPD's field may have, by value.
    """

    region: str = "US"
    time_zone: str = "UTC"
    settings: Mapping[str, Any] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)


class Converter(Protocol):
    """Fields of one kind of column, and what most kinds have in common."""

    column_type: str = "text"
    """The Monday column type to create: "text", "status", "board_relation" …, or "name"."""
    creates_labels: bool = False
    """Whether a value may be a label that the column lacks, to be created by the write."""
    is_stateless: bool = False
    """Whether a value is known by itself alone: what could be read once can be read for ever."""
    names_items: bool = False
    """Whether the value names items of another board; when one of them is removed, its cell empties by itself."""

    def local(self, raw: Local) -> Canonical:
        """The canonical form of the mapping's NPD fields.

        Raises UnknownValue where it can't be known yet: a related record without an item.
        """

    def remote(self, raw: Any) -> Canonical:
        """The canonical form of what `stored_value` returned; raises UnknownValue where it can't be known."""

    def stored_value(self, reading: Reading) -> Any:
        """The JSON value of a reading, as a base keeps it; raises UnknownValue for an unknown reading."""

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        """What to send as the column's value; None clears it. Unmapped parts are sent back unchanged."""
        return self.local(raw_local)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        """The NPD fields for Monday's value; a field that already says the same keeps its spelling.

        A list takes the form of the current value: a list stays a list, a text gets the elements between
        commas. Raises AmbiguousSplit where the value can't be divided for certain, UnknownValue where the
        field can't hold it (several values for a field of one).
        """

    def from_text(self, text: str, current_local: Local) -> Local:
        """The NPD fields for a value that a person typed; raises ValueError with a sentence for them."""

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

    takes_single_text: bool = False
    """Whether it also takes a field of one text, which is then not split."""

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
        kept = [element for element in current_elements if self.key(element) in wanted_keys]
        kept_keys = {self.key(element) for element in kept}
        added: dict[str, str] = {}
        # Of two spellings of a new element the first one wins.
        for element in wanted:
            if self.key(element) not in kept_keys:
                added.setdefault(self.key(element), element)
        elements = [*kept, *added.values()]
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


# Choices: a field's values, which a board shows by their labels.


class Choices:
    """The values that a field may have, and the labels by which people know them; a text may name either."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        texts = {value: fold_whitespace(label) or value for value, label in labels.items()}
        uses = Counter(map(label_key, texts.values()))
        # Values that share a label are told apart by what they are.
        self._labels = {
            value: text if uses[label_key(text)] == 1 else fold_whitespace(f"{text} ({value})") or value
            for value, text in texts.items()
        }
        self._by_value = {label_key(value): value for value in labels}
        self._by_label = {label_key(label): value for value, label in self._labels.items()}

    def label_of(self, value: str) -> str:
        """The value's label; a value that is no choice is its own."""
        return self._labels.get(value, value)

    def value_of(self, text: str) -> str | None:
        """The value that a text names by its label, else by itself; None where it names none."""
        by_itself = text if text in self._labels else self._by_value.get(label_key(text))
        return self._by_label.get(label_key(text), by_itself)

    def checked(self, text: str) -> str:
        """The value that a text names; raises UnknownValue, with what is allowed, where it names none."""
        if (value := self.value_of(text)) is None:
            allowed = ", ".join(self._labels.values())
            raise UnknownValue(f"“{text}” is none of the choices, which are: {allowed}")
        return value


class ChoiceConverter(Converter):
    """One text of a field with choices, by way of the converter of its column: NPD has the value, the board its label.

    The label is the canonical form, also of a board that shows the value itself: neither is rewritten for the other.
    """

    def __init__(self, inner: Converter, choices: Choices, column_labels: Iterable[str]) -> None:
        self.inner, self.choices = inner, choices
        self.column_type, self.creates_labels = inner.column_type, inner.creates_labels
        self.names_items = inner.names_items
        # A label that the column has already, in whatever case, is not made a second time.
        self._spellings: dict[str, str] = {}
        for text in column_labels:
            value = choices.value_of(text)
            if value is not None and (value not in self._spellings or text == choices.label_of(value)):
                self._spellings[value] = text

    def local(self, raw: Local) -> Canonical:
        return self._by_label(self.inner.local(self._labelled(raw)))

    def remote(self, raw: Any) -> Canonical:
        return self._by_label(self.inner.remote(raw))

    def stored_value(self, reading: Reading) -> Any:
        return self.inner.stored_value(reading)

    def to_remote(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return self.inner.to_remote(self._spelled(raw_local), existing_remote_raw)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        if self.local(current_local) == self.remote(remote_raw):
            return current_local
        return self._valued(self.inner.to_local(remote_raw, self._labelled(current_local)))

    def from_text(self, text: str, current_local: Local) -> Local:
        return self._valued(self.inner.from_text(text, self._labelled(current_local)))

    def rejection_reason(self, raw_local: Local) -> str | None:
        return self.inner.rejection_reason(self._spelled(raw_local))

    def rejection_risk(self, raw_local: Local) -> str | None:
        return self.inner.rejection_risk(self._spelled(raw_local))

    def sent_as_stored(self, sent: Any) -> Any:
        return self.inner.sent_as_stored(sent)

    def display(self, canonical: Canonical) -> str:
        return self.inner.display(canonical)

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        return self._by_label(self.inner.from_event(payload_value, column_type))

    def _by_label(self, canonical: Canonical) -> Canonical:
        return self._label(canonical) if isinstance(canonical, str) else canonical

    def _label(self, text: str) -> str:
        value = self.choices.value_of(text)
        return text if value is None else self.choices.label_of(value)

    def _labelled(self, raw: Local) -> Local:
        return _each_text(raw, self.choices.label_of)

    def _spelled(self, raw: Local) -> Local:
        return _each_text(raw, lambda value: self._spellings.get(value, self.choices.label_of(value)))

    def _valued(self, raw: Local) -> Local:
        return _each_text(raw, self.choices.checked)


class ChoiceListConverter(ChoiceConverter, ListConverter):
    """The same of a list, or of one text in a column of several labels."""

    def __init__(self, inner: Converter, choices: Choices, column_labels: Iterable[str]) -> None:
        super().__init__(inner, choices, column_labels)
        assert isinstance(inner, ListConverter)
        self._list, self.takes_single_text = inner, inner.takes_single_text

    def key(self, element: str) -> str:
        return self._list.key(self._label(element))

    def elements(self, value: Any) -> list[str]:
        return self._list.elements(only_field(self._labelled({"": value}))[1])

    def remote_elements(self, raw: Any) -> list[str]:
        return self._list.remote_elements(raw)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        return self.with_elements(self.remote_elements(remote_raw), current_local)

    def like_current(self, elements: list[str], current: Any) -> Any:
        return self._list.like_current([self.choices.checked(element) for element in elements], current)

    def _by_label(self, canonical: Canonical) -> Canonical:
        return self.canonical(canonical or ())


def by_label(convert: Converter, labels: Mapping[str, str], column_labels: Iterable[str]) -> Converter:
    """The converter for a field with these choices; `column_labels` are those that its column has."""
    made = ChoiceListConverter if isinstance(convert, ListConverter) else ChoiceConverter
    return made(convert, Choices(labels), column_labels)


def _each_text(raw: Local, change: Callable[[str], str]) -> Local:
    """The one field's value, or each element of its list, changed; an empty one as it is."""
    name, value = only_field(raw)
    if isinstance(value, list | tuple):
        return {name: [change(str(element)) for element in value]}
    return raw if value in (None, "") else {name: change(str(value))}
