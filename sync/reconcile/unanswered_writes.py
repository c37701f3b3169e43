"""Decide about writes whose answer was lost: creates by their document, and values that late writes left on Monday.

The intent of such a write is OPEN until its deadline. Then it is CONFIRMED if its effect was seen, else VOID; a VOID
write may still land late. The first half decides about creates whose deadline is over, before a pass
(unanswered_creates.py asks and stores). The second half is a rule of the record's next pass: values that such writes
left are the bases. For a change whose intent is still open, see `field_bases.base_with_intents`.

Implements *an intent without an answer* of “After a write” in docs/reference/merge.md. A create found by its NPD ID is
linked. If nothing of a document is found, it is sent again unchanged under its own key, for which Monday replays its
answer. If a part is found, or it can't be sent again, the records' passes create the missing items.

Sending again is an attempt: it is made once, when the records' jobs are due, and counts if a record is at fault. If it
fails and the next search finds nothing either, the items are created under another key, when their jobs are due again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sync.choices import SyncDirection
from sync.merge import Side
from sync.models import Intent, SyncedModel
from sync.monday.board_items import Item, WriteResult
from sync.monday.conversion import UnknownValue
from sync.monday.errors import MondayError, Scope
from sync.reconcile import field_bases
from sync.reconcile.board_filter import new_item_verdict, record_verdict
from sync.reconcile.calls import is_refused
from sync.reconcile.facts import PassFacts, RecordFacts, change_events, is_create
from sync.reconcile.field_values import BoardContext, npd_id_of, stored_values
from sync.reconcile.pass_plan import RecordPlan

# How long Monday replays an answer (developer.monday.com/api-reference/docs/idempotency).
IDEMPOTENCY_MINUTES = 30

# Seconds between two searches while writing is paused; each costs a call, and a pause may last for days.
PAUSED_WAIT_SECONDS = 600


@dataclass(frozen=True)
class UnansweredDocument:
    """The unanswered creates of one document, which is one call, after their deadline."""

    board: BoardContext
    intents: Sequence[Intent]
    items: Mapping[str, Item] | None  # items with the records' NPD IDs, by these; None if one can't be read
    size: int  # the creates in the document, also those that were answered
    records: Mapping[UUID, SyncedModel]  # those that exist
    due: frozenset[UUID]  # records with jobs that are due, or that a dead worker left
    is_paused: bool
    was_voided_before: bool  # one of them was searched for in vain before, in another document
    others_answered: bool  # Monday has answered other writes to the board since
    wait_seconds: float  # how long a call may take to land
    now: datetime


class Fate(StrEnum):
    """What happens to an unanswered create."""

    # Link its item. The intent stays open, so that the record's next pass takes the sent values as the base.
    LINK = "link"
    WAIT = "wait"  # nothing is known yet; the record isn't claimed, and its item is searched for again
    LOOK_AGAIN = "look again"  # not found; search once more after the call may have landed, then create it again
    FAIL = "fail"  # the same, and it counts as a failed attempt
    RESEND = "resend"  # send the whole document again under its own key
    VOID = "void"  # it had no effect; the record's next pass creates the item under another key


@dataclass(frozen=True)
class CreatePlan:
    """The decision about one unanswered create."""

    intent: Intent
    fate: Fate
    item: Item | None = None  # to link
    wait_seconds: float = 0  # until the next search
    detail: str = ""  # why it failed


def after_search(document: UnansweredDocument) -> list[CreatePlan]:
    """Decide about each create by the result of the search for its item."""
    items = document.items
    if items is None:
        return _same_fate(document, Fate.WAIT, document.wait_seconds)
    if items:
        plans = []
        for intent in document.intents:
            if item := items.get(str(intent.entity_id)):
                plans.append(CreatePlan(intent, Fate.LINK, item))
            elif not intent.was_searched:
                plans.append(CreatePlan(intent, Fate.LOOK_AGAIN, wait_seconds=document.wait_seconds))
            else:
                plans.append(CreatePlan(intent, Fate.VOID))
        return plans
    if document.is_paused:
        return _same_fate(document, Fate.WAIT, PAUSED_WAIT_SECONDS)
    if is_resendable(document) and {intent.entity_id for intent in document.intents} <= document.due:
        return _same_fate(document, Fate.RESEND)
    return _same_fate(document, Fate.VOID)


def is_resendable(document: UnansweredDocument) -> bool:
    """Whether the document may be sent again: Monday would replay it, and all its creates are unanswered and wanted."""
    first = document.intents[0]
    is_young = first.created_at + timedelta(minutes=IDEMPOTENCY_MINUTES) > document.now
    has_body = any(intent.body for intent in document.intents)
    is_whole = document.size == len(document.intents) and not first.was_searched and not document.was_voided_before
    return is_whole and is_young and has_body and all(_is_creatable(document, intent) for intent in document.intents)


def _is_creatable(document: UnansweredDocument, intent: Intent) -> bool:
    record = document.records.get(intent.entity_id)
    return (
        record is not None
        and record.may_sync
        and record.monday_id is None
        and record.sync_direction != SyncDirection.MONDAY_TO_NPD
        and record_verdict(document.board, record).holds is True
        and new_item_verdict(document.board, record).holds is True
    )


def after_resending(document: UnansweredDocument, answer: WriteResult | MondayError | None) -> list[CreatePlan]:
    """Decide about each create after the document was sent again; `answer` is None if writing was paused before."""
    if answer is None:
        return _same_fate(document, Fate.WAIT, PAUSED_WAIT_SECONDS)
    if isinstance(answer, WriteResult):
        plans = []
        for intent in document.intents:
            written = answer.by_alias[intent.alias]
            if not isinstance(written, MondayError):
                plans.append(CreatePlan(intent, Fate.LINK, written))
            elif written.outcome_unknown and not answer.replayed:
                plans.append(CreatePlan(intent, Fate.FAIL, None, document.wait_seconds, written.sentence))
            else:
                # Also a replay of an unknown outcome: that is the first call's, and the search has found nothing.
                plans.append(CreatePlan(intent, Fate.VOID))
        return plans
    is_alone = len(document.intents) == 1
    if is_refused(answer):
        # The first call's outcome isn't known, but the search has found nothing.
        return _same_fate(document, Fate.VOID)
    if answer.scope is Scope.TRANSPORT:
        # A record that fails alone while others are answered is at fault; an outage costs no attempt.
        fate = Fate.FAIL if is_alone and document.others_answered else Fate.LOOK_AGAIN
        return _same_fate(document, fate, document.wait_seconds, answer.sentence)
    return _same_fate(document, Fate.WAIT, document.wait_seconds)


def may_link(record: SyncedModel | None, record_id: UUID, owner: UUID | None) -> bool:
    """Whether an item that was created for a record may be linked with it; `owner` is the record that has the item.

    The item's webhook may have linked it already. It isn't linked if the record was deleted or has another item.
    """
    return owner == record_id or (owner is None and record is not None and record.monday_id is None)


def _same_fate(document: UnansweredDocument, fate: Fate, wait_seconds: float = 0, detail: str = "") -> list[CreatePlan]:
    return [CreatePlan(intent, fate, None, wait_seconds, detail) for intent in document.intents]


def with_bases_of_our_writes(facts: PassFacts, plan: RecordPlan) -> RecordPlan:
    """Add the history that was read since, and take what our unanswered writes left on Monday as the bases."""
    if plan.unlink:
        return plan
    if plan.id in facts.histories:
        plan = plan.with_facts(history=facts.histories[plan.id])
    bases = bases_of_creates(facts.board, plan.facts) if lacks_base(facts.board, plan.facts) else {}
    if plan.facts.history.void:
        bases |= bases_of_late_writes(facts.board, plan.facts)
    return plan.with_state(base={**plan.sync_state.base, **bases}) if bases else plan


def bases_of_late_writes(board: BoardContext, facts: RecordFacts) -> dict[str, dict[str, Any]]:
    """Return the bases of fields whose value on Monday was sent by a write that seemed to have had no effect.

    If the newest event with this value names another user than the token's, the value is an edit instead.
    """
    item = facts.item
    landed = dict[str, tuple[dict[str, Any], Side]]()
    for intent in facts.history.void:
        for mapping in board.mappings:
            entry = intent.values.get(mapping.key)
            if item is None or intent.item_id != item.id or not entry or not mapping.is_current(entry):
                continue
            base = field_bases.base_of(facts.sync_state, mapping, item.id)
            # A united list has elements that somebody added on Monday, so it is merged as usual.
            if base is None or entry.get("united"):
                continue
            convert = board.converter(mapping, facts.record)
            cell = field_bases.cell_of(convert, mapping, item)
            sides = field_bases.sides_of(convert, base, local=stored_values(facts.record, mapping), remote=cell)
            sent = field_bases.sides_of(convert, None, local=entry["local"], remote=cell)
            # The cell has the sent value, which is neither the base's nor NPD's.
            if sent.equal and sides.remote_changed and sides.differ:
                landed[mapping.key] = (field_bases.new_base(mapping, item.id, entry["local"], cell), sides.remote)
    user = facts.history.token_user
    if not landed or not user:
        return {key: base for key, (base, _) in landed.items()}
    # In the order of their arrival, because the last of several at one time counts.
    events = sorted(facts.history.events, key=lambda received: received.pk)
    changes = change_events(board, facts.record, events)
    users: dict[tuple[str, Side], str] = {(event.key, event.value): event.user_id for event in changes}
    return {key: base for key, (base, value) in landed.items() if users.get((key, value), "") in ("", user)}


def lacks_base(board: BoardContext, facts: RecordFacts) -> bool:
    """Whether a field of the record's item has no base, as after an unanswered create."""
    item = facts.item
    return item is not None and any(
        field_bases.base_of(facts.sync_state, mapping, item.id) is None for mapping in board.mapped
    )


