"""What was edited, on either side, since a record and its gone item last agreed."""

from __future__ import annotations

from typing import Any

from sync.connectors.monday.converters import UnknownValue
from sync.connectors.monday.items import Item
from sync.engine.planned import Planned
from sync.engine.planning import base_after_intents, base_of, way_of
from sync.engine.subjects import Batch, Subject
from sync.engine.values import raw_of
from sync.hooks import KIND_FIELDS, KIND_OVERWRITTEN, FieldConflict
from sync.merge import Action, Decision, Way
from sync.models import FieldMapping

MISSED = "It was changed on Monday before the item was gone, and never taken over."
"""Said of a field whose last value on Monday is not NPD's."""


def edits(batch: Batch, subject: Subject, item: Item | None) -> tuple[FieldConflict, ...]:
    """Return the fields that left what both sides last agreed on; None stands for a side that has nothing more.

    `item` is the gone item as it was read, None where it wasn't shown. Monday's side of a field is there only where
    it was edited too, and never reached NPD.
    """
    found = (_edit(batch, subject, mapping, item) for mapping in batch.board.mappings if mapping.column_id)
    return tuple(edit for edit in found if edit is not None)


def is_in_dispute(subject: Subject) -> bool:
    """Whether a conflict about the record's values is open already, so that no policy may decide."""
    return any(conflict.kind in (KIND_FIELDS, KIND_OVERWRITTEN) for conflict in subject.conflicts)


def _edit(batch: Batch, subject: Subject, mapping: FieldMapping, item: Item | None) -> FieldConflict | None:
    way = way_of(subject, mapping)
    if way is Way.NONE:
        return None
    convert = batch.board.converter(mapping, subject.record)
    planned = Planned(
        mapping, convert, Decision(mapping.key, Action.UNDECIDED), raw_of(subject.record, mapping)
    )
    there = _read(planned, item)
    if there and item is not None:
        try:
            planned.base = base_after_intents(subject, planned, item)
        except UnknownValue:
            planned.base = base_of(subject, mapping, item.id)
    else:
        planned.base = base_of(subject, mapping, subject.record.monday_id or "")
    here_left = _left_here(planned, there)
    there_left = there and way in (Way.BOTH, Way.TO_NPD) and _left_there(planned)
    if not here_left and not there_left:
        return None
    return FieldConflict(
        key=mapping.key,
        npd=planned.shown(planned.local_raw) or None,
        base=(planned.shown(planned.base["local"]) or None) if planned.base else None,
        monday=(convert.display(convert.remote(planned.remote_raw)) or None) if there_left else None,
        note=MISSED if there_left else "",
    )


def _read(planned: Planned, item: Item | None) -> bool:
    """Take the column's value from the gone item; False where it doesn't show it."""
    if item is None:
        return False
    try:
        planned.remote_raw = planned.convert.raw_of(item.reading(planned.mapping.column_id))
        planned.convert.remote(planned.remote_raw)
    except UnknownValue:
        return False
    return True


def _left_here(planned: Planned, there: bool) -> bool:
    convert = planned.convert
    try:
        local = convert.local(planned.local_raw)
        if planned.base is not None:
            return local != convert.local(planned.base["local"])
        return local != convert.remote(planned.remote_raw) if there else local is not None
    except UnknownValue:
        return _named(planned.local_raw) != (_named(planned.base["local"]) if planned.base else None)


def _named(raw: dict[str, Any]) -> list[Any]:
    """The values by which two raw values are told apart where they have no canonical form: of a relation its id."""
    return [value.get("id") if isinstance(value, dict) else value for value in raw.values()]


def _left_there(planned: Planned) -> bool:
    convert = planned.convert
    try:
        remote = convert.remote(planned.remote_raw)
        if remote is None and convert.column_type == "board_relation":
            return False  # an item that is gone leaves every cell of connected boards empty
        if planned.base is not None:
            return remote != convert.remote(planned.base["remote"])
        return remote is not None and remote != convert.local(planned.local_raw)
    except UnknownValue:
        return False
