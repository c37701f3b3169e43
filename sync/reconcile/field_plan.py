"""Decide what a pass sends or writes for a field, or why it is blocked, by merge.py's decision.

Implements, of docs/reference/merge:

- field.md: a change of one side goes to the other; if both changed, the field's rule decides; one way the source's
  value is written to the other side, whatever that side has
- V17 in values.md: a field with a side that can't be read is blocked, not emptied
- W14 in after-a-write.md: if Monday shows the value that an intent without an answer sent, that is the base
- the values of a new item

The functions at the end are about values that Monday refused. A person may keep one in NPD only, until the value, its
column or the mapping's version changes; if Monday's value changes without a conflict, people are asked again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError

from conflicts.reports import KIND_UNDO, ConflictKind
from sync import merge
from sync.choices import BlockedCode, Cause, ColumnProblem, Rule, SyncDirection
from sync.fields import field_bases, field_values
from sync.models import FieldMapping
from sync.models.boards_and_account import NO_COLUMN
from sync.models.records_and_items import KEPT_BY, KEPT_REMOTE
from sync.monday import conversion
from sync.monday.board_items import NAME_COLUMN, Item
from sync.monday.lag import MAX_SENDS
from sync.reconcile import our_writes, resolutions
from sync.reconcile.change_events import change_events
from sync.reconcile.facts import PassFacts
from sync.reconcile.pass_plan import NOTHING, EntityPlan, FieldPlan, RecordPlan
from sync.registry import relation_of, target_of
from sync.words.message import Message, reason_of

_UNDECIDED = merge.FieldDecision(merge.Action.UNDECIDED)


def fill_in_fields(facts: PassFacts, plan: RecordPlan) -> None:
    """Decide its fields, and whether the item lacks the NPD ID."""
    if plan.unlink_reason:
        return
    plan.fields = decide_fields(facts, plan)
    if plan.item is not None and facts.board.link.npd_id_column:
        plan.sends_npd_id = field_values.npd_id_of(facts.board, plan.item) not in (None, str(plan.id))
    if plan.creates and plan.record.sync_direction == SyncDirection.MONDAY_TO_NPD:
        plan.end_settled(Message("no_item_and_only_to_npd"))


def decide_fields(facts: PassFacts, plan: RecordPlan) -> dict[str, FieldPlan]:
    """Decide every mapped field of a record; without an item, for the item to be created."""
    decided = (_decide_field(facts, plan, mapping) for mapping in facts.board.mappings)
    return {field_plan.key: field_plan for field_plan in decided if field_plan is not None}


def _decide_field(facts: PassFacts, plan: RecordPlan, mapping: FieldMapping) -> FieldPlan | None:
    """Decide one field; None if the item to be created doesn't get it."""
    item = plan.item
    converter = facts.board.converter(mapping, plan.record)
    direction = plan.direction_of(mapping)
    is_unresolved = plan.facts.open_intents or plan.facts.conflicts
    is_retyped = item is not None and mapping.problem_code == ColumnProblem.RETYPED
    if mapping.column_id and direction is not SyncDirection.NONE and not (is_unresolved or is_retyped):
        resting_plan = _resting_plan(plan, mapping, converter)
        if resting_plan is not None:
            return resting_plan
    field_plan = FieldPlan(mapping, converter, direction, _UNDECIDED, field_values.local_values(plan.record, mapping))
    if mapping.key in plan.doubts.set_aside:
        field_plan.decide(merge.Action.UNDECIDED, plan.doubts.set_aside[mapping.key])
    elif is_retyped or not mapping.column_id:
        _leave_unknown(field_plan, BlockedCode.COLUMN, mapping.problem if is_retyped else NO_COLUMN)
    elif item is not None:
        _decide_present(facts, plan, field_plan, item)
    elif direction.sends or mapping.column_id == NAME_COLUMN:
        _decide_create(facts, plan, field_plan)
    else:
        return None
    return field_plan


