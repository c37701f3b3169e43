"""Decides which item belongs to a record: by link, NPD ID or match key, or by asking a person.

Implements, of “A record and its item” in docs/reference/merge.md:

- *there, never linked | not known*: one item that no other record has is linked. Several, or one of another record,
  are asked about (“who is this?”). If there is none, it is created.
- *there, never linked | none found, but an item has its name*: a person is asked, because without a match key on both
  sides nobody knows whether they are the same
- *unlinked by policy or a person*: if the record syncs again, a person is asked whether it gets back its item.
- people's answers to these questions

`Gatherer.find_items` searches the board by NPD ID and match key; `identify` chooses among what was found.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from django.utils.text import capfirst

from conflicts import reports
from conflicts.reports import AnswerKind, ConflictKind, Option
from sync.choices import ActivityKind, SyncDirection
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.fields.sync_filter import FilterSide
from sync.kernel import as_uuid, grouped
from sync.models import IgnoredItem, SyncedModel
from sync.models.records_and_items import OFF_BOARD_STATES
from sync.monday.board_items import BatchItems, Item
from sync.monday.text_forms import match_key
from sync.reconcile import pass_plan
from sync.reconcile.board_filter import filter_removed_item, leave_out, matching_items
from sync.reconcile.facts import AnswerFacts, PassFacts, RecordFacts
from sync.reconcile.missing.removed_items import edits_since_agreed, removed_state
from sync.reconcile.pass_plan import HistoryLine

# How long Monday's search may take to return the item that another record has just got.
SEARCH_SECONDS = 10

# Items by NPD ID or match key; under None, the items whose text can't be read.
ItemsByText: TypeAlias = Mapping[str | None, Sequence[Item]]

# The stored answers by which two records become one, each followed by a record's id.
SAME_AS = "same:"  # the conflict's record, made from the item, is deleted for that record
TAKES_ITEM = "takes:"  # that record, made from the item, is deleted for the conflict's record, which takes its item

# How a pass ends that only changes links: the next one reads and compares what is linked now.
ANSWERED = pass_plan.Ending(
    pass_plan.Outcome.RELEASED, "NPD Sync first applies a person's answer, and syncs the rest next."
)
_WHOSE_ITEM = "so it isn't known whether it is this record's. Nothing is created meanwhile."
_UNANSWERED = "Nothing is created until somebody answers."
LINKED = pass_plan.Ending(pass_plan.Outcome.RELEASED, "It was linked with its item; what differs is synced next.")


def identify_records(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Add its item to every open record, plan a new item, or end the record with the reason."""
    without_item = [record_plan.facts for record_plan in plan.open_records if not record_plan.record.monday_id]
    identities = identify_without_item(facts, without_item) if without_item else {}
    answered = answered_items(facts, plan)
    for record_plan in plan.open_records:
        identity = identities.get(record_plan.id)
        if identity is None:
            item = facts.items.linked.get(record_plan.record.monday_id or "")
            _take_own_item(facts.board, record_plan, item)
            continue
        candidates = identity.question["candidates"] if identity.question else ()
        item_ids = {str(candidate["id"]) for candidate in candidates}
        if identity.item is not None:
            item_ids.add(identity.item.id)
        if answered.isdisjoint(item_ids):
            _take_identity(record_plan, identity)
        else:
            record_plan.ending = ANSWERED


def _take_identity(plan: pass_plan.RecordPlan, identity: pass_plan.IdentityPlan) -> None:
    """Add what was found out about a record without an item, and end it unless it gets a new item."""
    plan.identity = identity
    reason = identity.reason
    if identity.item is not None:
        # Calls are made only for committed links: the next pass compares the two, and sends.
        plan.item = identity.item
        plan.add_lines(HistoryLine(ActivityKind.LINK, f"Linked with the item “{identity.item.name}” on the board."))
        plan.ending = LINKED
    elif identity.is_left_out:
        leave_out(plan, FilterSide.ITEM, reason)
    elif identity.wait_seconds:
        plan.end(pass_plan.Outcome.DEFERRED, reason, reason=reason, wait_seconds=identity.wait_seconds)
    elif reason:
        plan.end_settled(reason)


