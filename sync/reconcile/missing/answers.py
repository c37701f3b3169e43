"""What becomes of people's answers to “who is this?”: links are changed, or two records merged.

removed_items.py and deleted_records.py apply the answers to questions of the kind delete, and unmatched_items.py those
that wait for their item.
"""

from collections.abc import Iterable, Mapping
from uuid import UUID

from conflicts.reports import RECORD_KEY, ConflictKind
from sync.fields import field_values
from sync.kernel import acts, as_uuid
from sync.models import SyncedModel
from sync.reconcile import pass_plan
from sync.reconcile.facts import PassFacts, RecordFacts
from sync.words.message import Message


def apply_answers(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Plan every stored answer about identity, and end the passes of everything that the answers concern.

    This pass only changes the links; the next pass syncs these records and items.
    """
    for record_plan in plan.records.values():
        record_plan.answers = answers_of(record_plan.facts)
    identity_answers = plan.identity_answers
    if not identity_answers:
        return
    decide_answers(identity_answers, facts.answer_records, facts.merge_obstacles)
    for answer in identity_answers:
        if answer.result and answer.act == acts.TWO_RECORDS:
            plan.records[answer.asked_id].sync_state.made_from_item = False
        for key in plan.records.keys() & {answer.asked_id, *answer.record_ids}:
            plan.records[key].ending = pass_plan.ANSWERED
    items = {answer.item_id for answer in plan.applied_answers}
    for deleted in plan.deleted.values():
        if deleted.facts.tombstone.monday_id in items:
            deleted.ending = pass_plan.ANSWERED


def stored_answers(plan: pass_plan.Plan) -> list[pass_plan.IdentityAnswer]:
    """Return people's answers about the records of the pass, which nothing is decided about yet."""
    return [answer for key in sorted(plan.records) for answer in answers_of(plan.records[key].facts)]


def answered_items(facts: PassFacts, plan: pass_plan.Plan) -> frozenset[str]:
    """Return the items that this pass's answers are about."""
    applied = plan.applied_answers
    merged = [facts.answer_records.get(answer.merged_id) for answer in applied if answer.merged_id]
    items = [answer.item_id for answer in applied] + [record.monday_id for record in merged if record is not None]
    return frozenset(str(item) for item in items if item)


def answers_of(facts: RecordFacts) -> list[pass_plan.IdentityAnswer]:
    """Return people's answers to the record's open questions about identity, without those that wait for their item."""
    answers = []
    for conflict in facts.conflicts:
        selection = conflict.resolutions.get(RECORD_KEY)
        if conflict.kind != ConflictKind.IDENTITY or selection is None:
            continue
        act = acts.ACTS[selection.choose]
        if act.waits_for_item:
            continue
        item_id = conflict.monday_item_id
        merged_id = None
        record_id = as_uuid(selection.value or "")
        if act.links and record_id is None:
            # The chosen item may be another than the conflict's item.
            item_id = selection.value or ""
            record_id = facts.id
        elif act.code == acts.MERGE_RECORDS:
            # The question shows the values of the record that is deleted: this one, or the one that was chosen.
            merged_id = facts.id if str(facts.id) in conflict.shown else record_id
            record_id = record_id if merged_id == facts.id else facts.id
        answers.append(pass_plan.IdentityAnswer(act.code, facts.id, conflict, item_id, record_id, merged_id))
    return answers


def decide_answers(
    answers: Iterable[pass_plan.IdentityAnswer],
    answer_records: Mapping[UUID, SyncedModel],
    merge_obstacles: Mapping[UUID, str],
) -> None:
    """Decide whether these answers can still be applied, each after the ones before it.

    An item is assigned once, and a record is deleted once.
    """
    records = dict(answer_records)
    owners = {str(record.monday_id): record for record in records.values() if record.monday_id}
    for answer in answers:
        record = records.get(answer.record_id) if answer.record_id else None
        item_id: str | None = answer.item_id
        if answer.act == acts.MERGE_RECORDS:
            merged = records.get(answer.merged_id) if answer.merged_id else None
            _decide_merge(answer, record, merged, merge_obstacles.get(answer.conflict.conflict_id, ""))
            item_id = merged.monday_id if merged and answer.moves_item else None
        elif acts.ACTS[answer.act].links and (problem := link_problem(record, owners.get(answer.item_id))):
            answer.rejection_reason = problem
        else:
            answer.result = Message(f"answered_{answer.act}", record=record and str(record), item=answer.item_id)
        if answer.result and answer.merged_id:
            del records[answer.merged_id]
        if answer.result and record is not None and item_id is not None:
            owner = field_values.with_item(record, item_id)
            records[record.pk] = owner
            owners[item_id] = owner


def _decide_merge(
    answer: pass_plan.IdentityAnswer, record: SyncedModel | None, merged: SyncedModel | None, obstacle: str
) -> None:
    """Plan to delete `merged`, which was made from an item, and to give its item to the record if that has none.

    If the record has an item, the deleted record's item is handled by deleted_records.py.
    """
    if merged is None or record is None:
        answer.rejection_reason = Message("one_was_deleted")
    elif obstacle:
        answer.rejection_reason = obstacle
    else:
        answer.moves_item = record.monday_id is None and record.may_sync
        code = "merged_with_item" if answer.moves_item else "merged"
        answer.result = Message(code, merged=str(merged), record=str(record), item=merged.monday_id)


def link_problem(record: SyncedModel | None, owner: SyncedModel | None) -> str:
    """Return why a record can't get the item that a person chose; `owner` is the record that has the item by now."""
    if record is None:
        return Message("chosen_was_deleted")
    if record.monday_id is not None:
        return Message("chosen_has_item", record=str(record))
    if not record.may_sync:
        return Message("chosen_sync_off", record=str(record))
    return Message("item_belongs_to", owner=str(owner)) if owner is not None else ""
