"""What the sync state keeps of a field: the last values that both sides agreed on, and what was seen since.

A base is a dict in the sync state, by the mapping's key: the raw values of NPD (`local`) and Monday (`remote`) when
both sides last agreed, with the item, column and mapping version to which they belong. It doesn't count for others.
Both sides are compared with it in the canonical form of the field's converter. Pure functions.
"""

from collections.abc import Callable
from functools import partial
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


def resting_base(
    sync_state: SyncMetadata,
    mapping: FieldMapping,
    converter: conversion.Converter,
    record: SyncedModel,
    item: Item | None,
) -> dict[str, Any] | None:
    """Return the base of a field, if the record and its item have exactly the base's raw values."""
    base = base_of(sync_state, mapping, item.id) if item else None
    if item is None or base is None or base.get(AS_SENT):
        return None
    is_local_same = base["local"] == field_values.local_values(record, mapping)
    return base if is_local_same and base["remote"] == cell_of(converter, mapping, item) else None


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
        converter = board.converter(mapping, record)
        local_raw = field_values.local_values(record, mapping)
        remote_raw = cell_of(converter, mapping, item)
        if sides_of(converter, None, local=local_raw, remote=remote_raw).equal:
            bases[mapping.key] = new_base(mapping, item.id, local_raw, remote_raw)
    return bases


UNREAD: Any = merge.Unknown()


def sides_of(
    converter: conversion.Converter, base: dict[str, Any] | None, *, local: Any = UNREAD, remote: Any = UNREAD
) -> merge.FieldSides:
    """Return a field's raw values and its base in the form that is compared.

    Without a side, its half of the base isn't converted either, because some conversions are slow.
    """
    local_value = side_of(converter.canonical_local, local)
    remote_value = side_of(converter.canonical_remote, remote)
    if base is None:
        return merge.FieldSides(local_value, remote_value)
    # Nearly always a raw value equals its half of the base, which then needn't be converted.
    is_local_same = local is UNREAD or local == base["local"]
    is_remote_same = remote is UNREAD or (remote == base["remote"] and not base.get(AS_SENT))
    pair = (
        local_value if is_local_same else side_of(converter.canonical_local, base["local"]),
        remote_value if is_remote_same else side_of(partial(base_remote, converter), base),
    )
    return merge.FieldSides(local_value, remote_value, pair)


def unknown_reason(sides: merge.FieldSides) -> str:
    """Return why Monday's side can't be compared with the base; empty if it can."""
    if isinstance(sides.remote, merge.Unknown):
        return Message("value_unreadable", quote=sides.remote.reason)
    if sides.base and isinstance(sides.base[1], merge.Unknown):
        return Message("last_value_unknown", quote=sides.base[1].reason)
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
