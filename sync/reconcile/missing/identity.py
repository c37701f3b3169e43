"""Decides which item belongs to a record: by link, NPD ID or match key, or by asking a person.

Implements, of docs/reference/merge/record-and-item.md:

- R1 to R4: one item that no other record has is linked. Several, or one of another record,
  are asked about (“who is this?”). If there is none, it is created.
- R5: a person is asked, because without a match key on both
  sides nobody knows whether they are the same
- D23 of removed-and-deleted.md: if an unlinked record syncs again, a person is asked whether it gets back its item.

`Gatherer.find_items` searches the board by NPD ID and match key; `choose_item` chooses among what was found.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from django.utils.text import capfirst

from conflicts.reports import ConflictReport
from sync.choices import ActivityKind, SyncDirection
from sync.fields import field_values
from sync.fields.field_values import BoardContext, ItemsByText
from sync.fields.sync_filter import FilterSide
from sync.models import SyncedModel
from sync.models.records_and_items import OFF_BOARD_STATES
from sync.monday.board_items import NAME_COLUMN, Item
from sync.monday.text_forms import match_key
from sync.reconcile import outcomes, pass_plan
from sync.reconcile.board_filter import filter_removed_item, item_verdict, leave_out, matching_items
from sync.reconcile.facts import PassFacts, asked_items
from sync.reconcile.missing import questions
from sync.reconcile.missing.removed_items import edits_since_agreed
from sync.words.message import Message, sentences

# Why a record gets no item: another one with its match key comes first, or nothing new is created on the board.
OTHER_FIRST = "other_comes_first"
CREATES_HELD = "unmatched_creates_held"

# How long Monday's search may take to return the item that another record has just got.
SEARCH_SECONDS = 10


def identify_records(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Add its item to every open record, plan a new item, or end the record with the reason."""
    without_item = [record_plan for record_plan in plan.open_records if not record_plan.record.monday_id]
    for record_plan in plan.open_records:
        if record_plan.record.monday_id:
            _take_own_item(facts, record_plan, facts.items.by_id.get(record_plan.record.monday_id))
    if not without_item:
        return
    choose_items(facts, without_item)
    answered = questions.answered_items(facts, plan)
    for record_plan in without_item:
        candidates = record_plan.question.candidates if record_plan.question else ()
        if not answered.isdisjoint({record_plan.link_to, *(candidate["id"] for candidate in candidates)}):
            record_plan.start_anew(outcomes.ANSWERED)


def choose_items(facts: PassFacts, plans: Iterable[pass_plan.RecordPlan]) -> None:
    """Decide about every record without an item; assign no item twice.

    The oldest record comes first, as in the set-up's plan. If several records have one match key, only the first gets a
    new item in a pass: the next pass finds that item for the others, and a person is asked.
    """
    board = facts.board
    by_npd_id = field_values.items_by_npd_id(board, facts.items)
    by_match_key = field_values.items_by_match_key(board, facts.items)
    # An item with the NPD ID of an existing record belongs to it, unless the item is linked with another record.
    candidates = (*facts.items.by_match, *facts.items.by_name)
    npd_ids = {item.id: field_values.npd_uuid_of(board, item) for item in candidates}
    owners = {item_id: npd_id for item_id, npd_id in npd_ids.items() if npd_id in facts.known_npd_ids}
    owners |= facts.owners
    first_by_key = dict[str, SyncedModel]()
    for plan in sorted(plans, key=lambda plan: (plan.record.created_at, plan.id)):
        record = plan.record
        wants_new_item = plan.facts.wants_new_item
        key = field_values.match_key_of_record(board, record)
        choose_item(facts, plan, by_npd_id, by_match_key, owners)
        if plan.link_to is not None:
            owners[plan.link_to] = plan.id
        elif plan.creates and key and not wants_new_item and record.sync_direction != SyncDirection.MONDAY_TO_NPD:
            first = first_by_key.setdefault(key, record)
            if first is not record:
                plan.creates = False
                plan.wait(Message(OTHER_FIRST, other=str(first), key=board.match_label), SEARCH_SECONDS)


def choose_item(
    facts: PassFacts,
    plan: pass_plan.RecordPlan,
    by_npd_id: ItemsByText,
    by_match_key: ItemsByText,
    owners: Mapping[str, UUID],
) -> None:
    """Choose its item among those with its NPD ID or match key; `owners` are the records that have them by now."""
    board = facts.board
    record = plan.record
    wants_new_item = plan.facts.wants_new_item
    # An item that was removed when it was unlinked kept its NPD ID, and may be back on the board.
    unlinked = plan.facts.former_item
    of_record = by_npd_id.get(str(record.pk), ())
    hits: Sequence[Item] = [item for item in of_record if unlinked is None or item.id != unlinked.item_id]
    if not hits and (key := field_values.match_key_of_record(board, record)):
        hits = [item for item in by_match_key.get(key, ()) if facts.may_match(item.id, record.pk)]
        ownerless = [item for item in by_match_key.get(None, ()) if item.id not in owners]
        unreadable = [item for item in ownerless if facts.may_match(item.id, record.pk)]
        if unreadable and not hits:
            key = capfirst(board.match_label)
            plan.end(Message("key_of_item_unreadable", key=key, item=unreadable[0].name))
            return
    # An item with its NPD ID counts all the same, such as the new item of an earlier pass.
    if wants_new_item and all(field_values.npd_id_of(board, item) != str(record.pk) for item in hits):
        hits = []
    hits, verdict = matching_items(board, record, hits)
    if verdict.holds is False:
        leave_out(plan, FilterSide.ITEM, verdict.sentence)
        return
    if verdict.holds is None:
        plan.end(verdict.sentence)
        return
    unread = [*by_npd_id.get(None, ()), *(item for item in hits if field_values.npd_id_of(board, item) is None)]
    if unread:
        plan.end(Message("npd_id_of_item_unreadable", item=unread[0].name))
    elif len(hits) == 1 and owners.get(hits[0].id, record.pk) == record.pk:
        _link(plan, hits[0])
    elif hits:
        _ask_which(facts, plan, hits, owners)
    elif wants_new_item:
        plan.creates = True
    else:
        _create_or_ask(facts, plan, owners)


