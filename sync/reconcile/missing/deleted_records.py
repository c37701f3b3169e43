"""Decides what happens to an item after its record was deleted in NPD (removed_items.py has the reverse case).

Implements D13 to D21 of docs/reference/merge/removed-and-deleted.md: the board's policy decides
about an item that nobody edited since both sides agreed, a person about an edited or restored one. If the deleted
record was not synced to Monday (sync off, left out, one way), its item stays as it is (KEPT), with its NPD ID, and
makes no new record: `_leave_to_deleted_record` in unmatched_items.py.

The tombstone holds the deleted record; the sync state holds the values that both sides last agreed on.
"""

from collections.abc import Collection, Sequence
from copy import copy
from datetime import datetime
from uuid import UUID

from conflicts import reports
from conflicts.reports import ConflictKind
from sync import choices
from sync.choices import ActivityKind, TombstoneReason
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.fields.sync_filter import FilterSide
from sync.kernel import acts
from sync.merge import Unknown
from sync.models import ActivityLine, SyncMetadata, Tombstone
from sync.monday.board_items import ARCHIVED, Item
from sync.reconcile import outcomes, pass_plan
from sync.reconcile.board_filter import linked_item_verdict, record_verdict
from sync.reconcile.emptied_cells import cells_that_nobody_emptied
from sync.reconcile.facts import DeletedFacts, PassFacts
from sync.reconcile.lost_updates import edits_removed_with_item, keep_dropped_edits
from sync.reconcile.missing import questions, removed_items
from sync.reconcile.missing.unmatched_items import assigned_items
from sync.records.approvals import ApprovalFacts
from sync.records.tombstones import OPEN_TOMBSTONE_STATES, REMOVED_TOMBSTONE_STATES
from sync.words.message import Message, code_of, sentences

# States that no pass changes: the item stays on purpose, or the record is there again.
FINAL_STATES = (choices.TombstoneState.KEPT, choices.TombstoneState.UNLINKED, choices.TombstoneState.RESTORED)

# The sync state's `remote_state` of an item that somebody restored after it had been removed.
ITEM_IS_BACK = "back"

# Seconds until the next pass sees whether another record has got the item.
NEXT_PASS_SECONDS = 5.0

_TO_NPD = (choices.SyncDirection.BIDIRECTIONAL, choices.SyncDirection.MONDAY_TO_NPD)
# With fields that are synced to Monday only: nobody is asked about an edit of these, but the history keeps it.
_ALL_DIRECTIONS = (*_TO_NPD, choices.SyncDirection.NPD_TO_MONDAY)

# The reasons after our own call removed the item, by the act that it carried out.
_REMOVED_BY = {acts.ARCHIVE_ITEM: TombstoneReason.ARCHIVED, acts.DELETE_ITEM: TombstoneReason.DELETED}

# The calls that carry out an item's removal; unlinking only clears its NPD ID.
REMOVAL_CALLS = {
    acts.ARCHIVE_ITEM: choices.CallKind.ARCHIVE,
    acts.DELETE_ITEM: choices.CallKind.DELETE,
    acts.UNLINK: choices.CallKind.CHANGE,
}


