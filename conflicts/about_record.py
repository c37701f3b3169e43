"""A conflict about the record itself, of a delete or an identity: its ways out, and how it follows a finding.

A person picks one of the options that the engine offers; the choice stands under the key "record".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from conflicts import entries
from conflicts.history import Events
from conflicts.models import ConflictKind, SyncConflict
from sync.hooks import RECORD, Finding, Option


def options_of(conflict: SyncConflict) -> list[Option]:
    """The ways out that the last look offered."""
    return [Option(**option) for option in conflict.about.get("options", [])]


def option_named(options: Sequence[Option], choose: str, value: str = "") -> Option | None:
    """The option that a choice names, or None where it is not offered."""
    return next((one for one in options if (one.choose, one.value) == (choose, value)), None)


def option_on_side(conflict: SyncConflict, side: str) -> Option | None:
    """The option by which one side stands, npd or monday, or None where it is not offered."""
    return next((one for one in options_of(conflict) if one.choose == side), None)


def take_values(conflict: SyncConflict, finding: Finding) -> None:
    """Take over what the look said of the record, and the edited fields of a delete."""
    fields = list(finding.fields)
    conflict.monday_item_id = finding.monday_item_id
    conflict.about = dict(finding.data)
    conflict.conflict_fields = [field.key for field in fields]
    conflict.npd_data = {field.key: field.npd for field in fields}
    conflict.monday_data = {field.key: field.monday for field in fields}
    conflict.base_data = {field.key: field.base for field in fields}
    conflict.notes = {field.key: field.note for field in fields if field.note}
    if conflict.kind == ConflictKind.IDENTITY:
        conflict.npd_data = dict(finding.data)


def bring_up_to_date(
    conflict: SyncConflict, finding: Finding, now: datetime, events: Events, *, over: bool
) -> None:
    """Settle or hand back what was chosen, take over what is known now, close what is over."""
    choice = conflict.stored_choice
    if RECORD in choice.fields and RECORD in finding.applied:
        _settle(conflict, finding, now)
        events.settled_record(conflict, str(finding.applied[RECORD] or ""))
        choice = choice.without({RECORD})
    if RECORD in choice.fields and RECORD in finding.rejected:
        events.handed_back(conflict, RECORD, choice, finding.rejected[RECORD])
        choice = choice.returning({RECORD: finding.rejected[RECORD]})
    if over:
        if RECORD in choice.fields:
            reason = finding.closing_note or "The conflict was over before it could be."
            events.not_needed(conflict, RECORD, choice, reason)
        if not entries.chosen_by_people(conflict):
            events.over_record(conflict, finding.closing_note)
        entries.close(conflict, finding.closing_note, now)
        return
    still = {field.key for field in finding.fields}
    for key in [key for key in conflict.conflict_fields if key not in still]:
        events.left_record(conflict, entries.values_of(conflict, key))
    take_values(conflict, finding)
    conflict.choice = choice.to_json()
    conflict.choice_problem = "\n".join(dict.fromkeys(choice.reasons.values()))


def _settle(conflict: SyncConflict, finding: Finding, now: datetime) -> None:
    choice = conflict.stored_choice
    pick = choice.fields[RECORD]
    entries.settle(conflict, RECORD, choice, finding.applied[RECORD], now)
    option = option_named(options_of(conflict), pick.choose, pick.value or "")
    entries.mark(conflict, RECORD, label=option.label if option else "")
