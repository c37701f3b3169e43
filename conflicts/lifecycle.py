"""How a pass's report changes a conflict, and the lines of the activity about conflicts.

Nothing here reads the database, and only `ConflictHistory.save` writes to it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import pghistory
from django.db.models import Q

from conflicts import reports
from conflicts.models import CLOSED_ITSELF, CLOSING_NOTE, ResolutionType, StoredResolution, SyncConflict
from conflicts.reports import ConflictReport
from sync.choices import ActivityKind
from sync.clock import SyncNow
from sync.kernel import acts
from sync.models import ActivityLine, activity_lines
from sync.words.message import Message

# The kinds of lines, by the code of their sentence without its `conflict_`.
KINDS = {
    "found": ActivityKind.CONFLICT_FOUND,
    "record_found": ActivityKind.CONFLICT_FOUND,
    "chosen": ActivityKind.CONFLICT_CHOSEN,
    "record_chosen": ActivityKind.CONFLICT_CHOSEN,
    "applied": ActivityKind.CONFLICT_SETTLED,
    "record_applied": ActivityKind.CONFLICT_SETTLED,
    "ended": ActivityKind.CONFLICT_OVER,
    "record_ended": ActivityKind.CONFLICT_OVER,
    "unedited": ActivityKind.CONFLICT_OVER,
    "overwritten_again": ActivityKind.OVERWRITTEN,
    "rejected": ActivityKind.CONFLICT_RETURNED,
    "not_needed": ActivityKind.CONFLICT_RETURNED,
    "undo_requested": ActivityKind.CONFLICT_UNDO,
    "undone": ActivityKind.UNDO,
    "not_undone": ActivityKind.CONFLICT_UNDO_REFUSED,
}


# The answers about a deleted record or a removed item whose results have lines of their own, with the way back.
ACTS_WITH_OWN_LINES = (acts.CREATE_ITEM, acts.DELETE_RECORD, acts.RESTORE_RECORD, acts.UNLINK)


class ConflictHistory:
    """Collects lines of the activity about conflicts, and saves them with one statement."""

    def __init__(self) -> None:
        self.lines: list[ActivityLine] = []

    @property
    def text(self) -> str:
        return " ".join(line.sentence for line in self.lines)

    def log(
        self, code: str, conflict: SyncConflict, key: str, values: Mapping[str, Any], *, actor: str = "", **words: str
    ) -> None:
        """Add a line about a field, or about the record if the key is empty; without an actor the sync did it.

        `values` are stored beside the sentence, which takes what it quotes from them, and `words`.
        """
        quoted = {name: values[name] for name in ("npd", "monday", "second", "result") if values.get(name)}
        # A question about a record may have fields too: those that were edited.
        words |= {"label": conflict.label(key)} if key else {"question": conflict.question}
        self.lines.append(
            ActivityLine(
                entity_type=conflict.entity_type,
                entity_id=conflict.entity_id,
                remote_id=conflict.monday_item_id,
                key=key,
                kind=KINDS[code],
                sentence=Message(f"conflict_{code}", **quoted, **words),
                values=dict(values),
                actor=actor[: activity_lines.MAX_ACTOR_LENGTH],
                cause={"conflict": str(conflict.pk)},
                folded=code == "record_applied" and values["choose"] in ACTS_WITH_OWN_LINES,
            )
        )

    def log_new(self, conflict: SyncConflict, keys: Sequence[str]) -> None:
        """Log new fields in conflict, or the question about the record; the pass logs overwritten edits itself."""
        if conflict.is_about_record:
            self.log("record_found", conflict, "", {"what": conflict.question})
        elif conflict.kind == reports.ConflictKind.FIELDS:
            for key in keys:
                self.log("found", conflict, key, conflict.values(key))

    def log_rejected(
        self, conflict: SyncConflict, key: str, resolution: StoredResolution, reason: str, *, is_over: bool = False
    ) -> None:
        """Log a choice that was not applied, or that an ended conflict (`is_over`) no longer needed."""
        selection = resolution.fields[key]
        self.log(
            "not_needed" if is_over else "rejected",
            conflict,
            "" if key == reports.RECORD_KEY else key,
            {"choose": selection.choose, "value": selection.value, "by": resolution.by},
            by=resolution.by,
            why=reason,
        )

    def save(self) -> None:
        """Write the collected lines, with the batch of the pass that may be running."""
        # An empty context joins the pass's context.
        with pghistory.context() as context:
            batch_id = context.metadata.get("batch")
        for line in self.lines:
            line.batch_id = batch_id
        ActivityLine.objects.bulk_create(activity_lines.fold_alike(self.lines))
        # Lines about a result hide the line about that person's request, unless it was made long before.
        requests = Q()
        for line in self.lines:
            if kind := activity_lines.REQUEST_KINDS.get(line.kind):
                about = {"entity_type": line.entity_type, "entity_id": line.entity_id, "key": line.key, "kind": kind}
                about |= {"actor": line.values.get("by") or line.actor}
                requests |= Q(**about, cause__conflict=line.cause["conflict"])
        if requests:
            lines = ActivityLine.objects.filter(requests, at__gt=SyncNow() - activity_lines.BULK_PAUSE)
            lines.update(folded=True, fold_id=None)


def has_conflict(report: ConflictReport) -> bool:
    """Whether the report contains a conflict; without one, an open conflict is over.

    But one over overwritten edits stays open until a person resolves it (`_remaining_fields`).
    """
    return bool(report.data or report.fields or report.undecided)


def new_conflict(report: ConflictReport) -> SyncConflict:
    # With an id, because lines of the activity name it before the row is stored.
    conflict = SyncConflict(id=uuid4(), entity_type=report.entity_type, entity_id=report.entity_id, kind=report.kind)
    _set_values(conflict, report, [*report.fields, *_undecided_fields(conflict, report)])
    return conflict


def update_conflict(conflict: SyncConflict, report: ConflictReport, now: datetime, history: ConflictHistory) -> None:
    """Keep applied resolutions, reject others, set the reported values, and close the conflict if it is over."""
    # An undo request is about fields that left, and `apply_undo_results` handles it.
    undo_request = conflict.resolution if conflict.is_being_undone else None
    resolution = StoredResolution() if undo_request else conflict.stored_resolution
    # What was applied leaves the conflict.
    applied = [key for key in report.applied if key in resolution.fields]
    for key in applied:
        _keep_applied(conflict, key, resolution, report, now)
        _log_applied(conflict, key, history)
    resolution = resolution.without(set(applied))
    # What ended by itself leaves it too, and a choice about it is not needed any more.
    fields = _remaining_fields(conflict, report, applied)
    open_keys = set(fields)
    if conflict.is_about_record:
        open_keys = {reports.RECORD_KEY} if has_conflict(report) else set()
    _end_fields(conflict, report, now, history, stay={*open_keys, *fields, *applied})
    for key in [key for key in resolution.fields if key not in open_keys]:
        reason = report.ended.get(key, report.closing_reason) or Message("closed_by_then")
        history.log_rejected(conflict, key, resolution, reason, is_over=True)
    resolution = resolution.restricted_to(open_keys)
    # Choices that could not be applied wait for the person again.
    rejected = {key: reason for key, reason in report.rejected.items() if key in resolution.fields}
    for key, reason in rejected.items():
        history.log_rejected(conflict, key, resolution, reason)
    resolution = resolution.with_rejected(rejected)
    if not open_keys:
        _close(conflict, report.closing_reason, now)
        return
    fields_before = set(conflict.conflict_fields)
    for field in report.fields:
        # The conflict shows the latest overwritten edit; the history keeps the one before.
        stored = _field_conflict(conflict, field.key)
        if (
            conflict.kind == reports.ConflictKind.OVERWRITTEN
            and field.key in fields_before
            and field.monday != stored.monday
        ):
            values = {"npd": stored.npd, "monday": stored.monday, "second": field.monday}
            history.log("overwritten_again", conflict, field.key, values)
    _set_values(conflict, report, list(fields.values()))
    if not conflict.is_about_record:
        history.log_new(conflict, [key for key in fields if key not in fields_before])
    conflict.resolution = undo_request or resolution.to_json()


def _keep_applied(
    conflict: SyncConflict, key: str, resolution: StoredResolution, report: ConflictReport, now: datetime
) -> None:
    """Keep an applied resolution with its result and the values that undo it."""
    selection = resolution.fields[key]
    entry = {
        # The values that the person saw; a pass may have updated the conflict's own since.
        "npd": selection.npd,
        "base": conflict.base_data.get(key),
        "monday": selection.monday,
        "at": now.isoformat(),
        "choose": selection.choose,
        "value": selection.value,
        "type": resolution.resolution_type,
        "by": resolution.by,
        "by_id": resolution.by_id,
        "chosen_at": resolution.at,
    }
    conflict.merge_selections = {**conflict.merge_selections, key: entry}
    conflict.resolved_data = {**conflict.resolved_data, key: report.applied[key]}
    if inverse := report.inverse.get(key):
        conflict.inverse = {**conflict.inverse, key: dict(inverse)}


def _log_applied(conflict: SyncConflict, key: str, history: ConflictHistory) -> None:
    """Log an applied resolution; of a question also keep the option's label, because later ones have other options."""
    entry = conflict.merge_selections[key]
    values = {**entry, "result": conflict.resolved_data[key]}
    if not conflict.is_about_record:
        written = conflict.applied_effect(key).written
        history.log("applied", conflict, key, values, written=written)
        return
    option = conflict.chosen_option(reports.FieldSelection(entry["choose"], entry["value"]))
    label = option.label if option else ""
    _add_to_entry(conflict, key, label=label)
    history.log("record_applied", conflict, "", values, option=label, outcome=values["result"] or "")


