"""What a conflict keeps of each field that left it: the values, and who chose what. Pure but for the given instance."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from conflicts.choice import AUTO, Pick, StoredChoice
from conflicts.models import ResolutionType, SyncConflict
from sync.hooks import FieldConflict

CLOSING = "*"
"""The key of `notes` under which the reason of a closing stands."""


def values_of(conflict: SyncConflict, key: str) -> FieldConflict:
    """A field's values as the conflict holds them."""
    return FieldConflict(
        key,
        conflict.npd_data.get(key),
        conflict.base_data.get(key),
        conflict.monday_data.get(key),
        conflict.notes.get(key, ""),
    )


def settle(
    conflict: SyncConflict,
    key: str,
    choice: StoredChoice,
    result: str | None,
    now: datetime,
    inverse: Mapping[str, Any] | None = None,
) -> None:
    """A choice was carried out: keep it with what it led to, and what would undo it."""
    pick = choice.fields[key]
    # What its author saw, not what the conflict holds: a look may have brought that up to date since.
    values = FieldConflict(key, pick.npd, conflict.base_data.get(key), pick.monday)
    more = {"type": choice.resolution_type, "by": choice.by, "by_id": choice.by_id, "chosen_at": choice.at}
    _keep(conflict, key, _entry(values, now, choose=pick.choose, value=pick.value, **more))
    conflict.resolved_data = {**conflict.resolved_data, key: result}
    if inverse:
        conflict.inverse = {**conflict.inverse, key: dict(inverse)}


def let_go(conflict: SyncConflict, key: str, now: datetime, unused: Pick | None = None) -> None:
    """A field left its conflict by itself; its values stay, and a choice that was not needed any more."""
    entry = _entry(values_of(conflict, key), now, choose=AUTO)
    if unused is not None:
        entry |= {"unused": {"choose": unused.choose, "value": unused.value}}
    _keep(conflict, key, entry)
    conflict.inverse = {name: kept for name, kept in conflict.inverse.items() if name != key}


def mark(conflict: SyncConflict, key: str, **more: Any) -> None:
    """Add to what is kept of a field."""
    _keep(conflict, key, {**conflict.merge_selections[key], **more})


def chosen_by_people(conflict: SyncConflict) -> dict[str, dict[str, Any]]:
    """What is kept of the fields that people chose for."""
    return {key: entry for key, entry in conflict.merge_selections.items() if entry["choose"] != AUTO}


def close(conflict: SyncConflict, note: str, now: datetime) -> None:
    """Everything has left it: the conflict tells again of all its fields, and who settled them."""
    entries = conflict.merge_selections
    by_people = list(chosen_by_people(conflict).values())
    types = {entry["type"] for entry in by_people}
    if not by_people:
        conflict.resolution_type = ResolutionType.AUTO
    elif len(types) == 1 and len(by_people) == len(entries):
        conflict.resolution_type = types.pop()
    else:
        conflict.resolution_type = ResolutionType.MERGE
    if by_people:
        conflict.resolved_by_id = max(by_people, key=lambda entry: str(entry["at"]))["by_id"]
    if not conflict.is_about_record:
        tell_again(conflict, list(entries))
    if note:
        conflict.notes = {**conflict.notes, CLOSING: note}
    conflict.choice, conflict.choice_problem = None, ""
    conflict.resolved_at = now


def tell_again(conflict: SyncConflict, keys: list[str]) -> None:
    """The conflict is about these fields, with the values that are kept of them."""
    entries = {key: conflict.merge_selections[key] for key in keys}
    conflict.conflict_fields = keys
    conflict.npd_data = {key: entry["npd"] for key, entry in entries.items()}
    conflict.base_data = {key: entry["base"] for key, entry in entries.items()}
    conflict.monday_data = {key: entry["monday"] for key, entry in entries.items()}


def _keep(conflict: SyncConflict, key: str, entry: dict[str, Any]) -> None:
    conflict.merge_selections = {**conflict.merge_selections, key: entry}


def _entry(values: FieldConflict, now: datetime, **more: Any) -> dict[str, Any]:
    return {"npd": values.npd, "base": values.base, "monday": values.monday, "at": now.isoformat(), **more}