def identify_without_item(facts: PassFacts, records: Iterable[RecordFacts]) -> dict[UUID, pass_plan.IdentityPlan]:
    """Decide about every record without an item; assign no item twice.

    The oldest record comes first, as in the set-up's plan. If several records have one match key, only the first gets a
    new item in a pass: the next pass finds that item for the others, and a person is asked.
    """
    board = facts.board
    by_npd_id = items_by_npd_id(board, facts.items)
    by_match_key = items_by_match_key(board, facts.items)
    by_name = grouped(facts.items.by_name, lambda item: match_key(item.name))
    # An item with the NPD ID of an existing record belongs to it, unless the item is linked with another record.
    candidates = (*facts.items.by_match, *facts.items.by_name)
    npd_ids = {item.id: field_values.npd_uuid_of(board, item) for item in candidates}
    owners = {item_id: npd_id for item_id, npd_id in npd_ids.items() if npd_id in facts.identity.existing}
    owners |= facts.identity.owners
    first_by_key = dict[str, SyncedModel]()
    plans = {}
    for record_facts in sorted(records, key=lambda record_facts: (record_facts.record.created_at, record_facts.id)):
        key = field_values.match_key_of_record(board, record_facts.record)
        plan = identify(facts, record_facts, by_npd_id, by_match_key, owners)
        may_be_new = plan.creates or plan == pass_plan.IdentityPlan(reason=board.link.creates_held)
        if may_be_new and not record_facts.wants_new_item:
            items = by_name.get(match_key(field_values.record_name(record_facts.record)), ())
            if namesakes := _possible_items(facts, record_facts, items, owners):
                plan = _asking(namesake_question(board, record_facts.record, namesakes))
            elif plan.creates and record_facts.sync_state.is_unplanned:
                plan = _asking(unplanned_question(record_facts.record))
        may_create = plan.creates and record_facts.record.sync_direction != SyncDirection.MONDAY_TO_NPD
        if plan.item is not None:
            owners[plan.item.id] = record_facts.id
        elif may_create and key and not record_facts.wants_new_item:
            first = first_by_key.setdefault(key, record_facts.record)
            if first is not record_facts.record:
                reason = (
                    f"“{first}” has the same {board.match_label}, and gets an item first. You are then asked whether "
                    f"this is the same, unless the {board.match_label} is changed."
                )
                plan = pass_plan.IdentityPlan(reason=reason, wait_seconds=SEARCH_SECONDS)
        plans[record_facts.id] = plan
    return plans


def identify(
    facts: PassFacts,
    record_facts: RecordFacts,
    by_npd_id: ItemsByText,
    by_match_key: ItemsByText,
    owners: Mapping[str, UUID],
) -> pass_plan.IdentityPlan:
    """Decide about a record without an item; `owners` are the records that have the items by now."""
    board = facts.board
    identity_facts = facts.identity
    record = record_facts.record
    wants_new_item = record_facts.wants_new_item
    # An item that was removed when it was unlinked kept its NPD ID, and may be back on the board.
    unlinked = identity_facts.unlinked.get(record.pk)
    hits = [item for item in by_npd_id.get(str(record.pk), ()) if unlinked is None or item.id != unlinked.item_id]
    if not hits and (key := field_values.match_key_of_record(board, record)):
        hits = [item for item in by_match_key.get(key, ()) if identity_facts.may_match(item.id, record.pk)]
        ownerless = [item for item in by_match_key.get(None, ()) if item.id not in owners]
        unreadable = [item for item in ownerless if identity_facts.may_match(item.id, record.pk)]
        if unreadable and not hits:
            return pass_plan.IdentityPlan(
                reason=f"{capfirst(board.match_label)} of the item “{unreadable[0].name}” on the board can't be read, "
                f"{_WHOSE_ITEM} Check the column's type and that NPD Sync's user may see it, then run the set-up again "
                "(Boards, “Set up…”)."
            )
    # An item with its NPD ID counts all the same, such as the new item of an earlier pass.
    if wants_new_item and all(field_values.npd_id_of(board, item) != str(record.pk) for item in hits):
        hits = []
    matching = matching_items(board, record, hits)
    if matching.reason:
        return pass_plan.IdentityPlan(reason=matching.reason, is_left_out=matching.is_left_out)
    hits = list(matching.items)
    unread = [*by_npd_id.get(None, ()), *(item for item in hits if field_values.npd_id_of(board, item) is None)]
    if unread:
        return pass_plan.IdentityPlan(
            reason=f"The NPD ID of the item “{unread[0].name}” on the board can't be read, {_WHOSE_ITEM} "
            "Check that it is a text column that NPD Sync's user may see."
        )
    if not hits and not wants_new_item and unlinked is not None:
        former = facts.items.linked.get(unlinked.item_id)
        is_as_unlinked = former is not None and _is_as_unlinked(board, record_facts, former, owners)
        asking = _asking(relink_question(board, record, unlinked, former))
        return pass_plan.IdentityPlan(item=former) if is_as_unlinked else asking
    if not hits and not wants_new_item and board.link.creates_held:
        return pass_plan.IdentityPlan(reason=board.link.creates_held)
    if not hits:
        return pass_plan.IdentityPlan(creates=True)
    if len(hits) == 1 and owners.get(hits[0].id, record.pk) == record.pk:
        return pass_plan.IdentityPlan(item=hits[0])
    owner_ids = {owners[item.id] for item in hits if item.id in owners}
    duplicates = [identity_facts.unedited[key] for key in sorted(owner_ids) if key in identity_facts.unedited]
    question = item_question(board, record, hits, owners, duplicates)
    if duplicates:
        shown = {str(duplicate.pk): field_values.record_values(board, duplicate) for duplicate in duplicates}
        questions = (conflict for conflict in record_facts.conflicts if conflict.seeks_item)
        question = with_edits_named(board, question, shown, next(questions, None))
    return _asking(question, "; or make the email or name unique, or fill in the item's NPD ID")


