"""Several items that bear the NPD ID of one record: the link stays, the others lose the NPD ID. And a record made from
an item that may be another one: a person is asked.

Decides of docs/reference/merge.md, “A record and its item”: *there, linked | a second item bears its NPD ID*, and the
last sentence of *none | there, never linked*: "same person?"; and what a person answered to either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from conflicts.reports import KIND_IDENTITY, RECORD_KEY, ConflictReport, Option, OptionAct
from sync.choices import ApprovalKind, ApprovalState
from sync.models import ApprovalRequest, FieldMapping, Intent, IntentState, SyncedModel
from sync.monday.board_items import Item
from sync.monday.conversion import UnknownValue
from sync.reconcile.calls import Answer, Verdict, Write
from sync.reconcile.facts import ItemFacts, RecordHistory, is_create
from sync.reconcile.field_values import ACTIVE, BoardContext, is_active_on, item_data, match_text_of_item
from sync.reconcile.identity import (
    ARCHIVE_OPTION,
    LEAVE_ALONE,
    NEW_RECORD,
    answered_items,
    answers_of,
    duplicate_question,
    question,
)
from sync.reconcile.new_items import given_items
from sync.reconcile.pass_plan import AnswerKind, DuplicateItem, ItemAct, ItemPlan, Outcome, PassFacts, Plan
from sync.reconcile.restraints import new_acts, new_request
from sync.reconcile.writes import OUTCOMES
from sync.records.approvals import ApprovalFacts

# What is so, and what is decided.


ASKED = "conflict_identity"
"""The kind of the line about a second item that stays on the board."""


@dataclass(frozen=True)
class DuplicateResult:
    """What became of a duplicate, `detail` says why or how; `kind` is its line's in the history, empty without one.

    `intents` are those of calls that were carried out.
    """

    outcome: Outcome
    detail: str
    kind: str = ""
    intents: tuple[Intent, ...] = ()
    wait_seconds: float = 0


def second_item_write(duplicate: DuplicateItem) -> Write:
    """Return the unit of the calls about a second item, yet without what they write."""
    how = "answered" if duplicate.is_answered else "found"
    return Write(f"{duplicate.record.pk} {duplicate.item.id} {how}", duplicate.record.pk, duplicate.item.id)


def sent_same(board: BoardContext, duplicate: DuplicateItem) -> list[Intent]:
    """Return the creates of ours that say just what the item says; none where it is known not to be a second run's, or
    to be all that the board has of the record.
    """
    # The record may have been linked with it once: then somebody brought it back, and it is no second run's.
    was_written = any(intent.values and intent.item_id == duplicate.item.id for intent in duplicate.writes)
    if duplicate.is_answered or duplicate.is_alone or was_written or duplicate.was_linked:
        return []
    mapped = [mapping for mapping in board.mappings if mapping.column_id]
    return [
        intent
        for intent in duplicate.writes
        if is_create(intent)
        if all(_matches_sent(board, duplicate, mapping, intent.values.get(mapping.key)) for mapping in mapped)
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
    """Whether a create of ours says just what the item says, and nobody else is known to have made it, or touched it:
    what was written into a column that is not mapped only its event tells.
    """
    same, us = sent_same(board, duplicate), duplicate.token_user
    if us and duplicate.users - {us}:
        return False
    if us and duplicate.maker:
        return bool(same)
    return any(intent.state == IntentState.VOID and intent.lookups for intent in same)


def still_leaves(board: BoardContext, duplicate: DuplicateItem, cleared: Answer | None) -> bool:
    """Whether it is archived once its NPD ID was `cleared`: ours only if the answer shows that nobody wrote into it
    since it was read.
    """
    if not duplicate.archives or not duplicate.loses_npd_id:
        return duplicate.archives
    if cleared is None or cleared.verdict is not Verdict.DONE:
        return False
    return bool(sent_same(board, as_answered(replace(duplicate, answers=(cleared,)))))


def as_answered(duplicate: DuplicateItem) -> DuplicateItem:
    """Return a second item that was found as the answer to its clearing shows it: by that people are asked."""
    shown = next((answer.item for answer in duplicate.answers or () if answer.item), None)
    return replace(duplicate, item=shown) if shown and duplicate.loses_npd_id else duplicate


def duplicate_options(duplicate: DuplicateItem) -> list[Option]:
    """Return the answers to the question whether a duplicate is the same as its record."""
    item, record = duplicate.item.name, str(duplicate.record)
    archived = (
        f"The item “{item}” is archived on Monday; “{record}” keeps the item that it has. What was written into the "
        "copy alone stays in Monday's archive."
    )
    made = f"A new record is created from the item “{item}” and linked with it; “{record}” stays as it is."
    stays = f"The item “{item}” stays on the board; it is not matched, and no record is created from it."
    return [
        Option("custom", "It is a copy: archive it", archived, ARCHIVE_OPTION, OptionAct.ARCHIVE_ITEM),
        Option("custom", "It is somebody else: create a new record", made, NEW_RECORD),
        Option("custom", "Leave the item alone", stays, LEAVE_ALONE),
    ]


# What the answers mean.


def duplicate_result(duplicate: DuplicateItem) -> DuplicateResult:
    """Return what became of it by the answers to its calls, the clearing's and the archiving's.

    Where it left the board meanwhile somebody was faster: nothing is left to do.
    """
    if duplicate.problem:
        return DuplicateResult(Outcome.RELEASED, duplicate.problem)
    answers = duplicate.answers or ()
    done = tuple(one.intent for one in answers if one.verdict is Verdict.DONE and one.intent)
    failed = next((one for one in answers if one.verdict not in (Verdict.DONE, Verdict.GONE)), None)
    if failed is not None:
        outcome = OUTCOMES[failed.verdict]
        return DuplicateResult(outcome, failed.detail, intents=done, wait_seconds=failed.wait_seconds)
    is_gone = any(one.verdict is Verdict.GONE for one in answers)
    if duplicate.is_answered:
        kind, detail = _answered(duplicate)
    else:
        # Two calls: it was archived, too.
        kind, detail = _found(duplicate, is_off_board=is_gone or len(answers) > 1)
    return DuplicateResult(Outcome.SETTLED, detail, kind, done)


def is_asked(duplicate: DuplicateItem, result: DuplicateResult) -> bool:
    """Whether a person is asked now if it is the same."""
    return not duplicate.is_answered and result.kind == ASKED


def second_item(item: ItemPlan, found: tuple[DuplicateItem, DuplicateResult] | None, pause: str) -> ItemPlan:
    """Return how an item ends that bore the NPD ID; where nothing was sent, the board is paused, or was."""
    if found is None:
        return replace(item, outcome=Outcome.RELEASED, detail=pause)
    detail = f"Who is this? {found[0].question}" if is_asked(*found) else found[1].detail
    return replace(item, outcome=found[1].outcome, detail=detail, wait_seconds=found[1].wait_seconds)


def copy_reports(
    board: BoardContext, plan: Plan, results: Iterable[tuple[DuplicateItem, DuplicateResult]]
) -> Iterator[ConflictReport]:
    """Yield what is asked about second items, and which answers were carried out."""
    for one, result in results:
        if is_asked(one, result):
            yield duplicate_report(board, one)
        elif one.is_answered and result.outcome is Outcome.SETTLED:
            done = {"applied": {RECORD_KEY: result.detail}, "closing_reason": result.detail}
            yield plan.records[one.record.pk].conflict_report(KIND_IDENTITY, one.item.id, **done)


def after_copy_answers(plan: Plan, results: Iterable[tuple[DuplicateItem, DuplicateResult]]) -> Plan:
    """Return the plan with the records whose answers these are; a failed one is tried again with its next pass."""
    for duplicate, result in results:
        one = plan.records[duplicate.record.pk] if duplicate.is_answered else None
        if one is None:
            continue
        if result.outcome is Outcome.SETTLED:
            left = tuple(c for c in one.facts.conflicts if c.monday_item_id != duplicate.item.id)
            plan = plan.with_records([one.with_facts(conflicts=left)])
        elif one.is_open:
            # Of a record with several copies each counts: what failed first stays failed.
            plan = plan.with_records([one.end(result.outcome, result.detail)])
    return plan


def _found(duplicate: DuplicateItem, *, is_off_board: bool) -> tuple[str, str]:
    name = duplicate.item.name
    if not is_off_board:
        return (ASKED, f"A second item “{name}” had this NPD ID. It was removed from that one; the link stays.")
    if duplicate.is_ours:
        return "archived", (
            f"A second item “{name}” was on the board, created by a call whose answer was lost; "
            "nobody had touched it, so it was archived."
        )
    return "archived", f"A second item “{name}” had this NPD ID; it is not on the board any more."


def _answered(duplicate: DuplicateItem) -> tuple[str, str]:
    item, owner = duplicate.item, duplicate.owner
    if owner:
        detail = f"The item “{item.name}” now belongs to “{owner}”, so it stays on the board."
        return ASKED, detail
    if item.state != ACTIVE:
        return "archived", f"The item “{item.name}” isn't on the board any more; nothing was left to do."
    return "archived", f"The item “{item.name}” was a copy of “{duplicate.record}”; it was archived on Monday."


# The rules of a pass.


def decide_duplicates(facts: PassFacts, plan: Plan) -> Plan:
    """Decide what becomes of second items: those that were found, and those of which a person answered."""
    board = facts.board
    answers = [(one, answer) for one in plan.open_records for answer in answers_of(one.facts)]
    asked = [(one, answer.item_id) for one, answer in answers if answer.kind is AnswerKind.COPY]
    found = [
        _second_item(board, item.facts, item.facts.item, item.record)
        for item in plan.items
        if item.act is ItemAct.DUPLICATE and item.facts.item and item.record
    ]
    answered = answered_items(facts, plan)
    asked = [(one, item_id) for one, item_id in asked if (one.item or one.creates) and item_id not in answered]
    given = given_items(plan)
    for one, item_id in asked:
        # It may belong to a record by now; an answer about a duplicate is not one about that record's item.
        owner = facts.answers.owners.get(item_id) or given.get(item_id) or ""
        shown = facts.found.linked.get(item_id) or Item(item_id, item_id, "missing")
        found.append(DuplicateItem(shown, one.record, is_answered=True, owner=str(owner)))
    if not found:
        return plan
    ours = {one.record.pk for one in found if is_own_create(board, one)}
    # More at once than the limit are asked about.
    held = {deleted.id for deleted in plan.deleted.values() if deleted.approval}
    is_allowed = not ours or not facts.approvals.is_over_limit(ApprovalKind.ITEMS, ours | held)
    found = [replace(one, is_ours=is_allowed and is_own_create(board, one)) for one in found]
    return replace(plan, duplicates=tuple(found))


def _second_item(board: BoardContext, facts: ItemFacts, item: Item, record: SyncedModel) -> DuplicateItem:
    history = facts.first.history if facts.first else RecordHistory()
    return DuplicateItem(
        item,
        record,
        writes=history.intents,
        was_linked=item.id in history.unlinked_items,
        maker=facts.events.maker,
        users=facts.events.users,
        token_user=history.token_user,
        is_alone=not is_active_on(board, facts.first_item),
    )


def new_duplicate_requests(known: ApprovalFacts, duplicates: Iterable[DuplicateItem]) -> list[ApprovalRequest]:
    """Return the rows by which the archiving of second items of ours counts, yet to be stored."""
    ours = [one for one in duplicates if one.is_ours]
    new = new_acts(known, ApprovalKind.ITEMS, [(one.record.pk, "copy") for one in ours])
    return [
        new_request(
            one.record,
            one.item.id,
            ApprovalKind.ITEMS,
            ApprovalState.DONE,
            f"The second item of “{one.record}”, created by a call whose answer was lost",
            {"record": str(one.record)},
            key="copy",
        )
        for one in ours
        if (one.record.pk, "copy") in new
    ]


def duplicate_report(board: BoardContext, duplicate: DuplicateItem) -> ConflictReport:
    """Return the question whether a second item is the same as its record."""
    item, record = duplicate.item, duplicate.record
    data = question(duplicate.question, [record], duplicate_options(duplicate)) | {"item": item_data(board, item)}
    return ConflictReport(board.link.entity_type, record.pk, item.id, KIND_IDENTITY, data=data)


# A record that was made from an item, and that nobody touched in NPD, may turn out to be another
# record's possible duplicate.
#
# Somebody adds a row on the board without an email address, it becomes a record, and the address
# that is filled in later is one that NPD knows already. A person says whether the two are one.


def find_possible_duplicates(facts: PassFacts, plan: Plan) -> Plan:
    """Ask about every record made from an item whose item's match key is another record's by now."""
    board = facts.board
    made = [(one.id, one.item) for one in plan.open_records if one.ledger.made_from_item and one.item is not None]
    keys = {key: text for key, item in made if (text := match_text_of_item(board, item))}
    same_key, merged = facts.identity.same_key, {one.answer.made_id for one in plan.answers if one.done}
    named = {key: [r for r in same_key.get(text, ()) if r.pk not in (key, *merged)] for key, text in keys.items()}
    others = {key: records for key, records in named.items() if records}
    untouched = [key for key in others if key in facts.identity.untouched]
    label = board.match_mapping.label.lower() if board.match_mapping else "name"
    asked = [(plan.records[key], others[key]) for key in untouched]
    return plan.with_records(
        replace(one, duplicate=duplicate_question(one.record, records, label)) for one, records in asked
    )
