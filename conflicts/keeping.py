"""How one conflict follows one finding. Changes the given instance only; reads and writes nothing."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from conflicts import about_record, entries
from conflicts.choice import StoredChoice
from conflicts.history import Events
from conflicts.models import ConflictKind, SyncConflict
from sync.hooks import FieldConflict, Finding

ABOUT_RECORD = (ConflictKind.DELETE, ConflictKind.IDENTITY)


def is_over(finding: Finding) -> bool:
    """Whether a finding says of itself that there is no conflict (any more).

    Of an overwritten edit that only means that this finding opens none: one that is there stays until a person
    settles it (`_still`).
    """
    if finding.kind == ConflictKind.IDENTITY:
        return not finding.data
    if finding.kind == ConflictKind.DELETE:
        return not finding.data and not finding.fields
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
        about={},
        inverse={},
        choice=None,
        choice_problem="",
    )
    if finding.kind in ABOUT_RECORD:
        about_record.take_values(conflict, finding)
    else:
        _take_values(conflict, finding.monday_item_id, [*finding.fields, *_undecided(conflict, finding)])
    return conflict


def bring_up_to_date(conflict: SyncConflict, finding: Finding, now: datetime, events: Events) -> None:
    """Settle what was applied, hand back what was rejected, take over the values, close what is over."""
    if conflict.is_about_record:
        about_record.bring_up_to_date(conflict, finding, now, events, over=is_over(finding))
        return
    choice = conflict.stored_choice
    applied = [key for key in finding.applied if key in choice.fields]
    for key in applied:
        entries.settle(conflict, key, choice, finding.applied[key], now, finding.inverse.get(key))
        events.settled(conflict, key)
    choice = choice.without(set(applied))
    still = _still(conflict, finding, applied)
    _let_go(conflict, finding, choice, {*still, *applied}, now, events)
    choice = _handed_back(conflict, finding, choice.only_about(set(still)), events)
    if not still:
        entries.close(conflict, finding.closing_note, now)
        return
    _note_second_losses(conflict, finding, events)
    _take_values(conflict, finding.monday_item_id, list(still.values()))
    conflict.choice = choice.to_json()
    conflict.choice_problem = "\n".join(dict.fromkeys(choice.reasons.values()))


def _still(conflict: SyncConflict, finding: Finding, applied: list[str]) -> dict[str, FieldConflict]:
    """The fields in conflict after this finding, with their values."""
    found = {field.key: field for field in [*finding.fields, *_undecided(conflict, finding)]}
    if conflict.kind != ConflictKind.OVERWRITTEN or _is_ended(finding):
        return found
    gone = {*applied, *finding.over}
    known = {key: entries.values_of(conflict, key) for key in conflict.conflict_fields if key not in gone}
    return known | {key: field for key, field in found.items() if key not in applied}


def _is_ended(finding: Finding) -> bool:
    """Whether the look says nothing of an overwritten edit but why it can't be settled any more."""
    told = (finding.fields, finding.undecided, finding.applied, finding.rejected, finding.over)
    return bool(finding.closing_note) and not any(told)


def _undecided(conflict: SyncConflict, finding: Finding) -> list[FieldConflict]:
    return [entries.values_of(conflict, key) for key in finding.undecided]


def _let_go(
    conflict: SyncConflict,
    finding: Finding,
    choice: StoredChoice,
    known: set[str],
    now: datetime,
    events: Events,
) -> None:
    for key in [key for key in conflict.conflict_fields if key not in known]:
        entries.let_go(conflict, key, now, choice.fields.get(key))
        why = finding.over.get(key, finding.closing_note)
        events.over(conflict, key, why)
        if key in choice.fields:
            reason = why or "The conflict was over before it could be."
            events.not_needed(conflict, key, choice, reason)


def _handed_back(
    conflict: SyncConflict, finding: Finding, choice: StoredChoice, events: Events
) -> StoredChoice:
    returned = {key: reason for key, reason in finding.rejected.items() if key in choice.fields}
    for key, reason in returned.items():
        events.handed_back(conflict, key, choice, reason)
    return choice.returning(returned)


def _note_second_losses(conflict: SyncConflict, finding: Finding, events: Events) -> None:
    """Of a field of which a second edit was overwritten, the first one stays in the history."""
    if conflict.kind != ConflictKind.OVERWRITTEN:
        return
    for field in finding.fields:
        first = entries.values_of(conflict, field.key)
        if field.key in conflict.conflict_fields and field.monday != first.monday:
            events.lost_again(conflict, first, field)


def _take_values(conflict: SyncConflict, item_id: str, fields: list[FieldConflict]) -> None:
    conflict.monday_item_id = item_id
    conflict.conflict_fields = [field.key for field in fields]
    conflict.npd_data = {field.key: field.npd for field in fields}
    conflict.monday_data = {field.key: field.monday for field in fields}
    conflict.base_data = {field.key: field.base for field in fields}
    conflict.notes = {field.key: field.note for field in fields if field.note}
