"""What a pass reports about conflicts to the store (conflicts/store.py): which are opened, kept or closed, and why.

If a record's sync is off, or the filter leaves it out, it doesn't take part: all its open conflicts close with that
reason (`off_reason`), and choices that were stored in them end; bases stay, so what differs is found again when it
returns.

Implements what docs/reference/merge/conflicts.md says about conflicts that open and close, and C3 there: how long
*overwritten* keeps its values: until a person resolves it, whatever later passes read.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from conflicts import reports
from conflicts.reports import ConflictKind
from sync.choices import TombstoneReason
from sync.fields.field_values import ACTIVE
from sync.merge import Action
from sync.monday.conversion import UnknownValue
from sync.reconcile import pass_plan, resolutions
from sync.reconcile.field_plan import is_kept_different
from sync.reconcile.missing.identity import CREATES_HELD
from sync.words.message import Message, code_of, sentences

_UNDO_UNMAPPED = Message("undo_unmapped")


def conflict_reports(plan: pass_plan.RecordPlan) -> Iterator[reports.ConflictReport]:
    """Yield one report for every kind of conflict that this pass opened, keeps or ends."""
    yield from _reports_about_removal(plan)
    if plan.is_deleted:
        yield from _close_with_record(plan)
        return
    for report in (_report_of_fields(plan), _report_of_undo_requests(plan), report_of_overwritten(plan)):
        if report is not None:
            yield report
    yield from _reports_about_identity(plan)


def _close_with_record(plan: pass_plan.EntityPlan) -> Iterator[reports.ConflictReport]:
    """Close the conflicts of a record that was deleted, without the question about its deletion."""
    reason = Message("record_was_deleted")
    for conflict in plan.facts.conflicts:
        if conflict.kind != ConflictKind.DELETE:
            yield plan.conflict_report(conflict.kind, conflict.monday_item_id, closing_reason=reason)
    if plan.facts.undo_requests:
        yield plan.conflict_report(reports.UNDO_REQUESTS, closing_reason=reason)


def deletion_reports(plan: pass_plan.DeletedPlan) -> Iterator[reports.ConflictReport]:
    """Yield the reports about a record that was deleted before this pass."""
    if plan.question is not None:
        yield plan.question
    if not plan.is_done:
        return
    yield from _close_with_record(plan)
    for conflict in plan.facts.conflicts if plan.question is None else ():
        if conflict.kind == ConflictKind.DELETE:
            carried_out = (TombstoneReason.ARCHIVED, TombstoneReason.DELETED, TombstoneReason.UNLINKED)
            is_carried_out = plan.restores or plan.reason_code in carried_out
            is_answered = (plan.facts.choice and is_carried_out) or not conflict.answer
            applied = {reports.RECORD_KEY: plan.reason} if is_answered else {}
            item_id = conflict.monday_item_id
            yield plan.conflict_report(ConflictKind.DELETE, item_id, applied=applied, closing_reason=plan.reason)


def _reports_about_removal(plan: pass_plan.RecordPlan) -> Iterator[reports.ConflictReport]:
    """Open, keep or close the question what becomes of a record whose item is gone."""
    if plan.question is not None and plan.asks_about_removal:
        yield plan.question
        # While it is open, choices for fields are rejected, and their conflict stays.
        for conflict in plan.facts.conflicts:
            if conflict.kind == ConflictKind.FIELDS and conflict.resolutions:
                rejected = dict.fromkeys(conflict.resolutions, Message("choice_item_removed"))
                yield plan.conflict_report(
                    ConflictKind.FIELDS, conflict.monday_item_id, undecided=conflict.fields, rejected=rejected
                )
        return
    question = next((conflict for conflict in plan.facts.conflicts if conflict.kind == ConflictKind.DELETE), None)
    if question is None:
        return
    removal = plan.removal
    applied = {}
    if removal is not None and removal.result:
        reason = removal.result
        applied = {reports.RECORD_KEY: reason} if removal.is_chosen else {}
    elif plan.unlink_reason:
        reason = Message("record_was_unlinked")
        applied = {} if question.answer else {reports.RECORD_KEY: reason}
    elif not plan.takes_part:
        reason = plan.off_reason
    elif removal is None and plan.item is not None and plan.sync_state.remote_state == ACTIVE:
        reason = Message("item_is_back")
    else:
        return  # it stays open
    yield plan.conflict_report(ConflictKind.DELETE, question.monday_item_id, applied=applied, closing_reason=reason)


def _report_of_fields(plan: pass_plan.RecordPlan) -> reports.ConflictReport | None:
    """Open, keep or close the conflict about the record's fields, with the choices that were applied or undone."""
    conflicts = () if plan.filter_reason else fields_in_conflict(plan)
    applied = _applied_choices(plan, ConflictKind.FIELDS)
    undone = undo_results(plan, ConflictKind.FIELDS)
    open_keys = plan.facts.open_fields(ConflictKind.FIELDS)
    if not (conflicts or undone or (open_keys and (plan.fields or not plan.takes_part))):
        return None
    if not plan.takes_part:
        closing_reason = plan.off_reason
    else:
        # It is about fields whose conflict ended without a person.
        ended_keys = [key for key in open_keys if key not in applied] or open_keys
        decisions = [plan.fields[key].decision for key in ended_keys if key in plan.fields]
        synced = [decision.reason for decision in decisions if decision.action in (Action.PUSH, Action.PULL)]
        unsynced = [decision.reason for decision in decisions if decision.action is Action.NOTHING and decision.reason]
        resolved = Message("resolved_by_rule", rules=list(dict.fromkeys(synced))) if synced else ""
        left = [Message("left_by_rule", rule=reason) for reason in dict.fromkeys(unsynced)]
        if any(key not in plan.fields for key in ended_keys):
            left.append(Message("field_unmapped"))
        closing_reason = sentences(resolved, *left) or Message("both_the_same")
    return plan.conflict_report(
        ConflictKind.FIELDS,
        fields=conflicts,
        undecided=() if plan.filter_reason else undecided_fields(plan),
        applied=applied,
        rejected=_rejected_choices(plan, ConflictKind.FIELDS),
        closing_reason=closing_reason,
        inverse={key: _inverse_of(plan, plan.fields[key]) for key in applied},
        undo_results=undone,
    )


