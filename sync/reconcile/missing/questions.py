"""The questions to people about a record or an item as a whole, and what becomes of their answers to “who is this?”.

A question is a `ConflictReport` of the kind identity or delete, which settling stores. Each of its options is an act of
sync/kernel/acts.py, by whose code an answer is stored. removed_items.py and deleted_records.py apply the answers to
questions of the kind delete, and unmatched_items.py those in ITEM_ANSWERS.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from conflicts.reports import (
    ITEM_ANSWERS,
    RECORD_KEY,
    ConflictKind,
    ConflictReport,
    FieldConflict,
    FieldSelection,
    OpenConflict,
    Option,
)
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.kernel import acts, as_uuid
from sync.models import IgnoredItem, SyncedModel
from sync.monday.board_items import Item
from sync.reconcile import pass_plan
from sync.reconcile.facts import PassFacts, RecordFacts

# The answers that give a record an item.
LINKING = (acts.LINK, acts.SAME_NAME)

# How a pass ends that only changes links: the next one reads and compares what is linked now.
ANSWERED = pass_plan.Ending(
    pass_plan.Outcome.RELEASED, "NPD Sync first applies a person's answer, and syncs the rest next."
)
NOT_POSSIBLE = "This is not possible any more. Choose another option."
_UNANSWERED = "Nothing is created until somebody answers."


def ask(
    record: SyncedModel, item_id: str, sentence: str, options: Iterable[Option], edits: Sequence[FieldConflict]
) -> ConflictReport:
    """Return the question what becomes of a record or its item after the other one was deleted."""
    data = {"what": sentence, "options": [option.to_json() for option in options]}
    return ConflictReport(record.entity_type(), record.pk, item_id, ConflictKind.DELETE, fields=edits, data=data)


def chosen_act(
    choice: FieldSelection, edits: Iterable[FieldConflict], possible: Collection[str], edited: str
) -> tuple[str, str]:
    """Return the act that a person chose about a record or its item, or why it can't be carried out.

    `edited` says what was edited if the values aren't those that the person saw.
    """
    if choice.seen_values != {edit.key: (edit.npd or None, edit.monday or None) for edit in edits}:
        return "", f"{edited} was edited after you chose. Check the current values, then choose again."
    return (choice.choose, "") if choice.choose in possible else ("", NOT_POSSIBLE)


def ask_who(
    record: SyncedModel,
    item_id: str,
    sentence: str,
    candidates: Iterable[Mapping[str, Any]],
    options: Iterable[Option],
    **details: Any,
) -> ConflictReport:
    """Return the question which of these records or items is the same as this record or item."""
    data = {"what": sentence, "candidates": list(candidates), "options": [option.to_json() for option in options]}
    return ConflictReport(record.entity_type(), record.pk, item_id, ConflictKind.IDENTITY, data=data | details)


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
        f"{labels.get(key, key)} is “{value}” now"
        for name, values in shown.items()
        if name in shown_before
        for key, value in values.items()
        if value != shown_before[name].get(key, "")
    ]
    if edited:
        edits = f" Edited since this was asked: {', '.join(edited)}."
    question.data = {**question.data, "what": question.what + edits, "shown": dict(shown), "edits": edits}


def record_candidates(records: Iterable[SyncedModel]) -> list[Mapping[str, Any]]:
    return [{"id": str(record.pk), "label": str(record), "linked_to": record.monday_id} for record in records]


def quoted_names(records: Sequence[SyncedModel]) -> str:
    """Return the names of the first three records for a sentence."""
    return " or ".join(f"“{record}”" for record in records[:3])


def linkable(records: Sequence[SyncedModel]) -> list[SyncedModel]:
    return [record for record in records if record.monday_id is None and record.may_sync]


def which_record(board: BoardContext, records: Sequence[SyncedModel], item: Item) -> ConflictReport:
    """Return the question which of these records an item is; it is the first one's."""
    names = quoted_names(records)
    kind = records[0].entity_type()
    linked = [record for record in records if record.monday_id]
    looks_like_one = len(records) == len(linked) == 1
    sentence = f"The item “{item.name}” could be {names}."
    so_far = _UNANSWERED
    leaving_alone = "This item stays on the board and is not synced."
    leave_label = ""
    if looks_like_one:
        sentence = f"Two items look like {names}. Are they one {kind}?"
        so_far = "One is linked with it; the other waits for your answer."
        leave_label = f"They are one {kind}: leave this item alone"
        leaving_alone = f"“{linked[0]}” keeps its item. {leaving_alone}"
    elif linked:
        sentence += f" {quoted_names(linked)} {'has' if len(linked) == 1 else 'have'} an item already."
    linking = f"is linked with the item “{item.name}”; what differs is synced field by field."
    options = [
        Option(acts.LINK, f"“{record}” {linking}", str(record.pk), f"It is “{record}”") for record in linkable(records)
    ]
    options.append(Option(acts.NEW_RECORD, f"A new record is created from “{item.name}” and linked with it."))
    options.append(Option(acts.LEAVE_ALONE, leaving_alone, label=leave_label))
    candidates = record_candidates(records)
    shown_item = field_values.item_data(board, item)
    return ask_who(records[0], item.id, f"{sentence} {so_far}", candidates, options, item=shown_item)


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
    sentence = f"{len(items)} items on the board could be this {record.entity_type()}"
    if len(items) == 1:
        sentence = f"The item that fits already belongs to another {record.entity_type()}"
    options = [_link_option(record, item) for item in items if owners.get(item.id, record.pk) == record.pk]
    for duplicate in duplicates:
        label = f"The same as “{duplicate}”, made from the item: delete that"
        effect = f"The record “{duplicate}” is deleted in NPD, and its item is linked with “{record}”."
        options.append(Option(acts.MERGE_RECORDS, effect, str(duplicate.pk), label))
    linked_to = {item.id: str(owners[item.id]) if item.id in owners else None for item in items}
    candidates = [field_values.item_data(board, item) | {"linked_to": linked_to[item.id]} for item in items]
    return _about_items(record, f"{sentence}. {_UNANSWERED}", candidates, options)


