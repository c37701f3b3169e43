"""Decides what happens to a record whose item was archived, deleted or moved, or is not shown any more.

Implements D1 to D12 of docs/reference/merge/removed-and-deleted.md: the pass first
waits, because Monday has an undo. Then the board's policy decides about a record that nobody edited since both sides
agreed, and a person about all others. No policy acts on an item that was moved or isn't shown: it may still exist.
deleted_records.py does the same for deleted records. Also D22, unlinked: the sync goes off, and the item loses its NPD
ID.

An item counts as deleted if it says so when it is read by its id, while its board is active, and says so again after
the quiet time.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from conflicts import reports
from conflicts.reports import REMOVED_ITEM, ConflictKind
from sync import choices
from sync.choices import ActivityKind
from sync.fields import field_bases, field_values
from sync.fields.field_values import BoardContext
from sync.kernel import acts
from sync.merge import Unknown
from sync.models import FieldMapping, SyncedModel
from sync.models.records_and_items import MISSING, MOVED, OFF_BOARD_STATES, REPORTED_STATES
from sync.monday.board_items import DELETED
from sync.monday.conversion import UnknownValue
from sync.reconcile import our_writes, pass_plan
from sync.reconcile.emptied_cells import cells_that_nobody_emptied
from sync.reconcile.facts import PassFacts, RecordFacts, RemovedItemFacts
from sync.reconcile.lost_updates import edits_removed_with_item, keep_dropped_edits, will_ask
from sync.reconcile.missing import questions
from sync.records.approvals import ApprovalFacts
from sync.records.authors import SYNC_ACTOR
from sync.words.message import Message, code_of, sentences

# How long a person can restore a deleted item on Monday (support.monday.com, “the recycle bin”).
DAYS_IN_TRASH = 30

# Passes that have to miss an item in Monday's answers before a person is asked; they are a quiet time apart.
PASSES_BEFORE_ASKING = 3

# The reason of a field whose last value on Monday is not NPD's.
MISSED_EDIT = "missed_edit"


def decide_removed_items(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """End every open record with a removed item: it waits, is acted on, blocked, or asked about."""
    removed = [record_plan for record_plan in plan.open_records if record_plan.facts.removal]
    for record_plan in removed:
        record_plan.doubts.dropped_cells = cells_that_nobody_emptied(facts, record_plan)
        decide_removed_item(facts.board, record_plan, facts.now)
        if record_plan.is_done:
            keep_dropped_edits(facts.board, record_plan)
    if removed:
        approve_deletions(removed, facts.approvals)


def requested_unlink(facts: RecordFacts) -> str:
    """Return that a person asked to unlink the record, as a clause; empty if nobody did, or it has no item."""
    by = facts.unlink_requested_by
    return Message("unlinked_by", by=by) if by and facts.record.monday_id else ""


def apply_unlinks(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Unlink the records that a person asked to unlink, whatever happened to their items.

    The write of the pass clears the item's NPD ID (`cleared_columns`). Settling then turns the record's sync off, and
    stores the item as ignored: it is neither matched nor made into a record until a person says so. The board's policy
    for removed items may unlink too (`decide_removed_item`). The base stays in the sync state, in case a person
    links the two again (sync/records/item_links.py).
    """
    for record_plan in plan.records.values():
        # An item that reads don't show yet would keep its NPD ID.
        if record_plan.doubts.is_item_stale:
            continue
        if why := requested_unlink(record_plan.facts):
            record_plan.unlink(why)


def cleared_columns(board: BoardContext, plan: pass_plan.RecordPlan) -> dict[str, Any]:
    """Return the write of an unlinked record: its item's NPD ID emptied, if the item bears one."""
    column = board.link.npd_id_column
    item = plan.item
    if not column or item is None or not field_values.is_active_on(board, item):
        return {}
    return {} if field_values.npd_id_of(board, item) == "" else {column: None}


def decide_removed_item(board: BoardContext, plan: pass_plan.RecordPlan, now: datetime) -> None:
    """Decide what happens to a record with a removed item: it waits, an act is carried out, or a person is asked."""
    removal_facts = plan.facts.removal
    assert removal_facts is not None
    state = removal_facts.state
    sentence = removal_sentence(plan, state, removal_facts.actor)
    plan.removal = pass_plan.Removal(sentence)
    is_first_pass = _note_state(plan, state, now)
    if not plan.record.may_sync:
        plan.end(sentences(sentence, Message("nothing_sent")))
        return
    if is_first_pass:
        values = {"reason": state} | ({"at": removal_facts.removed_at.isoformat()} if removal_facts.removed_at else {})
        plan.add_line(ActivityKind.REMOVED, sentence, actor=removal_facts.actor, values=values)
    wait = _seconds_to_wait(board, plan, now)
    if wait > 0 and not _is_recreation(plan):
        # No time here: pages compute it from the current setting, in the reader's time zone.
        plan.wait(sentences(sentence, Message("nothing_changed_or_sent")), wait)
    else:
        _act_or_ask(board, plan, plan.removal, removal_facts)


