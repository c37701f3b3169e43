"""Decides about duplicates: a second item with a record's NPD ID, and a record that may be the same as another one.

Implements, of docs/reference/merge/record-and-item.md:

- R18 to R20: the second item loses its NPD ID. If our own create made it and
  nobody touched it, it is archived, too; else a person is asked whether it is the same.
- R14: a person is also asked whether two records are the same, if one was
  made from an item and has got the match key of the other.

An `ItemPlan` with the act CLEAR_NPD_ID is such a second item. One with ARCHIVE_COPY is only archived, because a person
answered that it is a copy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from conflicts.reports import ConflictKind, ConflictReport, Option
from sync.choices import ActivityKind, ApprovalKind, ApprovalState
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.kernel import acts
from sync.models import ApprovalRequest, FieldMapping, Intent, IntentState, SyncedModel
from sync.monday.conversion import UnknownValue
from sync.reconcile import pass_plan
from sync.reconcile.change_events import creator_of
from sync.reconcile.facts import PassFacts, is_create
from sync.reconcile.missing import questions
from sync.reconcile.pass_plan import Write, WriteVerdict
from sync.words.message import Message


def find_possible_duplicates(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Ask about records that were made from an item and now share its match key with another record.

    For example, a new item without an email address becomes a record; the address that is filled in later is a known
    record's. A person decides whether the two are the same.
    """
    board = facts.board
    merged = {answer.merged_id for answer in plan.applied_answers}
    for record_plan in plan.open_records:
        is_asked = any(
            conflict.kind == ConflictKind.IDENTITY and conflict.monday_item_id == record_plan.record.monday_id
            for conflict in record_plan.facts.conflicts
        )
        # Who is asked already stays asked after an edit in NPD, which only keeps the record from being deleted.
        is_possible = is_asked or record_plan.facts.is_possible_duplicate
        if not (is_possible and record_plan.sync_state.made_from_item) or record_plan.item is None:
            continue
        key = field_values.match_key_of_item(board, record_plan.item)
        same_key = facts.same_key.get(key, ()) if key else ()
        others = [other for other in same_key if other.pk not in (record_plan.id, *merged)]
        if others:
            record_plan.question = _whether_same_record(record_plan.record, others, board.match_label)


def _whether_same_record(record: SyncedModel, others: Sequence[SyncedModel], match_label: str) -> ConflictReport:
    """Return the question whether a record that was made from an item is the same as one of these others."""
    options = []
    for other in others:
        names = {"record": str(record), "other": str(other)}
        effect = Message("effect_merge_both" if other.monday_id else "effect_merge", **names)
        options.append(Option(acts.MERGE_RECORDS, effect, str(other.pk), Message("label_merge", **names)))
    options.append(Option(acts.TWO_RECORDS, Message("effect_two_records")))
    sentence = Message("same_key", record=str(record), key=match_label, names=questions.quoted_names(others))
    return questions.ask_who(record, record.monday_id or "", sentence, questions.record_candidates(others), options)


def add_shown_values(board: BoardContext, plan: pass_plan.RecordPlan) -> None:
    """Add to the question about its record what that shows of it, as it was written: an answer may delete that."""
    if plan.question is None or plan.question.kind != ConflictKind.IDENTITY or plan.asks_which_item:
        return
    asked = (conflict for conflict in plan.facts.conflicts if conflict.kind == ConflictKind.IDENTITY)
    before = next((conflict for conflict in asked if conflict.monday_item_id == plan.record.monday_id), None)
    shown = {str(plan.id): field_values.record_values(board, plan.record)}
    questions.name_edits(board, plan.question, shown, before)


