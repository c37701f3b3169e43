"""Undoing a resolution: requested here, done by the record's next pass.

Where neither side has changed since, that pass gives each side its earlier value, and the conflict is open again; else
what the resolution overwrote becomes a conflict of its own.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Q

from conflicts import resolution
from conflicts.context import RecordContext
from conflicts.history import ConflictHistory
from conflicts.lifecycle import resolved_parts
from conflicts.models import MONDAY, NPD, UNDO, ConflictKind, SyncConflict
from conflicts.reports import RECORD_KEY
from conflicts.resolution import current_values, store_resolution
from sync.merge import FieldSelection
from sync.reconcile.identity import SAME_AS, TAKES_ITEM
from sync.records.authors import full_name, log_kind_action


def undo(conflict_id: UUID | str, *, by: AbstractBaseUser) -> SyncConflict:
    """Store an undo request for a conflict, or for what is resolved of an open one; enqueue the pass that does it.

    Raises SyncConflict.DoesNotExist, NotOpen (nothing of it is resolved, or it is being applied or undone), or
    InvalidResolution with the reason why it can't be undone and what to do instead.
    """
    with transaction.atomic():
        # The pass that applies a resolution locks the row too, so what is checked here stays so.
        conflict = SyncConflict.objects.select_for_update().get(pk=conflict_id)
        context = RecordContext.of(conflict)
        parts = resolved_parts(conflict)
        problem = ""
        if conflict.is_being_undone:
            who = conflict.stored_resolution.by
            problem = f"{who} asked for this already, and it is being done. Check again soon."
        elif conflict.is_being_applied:
            problem = (
                f"The conflict of {context.name} is being written at this moment. It can be undone once that is done."
            )
        elif conflict.is_open and not parts:
            problem = (
                f"The conflict of {context.name} is not resolved, so there is nothing to undo. Resolve it instead."
            )
        if problem:
            raise resolution.NotOpen(problem, current_values(conflict))
        if problem := undo_problem(conflict, context):
            raise resolution.InvalidResolution(problem)
        selections = {
            key: FieldSelection(entry["choose"], entry["value"], entry["npd"], entry["monday"])
            for key, entry in parts.items()
            if key in conflict.inverse
        }
        history = ConflictHistory()
        for key, selection in selections.items():
            values = {"npd": selection.npd, "monday": selection.monday, "choose": selection.choose}
            history.log("undo_requested", conflict, key, values, actor=full_name(by))
        store_resolution(conflict, UNDO, selections, history, by=by)
        log_kind_action(by, SyncConflict, history.text, key=conflict.pk, name=context.name)
    return conflict


def undo_problem(conflict: SyncConflict, context: RecordContext) -> str:
    """Return why what is resolved of a conflict can't be undone and what to do instead; empty where it can."""
    if not resolved_parts(conflict):
        return "It closed by itself, so there is no resolution to undo. Change the values on either side instead."
    record = context.record
    if conflict.is_about_record:
        return _record_problem(conflict, record_exists=record is not None)
    if record is None:
        return "The record was deleted since. Restore it from the deleted records, then change its fields."
    if not record.may_sync:
        return f"Sync is off for {context.name}, so nothing can be written. Turn it on at the record, then undo."
    if record.is_left_out:
        return f"The filter leaves {context.name} out, so nothing can be written. Change the record's values instead."
    return _fields_problem(conflict, context)


def _record_problem(conflict: SyncConflict, *, record_exists: bool) -> str:
    entry = conflict.merge_selections[RECORD_KEY]
    if conflict.kind == ConflictKind.IDENTITY:
        if str(entry.get("value") or "").startswith((SAME_AS, TAKES_ITEM)):
            return (
                "The two records were merged. Restore the deleted one from the deleted records; it gets an item of "
                "its own then, or the one that was archived, once somebody restores that on Monday."
            )
        return (
            "The answer to “Who is this?” can't be undone automatically. Unlink the record from Monday on its page, "
            "then link it again: its next sync asks again."
        )
    if not record_exists:
        return "The record was deleted. Restore it from the deleted records, with the id that it had."
    return {
        NPD: "The item was created again, and Monday can't undo that. Archive the new item on the board, or delete the "
        "record.",
        MONDAY: "The record was restored. To go back, delete it again; its item is then archived.",
    }.get(entry["choose"], "The record and its item were unlinked. To go back, link them again on the record's page.")


def _fields_problem(conflict: SyncConflict, context: RecordContext) -> str:
    parts = resolved_parts(conflict)
    keys = [key for key in parts if key in conflict.inverse]
    if not keys:
        return (
            "The values of each side before are no longer known. Those of the conflict are shown here: type them in "
            "again, on either side."
        )
    if unmapped := [key for key in keys if key not in context.mapped]:
        return f"{conflict.labels(unmapped)}: no longer mapped to a column. Type the value in again, on either side."
    # One on these fields that is open, being undone, or was resolved later.
    resolved_at = conflict.resolved_at or max(datetime.fromisoformat(parts[key]["at"]) for key in keys)
    others = SyncConflict.objects.filter(
        Q(resolved_at=None) | Q(resolution__isnull=False) | Q(resolved_at__gt=resolved_at),
        entity_type=conflict.entity_type,
        entity_id=conflict.entity_id,
        kind__in=(ConflictKind.FIELDS, ConflictKind.OVERWRITTEN),
        conflict_fields__overlap=keys,
    )
    later = others.exclude(pk=conflict.pk).order_by("-detected_at").first()
    if later is None:
        return ""
    shared = conflict.labels(key for key in keys if key in later.conflict_fields)
    return f"{shared} is in conflict again since. Resolve or undo that later conflict first."