def _resting_plan(plan: RecordPlan, mapping: FieldMapping, converter: conversion.Converter) -> FieldPlan | None:
    """Return the plan of a field if both sides still have the base's values, as nearly all fields do; else None."""
    base = field_bases.resting_base(plan.sync_state, mapping, converter, plan.record, plan.item)
    if base is None:
        return None
    if converter.may_become_unknown:
        try:
            converter.canonical_remote(base["remote"])
            converter.canonical_local(base["local"])
        except conversion.UnknownValue:
            return None
    return FieldPlan(mapping, converter, plan.direction_of(mapping), NOTHING, base["local"], base["remote"], base=base)


def _decide_present(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, item: Item) -> None:
    """Decide a field whose record has an item, by what was read of it."""
    mapping = field_plan.mapping
    converter = field_plan.converter
    try:
        field_plan.remote_raw = converter.cell_value(item.reading(mapping.column_id))
        remote = converter.canonical_remote(field_plan.remote_raw)
    except conversion.UnknownValue as unknown:
        detail = Message("value_unknown_fix", quote=reason_of(unknown))
        code = BlockedCode.COLUMN if mapping.problem else BlockedCode.UNKNOWN
        _leave_unknown(field_plan, code, mapping.problem or detail)
        return
    try:
        local = converter.canonical_local(field_plan.local_raw)
    except conversion.UnknownValue as unknown:
        _decide_unknown_local(facts, plan, field_plan, reason_of(unknown))
        return
    _decide_merged(facts, plan, field_plan, merge.Values(local, remote))


def _decide_merged(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, values: merge.Values) -> None:
    """Decide a field whose present `values` are known on both sides."""
    try:
        base, confirmed = our_writes.base_with_intents(
            plan, field_plan.mapping, field_plan.converter, field_plan.remote_raw
        )
        field_plan.base = base
        field_plan.confirmed = tuple(confirmed)
        is_emptied = values.local is not None and field_plan.direction is not SyncDirection.NONE
        is_emptied = is_emptied and is_emptied_by_removal(facts, plan, field_plan.mapping)
        field = _field_to_merge(facts, plan, field_plan, values, emptied_by_removal=is_emptied)
        if base and is_emptied and (field_plan.direction is SyncDirection.MONDAY_TO_NPD or not field.local_changed):
            _block_emptied(facts, field_plan, base)
            return
        resolutions.apply_resolution(facts, plan, field_plan, field)
    except conversion.UnknownValue as unknown:
        field_plan.resolved_conflict = None
        detail = Message("last_value_unknown", quote=reason_of(unknown))
        _leave_unknown(field_plan, BlockedCode.UNKNOWN, detail)
        return
    resolutions.apply_undo(facts, plan, field_plan, field)
    if field_plan.resolved_kind == KIND_UNDO:
        return
    field_plan.decision = merge.decide_field(field)
    action = field_plan.decision.action
    if field_plan.key in plan.doubts.lost_cells and action is merge.Action.PUSH:
        field_plan.decide(merge.Action.PUSH, Message("emptied_by_nobody"))
    # merge.py compares names; a relation is equal if both sides name the same record.
    if field.base is None and action is merge.Action.CONFLICT and _names_the_same(facts, field_plan):
        field_plan.decide(merge.Action.AGREED, Message("both_name_the_same"))
    apply_decision(facts, plan, field_plan, field)


