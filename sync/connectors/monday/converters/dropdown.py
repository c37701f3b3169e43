"""A list, or one text, and the labels of a dropdown column."""

from collections.abc import Mapping
from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local, Options, UnknownValue
from sync.connectors.monday.converters.elements import ListConverter, elements_of
from sync.connectors.monday.converters.forms import (
    event_value,
    folded,
    ids_in,
    known_value,
    list_at,
    object_in,
    only_field,
    unreadable,
    words,
)
from sync.connectors.monday.converters.labels import id_of, labels_in
from sync.connectors.monday.items import Reading


class DropdownConverter(ListConverter):
    """What a base keeps is `{"values": [{"id", "label"}]}`, or None where nothing is chosen.

    An NPD field with a list takes any number of labels; one with a text takes one label, which is not split.
    """

    column_type = "dropdown"
    creates_labels = True

    def __init__(self, options: Options) -> None:
        self._labels = labels_in(options.settings)
        self._most = _most_chosen(options.settings)

    def elements(self, value: Any) -> list[str]:
        return elements_of([value] if isinstance(value, str) else value)

    def remote(self, raw: Any) -> Canonical:
        return self.canonical(self._chosen(raw))

    def raw_of(self, reading: Reading) -> Any:
        value = known_value(reading, "dropdown")
        values = reading.extra.get("values")
        if not values:
            # A label that isn't told any more is not one that nobody chose.
            values = self._named(list_at(value, "ids"))
        return {"values": _entries(values, "label")} if values else None

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        labels = self.elements(only_field(raw_local)[1])
        if not labels:
            return None
        known = [id_of(label, self._labels) for label in labels]
        # Ids and labels don't mix, and a comma breaks a label that is sent as text (reference/dropdown).
        if any("," in label for label in labels) and all(known):
            return {"ids": known}
        return {
            "labels": [
                label if key is None else self._labels[key] for label, key in zip(labels, known, strict=True)
            ]
        }

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        return self.with_elements(self._chosen(remote_raw), current_local)

    def from_text(self, text: str, current_local: Local) -> Local:
        if isinstance(only_field(current_local)[1], list | tuple):
            return super().from_text(text, current_local)
        return {only_field(current_local)[0]: folded(text)}

    def shaped(self, elements: list[str], current: Any) -> Any:
        if isinstance(current, list | tuple):
            return elements
        if len(elements) > 1:
            raise UnknownValue(f"it has several labels ({', '.join(elements)}) where NPD's field holds one")
        return elements[0] if elements else None

    def limit(self, raw_local: Local) -> str | None:
        name, value = only_field(raw_local)
        labels = self.elements(value)
        comma = any("," in label for label in labels)
        new = next((label for label in labels if comma and id_of(label, self._labels) is None), None)
        if new is not None:
            with_comma = next(label for label in labels if "," in label)
            return (
                f"{words(name)}: “{with_comma}” holds a comma, which breaks a label that is new on Monday; "
                f"add “{new}” to the column first"
            )
        if self._most is not None and len(labels) > self._most:
            return f"{words(name)}: {len(labels)} labels; the column on Monday takes {self._most}"
        return None

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        value = object_in(event_value(payload_value, column_type, "dropdown"))
        if not value:
            return None
        if "chosenValues" in value:
            entries = _entries(list_at(value, "chosenValues"), "name")
        else:
            entries = self._named(list_at(value, "ids"))
        return self.canonical(elements_of([entry["label"] for entry in entries]))

    def _chosen(self, raw: Any) -> list[str]:
        return elements_of([entry["label"] for entry in _entries(list_at(raw, "values"), "label")])

    def _named(self, ids: Any) -> list[dict[str, str]]:
        unknown = next((key for key in ids_in(ids) if key not in self._labels), None)
        if unknown is not None:
            raise UnknownValue(f"Monday answered the label {unknown} of a dropdown without its text")
        return [{"id": key, "label": self._labels[key]} for key in ids_in(ids)]


def _entries(values: Any, text_key: str) -> list[dict[str, str]]:
    """Chosen labels with their ids; raises UnknownValue for any other form."""
    if not isinstance(values, list | tuple):
        raise unreadable(values)
    entries = []
    for entry in values:
        if not isinstance(entry, Mapping) or not isinstance(entry.get(text_key), str):
            raise unreadable(entry)
        entries.append({"id": str(entry.get("id", "")), "label": entry[text_key]})
    return entries


def _most_chosen(settings: Mapping[str, Any]) -> int | None:
    """How many labels an item may have; None for any number (DropdownColumnSettings in Monday's schema)."""
    most = settings.get("label_limit_count")
    return most if settings.get("limit_select") is True and isinstance(most, int) and most > 0 else None
