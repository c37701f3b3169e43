"""Undoing a resolution: requested here, done by the next pass, and what the conflict becomes then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Q

from conflicts.conflict_context import ConflictContext
from conflicts.lifecycle import CLOSING_NOTE, ResolutionHistory, annotate, resolved_by_people, restore_fields
from conflicts.messages import JOINED_ANOTHER, JOINED_ANOTHER_CODE
from conflicts.models import MONDAY, NPD, UNDO, ConflictKind, SyncConflict
from conflicts.resolution import current_values, resolution_by, store_resolution
from conflicts.validation import InvalidResolution, NotOpen
from sync.kernel.conflict_store import RECORD_KEY
from sync.merge import Resolution
from sync.reconcile.identity import SAME_AS, TAKES_ITEM


def apply_undo_results(
    requests: Sequence[SyncConflict],
    results: Mapping[str, str],
    open_conflict: SyncConflict | None,
    history: ResolutionHistory,
) -> SyncConflict | None:
    """Reopen what was undone, log why the rest was not; return the conflict that is open afterwards.

    `requests` are the record's resolved conflicts of one kind with an undo request, `results` maps a field to
    an empty text or the reason why not. Fields of a record that has an open conflict of the kind join that
    one.
    """
    for conflict in requests:
        undone = [key for key, reason in results.items() if not reason and key in conflict.stored_choice.fields]
        for key in [key for key in results if key in conflict.stored_choice.fields]:
            _log_result(conflict, key, results[key], history)
        conflict.choice = conflict.stored_choice.without(set(results)).to_json()
        if undone and open_conflict is None:
            reopen(conflict, undone)
            open_conflict = conflict
        elif undone:
            for key in undone:
                annotate(conflict, key, undo=JOINED_ANOTHER, undo_code=JOINED_ANOTHER_CODE)
    return open_conflict


def reject_undo(conflict: SyncConflict, reason: str, history: ResolutionHistory) -> None:
    """Drop the undo request, with the reason."""
    for key in conflict.stored_choice.fields:
        _log_result(conflict, key, reason, history)
    conflict.choice = None


def reopen(conflict: SyncConflict, keys: list[str]) -> None:
    """Make the conflict open again for these fields; what else it was about stays resolved."""
    conflict.resolved_at = conflict.resolution_type = conflict.resolved_by = None
    conflict.notes = {key: note for key, note in conflict.notes.items() if key != CLOSING_NOTE}
    conflict.choice_problem = ""
    restore_fields(conflict, keys)


def _log_result(conflict: SyncConflict, key: str, reason: str, history: ResolutionHistory) -> None:
    if reason:
        annotate(conflict, key, undo=reason, undo_code="")
    history.log_undo_result(conflict, key, conflict.stored_choice, reason)


# Undoing a resolution: asked for here, carried out by the record's next look
# (sync/reconcile/resolutions.py).
#
# Where neither side has changed since, that pass gives each side its earlier value and the conflict is open
# again. Where one has, nothing is written; what the resolution overwrote comes back as a conflict of its own.


def undo(conflict_id: UUID | str, *, by: AbstractBaseUser) -> SyncConflict:
    """Store an undo request for a resolved conflict, and enqueue the pass that does it.

    Raises SyncConflict.DoesNotExist, NotOpen (it is open, or being undone), or InvalidResolution with the reason why it
    can't be undone and what to do instead.
    """
    with transaction.atomic():
        conflict = SyncConflict.objects.select_for_update().get(pk=conflict_id)
        context = ConflictContext.of(conflict)
        if conflict.is_open:
            message = "is not resolved, so there is nothing to undo. Resolve it instead."
            raise NotOpen(f"The conflict of {context.name} {message}", current_values(conflict))
        if conflict.is_being_undone:
            message = f"{conflict.stored_choice.by} asked for this already, and it is being done. Check again soon."
            raise NotOpen(message, current_values(conflict))
        if reason := undo_problem(conflict, context):
            raise InvalidResolution(reason)
        entries = resolved_by_people(conflict)
        picks = {
            key: Resolution(entry["choose"], entry["value"], entry["npd"], entry["monday"])
            for key, entry in entries.items()
            if key in conflict.inverse
        }
        resolution = resolution_by(by, UNDO, picks)
        history = ResolutionHistory()
        history.log_undo_requested(conflict, resolution)
        store_resolution(conflict, resolution, history, by=by, name=context.name)
    return conflict


def undo_problem(conflict: SyncConflict, context: ConflictContext) -> str:
    """Why a resolved conflict can't be undone and what to do instead; empty where it can."""
    if not resolved_by_people(conflict):
        return "It closed by itself, so there is no resolution to undo. Change the values on either side instead."
    record = context.record
    if conflict.is_about_record:
        return _record_problem(conflict, record_exists=record is not None)
    if record is None:
        return "The record was deleted since. Restore it from the deleted records, then change its fields."
    if not record.may_sync:
        return f"Sync is off for {record}, so nothing can be written. Turn it on at the record, then undo."
    if record.is_left_out:
        return f"The filter leaves {record} out, so nothing can be written. Change the record's values instead."
    return _fields_problem(conflict, context)


def _record_problem(conflict: SyncConflict, *, record_exists: bool) -> str:
    choose = conflict.merge_selections[RECORD_KEY]["choose"]
    if conflict.kind == ConflictKind.IDENTITY:
        is_merge = str(conflict.merge_selections[RECORD_KEY].get("value") or "").startswith((SAME_AS, TAKES_ITEM))
        if is_merge:
            return (
                "The two records were merged. Restore the deleted one from the deleted records; it gets an item of "
                "its own then, or the one that was archived, once somebody restores that on Monday."
            )
        return (
            "The answer to “Who is this?” can't be undone automatically. Unlink the record from Monday on its page, "
            "then link it again: "
            "its next sync asks again."
        )
    if not record_exists:
        return "The record was deleted. Restore it from the deleted records, with the id that it had."
    if choose == NPD:
        return (
            "The item was created again, and Monday can't undo that. Archive the new item on the board, or delete "
            "the record."
        )
    if choose == MONDAY:
        return "The record was restored. To go back, delete it again; its item is then archived."
    return "The record and its item were unlinked. To go back, link them again on the record's page."


def _fields_problem(conflict: SyncConflict, context: ConflictContext) -> str:
    keys = [key for key in resolved_by_people(conflict) if key in conflict.inverse]
    if not keys:
        return (
            "The values of each side before are no longer known. Those of the conflict are shown here: type them in "
            "again, on either side."
        )
    if unmapped := [key for key in keys if key not in context.mapped]:
        return f"{conflict.labels(unmapped)}: no longer mapped to a column. Type the value in again, on either side."
    # One on these fields that is open, being undone, or was resolved later.
    others = SyncConflict.objects.filter(
        Q(resolved_at=None) | Q(choice__isnull=False) | Q(resolved_at__gt=conflict.resolved_at),
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
