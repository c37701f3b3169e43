"""Who may choose what in a conflict, and whether a choice can be stored for exactly the values that were seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from conflicts import errors, lifecycle
from conflicts.case import fields_with_base
from conflicts.context import RecordContext
from conflicts.effects import Sides, is_same, normalize_text, selection_effect
from conflicts.models import BASE, CUSTOM, MONDAY, NPD, ConflictKind, ResolutionType, SyncConflict
from conflicts.reports import RECORD_KEY
from sync import registry
from sync.kernel.messages import ActionError, NotAllowed
from sync.merge import FieldSelection
from sync.models import FieldMapping
from sync.reconcile.field_values import RelatedNotFound, clean_values
from sync.reconcile.lookups import typed_value
from sync.records.authors import who_may

Selections = Mapping[str, FieldSelection]
SeenValues = Mapping[str, Sides]
SIDE_OF_TYPE = {ResolutionType.KEEP_NPD.value: NPD, ResolutionType.KEEP_MONDAY.value: MONDAY}


def may_type(user: Any, entity_type: str) -> bool:
    """Whether somebody may write a value that neither side has: who may change the record may."""
    return registry.may_act(user, "change", entity_type)


def check_may_type(user: Any, entity_type: str, act: str = "typing a value") -> None:
    """Raise NotAllowed with what is missing: a value of one's own is a change of the record."""
    if not may_type(user, entity_type):
        raise NotAllowed(
            f"Nothing was stored: {act} changes the {registry.type_name(entity_type)} itself, which your account isn't "
            "allowed to do. Choose another of the values shown, or ask an administrator for the permission to change "
            "it."
        )


def deletion_problem(user: Any, entity_type: str) -> str:
    """Return why somebody can't choose what deletes a record or its item, and who can; empty where they may."""
    if registry.may_act(user, "delete", entity_type):
        return ""
    records = registry.entity(entity_type).model._meta.verbose_name_plural
    return f"Only who may delete {records} can choose this: {who_may('delete', entity_type)}."


def raw_from_text(context: RecordContext, key: str, text: str) -> dict[str, Any]:
    """Return the raw values of a typed text, checked as NPD and Monday's column will; raises ActionError."""
    mapping = context.mapped[key]
    record = context.record
    converter = context.converter(key)
    assert record is not None
    if "\x00" in text:
        advice = "the text holds a NUL character, which neither side keeps. Type it again without."
        raise ActionError(f"{mapping.label}: {advice}")
    if mapping.required and not text.strip():
        raise ActionError(_empty_problem(context, mapping))
    try:
        raw = typed_value(converter, record, mapping.fields, text)
        limit = converter.rejection_reason(raw)
    except (ValueError, RelatedNotFound) as error:
        raise ActionError(f"{mapping.label}: {error}") from error
    try:
        values = clean_values(record, raw)
    except ValidationError as error:
        why = " ".join(error.messages)
        raise ActionError(f"{mapping.label} of {context.name}: {why} Correct it, or choose a side.") from error
    if limit:
        raise ActionError(f"{mapping.label}: Monday won't take it ({limit}). Shorten it, or choose a side.")
    return values


def _empty_problem(context: RecordContext, mapping: FieldMapping) -> str:
    return f"{mapping.label} of {context.name} can't be empty. Choose a side that has a value, or type one."


def current_values(conflict: SyncConflict) -> dict[str, Sides]:
    """Return the present values of every field in conflict; of a conflict about the record, what happened."""
    values: dict[str, Sides] = {key: conflict.sides(key) for key in conflict.conflict_fields}
    return values | ({RECORD_KEY: {"npd": conflict.what, "monday": None}} if conflict.is_about_record else {})