def _field_to_merge(
    facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, values: merge.Values, *, emptied_by_removal: bool
) -> merge.Field:
    mapping = field_plan.mapping
    direction = field_plan.direction
    converter = field_plan.converter
    base = field_plan.base
    agreed = None
    if base and not (mapping.key in plan.doubts.lost_cells and direction is SyncDirection.BIDIRECTIONAL):
        # Nobody changed a cell that a removal emptied, so NPD's value is sent whatever the rule.
        remote = None if emptied_by_removal else field_bases.base_remote(converter, base)
        agreed = merge.Values(converter.canonical_local(base["local"]), remote)
    emptied_since_old_base = False
    if base is None and values.local is None and (entry := plan.sync_state.base.get(mapping.key)):
        # The stored base has another column, so only NPD's half is readable. An unknown value, such as the item of a
        # related record, was not empty.
        emptied_since_old_base = field_bases.side_of(converter.canonical_local, entry["local"]) is not None
    edited = merge.EditTimes()
    if (mapping.first_match if base is None else mapping.rule) == Rule.NEWEST:
        edited = merge.EditTimes(
            _npd_edit_time(plan, field_plan), _monday_edit_time(facts, plan, field_plan, values.remote)
        )
    return merge.Field(
        local=values.local,
        remote=values.remote,
        base=agreed,
        direction=direction,
        rule=Rule(mapping.rule),
        first_match=Rule(mapping.first_match),
        required=mapping.required,
        emptied_since_old_base=emptied_since_old_base,
        edited=edited,
    )


def _npd_edit_time(plan: RecordPlan, field_plan: FieldPlan) -> datetime | None:
    """Return when somebody edited the field in NPD, by its history; None if the sync did, or it isn't known."""
    history = plan.facts.npd_edits
    names = [field_values.field_of(plan.record, name).attname for name in field_plan.mapping.fields]
    for event, before in zip(history, [*history[1:], None], strict=False):
        if before is None and event.pgh_label != "insert":
            return None
        if before is None or any(getattr(event, name) != getattr(before, name) for name in names):
            metadata = event.pgh_context.metadata if event.pgh_context else {}
            if metadata.get("cause") == "sync":
                return None
            at: datetime = event.pgh_created_at
            return at
    return None


def _monday_edit_time(
    facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, remote: merge.Canonical
) -> datetime | None:
    """Return when the field was edited on Monday: the time of the newest event if it has this value, else the column's.

    If the newest event has another value, the event with the current one was lost. Only some columns keep a time.
    """
    events = facts.events.get(plan.item_id, ())
    changes = [event for event in change_events(facts.board, plan.record, events) if event.key == field_plan.key]
    newest = max((event.at for event in changes), default=None)
    if any(event.value == remote for event in changes if event.at == newest):
        return newest
    value = plan.item.reading(field_plan.mapping.column_id).value if plan.item else None
    changed_at = value.get("changed_at") if isinstance(value, Mapping) else None
    try:
        at = datetime.fromisoformat(changed_at) if isinstance(changed_at, str) else None
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _names_the_same(facts: PassFacts, field_plan: FieldPlan) -> bool:
    """Whether both sides of a relation name the same record: “ACME” and “Acme” do if only one has that name."""
    model = facts.board.model
    if relation_of(model, field_plan.mapping.fields) is None:
        return False
    remote = field_plan.converter.to_local(field_plan.remote_raw, field_plan.local_raw)
    try:
        resolved = field_values.resolve_relations(facts.related, model, remote)
    except field_values.RelatedNotFound:
        return False
    return field_values.related_id(resolved) == field_values.related_id(field_plan.local_raw)


def is_emptied_by_removal(facts: PassFacts, plan: EntityPlan, mapping: FieldMapping) -> bool:
    """Whether its cell of connected boards is empty because the item that the base names left its board."""
    converter = facts.board.converter(mapping, plan.record)
    base = field_bases.base_of(plan.sync_state, mapping, plan.item_id)
    if plan.item is None or base is None or not converter.names_items:
        return False
    cell = field_bases.cell_of(converter, mapping, plan.item)
    expected = field_bases.side_of(partial(field_bases.base_remote, converter), base)
    return field_bases.side_of(converter.canonical_remote, cell) is None and expected in facts.removed_related_items


def _block_emptied(facts: PassFacts, field_plan: FieldPlan, base: Mapping[str, Any]) -> None:
    relation = relation_of(facts.board.model, field_plan.mapping.fields)
    assert relation is not None
    kind = str(target_of(relation)._meta.verbose_name)
    reason = Message("related_item_removed", kind=kind, name=field_values.related_name(base["local"]))
    _block_undecided(field_plan, BlockedCode.RELATION, reason)