def _note_state(plan: pass_plan.RecordPlan, state: str, now: datetime) -> bool:
    """Note how its item is gone, since when, and in how many passes in a row; return whether this is the first one."""
    sync_state = plan.sync_state
    was_gone = sync_state.remote_state in OFF_BOARD_STATES and sync_state.removed_since is not None
    is_same = was_gone and sync_state.remote_state == state
    sync_state.removed_passes = (sync_state.removed_passes or 0) + 1 if is_same else 1
    sync_state.removed_since = sync_state.removed_since if was_gone else now
    sync_state.remote_state = state
    return sync_state.removed_since == now


def _seconds_to_wait(board: BoardContext, plan: pass_plan.RecordPlan, now: datetime) -> float:
    """Return the rest of the quiet time; an item that isn't shown has to be missed by several passes, too."""
    sync_state = plan.sync_state
    quiet_seconds = board.settings.removed_item_quiet_seconds
    wait = quiet_seconds - (now - (sync_state.removed_since or now)).total_seconds()
    is_missed_rarely = sync_state.remote_state == MISSING and sync_state.removed_passes < PASSES_BEFORE_ASKING
    return max(wait, quiet_seconds) if is_missed_rarely and not plan.facts.is_asked_about_removal else wait


def _act_or_ask(
    board: BoardContext, plan: pass_plan.RecordPlan, removal: pass_plan.Removal, facts: RemovedItemFacts
) -> None:
    """Decide on an act after the quiet time, by the board's policy or as a person chose; else ask a person."""
    state = plan.sync_state.remote_state
    removal.edits = edits_since_agreed(board, plan)
    removal.sentence = sentences(removal.sentence, *_what_was_edited(board, removal.edits))
    options = removal_options(board.settings, plan.record, state, facts)
    problem = _choose_act(board, plan, removal, facts, [option.choose for option in options])
    if facts.is_removed_too_often and removal.act == acts.CREATE_ITEM and not removal.is_chosen:
        # Whatever removes the item removes every new item too: a person has to decide about the record.
        removal.sentence = sentences(removal.sentence, Message("removed_too_often"))
        removal.act = ""
    removal.keeps_record = removal.act != acts.DELETE_RECORD
    item_id = plan.record.monday_id or ""
    plan.question = questions.ask(REMOVED_ITEM, plan.record, item_id, removal.sentence, options)
    plan.question.fields = removal.edits
    plan.question.reject_answer(problem)
    if not removal.act:
        plan.end(sentences(removal.sentence, Message("asked_about_removal")))
        return
    if removal.act == acts.UNLINK:
        event = state if state in REPORTED_STATES else "removed"
        plan.unlink(Message("its_item_was", event=event, by_whom=by_whom(removal)))
    plan.end("")


def by_whom(removal: pass_plan.Removal) -> Message:
    """Return who decided on the act about a removed item, as a phrase."""
    return Message("as_somebody_decided" if removal.is_chosen else "as_the_setting_says")


def approve_deletions(planned: Sequence[pass_plan.RecordPlan], approvals: ApprovalFacts) -> None:
    """Approve deletions of records within the bulk limit and hold the rest."""
    kind = choices.ApprovalKind.RECORDS
    deleting = [plan for plan in planned if plan.act == acts.DELETE_RECORD]
    # The record may have been deleted before within the hour, and restored.
    begun = {(plan.id, ""): plan.sync_state.removed_since for plan in deleting}
    verdicts = approvals.for_acts_begun(begun).verdicts(kind, begun)
    for plan in deleting:
        removal = plan.removal
        assert removal is not None
        label = Message("approval_of_record", record=field_values.record_name(plan.record))
        values = {edit.key: edit.npd for edit in removal.edits}
        if plan.may_remove(verdicts, plan.approval_request(kind, label, values)):
            continue
        # The person isn't asked, and the deletion isn't made; a choice for it stays with its conflict.
        plan.question = plan.question if plan.facts.is_asked_about_removal else None
        removal.act = ""
        plan.end(sentences(removal.sentence, Message("deletion_needs_approval")))


