"""Apply people's decisions about fields: in a conflict, about an overwritten edit, or to undo one.

Implements C11 to C14 of docs/reference/merge/conflicts.md. A choice is only for the values
that the person saw: if they are still the same, it is applied, else it is rejected with the reason. An overwritten
value stays lost or is written to both sides again; an undo is applied if neither side has changed.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from django.core.exceptions import ValidationError

from conflicts import reports
from conflicts.reports import ConflictKind
from sync import merge
from sync.choices import SyncDirection
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.monday.conversion import AmbiguousSplit, Converter, UnknownValue
from sync.monday.lag import MAX_SENDS
from sync.reconcile import our_writes
from sync.reconcile.facts import PassFacts
from sync.reconcile.pass_plan import FieldPlan, RecordPlan
from sync.records.authors import UNDONE_COLUMNS_KEY
from sync.words.message import Message, reason_of

STALE_RESOLUTION = "stale_resolution"

_UNDO_REASON = Message("restored_by_undo")

# The only side that can be chosen if a field is synced one way, and its name.
_SOURCE = {SyncDirection.NPD_TO_MONDAY: ("npd", "NPD"), SyncDirection.MONDAY_TO_NPD: ("monday", "Monday")}


class ResolutionRejected(Exception):
    """A person's choice, or its undo, can't be applied; its message says why."""

    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(Message(code, **params))


def chosen_references(board: BoardContext, plan: RecordPlan) -> set[field_values.Reference]:
    """Return the related records that a choice about a relation, or its undo, may write.

    They are read before the rules, which make no query.
    """
    raws: list[Mapping[str, Any]] = []
    for mapping, relation in board.relations:
        converter = board.converter(mapping, plan.record)
        key = mapping.key
        for conflict in plan.facts.conflicts:
            if selection := conflict.resolutions.get(key):
                raws += [{relation.name: {"name": text}} for text in (selection.monday, selection.value) if text]
        if plan.facts.conflicts and (base := plan.sync_state.base.get(key)):
            raws.append(base["local"])
        for request in plan.facts.undo_requests:
            if request.key == key:
                raws.append(request.before["local"])
                with suppress(UnknownValue):
                    raws.append(_as_npd_value(converter, request.before))
    return field_values.references_of(board.model, raws)


def _as_npd_value(converter: Converter, before: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert Monday's previous value into NPD's raw values."""
    try:
        return converter.to_local(before["remote"], before["local"])
    except AmbiguousSplit:
        return converter.from_text(converter.display_remote(before["remote"]), before["local"])


def apply_undo(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field) -> None:
    """Plan to undo a choice if a person asked for it; if the undo is rejected, the field is merged as usual."""
    request = next((request for request in plan.facts.undo_requests if request.key == field_plan.key), None)
    if request is None:
        return
    try:
        _check_unchanged(plan, field_plan, field, request)
        _plan_inverse(facts, plan, field_plan, field, request)
    except UnknownValue as unknown:
        field_plan.undo_rejection = Message("undo_value_unknown", quote=reason_of(unknown))
    except (ResolutionRejected, field_values.RelatedNotFound, ValueError) as rejection:
        field_plan.undo_rejection = reason_of(rejection)


def _check_unchanged(plan: RecordPlan, field_plan: FieldPlan, field: merge.Field, request: reports.UndoRequest) -> None:
    """Raise ResolutionRejected unless both sides still have what the choice left there."""
    mapping = field_plan.mapping
    converter = field_plan.converter
    after = request.after
    if not after or after["item"] != plan.item_id or not mapping.is_current(after):
        raise ResolutionRejected("undo_item_changed")
    if field.direction is not SyncDirection.BIDIRECTIONAL:
        raise ResolutionRejected("undo_one_way", label=mapping.label)
    if field_plan.key in plan.facts.open_fields(ConflictKind.FIELDS, ConflictKind.OVERWRITTEN):
        raise ResolutionRejected("undo_in_conflict")
    if field.local != converter.canonical_local(after["local"]):
        raise ResolutionRejected("undo_npd_changed")
    if field.remote != converter.canonical_remote(after["remote"]):
        # Our own call, whose answer was lost, may have restored Monday's side already.
        key = field_plan.key
        entries = [intent.values[key] for intent in plan.intents_about_item if key in intent.values]
        is_previous = field.remote == converter.canonical_remote(request.before["remote"])
        if not (is_previous and any(converter.canonical_local(entry["local"]) == field.remote for entry in entries)):
            raise ResolutionRejected("undo_monday_changed")


