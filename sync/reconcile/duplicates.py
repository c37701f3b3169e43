"""Decides about duplicates: a second item with a record's NPD ID, and a record that may be the same as another one.

Implements, of “A record and its item” in docs/reference/merge.md:

- *there, linked | a second item bears its NPD ID*: the second item loses its NPD ID. If our own create made it and
  nobody touched it, it is archived, too; else a person is asked whether it is the same.
- the last sentence of *none | there, never linked*: a person is also asked whether two records are the same, if one was
  made from an item and has got the match key of the other.

An `ItemPlan` with the act DUPLICATE is such a second item. One with the act COPY is archived because a person answered
that it is a copy.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from conflicts import reports
from conflicts.reports import ConflictKind, Option
from sync.choices import ApprovalKind, ApprovalState
from sync.models import ApprovalRequest, FieldMapping, Intent, IntentState, SyncedModel
from sync.monday.board_items import Item
from sync.monday.conversion import UnknownValue
from sync.outbox.claim import Claim
from sync.reconcile import field_values, identity, pass_plan
from sync.reconcile.facts import ItemFacts, PassFacts, RecordHistory, is_create
from sync.reconcile.field_values import BoardContext
from sync.reconcile.new_items import assigned_items
from sync.reconcile.pass_plan import AnswerKind, Verdict, WriteAnswer
from sync.reconcile.record_writes import Write

# The kind of the history line about a duplicate that stays on the board.
DUPLICATE_STAYS = "conflict_identity"


def find_possible_duplicates(facts: PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """Ask about records that were made from an item and now share its match key with another record.

    For example, a new item without an email address becomes a record; the address that is filled in later is a known
    record's. A person decides whether the two are the same.
    """
    board = facts.board
    merged = {answer.merged_id for answer in plan.answers if answer.result}
    asked_about = []
    for record_plan in plan.open_records:
        is_possible = record_plan.sync_state.made_from_item and record_plan.id in facts.identity.possible_duplicates
        if not is_possible or record_plan.item is None:
            continue
        key = field_values.match_text_of_item(board, record_plan.item)
        same_key = facts.identity.same_key.get(key, ()) if key else ()
        others = [other for other in same_key if other.pk not in (record_plan.id, *merged)]
        if others:
            question = _same_record_question(record_plan.record, others, board.match_label)
            asked_about.append(replace(record_plan, identity=replace(record_plan.identity, duplicate=question)))
    return plan.with_records(asked_about)


def _same_record_question(record: SyncedModel, others: Sequence[SyncedModel], key: str) -> dict[str, Any]:
    """Return the question whether a record that was made from an item is the same as one of these others."""
    deletion = f"The record “{record}” is deleted in NPD"
    options = []
    for other in others:
        effect = f"{deletion}, and its item is linked with “{other}”."
        if other.monday_id:
            effect = f"{deletion}, and its item with it as the board's setting says. “{other}” keeps its own item."
        label = f"The same as “{other}”: delete “{record}”"
        options.append(Option.answer(reports.MERGE_RECORDS, effect, f"{identity.SAME_AS}{other.pk}", label))
    keeping = "Both records stay, and you are not asked again."
    options.append(Option.answer("two_records", keeping, AnswerKind.TWO_RECORDS))
    names = identity.quoted_names(others)
    sentence = f"“{record}”, which was made from an item on the board, has the same {key} as {names}."
    return identity.question_data(sentence, identity.record_candidates(others), options)


def decide_duplicates(facts: PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """Decide about duplicates: those that this pass read, and those that a person called copies."""
    board = facts.board
    duplicates = [item for item in plan.items if item.act is pass_plan.ItemAct.DUPLICATE]
    answered_items = identity.answered_items(facts, plan)
    linked_now = assigned_items(plan)
    for record_plan in plan.open_records:
        if not (record_plan.item or record_plan.creates):
            continue
        for answer in identity.answers_of(record_plan.facts):
            item_id = answer.item_id
            if answer.kind is not AnswerKind.COPY or item_id in answered_items:
                continue
            # With an owner it is not archived: the answer was not about that record's item.
            owner = facts.answers.owners.get(item_id) or linked_now.get(item_id)
            item = facts.items.linked.get(item_id) or Item(item_id, item_id, pass_plan.MISSING)
            item_facts = ItemFacts(Claim(None, item_id, []), item, owner=owner)
            copy = pass_plan.ItemPlan(item_facts, pass_plan.OPEN, act=pass_plan.ItemAct.COPY, record=record_plan.record)
            duplicates.append(copy)
    if not duplicates:
        return plan
    with_own_create = {duplicate.original_record.pk for duplicate in duplicates if is_own_create(board, duplicate)}
    # Items of deleted records count, too. Over the limit, people are asked about all duplicates.
    with_removal = {deleted.id for deleted in plan.deleted.values() if deleted.approval}
    if with_own_create and not facts.approvals.is_over_limit(ApprovalKind.ITEMS, with_own_create | with_removal):
        duplicates = [replace(duplicate, is_ours=is_own_create(board, duplicate)) for duplicate in duplicates]
    return replace(plan, duplicates=tuple(duplicates))


def is_own_create(board: BoardContext, duplicate: pass_plan.ItemPlan) -> bool:
    """Whether our own create made the item, and no event names another user (unmapped columns aren't compared)."""
    creates = _creates_that_sent_its_values(board, duplicate)
    history = duplicate.facts.duplicate_of.history if duplicate.facts.duplicate_of else RecordHistory()
    us = history.token_user
    if us and history.users - {us}:
        return False
    if us and history.maker:
        return bool(creates)
    # No event names who created it: then only a create that was searched for in vain can have landed later.
    return any(intent.state == IntentState.VOID and intent.was_searched for intent in creates)


def _creates_that_sent_its_values(board: BoardContext, duplicate: pass_plan.ItemPlan) -> list[Intent]:
    """Return our creates that sent exactly the item's values, so that one of them may have run twice."""
    record = duplicate.facts.duplicate_of
    # Without the original, the duplicate is the record's only item on the board.
    if record is None or not field_values.is_active_on(board, duplicate.facts.original_item):
        return []
    # If the record was linked with it once, somebody restored it.
    history = record.history
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
    convert = board.converter(mapping, duplicate.original_record)
    try:
        current = convert.canonical_remote(convert.stored_value(duplicate.item.reading(mapping.column_id)))
        if sent is None:
            return current is None
        return mapping.is_current(sent) and bool(current == convert.canonical_local(sent["local"]))
    except UnknownValue:
        return False


def duplicate_write(duplicate: pass_plan.ItemPlan) -> Write:
    """Return the unit of the calls about a duplicate, without values."""
    record_id = duplicate.original_record.pk
    return Write(f"{record_id} {duplicate.item.id} {duplicate.act}", record_id, duplicate.item.id)


def is_to_archive(duplicate: pass_plan.ItemPlan) -> bool:
    """Whether it is to be archived: because our own create made it, or because a person said so."""
    if duplicate.act is pass_plan.ItemAct.DUPLICATE:
        return duplicate.is_ours
    return duplicate.item.state == field_values.ACTIVE and duplicate.facts.owner is None


def is_still_to_archive(board: BoardContext, duplicate: pass_plan.ItemPlan, cleared: WriteAnswer | None) -> bool:
    """Whether it is still to be archived after its NPD ID was `cleared`: not if the answer shows an edit since."""
    if duplicate.act is pass_plan.ItemAct.COPY or not duplicate.is_ours:
        return is_to_archive(duplicate)
    if cleared is None or cleared.verdict is not Verdict.DONE:
        return False
    return bool(_creates_that_sent_its_values(board, _with_answered_item(duplicate, [cleared])))


def _with_answered_item(duplicate: pass_plan.ItemPlan, answers: Sequence[WriteAnswer | None]) -> pass_plan.ItemPlan:
    """Return a duplicate with the item in the answer to its clearing; questions show that."""
    item = next((answer.item for answer in answers if answer and answer.item), None)
    if item is None or duplicate.act is not pass_plan.ItemAct.DUPLICATE:
        return duplicate
    return replace(duplicate, facts=replace(duplicate.facts, item=item))


def after_calls(duplicate: pass_plan.ItemPlan, answers: Sequence[WriteAnswer]) -> pass_plan.ItemPlan:
    """Return it after Monday's answers to clearing its NPD ID (not of a copy), and to archiving it if it was sent.

    If it was removed meanwhile, nothing is left to do.
    """
    duplicate = _with_answered_item(duplicate, answers)
    intents = tuple(answer.intent for answer in answers if answer.verdict is Verdict.DONE and answer.intent)
    failed = next((answer for answer in answers if answer.verdict not in (Verdict.DONE, Verdict.GONE)), None)
    if failed is not None:
        return replace(duplicate, ending=failed.ending, intents=intents)
    # A second answer is that to archiving it.
    is_off_board = len(answers) > 1 or any(answer.verdict is Verdict.GONE for answer in answers)
    kind = "archived"
    is_copy = duplicate.act is pass_plan.ItemAct.COPY
    name = duplicate.item.name
    detail = ""
    if is_copy and duplicate.facts.owner:
        kind = DUPLICATE_STAYS
        sentence = f"The item “{name}” now belongs to “{duplicate.facts.owner}”, so it stays on the board."
    elif is_copy and duplicate.item.state != field_values.ACTIVE:
        sentence = f"The item “{name}” isn't on the board any more; nothing was left to do."
    elif is_copy:
        sentence = f"The item “{name}” was a copy of “{duplicate.original_record}”; it was archived on Monday."
    elif not is_off_board:
        kind = DUPLICATE_STAYS
        sentence = f"A second item “{name}” had this NPD ID. It was removed from that one; the link stays."
        detail = f"Who is this? {duplicate_question_text(duplicate)}"
    elif duplicate.is_ours:
        sentence = (
            f"A second item “{name}” was on the board, created by a call whose answer was lost; "
            "nobody had touched it, so it was archived."
        )
    else:
        sentence = f"A second item “{name}” had this NPD ID; it is not on the board any more."
    settled = pass_plan.Ending(pass_plan.Outcome.SETTLED, detail or sentence)
    return replace(duplicate, ending=settled, sentence=sentence, kind=kind, intents=intents)


def asks_person(duplicate: pass_plan.ItemPlan) -> bool:
    """Whether this pass asks a person about it."""
    return duplicate.act is pass_plan.ItemAct.DUPLICATE and duplicate.kind == DUPLICATE_STAYS


def duplicate_reports(
    board: BoardContext, plan: pass_plan.Plan, duplicates: Iterable[pass_plan.ItemPlan]
) -> Iterator[reports.ConflictReport]:
    """Yield the questions about duplicates, and people's answers that were carried out."""
    for duplicate in duplicates:
        if asks_person(duplicate):
            yield question_report(board, duplicate)
        elif duplicate.act is pass_plan.ItemAct.COPY and duplicate.outcome is pass_plan.Outcome.SETTLED:
            record_plan = plan.records[duplicate.original_record.pk]
            result = {"applied": {reports.RECORD_KEY: duplicate.sentence}, "closing_reason": duplicate.sentence}
            yield record_plan.conflict_report(ConflictKind.IDENTITY, duplicate.item.id, **result)


def question_report(board: BoardContext, duplicate: pass_plan.ItemPlan) -> reports.ConflictReport:
    """Return the question whether a duplicate is the same as its record."""
    item = duplicate.item
    record = duplicate.original_record
    archiving = (
        f"The item “{item.name}” is archived on Monday; “{record}” keeps the item that it has. What was written into "
        "the copy alone stays in Monday's archive."
    )
    creating = f"A new record is created from the item “{item.name}” and linked with it; “{record}” stays as it is."
    leaving_alone = f"The item “{item.name}” stays on the board and is not synced."
    options = [
        Option.answer(reports.ARCHIVE_ITEM, archiving, AnswerKind.COPY, "It is a copy: archive it"),
        Option.answer("new_record", creating, AnswerKind.NEW_RECORD),
        Option.answer("leave_alone", leaving_alone, AnswerKind.LEAVE_ALONE),
    ]
    candidates = identity.record_candidates([record])
    data = identity.question_data(duplicate_question_text(duplicate), candidates, options)
    data["item"] = field_values.item_data(board, item)
    return reports.ConflictReport(board.link.entity_type, record.pk, item.id, ConflictKind.IDENTITY, data=data)


def duplicate_question_text(duplicate: pass_plan.ItemPlan) -> str:
    """Return the text of the question; it is the same in every pass."""
    return (
        f"The item “{duplicate.item.name}” had the NPD ID of “{duplicate.original_record}”, which already has another "
        f"item. NPD Sync removed the NPD ID from this one. Are they one {duplicate.original_record.entity_type()}?"
    )


def after_copy_answers(plan: pass_plan.Plan, duplicates: Iterable[pass_plan.ItemPlan]) -> pass_plan.Plan:
    """Close the questions that people answered by “a copy”; a record with an answer that failed is tried again."""
    for duplicate in duplicates:
        if duplicate.act is not pass_plan.ItemAct.COPY:
            continue
        record_plan = plan.records[duplicate.original_record.pk]
        if duplicate.outcome is pass_plan.Outcome.SETTLED:
            conflicts = record_plan.facts.conflicts
            still_open = tuple(conflict for conflict in conflicts if conflict.monday_item_id != duplicate.item.id)
            plan = plan.with_records([record_plan.with_facts(conflicts=still_open)])
        elif record_plan.is_open:
            # The first failure of a record's answers stays.
            plan = plan.with_records([record_plan.end(duplicate.outcome, duplicate.ending.detail)])
    return plan


def archive_request(duplicate: pass_plan.ItemPlan) -> ApprovalRequest:
    """Return the request to store for archiving our own duplicate: it counts as done."""
    record = duplicate.original_record
    return ApprovalRequest(
        entity_type=record.entity_type(),
        entity_id=record.pk,
        remote_id=duplicate.item.id,
        kind=ApprovalKind.ITEMS,
        key="copy",
        label=f"The second item of “{record}”, created by a call whose answer was lost",
        values={"record": str(record)},
        state=ApprovalState.DONE,
    )
