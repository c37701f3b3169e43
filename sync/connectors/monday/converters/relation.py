"""A related record, as a link to its item (connected boards) or as its name in a text column.

In NPD the value is `{"id": the record's uuid, "item": its item's id or None, "name": its name}`, or None.
What comes from Monday names the item, or the name, alone: `{"item": "123"}` or `{"name": "ACME"}`; which record
that is, the engine knows.
"""

from collections.abc import Mapping
from typing import Any

from sync.connectors.monday.converters.base import Canonical, Local, Options, Plain, UnknownValue
from sync.connectors.monday.converters.forms import (
    canonical_text,
    event_value,
    folded,
    ids_in,
    known_value,
    list_at,
    object_in,
    only_field,
    text_at,
    words,
)
from sync.connectors.monday.converters.text import ITEM_BYTES
from sync.connectors.monday.items import Reading


class RelationConverter(Plain):
    """One related record and a column of connected boards.

    What a base keeps is `{"item_ids": [...]}`, or None for an empty cell. The column's own JSON is null since
    API version 2025-04 (docs/migrating-to-version-2025-04), so the ids come from `linked_item_ids`.
    """

    column_type = "board_relation"

    def __init__(self, options: Options) -> None:
        self._names = options.items

    def local(self, raw: Local) -> Canonical:
        name, related = _related(raw)
        if related is None:
            return None
        item = canonical_text(related.get("item"))
        if item is None:
            who = folded(related.get("name")) or "The related record"
            raise UnknownValue(f"{words(name)}: {who} has no item on its board yet; this waits for it")
        return item

    def remote(self, raw: Any) -> Canonical:
        ids = ids_in(list_at(raw, "item_ids"))
        if len(ids) > 1:
            raise UnknownValue(
                f"it is connected with {len(ids)} items where NPD holds one; leave one of them"
            )
        return ids[0] if ids else None

    def raw_of(self, reading: Reading) -> Any:
        known_value(reading, "board_relation")
        if "linked_item_ids" not in reading.extra:
            raise UnknownValue("Monday didn't say which items are connected")
        ids = ids_in(reading.extra["linked_item_ids"])
        return {"item_ids": ids} if ids else None

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        item = self.local(raw_local)
        return {"item_ids": [item]} if item is not None else None

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = _related(current_local)
        item = self.remote(remote_raw)
        if item is None:
            return {name: None}
        same = current is not None and canonical_text(current.get("item")) == item
        return {name: current if same else {"item": item}}

    def from_text(self, text: str, current_local: Local) -> Local:
        name, current = _related(current_local)
        typed = folded(text)
        if typed is None:
            return {name: None}
        if current is not None and typed == folded(current.get("name")):
            return {name: current}
        found = [
            item for item, known in self._names.items() if typed in (item, folded(known), self.display(item))
        ]
        if len(found) != 1:
            reason = "several records have this name" if found else "no related record is known by this name"
            raise ValueError(f"{typed}: {reason}. Choose a side, or change the record itself.")
        return {name: {"item": found[0]}}

    def display(self, canonical: Canonical) -> str:
        if canonical is None:
            return ""
        return self._names.get(str(canonical)) or f"item {canonical}"

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        links = list_at(event_value(payload_value, column_type, "board_relation"), "linkedPulseIds")
        return self.remote({"item_ids": [object_in(link).get("linkedPulseId") for link in links]})


class RelationNameConverter(Plain):
    """One related record, by its name in a text column. What a base keeps is the text, or None."""

    column_type = "text"

    def local(self, raw: Local) -> Canonical:
        name, related = _related(raw)
        if related is None:
            return None
        called = folded(related.get("name"))
        if called is None:
            raise UnknownValue(f"{words(name)}: the related record has no name by which to write it")
        return called

    def remote(self, raw: Any) -> Canonical:
        return folded(text_at(raw, "text", "value"))

    def raw_of(self, reading: Reading) -> Any:
        value = known_value(reading, "text", "long_text")
        return (reading.text if value is None else text_at(value, "text", "value")) or None

    def write(self, raw_local: Local, existing_remote_raw: Any) -> Any:
        return self.local(raw_local)

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = _related(current_local)
        called = self.remote(remote_raw)
        if called is None:
            return {name: None}
        same = current is not None and folded(current.get("name")) == called
        return {name: current if same else {"name": called}}

    def from_text(self, text: str, current_local: Local) -> Local:
        return self.to_local(text, current_local)

    def limit(self, raw_local: Local) -> str | None:
        name, related = _related(raw_local)
        size = len((folded((related or {}).get("name")) or "").encode())
        return (
            f"{words(name)}: {size:,} bytes; a Monday item holds {ITEM_BYTES:,}"
            if size > ITEM_BYTES
            else None
        )

    def event(self, payload_value: Any, column_type: str) -> Canonical:
        return self.remote(event_value(payload_value, column_type, "text", "long_text"))


def _related(raw: Local) -> tuple[str, Mapping[str, Any] | None]:
    """The field and its related record; raises UnknownValue for a value in another form."""
    name, value = only_field(raw)
    if value is None or (isinstance(value, str) and not value.strip()):
        return name, None
    if not isinstance(value, Mapping):
        raise UnknownValue(
            f"{words(name)} holds a {type(value).__name__} where a related record was expected"
        )
    return name, value
