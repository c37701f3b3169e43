"""A person's resolution, valid for the values seen, and its undo: stored at once, done by the record's next pass."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from conflicts.case import ConflictContext, fields_with_base
from conflicts.history import ConflictHistory, quote_value
from conflicts.lifecycle import (
    Sides,
    chosen_option,
    is_same,
    normalize_text,
    offered_options,
    resolved_parts,
    selection_effect,
    side_option,
)
from conflicts.models import (
    BASE,
    CHOICES,
    CUSTOM,
    MONDAY,
    NPD,
    UNDO,
    ConflictKind,
    ResolutionType,
    StoredResolution,
    SyncConflict,
)
from conflicts.reports import RECORD_KEY
from sync import registry
from sync.choices import Cause, Priority
from sync.clock import sync_now
from sync.kernel.messages import ActionError, Conflict, NotAllowed
from sync.merge import FieldSelection
from sync.outbox import notify
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.field_values import RelatedNotFound, clean_values
from sync.reconcile.identity import SAME_AS, TAKES_ITEM
from sync.reconcile.lookups import typed_value
from sync.records.authors import log_kind_action, who_may

Selections = Mapping[str, FieldSelection]
SeenValues = Mapping[str, Sides]
MANUAL_TYPES = (ResolutionType.KEEP_NPD, ResolutionType.KEEP_MONDAY, ResolutionType.MERGE)
SIDE_OF_TYPE = {ResolutionType.KEEP_NPD.value: NPD, ResolutionType.KEEP_MONDAY.value: MONDAY}


class InvalidResolution(ActionError):
    """Nothing was stored. `problems` has a sentence for each field concerned, none where all is meant."""

    def __init__(self, sentence: str, problems: Mapping[str, str] | None = None) -> None:
        self.problems = dict(problems or {})
        super().__init__(" ".join([sentence, *self.problems.values()]))
        self.sentence = sentence


class DecidedTooLate(Conflict):
    """Nothing was stored, for it is not as the person saw it; `current` has the present values by field."""

    def __init__(self, sentence: str, current: Mapping[str, Sides]) -> None:
        super().__init__(sentence)
        self.current = dict(current)


class NotAsSeen(DecidedTooLate):
    default_code = "stale"

    @classmethod
    def of(cls, labels: str, current: Mapping[str, Sides]) -> NotAsSeen:
        return cls(f"{labels} changed while you were deciding. Check the current values, then choose again.", current)


class NotOpen(DecidedTooLate):
    default_code = "not_waiting"


# Who may choose, and whether what was chosen can be stored: as the mapping's converter and the model's field see it.


def may_type(user: Any, entity_type: str) -> bool:
    """Whether somebody may write a value that neither side has: who may change the record may."""
    return registry.may_act(user, "change", entity_type)


def check_may_type(user: Any, entity_type: str, act: str = "typing a value") -> None:
    """Raise NotAllowed with what is missing: a value of one's own is a change of the record."""
    if not may_type(user, entity_type):
        kind = registry.type_name(entity_type)
        raise NotAllowed(
            f"Nothing was stored: {act} changes the {kind} itself, which your account isn't allowed to do. "
            "Choose another of the values shown, or ask an administrator for the permission to change it."
        )


def may_delete(user: Any, entity_type: str) -> bool:
    """Whether somebody may choose what deletes a record or removes its item: who may delete the record may."""
    return registry.may_act(user, "delete", entity_type)


def deletion_problem(user: Any, entity_type: str) -> str:
    """Return why somebody can't choose what deletes a record or its item, and who can; empty where they may."""
    if may_delete(user, entity_type):
        return ""
    records = registry.entity(entity_type).model._meta.verbose_name_plural
    return f"Only who may delete {records} can choose this: {who_may('delete', entity_type)}."


def selection_problem(conflict: SyncConflict, context: ConflictContext, key: str, selection: FieldSelection) -> str:
    """Return why this choice can't be stored, as a sentence; empty when it can.

    A value that a side has already is checked only for being required; the pass that applies it says what the
    other side makes of it.
    """
    mapped = context.mapped.get(key)
    record = context.record
    if mapped is None or record is None:
        return f"{key}: this field is no longer mapped to a column, so the next sync closes its conflict."
    if mapped.required and selection_effect(conflict, key, selection).value is None:
        return f"{mapped.label} of {context.name} can't be empty. Choose a side that has a value, or type one."
    if selection.choose == CUSTOM:
        return text_problem(context, key, selection.value or "")
    if selection.choose == MONDAY and conflict.kind == ConflictKind.OVERWRITTEN:
        return text_problem(context, key, selection.monday or "")  # no side has it: as if it were typed
    return ""


