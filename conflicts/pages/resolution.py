"""Stores a person's resolution, or its undo, for exactly the values that they saw; the next pass applies it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from conflicts import models, reports
from conflicts.lifecycle import ConflictHistory
from conflicts.models import BASE, CUSTOM, MONDAY, NPD, ResolutionType, Sides, SyncConflict
from conflicts.pages.case import RecordContext
from conflicts.reports import ABOUT_ITEM, RECORD_KEY, ConflictKind, FieldSelection, Option
from sync import permissions, registry
from sync.choices import Cause, Priority
from sync.clock import sync_now
from sync.fields.field_values import RelatedNotFound, clean_values
from sync.fields.lookups import read_and_parse_input
from sync.kernel.acts import ACTS, MERGE_RECORDS, ActionError, NotAllowed, NotPossible
from sync.models import FieldMapping
from sync.outbox import enqueue, enqueue_unmatched
from sync.records import authors
from sync.words.message import Message, reason_of


class InvalidResolution(ActionError):
    """Nothing was stored. `problems` has a sentence for each invalid field."""

    def __init__(self, sentence: str, problems: Mapping[str, str] | None = None) -> None:
        self.problems = dict(problems or {})
        super().__init__(" ".join([sentence, *self.problems.values()]))
        self.sentence = sentence


class DecidedTooLate(NotPossible):
    """Nothing was stored because the conflict has changed; `current` has its values by field."""

    def __init__(self, sentence: str, current: Mapping[str, Sides]) -> None:
        super().__init__(sentence)
        self.current = dict(current)


class NotAsSeen(DecidedTooLate):
    default_code = "stale"

    def __init__(self, labels: str, current: Mapping[str, Sides]) -> None:
        advice = "Check the current values, then choose again."
        super().__init__(f"{labels} changed while you were deciding. {advice}", current)


class NotOpen(DecidedTooLate):
    """The conflict's present state doesn't allow the act: resolved, being applied, or for an undo still unresolved."""

    default_code = "not_waiting"


Selections = Mapping[str, FieldSelection]
SeenValues = Mapping[str, Sides]
SIDE_OF_TYPE = {ResolutionType.KEEP_NPD.value: NPD, ResolutionType.KEEP_MONDAY.value: MONDAY}


def missing_right(user: Any, entity_type: str, right: str, act: str = "choose this") -> str:
    """Return why this user can't do what deletes or changes a record itself; empty if they can."""
    if permissions.may_act(user, right, entity_type):
        return ""
    meta = registry.entity(entity_type).model._meta
    people = authors.who_has(f"{meta.app_label}.{right}_{meta.model_name}")
    return f"Only who may {right} {meta.verbose_name_plural} can {act}: {people}."


def typing_problem(user: Any, entity_type: str) -> str:
    """Return why this user can't type a value that neither side has; empty if they can."""
    return missing_right(user, entity_type, "change", "type a value")


def refuse(problem: str) -> None:
    """Raise NotAllowed if there is a problem."""
    if problem:
        raise NotAllowed(f"Nothing was stored. {problem}")


def refuse_typing(by: Any, entity_type: str, selections: Selections) -> None:
    """Raise NotAllowed if one of the choices is a typed value and the user can't type any."""
    if any(selection.choose == CUSTOM for selection in selections.values()):
        refuse(typing_problem(by, entity_type))


def raw_from_text(context: RecordContext, key: str, text: str) -> dict[str, Any]:
    """Return the raw values of a typed text that both NPD and Monday's column take; raises ActionError."""
    mapping = context.mapped[key]
    record = context.record
    assert record is not None
    converter = context.display.board.converter(mapping, record)
    if "\x00" in text:
        advice = "the text holds a NUL character, which neither side keeps. Type it again without."
        raise ActionError(f"{mapping.label}: {advice}")
    if mapping.required and not text.strip():
        raise ActionError(_empty_problem(context, mapping))
    try:
        raw = read_and_parse_input(converter, record, mapping.fields, text)
        refusal = converter.rejection_reason(raw)
    except (ValueError, RelatedNotFound) as error:
        raise ActionError(f"{mapping.label}: {reason_of(error)}") from error
    try:
        values = clean_values(record, raw)
    except ValidationError as error:
        why = " ".join(error.messages)
        raise ActionError(f"{mapping.label} of {context.name}: {why} Correct it, or choose a side.") from error
    if refusal:
        why = Message("quoted", quote=refusal)
        raise ActionError(f"{mapping.label}: Monday won't take it ({why}). Shorten it, or choose a side.")
    return values


