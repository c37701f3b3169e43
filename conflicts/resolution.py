"""A person's resolution: valid for the values seen, stored at once, applied by the record's next pass."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from conflicts.conflict_context import ConflictContext, check_may_type
from conflicts.lifecycle import ResolutionHistory, find_option, log_admin_action, offered_options, side_option
from conflicts.models import (
    BASE,
    CHOICES,
    CUSTOM,
    MONDAY,
    NPD,
    ConflictKind,
    ResolutionType,
    StoredResolution,
    SyncConflict,
)
from conflicts.validation import (
    InvalidResolution,
    NotOpen,
    Sides,
    StaleResolution,
    fields_with_base,
    is_same,
    normalize_text,
    selection_problem,
)
from sync.choices import Cause, Priority
from sync.clock import sync_now
from sync.kernel.conflict_store import RECORD_KEY
from sync.merge import Resolution
from sync.outbox import notify
from sync.outbox.queue_rows import enqueue_many

Selections = Mapping[str, Resolution]
SeenValues = Mapping[str, Sides]
MANUAL_TYPES = (ResolutionType.KEEP_NPD, ResolutionType.KEEP_MONDAY, ResolutionType.MERGE)
SIDE_OF_TYPE = {ResolutionType.KEEP_NPD.value: NPD, ResolutionType.KEEP_MONDAY.value: MONDAY}


def current_values(conflict: SyncConflict) -> dict[str, Sides]:
    """The present values of every field in conflict; of a conflict about the record, what happened."""
    values: dict[str, Sides] = {key: conflict.sides(key) for key in conflict.conflict_fields}
    return values | ({RECORD_KEY: {"npd": conflict.what, "monday": None}} if conflict.is_about_record else {})


def stale_resolution(conflict: SyncConflict, keys: list[str]) -> StaleResolution:
    """Return the error that carries the present values."""
    labels = ", ".join("What happened" if key == RECORD_KEY else conflict.label(key) for key in keys)
    return StaleResolution.of(labels, current_values(conflict))


def _is_fresh(conflict: SyncConflict, key: str, seen: SeenValues) -> bool:
    """Whether the stored values of a field in conflict are those that were seen."""
    now = current_values(conflict)
    return key in seen and key in now and is_same(seen[key], now[key])


def _field_selections(
    conflict: SyncConflict, context: ConflictContext, resolution_type: str, selections: Selections, seen: SeenValues
) -> dict[str, Resolution]:
    """Return the choice of each field; raises StaleResolution or InvalidResolution."""
    # A field that has left the conflict makes the request stale, not invalid.
    known = {*conflict.conflict_fields, *context.mapped}
    if unknown := sorted({*selections, *seen} - known):
        fields = ", ".join(conflict.conflict_fields)
        problems = {key: f"There is no field “{key}” in this conflict. Its fields: {fields}." for key in unknown}
        raise InvalidResolution("Nothing was stored.", problems)
    wanted = dict(selections)
    if side := SIDE_OF_TYPE.get(resolution_type):
        wanted = dict.fromkeys(conflict.conflict_fields, Resolution(side))
    elif not selections:
        raise InvalidResolution("No field has a choice yet. Choose a side, or type a value, for one at least.")
    elif problems := _only_problems({key: _form_problem(conflict, key, one, seen) for key, one in wanted.items()}):
        raise InvalidResolution("Some choices are not complete.", problems)
    # Bound to the stored values, under the conflict's lock; that these are the ones seen is checked next.
    chosen = {
        key: Resolution(
            choose=one.choose,
            value=normalize_text(one.value) if one.choose == CUSTOM else None,
            npd=conflict.sides(key)[NPD],
            monday=conflict.sides(key)[MONDAY],
        )
        for key, one in wanted.items()
    }
    checked = {*chosen, *seen} if side else set(chosen)
    if changed := [key for key in sorted(checked) if not _is_fresh(conflict, key, seen)]:
        raise stale_resolution(conflict, changed)
    takes_base = any(one.choose == BASE for one in chosen.values())
    with_base = fields_with_base(conflict, context) if takes_base else set()
    problems = {}
    for key, one in chosen.items():
        if one.choose == BASE and key not in with_base:
            problems[key] = (
                f"{conflict.label(key)}: choose the current value (npd), the overwritten value (monday), or type one "
                "(custom)."
                if conflict.kind == ConflictKind.OVERWRITTEN
                else f"{conflict.label(key)}: it was never synced with this column, so there is no last synced value."
            )
        else:
            problems[key] = selection_problem(conflict, context, key, one)
    if problems := _only_problems(problems):
        raise InvalidResolution(f"Nothing was stored for {context.name}.", problems)
    return chosen


def _only_problems(problems: Mapping[str, str]) -> dict[str, str]:
    return {key: problem for key, problem in problems.items() if problem}


def _form_problem(conflict: SyncConflict, key: str, selection: Resolution, seen: SeenValues) -> str:
    label, choose, value = conflict.label(key), selection.choose, selection.value
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
) -> dict[str, Resolution]:
    """Return the choice of an option that is offered; raises StaleResolution or InvalidResolution."""
    if side := SIDE_OF_TYPE.get(resolution_type):
        option, requested = side_option(conflict, side), resolution_type
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
        choose, value = selection.choose, selection.value or ""
        option, requested = find_option(offered_options(conflict), choose, value), f"{choose} {value}".strip()
    if option is None:
        raise InvalidResolution(f"“{requested}” is not offered here. {_offered_options(conflict)}")
    # Every edited field has to be seen as it is, and an identity's question; of a delete it may be left out.
    required = set(current_values(conflict)) - ({RECORD_KEY} if conflict.kind == ConflictKind.DELETE else set())
    if changed := [key for key in sorted(required | set(seen)) if not _is_fresh(conflict, key, seen)]:
        raise stale_resolution(conflict, changed)
    return {
        RECORD_KEY: Resolution(
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
    named = [(f"{one.choose} “{one.value}”" if one.value else one.choose, one.label) for one in options]
    return f"Offered: {'; '.join(f'{name} ({label})' for name, label in named)}."


# Storing a person's resolution: checked, stored at once, and applied by the record's next pass.


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
    key "record". Raises SyncConflict.DoesNotExist, NotOpen, StaleResolution, InvalidResolution, or NotAllowed where a
    value was typed; then nothing was stored.
    """
    with transaction.atomic():
        conflict = SyncConflict.objects.select_for_update().get(pk=conflict_id)
        context, wanted = ConflictContext.of(conflict), selections or {}
        record, name = context.record, context.name
        if not conflict.is_open:
            raise NotOpen(f"The conflict of {name} is resolved already.", current_values(conflict))
        if conflict.is_being_applied:
            who = conflict.stored_choice.by
            message = f"{who} chose for {name} already, and that is being applied. Wait for it, then check again."
            raise NotOpen(message, current_values(conflict))
        if record is not None and not record.may_sync:
            message = f"Sync is off for {name}, so nothing can be written. Turn it on at the record, then choose."
            raise InvalidResolution(message)
        if resolution_type not in MANUAL_TYPES:
            known = ", ".join(MANUAL_TYPES)
            raise InvalidResolution(f"“{resolution_type}” is no resolution of a conflict. Choose one of {known}.")
        history = ResolutionHistory()
        if conflict.is_about_record:
            chosen = _record_selection(conflict, resolution_type, wanted, seen)
            resolution, selection = resolution_by(by, resolution_type, chosen), chosen[RECORD_KEY]
            option = find_option(offered_options(conflict), selection.choose, selection.value or "")
            history.log_record_resolution(conflict, resolution, option.label if option else selection.choose)
        elif record is None:
            raise InvalidResolution("The record was deleted in NPD; the next sync closes this conflict.")
        else:
            if any(selection.choose == CUSTOM for selection in wanted.values()):
                check_may_type(by, conflict.entity_type)
            chosen = _field_selections(conflict, context, resolution_type, wanted, seen)
            resolution = resolution_by(by, resolution_type, chosen)
            history.log_resolution(conflict, resolution)
        store_resolution(conflict, resolution, history, by=by, name=name)
    return conflict


def resolution_by(by: AbstractBaseUser, resolution_type: str, chosen: dict[str, Resolution]) -> StoredResolution:
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
    conflict: SyncConflict, resolution: StoredResolution, history: ResolutionHistory, *, by: AbstractBaseUser, name: str
) -> None:
    """Store what a person wants of the record `name`, with its lines in both logs; request the pass that does it."""
    conflict.choice, conflict.choice_problem = resolution.to_json(), ""
    conflict.save(update_fields=["choice", "choice_problem"])
    history.save()
    log_admin_action(by, " ".join(line.sentence for line in history.lines), conflict, name)
    request_pass(conflict.entity_type, conflict.entity_id)


def request_pass(entity_type: str, *ids: UUID, cause: Cause = Cause.PERSON) -> None:
    """Enqueue a pass over these records ahead of other work, in this transaction."""
    enqueue_many(entity_type, ids, cause=cause, priority=Priority.PERSON)
    transaction.on_commit(partial(notify.notify_board, entity_type), robust=True)