def fields_in_conflict(plan: pass_plan.RecordPlan) -> tuple[reports.FieldConflict, ...]:
    """Return the fields in conflict now, also those whose choice could not be applied yet."""
    conflicts = []
    for field_plan in plan.fields.values():
        if field_plan.conflict:
            conflicts.append(field_plan.conflict)
        elif field_plan.resolved_kind == ConflictKind.FIELDS and ConflictKind.FIELDS not in field_plan.applied:
            conflicts.append(resolutions.as_conflict(field_plan))
    return (*conflicts, *_reopened_fields(plan, ConflictKind.FIELDS))


def undecided_fields(plan: pass_plan.RecordPlan) -> tuple[str, ...]:
    """Return the fields in conflict that this pass could not decide; their conflicts and choices stay."""
    open_keys = plan.facts.open_fields(ConflictKind.FIELDS)
    decided = {conflict.key for conflict in fields_in_conflict(plan)} if open_keys else set()
    undecided = []
    for key in open_keys:
        field_plan = plan.fields.get(key)
        entry = plan.sync_state.blocked_fields.get(key, {})
        if field_plan is None or key in decided or is_kept_different(entry, plan.item, field_plan):
            continue
        if field_plan.blocked_code or key in plan.doubts.set_aside:
            undecided.append(key)
    return tuple(undecided)


def _report_of_undo_requests(plan: pass_plan.RecordPlan) -> reports.ConflictReport | None:
    """Return the report that closes all undo requests of a record that can't be synced; None if nothing closes them.

    Requests about single fields are reported with their conflict's own kind.
    """
    if not plan.facts.undo_requests:
        return None
    reason = ""
    if not plan.takes_part:
        reason = sentences(plan.off_reason, Message("nothing_restored"))
    elif plan.asks_about_removal:
        reason = Message("undo_item_removed")
    return plan.conflict_report(reports.UNDO_REQUESTS, closing_reason=reason) if reason else None