def end_deleted_without_call(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """End the deleted records that need no call to Monday."""
    for deleted in plan.open_deleted:
        decide_before_reading(facts.board, deleted)


def decide_before_reading(board: BoardContext, plan: pass_plan.DeletedPlan) -> None:
    """End a deleted record if that needs no call to Monday; the plan stays open if its item has to be read."""
    facts = plan.facts
    tombstone = facts.tombstone
    record = facts.record
    if tombstone.state in FINAL_STATES:
        plan.end(tombstone.note)
    elif tombstone.monday_id is None:
        _end_deletion(plan, TombstoneReason.NO_ITEM)
    elif facts.owner is not None:
        _end_deletion(plan, TombstoneReason.OTHER_OWNER, owner=str(facts.owner))
    elif not record.may_sync:
        _end_deletion(plan, TombstoneReason.SYNC_OFF)
    # A verdict that isn't known leaves it in or out as it was.
    elif (verdict := record_verdict(board, record)).leaves_out(was_out=bool(facts.sync_state.left_out)):
        _end_deletion(plan, TombstoneReason.LEFT_OUT, filter=verdict.sentence)
    elif record.sync_direction == choices.SyncDirection.MONDAY_TO_NPD:
        _end_deletion(plan, TombstoneReason.ONE_WAY)


def take_items_of_deleted(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Give every open deleted record its item, as it was read."""
    for deleted in plan.open_deleted:
        deleted.item = facts.items.by_id.get(deleted.item_id)


def decide_deleted_records(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Decide every open deleted record by its item."""
    planned = plan.open_deleted
    if not planned:
        return
    linked_now = assigned_items(plan)
    for deleted in planned:
        deleted.doubts.dropped_cells = cells_that_nobody_emptied(facts, deleted)
        decide_deleted(facts, deleted, linked_now)
        # A restored record's own next pass does.
        if deleted.outcome is not outcomes.Outcome.DEFERRED and not deleted.restores:
            keep_dropped_edits(facts.board, deleted)
    approve_item_removals(planned, facts.approvals)


def decide_deleted(facts: PassFacts, plan: pass_plan.DeletedPlan, linked_now: Collection[str] = ()) -> None:
    """Decide by the item; `linked_now` are the items that this pass links with other records."""
    board = facts.board
    item = plan.item
    is_removed = item is None or item.state != field_values.ACTIVE
    choice = plan.facts.choice
    if item is not None:
        plan.sync_state.removed_since = None
    if is_removed and choice is not None and choice.choose == acts.RESTORE_RECORD:
        plan.restore()
    elif item is None:
        _decide_without_item(facts, plan)
    elif is_removed:
        _decide_by_removed_item(facts, plan, item)
    elif not field_values.is_active_on(board, item):
        _end_deletion(plan, TombstoneReason.MOVED, item=item.name, board=item.board_id)
    elif owner := plan.facts.npd_id_record:
        _end_deletion(plan, TombstoneReason.OTHER_NPD_ID, item=item.name, owner=str(owner))
    else:
        _decide_by_present_item(facts, plan, item, linked_now)


def _decide_by_present_item(
    facts: PassFacts, plan: pass_plan.DeletedPlan, item: Item, linked_now: Collection[str]
) -> None:
    """Decide about an item that is on the board, and is nobody else's."""
    verdict = linked_item_verdict(facts, plan, item)
    if verdict.leaves_out(was_out=plan.sync_state.left_out == FilterSide.ITEM):
        _end_deletion(plan, TombstoneReason.LEFT_OUT, filter=verdict.sentence)
    elif item.id in linked_now:
        plan.ending = outcomes.Ending(outcomes.Outcome.DEFERRED, Message("item_being_linked"), NEXT_PASS_SECONDS)
    else:
        _decide_by_policy(facts.board, plan, item)


def _decide_without_item(facts: PassFacts, plan: pass_plan.DeletedPlan) -> None:
    """End a deletion whose item isn't returned, after a quiet time in which the item may be shown again."""
    since = plan.sync_state.removed_since or facts.now
    plan.sync_state.removed_since = since
    seconds = facts.board.settings.removed_item_quiet_seconds - (facts.now - since).total_seconds()
    if plan.facts.tombstone.state in OPEN_TOMBSTONE_STATES and seconds > 0:
        plan.wait(Message("deleted_item_not_shown"), seconds)
    else:
        _end_deletion(plan, TombstoneReason.NOT_SHOWN)


def _decide_by_removed_item(facts: PassFacts, plan: pass_plan.DeletedPlan, item: Item) -> None:
    """End a deletion whose item was archived or deleted, by us or by somebody before."""
    tombstone = plan.facts.tombstone
    reason = TombstoneReason.ARCHIVED if item.state == ARCHIVED else TombstoneReason.DELETED
    is_removed_by_us = tombstone.state == reason.state and tombstone.reason_code == reason
    # Our own call may have removed it without an answer.
    if is_removed_by_us or _removing_intents(plan.facts):
        _end_after_our_removal(facts, plan, reason, item)
    else:
        _end_deletion(plan, TombstoneReason.REMOVED_BEFORE, removed_as=reason, item=item.name, state=item.state)


def _removing_intents(facts: DeletedFacts) -> list[UUID]:
    """Return the ids of our unanswered calls that were to remove the item."""
    return [intent.pk for intent in facts.open_intents if (intent.body or {}).get("removes")]


def _end_after_our_removal(facts: PassFacts, plan: pass_plan.DeletedPlan, reason: TombstoneReason, item: Item) -> None:
    """End it after our call removed the item; edits that were removed with it go to the history."""
    addition: Message | None = None
    if plan.facts.tombstone.state != reason.state and (edits := lost_edits(facts, plan, item)):
        addition = Message("edits_in_activity", fields=", ".join(edits))
        plan.add_lines(*edits.values())
    kind = ActivityKind.ARCHIVED if reason is TombstoneReason.ARCHIVED else ActivityKind.DELETED
    _end_deletion(plan, reason, kind=kind, more=addition, item=item.name)


def _decide_by_policy(board: BoardContext, plan: pass_plan.DeletedPlan, item: Item) -> None:
    """Apply a person's choice if the item's values are unchanged, or the policy if nobody edited the item.

    Open conflicts about fields don't stop it: settling closes them.
    """
    facts = plan.facts
    policy = board.link.deleted_record_policy
    is_restored = facts.tombstone.state in REMOVED_TOMBSTONE_STATES or facts.sync_state.remote_state == ITEM_IS_BACK
    if is_restored:
        plan.sync_state.remote_state = ITEM_IS_BACK
    plan.edits = edited_cells(board, plan, item)
    act = "" if is_restored or plan.edits or policy == choices.DeletedRecordPolicy.ASK else policy
    problem = ""
    if facts.choice is not None:
        possible = (acts.RESTORE_RECORD, *REMOVAL_CALLS)
        act, problem = questions.chosen_act(facts.choice, plan.edits, possible, Message("item_edited_after_choice"))
    if act == acts.RESTORE_RECORD:
        plan.restore()
    elif act:
        plan.act = act
    else:
        ask_about_item(plan, policy, problem)


def ask_about_item(plan: pass_plan.DeletedPlan, policy: str, problem: str = "") -> None:
    """Ask a person about the item, and end the pass; `problem` says why a choice can't be applied."""
    facts = plan.facts
    if facts.choice is None and facts.resolution_for(ConflictKind.DELETE, reports.RECORD_KEY) is not None:
        problem = Message("deleted_since_choice")
    # An unreadable value may have been edited: it is asked about, but not called edited.
    is_edited = any(edit.base or edit.monday for edit in plan.edits)
    reason = TombstoneReason.QUESTION_EDITED if is_edited else TombstoneReason.QUESTION
    asks = reports.DELETED_RECORD
    if plan.sync_state.remote_state == ITEM_IS_BACK:
        reason = TombstoneReason.QUESTION_RESTORED
        asks = reports.RESTORED_ITEM
    item_name = f"“{plan.item.name}”" if plan.item else Message("its_item")
    # So that the activity says who deleted it, before any answer. Later only the conflict adds lines.
    kind = None if facts.tombstone.reason_code else ActivityKind.DELETE
    _end_deletion(plan, reason, kind=kind, record=str(facts.record), item=item_name)
    removing = acts.DELETE_ITEM if policy == acts.DELETE_ITEM else acts.ARCHIVE_ITEM
    label = Message(f"label_{removing}_again" if asks == reports.RESTORED_ITEM else f"label_{removing}")
    options = [
        reports.Option(removing, Message(f"effect_{removing}"), label=label),
        reports.Option(acts.RESTORE_RECORD, Message("effect_restore_record"), label=Message("label_restore_record")),
        reports.Option(acts.UNLINK, Message("effect_unlink_item"), label=Message("label_unlink_item")),
    ]
    plan.question = questions.ask(asks, plan.record, plan.item_id, plan.reason, options)
    plan.question.fields = plan.edits
    plan.question.reject_answer(problem)


def _end_deletion(
    plan: pass_plan.DeletedPlan,
    reason: TombstoneReason,
    *,
    removed_as: TombstoneReason | None = None,
    kind: ActivityKind | None = ActivityKind.DELETE,
    more: Message | None = None,
    **params: str | None,
) -> None:
    """End the deleted record's pass with this reason, and the state that follows from it.

    `removed_as` says how the item was REMOVED_BEFORE. `params` fill in the reason's sentence, and `more` follows it;
    without a `kind` its history gets no line.
    """
    sentence = sentences(Message(f"because_{reason}", **params), more or "")
    tombstone = plan.facts.tombstone
    outcome = removed_as or reason
    is_news = (reason, outcome.state) != (tombstone.reason_code, tombstone.state)
    if is_news and kind:
        plan.add_line(kind, sentence, values={"reason": outcome})
    plan.new_state = outcome.state
    plan.reason_code = reason
    plan.act = ""
    plan.end(sentence)


def lost_edits(facts: PassFacts, plan: pass_plan.DeletedPlan, item: Item) -> dict[str, ActivityLine]:
    """Return the history lines about edits that nobody saw and that are removed with the item, by field label.

    `item` is the item as it was removed. Edits that the author of the choice saw don't count.
    """
    choice = plan.facts.choice
    seen_values = choice.seen_values if choice else {}
    why = Message("left_with_deleted_record")
    unseen = []
    for edit in edited_cells(facts.board, plan, item, _ALL_DIRECTIONS):
        _, seen_monday = seen_values.get(edit.key, (None, None))
        if edit.key not in seen_values or seen_monday != edit.monday:
            unseen.append(edit.key)
    return edits_removed_with_item(facts.board, plan.compared_with(item), unseen, facts.events.get(item.id, ()), why)


def edited_cells(
    board: BoardContext,
    plan: pass_plan.DeletedPlan,
    item: Item,
    directions: Collection[choices.SyncDirection] = _TO_NPD,
) -> tuple[reports.FieldConflict, ...]:
    """Return the fields with cells that differ from Monday's half of the base, or can't be read.

    Nobody is asked about edits of fields that are only synced to Monday: the item goes, and `lost_edits` puts them into
    the history. Columns that the board lacks and cells that nobody emptied don't count. Without a base, a filled cell
    counts if it differs from the record's value.
    """
    edits: list[reports.FieldConflict] = []
    compared = plan.compared_with(item)
    for mapping in board.mapped:
        tells_nothing = (
            mapping.problem_code == choices.ColumnProblem.MISSING or mapping.key in plan.doubts.dropped_cells
        )
        if tells_nothing or plan.direction_of(mapping) not in directions:
            continue
        field = removed_items.compared_with_writes(board, compared, mapping)
        monday, reason = removed_items.edit_on_monday(field)
        if not reason:
            continue
        is_readable = code_of(reason) == removed_items.MISSED_EDIT
        agreed = field.base_remote if field.base and is_readable else None
        before = None if isinstance(agreed, Unknown) else field.converter.display(agreed) or None
        edits.append(reports.FieldConflict(mapping.key, None, before, monday, "" if is_readable else reason))
    return tuple(edits)


def item_npd_id(board: BoardContext, item: Item | None) -> UUID | None:
    """Return the NPD ID of an active item, which may be another record's."""
    return field_values.npd_uuid_of(board, item) if item and field_values.is_active_on(board, item) else None


def approve_item_removals(planned: Sequence[pass_plan.DeletedPlan], approvals: ApprovalFacts) -> None:
    """Approve removals within the bulk limit and those that a person chose; hold the rest."""
    kind = choices.ApprovalKind.ITEMS
    states = approvals.states(kind)
    # A person's choice and an unlinking need no approval.
    removing = [plan for plan in planned if plan.act in _REMOVED_BY and plan.facts.choice is None]
    # The record may have been deleted before within the hour, and restored.
    begun = {(plan.id, ""): plan.facts.tombstone.deleted_at for plan in removing}
    verdicts = approvals.for_acts_begun(begun).verdicts(kind, begun)
    for plan in removing:
        name = str(plan.record)
        request = plan.approval_request(kind, Message("approval_of_item", record=name), {"record": name})
        if plan.may_remove(verdicts, request):
            continue
        if states.get((plan.id, "")) == choices.ApprovalState.REJECTED:
            _end_deletion(plan, TombstoneReason.REMOVAL_REJECTED)
        else:
            _end_deletion(plan, TombstoneReason.PENDING_APPROVAL, kind=ActivityKind.APPROVAL)


def item_removal_write(board: BoardContext, plan: pass_plan.DeletedPlan) -> outcomes.Write:
    """Return the write of a planned removal."""
    return outcomes.Write(
        plan.id,
        plan.item_id,
        {board.link.npd_id_column: None} if plan.act == acts.UNLINK else {},
        removes=plan.act,
        approval=plan.approval,
    )


def take_removal_answer(facts: PassFacts, plan: pass_plan.DeletedPlan, write: outcomes.Write) -> None:
    """Take Monday's answer to the item's removal; its request is stored by now."""
    plan.approval = None
    plan.write = write
    if write.is_gone:
        _end_deletion(plan, TombstoneReason.REMOVED_MEANWHILE, error=write.ending.detail)
    elif write.item is None:
        if write.ending.outcome is outcomes.Outcome.FAILED:
            plan.reason = Message("item_not_removed", why=write.ending.detail)
        plan.ending = write.ending
    elif plan.act in _REMOVED_BY:
        _end_after_our_removal(facts, plan, _REMOVED_BY[plan.act], write.item)
    else:
        _end_deletion(plan, TombstoneReason.UNLINKED, kind=ActivityKind.UNLINKED, item=write.item.name)


def take_locked(plan: pass_plan.DeletedPlan, pause: str, *, is_there: bool) -> None:
    """Drop what doesn't hold any more; `is_there` says that its tombstone still is there, and not restored.

    `pause` is the sentence why nothing may be written.
    """
    if not is_there:
        plan.new_state = None
        plan.question = None
        plan.approval = None
        plan.lost_updates = []
    elif plan.restores and pause:
        plan.start_anew(outcomes.Ending(outcomes.Outcome.RELEASED, pause))


def restored_sentence(plan: pass_plan.DeletedPlan) -> Message:
    """Return what is said about a record that was restored, as a person chose."""
    return Message("restored_with_item" if plan.item_to_keep else "restored_without_item")


def end_restored(plan: pass_plan.DeletedPlan) -> None:
    sentence = restored_sentence(plan)
    plan.add_line(ActivityKind.RESTORED, sentence, actor=plan.facts.decided_by)
    plan.end(sentence)


def tombstone_after(plan: pass_plan.DeletedPlan, before: Tombstone, now: datetime) -> Tombstone:
    tombstone = copy(before)
    if plan.new_state is not None:
        tombstone.state = plan.new_state
        tombstone.settled_at = None if plan.new_state in OPEN_TOMBSTONE_STATES else now
    tombstone.note = plan.reason or tombstone.note
    tombstone.reason_code = plan.reason_code or tombstone.reason_code
    return tombstone


def sync_state_after(plan: pass_plan.DeletedPlan) -> SyncMetadata | None:
    """Return the sync state after the pass; None if there is nothing to store."""
    sync_state = plan.sync_state
    is_stored = sync_state.pk is not None
    # A pass that could not decide keeps what is asked, and that the item was restored.
    conflicts = {} if plan.is_done else sync_state.conflicts
    if plan.question:
        conflicts = {ConflictKind.DELETE: [edit.key for edit in plan.edits] or [reports.RECORD_KEY]}
    if plan.restores or not (is_stored or conflicts or sync_state.removed_since):
        return None
    return SyncMetadata(
        entity_type=plan.facts.tombstone.entity_type,
        entity_id=str(plan.id),
        system="monday",
        conflicts=conflicts,
        note=plan.reason,
        removed_since=sync_state.removed_since,
        remote_state=sync_state.remote_state if conflicts or not is_stored else "",
    )


def take_lines_and_landed_intents(plan: pass_plan.DeletedPlan) -> None:
    """Add history lines about lost values, and the intents that took effect."""
    # An unanswered call of ours removed the item.
    is_confirmed = plan.reason_code in _REMOVED_BY.values() and plan.write.item is None
    if is_confirmed:
        plan.landed = plan.landed.union(_removing_intents(plan.facts))
    plan.add_lines(*plan.lost_update_lines)