def text_problem(context: ConflictContext, key: str, text: str) -> str:
    """Return why a typed text can't be stored in NPD or on Monday, as a sentence; empty when it can."""
    mapped = context.mapped[key]
    record = context.record
    converter = context.converter(key)
    assert record is not None
    try:
        raw = typed_value(converter, record, mapped.fields, text)
        limit = converter.rejection_reason(raw)
    except (ValueError, RelatedNotFound) as error:
        return f"{mapped.label}: {error}"
    try:
        clean_values(record, raw)
    except ValidationError as error:
        return f"{mapped.label} of {context.name}: {' '.join(error.messages)} Correct it, or choose a side."
    return f"{mapped.label}: Monday won't take it ({limit}). Shorten it, or choose a side." if limit else ""


def current_values(conflict: SyncConflict) -> dict[str, Sides]:
    """The present values of every field in conflict; of a conflict about the record, what happened."""
    values: dict[str, Sides] = {key: conflict.sides(key) for key in conflict.conflict_fields}
    return values | ({RECORD_KEY: {"npd": conflict.what, "monday": None}} if conflict.is_about_record else {})


def not_as_seen(conflict: SyncConflict, keys: list[str]) -> NotAsSeen:
    labels = ", ".join("What happened" if key == RECORD_KEY else conflict.label(key) for key in keys)
    return NotAsSeen.of(labels, current_values(conflict))


def _is_fresh(conflict: SyncConflict, key: str, seen: SeenValues) -> bool:
    """Whether the stored values of a field in conflict are those that were seen."""
    now = current_values(conflict)
    return key in seen and key in now and is_same(seen[key], now[key])


def _field_selections(
    conflict: SyncConflict, context: ConflictContext, resolution_type: str, selections: Selections, seen: SeenValues
) -> dict[str, FieldSelection]:
    """Return the choice of each field; raises NotAsSeen or InvalidResolution."""
    # A field that has left the conflict makes the request stale, not invalid.
    if unknown := sorted({*selections, *seen} - {*conflict.conflict_fields, *context.mapped}):
        fields = ", ".join(conflict.conflict_fields)
        problems = {key: f"There is no field “{key}” in this conflict. Its fields: {fields}." for key in unknown}
        raise InvalidResolution("Nothing was stored.", problems)
    wanted = dict(selections)
    if side := SIDE_OF_TYPE.get(resolution_type):
        wanted = dict.fromkeys(conflict.conflict_fields, FieldSelection(side))
    elif not selections:
        raise InvalidResolution("No field has a choice yet. Choose a side, or type a value, for one at least.")
    elif problems := _only_problems({key: _form_problem(conflict, key, pick, seen) for key, pick in wanted.items()}):
        raise InvalidResolution("Some choices are not complete.", problems)
    # Bound to the stored values, under the conflict's lock; that these are the ones seen is checked next.
    chosen = {
        key: FieldSelection(
            choose=pick.choose,
            value=normalize_text(pick.value) if pick.choose == CUSTOM else None,
            npd=conflict.sides(key)[NPD],
            monday=conflict.sides(key)[MONDAY],
        )
        for key, pick in wanted.items()
    }
    # A side is chosen for the conflict as a whole: whoever saw another field in it decided on something else.
    checked = {*chosen, *seen} if side else set(chosen)
    if changed := [key for key in sorted(checked) if not _is_fresh(conflict, key, seen)]:
        raise not_as_seen(conflict, changed)
    takes_base = any(pick.choose == BASE for pick in chosen.values())
    with_base = fields_with_base(conflict, context) if takes_base else set()
    problems = {}
    for key, pick in chosen.items():
        if pick.choose == BASE and key not in with_base:
            problems[key] = (
                f"{conflict.label(key)}: choose the current value (npd), the overwritten value (monday), or type one "
                "(custom)."
                if conflict.kind == ConflictKind.OVERWRITTEN
                else f"{conflict.label(key)}: it was never synced with this column, so there is no last synced value."
            )
        else:
            problems[key] = selection_problem(conflict, context, key, pick)
    if problems := _only_problems(problems):
        raise InvalidResolution(f"Nothing was stored for {context.name}.", problems)
    return chosen


def _only_problems(problems: Mapping[str, str]) -> dict[str, str]:
    return {key: problem for key, problem in problems.items() if problem}