def _end_fields(
    conflict: SyncConflict, report: ConflictReport, now: datetime, history: ConflictHistory, *, stay: set[str]
) -> None:
    """Keep and log the values of fields that left by themselves, or log the question about the record."""
    ended_keys = [key for key in conflict.conflict_fields if key not in stay]
    if not conflict.is_about_record:
        for key in ended_keys:
            why = report.ended.get(key, report.closing_reason)
            entry = {**conflict.values(key), "at": now.isoformat(), "choose": CLOSED_ITSELF, "why": why}
            conflict.merge_selections = {**conflict.merge_selections, key: entry}
            conflict.inverse = {name: values for name, values in conflict.inverse.items() if name != key}
            history.log("ended", conflict, key, entry, actor=report.by, why=why)
    elif has_conflict(report):
        for key in ended_keys:
            history.log("unedited", conflict, key, conflict.values(key))
    elif not (conflict.resolved_by_people or reports.RECORD_KEY in report.applied):
        # A line of its own tells of a person's act that answered it without a choice here.
        sides = {"npd": conflict.npd_data, "base": conflict.base_data, "monday": conflict.monday_data}
        values = {**sides, "what": conflict.question}
        history.log("record_ended", conflict, "", values, actor=report.by, why=report.closing_reason)


def _remaining_fields(
    conflict: SyncConflict, report: ConflictReport, applied: list[str]
) -> dict[str, reports.FieldConflict]:
    """Return the fields that stay in conflict or join it."""
    reported = {field.key: field for field in [*report.fields, *_undecided_fields(conflict, report)]}
    content = (report.fields, report.undecided, report.applied, report.rejected, report.ended)
    # A report about overwritten edits may have only a reason to close them all.
    only_closes = bool(report.closing_reason) and not any(content)
    if conflict.kind != reports.ConflictKind.OVERWRITTEN or only_closes:
        return reported
    ended = {*applied, *report.ended}
    stored = {key: _field_conflict(conflict, key) for key in conflict.conflict_fields if key not in ended}
    return stored | {key: field for key, field in reported.items() if key not in applied}