def bases_of_creates(board: BoardContext, facts: RecordFacts) -> dict[str, dict[str, Any]]:
    """Return the values that an unanswered create of ours gave the record's item, as the bases of its fields."""
    item = facts.item
    creates = [intent for intent in _unanswered_creates(facts) if _may_be_created_by(board, facts, intent)]
    if item is None or not creates:
        return {}
    lacking = [mapping for mapping in board.mappings if field_bases.base_of(facts.sync_state, mapping, item.id) is None]
    bases = {}
    for mapping in lacking:
        convert = board.converter(mapping, facts.record)
        entries = [intent.values.get(mapping.key) for intent in creates]
        if any(entry is not None and not mapping.is_current(entry) for entry in entries):
            continue
        try:
            remote_raw = convert.stored_value(item.reading(mapping.column_id)) if mapping.column_id else None
            current = convert.canonical_remote(remote_raw)
            sent = [
                (entry["local"], convert.canonical_local(entry["local"])) if entry else (None, None)
                for entry in entries
            ]
        except UnknownValue:
            continue
        # The cell's value if one of them sent it, else the value that all sent.
        sent_raw = next((raw for raw, value in sent if raw and value == current), None)
        first_raw, first_value = sent[0]
        if sent_raw is not None:
            bases[mapping.key] = field_bases.new_base(mapping, item.id, sent_raw, remote_raw)
        elif first_raw is not None and all(value == first_value for _, value in sent):
            base = field_bases.new_base(mapping, item.id, first_raw, remote_raw)
            bases[mapping.key] = base | {field_bases.AS_SENT: True}
    return bases


