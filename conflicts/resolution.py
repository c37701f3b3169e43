"""A person's resolution: stored at once for exactly the values that they saw, done by the record's next pass."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from conflicts import choice_checks, errors
from conflicts.choice_checks import SeenValues, Selections
from conflicts.context import RecordContext
from conflicts.effects import selection_effect
from conflicts.history import ConflictHistory, quote_value
from conflicts.lifecycle import chosen_option
from conflicts.models import CUSTOM, ResolutionType, StoredResolution, SyncConflict
from conflicts.reports import RECORD_KEY
from sync.choices import Cause, Priority
from sync.clock import sync_now
from sync.kernel.messages import NotAllowed
from sync.outbox import notify
from sync.outbox.queue_rows import enqueue_many
from sync.records.authors import full_name, log_kind_action

MANUAL_TYPES = (ResolutionType.KEEP_NPD, ResolutionType.KEEP_MONDAY, ResolutionType.MERGE)


def resolve(
    conflict_id: UUID | str,
    *,
    by: AbstractBaseUser,
    resolution_type: str,
    selections: Selections | None = None,
    seen: SeenValues,
) -> SyncConflict:
    """Store a resolution for exactly the values seen, and enqueue the pass that applies it.

    Of a merge, fields without a selection stay in conflict (`SyncConflict.left_open` names them); what is chosen and
    typed counts, the values seen are in `seen`. Of a conflict about the record itself one option is chosen, under the
    key "record". Raises SyncConflict.DoesNotExist, NotOpen, NotAsSeen, InvalidResolution, or NotAllowed where a
    value was typed, or a record or an item would be gone, by who may not; then nothing was stored.
    """
    with transaction.atomic():
        # Locked until the commit: of two people who resolve it at once, the second reads what the first one chose.
        conflict = SyncConflict.objects.select_for_update().get(pk=conflict_id)
        context = RecordContext.of(conflict)
        selections = selections or {}
        record = context.record
        if not conflict.is_open:
            raise errors.NotOpen(
                f"The conflict of {context.name} is resolved already.", choice_checks.current_values(conflict)
            )
        if conflict.is_being_applied:
            who = conflict.stored_resolution.by
            did = "asked to undo a part of" if conflict.is_being_undone else "chose for"
            message = f"{who} {did} {context.name} already, and that is being applied."
            raise errors.NotOpen(f"{message} Wait for it, then check again.", choice_checks.current_values(conflict))
        if record is not None and not record.may_sync:
            message = f"Sync is off for {context.name}, so nothing can be written."
            raise errors.InvalidResolution(f"{message} Turn it on at the record, then choose.")
        if resolution_type not in MANUAL_TYPES:
            offered = ", ".join(MANUAL_TYPES)
            raise errors.InvalidResolution(
                f"“{resolution_type}” is no resolution of a conflict. Choose one of {offered}."
            )
        history = ConflictHistory()
        if conflict.is_about_record:
            chosen = choice_checks.record_selection(conflict, resolution_type, selections, seen)
            selection = chosen[RECORD_KEY]
            option = chosen_option(conflict, selection)
            if option and option.deletes and (problem := choice_checks.deletion_problem(by, conflict.entity_type)):
                raise NotAllowed(f"Nothing was stored: {problem}")
            values = {
                "what": selection.npd,
                "choose": selection.choose,
                "value": selection.value,
                "seen": dict(selection.seen),
            }
            label = option.label if option else selection.choose
            history.log("record_chosen", conflict, "", values, actor=full_name(by), option=label)
        elif record is None:
            raise errors.InvalidResolution("The record was deleted in NPD; the next sync closes this conflict.")
        else:
            if any(selection.choose == CUSTOM for selection in selections.values()):
                choice_checks.check_may_type(by, conflict.entity_type)
            chosen = choice_checks.field_selections(conflict, context, resolution_type, selections, seen)
            for key, selection in chosen.items():
                effect = selection_effect(conflict, key, selection)
                values = {**conflict.values(key), "choose": selection.choose}
                result = quote_value(effect.value)
                history.log("chosen", conflict, key, values, actor=full_name(by), result=result, where=effect.where)
        store_resolution(conflict, resolution_type, chosen, history, by=by)
        log_kind_action(by, SyncConflict, history.text, key=conflict.pk, name=context.name)
    return conflict


def store_resolution(
    conflict: SyncConflict, resolution_type: str, chosen: Selections, history: ConflictHistory, *, by: AbstractBaseUser
) -> None:
    """Store what a person wants, with its lines in the record's history, and request the pass that does it."""
    resolution = StoredResolution(
        resolution_type=resolution_type, by_id=by.pk, by=full_name(by), at=sync_now().isoformat(), fields=chosen
    )
    conflict.resolution = resolution.to_json()
    conflict.resolution_problem = ""
    conflict.save(update_fields=["resolution", "resolution_problem"])
    history.save()
    request_pass(conflict.entity_type, conflict.entity_id)


def request_pass(entity_type: str, *ids: UUID, cause: Cause = Cause.PERSON) -> None:
    """Enqueue a pass over these records ahead of other work, in this transaction."""
    enqueue_many(entity_type, ids, cause=cause, priority=Priority.PERSON)
    # Robust: without a broker the job waits for the next sweep of Beat, and what was stored stays stored.
    transaction.on_commit(partial(notify.notify_board, entity_type), robust=True)