def _undecided_fields(conflict: SyncConflict, report: ConflictReport) -> list[reports.FieldConflict]:
    return [_field_conflict(conflict, key) for key in report.undecided]


def _field_conflict(conflict: SyncConflict, key: str) -> reports.FieldConflict:
    """Return a field as the conflict has it."""
    npd, base, monday = conflict.values(key).values()
    return reports.FieldConflict(key, npd, base, monday, conflict.notes.get(key, ""))


def _set_values(conflict: SyncConflict, report: ConflictReport, fields: Sequence[reports.FieldConflict]) -> None:
    """Set what a pass reports, with these fields; keep who wrote Monday's value if it is the same."""
    conflict.monday_item_id = report.monday_item_id
    before = conflict.monday_data or {}  # None for a new conflict
    is_same = {field.key for field in fields if before.get(field.key) == field.monday}
    stored = {key: edit for key, edit in conflict.about.get(reports.EDITORS, {}).items() if key in is_same}
    editors = stored | {key: edit for key, edit in report.editors.items() if key not in stored}
    conflict.about = dict(report.data) | ({reports.EDITORS: editors} if editors else {})
    conflict.conflict_fields = [field.key for field in fields]
    conflict.npd_data = {field.key: field.npd for field in fields}
    conflict.monday_data = {field.key: field.monday for field in fields}
    conflict.base_data = {field.key: field.base for field in fields}
    conflict.notes = {field.key: field.reason for field in fields if field.reason}


