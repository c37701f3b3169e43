"""How one conflict follows one finding. Changes the given instance only; reads and writes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from conflicts.choice import AUTO, StoredChoice
from conflicts.history import Events
from conflicts.models import ConflictKind, ResolutionType, SyncConflict
from sync.hooks import FieldConflict, Finding

CLOSING = "*"
"""The key of `notes` under which the reason of a closing stands."""


def is_over(finding: Finding) -> bool:
    """Whether a finding says that there is no conflict (any more)."""
    if finding.kind == ConflictKind.IDENTITY:
        return not finding.data
    return not finding.fields and not finding.undecided


def opened(finding: Finding, conflict_id: UUID) -> SyncConflict:
    """Return a new conflict for a finding."""
    conflict = SyncConflict(
        id=conflict_id,
        entity_type=finding.entity_type,
        entity_id=finding.entity_id,
        monday_item_id=finding.monday_item_id,
        kind=finding.kind,
        notes={},
        merge_selections={},
        resolved_data={},
        choice=None,
        choice_problem="",
    )
    _take_values(conflict, finding)
    return conflict


def bring_up_to_date(conflict: SyncConflict, finding: Finding, now: datetime, events: Events) -> None:
    """Settle what was applied, hand back what was rejected, take over the values, close what is over."""
    choice = conflict.stored_choice
    still = {field.key for field in finding.fields} | set(finding.undecided)
    applied = [key for key in finding.applied if key in choice.fields]
    for key in applied:
        _settle(conflict, key, choice, finding.applied[key], now)
        events.settled(conflict, key)
    for key in [key for key in conflict.conflict_fields if key not in still and key not in applied]:
        _let_go(conflict, key, now)
        events.over(conflict, key, finding.closing_note)
    choice = choice.without(set(applied))
    returned = {key: reason for key, reason in finding.rejected.items() if key in choice.fields}
    for key, reason in returned.items():
        events.handed_back(conflict, key, choice, reason)
    choice = choice.returning(returned)
    if is_over(finding):
        _close(conflict, finding, now)
        return
    _take_values(conflict, finding)
    choice = choice.only_about(still)
    conflict.choice = choice.to_json()
    conflict.choice_problem = "\n".join(dict.fromkeys([*choice.reasons.values(), *returned.values()]))


def _take_values(conflict: SyncConflict, finding: Finding) -> None:
    if finding.kind == ConflictKind.IDENTITY:
        conflict.npd_data, conflict.monday_data, conflict.base_data = dict(finding.data), {}, {}
        conflict.conflict_fields = []
        return
    conflict.monday_item_id = finding.monday_item_id
    fields = [*finding.fields, *(_values(conflict, key) for key in finding.undecided)]
    conflict.conflict_fields = [field.key for field in fields]
    conflict.npd_data = {field.key: field.npd for field in fields}
    conflict.monday_data = {field.key: field.monday for field in fields}
    conflict.base_data = {field.key: field.base for field in fields}
    conflict.notes = {field.key: field.note for field in fields if field.note}


def _values(conflict: SyncConflict, key: str) -> FieldConflict:
    return FieldConflict(
        key,
        conflict.npd_data.get(key),
        conflict.base_data.get(key),
        conflict.monday_data.get(key),
        conflict.notes.get(key, ""),
    )


def _entry(values: FieldConflict, now: datetime, **more: Any) -> dict[str, Any]:
    return {"npd": values.npd, "base": values.base, "monday": values.monday, "at": now.isoformat(), **more}


def _settle(
    conflict: SyncConflict, key: str, choice: StoredChoice, result: str | None, now: datetime
) -> None:
    pick = choice.fields[key]
    # What its author saw, not what the conflict holds: a look may have brought that up to date since.
    values = FieldConflict(key, pick.npd, conflict.base_data.get(key), pick.monday)
    entry = _entry(values, now, choose=pick.choose, value=pick.value, type=choice.resolution_type)
    conflict.merge_selections = {
        **conflict.merge_selections,
        key: {**entry, "by": choice.by, "by_id": choice.by_id},
    }
    conflict.resolved_data = {**conflict.resolved_data, key: result}


def _let_go(conflict: SyncConflict, key: str, now: datetime) -> None:
    """A field left its conflict by itself; its values stay in the history of the conflict."""
    entry = _entry(_values(conflict, key), now, choose=AUTO)
    conflict.merge_selections = {**conflict.merge_selections, key: entry}


def _close(conflict: SyncConflict, finding: Finding, now: datetime) -> None:
    """Everything has left it: the conflict tells again of all its fields, and who settled them."""
    entries = conflict.merge_selections
    by_people = [entry for entry in entries.values() if entry["choose"] != AUTO]
    types = {entry["type"] for entry in by_people}
    if not by_people:
        conflict.resolution_type = ResolutionType.AUTO
    elif len(types) == 1 and len(by_people) == len(entries):
        conflict.resolution_type = types.pop()
    else:
        conflict.resolution_type = ResolutionType.MERGE
    if by_people:
        conflict.resolved_by_id = max(by_people, key=lambda entry: str(entry["at"]))["by_id"]
    if conflict.kind != ConflictKind.IDENTITY:
        conflict.conflict_fields = list(entries)
        conflict.npd_data = {key: entry["npd"] for key, entry in entries.items()}
        conflict.base_data = {key: entry["base"] for key, entry in entries.items()}
        conflict.monday_data = {key: entry["monday"] for key, entry in entries.items()}
    if finding.closing_note:
        conflict.notes = {**conflict.notes, CLOSING: finding.closing_note}
    conflict.choice, conflict.choice_problem = None, ""
    conflict.resolved_at = now