def _decide_create(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan) -> None:
    """Decide a field of the item to be created."""
    converter = field_plan.converter
    local_raw = field_plan.local_raw
    field_plan.decide(merge.Action.PUSH, Message("new_on_monday"))
    if problem := field_plan.mapping.problem:
        _block_undecided(field_plan, BlockedCode.COLUMN, problem)
        return
    try:
        empty = converter.canonical_local(local_raw) is None
    except conversion.UnknownValue as unknown:
        _decide_unknown_local(facts, plan, field_plan, reason_of(unknown))
        return
    # A required column takes no empty value, so the field is blocked.
    if empty and not converter.rejection_reason(local_raw):
        field_plan.decide(merge.Action.AGREED, Message("empty_on_both"))
    else:
        _plan_push(plan, field_plan, local_raw)


def _decide_unknown_local(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, problem: str) -> None:
    """Decide a field whose value in NPD has no form on Monday, mostly a relation to a record without an item."""
    mapping = field_plan.mapping
    if field_plan.direction is SyncDirection.MONDAY_TO_NPD:
        _pull_over_unknown_local(facts, plan, field_plan)
        return
    is_relation = relation_of(facts.board.model, mapping.fields) is not None
    related = getattr(plan.record, mapping.fields[0]) if is_relation else None
    if related is None or field_plan.direction is SyncDirection.NONE:
        detail = Message("npd_value_unsendable", quote=problem)
        _leave_unknown(field_plan, BlockedCode.UNKNOWN, detail)
    else:
        _block_undecided(field_plan, *field_values.why_no_item(related, facts.related_boards))


def _pull_over_unknown_local(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan) -> None:
    """Overwrite NPD's value by Monday's, whatever it is: here a text that equals no other stands for it."""
    mapping = field_plan.mapping
    converter = field_plan.converter
    local = "(a value that Monday can't show)"
    remote = converter.canonical_remote(field_plan.remote_raw)
    base = None
    if entry := field_bases.base_of(plan.sync_state, mapping, plan.item_id):
        if is_emptied_by_removal(facts, plan, mapping):
            _block_emptied(facts, field_plan, entry)
            return
        # NPD's side has changed only if it names another record than the base.
        is_unchanged = field_values.related_id(entry["local"]) == field_values.related_id(field_plan.local_raw)
        base = merge.Values(None, None)
        if is_unchanged:
            base = merge.Values(local, field_bases.base_remote(converter, entry))
    field = merge.Field(local, remote, base=base, direction=field_plan.direction, required=mapping.required)
    field_plan.decision = merge.decide_field(field)
    apply_decision(facts, plan, field_plan, field)


def apply_decision(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field) -> None:
    """Fill in the raw values that the decision sends or writes, or block the field if that side can't take them."""
    action = field_plan.decision.action
    if not plan.record.may_sync:
        field_plan.resolved_conflict = None
        _plan_push_by_name(plan, field_plan)
        return
    if field_plan.resolved_kind == ConflictKind.FIELDS:
        # A choice that writes nothing isn't applied, unless our own call did it before or both sides have its value.
        is_written = action in (merge.Action.PUSH, merge.Action.PULL, merge.Action.BOTH)
        is_restored = action is merge.Action.AGREED and field.restore_reason
        if not (is_written or is_restored or field_plan.confirmed_entry is not None):
            field_plan.resolved_conflict = None
    match action:
        case merge.Action.PUSH:
            _plan_push(plan, field_plan, field_plan.local_raw)
        case merge.Action.PULL:
            _plan_pull(facts, plan, field_plan, field)
        case merge.Action.BOTH:
            # Lists are united only if both sides can have every element.
            try:
                raw = _value_for_both(facts, plan, field_plan, field)
            except conversion.UnknownValue as unknown:
                reason = Message("lists_not_merged", quote=reason_of(unknown))
                field_plan.block(BlockedCode.INVALID, reason)
                return
            _plan_local_write(facts, plan, field_plan, raw)
            if not field_plan.blocked_code:
                _plan_push(plan, field_plan, field_plan.write_raw or {})
        case merge.Action.CONFLICT:
            _plan_conflict(facts, field_plan)
        case merge.Action.BLOCK:
            field_plan.block(BlockedCode.REQUIRED, field_plan.decision.reason)