def which_namesake(board: BoardContext, record: SyncedModel, items: Sequence[Item]) -> ConflictReport:
    """Return the question whether one of the items with the record's name is its own."""
    sentence = f"An item on the board has the name of “{record}”"
    if len(items) > 1:
        sentence = f"{len(items)} items on the board have the name of “{record}”"
    unsure = f"but {board.match_label} doesn't tell whether they are the same"
    act = acts.SAME_NAME if len(items) == 1 else acts.LINK
    options = [_link_option(record, item, act) for item in items]
    candidates = [field_values.item_data(board, item) | {"linked_to": None} for item in items]
    return _about_items(record, f"{sentence}, {unsure}. {_UNANSWERED}", candidates, options, by_name=True)


def whether_new(record: SyncedModel) -> ConflictReport:
    """Return the question whether a record for which the set-up's plan had no new item gets one."""
    sentence = f"“{record}” was in NPD when the board was set up, and the plan had no new item for it."
    return _about_items(record, f"{sentence} {_UNANSWERED}", [], [], is_unplanned=True)


def whether_again(board: BoardContext, record: SyncedModel, row: IgnoredItem, former: Item | None) -> ConflictReport:
    """Return the question whether a record that syncs again gets back its `former` item, if that was read."""
    effect = f"“{record}” and the item {row.item_id} sync as before; what changed since is synced or asked about."
    again = Option(acts.LINK, effect, row.item_id, "Link it with that item again")
    sentence = f"“{record}” had this item before. {row.reason} {_UNANSWERED}"
    unread = {"id": row.item_id, "label": f"Item {row.item_id}"}
    candidate = (field_values.item_data(board, former) if former else unread) | {"linked_to": None}
    return _about_items(record, sentence, [candidate], [again])


def _about_items(
    record: SyncedModel,
    sentence: str,
    candidates: Sequence[Mapping[str, Any]],
    options: Iterable[Option],
    **details: Any,
) -> ConflictReport:
    """Return the question which of these items is a record's; none of them may be, which gives it a new one."""
    creating = f"A new item is created for “{record}”; what is on the board stays as it is."
    item_id = str(candidates[0]["id"]) if candidates else ""
    return ask_who(record, item_id, sentence, candidates, [*options, Option(acts.NEW_ITEM, creating)], **details)


def _link_option(record: SyncedModel, item: Item, act: str = acts.LINK) -> Option:
    effect = f"“{record}” is linked with this item; what differs is synced field by field."
    return Option(act, effect, item.id, f"It is “{item.name}” ({item.id})")


