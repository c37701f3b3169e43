"""Columns whose values are labels in the column's settings (status, dropdown), also those of a field with choices."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from sync.monday import conversion
from sync.monday.board_items import Reading, Reason
from sync.monday.conversion import Canonical, Converter, ConverterOptions, ListConverter, Local, OneText, UnknownValue
from sync.monday.text_forms import drop_invisible_but_joiners, fold_whitespace, label_key


class FieldChoices:
    """The choices of a field: the stored values and their labels. A text may name either."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = {value: fold_whitespace(label) or value for value, label in labels.items()}
        self._by_value = {label_key(value): value for value in labels}
        self._by_label = {label_key(label): value for value, label in self._labels.items()}

    def label_of(self, value: str) -> str:
        """Return the label of a value, or the value itself if it is no choice."""
        return self._labels.get(value, value)

    def value_of(self, text: str) -> str | None:
        """Return the value with this label, else the value that the text is; None for any other text."""
        value = text if text in self._labels else self._by_value.get(label_key(text))
        return self._by_label.get(label_key(text), value)

    def checked_value(self, text: str) -> str:
        """Return the value that a text names; raises UnknownValue with the allowed labels."""
        value = self.value_of(text)
        if value is None:
            raise UnknownValue(Reason("no_choice", value=text, choices=list(self._labels.values())))
        return value


class ChoiceConverter(Converter):
    """One text of a field with choices, around the column's own converter: NPD stores the value, the board its label.

    The canonical form is the label, also where the board shows the value, so that neither is rewritten as the other.
    """

    def __init__(self, inner: Converter, choices: FieldChoices) -> None:
        self.inner = inner
        self.choices = choices
        self.column_type = inner.column_type
        self.has_labels = inner.has_labels

    def canonical_local(self, raw: Local) -> Canonical:
        return self._with_labels(self.inner.canonical_local(self._as_labels(raw)))

    def canonical_remote(self, raw: Any) -> Canonical:
        return self._with_labels(self.inner.canonical_remote(raw))

    def cell_value(self, reading: Reading) -> Any:
        return self.inner.cell_value(reading)

    def to_remote(self, local_raw: Local, current_remote: Any) -> Any:
        return self.inner.to_remote(self._as_labels(local_raw), current_remote)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        if self.canonical_local(current_local) == self.canonical_remote(remote_raw):
            return current_local
        return self._as_values(self.inner.to_local(remote_raw, self._as_labels(current_local)))

    def from_text(self, text: str, current_local: Local) -> Local:
        return self._as_values(self.inner.from_text(text, self._as_labels(current_local)))

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        return self.inner.rejection_reason(self._as_labels(local_raw))

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        return self._with_labels(self.inner.from_event(payload_value, column_type))

    def _with_labels(self, canonical: Canonical) -> Canonical:
        return self._label_of(canonical) if isinstance(canonical, str) else canonical

    def _label_of(self, text: str) -> str:
        value = self.choices.value_of(text)
        return text if value is None else self.choices.label_of(value)

    def _as_labels(self, raw: Local) -> Local:
        name, value = conversion.only_field(raw)
        return {name: _each_text(value, self.choices.label_of)}

    def _as_values(self, raw: Local) -> Local:
        name, value = conversion.only_field(raw)
        return {name: _each_text(value, self.choices.checked_value)}


class ChoiceListConverter(ChoiceConverter, ListConverter):
    """As ChoiceConverter, for a list, or for one text in a column of several labels."""

    def __init__(self, inner: Converter, choices: FieldChoices) -> None:
        super().__init__(inner, choices)
        assert isinstance(inner, ListConverter)
        self._list = inner
        self.takes_single_text = inner.takes_single_text

    def key(self, element: str) -> str:
        return self._list.key(self._label_of(element))

    def elements(self, value: Any) -> list[str]:
        return self._list.elements(_each_text(value, self.choices.label_of))

    def remote_elements(self, raw: Any) -> list[str]:
        return self._list.remote_elements(raw)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        return self.with_elements(self.remote_elements(remote_raw), current_local)

    def like_current(self, elements: list[str], current: Any) -> Any:
        return self._list.like_current([self.choices.checked_value(element) for element in elements], current)

    def _with_labels(self, canonical: Canonical) -> Canonical:
        return self.canonical(canonical or ())


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Change a text, or each element of a list; an empty value stays."""
    if isinstance(value, list | tuple):
        return [change(str(element)) for element in value]
    return value if value in (None, "") else change(str(value))


def current_labels(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels that can be chosen, by the id in Monday's values (not by `index`, the place in the list)."""
    labels = settings.get("labels")
    entries = [entry for entry in labels if isinstance(entry, Mapping)] if isinstance(labels, list) else []
    active_entries = [entry for entry in entries if entry.get("id") is not None and not entry.get("is_deactivated")]
    texts = {str(entry["id"]): entry.get("label", entry.get("name")) for entry in active_entries}
    return {key: text for key, text in texts.items() if isinstance(text, str) and text}