def _plan_push(plan: RecordPlan, field_plan: FieldPlan, raw: dict[str, Any]) -> None:
    if refusal := standing_refusal(plan, field_plan):
        field_plan.block(BlockedCode.REJECTED, refusal)
        return
    if unfit := field_plan.converter.rejection_reason(raw):
        field_plan.block(BlockedCode.LIMIT, Message("quoted", quote=unfit))
        return
    field_plan.sends_in_vain = our_writes.sends_in_vain(plan, field_plan, raw)
    if field_plan.sends_in_vain >= MAX_SENDS:
        reason = swallowed_reason(field_plan, raw)
        if field_plan.choice:
            field_plan.block(BlockedCode.REJECTED, reason)
            return
        if not plan.facts.causes & Cause.PERSON:
            field_plan.decide(merge.Action.NOTHING, reason)
            field_plan.write_raw = None
            return
    field_plan.send_raw = raw


def swallowed_reason(field_plan: FieldPlan, raw: dict[str, Any]) -> Message:
    """Return why a value that Monday answered without storing it isn't on the board."""
    shown = field_plan.converter.display_remote(field_plan.remote_raw)
    code = "swallowed_once" if field_plan.sends_in_vain < MAX_SENDS else "swallowed_twice"
    return Message(code, value=field_plan.display_local(raw), shown=shown)


def _plan_pull(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field) -> None:
    converter = field_plan.converter
    try:
        raw = converter.to_local(field_plan.remote_raw, field_plan.local_raw)
    except conversion.AmbiguousSplit as unsplit:
        if field_plan.choice != "monday":
            _set_conflict(field_plan, reason_of(unsplit))
            return
        raw = converter.from_text(converter.display(field.remote), field_plan.local_raw)
    except conversion.UnknownValue as unknown:
        reason = Message("npd_cannot_take", quote=reason_of(unknown))
        field_plan.block(BlockedCode.INVALID, reason)
        return
    _plan_local_write(facts, plan, field_plan, raw)


def _value_for_both(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field) -> Mapping[str, Any]:
    if not field.choice and isinstance(field_plan.converter, conversion.ListConverter):
        return field_plan.converter.merge_elements(
            field_plan.decision.value, field_plan.remote_raw, field_plan.local_raw
        )
    if field_plan.resolved_conflict is None:
        return field_plan.local_raw
    if field_plan.choice == "base" and field_plan.base is not None:
        return dict(field_plan.base["local"])
    return resolutions.typed_values(facts, plan, field_plan)


def _plan_local_write(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, raw: Mapping[str, Any]) -> None:
    """Plan to write a value in NPD if its constraints allow it, else block the field."""
    try:
        full = field_values.resolve_relations(facts.related, facts.board.model, raw)
        field_plan.write_raw = field_values.clean_values(plan.record, full)
    except field_values.RelatedNotFound as not_found:
        _await_related(field_plan, not_found)
    except ValidationError as invalid:
        reason = Message("npd_cannot_take", quote=" ".join(invalid.messages))
        field_plan.block(BlockedCode.INVALID, reason)


def _await_related(field_plan: FieldPlan, not_found: field_values.RelatedNotFound) -> None:
    """Leave a relation undecided until exactly one record is the one that Monday's value names."""
    _block_undecided(field_plan, BlockedCode.RELATION, not_found.reason)
    field_plan.awaited = not_found.awaited