def apply_answers(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Plan every stored answer about identity, and end the passes of everything that the answers concern.

    This pass only changes the links; the next pass syncs these records and items.
    """
    plan.identity_answers = stored_answers(plan)
    decide_answers(plan.identity_answers, facts.answer_records, facts.merge_obstacles)
    for answer in plan.identity_answers:
        record_plan = plan.records[answer.asked_id]
        # An applied answer closes its question; a rejected answer leaves it open without the choice.
        if answer.result:
            record_plan.answered_questions |= {answer.conflict.conflict_id}
        if answer.result and answer.act == acts.TWO_RECORDS:
            record_plan.sync_state.made_from_item = False
        for key in plan.records.keys() & {answer.asked_id, *answer.record_ids}:
            plan.records[key].ending = ANSWERED
    items = {answer.item_id for answer in plan.identity_answers if answer.result}
    for deleted in plan.deleted.values():
        if deleted.facts.tombstone.monday_id in items:
            deleted.ending = ANSWERED


def stored_answers(plan: pass_plan.Plan) -> list[pass_plan.IdentityAnswer]:
    """Return people's answers about the records of the pass, which nothing is decided about yet."""
    return [answer for key in sorted(plan.records) for answer in answers_of(plan.records[key].facts)]


def answered_items(facts: PassFacts, plan: pass_plan.Plan) -> frozenset[str]:
    """Return the items that this pass's answers are about."""
    applied = [answer for answer in plan.identity_answers if answer.result]
    merged = [facts.answer_records.get(answer.merged_id) for answer in applied if answer.merged_id]
    items = [answer.item_id for answer in applied] + [record.monday_id for record in merged if record is not None]
    return frozenset(str(item) for item in items if item)


def answers_of(facts: RecordFacts) -> list[pass_plan.IdentityAnswer]:
    """Return people's answers to the record's open questions about identity, without those of ITEM_ANSWERS."""
    answers = []
    for conflict in facts.conflicts:
        selection = conflict.resolutions.get(RECORD_KEY)
        if conflict.kind != ConflictKind.IDENTITY or selection is None or selection.choose in ITEM_ANSWERS:
            continue
        item_id = conflict.monday_item_id
        merged_id = None
        record_id = as_uuid(selection.value or "")
        if selection.choose in LINKING and record_id is None:
            # The chosen item may be another than the conflict's item.
            item_id = selection.value or ""
            record_id = facts.id
        elif selection.choose == acts.MERGE_RECORDS:
            # The question shows the values of the record that is deleted: this one, or the one that was chosen.
            merged_id = facts.id if str(facts.id) in conflict.shown else record_id
            record_id = record_id if merged_id == facts.id else facts.id
        answers.append(pass_plan.IdentityAnswer(selection.choose, facts.id, conflict, item_id, record_id, merged_id))
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
        elif answer.act in LINKING and (problem := link_problem(record, owners.get(answer.item_id))):
            answer.rejection_reason = problem
        else:
            answer.result = _RESULTS[answer.act].format(record=record, item=answer.item_id)
        if answer.result and answer.merged_id:
            del records[answer.merged_id]
        if answer.result and record is not None and item_id is not None:
            owner = field_values.with_item(record, item_id)
            records[record.pk] = owner
            owners[item_id] = owner


_RESULTS = {
    acts.LINK: "Linked “{record}” with the item {item}, as somebody decided.",
    acts.SAME_NAME: "Linked “{record}” with the item {item}, as somebody decided.",
    acts.NEW_ITEM: "None of them: it gets a new item.",
    acts.TWO_RECORDS: "They are two; both stay.",
    acts.LEAVE_ALONE: "The item is left alone.",
}


def _decide_merge(
    answer: pass_plan.IdentityAnswer, record: SyncedModel | None, merged: SyncedModel | None, obstacle: str
) -> None:
    """Plan to delete `merged`, which was made from an item, and to give its item to the record if that has none.

    If the record has an item, the deleted record's item is handled by deleted_records.py.
    """
    if merged is None or record is None:
        answer.rejection_reason = "one of the two records was deleted meanwhile."
    elif obstacle:
        answer.rejection_reason = obstacle
    else:
        answer.moves_item = record.monday_id is None and record.may_sync
        follows = "its item with it as the board's setting says"
        if answer.moves_item:
            follows = f"its item {merged.monday_id} is the item of “{record}” now"
        answer.result = f"“{merged}” was the same as “{record}”: it was deleted in NPD, and {follows}."


def link_problem(record: SyncedModel | None, owner: SyncedModel | None) -> str:
    """Return why a record can't get the item that a person chose; `owner` is the record that has the item by now."""
    if record is None:
        return "That record was deleted meanwhile."
    if record.monday_id is not None:
        return f"“{record}” now has another item."
    if not record.may_sync:
        return f"Sync is off for “{record}”. Turn it on, then choose again."
    return f"The item now belongs to “{owner}”." if owner is not None else ""