def decide_duplicates(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Find the duplicates that our own creates made: they are archived; over the limit, people are asked about them."""
    duplicates = [item for item in plan.items if item.act == pass_plan.CLEAR_NPD_ID]
    own = [duplicate for duplicate in duplicates if is_own_create(facts.board, duplicate)]
    if not own:
        return
    # Items of deleted records count, too.
    removed = {duplicate.original_record.pk for duplicate in own}
    removed |= {deleted.id for deleted in plan.deleted.values() if deleted.approval}
    if facts.approvals.is_over_limit(ApprovalKind.ITEMS, removed):
        return
    for duplicate in own:
        duplicate.is_ours = True


def is_own_create(board: BoardContext, duplicate: pass_plan.ItemPlan) -> bool:
    """Whether our own create made the item, and no event names another user (unmapped columns aren't compared)."""
    creates = _creates_that_sent_its_values(board, duplicate)
    if not creates or duplicate.facts.duplicate_of is None:
        return False
    us = duplicate.facts.duplicate_of.history.token_user
    users = {event.user_id for event in duplicate.facts.events} - {""}
    if us and users - {us}:
        return False
    if us and creator_of(duplicate.facts.events):
        return True
    # No event names who created it: then only a create that was searched for in vain can have landed later.
    return any(intent.state == IntentState.VOID and intent.was_searched for intent in creates)


def _creates_that_sent_its_values(board: BoardContext, duplicate: pass_plan.ItemPlan) -> list[Intent]:
    """Return our creates that sent exactly the item's values, so that one of them may have run twice."""
    original = duplicate.facts.duplicate_of
    # Without the original item, the duplicate is the record's only item on the board.
    if original is None or not field_values.is_active_on(board, duplicate.facts.original_item):
        return []
    # If the record was linked with it once, somebody restored it.
    history = original.history
    was_written = any(intent.values and intent.item_id == duplicate.item.id for intent in history.intents)
    if was_written or duplicate.item.id in history.unlinked_items:
        return []
    return [
        intent
        for intent in history.intents
        if is_create(intent)
        if all(_has_sent_value(board, duplicate, mapping, intent.values.get(mapping.key)) for mapping in board.mapped)
    ]


def _has_sent_value(
    board: BoardContext, duplicate: pass_plan.ItemPlan, mapping: FieldMapping, sent: Mapping[str, Any] | None
) -> bool:
    converter = board.converter(mapping, duplicate.original_record)
    try:
        current = converter.canonical_remote(converter.cell_value(duplicate.item.reading(mapping.column_id)))
        if sent is None:
            return current is None
        return mapping.is_current(sent) and bool(current == converter.canonical_local(sent["local"]))
    except UnknownValue:
        return False


def is_to_archive(board: BoardContext, duplicate: pass_plan.ItemPlan, cleared: Write | None) -> bool:
    """Whether it is archived: a person's copy, or ours if the answer to clearing its NPD ID shows no edit since."""
    if duplicate.act == acts.ARCHIVE_COPY:
        return True
    if not duplicate.is_ours or cleared is None or not cleared.is_done:
        return False
    duplicate.answered_item = cleared.item
    return bool(_creates_that_sent_its_values(board, duplicate))


def take_answers(board: BoardContext, duplicate: pass_plan.ItemPlan, writes: Sequence[Write]) -> None:
    """Take Monday's answers to clearing its NPD ID, and to archiving it; a copy is only archived.

    If it was removed meanwhile, nothing is left to do. Questions show the item as an answer has it.
    """
    duplicate.answered_item = next((write.item for write in writes if write.item), None)
    duplicate.intents = tuple(write.open_intent for write in writes if write.is_done and write.open_intent)
    failed = next((write for write in writes if not write.is_done and write.verdict is not WriteVerdict.GONE), None)
    if failed is not None:
        duplicate.ending = failed.ending
        return
    # If there are two answers, the second is the one to archiving it.
    is_off_board = len(writes) > 1 or any(write.verdict is WriteVerdict.GONE for write in writes)
    name = duplicate.item.name
    duplicate.keeps_finding = False
    if duplicate.act == acts.ARCHIVE_COPY:
        sentence = Message("copy_archived", item=name, record=str(duplicate.original_record))
    elif not is_off_board:
        duplicate.question = whether_copy(board, duplicate)
        duplicate.ending = pass_plan.Ending(
            pass_plan.Outcome.SETTLED, Message("who_is_this", question=_copy_sentence(duplicate))
        )
        return
    elif duplicate.is_ours:
        sentence = Message("second_item_of_ours", item=name)
    else:
        sentence = Message("second_item_gone", item=name)
    duplicate.sentence = sentence
    # The line of a person's answer says that it was archived.
    if duplicate.act != acts.ARCHIVE_COPY:
        duplicate.kind = ActivityKind.CONFLICT_IDENTITY
    duplicate.ending = pass_plan.Ending(pass_plan.Outcome.SETTLED, sentence)
    duplicate.finding = None
    duplicate.closing_reason = sentence


def whether_copy(board: BoardContext, duplicate: pass_plan.ItemPlan) -> ConflictReport:
    """Return the question whether a duplicate is the same as its record."""
    item = duplicate.item
    record = duplicate.original_record
    names = {"item": item.name, "record": str(record)}
    options = [
        Option(acts.ARCHIVE_COPY, Message("effect_archive_copy", **names), label=Message("label_archive_copy")),
        Option(acts.NEW_RECORD, Message("effect_new_record_beside", **names)),
        Option(acts.LEAVE_ALONE, Message("effect_leave_copy", item=item.name)),
    ]
    shown_item = field_values.item_data(board, item)
    candidates = questions.record_candidates([record])
    question = questions.ask_who(record, item.id, _copy_sentence(duplicate), candidates, options, item=shown_item)
    questions.name_edits(board, question, {item.id: shown_item["values"]}, duplicate.facts.question)
    return question


def _copy_sentence(duplicate: pass_plan.ItemPlan) -> Message:
    """Return the question; it is the same in every pass."""
    record = duplicate.original_record
    return Message("is_it_a_copy", item=duplicate.item.name, record=str(record), kind=record.entity_type())


def archive_request(duplicate: pass_plan.ItemPlan) -> ApprovalRequest:
    """Return the request to store for archiving our own duplicate: it counts as done."""
    record = duplicate.original_record
    return ApprovalRequest(
        entity_type=record.entity_type(),
        entity_id=record.pk,
        remote_id=duplicate.item.id,
        kind=ApprovalKind.ITEMS,
        key="copy",
        label=Message("approval_of_second_item", record=str(record)),
        values={"record": str(record)},
        state=ApprovalState.DONE,
    )