def _empty_problem(context: RecordContext, mapping: FieldMapping) -> str:
    return f"{mapping.label} of {context.name} can't be empty. Choose a side that has a value, or type one."


def current_values(conflict: SyncConflict) -> dict[str, Sides]:
    """Return the values of the fields in conflict, and the question about the record under its key."""
    values: dict[str, Sides] = {key: conflict.sides(key) for key in conflict.conflict_fields}
    if conflict.is_about_record:
        values[RECORD_KEY] = {"npd": conflict.question, "monday": None}
    return values


def _check_seen(conflict: SyncConflict, keys: set[str], seen_values: SeenValues) -> None:
    """Raise NotAsSeen unless these fields have the values that the person saw."""
    current = current_values(conflict)
    changed = [
        "What happened" if key == RECORD_KEY else conflict.label(key)
        for key in sorted(keys)
        if key not in seen_values or key not in current or not models.same_sides(seen_values[key], current[key])
    ]
    if changed:
        raise NotAsSeen(", ".join(changed), current)


def field_selections(
    conflict: SyncConflict,
    context: RecordContext,
    resolution_type: str,
    selections: Selections,
    seen_values: SeenValues,
) -> dict[str, FieldSelection]:
    """Return the choice of each field; raises NotAsSeen or InvalidResolution."""
    # A field that has left the conflict makes the request stale, not invalid.
    if unknown := sorted({*selections, *seen_values} - {*conflict.conflict_fields, *context.mapped}):
        fields = ", ".join(conflict.conflict_fields)
        problems = {key: f"There is no field “{key}” in this conflict. Its fields: {fields}." for key in unknown}
        raise InvalidResolution("Nothing was stored.", problems)
    side = SIDE_OF_TYPE.get(resolution_type)
    if side is not None:
        selections = dict.fromkeys(conflict.conflict_fields, FieldSelection(side))
    elif not selections:
        raise InvalidResolution("No field has a choice yet. Choose a side, or type a value, for one at least.")
    # A side is chosen for all fields, so the person must have seen exactly the present fields.
    _check_seen(conflict, {*selections, *seen_values} if side else set(selections), seen_values)
    chosen = {
        key: FieldSelection(
            choose=selection.choose,
            value=reports.normalize_text(selection.value) if selection.choose == CUSTOM else None,
            npd=conflict.sides(key)[NPD],
            monday=conflict.sides(key)[MONDAY],
        )
        for key, selection in selections.items()
    }
    no_base = "it was never synced with this column, so there is no last synced value."
    if conflict.kind == ConflictKind.OVERWRITTEN:
        no_base = "choose the current value (npd), the overwritten value (monday), or type one (custom)."
    problems = {}
    for key, selection in chosen.items():
        if selection.choose not in models.SELECTABLE:
            problems[key] = f"{conflict.label(key)}: choose npd, base, monday or custom."
        elif selection.choose == BASE and conflict.base_data.get(key) is None:
            problems[key] = f"{conflict.label(key)}: {no_base}"
        elif problem := _selection_problem(conflict, context, key, selection):
            problems[key] = problem
    if problems:
        raise InvalidResolution(f"Nothing was stored for {context.name}.", problems)
    return chosen


def _selection_problem(conflict: SyncConflict, context: RecordContext, key: str, selection: FieldSelection) -> str:
    """Return why this choice can't be stored; empty if it can.

    A side's present value is only checked for being required; the pass finds out whether the other side takes it.
    """
    mapping = context.mapped.get(key)
    if mapping is None or context.record is None:
        return f"{key}: this field is no longer mapped to a column, so the next sync closes its conflict."
    if mapping.required and conflict.selection_effect(key, selection).value is None:
        return _empty_problem(context, mapping)
    # Neither side has the lost value of an overwritten edit, so it is checked like a typed one.
    is_lost = selection.choose == MONDAY and conflict.kind == ConflictKind.OVERWRITTEN
    if selection.choose == CUSTOM or is_lost:
        try:
            raw_from_text(context, key, (selection.monday if is_lost else selection.value) or "")
        except ActionError as error:
            return str(error)
    return ""


