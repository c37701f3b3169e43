"""A field of a record and its item as a pass has read it, beside the values that both sides last agreed on.

A base is a dict in the sync state, by the mapping's key: the raw values of NPD (`local`) and Monday (`remote`) when
both sides last agreed, with the item, column and mapping version to which they belong. It doesn't count for others.
Both sides are compared with it in the canonical form of the field's converter. Pure functions.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NamedTuple
from uuid import UUID

from sync import merge
from sync.choices import ColumnProblem
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.models import FieldMapping, SyncedModel, SyncMetadata
from sync.monday import conversion
from sync.monday.board_items import Item
from sync.words.message import Message, reason_of

# The key of a base whose Monday half is the sent value, because there was no answer or it was somebody's edit
# (sync/reconcile/lost_updates.py).
AS_SENT = "as_sent"


def new_sync_state(entity_type: str, entity_id: UUID) -> SyncMetadata:
    """Return a sync state that is not stored yet."""
    return SyncMetadata(entity_type=entity_type, entity_id=str(entity_id))


def base_of(sync_state: SyncMetadata, mapping: FieldMapping, item_id: str) -> dict[str, Any] | None:
    """Return the base if it belongs to this item, column and mapping version; None otherwise."""
    entry = sync_state.base.get(mapping.key)
    return entry if entry and entry["item"] == item_id and mapping.is_current(entry) else None


def base_remote(converter: conversion.Converter, entry: dict[str, Any]) -> merge.Canonical:
    """Return the Monday half of a base: Monday's value, or with AS_SENT the sent one."""
    is_as_sent = entry.get(AS_SENT)
    return converter.canonical_local(entry["local"]) if is_as_sent else converter.canonical_remote(entry["remote"])


def new_base(mapping: FieldMapping, item_id: str, local_raw: Any, remote_raw: Any) -> dict[str, Any]:
    return {
        "local": local_raw,
        "remote": remote_raw,
        "item": item_id,
        "column": mapping.column_id,
        "version": mapping.version,
    }


def bases_of_equal_fields(board: BoardContext, record: SyncedModel, item: Item) -> dict[str, dict[str, Any]]:
    """Return the bases of fields that are equal in a record and its item, by the keys of their mappings.

    A record created from an item begins with them, so that an edit on the board before its first pass is a change.
    """
    bases = {}
    for mapping in board.mapped:
        field = ComparedField(board, mapping, record, item)
        if field.sides.equal:
            bases[mapping.key] = new_base(mapping, item.id, field.local_raw, field.remote_raw)
    return bases


UNREAD: Any = merge.Unknown()


class ComparedField:
    """One field of a record and its item, as they were read: the raw values, the base, and both in the compared form.

    Without a record or an item, the values of that side are UNREAD.
    """

    def __init__(
        self,
        board: BoardContext,
        mapping: FieldMapping,
        record: SyncedModel | None,
        item: Item | None,
        base: dict[str, Any] | None = None,
    ) -> None:
        self.mapping = mapping
        self.converter = board.converter(mapping, record)
        self.base = base  # `take_confirmed` (sync/reconcile/our_writes.py) may replace it before it is compared
        self.local_raw = UNREAD if record is None else field_values.local_values(record, mapping)
        self.remote_raw = UNREAD if item is None else cell_of(self.converter, mapping, item)

    def rests(self) -> bool:
        """Whether both sides have exactly the base's raw values, as nearly all fields do, and these are still known."""
        base = self.base
        if base is None or self.local_raw != base["local"] or self.remote_raw != base["remote"] or base.get(AS_SENT):
            return False
        if not self.converter.may_become_unknown:
            return True
        return not (isinstance(self.local, merge.Unknown) or isinstance(self.remote, merge.Unknown))

    @cached_property
    def local(self) -> merge.Side:
        return side_of(self.converter.canonical_local, self.local_raw)

    @cached_property
    def remote(self) -> merge.Side:
        return side_of(self.converter.canonical_remote, self.remote_raw)

    @property
    def base_local(self) -> merge.Side:
        """NPD's half of the base, which there is."""
        assert self.base is not None
        # Nearly always a raw value equals its half of the base, which then needn't be converted; some are slow.
        is_same = self.local_raw == self.base["local"]
        return self.local if is_same else side_of(self.converter.canonical_local, self.base["local"])

    @property
    def base_remote(self) -> merge.Side:
        """Monday's half of the base, which there is."""
        assert self.base is not None
        is_same = self.remote_raw == self.base["remote"] and not self.base.get(AS_SENT)
        return self.remote if is_same else side_of(partial(base_remote, self.converter), self.base)

    @cached_property
    def sides(self) -> merge.FieldSides:
        if self.base is None:
            return merge.FieldSides(self.local, self.remote)
        # Without Monday's value its half isn't converted either.
        agreed = (self.base_local, UNREAD if self.remote is UNREAD else self.base_remote)
        return merge.FieldSides(self.local, self.remote, agreed)

    @property
    def unknown_reason(self) -> str:
        """Why Monday's side can't be compared with the base; empty if it can, or was not read."""
        if isinstance(self.remote, merge.Unknown):
            return "" if self.remote is UNREAD else Message("value_unreadable", quote=self.remote.reason)
        if self.base and isinstance(base := self.base_remote, merge.Unknown):
            return Message("last_value_unknown", quote=base.reason)
        return ""


def cell_of(converter: conversion.Converter, mapping: FieldMapping, item: Item) -> Any:
    """Return the raw value of an item's column, or Unknown with the reason."""
    if mapping.problem_code == ColumnProblem.RETYPED:
        # Some converters read two types, but a new type may have changed or emptied the values.
        return merge.Unknown(mapping.problem)
    try:
        return converter.cell_value(item.reading(mapping.column_id))
    except conversion.UnknownValue as unknown:
        return merge.Unknown(reason_of(unknown))


def side_of(read: Callable[[Any], merge.Canonical], raw: Any) -> merge.Side:
    if isinstance(raw, merge.Unknown):
        return raw
    try:
        return read(raw)
    except conversion.UnknownValue as unknown:
        return merge.Unknown(reason_of(unknown))


class SeenValue(NamedTuple):
    """A raw value that a pass read on Monday and replaced, or took over."""

    value: Any
    at: str


def seen_values(sync_state: SyncMetadata, key: str) -> list[SeenValue]:
    """Return a field's seen values, the oldest first."""
    return [SeenValue(*row) for row in sync_state.seen[key]["values"]] if key in sync_state.seen else []


def last_seen_value(sync_state: SyncMetadata, key: str) -> SeenValue | None:
    """Return the last value on Monday that a pass replaced or took over, if there is one."""
    values = seen_values(sync_state, key)
    return values[-1] if values else None