def report_of_overwritten(plan: pass_plan.RecordPlan) -> reports.ConflictReport | None:
    """Return the report about overwritten edits: values to ask about, and choices that were applied or rejected."""
    closing_reason = _closing_reason(plan)
    if closing_reason and plan.facts.open_fields(ConflictKind.OVERWRITTEN):
        return plan.conflict_report(ConflictKind.OVERWRITTEN, closing_reason=closing_reason)
    if not plan.is_done or plan.filter_reason:
        return None
    fields = _overwritten_values(plan)
    applied = _applied_choices(plan, ConflictKind.OVERWRITTEN)
    for key, field_plan in plan.fields.items():
        is_of_edit = field_plan.resolved_kind == ConflictKind.OVERWRITTEN
        if is_of_edit and field_plan.decision.action is Action.AGREED and not field_plan.blocked_code:
            # Both sides had the chosen value already.
            applied[key] = field_plan.display_local(field_plan.local_raw) or None
    rejected = _rejected_choices(plan, ConflictKind.OVERWRITTEN)
    undone = undo_results(plan, ConflictKind.OVERWRITTEN)
    unmapped = dict.fromkeys(_unmapped_fields(plan), Message("field_unmapped"))
    if not (fields or applied or rejected or undone or unmapped):
        return None
    return plan.conflict_report(
        ConflictKind.OVERWRITTEN,
        fields=fields,
        applied=applied,
        rejected=rejected,
        inverse={key: _inverse_of(plan, plan.fields[key]) for key in applied if key in plan.fields},
        undo_results=undone,
        ended=unmapped,
    )


def _overwritten_values(plan: pass_plan.RecordPlan) -> list[reports.FieldConflict]:
    """Return the overwritten values about which a person is asked by this pass, for the first time or again."""
    values = []
    for lost_update in plan.lost_updates if plan.is_done else ():
        line = lost_update.line
        if line and lost_update.is_asked:
            npd = line.values["after"] or None
            monday = line.values["before"] or None
            values.append(reports.FieldConflict(line.key, npd, None, monday, line.sentence))
    for key, field_plan in plan.fields.items():
        resolution = plan.facts.resolution_for(ConflictKind.OVERWRITTEN, key)
        rejection = field_plan.rejected.get(ConflictKind.OVERWRITTEN, "")
        if resolution and code_of(rejection) == resolutions.STALE_RESOLUTION:
            # The conflict then shows the current value.
            npd = field_plan.display_local(field_plan.local_raw) or None
            values.append(reports.FieldConflict(key, npd, None, resolution.monday))
    keys = {value.key for value in values}
    reopened = _reopened_fields(plan, ConflictKind.OVERWRITTEN)
    return values + [value for value in reopened if value.key not in keys]


def _unmapped_fields(plan: pass_plan.RecordPlan) -> list[str]:
    """Return the fields in the conflict that are no longer mapped, so that no pass can apply a choice for them."""
    return [key for key in plan.facts.open_fields(ConflictKind.OVERWRITTEN) if plan.fields and key not in plan.fields]


def _closing_reason(plan: pass_plan.RecordPlan) -> str:
    """Return why nobody is asked about overwritten edits any more; empty if somebody may be."""
    if plan.off_reason:
        return plan.off_reason
    if not (plan.record.monday_id or plan.link_to):
        return Message("has_no_item")
    waiting = plan.facts.open_fields(ConflictKind.OVERWRITTEN)
    all_unmapped = waiting and set(_unmapped_fields(plan)) == set(waiting)
    return Message("all_unmapped") if all_unmapped else ""


