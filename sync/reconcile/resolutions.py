"""What becomes of a person's decisions on fields: in a conflict, about an overwritten edit, or to undo one.

Implements “Conflicts” of docs/reference/merge.md, from *a resolution … is stored* on: a choice is for exactly the
values that the person saw. It is applied if they are still the same, else returned with the reason. An overwritten
value stays lost or is written to both sides again; an undo is applied if neither side has changed.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from django.core.exceptions import ValidationError

from conflicts import reports
from sync import merge
from sync.choices import BlockedCode
from sync.monday.conversion import AmbiguousSplit, Converter, UnknownValue
from sync.reconcile import field_values
from sync.reconcile.facts import RecordFacts
from sync.reconcile.pass_plan import FieldPlan, PassFacts, RecordPlan
from sync.records.authors import RESTORED_KEY

_UNDO_REASON = "restored as it was before the conflict was resolved"


class _NotNow(Exception):
    """A choice, or its inverse, can't be carried out; the message says why."""


def undo_request_of(conflicts: Iterable[reports.OpenConflict], key: str) -> reports.OpenConflict | None:
    """Return the settled conflict in which this field is to be put back, if anybody wants that."""
    requests = (
        conflict for conflict in conflicts if conflict.kind == reports.KIND_UNDO and key in conflict.resolutions
    )
    return next((request for request in requests if request.inverse.get(key)), None)


def chosen_references(board: field_values.BoardContext, facts: RecordFacts) -> set[field_values.Reference]:
    """Return the related records that people's choices on relations may name, and the values of before these."""
    raws: list[Mapping[str, Any]] = []
    for mapping, relation in board.relations:
        convert = board.converter(mapping, facts.record)
        key = mapping.key
        for conflict in facts.conflicts:
            if selection := conflict.resolutions.get(key):
                raws += [{relation.name: {"name": text}} for text in (selection.monday, selection.value) if text]
            if before := conflict.inverse.get(key, {}).get("before"):
                raws.append(before["local"])
                with suppress(UnknownValue):
                    raws.append(_local_of_then(convert, before))
        if facts.conflicts and (base := facts.ledger.base.get(key)):
            raws.append(base["local"])
    return field_values.references_of(board.model, raws)