def _plan_inverse(
    facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field, request: reports.UndoRequest
) -> None:
    """Plan to write both sides' previous values.

    Raises ResolutionRejected, RelatedNotFound, UnknownValue or ValueError.
    """
    converter = field_plan.converter
    record = plan.record
    before = request.before
    local = converter.canonical_local(before["local"])
    remote = converter.canonical_remote(before["remote"])
    pull_raw = send_raw = None
    if local != field.local:
        raw = field_values.resolve_relations(facts.related, type(record), before["local"])
        try:
            pull_raw = field_values.clean_values(record, raw)
        except ValidationError as error:
            raise ResolutionRejected("undo_npd_rejects", quote=" ".join(error.messages)) from error
    if remote != field.remote:
        # If both sides agreed then, NPD's raw value needs no conversion, which could lose something.
        previous = before["local"] if remote == local else _as_npd_value(converter, before)
        send_raw = field_values.resolve_relations(facts.related, type(record), previous)
        if reason := converter.rejection_reason(send_raw):
            raise ResolutionRejected("undo_monday_rejects", quote=reason)
        if our_writes.sends_in_vain(facts.board, plan, field_plan, send_raw) >= MAX_SENDS:
            raise ResolutionRejected("undo_swallowed")
    if send_raw is not None:
        action = merge.Action.PUSH if pull_raw is None else merge.Action.BOTH
    else:
        action = merge.Action.NOTHING if pull_raw is None else merge.Action.PULL
    field_plan.decision = merge.FieldDecision(action, _UNDO_REASON, overrides=True)
    field_plan.send_raw = send_raw
    field_plan.pull_raw = pull_raw
    field_plan.resolved_conflict = None
    field_plan.undo = request


def undo_context(plans: Iterable[RecordPlan]) -> dict[str, Any]:
    """Return the columns an undo restores, for the audit context."""
    undone_columns = {}
    for plan in plans:
        columns = [
            field_values.field_of(plan.record, name).attname
            for field_plan in plan.fields.values()
            if field_plan.undo is not None and field_plan.pull_raw is not None
            for name in field_plan.mapping.fields
        ]
        if columns:
            undone_columns[str(plan.id)] = columns
    return {UNDONE_COLUMNS_KEY: undone_columns} if undone_columns else {}


def apply_resolution(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field) -> None:
    """Apply a person's choice about the field if the values that they saw are still the same, else reject it.

    `field` gets the choice, by which it is merged.
    """
    key = field_plan.key
    # An overwritten edit comes first, because restoring it writes both sides whatever the other conflict says.
    overwritten = plan.facts.resolved_conflict(ConflictKind.OVERWRITTEN, key)
    if overwritten is not None and _restores_overwritten(facts, plan, field_plan, field, overwritten):
        return
    conflict = plan.facts.resolved_conflict(ConflictKind.FIELDS, key)
    field_plan.resolved_conflict = conflict
    if conflict is None:
        return
    try:
        value = _chosen_value(facts, plan, field_plan, field)
    except (ResolutionRejected, ValueError, field_values.RelatedNotFound) as rejection:
        field_plan.rejected[conflict.kind] = reason_of(rejection)
        field_plan.resolved_conflict = None
        return
    field.choice = conflict.resolutions[key].choose
    field.chosen_value = value