def _check_seen(conflict: SyncConflict, keys: set[str], seen_values: SeenValues) -> None:
    """Raise NotAsSeen unless the stored values of these fields in conflict are those that were seen."""
    now = current_values(conflict)
    changed = [
        "What happened" if key == RECORD_KEY else conflict.label(key)
        for key in sorted(keys)
        if key not in seen_values or key not in now or not is_same(seen_values[key], now[key])
    ]
    if changed:
        raise errors.NotAsSeen(", ".join(changed), now)


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
        raise errors.InvalidResolution("Nothing was stored.", problems)
    side = SIDE_OF_TYPE.get(resolution_type)
    if side is not None:
        selections = dict.fromkeys(conflict.conflict_fields, FieldSelection(side))
    elif not selections:
        raise errors.InvalidResolution("No field has a choice yet. Choose a side, or type a value, for one at least.")
    elif problems := {key: why for key in selections if (why := _form_problem(conflict, key, selections, seen_values))}:
        raise errors.InvalidResolution("Some choices are not complete.", problems)
    # A side is chosen for the conflict as a whole: whoever saw another field in it decided on something else.
    _check_seen(conflict, {*selections, *seen_values} if side else set(selections), seen_values)
    chosen = {
        key: FieldSelection(
            choose=selection.choose,
            value=normalize_text(selection.value) if selection.choose == CUSTOM else None,
            npd=conflict.sides(key)[NPD],
            monday=conflict.sides(key)[MONDAY],
        )
        for key, selection in selections.items()
    }
    takes_base = any(selection.choose == BASE for selection in chosen.values())
    with_base = fields_with_base(conflict, context) if takes_base else set()
    no_base = "it was never synced with this column, so there is no last synced value."
    if conflict.kind == ConflictKind.OVERWRITTEN:
        no_base = "choose the current value (npd), the overwritten value (monday), or type one (custom)."
    problems = {}
    for key, selection in chosen.items():
        if selection.choose == BASE and key not in with_base:
            problems[key] = f"{conflict.label(key)}: {no_base}"
        elif problem := _selection_problem(conflict, context, key, selection):
            problems[key] = problem
    if problems:
        raise errors.InvalidResolution(f"Nothing was stored for {context.name}.", problems)
    return chosen


def _form_problem(conflict: SyncConflict, key: str, selections: Selections, seen_values: SeenValues) -> str:
    label = conflict.label(key)
    if key not in seen_values:
        where = "" if key in conflict.conflict_fields else " It is not in conflict."
        return f"{label}: say in “seen” which values you decided on.{where}"
    if selections[key].choose == CUSTOM and selections[key].value is None:
        return f"{label}: type the value that you want (an empty text clears the field)."
    return ""


def _selection_problem(conflict: SyncConflict, context: RecordContext, key: str, selection: FieldSelection) -> str:
    """Return why this choice can't be stored, as a sentence; empty when it can.

    A value that a side has already is checked only for being required; the pass that applies it says what the
    other side makes of it.
    """
    mapping = context.mapped.get(key)
    if mapping is None or context.record is None:
        return f"{key}: this field is no longer mapped to a column, so the next sync closes its conflict."
    if mapping.required and selection_effect(conflict, key, selection).value is None:
        return _empty_problem(context, mapping)
    # The lost value of an overwritten edit stands on no side: it is checked as if it were typed.
    is_lost = selection.choose == MONDAY and conflict.kind == ConflictKind.OVERWRITTEN
    if selection.choose == CUSTOM or is_lost:
        try:
            raw_from_text(context, key, (selection.monday if is_lost else selection.value) or "")
        except ActionError as why:
            return str(why)
    return ""


# A resolution about the record itself: one of the offered options, for exactly what was seen.


def record_selection(
    conflict: SyncConflict, resolution_type: str, selections: Selections, seen_values: SeenValues
) -> dict[str, FieldSelection]:
    """Return the choice of an option that is offered; raises NotAsSeen or InvalidResolution."""
    if side := SIDE_OF_TYPE.get(resolution_type):
        option = lifecycle.side_option(conflict, side)
        requested = resolution_type
    else:
        # One option for the record, under its key; a field beside it would be dropped silently.
        if not selections:
            raise errors.InvalidResolution(f"Nothing is chosen yet. {_offered_options(conflict)}")
        unexpected = sorted(set(selections) - {RECORD_KEY})
        if unexpected or RECORD_KEY not in selections:
            problem = f"This conflict is about the record itself: choose under “{RECORD_KEY}”."
            problem = f"{problem} {_offered_options(conflict)}"
            raise errors.InvalidResolution("Nothing was stored.", dict.fromkeys(unexpected or [RECORD_KEY], problem))
        selection = selections[RECORD_KEY]
        option = lifecycle.chosen_option(conflict, selection)
        requested = f"{selection.choose} {selection.value or ''}".strip()
    if option is None:
        raise errors.InvalidResolution(f"“{requested}” is not offered here. {_offered_options(conflict)}")
    # Every edited field has to be seen as it is, and an identity's question; of a delete it may be left out.
    required = set(current_values(conflict)) - ({RECORD_KEY} if conflict.kind == ConflictKind.DELETE else set())
    _check_seen(conflict, required | set(seen_values), seen_values)
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
    options = [
        f"{option.choose} “{option.value}” ({option.label})" if option.value else f"{option.choose} ({option.label})"
        for option in lifecycle.offered_options(conflict)
    ]
    if not options:
        return "There are no options yet: the record's next sync lists them."
    return f"Offered: {'; '.join(options)}."