def _possible_items(
    facts: PassFacts, record_facts: RecordFacts, items: Iterable[Item], owners: Mapping[str, UUID]
) -> list[Item]:
    """Return those of the items with the record's name that may be its own.

    If both have a match key, they are two. But if a person is asked already, an answer counts more than what was filled
    in since; and a person who left a namesake open in the set-up's plan is asked.
    """
    board = facts.board
    is_unplanned = record_facts.sync_state.is_unplanned
    key = "" if is_unplanned else field_values.match_key_of_record(board, record_facts.record)
    asked_items = record_facts.sync_state.asked_items or ()
    return [
        item
        for item in items
        if item.id not in owners and facts.identity.may_match(item.id, record_facts.id)
        if not (key and field_values.match_key_of_item(board, item)) or item.id in asked_items
    ]


def _is_as_unlinked(board: BoardContext, facts: RecordFacts, item: Item, owners: Mapping[str, UUID]) -> bool:
    """Whether its former item is on the board and free, and neither side was edited since the two were unlinked."""
    is_free = field_values.is_active_on(board, item) and item.id not in owners
    if not is_free or not matching_items(board, facts.record, [item]).items:
        return False
    as_linked = pass_plan.RecordPlan(facts, item)
    as_linked.record = field_values.with_item(facts.record, item.id)
    blocked = facts.sync_state.blocked_fields
    mappings = {mapping.key: mapping for mapping in board.mapped}
    for edit in edits_since_agreed(board, as_linked):
        # A value that was held when they were unlinked is held again.
        entry = blocked.get(edit.key, {})
        if edit.reason or entry.get("local") != field_values.local_values(facts.record, mappings[edit.key]):
            return False
    return True


def items_by_npd_id(board: BoardContext, items: BatchItems) -> ItemsByText:
    """Return the items from the search by NPD ID, which finds only active ones."""
    return grouped(items.by_npd_id, lambda item: field_values.npd_id_of(board, item))


def items_by_match_key(board: BoardContext, items: BatchItems) -> ItemsByText:
    """Return the active items from the search by match key."""
    active = [item for item in items.by_match if item.state == field_values.ACTIVE]
    return grouped(active, lambda item: field_values.match_key_of_item(board, item))


def _take_own_item(board: BoardContext, plan: pass_plan.RecordPlan, item: Item | None) -> None:
    """Add its item to a linked record, or the state of its removed item."""
    plan.item = item
    sync_state = plan.sync_state
    if state := removed_state(board, plan):
        filter_removed_item(board, plan)
        if plan.is_open:
            plan.removed_item = pass_plan.RemovedItem(state)
        return
    if sync_state.removed_since and sync_state.remote_state in OFF_BOARD_STATES:
        plan.add_lines(HistoryLine(ActivityKind.RETURNED, "Its item is on the board again."))
    sync_state.removed_since = None
    sync_state.removed_passes = 0
    sync_state.remote_state = field_values.ACTIVE
    sync_state.is_unplanned = False