def _restores_overwritten(
    facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field, overwritten: reports.OpenConflict
) -> bool:
    """Apply a person's choice about an overwritten edit; return whether both sides get it again."""
    resolution = overwritten.resolutions[field_plan.key]
    field_plan.resolved_conflict = overwritten
    try:
        value = _value_to_restore(facts, plan, field_plan, field)
        display = field_plan.converter.display
        expected = {resolution.npd or None}
        if resolution.choose != "npd":
            # A call whose answer was lost may have restored one side already.
            expected.add(display(value) or None)
        if not {display(field.local) or None, display(field.remote) or None} <= expected:
            raise ResolutionRejected(STALE_RESOLUTION)
        if resolution.choose == "npd":
            # The edit stays overwritten: there is nothing to write.
            field_plan.applied = {overwritten.kind: resolution.npd or None}
        else:
            field.choice = resolution.choose
            field.chosen_value = value
            field.restore_reason = Message("person_restored_overwritten")
            return True
    except (ResolutionRejected, ValueError, field_values.RelatedNotFound) as rejection:
        field_plan.rejected[overwritten.kind] = reason_of(rejection)
    return False


def _chosen_value(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field) -> merge.Canonical:
    """Return the value that a person typed; None if a side or the base was chosen.

    Raises ResolutionRejected if the person saw other values than the current ones; also ValueError, RelatedNotFound.
    """
    resolution = field_plan.resolution
    choose = field_plan.choice
    source_choice, source = _SOURCE.get(field.direction, (choose, ""))
    if choose != source_choice:
        raise ResolutionRejected("choice_one_way", label=field_plan.mapping.label, side=source)
    current = as_conflict(field_plan)
    # Our own call may have written Monday's value already.
    monday_changed = field_plan.confirmed_entry is None and current.monday != (resolution.monday or None)
    if monday_changed or current.npd != (resolution.npd or None):
        raise ResolutionRejected(STALE_RESOLUTION)
    if choose == "base" and field.base is None:
        raise ResolutionRejected("choice_without_base")
    if choose != "custom":
        return None
    return field_plan.converter.canonical_local(typed_values(facts, plan, field_plan))


def _value_to_restore(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field) -> merge.Canonical:
    """Return the overwritten value to write to both sides, None if it stays lost; raises as `_chosen_value` does."""
    choose = field_plan.resolution.choose
    if choose == "npd":
        return None
    if choose not in ("monday", "custom"):
        raise ResolutionRejected("restore_without_base")
    if field.direction is not SyncDirection.BIDIRECTIONAL:
        raise ResolutionRejected("restore_one_way")
    return field_plan.converter.canonical_local(typed_values(facts, plan, field_plan))


def typed_values(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan) -> dict[str, Any]:
    """Return the raw values of what a person typed or restores; raises ValueError and RelatedNotFound with a reason."""
    resolution = field_plan.resolution
    mapping = field_plan.mapping
    text = (resolution.monday if resolution.choose == "monday" else resolution.value) or ""
    return field_values.parse_input(field_plan.converter, plan.record, mapping.fields, text, facts.related)


def as_conflict(field_plan: FieldPlan, reason: str = "") -> reports.FieldConflict:
    """Return NPD's value, the base and Monday's value as people read them; an empty base is an empty text.

    Related records of the same name are shown with their items.
    """
    converter = field_plan.converter
    base = field_plan.base
    values = (
        converter.canonical_local(field_plan.local_raw),
        converter.canonical_local(base["local"]) if base else None,
        converter.canonical_remote(field_plan.remote_raw),
    )
    names = [converter.display(value) or None for value in values]
    texts = list(names)
    if converter.names_items:
        for i, name in enumerate(names):
            items = {value for value, other in zip(values, names, strict=True) if other == name}
            if name and len(items) > 1:
                texts[i] = f"{name} (item {values[i]})"
    npd, base_text, monday = texts
    if base:
        base_text = base_text or ""
    return reports.FieldConflict(field_plan.key, npd, base_text, monday, reason)