def _form_problem(conflict: SyncConflict, key: str, selection: FieldSelection, seen: SeenValues) -> str:
    label = conflict.label(key)
    choose = selection.choose
    value = selection.value
    if key not in seen:
        where = "" if key in conflict.conflict_fields else " It is not in conflict."
        return f"{label}: say in “seen” which values you decided on.{where}"
    if choose not in CHOICES:
        return f"{label}: “{choose}” is no choice. Choose one of {', '.join(CHOICES)}."
    if choose == CUSTOM and not isinstance(value, str):
        return f"{label}: type the value that you want (an empty text clears the field)."
    if choose == CUSTOM and "\x00" in str(value):
        return f"{label}: the text holds a NUL character, which neither side keeps. Type it again without."
    return ""


# A resolution about the record itself: one of the offered options, for exactly what was seen.


def _record_selection(
    conflict: SyncConflict, resolution_type: str, selections: Selections, seen: SeenValues
) -> dict[str, FieldSelection]:
    """Return the choice of an option that is offered; raises NotAsSeen or InvalidResolution."""
    if side := SIDE_OF_TYPE.get(resolution_type):
        option = side_option(conflict, side)
        requested = resolution_type
    else:
        # One option for the record, under its key; a field beside it would be dropped silently.
        if not selections:
            raise InvalidResolution(f"Nothing is chosen yet. {_offered_options(conflict)}")
        unexpected = sorted(set(selections) - {RECORD_KEY})
        if unexpected or RECORD_KEY not in selections:
            problem = f"This conflict is about the record itself: choose under “{RECORD_KEY}”."
            problem = f"{problem} {_offered_options(conflict)}"
            raise InvalidResolution("Nothing was stored.", dict.fromkeys(unexpected or [RECORD_KEY], problem))
        selection = selections[RECORD_KEY]
        option = chosen_option(conflict, selection)
        requested = f"{selection.choose} {selection.value or ''}".strip()
    if option is None:
        raise InvalidResolution(f"“{requested}” is not offered here. {_offered_options(conflict)}")
    # Every edited field has to be seen as it is, and an identity's question; of a delete it may be left out.
    required = set(current_values(conflict)) - ({RECORD_KEY} if conflict.kind == ConflictKind.DELETE else set())
    if changed := [key for key in sorted(required | set(seen)) if not _is_fresh(conflict, key, seen)]:
        raise not_as_seen(conflict, changed)
    return {
        RECORD_KEY: FieldSelection(
            choose=option.choose,
            value=option.value or None,
            npd=conflict.what,
            seen={key: tuple(conflict.sides(key).values()) for key in conflict.conflict_fields},
        )
    }


def _offered_options(conflict: SyncConflict) -> str:
    """The options as an API caller names them."""
    options = offered_options(conflict)
    if not options:
        return "There are no options yet: the record's next sync lists them."
    named = [
        (f"{option.choose} “{option.value}”" if option.value else option.choose, option.label) for option in options
    ]
    return f"Offered: {'; '.join(f'{name} ({label})' for name, label in named)}."


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
        context = ConflictContext.of(conflict)
        wanted = selections or {}
        record = context.record
        if not conflict.is_open:
            raise NotOpen(f"The conflict of {context.name} is resolved already.", current_values(conflict))
        if conflict.is_being_applied:
            who = conflict.stored_resolution.by
            did = "asked to undo a part of" if conflict.is_being_undone else "chose for"
            message = f"{who} {did} {context.name} already, and that is being applied."
            raise NotOpen(f"{message} Wait for it, then check again.", current_values(conflict))
        if record is not None and not record.may_sync:
            message = (
                f"Sync is off for {context.name}, so nothing can be written. Turn it on at the record, then choose."
            )
            raise InvalidResolution(message)
        if resolution_type not in MANUAL_TYPES:
            offered = ", ".join(MANUAL_TYPES)
            raise InvalidResolution(f"“{resolution_type}” is no resolution of a conflict. Choose one of {offered}.")
        history = ConflictHistory()
        if conflict.is_about_record:
            chosen = _record_selection(conflict, resolution_type, wanted, seen)
            resolution = resolution_by(by, resolution_type, chosen)
            selection = chosen[RECORD_KEY]
            option = chosen_option(conflict, selection)
            if option and option.deletes and (problem := deletion_problem(by, conflict.entity_type)):
                raise NotAllowed(f"Nothing was stored: {problem}")
            values = {
                "what": selection.npd,
                "choose": selection.choose,
                "value": selection.value,
                "seen": dict(selection.seen),
            }
            label = option.label if option else selection.choose
            history.log("record_chosen", conflict, "", values, actor=resolution.by, option=label)
        elif record is None:
            raise InvalidResolution("The record was deleted in NPD; the next sync closes this conflict.")
        else:
            if any(selection.choose == CUSTOM for selection in wanted.values()):
                check_may_type(by, conflict.entity_type)
            chosen = _field_selections(conflict, context, resolution_type, wanted, seen)
            resolution = resolution_by(by, resolution_type, chosen)
            for key, selection in chosen.items():
                effect = selection_effect(conflict, key, selection)
                values = {**conflict.values(key), "choose": selection.choose}
                result = quote_value(effect.value)
                history.log("chosen", conflict, key, values, actor=resolution.by, result=result, where=effect.where)
        store_resolution(conflict, resolution, history, by=by, name=context.name)
    return conflict