def _asking(question: dict[str, Any], alternative: str = "") -> pass_plan.IdentityPlan:
    reason = f"Who is this? {question['what']} Answer it among the conflicts{alternative}."
    return pass_plan.IdentityPlan(question=question, reason=reason)


def question_data(
    sentence: str, candidates: Iterable[Mapping[str, Any]], options: Iterable[reports.Option]
) -> dict[str, Any]:
    """Return a question about these records or items for `ConflictReport.data`."""
    return {"what": sentence, "candidates": list(candidates), "options": [option.to_json() for option in options]}


def with_edits_named(
    board: BoardContext, question: dict[str, Any], shown: Mapping[str, Any], before: reports.OpenConflict | None
) -> dict[str, Any]:
    """Return the question with what it shows of the records and items that an answer may archive or delete.

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
    return question | {"what": question["what"] + edits, "shown": dict(shown), "edits": edits}


def record_candidates(records: Iterable[SyncedModel]) -> list[Mapping[str, Any]]:
    return [{"id": str(record.pk), "label": str(record), "linked_to": record.monday_id} for record in records]


def owner_question(hits: Sequence[SyncedModel], item: Item, details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the question which of these records the item is; the screen shows the item's `details`."""
    sentence = f"The item “{item.name}” could be {quoted_names(hits)}."
    so_far = _UNANSWERED
    linked = [record for record in hits if record.monday_id]
    if len(hits) == len(linked) == 1:
        sentence = f"Two items look like {quoted_names(hits)}. Are they one {hits[0].entity_type()}?"
        so_far = "One is linked with it; the other waits for your answer."
    elif linked:
        sentence += f" {quoted_names(linked)} {'has' if len(linked) == 1 else 'have'} an item already."
    linking = f"is linked with the item “{item.name}”; what differs is synced field by field."
    creating = f"A new record is created from “{item.name}” and linked with it."
    leaving_alone = "This item stays on the board and is not synced."
    leave_label = ""
    if len(hits) == len(linked) == 1:
        leave_label = f"They are one {hits[0].entity_type()}: leave this item alone"
        leaving_alone = f"“{linked[0]}” keeps its item. {leaving_alone}"
    options = [
        Option.answer("link", f"“{record}” {linking}", str(record.pk), f"It is “{record}”") for record in linkable(hits)
    ]
    options.append(Option.answer("new_record", creating, AnswerKind.NEW_RECORD))
    options.append(Option.answer("leave_alone", leaving_alone, AnswerKind.LEAVE_ALONE, leave_label))
    return question_data(f"{sentence} {so_far}", record_candidates(hits), options) | {"item": dict(details)}


def linkable(hits: Sequence[SyncedModel]) -> list[SyncedModel]:
    return [record for record in hits if record.monday_id is None and record.may_sync]


def item_question(
    board: BoardContext,
    record: SyncedModel,
    hits: Sequence[Item],
    owners: Mapping[str, UUID],
    duplicates: Sequence[SyncedModel],
) -> dict[str, Any]:
    """Return the question which of these items is the record's.

    `owners` are the records that have the items; `duplicates` are the owners that were made from their item and not
    edited in NPD.
    """
    sentence = f"{len(hits)} items on the board could be this {record.entity_type()}"
    if len(hits) == 1:
        sentence = f"The item that fits already belongs to another {record.entity_type()}"
    linking = f"“{record}” is linked with this item; what differs is synced field by field."
    options = [
        Option.answer("link", linking, item.id, f"It is “{item.name}” ({item.id})")
        for item in hits
        if owners.get(item.id, record.pk) == record.pk
    ]
    for duplicate in duplicates:
        label = f"The same as “{duplicate}”, made from the item: delete that"
        effect = f"The record “{duplicate}” is deleted in NPD, and its item is linked with “{record}”."
        options.append(Option.answer(reports.MERGE_RECORDS, effect, f"{TAKES_ITEM}{duplicate.pk}", label))
    linked_to = {item.id: str(owners[item.id]) if item.id in owners else None for item in hits}
    candidates = [field_values.item_data(board, item) | {"linked_to": linked_to[item.id]} for item in hits]
    return question_data(f"{sentence}. {_UNANSWERED}", candidates, [*options, _new_item_option(record)])


