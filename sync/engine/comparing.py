"""What somebody changed on Monday since both sides agreed, of a record that is no more in NPD."""

from __future__ import annotations

from typing import Any

from sync.connectors.monday.converters import Converter, UnknownValue
from sync.connectors.monday.items import Item
from sync.engine.planning import AS_SENT, base_of, way_of
from sync.engine.subjects import Board, Subject, raw_of
from sync.hooks import FieldConflict
from sync.merge import Way
from sync.models import FieldMapping


def edits_since_base(board: Board, subject: Subject, item: Item) -> tuple[FieldConflict, ...]:
    """Return the fields whose cell has left its half of the base, or can't be read.

    A field that only flows to Monday is NPD's, so that an edit of its cell doesn't count. Without a base a cell counts
    that says something else than the record said.
    """
    found = []
    for mapping in board.mappings:
        if mapping.column_id and way_of(subject, mapping) in (Way.BOTH, Way.TO_NPD):
            edit = _edit(board.converter(mapping, subject.record), subject, mapping, item)
            if edit is not None:
                found.append(edit)
    return tuple(found)


def _edit(convert: Converter, subject: Subject, mapping: FieldMapping, item: Item) -> FieldConflict | None:
    entry = base_of(subject, mapping, item.id)
    try:
        remote = convert.remote(convert.raw_of(item.reading(mapping.column_id)))
    except UnknownValue as unknown:
        return FieldConflict(mapping.key, None, None, None, f"Its value on Monday can't be read: {unknown}.")
    try:
        agreed = _agreed(convert, entry) if entry else None
    except UnknownValue as unknown:
        words = f"The value last agreed on is not known any more: {unknown}."
        return FieldConflict(mapping.key, None, None, convert.display(remote) or None, words)
    local = _local(convert, subject, mapping)
    if (
        remote in (agreed, local)
        or _is_ours(convert, subject, mapping, remote)
        or _is_vanished(convert, remote)
    ):
        return None
    shown, before = convert.display(remote) or None, convert.display(agreed) or None
    return FieldConflict(
        mapping.key, None, before, shown, _last_in_npd(convert, local, agreed if entry else None)
    )


def _agreed(convert: Converter, entry: dict[str, Any]) -> Any:
    """What both sides agreed on: where Monday's answer was somebody's edit, what we sent and not what it answered."""
    return convert.local(entry["local"]) if entry.get(AS_SENT) else convert.remote(entry["remote"])


def _local(convert: Converter, subject: Subject, mapping: FieldMapping) -> Any:
    try:
        return convert.local(raw_of(subject.record, mapping))
    except UnknownValue:
        return _UNKNOWN


_UNKNOWN = object()


def _is_ours(convert: Converter, subject: Subject, mapping: FieldMapping, remote: Any) -> bool:
    """Whether the value is one that a call of ours without an answer sent."""
    entries = [intent.values.get(mapping.key) for intent in subject.intents]
    same = [e for e in entries if e and (e["column"], e["version"]) == (mapping.column_id, mapping.version)]
    try:
        return any(convert.local(entry["local"]) == remote for entry in same)
    except UnknownValue:
        return False


def _is_vanished(convert: Converter, remote: Any) -> bool:
    """Whether a cell of connected boards is empty: an item that was deleted leaves every such cell by itself."""
    return convert.column_type == "board_relation" and remote is None


def _last_in_npd(convert: Converter, local: Any, agreed: Any) -> str:
    if local is _UNKNOWN or local == agreed:
        return ""
    return f"In NPD it was “{convert.display(local)}” when the record was deleted."