def _ask_which(facts: PassFacts, plan: pass_plan.RecordPlan, hits: Sequence[Item], owners: Mapping[str, UUID]) -> None:
    """Ask which of these items is the record's, or whether it is the same as a record that was made from one."""
    board = facts.board
    owner_ids = {owners[item.id] for item in hits if item.id in owners}
    duplicates = [facts.unedited[key] for key in sorted(owner_ids) if key in facts.unedited]
    question = questions.which_item(board, plan.record, hits, owners, duplicates)
    if duplicates:
        shown = {str(duplicate.pk): field_values.record_values(board, duplicate) for duplicate in duplicates}
        before = next((conflict for conflict in plan.facts.conflicts if conflict.seeks_item), None)
        questions.name_edits(board, question, shown, before)
    _ask(plan, question, "answer_or_make_unique")


def _create_or_ask(facts: PassFacts, plan: pass_plan.RecordPlan, owners: Mapping[str, UUID]) -> None:
    """Have an item created, as none has the record's NPD ID or match key; ask first if it may have one all the same."""
    board = facts.board
    record = plan.record
    if (unlinked := plan.facts.former_item) is not None:
        former = facts.items.by_id.get(unlinked.item_id)
        if former is not None and _is_as_unlinked(board, plan, former, owners):
            _link(plan, former)
        else:
            _ask(plan, questions.whether_again(board, record, unlinked, former))
    elif possible := _possible_items(facts, plan, owners):
        _ask(plan, questions.which_namesake(board, record, possible))
    elif board.link.creates_held:
        # Without the number of items, which changes; the board's page has it.
        plan.end(Message(CREATES_HELD, label=board.match_label))
    elif plan.sync_state.is_unplanned:
        _ask(plan, questions.whether_new(record))
    else:
        plan.creates = True


def _ask(plan: pass_plan.RecordPlan, question: ConflictReport, how: str = "answer_there") -> None:
    plan.question = question
    plan.end(sentences(Message("who_is_this", question=question.what), Message(how)))


def _link(plan: pass_plan.RecordPlan, item: Item) -> None:
    """Link the two. Calls are made only for committed links: the next pass compares them, and sends."""
    plan.link_to = item.id
    plan.item = item
    plan.add_line(ActivityKind.LINK, Message("item_linked", item=item.name))
    plan.ending = outcomes.LINKED


def _possible_items(facts: PassFacts, plan: pass_plan.RecordPlan, owners: Mapping[str, UUID]) -> list[Item]:
    """Return those of the items with the record's name that may be its own.

    If both have a match key, they are two. But if a person is asked already, an answer counts more than what was filled
    in since; and a person who left a namesake open in the set-up's plan is asked.
    """
    board = facts.board
    key = "" if plan.sync_state.is_unplanned else field_values.match_key_of_record(board, plan.record)
    name = match_key(field_values.record_name(plan.record))
    asked = asked_items(plan.record, plan.facts.conflicts)
    return [
        item
        for item in facts.items.by_name
        if match_key(item.name) == name and item.id not in owners and facts.may_match(item.id, plan.id)
        if not (key and field_values.match_key_of_item(board, item)) or item.id in asked
    ]


def _is_as_unlinked(board: BoardContext, plan: pass_plan.RecordPlan, item: Item, owners: Mapping[str, UUID]) -> bool:
    """Whether its former item is on the board and free, and neither side was edited since both agreed."""
    record = plan.record
    is_free = field_values.is_active_on(board, item) and item.id not in owners
    if not is_free or item_verdict(board, item, record).holds is not True:
        return False
    as_linked = plan.compared_with(item)
    as_linked.record = field_values.with_item(record, item.id)
    return not edits_since_agreed(board, as_linked)


def _take_own_item(facts: PassFacts, plan: pass_plan.RecordPlan, item: Item | None) -> None:
    """Add its item to a linked record; if that was removed, the filter may leave the record out."""
    plan.item = item
    sync_state = plan.sync_state
    if plan.facts.removal is not None:
        filter_removed_item(facts.board, plan)
        return
    if sync_state.removed_since and sync_state.remote_state in OFF_BOARD_STATES:
        plan.add_line(ActivityKind.RETURNED, Message("item_back"))
    sync_state.removed_since = None
    sync_state.removed_passes = 0
    sync_state.remote_state = field_values.ACTIVE
    sync_state.is_unplanned = False


def end_unmatchable(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """End a record without an item if a column that matches items is missing: a new item could be a second one."""
    match = facts.board.match_mapping
    reason = facts.board.link.npd_id_problem
    if not reason and match is not None and match.problem:
        reason = sentences(match.problem, Message("match_column_missing"))
    if reason and not plan.record.monday_id:
        plan.end(reason)


def end_uncreatable(facts: PassFacts, plan: pass_plan.RecordPlan) -> None:
    """Settle a record that can't have an item because its name is missing or blocked."""
    if not plan.creates:
        return
    name = next((entry for entry in plan.fields.values() if entry.mapping.column_id == NAME_COLUMN), None)
    if name is None or name.blocked_code:
        problem = name.blocked_reason if name else Message("no_name_mapped")
        plan.end(Message("not_put_on_board", why=problem))
