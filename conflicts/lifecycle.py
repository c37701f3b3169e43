"""How a conflict follows the reports of passes, and what it keeps of resolved fields."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from conflicts import reports
from conflicts.effects import applied_effect
from conflicts.history import ConflictHistory
from conflicts.models import AUTO, BASE, MONDAY, NPD, ConflictKind, ResolutionType, StoredResolution, SyncConflict
from sync.merge import FieldSelection

# What became of one field of a conflict.
OVER_BEFORE = "The conflict closed before it could be."
JOINED_ANOTHER = "It is in conflict again, together with other fields of the record."

# The key of `notes` for the reason why the conflict was closed.
CLOSING_NOTE = "*"

# What is kept of a field, and the conflict's own values.


def field_conflict(conflict: SyncConflict, key: str) -> reports.FieldConflict:
    npd, base, monday = conflict.values(key).values()
    return reports.FieldConflict(key, npd, base, monday, conflict.notes.get(key, ""))


def keep_applied(
    conflict: SyncConflict,
    key: str,
    resolution: StoredResolution,
    result: str | None,
    now: datetime,
    inverse: Mapping[str, Any] | None = None,
) -> None:
    """Keep an applied resolution with its result, and what would undo it."""
    selection = resolution.fields[key]
    entry = {
        # What its author saw, not what the conflict holds: a pass may have updated that since.
        NPD: selection.npd,
        BASE: conflict.base_data.get(key),
        MONDAY: selection.monday,
        "at": now.isoformat(),
        "choose": selection.choose,
        "value": selection.value,
        "type": resolution.resolution_type,
        "by": resolution.by,
        "by_id": resolution.by_id,
        "chosen_at": resolution.at,
    }
    conflict.merge_selections = {**conflict.merge_selections, key: entry}
    conflict.resolved_data = {**conflict.resolved_data, key: result}
    if inverse:
        conflict.inverse = {**conflict.inverse, key: dict(inverse)}


def drop_field(
    conflict: SyncConflict, key: str, now: datetime, unused: FieldSelection | None = None, **details: str
) -> None:
    """Keep the values of a field that left its conflict by itself, and a resolution that was not needed.

    `details` are `why`, and `asked_in`, the kind of the conflict that asks about it now.
    """
    entry: dict[str, Any] = {**conflict.values(key), "at": now.isoformat(), "choose": AUTO, **details}
    if unused is not None:
        entry["unused"] = {"choose": unused.choose, "value": unused.value}
    conflict.merge_selections = {**conflict.merge_selections, key: entry}
    conflict.inverse = {name: kept for name, kept in conflict.inverse.items() if name != key}


def annotate(conflict: SyncConflict, key: str, **details: Any) -> None:
    entry = {**conflict.merge_selections[key], **details}
    conflict.merge_selections = {**conflict.merge_selections, key: entry}


def resolved_by_people(conflict: SyncConflict) -> dict[str, dict[str, Any]]:
    """Return what is kept of the fields that people resolved."""
    entries = conflict.merge_selections
    return {key: entries[key] for key in conflict.in_order(entries) if entries[key]["choose"] != AUTO}


def resolved_parts(conflict: SyncConflict) -> dict[str, dict[str, Any]]:
    """Return what is kept of the fields that people resolved and that stay so; of an open conflict, those that left."""
    again = conflict.conflict_fields if conflict.is_open else ()
    return {key: entry for key, entry in resolved_by_people(conflict).items() if key not in again}


def close(conflict: SyncConflict, reason: str, now: datetime) -> None:
    """Close a conflict: it shows all its fields again, and who resolved them."""
    entries = conflict.merge_selections
    by_people = list(resolved_by_people(conflict).values())
    types = {entry["type"] for entry in by_people}
    if not by_people:
        conflict.resolution_type = ResolutionType.AUTO
    elif len(types) == 1 and len(by_people) == len(entries):
        conflict.resolution_type = types.pop()
    else:
        conflict.resolution_type = ResolutionType.MERGE
    if by_people:
        # The column holds one person: whoever resolved a field last. The fields keep their own.
        conflict.resolved_by_id = max(by_people, key=lambda entry: str(entry["at"]))["by_id"]
    if not conflict.is_about_record:
        restore_fields(conflict, list(entries))
    if reason:
        conflict.notes = {**conflict.notes, CLOSING_NOTE: reason}
    if not conflict.is_being_undone:
        conflict.resolution = None
    conflict.resolution_problem = ""
    conflict.resolved_at = now


def set_field_values(conflict: SyncConflict, item_id: str, fields: Sequence[reports.FieldConflict]) -> None:
    conflict.monday_item_id = item_id
    conflict.conflict_fields = [field.key for field in fields]
    conflict.npd_data = {field.key: field.npd for field in fields}
    conflict.monday_data = {field.key: field.monday for field in fields}
    conflict.base_data = {field.key: field.base for field in fields}
    conflict.notes = {field.key: field.reason for field in fields if field.reason}


def restore_fields(conflict: SyncConflict, keys: list[str]) -> None:
    entries = {key: conflict.merge_selections[key] for key in keys}
    conflict.conflict_fields = conflict.in_order(keys)
    conflict.npd_data = {key: entry["npd"] for key, entry in entries.items()}
    conflict.base_data = {key: entry["base"] for key, entry in entries.items()}
    conflict.monday_data = {key: entry["monday"] for key, entry in entries.items()}


# A conflict about the record itself, of a delete or an identity: its options, and how it follows a report.
#
# A person picks one of the options that reconcile offers; the resolution is stored under the key "record".


def offered_options(conflict: SyncConflict) -> list[reports.Option]:
    return [reports.Option(**option) for option in conflict.about.get("options", [])]


def chosen_option(conflict: SyncConflict, chosen: FieldSelection) -> reports.Option | None:
    """Return the option that a resolution names, or None where it is not offered."""
    named = (chosen.choose, chosen.value or "")
    return next((option for option in offered_options(conflict) if (option.choose, option.value) == named), None)


def side_option(conflict: SyncConflict, side: str) -> reports.Option | None:
    """Return the option by which one side wins, npd or monday, or None where it is not offered."""
    return next((option for option in offered_options(conflict) if option.choose == side), None)


def act_option(conflict: SyncConflict, act: str) -> reports.Option | None:
    """Return the option of a deleted record or item that does this act, or None where it is not offered."""
    if conflict.kind != ConflictKind.DELETE:
        return None
    return next((option for option in offered_options(conflict) if option.does == act), None)


def set_record_values(conflict: SyncConflict, report: reports.ConflictReport) -> None:
    """Store what the pass reported of the record, and the edited fields of a delete."""
    conflict.about = dict(report.data)
    set_field_values(conflict, report.monday_item_id, report.fields)
    if conflict.kind == ConflictKind.IDENTITY:
        conflict.npd_data = dict(report.data)


def update_record_conflict(
    conflict: SyncConflict, report: reports.ConflictReport, now: datetime, history: ConflictHistory, *, has_ended: bool
) -> None:
    """Settle the applied resolution, hand back the rejected one, store the report, close what is over."""
    resolution = conflict.stored_resolution
    if reports.RECORD_KEY in resolution.fields and reports.RECORD_KEY in report.applied:
        selection = resolution.fields[reports.RECORD_KEY]
        option = chosen_option(conflict, selection)
        keep_applied(conflict, reports.RECORD_KEY, resolution, report.applied[reports.RECORD_KEY], now)
        annotate(conflict, reports.RECORD_KEY, label=option.label if option else "")
        entry = conflict.merge_selections[reports.RECORD_KEY]
        outcome = str(report.applied[reports.RECORD_KEY] or "")
        values = {**entry, "result": outcome}
        history.log("record_applied", conflict, "", values, by=entry["by"], option=entry["label"], outcome=outcome)
        resolution = resolution.without({reports.RECORD_KEY})
    if reports.RECORD_KEY in resolution.fields and reports.RECORD_KEY in report.rejected:
        history.log_returned(conflict, reports.RECORD_KEY, resolution, report.rejected[reports.RECORD_KEY])
        resolution = resolution.with_rejected({reports.RECORD_KEY: report.rejected[reports.RECORD_KEY]})
    if has_ended:
        if reports.RECORD_KEY in resolution.fields:
            reason = report.closing_reason or OVER_BEFORE
            history.log_returned(conflict, reports.RECORD_KEY, resolution, reason, is_over=True)
        if not resolved_by_people(conflict):
            values = {
                "npd": conflict.npd_data,
                "base": conflict.base_data,
                "monday": conflict.monday_data,
                "what": conflict.what,
            }
            history.log("record_ended", conflict, "", values, why=_because(report.closing_reason))
        close(conflict, report.closing_reason, now)
        return
    edited_keys = {field.key for field in report.fields}
    for key in [key for key in conflict.conflict_fields if key not in edited_keys]:
        history.log("unedited", conflict, key, conflict.values(key))
    set_record_values(conflict, report)
    conflict.resolution = resolution.to_json()
    conflict.resolution_problem = "\n".join(dict.fromkeys(resolution.reasons.values()))


# How one conflict follows one report. Changes the given instance only; reads and writes nothing.


def reports_end(report: reports.ConflictReport) -> bool:
    """Whether a report itself says that there is no conflict, or none any more.

    For overwritten edits it only means that this report opens no conflict: an open one stays open until a person
    resolves it (`_remaining_fields`).
    """
    if report.kind == ConflictKind.IDENTITY:
        return not report.data
    if report.kind == ConflictKind.DELETE:
        return not report.data and not report.fields
    return not report.fields and not report.undecided


def new_conflict(report: reports.ConflictReport, conflict_id: UUID) -> SyncConflict:
    """Return a new conflict for a report."""
    conflict = SyncConflict(
        id=conflict_id,
        entity_type=report.entity_type,
        entity_id=report.entity_id,
        monday_item_id=report.monday_item_id,
        kind=report.kind,
    )
    if conflict.is_about_record:
        set_record_values(conflict, report)
    else:
        set_field_values(conflict, report.monday_item_id, [*report.fields, *_undecided_fields(conflict, report)])
    return conflict


def update_conflict(
    conflict: SyncConflict, report: reports.ConflictReport, now: datetime, history: ConflictHistory
) -> None:
    """Settle what was applied, hand back what was rejected, store the values, close what is over."""
    if conflict.is_about_record:
        update_record_conflict(conflict, report, now, history, has_ended=reports_end(report))
        return
    # A wish to undo is about fields that left: what becomes of it, another part of the report says.
    wish = conflict.resolution if conflict.is_being_undone else None
    resolution = StoredResolution() if wish else conflict.stored_resolution
    applied = [key for key in report.applied if key in resolution.fields]
    for key in applied:
        keep_applied(conflict, key, resolution, report.applied[key], now, report.inverse.get(key))
        entry = {**conflict.merge_selections[key], "result": conflict.resolved_data.get(key)}
        written = applied_effect(conflict, key).written
        history.log("applied", conflict, key, entry, by=entry["by"], written=written)
    resolution = resolution.without(set(applied))
    remaining = _remaining_fields(conflict, report, applied)
    for key in [key for key in conflict.conflict_fields if key not in {*remaining, *applied}]:
        why = report.ended.get(key, report.closing_reason)
        anew = {"asked_in": report.asked_in[key]} if key in report.asked_in else {}
        drop_field(conflict, key, now, resolution.fields.get(key), why=why, **anew)
        history.log("ended", conflict, key, conflict.merge_selections[key], why=_because(why))
        if key in resolution.fields:
            history.log_returned(conflict, key, resolution, why or OVER_BEFORE, is_over=True)
    resolution = resolution.restricted_to(set(remaining))
    rejected = {key: reason for key, reason in report.rejected.items() if key in resolution.fields}
    for key, reason in rejected.items():
        history.log_returned(conflict, key, resolution, reason)
    resolution = resolution.with_rejected(rejected)
    if not remaining:
        close(conflict, report.closing_reason, now)
        return
    for field in report.fields if conflict.kind == ConflictKind.OVERWRITTEN else ():
        # If a second edit of the field was overwritten, the first one stays in the history.
        first = field_conflict(conflict, field.key)
        if field.key in conflict.conflict_fields and field.monday != first.monday:
            values = {"npd": first.npd, "monday": first.monday, "second": field.monday}
            history.log("overwritten_again", conflict, field.key, values)
    before = set(conflict.conflict_fields)
    set_field_values(conflict, report.monday_item_id, list(remaining.values()))
    history.log_found(conflict, [key for key in remaining if key not in before])
    conflict.resolution = wish or resolution.to_json()
    conflict.resolution_problem = "\n".join(dict.fromkeys(resolution.reasons.values()))


def _because(reason: str) -> str:
    return f": {reason}" if reason else "."


def _remaining_fields(
    conflict: SyncConflict, report: reports.ConflictReport, applied: list[str]
) -> dict[str, reports.FieldConflict]:
    reported = {field.key: field for field in [*report.fields, *_undecided_fields(conflict, report)]}
    content = (report.fields, report.undecided, report.applied, report.rejected, report.ended)
    # A report about overwritten edits may have only the reason why they can't be resolved any more.
    only_closes = bool(report.closing_reason) and not any(content)
    if conflict.kind != ConflictKind.OVERWRITTEN or only_closes:
        return reported
    ended = {*applied, *report.ended}
    stored = {key: field_conflict(conflict, key) for key in conflict.conflict_fields if key not in ended}
    return stored | {key: field for key, field in reported.items() if key not in applied}


def _undecided_fields(conflict: SyncConflict, report: reports.ConflictReport) -> list[reports.FieldConflict]:
    return [field_conflict(conflict, key) for key in report.undecided]


# How a conflict follows what became of a person's wish to undo its resolution.


def apply_undo_results(
    requests: Sequence[SyncConflict],
    results: Mapping[str, str],
    open_conflict: SyncConflict | None,
    history: ConflictHistory,
) -> SyncConflict | None:
    """Reopen what was undone, log why the rest was not; return the conflict that is open afterwards.

    `requests` are the record's resolved conflicts of one kind with an undo request, `results` maps a field to an empty
    text or the reason why not. Fields of a record that has an open conflict of the kind join that one.
    """
    for conflict in requests:
        undone = [key for key, reason in results.items() if not reason and key in conflict.stored_resolution.fields]
        for key in [key for key in results if key in conflict.stored_resolution.fields]:
            _log_result(conflict, key, results[key], history)
        conflict.resolution = conflict.stored_resolution.without(set(results)).to_json()
        if undone and open_conflict is None:
            # What else it was about stays resolved.
            conflict.resolved_at = conflict.resolution_type = conflict.resolved_by = None
            conflict.notes = {key: note for key, note in conflict.notes.items() if key != CLOSING_NOTE}
            conflict.resolution_problem = ""
            restore_fields(conflict, undone)
            open_conflict = conflict
        elif undone and open_conflict is not conflict:
            for key in undone:
                annotate(conflict, key, undo=JOINED_ANOTHER)
    return open_conflict


def reject_undo(conflict: SyncConflict, reason: str, history: ConflictHistory) -> None:
    for key in conflict.stored_resolution.fields:
        _log_result(conflict, key, reason, history)
    conflict.resolution = None


def _log_result(conflict: SyncConflict, key: str, reason: str, history: ConflictHistory) -> None:
    if reason:
        annotate(conflict, key, undo=reason)
    resolution = conflict.stored_resolution
    selection = resolution.fields[key]
    values = {"npd": selection.npd, "monday": selection.monday, "by": resolution.by}
    template = "not_undone" if reason else "undone"
    history.log(template, conflict, key, values, by=resolution.by, why=reason)