def _plan_conflict(facts: PassFacts, field_plan: FieldPlan) -> None:
    """Plan a conflict, if the record that Monday's side of a relation names is known."""
    if relation_of(facts.board.model, field_plan.mapping.fields) is not None:
        try:
            raw = field_plan.converter.to_local(field_plan.remote_raw, field_plan.local_raw)
            field_values.resolve_relations(facts.related, facts.board.model, raw)
        except conversion.UnknownValue as unknown:
            field_plan.block(BlockedCode.UNKNOWN, Message("value_unknown", quote=reason_of(unknown)))
            return
        except field_values.RelatedNotFound as not_found:
            _await_related(field_plan, not_found)
            return
    _set_conflict(field_plan, field_plan.decision.reason)


def _set_conflict(field_plan: FieldPlan, reason: str) -> None:
    field_plan.decide(merge.Action.CONFLICT, reason)
    field_plan.conflict = resolutions.as_conflict(field_plan, reason)


def _plan_push_by_name(plan: RecordPlan, field_plan: FieldPlan) -> None:
    """Plan only to send NPD's changes, because a person pushes a record whose sync is off."""
    action = field_plan.decision.action
    if action is merge.Action.PUSH:
        _plan_push(plan, field_plan, field_plan.local_raw)
    elif action is merge.Action.CONFLICT:
        field_plan.block(BlockedCode.DIRECTION, Message("changed_on_monday_too"))
    elif action in (merge.Action.PULL, merge.Action.BOTH):
        field_plan.decide(merge.Action.NOTHING, Message("sync_is_off_now"))


def _leave_unknown(field_plan: FieldPlan, code: BlockedCode, detail: str) -> None:
    """Leave a field with an unknown side undecided, unless its direction syncs nothing."""
    if field_plan.direction is SyncDirection.NONE:
        field_plan.decide(merge.Action.NOTHING, merge.NO_SYNC)
    else:
        _block_undecided(field_plan, code, detail)


def _block_undecided(field_plan: FieldPlan, code: BlockedCode, reason: str) -> None:
    field_plan.decide(merge.Action.UNDECIDED, reason)
    field_plan.block(code, reason)


def standing_refusal(plan: RecordPlan, field_plan: FieldPlan) -> str:
    """Return why a value that Monday refused isn't sent again; empty if it may be sent.

    It is sent again once it or its column changes, or a person asks for it. If a person keeps it in NPD only, asking
    is not enough: Monday's value must have changed, too.
    """
    entry = plan.sync_state.blocked_fields.get(field_plan.key)
    if not entry or entry["code"] != BlockedCode.REJECTED or not _is_same_value(entry, field_plan):
        return ""
    is_requested = bool(plan.facts.causes & Cause.PERSON)
    if KEPT_BY in entry:
        is_requested = is_requested or bool(field_plan.choice)
        is_requested = is_requested and not _is_monday_unchanged(entry, plan.item, field_plan)
    return "" if is_requested else entry["reason"]


def is_kept_different(entry: Mapping[str, Any], item: Item | None, field_plan: FieldPlan) -> bool:
    """Whether a person keeps the value in NPD only, so that the field is decided though its sides differ.

    `entry` is the field's in `blocked_fields`.
    """
    return (
        KEPT_BY in entry
        and field_plan.blocked_code in (BlockedCode.REJECTED, BlockedCode.LIMIT)
        and _is_same_value(entry, field_plan)
        and _is_monday_unchanged(entry, item, field_plan)
    )


def _is_same_value(entry: Mapping[str, Any], field_plan: FieldPlan) -> bool:
    return bool(entry["local"] == field_plan.local_raw) and field_plan.mapping.is_current(entry)


def _is_monday_unchanged(kept: Mapping[str, Any], item: Item | None, field_plan: FieldPlan) -> bool:
    """Whether Monday shows the same value as when the person kept NPD's; true for a new item."""
    mark = kept[KEPT_BY]
    if item is None or KEPT_REMOTE not in mark:
        return True
    converter = field_plan.converter
    try:
        return converter.canonical_remote(mark[KEPT_REMOTE]) == converter.canonical_remote(field_plan.remote_raw)
    except conversion.UnknownValue:
        return False