def _unanswered_creates(facts: RecordFacts) -> list[Intent]:
    """Return creates without an answer whose deadline is over: linked since, given up, or found with another item."""
    linked = [intent for intent in facts.intents if intent.item_id]
    return [intent for intent in (*linked, *facts.history.ended_creates) if is_create(intent)]


def may_be_ours(board: BoardContext, facts: RecordFacts) -> bool:
    """Whether the item may be that of a create without an answer: it has the NPD ID. Then its creator is read.

    It isn't if a change of ours found no base: then the two were linked otherwise, and that change wrote the NPD ID.
    """
    item = facts.item
    if item is None or all(intent.item_id for intent in _unanswered_creates(facts)):
        return False
    was_linked_otherwise = any(
        change.item_id == item.id
        and not is_create(change)
        and not any(entry.get("base") for entry in change.values.values())
        for change in facts.history.changes
    )
    return not was_linked_otherwise and npd_id_of(board, item) == str(facts.id)


def _may_be_created_by(board: BoardContext, facts: RecordFacts, intent: Intent) -> bool:
    """Whether this create may have created the item: it is linked with it, or nobody else created it."""
    if intent.item_id:
        return facts.item is not None and intent.item_id == facts.item.id
    # An item that our create made has its NPD ID from the beginning, so nobody typed it.
    maker = facts.history.maker
    us = facts.history.token_user
    is_ours = not maker or not us or maker == us
    return may_be_ours(board, facts) and not facts.history.is_npd_id_typed and is_ours