def _reports_about_identity(plan: pass_plan.RecordPlan) -> Iterator[reports.ConflictReport]:
    """Report the open questions about identity, and their answers.

    They ask which item is the record's, or whether another record is the same person.
    """
    asked_item = None
    if plan.question is not None and plan.question.kind == ConflictKind.IDENTITY:
        asked_item = plan.question.monday_item_id
        yield plan.question
    # No question is left where this pass links, creates or asks for another item, or would create one if it might.
    is_held = code_of(plan.reason) == CREATES_HELD
    needs_none = plan.link_to is not None or plan.creates or is_held or plan.asks_which_item
    has_read_own_item = plan.item is not None and plan.is_done and bool(plan.record.monday_id)
    questions = [conflict for conflict in plan.open_conflicts if conflict.kind == ConflictKind.IDENTITY]
    for conflict in questions:
        item_id = conflict.monday_item_id
        is_known = has_read_own_item and (item_id == plan.record.monday_id or conflict.seeks_item)
        is_owned = item_id in plan.facts.owned_items and item_id != plan.record.monday_id
        # Whose an item is has to be answered, though it may be a record's whose sync is off.
        is_unwanted = not plan.takes_part and (conflict.seeks_item or plan.filter_reason)
        is_over = needs_none or is_unwanted or is_known or is_owned
        if item_id != asked_item and is_over:
            reason = plan.filter_reason or (plan.reason if is_held else Message("item_is_known"))
            yield plan.conflict_report(ConflictKind.IDENTITY, item_id, closing_reason=reason)


# --- people's choices, and their undo ---------------------------------------------------------------------------------


def _applied_choices(plan: pass_plan.RecordPlan, kind: str) -> dict[str, str | None]:
    """Return the values after people's choices in a conflict of this kind that were applied, by field."""
    return {key: field_plan.applied[kind] for key, field_plan in plan.fields.items() if kind in field_plan.applied}


def _rejected_choices(plan: pass_plan.RecordPlan, kind: str) -> dict[str, str]:
    """Return why people's choices in a conflict of this kind can't be applied, by field."""
    reasons = {}
    for key, field_plan in plan.fields.items():
        if field_plan.resolved_kind == kind and field_plan.blocked_code:
            reasons[key] = field_plan.blocked_reason
        elif kind in field_plan.rejected:
            reasons[key] = field_plan.rejected[kind]
    return reasons


def _inverse_of(plan: pass_plan.RecordPlan, field_plan: pass_plan.FieldPlan) -> dict[str, Any]:
    """Return the values that undo a choice: both sides' raw values and the base, before and after it was applied."""
    # If Monday shows what an earlier call of ours wrote, that call's intent has the value before it.
    entry = field_plan.confirmed_entry or {"read": field_plan.remote_raw, "base": field_plan.base}
    before = {"local": field_plan.local_raw, "remote": entry["read"], "base": entry["base"]}
    return {"before": before, "after": plan.sync_state.base.get(field_plan.key)}


def _reopened_fields(plan: pass_plan.RecordPlan, kind: str) -> list[reports.FieldConflict]:
    """Return the fields whose resolved conflict of this kind was undone by this pass: they are in conflict again."""
    reopened = []
    for key, field_plan in plan.fields.items():
        request = field_plan.undo
        if request is None or request.kind != kind or not field_plan.is_undone:
            continue
        base = request.before["base"] if kind == ConflictKind.FIELDS else None
        base_text = None
        if base:
            with suppress(UnknownValue):
                base_text = field_plan.converter.display(field_plan.converter.canonical_local(base["local"])) or ""
        choice = request.choice
        reason = Message("resolution_undone")
        reopened.append(reports.FieldConflict(key, choice.npd, base_text, choice.monday, reason))
    return reopened


def undo_results(plan: pass_plan.RecordPlan, kind: str) -> dict[str, str]:
    """Return why each undo request about conflicts of a kind was rejected; empty texts for those carried out.

    It has none for requests that wait for another pass.
    """
    results: dict[str, str] = {}
    is_planned = bool(plan.fields) and plan.is_done
    for request in plan.facts.undo_requests:
        if request.kind != kind:
            continue
        field_plan = plan.fields.get(request.key)
        problem = field_plan.undo_problem if field_plan else _UNDO_UNMAPPED
        if field_plan and field_plan.is_undone:
            results[request.key] = ""
        elif is_planned and problem:
            results[request.key] = problem
    return results
