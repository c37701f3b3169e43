"""One text and the label of a status column."""

from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local, Options, Plain, UnknownValue
from sync.connectors.monday.converters.forms import (
    event_value,
    folded,
    known_value,
    object_in,
    only_field,
    only_text,
    words,
)
from sync.connectors.monday.converters.labels import id_of, labels_in
from sync.connectors.monday.items import Reading

LABEL_CHARACTERS = 30  # developer.monday.com/api-reference/reference/status
MOST_LABELS = 40  # developer.monday.com/api-reference/reference/status
EMPTY_INDEX = "5"  # of the label without a text, unless a person gave it one (the same page)


class StatusConverter(Plain):
    """What a base keeps is `{"index", "label"}`, or None where nothing is chosen.

    The index alone says nothing: a person can give the empty label (index 5 by default) a text, or take a
    label's text away. A label without a text is the empty value.
    """

    column_type = "status"
    creates_labels = True

    def __init__(self, options: Options) -> None:
        self._labels = labels_in(options.settings)

    def local(self, raw: Local) -> Canonical:
        return folded(only_text(raw)[1])

    def remote(self, raw: Any) -> Canonical:
        label = object_in(raw).get("label")
        if label is None and raw is not None:
            label = self._labels.get(str(raw.get("index")))
        if raw is None or isinstance(label, str):
            return folded(label)
        if str(raw.get("index")) == EMPTY_INDEX:
            return None
        raise UnknownValue("Monday named the status by its index, and the column's labels are not known")

    def raw_of(self, reading: Reading) -> Any:
        value = object_in(known_value(reading, "status"))
        if "index" not in value and "index" not in reading.extra:
            # So reads a roll-up of sub-items, which is a BatteryValue and no status (reference/status).
            raise UnknownValue("Monday didn't say which label is chosen")
        told = reading.extra.get("index")
        index = value.get("index") if told is None else told
        if index is None:
            return None
        label = reading.extra.get("label", reading.text)
        return {"index": index, "label": label if isinstance(label, str) else self._label_of(index)}

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        label = self.local(raw_local)
        if not isinstance(label, str):
            return None
        known = id_of(label, self._labels)
        # Digits are read as an index, also where they are meant as a label (reference/status).
        if known is not None and label.isdecimal():
            return {"index": known}
        return {"label": label if known is None else self._labels[known]}

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = only_text(current_local)
        canonical = self.remote(remote_raw)
        return {name: current if folded(current) == canonical else canonical}

    def from_text(self, text: str, current_local: Local) -> Local:
        return {only_field(current_local)[0]: folded(text)}

    def limit(self, raw_local: Local) -> str | None:
        name, text = only_text(raw_local)
        label = folded(text)
        if label is None or id_of(label, self._labels) is not None:
            return None
        if label.isdecimal():
            return f"{words(name)}: Monday reads “{label}” as an index; add a label with that text to the column first"
        if len(label) > LABEL_CHARACTERS:
            return (
                f"{words(name)}: {len(label):,} characters; a status label on Monday holds {LABEL_CHARACTERS}"
            )
        if len(self._labels) >= MOST_LABELS:
            return f"{words(name)}: the column has its {MOST_LABELS} labels already, and “{label}” is not one of them"
        return None

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        value = object_in(event_value(payload_value, column_type, "status"))
        if not value:
            return None
        if "label" not in value and "index" not in value:
            raise UnknownValue("the event's status names neither a label nor an index")
        label = value.get("label", value)
        if label is None:
            return None
        if isinstance(label, str):
            return folded(label)
        inner = object_in(label)
        return self.remote({"index": inner.get("index"), "label": inner.get("text", inner.get("label"))})

    def _label_of(self, index: Any) -> str:
        try:
            return self._labels[str(index)]
        except KeyError:
            if str(index) == EMPTY_INDEX:
                return ""
            raise UnknownValue(f"Monday answered the status {index} without its label") from None
