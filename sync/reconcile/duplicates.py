"""Several items that bear the NPD ID of one record: the link stays, the others lose the NPD ID. And a record made from
an item that may be another one: a person is asked.

Decides of docs/reference/merge.md, “A record and its item”: *there, linked | a second item bears its NPD ID*, and the
last sentence of *none | there, never linked*: "same person?"; and what a person answered to either.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from conflicts.reports import ARCHIVE_ITEM, KIND_IDENTITY, RECORD_KEY, ConflictReport, Option
from sync.choices import ApprovalKind, ApprovalState
from sync.models import ApprovalRequest, FieldMapping, Intent, IntentState
from sync.monday.board_items import Item
from sync.monday.conversion import UnknownValue
from sync.reconcile import identity
from sync.reconcile.calls import Answer, Verdict, Write
from sync.reconcile.facts import is_create
from sync.reconcile.field_values import ACTIVE, BoardContext, is_active_on, item_data, match_text_of_item
from sync.reconcile.new_items import given_items
from sync.reconcile.pass_plan import (
    SECOND_ITEM_ASKED,
    AnswerKind,
    DuplicateItem,
    ItemAct,
    ItemPlan,
    Outcome,
    PassFacts,
    Plan,
)
from sync.reconcile.restraints import new_acts, new_request
from sync.reconcile.writes import OUTCOMES
from sync.records.approvals import ApprovalFacts

# What is so, and what is decided.


def second_item_write(duplicate: DuplicateItem) -> Write:
    """Return the unit of the calls about a second item, yet without what they write."""
    origin = "answered" if duplicate.is_answered else "found"
    return Write(f"{duplicate.record.pk} {duplicate.item.id} {origin}", duplicate.record.pk, duplicate.item.id)


def sent_same(board: BoardContext, duplicate: DuplicateItem) -> list[Intent]:
    """Return the creates of ours that say just what the item says; none where it is known not to be a second run's, or
    to be all that the board has of the record.
    """
    # The record may have been linked with it once: then somebody brought it back, and it is no second run's.
    history = duplicate.history
    was_written = any(intent.values and intent.item_id == duplicate.item.id for intent in history.intents)
    was_linked = duplicate.item.id in history.unlinked_items
    if duplicate.is_answered or duplicate.is_alone or was_written or was_linked:
        return []
    return [
        intent
        for intent in history.intents
        if is_create(intent)
        if all(_matches_sent(board, duplicate, mapping, intent.values.get(mapping.key)) for mapping in board.mapped)
    ]


def _matches_sent(
    board: BoardContext, duplicate: DuplicateItem, mapping: FieldMapping, sent: Mapping[str, Any] | None
) -> bool:
    convert = board.converter(mapping, duplicate.record)
    try:
        current = convert.remote(convert.stored_value(duplicate.item.reading(mapping.column_id)))
        if sent is None:
            return current is None
        return mapping.is_current(sent) and bool(current == convert.local(sent["local"]))
    except UnknownValue:
        return False


def is_own_create(board: BoardContext, duplicate: DuplicateItem) -> bool:
    """Return whether a create of ours says just what the item says, and nobody else is known to have made it, or
    touched it: what was written into a column that is not mapped only its event tells.
    """
    same = sent_same(board, duplicate)
    us = duplicate.history.token_user
    if us and duplicate.history.users - {us}:
        return False
    if us and duplicate.history.maker:
        return bool(same)
    return any(intent.state == IntentState.VOID and intent.lookups for intent in same)


def still_leaves(board: BoardContext, duplicate: DuplicateItem, cleared: Answer | None) -> bool:
    """Return whether it is archived once its NPD ID was `cleared`: ours only if the answer shows that nobody wrote into
    it since it was read.
    """
    if not duplicate.archives or not duplicate.loses_npd_id:
        return duplicate.archives
    is_cleared = cleared is not None and cleared.verdict is Verdict.DONE
    return is_cleared and bool(sent_same(board, _as_shown(duplicate, [cleared])))


def _as_shown(duplicate: DuplicateItem, answers: Sequence[Answer | None]) -> DuplicateItem:
    """Return a second item that was found as the answer to its clearing shows it: by that people are asked."""
    shown = next((answer.item for answer in answers if answer and answer.item), None)
    return replace(duplicate, item=shown) if shown and duplicate.loses_npd_id else duplicate


# What the answers mean.


def answered(duplicate: DuplicateItem, answers: Sequence[Answer]) -> DuplicateItem:
    """Return it with what became of it by the answers to its calls, the clearing's and the archiving's.

    Where it left the board meanwhile somebody was faster: nothing is left to do.
    """
    duplicate = _as_shown(duplicate, answers)
    intents = tuple(answer.intent for answer in answers if answer.verdict is Verdict.DONE and answer.intent)
    failed = next((answer for answer in answers if answer.verdict not in (Verdict.DONE, Verdict.GONE)), None)
    if failed is not None:
        outcome = OUTCOMES[failed.verdict]
        wait = failed.wait_seconds
        return replace(duplicate, outcome=outcome, detail=failed.detail, intents=intents, wait_seconds=wait)
    # Two calls: it was archived, too.
    is_off_board = len(answers) > 1 or any(answer.verdict is Verdict.GONE for answer in answers)
    kind = "archived"
    name = duplicate.item.name
    if duplicate.is_answered and duplicate.owner:
        kind = SECOND_ITEM_ASKED
        detail = f"The item “{name}” now belongs to “{duplicate.owner}”, so it stays on the board."
    elif duplicate.is_answered and duplicate.item.state != ACTIVE:
        detail = f"The item “{name}” isn't on the board any more; nothing was left to do."
    elif duplicate.is_answered:
        detail = f"The item “{name}” was a copy of “{duplicate.record}”; it was archived on Monday."
    elif not is_off_board:
        kind = SECOND_ITEM_ASKED
        detail = f"A second item “{name}” had this NPD ID. It was removed from that one; the link stays."
    elif duplicate.is_ours:
        detail = (
            f"A second item “{name}” was on the board, created by a call whose answer was lost; "
            "nobody had touched it, so it was archived."
        )
    else:
        detail = f"A second item “{name}” had this NPD ID; it is not on the board any more."
    return replace(duplicate, outcome=Outcome.SETTLED, detail=detail, kind=kind, intents=intents)


def second_item(item: ItemPlan, duplicate: DuplicateItem) -> ItemPlan:
    """Return how the job of an item ends that bore the NPD ID."""
    detail = f"Who is this? {duplicate.question}" if duplicate.is_asked else duplicate.detail
    return replace(item, outcome=duplicate.outcome, detail=detail, wait_seconds=duplicate.wait_seconds)


def copy_reports(board: BoardContext, plan: Plan, settled: Iterable[DuplicateItem]) -> Iterator[ConflictReport]:
    """Yield what is asked about second items, and which answers were carried out."""
    for duplicate in settled:
        if duplicate.is_asked:
            yield duplicate_report(board, duplicate)
        elif duplicate.is_answered and duplicate.outcome is Outcome.SETTLED:
            result = {"applied": {RECORD_KEY: duplicate.detail}, "closing_reason": duplicate.detail}
            yield plan.records[duplicate.record.pk].conflict_report(KIND_IDENTITY, duplicate.item.id, **result)


def after_copy_answers(plan: Plan, settled: Iterable[DuplicateItem]) -> Plan:
    """Return the plan with the records whose answers these are; a failed one is tried again with its next pass."""
    for duplicate in settled:
        if not duplicate.is_answered:
            continue
        record = plan.records[duplicate.record.pk]
        if duplicate.outcome is Outcome.SETTLED:
            open_conflicts = tuple(c for c in record.facts.conflicts if c.monday_item_id != duplicate.item.id)
            plan = plan.with_records([record.with_facts(conflicts=open_conflicts)])
        elif record.is_open:
            # Of a record with several copies each counts: what failed first stays failed.
            plan = plan.with_records([record.end(duplicate.outcome, duplicate.detail)])
    return plan


def duplicate_report(board: BoardContext, duplicate: DuplicateItem) -> ConflictReport:
    """Return the question whether a second item is the same as its record."""
    item = duplicate.item
    record = duplicate.record
    archived = (
        f"The item “{item.name}” is archived on Monday; “{record}” keeps the item that it has. What was written into "
        "the copy alone stays in Monday's archive."
    )
    made = f"A new record is created from the item “{item.name}” and linked with it; “{record}” stays as it is."
    stays = f"The item “{item.name}” stays on the board; it is not matched, and no record is created from it."
    options = [
        Option("custom", "It is a copy: archive it", archived, identity.ARCHIVE_OPTION, ARCHIVE_ITEM),
        Option("custom", "It is somebody else: create a new record", made, identity.NEW_RECORD),
        Option("custom", "Leave the item alone", stays, identity.LEAVE_ALONE),
    ]
    data = identity.question(duplicate.question, [record], options) | {"item": item_data(board, item)}
    return ConflictReport(board.link.entity_type, record.pk, item.id, KIND_IDENTITY, data=data)


def new_duplicate_requests(requests: ApprovalFacts, duplicates: Iterable[DuplicateItem]) -> list[ApprovalRequest]:
    """Return the rows by which the archiving of second items of ours counts, yet to be stored."""
    ours = [duplicate for duplicate in duplicates if duplicate.is_ours]
    new = new_acts(requests, ApprovalKind.ITEMS, [(duplicate.record.pk, "copy") for duplicate in ours])
    return [
        new_request(
            duplicate.record,
            duplicate.item.id,
            ApprovalKind.ITEMS,
            ApprovalState.DONE,
            f"The second item of “{duplicate.record}”, created by a call whose answer was lost",
            {"record": str(duplicate.record)},
            key="copy",
        )
        for duplicate in ours
        if (duplicate.record.pk, "copy") in new
    ]


# The rules of a pass.


def decide_duplicates(facts: PassFacts, plan: Plan) -> Plan:
    """Decide what becomes of second items: those that were found, and those of which a person answered."""
    board = facts.board
    duplicates = []
    for item in [item.facts for item in plan.items if item.act is ItemAct.DUPLICATE]:
        if item.item is not None and item.first is not None:
            is_alone = not is_active_on(board, item.first_item)
            duplicates.append(DuplicateItem(item.item, item.first.record, item.first.history, is_alone=is_alone))
    decided = identity.answered_items(facts, plan)
    linked_now = given_items(plan)
    for record in plan.open_records:
        copies = [answer for answer in identity.answers_of(record.facts) if answer.kind is AnswerKind.COPY]
        for item_id in [copy.item_id for copy in copies if (record.item or record.creates)]:
            if item_id in decided:
                continue
            # It may belong to a record by now; an answer about a duplicate is not one about that record's item.
            owner = facts.answers.owners.get(item_id) or linked_now.get(item_id) or ""
            shown = facts.items.linked.get(item_id) or Item(item_id, item_id, "missing")
            duplicates.append(DuplicateItem(shown, record.record, is_answered=True, owner=str(owner)))
    if not duplicates:
        return plan
    ours = {duplicate.record.pk for duplicate in duplicates if is_own_create(board, duplicate)}
    # More at once than the limit are asked about.
    approved = {deleted.id for deleted in plan.deleted.values() if deleted.approval}
    if ours and not facts.approvals.is_over_limit(ApprovalKind.ITEMS, ours | approved):
        duplicates = [replace(duplicate, is_ours=is_own_create(board, duplicate)) for duplicate in duplicates]
    return replace(plan, duplicates=tuple(duplicates))


# A record that was made from an item, and that nobody touched in NPD, may turn out to be another record's possible
# duplicate.
#
# Somebody adds a row on the board without an email address, it becomes a record, and the address that is filled in
# later is one that NPD knows already. A person says whether the two are one.


def find_possible_duplicates(facts: PassFacts, plan: Plan) -> Plan:
    """Ask about every record made from an item whose item's match key is another record's by now."""
    board = facts.board
    label = board.match_mapping.label.lower() if board.match_mapping else "name"
    merged = {answer.made_id for answer in plan.answers if answer.done}
    asked_about = []
    for record in plan.open_records:
        if not record.ledger.made_from_item or record.item is None or record.id not in facts.identity.untouched:
            continue
        key = match_text_of_item(board, record.item)
        same_key = facts.identity.same_key.get(key, ()) if key else ()
        others = [other for other in same_key if other.pk not in (record.id, *merged)]
        if others:
            question = identity.duplicate_question(record.record, others, label)
            asked_about.append(replace(record, duplicate=question))
    return plan.with_records(asked_about)