def removed_state(board: BoardContext, plan: pass_plan.RecordPlan) -> str:
    """Return the state of a linked record's removed item; an empty text if the item is on its board.

    An item that was deleted when it was last read, and is not returned any more, is still deleted: Monday forgets
    deleted items in time.
    """
    item = plan.item
    if item is None:
        return DELETED if plan.sync_state.remote_state == DELETED else MISSING
    if item.state != field_values.ACTIVE:
        return item.state if item.state in REPORTED_STATES else MISSING
    return MOVED if item.board_id and item.board_id != board.link.board_id else ""


def removal_sentence(plan: pass_plan.RecordPlan, state: str, actor: str) -> Message:
    item = plan.item
    name = item.name if item else field_values.record_name(plan.record)
    if state == MISSING:
        return Message("item_missing", name=name)
    if state == MOVED:
        assert item
        return Message("item_moved", name=name, board=item.board_id)
    return Message("item_removed_by" if actor else "item_removed", name=name, state=state, actor=actor)


def _is_recreation(plan: pass_plan.RecordPlan) -> bool:
    """Whether a person asked for a new item and one may be created.

    Unlinking wins over re-creating because it loses nothing. Restoring a record while its item is being removed also
    counts.
    """
    facts = plan.facts
    direction = plan.record.sync_direction
    state = plan.sync_state.remote_state
    is_requested = (facts.is_restored and state in REPORTED_STATES) or (facts.wants_recreation and state != MISSING)
    return is_requested and direction != choices.SyncDirection.MONDAY_TO_NPD and not facts.unlink_requested_by


def _what_was_edited(board: BoardContext, edits: Sequence[reports.FieldConflict]) -> list[Message]:
    """Return what was edited since both sides agreed."""
    labels = {mapping.key: mapping.label for mapping in board.mappings}
    edited = [labels[edit.key] for edit in edits if edit.npd != edit.base or edit.monday]
    unreadable = [labels[edit.key] for edit in edits if code_of(edit.reason) not in ("", MISSED_EDIT)]
    messages = []
    if edited:
        messages.append(Message("edited_since_sync", fields=", ".join(edited)))
    elif not unreadable:
        messages.append(Message("nothing_edited"))
    if unreadable:
        messages.append(Message("fields_unreadable", fields=", ".join(unreadable)))
    return messages


def removal_options(
    settings: field_values.PassSettings, record: SyncedModel, state: str, facts: RemovedItemFacts
) -> tuple[reports.Option, ...]:
    """Return the options that the record's direction and NPD's other records leave."""
    name = field_values.record_name(record)
    direction = record.sync_direction
    options = []
    if direction != choices.SyncDirection.MONDAY_TO_NPD:
        # What a person may do on Monday instead depends on the item's state.
        instead = Message(f"get_back_{state}", days=DAYS_IN_TRASH)
        effect = Message("effect_create_item", name=name, instead=instead)
        options.append(reports.Option(acts.CREATE_ITEM, effect, label=Message("label_create_item")))
    if state != MISSING and direction != choices.SyncDirection.NPD_TO_MONDAY and not facts.needed_by:
        effect = Message("effect_delete_record", name=name, loss=facts.loss, days=settings.tombstone_days)
        options.append(reports.Option(acts.DELETE_RECORD, effect, label=Message("label_delete_record")))
    effect = Message("effect_unlink", name=name)
    return (*options, reports.Option(acts.UNLINK, effect, label=Message("label_unlink")))


def _choose_act(
    board: BoardContext,
    plan: pass_plan.RecordPlan,
    removal: pass_plan.Removal,
    facts: RemovedItemFacts,
    possible: Collection[str],
) -> str:
    """Choose a person's act if the values that they saw are unchanged; without one the policy's, if nothing was edited.

    Return why a person's act can't be carried out.
    """
    problem = ""
    choice = plan.facts.resolution_for(ConflictKind.DELETE, reports.RECORD_KEY)
    if _is_recreation(plan):
        removal.act = acts.CREATE_ITEM
        removal.is_chosen = True
    elif choice is None:
        removal.act = "" if removal.edits else _act_by_policy(board, plan, facts)
    else:
        edited = Message("record_edited_after_choice")
        removal.act, problem = questions.chosen_act(choice, removal.edits, possible, edited)
        removal.is_chosen = bool(removal.act)
        if choice.choose == acts.DELETE_RECORD and code_of(problem) == questions.NOT_POSSIBLE:
            problem = facts.needed_by or problem
    # A rejected deletion is not carried out until the item is back, unless a person chooses it again later.
    is_new_request = removal.is_chosen and not facts.is_rejection_new
    if facts.is_deletion_rejected and removal.act == acts.DELETE_RECORD and not is_new_request:
        removal.act = ""
        problem = Message("deletion_not_approved") if removal.is_chosen else ""
    return problem


