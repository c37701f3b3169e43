"""Columns with a record's related record: by its item (connected boards), or by its name (a text column)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from sync.monday import conversion
from sync.monday.board_items import Reading, Reason
from sync.monday.columns.values import TextColumn, raw_text, too_large_reason
from sync.monday.conversion import Canonical, Converter, ConverterOptions, Local, UnknownValue
from sync.monday.text_forms import fold_whitespace, visible_name


class _RelatedRecordConverter(Converter):
    """One related record, by its item (connected boards) or by its name (text column).

    In NPD the value is `{"id": the record's uuid, "item": its item's id or None, "name": its name}`, or None. A value
    from Monday has only the `key`: `{"item": "123"}` or `{"name": "ACME"}`; the reconciler finds the record.
    """

    key: ClassVar[str]

    def canonical_local(self, raw: Local) -> Canonical:
        name, related = _related_record(raw)
        if related is None:
            return None
        value = fold_whitespace(related.get(self.key))
        if value is None:
            raise UnknownValue(conversion.of_field(name, self.missing_reason(related)))
        return value

    def missing_reason(self, related: Mapping[str, Any]) -> Reason:
        """Return why a related record can't be written yet."""
        raise NotImplementedError

    def to_local(self, remote_raw: Any, current_local: Local) -> Local:
        name, current = _related_record(current_local)
        value = self.canonical_remote(remote_raw)
        if value is None:
            return {name: None}
        is_unchanged = current is not None and fold_whitespace(current.get(self.key)) == value
        return {name: current if is_unchanged else {self.key: value}}


class RelationConverter(_RelatedRecordConverter):
    """One related record and a column of connected boards. A base keeps `{"item_ids": [...]}`, or None.

    The column's own JSON is null since API version 2025-04 (docs/migrating-to-version-2025-04), so the ids come from
    `linked_item_ids`.
    """

    column_type = "board_relation"
    name = "relation"
    key = "item"
    names_items = True
    fragment = "... on BoardRelationValue { linked_item_ids }"
    empty_fields: ClassVar[Mapping[str, Any]] = {"linked_item_ids": []}

    def __init__(self, options: ConverterOptions) -> None:
        self._names = options.items
        self._hidden = options.hidden_items

    def missing_reason(self, related: Mapping[str, Any]) -> Reason:
        return Reason("related_without_item", record=fold_whitespace(related.get("name")))

    def canonical_remote(self, raw: Any) -> Canonical:
        ids = self._shown(conversion.parse_ids(conversion.list_under(raw, "item_ids")))
        # Choosing one of several items would lose the others.
        if len(ids) > 1:
            hidden = [reason for item_id in ids if (reason := self._hidden.get(item_id))]
            raise UnknownValue(Reason("several_items", number=len(ids), hidden=hidden))
        return ids[0] if ids else None

    def _shown(self, ids: list[str]) -> list[str]:
        """Return the items of a cell without those that are left out beside others."""
        return [item_id for item_id in ids if self._hidden.get(item_id) != ""] if len(ids) > 1 else ids

    def cell_value(self, reading: Reading) -> Any:
        conversion.known_value(reading, "board_relation")
        # A missing field must not look like an empty cell.
        if "linked_item_ids" not in reading.extra:
            raise UnknownValue(Reason("items_not_said"))
        ids = self._shown(conversion.parse_ids(reading.extra["linked_item_ids"]))
        return {"item_ids": ids} if ids else None

    def to_remote(self, local_raw: Local, current_remote: Any) -> Any:
        item = self.canonical_local(local_raw)
        return {"item_ids": [item]} if item is not None else None

    def from_text(self, text: str, current_local: Local) -> Local:
        name, current = _related_record(current_local)
        typed = fold_whitespace(text)
        if typed is None:
            return {name: None}
        if current is not None and typed == fold_whitespace(current.get("name")):
            return {name: current}
        items = [
            item
            for item, item_name in self._names.items()
            if typed in (item, fold_whitespace(item_name), self.display(item))
        ]
        if len(items) != 1:
            raise ValueError(Reason("typed_several_records" if items else "typed_no_record", name=typed))
        return {name: {"item": items[0]}}

    def display(self, canonical: Canonical) -> str:
        if canonical is None:
            return ""
        return self._names.get(str(canonical)) or f"item {canonical}"

    def from_event(self, payload_value: Any, column_type: str) -> Canonical:
        value = conversion.event_value(payload_value, column_type, "board_relation")
        links = map(conversion.object_or_empty, conversion.list_under(value, "linkedPulseIds"))
        return self.canonical_remote({"item_ids": [link.get("linkedPulseId") for link in links]})


class RelationNameConverter(_RelatedRecordConverter, TextColumn):
    """One related record by its name in a text column. A base keeps the text, or None."""

    name = "relation_name"
    key = "name"
    may_become_unknown = True

    def missing_reason(self, related: Mapping[str, Any]) -> Reason:
        return Reason("related_without_name")

    def canonical_remote(self, raw: Any) -> Canonical:
        return fold_whitespace(visible_name(raw_text(raw)))

    def from_text(self, text: str, current_local: Local) -> Local:
        return self.to_local(text, current_local)

    def rejection_reason(self, local_raw: Local) -> Reason | None:
        name, related = _related_record(local_raw)
        return too_large_reason(name, fold_whitespace((related or {}).get("name")))


def _related_record(raw: Local) -> tuple[str, Mapping[str, Any] | None]:
    """Return the field and its related record; raises UnknownValue for a value in another form."""
    name, value = conversion.only_field(raw)
    if value is None or (isinstance(value, str) and not value.strip()):
        return name, None
    if not isinstance(value, Mapping):
        raise conversion.unreadable_value(value)
    return name, value