def _local_of_then(convert: Converter, before: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what NPD would say of Monday's value of then."""
    try:
        return convert.to_local(before["remote"], before["local"])
    except AmbiguousSplit:
        return convert.from_text(convert.display(convert.remote(before["remote"])), before["local"])


def inverse_of(plan: RecordPlan, field_plan: FieldPlan) -> dict[str, Any]:
    """Return what would undo the choice just settled: both sides' raw values and the base, before and after."""
    entry = field_plan.confirmed_entry or {"read": field_plan.remote_raw, "base": field_plan.base}
    before = {"local": field_plan.local_raw, "remote": entry["read"], "base": entry["base"]}
    return {"before": before, "after": plan.ledger.base.get(field_plan.mapping.key)}


def with_undo(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field) -> FieldPlan:
    """Plan the inverse of a settled choice where one is wanted; handed back, the field goes its usual way."""
    request = undo_request_of(plan.facts.conflicts, field.key)
    if request is None:
        return field_plan
    try:
        _check_unchanged(plan.facts, field_plan, field, request.inverse[field.key])
        return _plan_inverse(facts.related, plan, field_plan, field, request)
    except UnknownValue as unknown:
        reason = f"A value of then is not known any more: {unknown}."
    except (_NotNow, field_values.RelatedNotFound, ValueError) as why:
        reason = str(why)
    return replace(field_plan, rejected={**field_plan.rejected, reports.KIND_UNDO: reason})


def _check_unchanged(facts: RecordFacts, field_plan: FieldPlan, field: merge.Field, inverse: Mapping[str, Any]) -> None:
    mapping = field_plan.mapping
    convert = field_plan.convert
    after = inverse["after"]
    item_id = facts.item.id if facts.item else ""
    if not after or after["item"] != item_id or not mapping.is_current(after):
        raise _NotNow("The record has another item, or the field another column, since then, so nothing was put back.")
    if field.way is not merge.FieldDirection.BOTH:
        raise _NotNow(f"{mapping.label} is synced one way only now, so nothing was restored.")
    if field.key in facts.open_fields(reports.KIND_FIELDS, reports.KIND_OVERWRITTEN):
        raise _NotNow("It is in conflict again already. Resolve that conflict.")
    if field.local != convert.local(after["local"]):
        raise _NotNow("NPD's value has changed since, so nothing was put back.")
    if field.remote != convert.remote(after["remote"]):
        # Our own call, whose answer was lost, may have put back Monday's half already.
        sent = [entry for intent in facts.intents_about(item_id) if (entry := intent.values.get(field.key))]
        is_half_undone = field.remote == convert.remote(inverse["before"]["remote"])
        if not is_half_undone or all(convert.local(entry["local"]) != field.remote for entry in sent):
            raise _NotNow("Monday's value has changed since, so nothing was put back.")


def _plan_inverse(
    related: field_values.RelatedRecords,
    plan: RecordPlan,
    field_plan: FieldPlan,
    field: merge.Field,
    request: reports.OpenConflict,
) -> FieldPlan:
    """Give the field the raw values that go to either side; raises _NotNow, RelatedNotFound, UnknownValue, …"""
    convert = field_plan.convert
    record = plan.record
    before = request.inverse[field.key]["before"]
    local = convert.local(before["local"])
    remote = convert.remote(before["remote"])
    write_raw = send_raw = None
    if local != field.local:
        full = field_values.resolve_relations(related, type(record), before["local"])
        try:
            write_raw = field_values.clean_values(record, full)
        except ValidationError as error:
            raise _NotNow(f"NPD can't take the value of then: {' '.join(error.messages)}") from error
    if remote != field.remote:
        sent: Mapping[str, Any] = before["local"]
        if remote != local:
            sent = _local_of_then(convert, before)
        send_raw = field_values.resolve_relations(related, type(record), sent)
        if reason := convert.rejection_reason(send_raw):
            raise _NotNow(f"Monday won't take the value of then: {reason}")
    if send_raw is not None:
        action = merge.Action.PUSH if write_raw is None else merge.Action.BOTH
    else:
        action = merge.Action.NOTHING if write_raw is None else merge.Action.PULL
    decision = merge.FieldDecision(field.key, action, _UNDO_REASON, overrides=True)
    return replace(field_plan, decision=decision, send_raw=send_raw, write_raw=write_raw, resolves=request)


def undo_context(plans: Iterable[RecordPlan]) -> dict[str, Any]:
    """Say, for the context of what is written, which columns an undo gives the values of before."""
    columns = {
        str(plan.id): [
            field_values.field_of(plan.record, name).attname
            for field_plan in plan.plans.values()
            if field_plan.resolved_kind == reports.KIND_UNDO and field_plan.write_raw is not None
            for name in field_plan.mapping.fields
        ]
        for plan in plans
    }
    undone_columns = {key: names for key, names in columns.items() if names}
    return {RESTORED_KEY: undone_columns} if undone_columns else {}


def reopened_conflicts(plan: RecordPlan, kind: str) -> list[reports.FieldConflict]:
    """Return the fields of this kind that this pass has put back: they are in conflict again."""
    reopened = []
    for key, field_plan in plan.plans.items():
        request = field_plan.resolves
        shown = None
        if request and request.resolved_kind == kind and reports.KIND_UNDO in field_plan.applied:
            base = request.inverse[key]["before"]["base"] if kind == reports.KIND_FIELDS else None
            with suppress(UnknownValue):
                shown = field_plan.convert.display(field_plan.convert.local(base["local"])) if base else None
            choice = request.resolutions[key]
            reopened.append(
                reports.FieldConflict(
                    key, choice.npd, shown or None, choice.monday, "Changed on both sides: its resolution was undone."
                )
            )
    return reopened


def overruled_values(plan: RecordPlan) -> Iterator[reports.FieldConflict]:
    """Yield what the resolutions that can't be undone any more had overruled, beside what stands on both sides now."""
    for key, p in plan.plans.items():
        request = undo_request_of(plan.facts.conflicts, key)
        if reports.KIND_UNDO not in p.rejected or request is None or not p.is_agreed:
            continue
        choice = request.resolutions[key]
        seen_values = {"monday": ("Monday's", choice.monday), "npd": ("NPD's", choice.npd)}
        seen_values.pop(choice.choose, None)
        overruled = [(whose, value) for whose, value in seen_values.values() if (value or None) != p.npd_value_after]
        if overruled:
            detail = f"The choice that overruled {overruled[0][0]} value could not be undone any more."
            others = [f"{whose} value was then: {value or '(empty)'}." for whose, value in overruled[1:]]
            yield reports.FieldConflict(key, p.npd_value_after, None, overruled[0][1], " ".join([detail, *others]))


# What a person chose about a field that is open: in a conflict, or about a value that a write of ours went over. It
# holds for exactly the values that they saw; else it is handed back with the reason.


STALE_RESOLUTION = "The value changed after you chose. Check it and choose again."


def with_resolution(
    facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field
) -> tuple[FieldPlan, merge.Field]:
    """Give the field what a person decided of it, if anybody has and what they saw still stands."""
    for kind, check in ((reports.KIND_OVERWRITTEN, _check_lost), (reports.KIND_FIELDS, _check_conflict)):
        conflict = plan.facts.resolved_conflict(kind, field.key)
        if conflict is None:
            continue
        resolved = replace(field_plan, resolves=conflict)
        resolution = conflict.resolutions[field.key]
        is_lost = kind == reports.KIND_OVERWRITTEN
        try:
            typed = check(facts, plan, resolved, field)
        except (_NotNow, ValueError, field_values.RelatedNotFound) as reason:
            field_plan = replace(field_plan, rejected={**field_plan.rejected, kind: str(reason)})
            continue
        if not is_lost or resolution.choose != "npd":
            anew = is_lost or _is_value_gone(plan.facts, resolved, field)
            return resolved, replace(field, resolution=resolution, typed=typed, anew=anew)
        # What was lost stays lost: nothing has to be written for that.
        field_plan = replace(field_plan, applied={**field_plan.applied, kind: resolution.npd or None})
    return field_plan, field


def _check_conflict(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field) -> merge.Canonical:
    """Check that the values are still those that the choice's author saw, or that our own call has written.

    Return the value that was typed; raises _NotNow, ValueError, RelatedNotFound.
    """
    resolution = field_plan.resolution
    choose = field_plan.choose
    chosen, source = _SOURCE.get(field.way, (choose, ""))
    if chosen != choose:
        raise _NotNow(
            f"“{field_plan.mapping.label}” now comes from {source} only, so only {source}'s value can be chosen. "
            "Change the direction first."
        )
    shown = as_conflict(field_plan)
    is_gone = _is_value_gone(plan.facts, field_plan, field)
    monday = shown.monday if field_plan.confirmed_entry is None and not is_gone else resolution.monday or None
    if (shown.npd, monday) != (resolution.npd or None, resolution.monday or None):
        raise _NotNow("The values changed after you chose. Check them and choose again.")
    if choose == "base" and field.base is None:
        raise _NotNow("It was never synced with this column, so there is no last synced value. Choose another.")
    if is_gone and choose == "npd":
        return field.local
    is_typed = choose == "custom" or is_gone
    return field_plan.convert.local(typed_values(facts, plan, field_plan)) if is_typed else None


def is_column_replaced(facts: RecordFacts, field_plan: FieldPlan) -> bool:
    """Whether the field has another column than the one of which both sides' values were known."""
    key = field_plan.mapping.key
    base = facts.ledger.base.get(field_plan.mapping.key)
    blocked = facts.ledger.blocked_fields.get(key, {}).get("code") == BlockedCode.COLUMN
    return field_plan.base is None and (blocked or bool(base and not field_plan.mapping.is_current(base)))


def _is_value_gone(facts: RecordFacts, field_plan: FieldPlan, field: merge.Field) -> bool:
    """Whether what Monday showed went with its column, and the one in its place is empty: a choice has it still."""
    return field.remote is None and is_column_replaced(facts, field_plan)


_SOURCE = {merge.FieldDirection.TO_MONDAY: ("npd", "NPD"), merge.FieldDirection.TO_NPD: ("monday", "Monday")}


def _check_lost(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan, field: merge.Field) -> merge.Canonical:
    """Return the value to write again to both sides, None if the edit stays overwritten; raises as above."""
    resolution = field_plan.resolution
    shown = {field_plan.convert.display(value) or None for value in (field.local, field.remote)}
    current = resolution.npd or None
    if resolution.choose == "npd":
        if shown != {current}:
            raise _NotNow(STALE_RESOLUTION)
        return None
    if resolution.choose not in ("monday", "custom"):
        raise _NotNow("There is no last synced value.")
    if field.way is not merge.FieldDirection.BOTH:
        raise _NotNow("The field is synced one way only; change its direction first.")
    value = field_plan.convert.local(typed_values(facts, plan, field_plan))
    # Half of it may stand already, where the call's answer was lost.
    if not shown <= {current, field_plan.convert.display(value) or None}:
        raise _NotNow(STALE_RESOLUTION)
    return value


def typed_values(facts: PassFacts, plan: RecordPlan, field_plan: FieldPlan) -> dict[str, Any]:
    """Return the raw values of what a person typed, or takes back; raises ValueError, RelatedNotFound, in words."""
    resolution = field_plan.resolution
    mapping = field_plan.mapping
    text = (resolution.monday if resolution.choose == "monday" else resolution.value) or ""
    return field_values.parse_input(field_plan.convert, plan.record, mapping.fields, text, facts.related)


def as_conflict(field_plan: FieldPlan, reason: str = "") -> reports.FieldConflict:
    """Return NPD's, the last agreed and Monday's value as a person reads them, None where there is none.

    Two related records of one name are told apart by their items.
    """
    convert = field_plan.convert
    base = field_plan.base
    values = (
        convert.local(field_plan.local_raw),
        convert.local(base["local"]) if base else None,
        convert.remote(field_plan.remote_raw),
    )
    displayed = [convert.display(value) or None for value in values]
    ambiguous = {
        text for text in displayed if text and len({v for v, s in zip(values, displayed, strict=True) if s == text}) > 1
    }
    if field_plan.convert.names_items:
        displayed = [f"{s} (item {v})" if s in ambiguous else s for v, s in zip(values, displayed, strict=True)]
    npd, agreed, monday = displayed
    return reports.FieldConflict(field_plan.mapping.key, npd, agreed, monday, reason)


# What a pass tells the store of conflicts about settled ones that were to be undone.


_UNMAPPED = "The field is no longer mapped to a column, so nothing was put back."


def undo_results(plan: RecordPlan, kind: str) -> dict[str, str]:
    """Return the wishes about conflicts of a kind that this pass ended: an empty text where one was carried out."""
    results: dict[str, str] = {}
    undos = [
        conflict
        for conflict in plan.facts.conflicts
        if conflict.kind == reports.KIND_UNDO and conflict.resolved_kind == kind
    ]
    rejected = plan.rejected_choices(reports.KIND_UNDO) if undos else {}
    is_planned = bool(plan.plans) and plan.is_settled
    for key in [key for conflict in undos for key in conflict.resolutions]:
        unmapped = "" if key in plan.plans else _UNMAPPED
        field_plan = plan.plans.get(key)
        if field_plan and reports.KIND_UNDO in field_plan.applied:
            results[key] = ""
        elif is_planned and (reason := rejected.get(key, unmapped)):
            results[key] = reason
    return results


def reopened_lost_updates(plan: RecordPlan) -> list[reports.FieldConflict]:
    """Return overwritten edits that are in conflict again, and what a choice had overruled that can't be undone."""
    kinds = {conflict.resolved_kind for conflict in plan.facts.conflicts if conflict.kind == reports.KIND_UNDO}
    ended = {key for kind in kinds for key, reason in undo_results(plan, kind).items() if reason}
    overruled = [field for field in overruled_values(plan) if field.key in ended]
    return [*reopened_conflicts(plan, reports.KIND_OVERWRITTEN), *overruled]


def undo_reports(plan: RecordPlan) -> Iterator[reports.ConflictReport]:
    """Yield the end of all wishes to undo; of the single ones the reports of their conflict's kind tell."""
    reason = ""
    if not plan.record.may_sync:
        reason = "Sync was turned off for this record, so nothing was put back."
    elif plan.left_out:
        reason = f"{plan.left_out} Nothing was put back."
    elif plan.removal is not None and plan.removal.needs_answer:
        reason = "The item left the board, so nothing was restored. First decide what happens to the record."
    if reason and any(conflict.kind == reports.KIND_UNDO for conflict in plan.facts.conflicts):
        yield plan.conflict_report(reports.KIND_UNDO, closing_reason=reason)