def _act_by_policy(board: BoardContext, plan: pass_plan.RecordPlan, facts: RemovedItemFacts) -> str:
    """Return the policy's act for a record that both sides left unchanged; empty if a person has to decide."""
    policy = board.link.removed_item_policy
    # A person resolves a conflict about the record's values first.
    kinds = {conflict.kind for conflict in plan.facts.conflicts}
    asks = policy == choices.RemovedItemPolicy.ASK or will_ask(board, plan)
    asks = asks or not kinds.isdisjoint((ConflictKind.FIELDS, ConflictKind.OVERWRITTEN))
    is_surely_removed = plan.sync_state.remote_state in REPORTED_STATES and plan.item is not None
    forbidding_direction = {
        acts.CREATE_ITEM: choices.SyncDirection.MONDAY_TO_NPD,
        acts.DELETE_RECORD: choices.SyncDirection.NPD_TO_MONDAY,
    }
    is_forbidden = plan.record.sync_direction == forbidding_direction.get(policy)
    has_obstacle = policy == acts.DELETE_RECORD and bool(facts.needed_by or facts.loss)
    may_act = is_surely_removed and not (asks or is_forbidden or has_obstacle)
    return policy if may_act else ""


def edits_since_agreed(board: BoardContext, plan: pass_plan.RecordPlan) -> tuple[reports.FieldConflict, ...]:
    """Return the fields that were edited since the record and its removed item last agreed.

    If a field never agreed, its values are edits that the other side doesn't have. None means empty, or not edited:
    Monday's value is there only if it was edited too and never reached NPD. `reason` says why Monday's value can't be
    read. A cell that nobody emptied tells nothing either.
    """
    edits: list[reports.FieldConflict] = []
    for mapping in board.mapped:
        direction = plan.direction_of(mapping)
        if direction is choices.SyncDirection.NONE:
            continue
        field = compared_with_writes(board, plan, mapping)
        is_missing = mapping.problem_code == choices.ColumnProblem.MISSING or mapping.key in plan.doubts.dropped_cells
        # Another board has other columns, so a cell that can't be read there tells nothing.
        is_elsewhere = plan.item is not None and plan.item.state not in REPORTED_STATES
        tells_nothing = is_missing or (is_elsewhere and isinstance(field.remote_raw, Unknown))
        is_only_sent = direction is choices.SyncDirection.NPD_TO_MONDAY
        monday, reason = (None, "") if is_only_sent or tells_nothing else edit_on_monday(field)
        # If the column was replaced, NPD's half of the base still counts; Monday's half says nothing about the new one.
        entry = plan.sync_state.base.get(mapping.key)
        if field.base is None and entry and entry["item"] == (plan.record.monday_id or ""):
            field.base = entry
        if not _is_edited_in_npd(plan, field) and not reason:
            continue
        npd = field_values.display_local(field.converter, field.local_raw) or None
        before = (field_values.display_local(field.converter, field.base["local"]) or None) if field.base else None
        edits.append(reports.FieldConflict(mapping.key, npd, before, monday, reason))
    return tuple(edits)


def _is_edited_in_npd(plan: pass_plan.RecordPlan, field: field_bases.ComparedField) -> bool:
    """Whether NPD's value changed since the sides agreed; without agreement, whether Monday never got it."""
    if field.base is None:
        # A skipped relation was not to be sent to Monday.
        entry = plan.sync_state.blocked_fields.get(field.mapping.key, {})
        is_skipped = entry.get("code") == choices.BlockedCode.RELATION_SKIPPED and entry["local"] == field.local_raw
        return field.local is not None and not field.sides.equal and not is_skipped
    if isinstance(field.local, Unknown) or isinstance(field.base_local, Unknown):
        return _comparable(field.local_raw) != _comparable(field.base["local"])
    return field.local != field.base_local


