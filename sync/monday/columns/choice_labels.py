"""A field's choices: NPD has the value, the board its label."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sync.monday.board_items import Reading
from sync.monday.conversion import Canonical, Converter, ListConverter, Local, UnknownValue, only_field
from sync.monday.texts import fold_whitespace, label_key


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
        self.inner = inner
        self.choices = choices
        self.column_type = inner.column_type
        self.has_labels = inner.has_labels
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
        self._list = inner
        self.takes_single_text = inner.takes_single_text

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
