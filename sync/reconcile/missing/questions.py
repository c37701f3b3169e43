"""The questions to people about a record or an item as a whole, and what becomes of their answers.

A question is a `ConflictReport` of the kind identity or delete, which settling stores. Each of its options is an act of
sync/kernel/acts.py, by whose code an answer is stored. Answers to “who is this?” are applied here: links are changed,
or two records merged. removed_items.py and deleted_records.py apply those of the kind delete, unmatched_items.py those
that wait for their item.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from conflicts.reports import (
    ABOUT_DELETION,
    FORMER_ITEM,
    NAMESAKE,
    RECORD_KEY,
    SAME_NAME,
    SECOND_ITEM,
    UNPLANNED,
    WHICH_ITEM,
    WHICH_RECORD,
    ConflictKind,
    ConflictReport,
    FieldConflict,
    FieldSelection,
    OpenConflict,
    Option,
)
from sync.boards.board_columns import NPD_ID_TITLE
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.kernel import acts, as_uuid
from sync.models import IgnoredItem, SyncedModel
from sync.monday.board_items import Item
from sync.reconcile import outcomes, pass_plan
from sync.reconcile.facts import PassFacts, RecordFacts
from sync.words.message import Message, sentences

NOT_POSSIBLE = "not_possible_any_more"
_UNANSWERED = Message("unanswered")


def ask(asks: str, record: SyncedModel, item_id: str, sentence: str, options: Iterable[Option]) -> ConflictReport:
    """Return a question about the record and this item, such as WHICH_ITEM."""
    kind = ConflictKind.DELETE if asks in ABOUT_DELETION else ConflictKind.IDENTITY
    data = {"asks": asks, "what": sentence, "options": [option.to_json() for option in options]}
    return ConflictReport(record.entity_type(), record.pk, item_id, kind, data=data)


def chosen_act(
    choice: FieldSelection, edits: Iterable[FieldConflict], possible: Collection[str], edited: Message
) -> tuple[str, str]:
    """Return the act that a person chose about a record or its item, or why it can't be carried out.

    `edited` is said if the values aren't those that the person saw.
    """
    if choice.seen_values != {edit.key: (edit.npd or None, edit.monday or None) for edit in edits}:
        return "", edited
    return (choice.choose, "") if choice.choose in possible else ("", Message(NOT_POSSIBLE))


def name_edits(
    board: BoardContext, question: ConflictReport, shown: Mapping[str, Any], before: OpenConflict | None
) -> None:
    """Add to a question what it shows of the records and items that an answer may archive or delete.

    Its sentence names what was edited since `before` was asked, so that an answer to the earlier sentence doesn't hold.
    """
    edits = before.about.get("edits", "") if before else ""
    shown_before = before.shown if before else {}
    labels = {mapping.key: mapping.label for mapping in board.mapped}
    edited = [
        Message("is_now", label=labels.get(key, key), value=value)
        for name, values in shown.items()
        if name in shown_before
        for key, value in values.items()
        if value != shown_before[name].get(key, "")
    ]
    if edited:
        edits = Message("edited_since_asked", edits=edited)
    what = sentences(question.what, edits)
    # A copy, because a settling that gives way to a save is repeated with the question as it was decided.
    question.data = {**question.data, "sentence": question.what, "what": what, "shown": dict(shown), "edits": edits}


def record_candidates(records: Iterable[SyncedModel]) -> list[Mapping[str, Any]]:
    return [{"id": str(record.pk), "label": str(record), "linked_to": record.monday_id} for record in records]


# Returns the question whose an item is, if it may be one of these records.
AboutItem = Callable[[BoardContext, Sequence[SyncedModel], Item], ConflictReport]


def quoted_names(records: Sequence[SyncedModel]) -> str:
    """Return the names of the first three records for a sentence."""
    return " or ".join(f"“{record}”" for record in records[:3])


def which_record(board: BoardContext, records: Sequence[SyncedModel], item: Item) -> ConflictReport:
    """Return the question which of these records, which have its NPD ID or match key, an item is.

    It is the first one's. If all have an item, it is whether this is a second one of theirs.
    """
    linked = [record for record in records if record.monday_id]
    if len(linked) == len(records):
        return _whether_second_item(SECOND_ITEM, board, records, item)
    matched = board.match_label
    if field_values.npd_uuid_of(board, item) in {record.pk for record in records}:
        matched = NPD_ID_TITLE
    code = "could_be"
    if linked:
        code = "could_be_linked" if len(linked) == 1 else "could_be_linked_ones"
    names = {"names": quoted_names(records), "linked": quoted_names(linked)}
    sentence = Message(code, item=item.name, matched=matched, **names)
    options = [_link_record_option(record, item) for record in records if not record.monday_id]
    options.append(Option(acts.NEW_RECORD, Message("effect_new_record", item=item.name)))
    options.append(Option(acts.LEAVE_ALONE, Message("effect_leave_alone")))
    question = ask(WHICH_RECORD, records[0], item.id, sentences(sentence, _UNANSWERED), options)
    return _with_candidates(question, board, records, item)


def whether_namesake(board: BoardContext, records: Sequence[SyncedModel], item: Item) -> ConflictReport:
    """Return the question whether an item is a second one of a record that only has its name."""
    return _whether_second_item(NAMESAKE, board, records, item)


def _whether_second_item(asks: str, board: BoardContext, records: Sequence[SyncedModel], item: Item) -> ConflictReport:
    """Return the question whether an item is a second one of a record, which is the likely answer."""
    kind = records[0].entity_type()
    names = quoted_names(records)
    matched = "name" if asks == NAMESAKE else board.match_label
    sentence = Message("is_second_item", item=item.name, matched=matched, names=names, kind=kind)
    effect = Message("effect_leave_second", records=names)
    options = [
        Option(acts.LEAVE_ALONE, effect, label=Message("label_leave_second", kind=kind)),
        Option(acts.NEW_RECORD, Message("effect_new_record", item=item.name)),
    ]
    question = ask(asks, records[0], item.id, sentences(sentence, _UNANSWERED), options)
    return _with_candidates(question, board, records, item)


def _with_candidates(
    question: ConflictReport, board: BoardContext, records: Sequence[SyncedModel], item: Item
) -> ConflictReport:
    question.data |= {"item": field_values.item_data(board, item), "candidates": record_candidates(records)}
    return question


def _link_record_option(record: SyncedModel, item: Item) -> Option:
    code = "effect_link" if record.may_sync else "effect_link_sync_off"
    effect = Message(code, record=str(record), item=item.name)
    return Option(acts.LINK, effect, str(record.pk), Message("label_link", name=str(record)))


def which_item(
    board: BoardContext,
    record: SyncedModel,
    items: Sequence[Item],
    owners: Mapping[str, UUID],
    duplicates: Sequence[SyncedModel],
) -> ConflictReport:
    """Return the question which of these items is the record's.

    `owners` are the records that have the items; `duplicates` are the owners that were made from their item and not
    edited in NPD.
    """
    code = "fitting_item_taken" if len(items) == 1 else "items_could_be"
    sentence = Message(code, number=len(items), kind=record.entity_type())
    has_npd_id = [field_values.npd_id_of(board, item) == str(record.pk) for item in items]
    then = Message("asked_about_copies") if has_npd_id.count(True) > 1 else ""
    options = [_link_option(record, item, then=then) for item in items if owners.get(item.id, record.pk) == record.pk]
    for duplicate in duplicates:
        label = Message("label_merge_made", other=str(duplicate))
        effect = Message("effect_merge", record=str(duplicate), other=str(record))
        options.append(Option(acts.MERGE_RECORDS, effect, str(duplicate.pk), label))
    linked_to = {item.id: str(owners[item.id]) if item.id in owners else None for item in items}
    candidates = [field_values.item_data(board, item) | {"linked_to": linked_to[item.id]} for item in items]
    return _about_items(WHICH_ITEM, record, sentence, candidates, options)


def which_namesake(board: BoardContext, record: SyncedModel, items: Sequence[Item]) -> ConflictReport:
    """Return the question whether one of the items with the record's name is its own."""
    code = "namesake" if len(items) == 1 else "namesakes"
    sentence = Message(code, number=len(items), record=str(record), key=board.match_label)
    act = acts.SAME_NAME if len(items) == 1 else acts.LINK
    options = [_link_option(record, item, act) for item in items]
    candidates = [field_values.item_data(board, item) | {"linked_to": None} for item in items]
    return _about_items(SAME_NAME, record, sentence, candidates, options)