def namesake_question(board: BoardContext, record: SyncedModel, items: Sequence[Item]) -> dict[str, Any]:
    """Return the question whether one of the items with the record's name is its own."""
    sentence = f"An item on the board has the name of “{record}”"
    if len(items) > 1:
        sentence = f"{len(items)} items on the board have the name of “{record}”"
    unsure = f"but {board.match_label} doesn't tell whether they are the same"
    linking = f"“{record}” is linked with this item; what differs is synced field by field."
    act = reports.SAME_NAME if len(items) == 1 else "link"
    options = [Option.answer(act, linking, item.id, f"It is “{item.name}” ({item.id})") for item in items]
    candidates = [field_values.item_data(board, item) | {"linked_to": None} for item in items]
    options.append(_new_item_option(record))
    return question_data(f"{sentence}, {unsure}. {_UNANSWERED}", candidates, options) | {"by_name": True}


def unplanned_question(record: SyncedModel) -> dict[str, Any]:
    """Return the question whether a record for which the set-up's plan had no new item gets one."""
    sentence = f"“{record}” was in NPD when the board was set up, and the plan had no new item for it."
    return question_data(f"{sentence} {_UNANSWERED}", [], [_new_item_option(record)]) | {"is_unplanned": True}


def relink_question(board: BoardContext, record: SyncedModel, row: IgnoredItem, former: Item | None) -> dict[str, Any]:
    """Return the question whether a record that syncs again gets back its `former` item, if that was read."""
    effect = f"“{record}” and the item {row.item_id} sync as before; what changed since is synced or asked about."
    again = Option.answer("link", effect, row.item_id, "Link it with that item again")
    sentence = f"“{record}” had this item before. {row.reason} {_UNANSWERED}"
    unread = {"id": row.item_id, "label": f"Item {row.item_id}"}
    candidate = (field_values.item_data(board, former) if former else unread) | {"linked_to": None}
    return question_data(sentence, [candidate], [again, _new_item_option(record)])


def _new_item_option(record: SyncedModel) -> Option:
    effect = f"A new item is created for “{record}”; what is on the board stays as it is."
    return Option.answer("new_item", effect, AnswerKind.NEW_ITEM)


def quoted_names(records: Sequence[SyncedModel]) -> str:
    """Return the names of the first three records for a sentence."""
    return " or ".join(f"“{record}”" for record in records[:3])