def resolution_by(by: AbstractBaseUser, resolution_type: str, chosen: dict[str, FieldSelection]) -> StoredResolution:
    """Return what a person chose, with their name as screens show it."""
    full_name = getattr(by, "get_full_name", str)()
    return StoredResolution(
        resolution_type=resolution_type,
        by_id=by.pk,
        by=full_name or by.get_username(),
        at=sync_now().isoformat(),
        fields=chosen,
    )


def store_resolution(
    conflict: SyncConflict, resolution: StoredResolution, history: ConflictHistory, *, by: AbstractBaseUser, name: str
) -> None:
    """Store what a person wants of the record `name`, with its lines in both logs; request the pass that does it."""
    conflict.resolution = resolution.to_json()
    conflict.resolution_problem = ""
    conflict.save(update_fields=["resolution", "resolution_problem"])
    history.save()
    sentence = " ".join(line.sentence for line in history.lines)
    log_kind_action(by, SyncConflict, sentence, key=conflict.pk, name=name)
    request_pass(conflict.entity_type, conflict.entity_id)


def request_pass(entity_type: str, *ids: UUID, cause: Cause = Cause.PERSON) -> None:
    """Enqueue a pass over these records ahead of other work, in this transaction."""
    enqueue_many(entity_type, ids, cause=cause, priority=Priority.PERSON)
    # Robust: without a broker the job waits for the next sweep of Beat, and what was stored stays stored.
    transaction.on_commit(partial(notify.notify_board, entity_type), robust=True)


# Undoing a resolution: requested here, done by the next pass. Where neither side has changed since, it gives each side
# its earlier value, and the conflict is open again; else what the resolution overwrote becomes a conflict of its own.


def undo(conflict_id: UUID | str, *, by: AbstractBaseUser) -> SyncConflict:
    """Store an undo request for a conflict, or for what is resolved of an open one; enqueue the pass that does it.

    Raises SyncConflict.DoesNotExist, NotOpen (nothing of it is resolved, or it is being applied or undone), or
    InvalidResolution with the reason why it can't be undone and what to do instead.
    """
    with transaction.atomic():
        # Locked as above; the pass that applies a resolution locks the row too, so what is checked here stays so.
        conflict = SyncConflict.objects.select_for_update().get(pk=conflict_id)
        context = ConflictContext.of(conflict)
        if conflict.is_being_undone:
            message = f"{conflict.stored_resolution.by} asked for this already, and it is being done. Check again soon."
            raise NotOpen(message, current_values(conflict))
        parts = resolved_parts(conflict)
        if conflict.is_being_applied:
            message = "is being written at this moment. It can be undone once that is done."
            raise NotOpen(f"The conflict of {context.name} {message}", current_values(conflict))
        if conflict.is_open and not parts:
            message = "is not resolved, so there is nothing to undo. Resolve it instead."
            raise NotOpen(f"The conflict of {context.name} {message}", current_values(conflict))
        if reason := undo_problem(conflict, context):
            raise InvalidResolution(reason)
        picks = {
            key: FieldSelection(entry["choose"], entry["value"], entry["npd"], entry["monday"])
            for key, entry in parts.items()
            if key in conflict.inverse
        }
        resolution = resolution_by(by, UNDO, picks)
        history = ConflictHistory()
        for key, selection in picks.items():
            values = {"npd": selection.npd, "monday": selection.monday, "choose": selection.choose}
            history.log("undo_requested", conflict, key, values, actor=resolution.by)
        store_resolution(conflict, resolution, history, by=by, name=context.name)
    return conflict


def undo_problem(conflict: SyncConflict, context: ConflictContext) -> str:
    """Why what is resolved of a conflict can't be undone and what to do instead; empty where it can."""
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