def selected_option(
    conflict: SyncConflict, resolution_type: str, selections: Selections, seen_values: SeenValues
) -> Option:
    """Return the offered option that was chosen for the whole record; raises NotAsSeen or InvalidResolution."""
    # Anything beside the one option would be dropped silently.
    if resolution_type in SIDE_OF_TYPE or set(selections) != {RECORD_KEY}:
        advice = f"choose one of its options, under “{RECORD_KEY}”."
        raise InvalidResolution(f"Nothing was stored. This conflict is about the record itself: {advice}")
    option = conflict.chosen_option(selections[RECORD_KEY])
    if option is None:
        raise InvalidResolution("Nothing was stored. This isn't offered here: choose one of the conflict's options.")
    # API callers may leave out a delete's question, but not its edited fields.
    required = set(current_values(conflict)) - ({RECORD_KEY} if conflict.kind == ConflictKind.DELETE else set())
    _check_seen(conflict, required | set(seen_values), seen_values)
    return option


def resolve(
    conflict_id: UUID | str,
    *,
    by: AbstractBaseUser,
    resolution_type: str,
    selections: Selections | None = None,
    seen: SeenValues,
) -> SyncConflict:
    """Store a resolution for exactly the values seen, and enqueue the pass that applies it.

    In a merge, fields without a selection stay in conflict. A conflict about the whole record takes one option under
    the key "record". Raises SyncConflict.DoesNotExist, NotOpen, NotAsSeen, InvalidResolution, or NotAllowed for a typed
    value or a deletion without the right; then nothing was stored.
    """
    with transaction.atomic():
        # Locked, so that the second of two people sees the first one's choice.
        conflict = SyncConflict.objects.select_for_update().get(pk=conflict_id)
        context = RecordContext.of(conflict)
        selections = selections or {}
        record = context.record
        if not conflict.is_open:
            raise NotOpen(f"The conflict of {context.name} is resolved already.", current_values(conflict))
        if conflict.is_being_applied:
            who = conflict.stored_resolution.by
            did = "asked to undo a part of" if conflict.is_being_undone else "resolved"
            message = f"{who} has just {did} the conflict of {context.name}."
            raise NotOpen(f"{message} Look at it again in a minute.", current_values(conflict))
        # Whose an item is can be answered all the same: it may be somebody else's.
        needs_sync = conflict.about.get("asks") not in ABOUT_ITEM
        if record is not None and needs_sync and not record.may_sync:
            message = f"Sync is off for {context.name}, so nothing can be written."
            raise InvalidResolution(f"{message} Turn it on at the record, then choose.")
        history = ConflictHistory()
        if conflict.is_about_record:
            option = selected_option(conflict, resolution_type, selections, seen)
            if option.deletes:
                refuse(missing_right(by, conflict.entity_type, "delete"))
            sides = {key: tuple(conflict.sides(key).values()) for key in conflict.conflict_fields}
            chosen = {
                RECORD_KEY: FieldSelection(option.choose, option.value or None, npd=conflict.question, seen=sides)
            }
            values = {"what": conflict.question, "choose": option.choose, "value": option.value or None, "seen": sides}
            history.log("record_chosen", conflict, "", values, actor=authors.full_name(by), option=option.label)
        elif record is None:
            raise InvalidResolution("The record was deleted in NPD; the next sync closes this conflict.")
        else:
            refuse_typing(by, conflict.entity_type, selections)
            chosen = field_selections(conflict, context, resolution_type, selections, seen)
            for key, selection in chosen.items():
                effect = conflict.selection_effect(key, selection)
                values = {**conflict.values(key), "choose": selection.choose, "result": effect.value}
                history.log("chosen", conflict, key, values, actor=authors.full_name(by), changes=effect.what_changes)
        store_resolution(conflict, resolution_type, chosen, history, by=by)
        if conflict.is_about_record and ACTS[option.choose].waits_for_item:
            item_ids = [conflict.monday_item_id]
            payload = {"by": authors.full_name(by)}
            enqueue_unmatched(conflict.entity_type, item_ids, cause=Cause.PERSON, payload=payload)
        authors.log_model_action(by, SyncConflict, history.text, key=conflict.pk, name=context.name)
    return conflict


def store_resolution(
    conflict: SyncConflict, resolution_type: str, chosen: Selections, history: ConflictHistory, *, by: AbstractBaseUser
) -> None:
    """Store a resolution with its history lines, and request the pass that applies it."""
    resolution = models.StoredResolution(
        resolution_type=resolution_type, by_id=by.pk, by=authors.full_name(by), at=sync_now().isoformat(), fields=chosen
    )
    conflict.resolution = resolution.to_json()
    conflict.save(update_fields=["resolution"])
    history.save()
    request_pass(conflict.entity_type, conflict.entity_id, by=by)