def apply_answers(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Plan every stored answer about identity, and end the passes of everything that the answers concern.

    This pass only changes the links; the next pass syncs these records and items.
    """
    plan.identity_answers = [answer for key in sorted(plan.records) for answer in answers_of(plan.records[key].facts)]
    if not plan.identity_answers:
        return
    decide_answers(plan.identity_answers, facts.identity_answers)
    for answer in plan.identity_answers:
        record_plan = plan.records[answer.asked_id]
        # An applied answer closes its question; a rejected answer leaves it open without the choice.
        if answer.result:
            record_plan.answered_questions |= {answer.conflict.conflict_id}
        if answer.result and answer.kind is AnswerKind.TWO_RECORDS:
            record_plan.sync_state.made_from_item = False
        for key in plan.records.keys() & {answer.asked_id, *answer.record_ids}:
            plan.records[key].ending = ANSWERED
    items = {answer.item_id for answer in plan.identity_answers if answer.result}
    for deleted in plan.deleted.values():
        if deleted.facts.tombstone.monday_id in items:
            deleted.ending = ANSWERED


def answered_items(facts: PassFacts, plan: pass_plan.Plan) -> frozenset[str]:
    """Return the items that this pass's answers are about."""
    applied = [answer for answer in plan.identity_answers if answer.result]
    merged = [facts.identity_answers.records.get(answer.merged_id) for answer in applied if answer.merged_id]
    items = [answer.item_id for answer in applied] + [record.monday_id for record in merged if record is not None]
    return frozenset(str(item) for item in items if item)


def answers_of(facts: RecordFacts) -> list[pass_plan.IdentityAnswer]:
    """Return people's answers to the record's open questions about identity, without those of ITEM_ANSWERS."""
    answers = []
    for conflict in facts.conflicts:
        if conflict.kind != ConflictKind.IDENTITY:
            continue
        resolution = conflict.resolutions.get(reports.RECORD_KEY)
        value = str(resolution.value or "") if resolution is not None else ""
        item_id = conflict.monday_item_id
        # The item's own pass carries out what needs the item.
        if value in reports.ITEM_ANSWERS:
            continue
        kind = next((kind for kind in AnswerKind if kind == value), None)
        merged_id = None
        if (record_id := as_uuid(value)) is not None:
            kind = AnswerKind.LINK
        elif value.isdigit():
            # The chosen item may be another than the conflict's item.
            kind = AnswerKind.LINK
            item_id = value
            record_id = facts.id
        elif value.startswith((SAME_AS, TAKES_ITEM)):
            kind = AnswerKind.MERGE
            other = as_uuid(value.partition(":")[2])
            merged_id = facts.id if value.startswith(SAME_AS) else other
            record_id = other if value.startswith(SAME_AS) else facts.id
        if kind is not None:
            answers.append(pass_plan.IdentityAnswer(kind, facts.id, conflict, item_id, record_id, merged_id))
    return answers


def decide_answers(answers: Iterable[pass_plan.IdentityAnswer], facts: AnswerFacts) -> None:
    """Decide whether these answers can still be applied, each after the ones before it.

    An item is assigned once, and a record is deleted once.
    """
    records = dict(facts.records)
    owners = dict(facts.owners)
    for answer in answers:
        if answer.kind is AnswerKind.MERGE:
            _decide_merge(answer, facts, records)
        else:
            _decide_answer(answer, records, owners)
        if not answer.result or answer.record_id is None:
            continue
        item_id: str | None = answer.item_id
        if answer.merged_id is not None:
            merged = records.pop(answer.merged_id)
            item_id = merged.monday_id if answer.moves_item else None
        if item_id is not None:
            owner = field_values.with_item(records[answer.record_id], item_id)
            records[answer.record_id] = owner
            owners[item_id] = owner


def _decide_answer(
    answer: pass_plan.IdentityAnswer, records: Mapping[UUID, SyncedModel], owners: Mapping[str, SyncedModel]
) -> None:
    """Decide whether an answer can still be applied."""
    if answer.kind is AnswerKind.LINK:
        record = records.get(answer.record_id) if answer.record_id else None
        answer.rejection_reason = link_problem(record, owners.get(answer.item_id))
        sentence = f"Linked “{record}” with the item {answer.item_id}, as somebody decided."
    elif answer.kind is AnswerKind.NEW_ITEM:
        sentence = "None of them: it gets a new item."
    elif answer.kind is AnswerKind.TWO_RECORDS:
        sentence = "They are two; both stay."
    else:
        sentence = "The item is left alone."
    answer.result = "" if answer.rejection_reason else sentence


def _decide_merge(answer: pass_plan.IdentityAnswer, facts: AnswerFacts, records: Mapping[UUID, SyncedModel]) -> None:
    """Plan to delete the record made from an item, and to give its item to the other record if that has none.

    If the other record has an item, the deleted record's item is handled by deleted_records.py.
    """
    merged = records.get(answer.merged_id) if answer.merged_id else None
    other = records.get(answer.record_id) if answer.record_id else None
    if merged is None or other is None:
        answer.rejection_reason = "one of the two records was deleted meanwhile."
    elif merged.pk in facts.edited:
        answer.rejection_reason = f"“{merged}” was edited since this was asked. Look at its values, then choose again."
    elif merged.pk not in facts.unedited:
        answer.rejection_reason = f"“{merged}” was changed in NPD meanwhile, so it isn't deleted. Choose again."
    elif needed := facts.needed.get(merged.pk):
        answer.rejection_reason = needed
    else:
        answer.result = f"“{merged}” was the same as “{other}”: it was deleted in NPD"
        answer.moves_item = other.monday_id is None and other.may_sync
        if answer.moves_item:
            answer.result += f", and its item {merged.monday_id} is the item of “{other}” now."
        else:
            answer.result += ", and its item with it as the board's setting says."


def link_problem(record: SyncedModel | None, owner: SyncedModel | None) -> str:
    """Return why a record can't get the item that a person chose; `owner` is the record that has the item by now."""
    if record is None:
        return "That record was deleted meanwhile."
    if record.monday_id is not None:
        return f"“{record}” now has another item."
    if not record.may_sync:
        return f"Sync is off for “{record}”. Turn it on, then choose again."
    return _owner_problem(owner)


def _owner_problem(owner: SyncedModel | None) -> str:
    return f"The item now belongs to “{owner}”." if owner is not None else ""