def _close(conflict: SyncConflict, reason: str, now: datetime) -> None:
    """Close a conflict, which then shows all its resolved fields."""
    entries = conflict.merge_selections
    by_people = list(conflict.resolved_by_people.values())
    types = {entry["type"] for entry in by_people}
    if not by_people:
        conflict.resolution_type = ResolutionType.AUTO
    elif len(types) == 1 and len(by_people) == len(entries):
        conflict.resolution_type = types.pop()
    else:
        conflict.resolution_type = ResolutionType.MERGE
    if by_people:
        # The column holds the last person; each entry keeps its own.
        conflict.resolved_by_id = max(by_people, key=lambda entry: str(entry["at"]))["by_id"]
    if not conflict.is_about_record:
        _restore_fields(conflict, list(entries))
    if reason:
        conflict.notes = {**conflict.notes, CLOSING_NOTE: reason}
    if not conflict.is_being_undone:
        conflict.resolution = None
    conflict.resolved_at = now


def _restore_fields(conflict: SyncConflict, keys: list[str]) -> None:
    """Show these resolved fields again, with the values that they were resolved for."""
    entries = {key: conflict.merge_selections[key] for key in keys}
    conflict.conflict_fields = conflict.in_order(keys)
    conflict.npd_data = {key: entry["npd"] for key, entry in entries.items()}
    conflict.base_data = {key: entry["base"] for key, entry in entries.items()}
    conflict.monday_data = {key: entry["monday"] for key, entry in entries.items()}


def _add_to_entry(conflict: SyncConflict, key: str, **details: Any) -> None:
    """Add details to a field's entry in `merge_selections`."""
    entry = {**conflict.merge_selections[key], **details}
    conflict.merge_selections = {**conflict.merge_selections, key: entry}


def apply_undo_results(
    requests: Sequence[SyncConflict],
    results: Mapping[str, str],
    open_conflict: SyncConflict | None,
    history: ConflictHistory,
) -> SyncConflict | None:
    """Reopen the undone fields, log why others were not undone, and return the conflict that is open afterwards.

    `requests` are the record's undo requests of one kind; `results` is `ConflictReport.undo_results`. Undone fields
    join the record's open conflict if it has one.
    """
    for conflict in requests:
        reasons = {key: reason for key, reason in results.items() if key in conflict.stored_resolution.fields}
        undone = [key for key, reason in reasons.items() if not reason]
        for key, reason in reasons.items():
            _log_undo_result(conflict, key, reason, history)
        conflict.resolution = conflict.stored_resolution.without(set(results)).to_json()
        if undone and open_conflict is None:
            # Its other fields stay resolved.
            conflict.resolved_at = conflict.resolution_type = conflict.resolved_by = None
            conflict.notes = {key: note for key, note in conflict.notes.items() if key != CLOSING_NOTE}
            _restore_fields(conflict, undone)
            open_conflict = conflict
        elif undone and open_conflict is not conflict:
            for key in undone:
                joined = Message("undone_joined")
                _add_to_entry(conflict, key, undo=joined)
    return open_conflict


def reject_undo(conflict: SyncConflict, reason: str, history: ConflictHistory) -> None:
    """Remove an undo request, whose fields stay resolved."""
    for key in conflict.stored_resolution.fields:
        _log_undo_result(conflict, key, reason, history)
    conflict.resolution = None


def _log_undo_result(conflict: SyncConflict, key: str, reason: str, history: ConflictHistory) -> None:
    if reason:
        _add_to_entry(conflict, key, undo=reason)
    resolution = conflict.stored_resolution
    selection = resolution.fields[key]
    values = {"npd": selection.npd, "monday": selection.monday, "by": resolution.by}
    history.log("not_undone" if reason else "undone", conflict, key, values, why=reason)