def compared_with_writes(
    board: BoardContext, plan: pass_plan.EntityPlan, mapping: FieldMapping
) -> field_bases.ComparedField:
    """Return a field of which a value that our unanswered call sent is the base."""
    field = plan.compared(board, mapping)
    with suppress(UnknownValue):
        our_writes.take_confirmed(plan, field)
    return field


def edit_on_monday(field: field_bases.ComparedField) -> tuple[str | None, str]:
    """Return Monday's value that never reached NPD, with the reason for it; or None and why it can't be read."""
    if isinstance(field.remote, Unknown) or field.unknown_reason:
        return None, field.unknown_reason
    # A removed item leaves every cell of connected boards empty.
    is_emptied = field.remote is None and field.converter.names_items
    if not field.sides.remote_changed or field.sides.equal or is_emptied:
        return None, ""
    return field.converter.display(field.remote) or None, Message(MISSED_EDIT)


def _comparable(raw: dict[str, Any]) -> list[Any]:
    """Return raw values for comparison; a relation as its id."""
    return [value.get("id") if isinstance(value, dict) else value for value in raw.values()]


def deletion_must_wait(removal: pass_plan.Removal, loss: str) -> bool:
    """Whether other records would lose something (`loss`) by a deletion that no person chose."""
    return bool(loss) and not removal.is_chosen


def take_deletion_result(plan: pass_plan.RecordPlan, obstacle: str) -> None:
    """Take the result of the deletion; `obstacle` is why the record could not be deleted."""
    removal = plan.removal
    assert removal is not None
    if obstacle:
        # The person is asked again, and reads why the choice can't be carried out.
        assert plan.question is not None
        possible = [option for option in plan.question.data["options"] if option["choose"] != acts.DELETE_RECORD]
        plan.question.data = {**plan.question.data, "options": possible}
        plan.question.reject_answer(obstacle if removal.is_chosen else "")
        removal.act = ""
        plan.reason = Message("not_deleted_too", removal=removal.sentence, why=obstacle)
        return
    removal.result = Message("deleted_too", removal=removal.sentence, decided_by=by_whom(removal))
    by = plan.facts.decided_by if removal.is_chosen else ""
    values = {"reason": plan.sync_state.remote_state}
    plan.add_line(ActivityKind.DELETE, removal.result, actor=by, values=values)


def values_without_item(board: BoardContext, plan: pass_plan.RecordPlan) -> dict[str, Any]:
    """Return what is written for a record whose item was removed, or that is unlinked; add the lines about that."""
    values: dict[str, Any] = {}
    if plan.is_done and plan.removal and plan.act == acts.CREATE_ITEM:
        values = {"monday_id": None}
        unlink_for_new_item(board, plan, plan.removal)
    if plan.unlinked_item_id:
        values = {"monday_id": None, "sync_enabled": False}
        sentence = Message("unlinked", why="" if plan.facts.unlink_requested_by else plan.unlink_reason)
        plan.add_line(ActivityKind.UNLINKED, sentence, actor=plan.facts.decided_by)
        plan.forget_removed_state()
        if plan.removal:
            plan.removal.result = Message("unlinked_by_answer")
    return values


def creating_job(plan: pass_plan.RecordPlan, removal: pass_plan.Removal) -> dict[str, Any]:
    """Return the job that creates a new item, as the act of the person who asked for it or of the board's setting."""
    job: dict[str, Any] = {"payload": {"by": plan.facts.claim.requested_by or SYNC_ACTOR}}
    if removal.is_chosen:
        job["cause"] = choices.Cause.PERSON
    return job


def unlink_for_new_item(board: BoardContext, plan: pass_plan.RecordPlan, removal: pass_plan.Removal) -> None:
    """Unlink a record that is to get a new item; the next pass looks for one or creates it.

    The old base stays in the sync state: it belongs to the old item, and counts again if that item is linked again.
    """
    removal.result = Message("recreated")
    sentence = sentences(removal.sentence, removal.result)
    actor = "" if removal.is_chosen else by_whom(removal)
    values = {"again": not removal.is_chosen, "reason": plan.sync_state.remote_state}
    plan.add_line(ActivityKind.UNLINKED, sentence, actor=actor, values=values)
    if _is_recreation(plan):
        # Nobody is asked about the edits on Monday that go with the old item: the history keeps them.
        missed = {edit.key for edit in removal.edits if code_of(edit.reason) == MISSED_EDIT}
        why = Message("left_with_that")
        plan.add_lines(*edits_removed_with_item(board, plan, missed, plan.history.events, why).values())
    plan.forget_removed_state()
    plan.reason = Message("recreated_next")