def label_id(label: str, labels: Mapping[str, str]) -> str | None:
    """Return the lowest id of a label with this text, else of one that looks the same."""
    same = [key for key, name in labels.items() if fold_whitespace(name) == label]
    alike = same or [key for key, name in labels.items() if label_key(name) == label_key(label)]
    return min(alike, default=None, key=lambda key: (len(key), key))


def plain_label(text: str | None) -> str | None:
    return fold_whitespace(drop_invisible_but_joiners(text or ""))


def label_settings(column_type: str, labels: Sequence[str]) -> dict[str, Any] | None:
    """Return the `defaults` of a new column with these labels; None if it needs none.

    Monday documents them at developer.monday.com/api-reference/reference/columns. A label that doesn't fit is left out:
    the first write that needs it creates it, or is blocked with the reason.
    """
    if column_type == StatusConverter.column_type:
        fitting = [label for label in labels if len(label) <= LABEL_CHARACTERS]
        return {"labels": dict(zip(_FIRST_INDEXES, fitting, strict=False))} if fitting else None
    if column_type == DropdownConverter.column_type and labels:
        return {"settings": {"labels": [{"id": number, "name": label} for number, label in enumerate(labels, 1)]}}
    return None


LABEL_CHARACTERS = 30  # developer.monday.com/api-reference/reference/status
MAX_LABELS = 40  # developer.monday.com/api-reference/reference/status
EMPTY_INDEX = "5"  # the empty label, unless a person gave it a text (the same page)
_FIRST_INDEXES = [str(index) for index in range(20) if str(index) != EMPTY_INDEX]


class StatusConverter(OneText):
    """One text and the label of a status column. A base keeps `{"index", "label"}`, or None where nothing is chosen.

    The index alone isn't enough: a person can give the empty label (index 5 by default) a text, or remove a label's
    text. A label without a text is the empty value.
    """

    column_type = name = "status"
    fragment = "... on StatusValue { index label }"
    has_labels = True
    sends_choice_labels = True

    def __init__(self, options: ConverterOptions) -> None:
        self._labels = current_labels(options.column_settings)

    def canonical(self, text: str | None) -> str | None:
        return plain_label(text)

    def canonical_remote(self, raw: Any) -> Canonical:
        if raw is None:
            return None
        value = conversion.object_or_empty(raw)
        return plain_label(self._label_text(str(value.get("index")), value.get("label")))

    def _label_text(self, index: str, label: Any) -> str:
        """Return a label's text, by its index where only that is known; raises UnknownValue."""
        if not isinstance(label, str):
            label = self._labels.get(index, "" if index == EMPTY_INDEX else None)
        if label is None:
            raise UnknownValue(Reason("label_without_text", label=index))
        return str(label)

    def cell_value(self, reading: Reading) -> Any:
        value = conversion.object_or_empty(conversion.known_value(reading, "status"))
        if "index" not in value and "index" not in reading.extra:
            # Such as a roll-up of sub-items: a BatteryValue and no status (Monday's page on status).
            raise UnknownValue(Reason("label_not_said"))
        label_index = reading.extra.get("index")
        index = value.get("index") if label_index is None else label_index
        if index is None:
            return None
        return {"index": index, "label": self._label_text(str(index), reading.extra.get("label", reading.text))}

    def to_remote(self, local_raw: Local, current_remote: Any) -> Any:
        label = self.canonical_local(local_raw)
        if not isinstance(label, str):
            return None
        index = label_id(label, self._labels)
        # Monday reads digits as an index, also in a label (Monday's page on status).
        if index is not None and label.isdecimal():
            return {"index": index}
        return {"label": label if index is None else self._labels[index]}

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        name, text = conversion.only_text(local_raw)
        label = plain_label(text)
        if label is None or label_id(label, self._labels) is not None:
            return None
        field = conversion.field_label(name)
        if label.isdecimal():
            return Reason("label_is_index", field=field, label=label)
        if len(label) > LABEL_CHARACTERS:
            return Reason("label_too_long", field=field, length=len(label), limit=LABEL_CHARACTERS)
        if len(self._labels) >= MAX_LABELS:
            return Reason("labels_full", field=field, limit=MAX_LABELS, label=label)
        return None

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        value = conversion.object_or_empty(conversion.event_value(payload_value, column_type, "status"))
        if not value:
            return None
        if "label" not in value and "index" not in value:
            raise UnknownValue(conversion.EVENT_UNREADABLE)
        # The label is an object or a text; without one the value itself may have the index.
        label = value.get("label", value)
        if label is None:
            return None
        if isinstance(label, str):
            return plain_label(label)
        inner = conversion.object_or_empty(label)
        return self.canonical_remote({"index": inner.get("index"), "label": inner.get("text", inner.get("label"))})


