"""Which item is which record: linked, found by NPD ID or by the match rule, asked about, or none.

Decides of docs/reference/merge.md, “A record and its item”: *there, never linked | not known* (one free hit is linked,
several or one linked elsewhere are asked about, none: the item is made); and what a person's answers to the questions
of identity mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import ProtectedError, RestrictedError

from sync.boards.sync_filter import FilterSide
from sync.choices import Cause, Priority, QueueDirection
from sync.connectors.base.board_items import BatchItems, Item
from sync.kernel.conflict_store import (
    KIND_IDENTITY,
    MERGE_RECORDS,
    RECORD_KEY,
    ConflictReport,
    OpenConflict,
    Option,
    current_store,
)
from sync.models import IgnoredItem, SyncedModel, SyncMetadata
from sync.outbox.pauses import locked_pauses
from sync.outbox.queue_rows import enqueue_item, enqueue_many
from sync.reconcile import gather
from sync.reconcile.batch import Batch, Outcome, RecordSync, RemovedItem
from sync.reconcile.board_filter import is_removed_item_excluded, leave_out, matching_items
from sync.reconcile.conflict_reports import cause_of_claim, identity_report
from sync.reconcile.facts import AnswerFacts, IdentityFacts, LostCreates, RecordFacts
from sync.reconcile.field_values import (
    ACTIVE,
    BoardContext,
    as_uuid,
    item_values,
    match_text_of_item,
    match_text_of_record,
    npd_id_of,
)
from sync.reconcile.reads import read_by_id
from sync.reconcile.removed_items import clear_removed_state, plan_removed_items, removed_state
from sync.reconcile.restraints import end_if_paused
from sync.reconcile.sides import is_active_on
from sync.records.external_ids import inherit_external_ids
from sync.records.item_links import exclude_match, ignore_item
from sync.records.unmatched_items import AS_NEW, UnmatchedFinding, reopen_items

# Which item belongs to a record that has none: found by NPD ID, by the match rule, or none.


@dataclass(frozen=True)
class Candidates:
    """The items that were found for records without one, by what they say of themselves.

    `named` are those found by an NPD ID, by it, and `unnamed` those of them whose NPD ID can't be read. `keyed` are the
    active ones found by match key, by it (None where it can't be read), and `npd_ids` says of these, whose NPD ID they
    bear.
    """

    named: Mapping[str, Sequence[Item]]
    unnamed: Sequence[Item]
    keyed: Mapping[str | None, Sequence[Item]]
    npd_ids: Mapping[str, UUID]

    @classmethod
    def of(cls, board: BoardContext, found: BatchItems) -> Candidates:
        """Return what an answer found."""
        named: dict[str, list[Item]] = {}
        keyed: dict[str | None, list[Item]] = {}
        unnamed = []
        for item in found.by_npd_id:
            npd_id = npd_id_of(board, item)
            if npd_id is None:
                unnamed.append(item)
            else:
                named.setdefault(npd_id, []).append(item)
        for item in found.by_match:
            if item.state == ACTIVE:
                keyed.setdefault(match_text_of_item(board, item), []).append(item)
        npd_ids = {item.id: key for item in found.by_match if (key := as_uuid(npd_id_of(board, item) or ""))}
        return cls(named, unnamed, keyed, npd_ids)


@dataclass(frozen=True)
class IdentityPlan:
    """What is known of a record that had no item: its `item`, that it `creates` one, or the `question` which it is.

    `linked` is the line of its history about the link, `remote_state` how the item stands. `excluded_items` are those
    that a person said are not the record's, to be remembered once its own is made. `reason` ends its pass, as left out
    by the filter where it `is_left_out`; `needs_pass`: another one follows at once.
    """

    item: Item | None = None
    creates: bool = False
    question: dict[str, Any] | None = None
    linked: str = ""
    remote_state: str = ""
    excluded_items: tuple[str, ...] = ()
    reason: str = ""
    is_left_out: bool = False
    needs_pass: bool = False


def identify_in_turn(
    board: BoardContext, records: Iterable[RecordFacts], candidates: Candidates, facts: IdentityFacts
) -> dict[UUID, IdentityPlan]:
    """Decide about every record without an item; no item is given twice.

    The oldest record comes first, in whatever order they were claimed: set-up, which shows beforehand what passes will
    do, takes them so, too.
    """
    # An item bears the NPD ID of a record that is there: it is that record's, whatever its key says, unless it is
    # linked with another one already.
    named = {item_id: npd_id for item_id, npd_id in candidates.npd_ids.items() if npd_id in facts.existing}
    owners, plans = named | dict(facts.owners), {}
    for one in sorted(records, key=lambda record: (record.record.created_at, record.id)):
        plan = identify(board, one.record, candidates, owners, facts, as_new=wants_new_item(one))
        if plan.item is not None:
            owners[plan.item.id] = one.id
        plans[one.id] = plan
    return plans


def identify(
    board: BoardContext,
    record: SyncedModel,
    candidates: Candidates,
    owners: Mapping[str, UUID],
    facts: IdentityFacts,
    *,
    as_new: bool = False,
) -> IdentityPlan:
    """Decide about a record without an item; `owners` says whose the items are by now.

    `as_new`: a person said that none of the items found is the record's.
    """
    hits = list(candidates.named.get(str(record.pk), ()))
    if not hits and (key := match_text_of_record(board, record)):
        hits = [item for item in candidates.keyed.get(key, ()) if facts.exclusions.may_match(item.id, record.pk)]
        unreadable = [
            item
            for item in candidates.keyed.get(None, ())
            if item.id not in owners and facts.exclusions.may_match(item.id, record.pk)
        ]
        if unreadable and not hits:
            label = board.match_mapping.label if board.match_mapping else "key"
            return IdentityPlan(
                reason=f"{label} of the item “{unreadable[0].name}” on the board can't be read, so it isn't known "
                "whether it is this record's. Nothing was created. Check the column's type and that the token's user "
                "may see it, then run `manage.py monday_setup`."
            )
    excluded: tuple[str, ...] = ()
    if as_new and all(npd_id_of(board, item) != str(record.pk) for item in hits):
        excluded, hits = tuple(item.id for item in hits if item.id not in owners), []
    filtered = matching_items(board, record, hits)
    if filtered.sentence:
        return IdentityPlan(excluded_items=excluded, reason=filtered.sentence, is_left_out=filtered.leaves_out)
    plan = _identify_among(board, record, candidates, filtered.kept, owners, facts, as_new=as_new)
    return replace(plan, excluded_items=excluded)


def _identify_among(
    board: BoardContext,
    record: SyncedModel,
    candidates: Candidates,
    hits: Sequence[Item],
    owners: Mapping[str, UUID],
    facts: IdentityFacts,
    *,
    as_new: bool,
) -> IdentityPlan:
    unread = [*candidates.unnamed, *(item for item in hits if npd_id_of(board, item) is None)]
    if unread:
        return IdentityPlan(
            reason=f"The NPD ID of the item “{unread[0].name}” on the board can't be read, so it isn't known whether "
            "it is this record's. Nothing was created. Check that it is a text column that the token's user may see."
        )
    if not hits and not as_new and record.pk in facts.exclusions.unlinked:
        return _asking(relink_question(record, facts.exclusions.unlinked[record.pk]))
    if not hits:
        return IdentityPlan(creates=True)
    if len(hits) == 1 and owners.get(hits[0].id, record.pk) == record.pk:
        linked = f"Linked with the item “{hits[0].name}” on the board."
        return IdentityPlan(item=hits[0], linked=linked, remote_state=hits[0].state)
    owner_ids = {owners[item.id] for item in hits if item.id in owners}
    duplicates = [facts.unedited[key] for key in sorted(owner_ids) if key in facts.unedited]
    owner_by_item = {item_id: str(owner) for item_id, owner in owners.items()}
    values = {item.id: item_values(board, item) for item in hits}
    return _asking(record_question(record.entity_type(), record, hits, owner_by_item, duplicates, values))


def _asking(question: dict[str, Any]) -> IdentityPlan:
    reason = (
        f"Who is this? {question['what']} Answer it among the conflicts; or make the email or name unique, or fill in "
        "the item's NPD ID."
    )
    return IdentityPlan(question=question, reason=reason)


def wants_unedited(plans: Iterable[IdentityPlan]) -> frozenset[UUID]:
    """Name the records that have items which a question names: were they made from these, and untouched since?"""
    asked = [plan.question for plan in plans if plan.question is not None]
    return frozenset(UUID(one["linked_to"]) for question in asked for one in question["candidates"] if one["linked_to"])


# Items that a create without an answer may have made, and that no listing shows any more.
#
# Monday lists active items only. One that a person archived or deleted before it was linked is not
# found by its NPD ID; but webhooks have named it, and asked for by its id it still shows the NPD ID
# that our create gave it.


def link_lost_creates(
    board: BoardContext, lost: LostCreates, items: Iterable[Item], creating: Mapping[UUID, IdentityPlan]
) -> dict[UUID, IdentityPlan]:
    """Link records that are about to get a second item, as was planned, with the first, whatever its state."""
    plans: dict[UUID, IdentityPlan] = {}
    for item in items:
        npd_id = as_uuid(npd_id_of(board, item) or "")
        if npd_id not in lost.records or npd_id not in creating or (npd_id, item.id) in lost.unlinked:
            continue
        linked = f"Linked with the item “{item.name}”, which was created by a call whose answer was lost."
        plan = replace(creating[npd_id], item=item, creates=False, linked=linked, remote_state=item.state)
        if not is_active_on(board, item):
            # The record's next pass decides what becomes of the two.
            reason = f"Its item “{item.name}” was {item.state} before it was linked."
            plan = replace(plan, remote_state="", reason=reason, needs_pass=True)
        plans.setdefault(npd_id, plan)
    return plans


# Questions of identity: whose item is this, which item is this record's, are these two the same
# person?
#
# Each is a report of the kind identity with the options that a person may choose.


NEW_ITEM = "new"
"""Answer: none of the items is the record's; it gets one of its own."""

NEW_RECORD = "record"
"""Answer: the item is none of the records'; it becomes one of its own."""

LEAVE_ALONE = "leave alone"
"""Answer: the item stays on the board and has nothing to do with NPD."""

SAME_AS = "same:"
"""Answer, followed by a record's id: that record and the one made from the item are the same."""

TAKES_ITEM = "takes:"
"""Answer, followed by a record's id: that one, made from the item, is the same and hands its item over."""

DIFFERENT_RECORDS = "different"
"""Answer: they are two, and nobody is to ask again."""


def owner_question(hits: Sequence[SyncedModel], item: Item, details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the question which of these records the item is; `details` is what the screen shows of the item."""
    what = f"The item “{item.name}” could be {quoted_names(hits)}"
    known = [record for record in hits if record.monday_id]
    if known:
        what += f", which {'has' if len(known) == 1 else 'have'} an item already"
    what += ". Nothing was created."
    waiting = _waiting(hits)
    linking = f"is linked with the item “{item.name}”; what differs is synced field by field."
    new = f"A new record is made of “{item.name}” and linked with it."
    alone = "The item stays on the board; it is not matched, and no record is created from it."
    waiting = _waiting(hits)
    options = [
        *(Option("custom", f"It is “{record}”", f"“{record}” {linking}", str(record.pk)) for record in waiting),
        Option("custom", "It is somebody else: create a new record", new, NEW_RECORD),
        Option("custom", "Leave the item alone", alone, LEAVE_ALONE),
    ]
    return {
        "what": what,
        "item": dict(details),
        "candidates": [{"id": str(r.pk), "label": str(r), "linked_to": r.monday_id} for r in hits],
        "options": [option.to_json() for option in options],
    }


def _waiting(hits: Sequence[SyncedModel]) -> list[SyncedModel]:
    """Those of these records that could take the item."""
    return [record for record in hits if record.monday_id is None and record.may_sync]


def record_question(
    kind: str,
    record: SyncedModel,
    hits: Sequence[Item],
    owner_by_item: Mapping[str, str],
    duplicates: Sequence[SyncedModel] = (),
    values: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """Return the question which of these items is the record's.

    `values` has what each item says, by field. `owner_by_item` maps an item to the record that has it; `duplicates` are
    those of these records that were made from their item and that nobody touched in NPD.
    """
    what = f"{len(hits)} items on the board could be this {kind}"
    if len(hits) == 1:
        what = "The item with the same key belongs to another record already"
    linking = f"“{record}” is linked with this item; what differs is synced field by field."
    handed = f"is deleted in NPD, and its item is linked with “{record}”."
    options = [
        Option("custom", f"It is “{item.name}” ({item.id})", linking, item.id)
        for item in hits
        if owner_by_item.get(item.id, str(record.pk)) == str(record.pk)
    ]
    options += [
        Option(
            "custom",
            f"The same as “{r}”, made from the item: delete that",
            f"The record “{r}” {handed}",
            answer,
            MERGE_RECORDS,
        )
        for r, answer in ((duplicate, f"{TAKES_ITEM}{duplicate.pk}") for duplicate in duplicates)
    ]
    return {
        "what": f"{what}. Nothing was created.",
        "candidates": [
            {
                "id": i.id,
                "label": i.name,
                "linked_to": owner_by_item.get(i.id),
                "values": dict((values or {}).get(i.id, {})),
            }
            for i in hits
        ],
        "options": [option.to_json() for option in [*options, _new_item_option(record)]],
    }


def relink_question(record: SyncedModel, row: IgnoredItem) -> dict[str, Any]:
    """Return the question whether a record that syncs again takes back the item that was unlinked from it."""
    effect = f"“{record}” and the item {row.item_id} sync as before; what changed since is synced or asked about."
    again = Option("custom", "Link it with that item again", effect, row.item_id)
    why = f"“{record}” was unlinked from an item. {row.reason}"
    if row.entity_id not in (None, record.pk):
        why = f"The set-up left “{record}” out, for its name is like an item's that another record's is like, too."
    return {
        "what": f"{why} Nothing was created.",
        "candidates": [{"id": row.item_id, "label": f"Item {row.item_id}", "linked_to": None}],
        "options": [again.to_json(), _new_item_option(record).to_json()],
    }


def duplicate_question(made: SyncedModel, others: Sequence[SyncedModel], key: str) -> dict[str, Any]:
    """Return the question whether a record that was made from an item is one of these others."""
    deletion = f"The record “{made}” is deleted in NPD"
    options = [Option("custom", "They are two", "Both records stay, and you are not asked again.", DIFFERENT_RECORDS)]
    for other in reversed(others):
        effect = f"{deletion}, and its item is linked with “{other}”."
        if other.monday_id:
            effect = f"{deletion}; its item goes as the items of deleted records do, for “{other}” has one."
        label = f"The same as “{other}”: delete “{made}”"
        options.insert(0, Option("custom", label, effect, f"{SAME_AS}{other.pk}", MERGE_RECORDS))
    return {
        "what": f"“{made}”, which was made from an item on the board, has the same {key} as {quoted_names(others)}.",
        "candidates": [{"id": str(r.pk), "label": str(r), "linked_to": r.monday_id} for r in others],
        "options": [option.to_json() for option in options],
    }


def _new_item_option(record: SyncedModel) -> Option:
    effect = f"A new item is made for “{record}”; those that were found stay as they are."
    return Option("custom", "None of them: create a new item", effect, NEW_ITEM)


def quoted_names(records: Sequence[SyncedModel]) -> str:
    """Return the first records' names, to be said in a sentence."""
    return " or ".join(f"“{record}”" for record in records[:3])


# What a person answered to a question of identity.
#
# It is carried out before the pass reads anything: all of it is NPD's side alone, who is linked with
# which item, and the other rules of the pass ask NPD for just that (whose a deleted record's item is,
# whether an item without a record may be this one's). So it is no plan yet, but a fact that a person
# made, as a save is; the records' passes do the rest. An answer that no longer applies is handed back
# with the reason.


class AnswerOutdated(RuntimeError):
    """The answer can't be carried out any more; the message says why."""


class AnswerKind(StrEnum):
    """What an answer means."""

    LINK = "link"
    MERGE = "merge"
    TWO_RECORDS = "two records"
    NEW_RECORD = "new record"
    NEW_ITEM = "new item"
    LEAVE_ALONE = "leave alone"


@dataclass(frozen=True)
class Answer:
    """What a person chose in a `conflict` that stands at the record `asked_of`.

    To link is to give `record_id` the item; to merge is to delete `made_id`, made from an item, for `record_id`.
    """

    kind: AnswerKind
    asked_of: UUID
    conflict: OpenConflict
    item_id: str
    record_id: UUID | None = None
    made_id: UUID | None = None


@dataclass(frozen=True)
class AnswerPlan:
    """What becomes of an answer: `done`, as a sentence, `outdated`, why it is handed back, or it waits, for it
    `is_paused`; nothing of these where the record's own pass does it.

    `hands_over`: of two records that become one, the item goes to the one that stays.
    """

    answer: Answer
    done: str = ""
    outdated: str = ""
    is_paused: bool = False
    hands_over: bool = False


_OF_A_WORD = {
    DIFFERENT_RECORDS: AnswerKind.TWO_RECORDS,
    NEW_RECORD: AnswerKind.NEW_RECORD,
    NEW_ITEM: AnswerKind.NEW_ITEM,
    LEAVE_ALONE: AnswerKind.LEAVE_ALONE,
}


def answers_of(facts: RecordFacts) -> list[Answer]:
    """Return what people answered in the record's open questions of identity."""
    found = []
    for conflict in [c for c in facts.conflicts if c.kind == KIND_IDENTITY]:
        resolution = conflict.resolutions.get(RECORD_KEY)
        value = str(resolution.value or "") if resolution is not None else ""
        at: dict[str, Any] = {"asked_of": facts.id, "conflict": conflict, "item_id": conflict.monday_item_id}
        if (record_id := as_uuid(value)) is not None:
            found.append(Answer(AnswerKind.LINK, **at, record_id=record_id))
        elif value.isdigit():
            # Which may be another item than the one that the question stands at.
            found.append(Answer(AnswerKind.LINK, **at | {"item_id": value}, record_id=facts.id))
        elif value.startswith((SAME_AS, TAKES_ITEM)):
            other = as_uuid(value.partition(":")[2])
            made, stays = (facts.id, other) if value.startswith(SAME_AS) else (other, facts.id)
            found.append(Answer(AnswerKind.MERGE, **at, record_id=stays, made_id=made))
        elif value in _OF_A_WORD:
            found.append(Answer(_OF_A_WORD[value], **at))
    return found


def wants_new_item(facts: RecordFacts) -> bool:
    """Whether a person said that none of the items found is the record's; its own pass makes it one."""
    return any(answer.kind is AnswerKind.NEW_ITEM for answer in answers_of(facts))


def decide_answer(answer: Answer, facts: AnswerFacts) -> AnswerPlan:
    """Decide what becomes of an answer: whether what it chose can still be done."""
    if answer.kind is AnswerKind.MERGE:
        return _decide_merge(answer, facts)
    owner = facts.owners.get(answer.item_id)
    if answer.kind is AnswerKind.LINK:
        record = facts.records.get(answer.record_id) if answer.record_id else None
        problem = link_problem(record, owner)
        done = f"Linked “{record}” with the item {answer.item_id}, as a person chose."
        return AnswerPlan(answer, outdated=problem) if problem else AnswerPlan(answer, done)
    if answer.kind is AnswerKind.NEW_RECORD:
        problem = _owner_problem(owner)
        done = "The item becomes a record of its own."
        return AnswerPlan(answer, outdated=problem) if problem else AnswerPlan(answer, done)
    done_by_kind = {
        AnswerKind.TWO_RECORDS: "They are two; both stay.",
        AnswerKind.LEAVE_ALONE: "The item is left alone.",
    }
    return AnswerPlan(answer, done_by_kind.get(answer.kind, ""))


def _decide_merge(answer: Answer, facts: AnswerFacts) -> AnswerPlan:
    """Delete the made record and give its item to the other one, where that has none.

    Where the other has an item, the made one's goes as the items of deleted records do (deleted_records.py).
    """
    if facts.is_paused:
        return AnswerPlan(answer, is_paused=True)
    if answer.made_id is None or answer.record_id is None:
        return AnswerPlan(answer, outdated="the answer names no record.")
    made, other = facts.records.get(answer.made_id), facts.records.get(answer.record_id)
    if made is None or other is None:
        return AnswerPlan(answer, outdated="one of the two records was deleted meanwhile.")
    if made.pk not in facts.unedited:
        return AnswerPlan(answer, outdated=f"“{made}” was changed in NPD meanwhile, so it isn't deleted. Choose again.")
    done = f"“{made}” was the same as “{other}”: it was deleted in NPD"
    if other.monday_id is None and other.may_sync:
        done += f", and its item {made.monday_id} is the item of “{other}” now."
        return AnswerPlan(answer, done, hands_over=True)
    return AnswerPlan(answer, f"{done}; its item goes as the items of deleted records do.")


def link_problem(record: SyncedModel | None, owner: SyncedModel | None) -> str:
    """Return why a record can't get an item that a person chose for it; `owner` is the one that has the item by now."""
    if record is None:
        return "That record was deleted meanwhile."
    if record.monday_id is not None:
        return f"“{record}” now has another item."
    if not record.may_sync:
        return f"Sync is off for “{record}”. Turn it on, then choose again."
    return _owner_problem(owner)


def _owner_problem(owner: SyncedModel | None) -> str:
    return f"The item now belongs to “{owner}”." if owner is not None else ""


def facts_after(facts: AnswerFacts, plan: AnswerPlan) -> AnswerFacts:
    """Return what the next answer rests on: an item is given once, and a record is deleted once."""
    answer, records = plan.answer, dict(facts.records)
    if not plan.done or answer.record_id is None:
        return facts
    item_id: str | None = answer.item_id
    if answer.kind is AnswerKind.MERGE and answer.made_id is not None:
        made = records.pop(answer.made_id)
        item_id = made.monday_id if plan.hands_over else None
    if item_id is None:
        return replace(facts, records=records)
    records[answer.record_id] = owner = copy(records[answer.record_id])
    owner.monday_id = item_id
    return replace(facts, records=records, owners={**facts.owners, item_id: owner})


# What is written of all this, in the caller's transaction.


def store_owner_question(
    entity_type: str, hits: Sequence[SyncedModel], item_id: str, question: Mapping[str, Any]
) -> None:
    """Ask which of these records the item is, in the caller's transaction, which has locked them."""
    report = ConflictReport(entity_type, hits[0].pk, item_id, KIND_IDENTITY, data=dict(question))
    current_store().save_reports([report])
    for record in _waiting(hits):
        # The record waits for the answer; its other conflicts stay.
        key = {"entity_type": entity_type, "entity_id": str(record.pk), "system": "monday"}
        ledger, _ = SyncMetadata.objects.get_or_create(**key, defaults={"base": {}})
        ledger.refresh_from_db(fields=["conflicts"])
        ledger.conflicts, ledger.asked_items = {**ledger.conflicts, "identity": [question["what"]]}, [item_id]
        ledger.save(update_fields=["conflicts", "asked_items"])
        type(record)._default_manager.filter(pk=record.pk).update(sync_status="conflict")


def close_identity_conflicts(entity_type: str, item_id: str, reason: str) -> None:
    """End the questions about an item of which there is nothing to ask, and enqueue the records that waited."""
    if closed := current_store().close_identity_conflicts(entity_type, item_id, reason):
        ids = set(closed) | _records_asking(entity_type, [item_id])
        enqueue_many(entity_type, ids, cause=Cause.DEPENDENCY, priority=Priority.EDIT)


def _records_asking(entity_type: str, items: Sequence[str]) -> set[UUID]:
    """Return the records that wait for an answer about one of these items."""
    ledgers = SyncMetadata.objects.of(entity_type).filter(asked_items__overlap=list(items))
    return {UUID(entity_id) for entity_id in ledgers.values_list("entity_id", flat=True)}


def settle_identity(record_sync: RecordSync) -> None:
    """In settle: remember which items a person said are not the record's, once its own item is made."""
    if record_sync.needs_pass:
        record_sync.enqueue()
    if not record_sync.as_new:
        return
    own = record_sync.link_to or record_sync.record.monday_id
    # Where a pass after the answer found the item that a lost call had made, only the question names the others.
    answered = [c for c in record_sync.conflicts if c.kind == KIND_IDENTITY and RECORD_KEY in c.resolutions]
    for item_id in record_sync.excluded_items or [c.monday_item_id for c in answered]:
        if own and item_id and item_id != own:
            why = f"A person said that it is not the item of “{record_sync.record}”."
            exclude_match(record_sync.record.entity_type(), item_id, record_sync.id, why)


def give_item(batch: Batch, record_id: UUID, item_id: str) -> SyncedModel:
    """Give a record the item that a person chose for it, in the caller's transaction; raises AnswerOutdated."""
    record = batch.records.select_for_update(no_key=True, of=("self",)).filter(pk=record_id).first()
    if problem := link_problem(record, batch.records.filter(monday_id=item_id).first()):
        raise AnswerOutdated(problem)
    assert record is not None
    _store_link(batch, record_id, item_id)
    return record


def _store_link(batch: Batch, record_id: UUID, item_id: str) -> None:
    batch.records.filter(pk=record_id).update(monday_id=item_id)
    # What was remembered against the item is overruled.
    IgnoredItem.objects.filter(entity_type=batch.entity_type, item_id=item_id).delete()


def settle_answers(batch: Batch, answers: Sequence[Answer]) -> list[AnswerPlan]:
    """Carry out these answers, as far as they still can be; what is decided rests on rows that are locked."""
    kind, by_id = batch.entity_type, {record_sync.id: record_sync for record_sync in batch.record_syncs}
    merged = [answer.made_id for answer in answers if answer.made_id is not None]
    if any(answer.kind is AnswerKind.MERGE for answer in answers):
        batch.pauses = locked_pauses(kind)
    named = {key for answer in answers for key in (answer.record_id, answer.made_id) if key is not None}
    items = {answer.item_id for answer in answers}
    is_paused = QueueDirection.TO_NPD in batch.pauses
    facts = gather.answer_facts(batch.board, named, items, merged, is_paused=is_paused)
    plans = []
    for answer in answers:
        plan = _carry_out(batch, by_id[answer.asked_of], decide_answer(answer, facts), facts)
        plans.append(plan)
        facts = facts_after(facts, plan)
    for plan in plans:
        if plan.outdated:
            detail, conflict = f"It could not be done: {plan.outdated}", plan.answer.conflict
            current_store().reject_resolutions(kind, [plan.answer.asked_of], detail, only=conflict.conflict_id)
            urgent: dict[str, Any] = {"priority": Priority.PERSON, "due_in_seconds": 0}
            enqueue_item(kind, conflict.monday_item_id, cause=Cause.DEPENDENCY, **urgent)
    done = [(by_id[plan.answer.asked_of], plan) for plan in plans if plan.done]
    if done:
        current_store().save_reports([identity_report(one, plan.answer.conflict, plan.done) for one, plan in done])
        # Records that waited for the same answer say so until their next pass.
        asked_items = {plan.answer.conflict.monday_item_id for _, plan in done}
        asked_items = asked_items.union(*(one.ledger.asked_items for one, _ in done)) - {""}
        others = _records_asking(kind, sorted(asked_items)) - {other.id for other in batch.open_records}
        enqueue_many(kind, others, cause=Cause.DEPENDENCY, priority=Priority.EDIT)
    return plans


def _carry_out(batch: Batch, record_sync: RecordSync, plan: AnswerPlan, facts: AnswerFacts) -> AnswerPlan:
    """Write what an answer means; return what became of it."""
    answer, entity_type = plan.answer, batch.entity_type
    if not plan.done:
        return plan
    if answer.kind is AnswerKind.MERGE:
        return _merge_records(batch, plan, facts, record_sync.by)
    if answer.kind is AnswerKind.LINK and answer.record_id is not None:
        _store_link(batch, answer.record_id, answer.item_id)
        if answer.record_id != answer.asked_of:
            cause = cause_of_claim(record_sync.claim)
            batch.log_decision(answer.record_id, answer.item_id, "link", plan.done, actor=record_sync.by, cause=cause)
            enqueue_many(entity_type, [answer.record_id], cause=Cause.DEPENDENCY, priority=Priority.PERSON)
    elif answer.kind is AnswerKind.TWO_RECORDS:
        SyncMetadata.objects.of(entity_type, [answer.asked_of]).update(made_from_item=False)
    elif answer.kind is AnswerKind.NEW_RECORD:
        # It stays remembered: none of the records with its key is to find it by that key again.
        why = "A person said that it is none of the records with the same key."
        ignore_item(entity_type, answer.item_id, None, why)
        reopen_items(batch.link, [UnmatchedFinding(answer.item_id)])
        urgent: dict[str, Any] = {"cause": Cause.PERSON, "priority": Priority.PERSON, "due_in_seconds": 0}
        enqueue_item(entity_type, answer.item_id, **urgent, payload={AS_NEW: True, "by": record_sync.by})
    elif answer.kind is AnswerKind.LEAVE_ALONE:
        ignore_item(entity_type, answer.item_id, None, "A person said that it has nothing to do with NPD.")
    return plan


def _merge_records(batch: Batch, plan: AnswerPlan, facts: AnswerFacts, by: str) -> AnswerPlan:
    """Make two records one; NPD may still need the one that would go."""
    made_id, other_id = plan.answer.made_id, plan.answer.record_id
    assert made_id is not None
    assert other_id is not None
    made = facts.records[made_id]
    name, item_id = str(made), made.monday_id
    try:
        copy(made).delete()
    except (ProtectedError, RestrictedError):
        problem = f"“{name}” can't be deleted: something else in NPD needs it."
        return AnswerPlan(plan.answer, outdated=problem)
    # Else a system that knows the deleted one would make it anew.
    inherit_external_ids(batch.entity_type, made_id, other_id)
    if plan.hands_over:
        batch.records.filter(pk=other_id).update(monday_id=item_id)
    cause = {"by": by, "causes": ["person"], "rule": "they are the same"}
    for entity_id in (made_id, other_id):
        batch.log_decision(entity_id, item_id or "", "link", plan.done, actor=by, cause=cause)
    enqueue_many(batch.entity_type, [other_id], cause=Cause.DEPENDENCY, priority=Priority.PERSON)
    return plan


# The steps of a pass as they still are: each reads, lets the rules above decide, and notes it with the records.


def apply_identity_choices(batch: Batch) -> None:
    """Carry out every stored answer to a question of identity; raises LeaseLost."""
    by_id = {record_sync.id: record_sync for record_sync in batch.record_syncs if record_sync.conflicts}
    answers = [answer for key in sorted(by_id) for answer in answers_of(by_id[key].facts)]
    for record_sync in by_id.values():
        record_sync.as_new = wants_new_item(record_sync.facts)
    # That one is its own pass's to carry out.
    answers = [answer for answer in answers if answer.kind is not AnswerKind.NEW_ITEM]
    for plan in batch.in_transaction(lambda: settle_answers(batch, answers)) if answers else ():
        _note_answer(batch, by_id[plan.answer.asked_of], plan)


def _note_answer(batch: Batch, record_sync: RecordSync, plan: AnswerPlan) -> None:
    answer = plan.answer
    asked = [c for c in record_sync.conflicts if c is answer.conflict]
    if plan.outdated:
        record_sync.conflicts = [replace(c, resolutions={}) if c in asked else c for c in record_sync.conflicts]
    elif plan.is_paused:
        end_if_paused(batch, record_sync, QueueDirection.TO_NPD)
    elif plan.done:
        record_sync.conflicts = [c for c in record_sync.conflicts if c not in asked]
    if plan.done and answer.kind is AnswerKind.MERGE:
        record_sync.end(Outcome.SETTLED, plan.done)
    elif plan.done and answer.kind is AnswerKind.TWO_RECORDS:
        record_sync.ledger.made_from_item = False
    elif plan.done and answer.kind is AnswerKind.LINK:
        # The record counts as linked from now on, also where the question stands at another one.
        for linked in [one for one in batch.record_syncs if one.id == answer.record_id]:
            linked.record.monday_id = answer.item_id
        if answer.record_id == answer.asked_of:
            record_sync.log_decision("link", plan.done)


def identify_records(batch: Batch, found: BatchItems) -> None:
    """Give every open record its item, mark it as one to be created, or end it with the reason."""
    board, unlinked = batch.board, [s for s in batch.open_records if not s.record.monday_id]
    plans = _identify_unlinked(board, [s.facts for s in unlinked], found)
    for record_sync in batch.open_records:
        if record_sync.id in plans:
            _note_identity(record_sync, plans[record_sync.id])
        else:
            _identify_linked(batch, record_sync, found.linked.get(record_sync.record.monday_id or ""))
    plan_removed_items(batch)
    creating = {record_sync.id: record_sync for record_sync in batch.open_records if record_sync.creates}
    lost = gather.lost_creates(board, list(creating)) if creating else LostCreates()
    items = read_by_id(batch, lost.items).values() if lost.items else ()
    for key, plan in link_lost_creates(board, lost, items, {key: plans[key] for key in creating}).items():
        _note_identity(creating[key], plan)


def _identify_unlinked(
    board: BoardContext, records: Sequence[RecordFacts], found: BatchItems
) -> dict[UUID, IdentityPlan]:
    if not records:
        return {}
    candidates = Candidates.of(board, found)
    exclusions = gather.match_exclusions(
        board.link.entity_type, [item.id for item in found.by_match], [one.id for one in records]
    )
    owners = gather.owners_of(board.link.entity_type, {item.id for item in [*found.by_npd_id, *found.by_match]})
    facts = IdentityFacts(
        {item_id: owner.pk for item_id, owner in owners.items()},
        gather.existing_records(board, set(candidates.npd_ids.values())),
        exclusions,
    )
    plans = identify_in_turn(board, records, candidates, facts)
    if wanted := wants_unedited(plans.values()):
        facts = replace(facts, unedited=gather.unedited_from_items(board, wanted))
        plans = identify_in_turn(board, records, candidates, facts)
    return plans


def _note_identity(record_sync: RecordSync, plan: IdentityPlan) -> None:
    record_sync.creates, record_sync.excluded_items = plan.creates, plan.excluded_items
    record_sync.needs_pass = plan.needs_pass
    if plan.item is not None:
        record_sync.item, record_sync.link_to = plan.item, plan.item.id
        record_sync.ledger.remote_state = plan.remote_state
        record_sync.log_decision("link", plan.linked)
    record_sync.identity_conflict = plan.question
    if plan.is_left_out:
        leave_out(record_sync, FilterSide.ITEM, plan.reason)
    elif plan.reason:
        record_sync.leave_open(plan.reason)


def _identify_linked(batch: Batch, record_sync: RecordSync, item: Item | None) -> None:
    record_sync.item = item
    state = removed_state(batch.board, record_sync.facts)
    if state and is_removed_item_excluded(batch, record_sync, item):
        return
    if state:
        record_sync.removed_item = RemovedItem(state)
    else:
        clear_removed_state(record_sync)
