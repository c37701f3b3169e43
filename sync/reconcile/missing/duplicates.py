"""Decides about duplicates: a second item with a record's NPD ID, and a record that may be the same as another one.

Implements, of docs/reference/merge/record-and-item.md:

- R18: the second item loses its NPD ID, and a person is asked whether it is a copy.
- R14: a person is also asked whether two records are the same, if one was
  made from an item and has got the match key of the other.

An `ItemPlan` with the act CLEAR_NPD_ID is such a second item. One with ARCHIVE_COPY is only archived, because a person
answered that it is a copy.
"""

from collections.abc import Sequence

from conflicts.reports import COPY, SAME_RECORD, ConflictKind, ConflictReport, Option
from sync.choices import ActivityKind
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.kernel import acts
from sync.models import SyncedModel
from sync.reconcile import outcomes, pass_plan
from sync.reconcile.facts import PassFacts
from sync.reconcile.missing import questions
from sync.reconcile.outcomes import Write
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
    question = questions.ask(SAME_RECORD, record, record.monday_id or "", sentence, options)
    question.data |= {"candidates": questions.record_candidates(others)}
    return question


def add_shown_values(board: BoardContext, plan: pass_plan.RecordPlan) -> None:
    """Add to the question about its record what that shows of it, as it was written: an answer may delete that."""
    if plan.question is None or plan.question.kind != ConflictKind.IDENTITY or plan.asks_which_item:
        return
    asked = (conflict for conflict in plan.facts.conflicts if conflict.kind == ConflictKind.IDENTITY)
    before = next((conflict for conflict in asked if conflict.monday_item_id == plan.record.monday_id), None)
    shown = {str(plan.id): field_values.record_values(board, plan.record)}
    questions.name_edits(board, plan.question, shown, before)


def take_answer(board: BoardContext, duplicate: pass_plan.ItemPlan, write: Write) -> None:
    """Take Monday's answer to clearing its NPD ID, or to archiving a person's copy.

    If it was removed meanwhile, nothing is left to do. A question shows the item as the answer has it.
    """
    is_gone = write.is_gone
    duplicate.write = write
    if not (write.is_done or is_gone):
        duplicate.ending = write.ending
        return
    duplicate.keeps_finding = False
    name = duplicate.item.name
    # The lines of a question and of its answer say that its NPD ID was removed, and that a copy was archived.
    if duplicate.act == acts.ARCHIVE_COPY:
        duplicate.sentence = Message("copy_archived", item=name, record=str(duplicate.original_record))
    elif is_gone:
        duplicate.kind = ActivityKind.CONFLICT_IDENTITY
        duplicate.sentence = Message("second_item_gone", item=name)
    else:
        duplicate.question = whether_copy(board, duplicate)
        asked = Message("who_is_this", question=_copy_sentence(duplicate))
        duplicate.ending = outcomes.Ending(outcomes.Outcome.DONE, asked)
        return
    duplicate.finding = None
    duplicate.closing_reason = duplicate.sentence
    duplicate.ending = outcomes.Ending(outcomes.Outcome.DONE, duplicate.sentence)


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
    question = questions.ask(COPY, record, item.id, _copy_sentence(duplicate), options)
    question.data |= {"item": shown_item, "candidates": questions.record_candidates([record])}
    questions.name_edits(board, question, {item.id: shown_item["values"]}, duplicate.facts.question)
    return question


def _copy_sentence(duplicate: pass_plan.ItemPlan) -> Message:
    """Return the question; it is the same in every pass."""
    record = duplicate.original_record
    return Message("is_it_a_copy", item=duplicate.item.name, record=str(record), kind=record.entity_type())