def request_pass(
    entity_type: str, entity_id: UUID, *, by: AbstractBaseUser | None = None, cause: Cause = Cause.PERSON
) -> None:
    """Enqueue a pass over a record ahead of other work, in this transaction; `by` is whose act it carries out."""
    payload = {"by": authors.full_name(by)} if by else None
    enqueue(entity_type, [entity_id], cause=cause, priority=Priority.PERSON, payload=payload)


def undo(conflict_id: UUID | str, *, by: AbstractBaseUser) -> SyncConflict:
    """Store an undo request for the resolved fields of a conflict, and enqueue the pass that applies it.

    Raises SyncConflict.DoesNotExist, NotOpen (still unresolved, or being applied or undone), or InvalidResolution with
    the reason and what to do instead.
    """
    with transaction.atomic():
        # Locked, so that no pass applies a resolution meanwhile.
        conflict = SyncConflict.objects.select_for_update().get(pk=conflict_id)
        context = RecordContext.of(conflict)
        entries = conflict.resolved_entries
        problem = ""
        if conflict.is_being_undone:
            who = conflict.stored_resolution.by
            problem = f"{who} asked for this already, and it is being done. Check again soon."
        elif conflict.is_being_applied:
            advice = "It can be undone once that is done."
            problem = f"The conflict of {context.name} is being written at this moment. {advice}"
        elif conflict.is_open and not entries:
            advice = "Resolve it instead."
            problem = f"The conflict of {context.name} is not resolved, so there is nothing to undo. {advice}"
        if problem:
            raise NotOpen(problem, current_values(conflict))
        if problem := undo_problem(conflict, context):
            raise InvalidResolution(problem)
        selections = {
            key: FieldSelection(entry["choose"], entry["value"], entry["npd"], entry["monday"])
            for key, entry in entries.items()
            if key in conflict.inverse
        }
        history = ConflictHistory()
        for key, selection in selections.items():
            values = {"npd": selection.npd, "monday": selection.monday, "choose": selection.choose}
            history.log("undo_requested", conflict, key, values, actor=authors.full_name(by))
        store_resolution(conflict, models.UNDO, selections, history, by=by)
        authors.log_model_action(by, SyncConflict, history.text, key=conflict.pk, name=context.name)
    return conflict


def undo_problem(conflict: SyncConflict, context: RecordContext) -> str:
    """Return why a conflict's resolved fields can't be undone, and what to do instead; empty if they can."""
    if not conflict.resolved_entries:
        return "It closed by itself, so there is no resolution to undo. Change the values on either side instead."
    record = context.record
    if conflict.is_about_record:
        return _record_undo_problem(conflict)
    if record is None:
        return "The record was deleted since. Restore it from the deleted records, then change its fields."
    if not record.may_sync:
        return f"Sync is off for {context.name}, so nothing can be written. Turn it on at the record, then undo."
    if record.is_left_out:
        return f"The filter leaves {context.name} out, so nothing can be written. Change the record's values instead."
    return _fields_undo_problem(conflict, context)


def _record_undo_problem(conflict: SyncConflict) -> str:
    entry = conflict.merge_selections[RECORD_KEY]
    option = conflict.chosen_option(FieldSelection(entry["choose"], entry["value"]))
    if option and option.choose == MERGE_RECORDS:
        return (
            "The two records were merged. Restore the deleted one from the deleted records; it gets an item of its own "
            "then, or the one that was archived, once somebody restores that on Monday."
        )
    if conflict.kind == ConflictKind.IDENTITY:
        return (
            "The answer to “Who is this?” can't be undone automatically. Unlink the record from Monday on its page, "
            "then link it again: its next sync asks again."
        )
    return f"It can't be undone automatically. {ACTS[option.choose].way_back if option else ''}".strip()


def _fields_undo_problem(conflict: SyncConflict, context: RecordContext) -> str:
    entries = conflict.resolved_entries
    keys = [key for key in entries if key in conflict.inverse]
    if not keys:
        return "The values of each side before are no longer known. Type them in again, on either side."
    if unmapped := [key for key in keys if key not in context.mapped]:
        return f"{conflict.labels(unmapped)}: no longer mapped to a column. Type the value in again, on either side."
    # Look for a conflict on these fields that is open, being undone, or was resolved later.
    resolved_at = conflict.resolved_at or max(datetime.fromisoformat(entries[key]["at"]) for key in keys)
    others = SyncConflict.objects.filter(
        models.OPEN_OR_UNDOING | Q(resolved_at__gt=resolved_at),
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