def whether_new(record: SyncedModel) -> ConflictReport:
    """Return the question whether a record for which the set-up's plan had no new item gets one."""
    return _about_items(UNPLANNED, record, Message("unplanned", record=str(record)), [], [])


def whether_again(board: BoardContext, record: SyncedModel, row: IgnoredItem, former: Item | None) -> ConflictReport:
    """Return the question whether a record that syncs again gets back its `former` item, if that was read."""
    effect = Message("effect_relink", record=str(record), item=row.item_id)
    again = Option(acts.LINK, effect, row.item_id, Message("label_relink"))
    sentence = Message("had_this_item", record=str(record), why=row.reason)
    unread = {"id": row.item_id, "label": f"Item {row.item_id}"}
    candidate = (field_values.item_data(board, former) if former else unread) | {"linked_to": None}
    return _about_items(FORMER_ITEM, record, sentence, [candidate], [again])


def _about_items(
    asks: str,
    record: SyncedModel,
    sentence: Message,
    candidates: Sequence[Mapping[str, Any]],
    options: Iterable[Option],
) -> ConflictReport:
    """Return the question which of these items is a record's; none of them may be, which gives it a new one."""
    creating = Option(acts.NEW_ITEM, Message("effect_new_item", record=str(record)))
    item_id = str(candidates[0]["id"]) if candidates else ""
    question = ask(asks, record, item_id, sentences(sentence, _UNANSWERED), [*options, creating])
    question.data |= {"candidates": list(candidates)}
    return question


def _link_option(record: SyncedModel, item: Item, act: str = acts.LINK, then: str = "") -> Option:
    label = Message("label_link_item", name=item.name, item=item.id)
    return Option(act, Message("effect_link_item", record=str(record), then=then), item.id, label)


# --- answers to “who is this?” ----------------------------------------------------------------------------------------


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
            plan.records[key].ending = outcomes.ANSWERED
    items = {answer.item_id for answer in plan.applied_answers}
    for deleted in plan.deleted.values():
        if deleted.facts.tombstone.monday_id in items:
            deleted.ending = outcomes.ANSWERED


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
        answer.moves_item = record.monday_id is None
        code = "merged_with_item" if answer.moves_item else "merged"
        answer.result = Message(code, merged=str(merged), record=str(record), item=merged.monday_id)


def link_problem(record: SyncedModel | None, owner: SyncedModel | None) -> str:
    """Return why a record can't get the item that a person chose; `owner` is the record that has the item by now."""
    if record is None:
        return Message("chosen_was_deleted")
    if record.monday_id is not None:
        return Message("chosen_has_item", record=str(record))
    return Message("item_belongs_to", owner=str(owner)) if owner is not None else ""