class DropdownConverter(ListConverter):
    """A list, or one text, and the labels of a dropdown column. A base keeps `{"values": [{"id", "label"}]}`, or None.

    In NPD a list holds any number of labels; a text is one label and is not split.
    """

    column_type = name = "dropdown"
    fragment = "... on DropdownValue { values { id label } }"
    empty_fields: ClassVar[Mapping[str, Any]] = {"values": []}
    has_labels = True
    sends_choice_labels = True
    takes_single_text = True

    def __init__(self, options: ConverterOptions) -> None:
        self._labels = current_labels(options.column_settings)
        # The number counts only with `limit_select` (DropdownColumnSettings in Monday's schema).
        most = options.column_settings.get("label_limit_count")
        is_limited = options.column_settings.get("limit_select") is True and isinstance(most, int) and most > 0
        self._max_labels = most if is_limited else None

    def elements(self, value: Any) -> list[str]:
        labels = conversion.parse_elements([value] if isinstance(value, str) else value)
        return conversion.parse_elements([drop_invisible_but_joiners(label) for label in labels])

    def remote_elements(self, raw: Any) -> list[str]:
        entries = _label_entries(conversion.list_under(raw, "values"), "label")
        return self.elements([entry["label"] for entry in entries])

    def cell_value(self, reading: Reading) -> Any:
        value = conversion.known_value(reading, "dropdown")
        values = reading.extra.get("values")
        if not values:
            # The answer may lack the text of a chosen label.
            values = self._entries_by_id(value)
        return {"values": _label_entries(values, "label")} if values else None

    def to_remote(self, local_raw: Local, current_remote: Any) -> Any:
        labels = self.elements(conversion.only_field(local_raw)[1])
        if not labels:
            return None
        ids = [label_id(label, self._labels) for label in labels]
        # Ids and labels can't be mixed, and a label with a comma can't be sent as text (Monday's page on dropdown).
        if any("," in label for label in labels) and all(ids):
            return {"ids": list(dict.fromkeys(ids))}
        # By id or key, because “won” and “Won” are one label, also if it is new.
        texts: dict[str, str] = {}
        for label, key in zip(labels, ids, strict=True):
            texts[key or label_key(label)] = self._labels[key] if key else label
        return {"labels": list(texts.values())}

    def from_text(self, text: str, current_local: Local) -> Local:
        if isinstance(conversion.only_field(current_local)[1], list | tuple):
            return super().from_text(text, current_local)
        return {conversion.only_field(current_local)[0]: plain_label(text)}

    def like_current(self, elements: list[str], current: Any) -> Any:
        if isinstance(current, list | tuple):
            return elements
        if len(elements) > 1:
            raise UnknownValue(Reason("several_labels", labels=elements))
        return elements[0] if elements else None

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        name, value = conversion.only_field(local_raw)
        field = conversion.field_label(name)
        labels = self.elements(value)
        with_comma = next((label for label in labels if "," in label), None)
        new = next((label for label in labels if label_id(label, self._labels) is None), None)
        if with_comma is not None and new is not None:
            return Reason("label_with_comma", field=field, label=with_comma, new=new)
        if self._max_labels is not None and len(labels) > self._max_labels:
            return Reason("too_many_labels", field=field, number=len(labels), limit=self._max_labels)
        return None

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        value = conversion.object_or_empty(conversion.event_value(payload_value, column_type, "dropdown"))
        if not value:
            return None
        if "chosenValues" in value:
            entries = _label_entries(conversion.list_under(value, "chosenValues"), "name")
        else:
            entries = self._entries_by_id(value)
        return self.canonical(self.elements([entry["label"] for entry in entries]))

    def _entries_by_id(self, value: Any) -> list[dict[str, str]]:
        entries = []
        for key in conversion.parse_ids(conversion.list_under(value, "ids")):
            if key not in self._labels:
                raise UnknownValue(Reason("label_without_text", label=key))
            entries.append({"id": key, "label": self._labels[key]})
        return entries


def _label_entries(values: Any, text_key: str) -> list[dict[str, str]]:
    """Return labels with their ids, as a base keeps them; raises UnknownValue for any other form."""
    if not isinstance(values, list | tuple):
        raise conversion.unreadable_value(values)
    entries = []
    for entry in values:
        if not isinstance(entry, Mapping) or not isinstance(entry.get(text_key), str):
            raise conversion.unreadable_value(entry)
        entries.append({"id": str(entry.get("id", "")), "label": entry[text_key]})
    return entries
