"""What becomes of writes whose answer was lost: creates, one document at a time, and the items they left on Monday.

For a change whose intent is still open, see `field_plan.base_with_intents`.

Implements *an intent without an answer* of “After a write” in docs/reference/merge.md. A create found by its NPD ID is
linked. If nothing of a document is found, it is sent once more unchanged, under its own key, for which Monday replays
its answer. If a part is found, or it can't be sent again, the records' passes create the missing items.

Sending again is an attempt like any other: it is made when the records' jobs are due, and counts if a record is at
fault. After two such failures under one key the items are created under another key, when their jobs are due again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sync.choices import SyncDirection
from sync.merge import Side
from sync.models import FieldMapping, Intent, SyncedModel
from sync.monday.board_items import Item, WriteResult
from sync.monday.conversion import UnknownValue
from sync.monday.errors import MondayError, Scope
from sync.reconcile import field_plan
from sync.reconcile.board_filter import may_have_new_item
from sync.reconcile.calls import is_refused
from sync.reconcile.facts import RecordFacts, change_events, is_create
from sync.reconcile.field_values import BoardContext, npd_id_of, stored_values
from sync.reconcile.pass_plan import PassFacts, RecordPlan

# How long Monday replays an answer (developer.monday.com/api-reference/docs/idempotency).
IDEMPOTENCY_MINUTES = 30

# Seconds between two look-ups while writing is paused: each costs a call of the day, and a pause may last for days.
PAUSED_WAIT_SECONDS = 600

# Seconds until a document that NPD Sync itself failed on is taken up again, longer than a call may take to land.
FAULT_WAIT_SECONDS = 300


@dataclass(frozen=True)
class UnconfirmedCreates:
    """The creates of one document that are without an answer after their deadline."""

    board: BoardContext
    intents: Sequence[Intent]
    items: Mapping[str, Item] | None  # those that bear the records' NPD IDs, by these; None where one can't be read
    sent: int  # of how many creates the document was
    records: Mapping[UUID, SyncedModel]  # that are there
    due: frozenset[UUID]  # whose jobs' time has come, or were left by a worker that died
    is_paused: bool
    is_part: bool  # one of them was looked for in vain before, in another document
    others_answered: bool  # Monday has answered other writes to the board since
    wait_seconds: float  # how long a call may take to land
    now: datetime


class Fate(StrEnum):
    # Its item is the record's. The intent stays open: the record's next pass takes what was sent as the base.
    LINK = "link"

    WAIT = "wait"  # Nothing can be told yet. The record stays unclaimed, and its item is looked for again.

    # Looked for in vain: once more after the time in which the call may land, then it is made anew.
    LOOK_AGAIN = "look again"

    FAIL = "fail"  # the same, and it counts as an attempt of the record's

    RESEND = "resend"  # With its whole document, under its own key

    VOID = "void"  # Certainly not made: the next pass makes it anew, from what its record says then, under another key


@dataclass(frozen=True)
class CreatePlan:
    """What becomes of one of them: linked with `item`, or looked for again after so many seconds, for this reason."""

    intent: Intent
    fate: Fate
    item: Item | None = None
    wait_seconds: float = 0
    detail: str = ""


def decide_unconfirmed(facts: UnconfirmedCreates) -> list[CreatePlan]:
    """Return what becomes of each after a look for its item."""
    items = facts.items
    if items is None:
        return _all(facts, Fate.WAIT, facts.wait_seconds)
    if items:
        return [_after_look(facts, intent, items.get(str(intent.entity_id))) for intent in facts.intents]
    if facts.is_paused:
        return _all(facts, Fate.WAIT, PAUSED_WAIT_SECONDS)
    if is_resendable(facts) and {intent.entity_id for intent in facts.intents} <= facts.due:
        return _all(facts, Fate.RESEND)
    return _all(facts, Fate.VOID)


def _after_look(facts: UnconfirmedCreates, intent: Intent, item: Item | None) -> CreatePlan:
    """Return what becomes of one of whose document something was made."""
    if item is not None:
        return CreatePlan(intent, Fate.LINK, item)
    if intent.lookups == 0:
        return CreatePlan(intent, Fate.LOOK_AGAIN, wait_seconds=facts.wait_seconds)
    return CreatePlan(intent, Fate.VOID)


def is_resendable(facts: UnconfirmedCreates) -> bool:
    """Whether the document may be sent again: within the time of its replay, and only as it was.

    All of it is without an answer, and every record in it may still be created.
    """
    first = facts.intents[0]
    is_young = first.created_at + timedelta(minutes=IDEMPOTENCY_MINUTES) > facts.now
    has_body = any(intent.body for intent in facts.intents)
    is_whole = facts.sent == len(facts.intents) and first.lookups == 0 and not facts.is_part
    return is_whole and is_young and has_body and all(_is_creatable(facts, intent) for intent in facts.intents)


def _is_creatable(facts: UnconfirmedCreates, intent: Intent) -> bool:
    record = facts.records.get(intent.entity_id)
    return (
        record is not None
        and record.may_sync
        and record.monday_id is None
        and record.sync_direction != SyncDirection.MONDAY_TO_NPD
        and may_have_new_item(facts.board, record)
    )


def after_resending(facts: UnconfirmedCreates, answer: WriteResult | MondayError | None) -> list[CreatePlan]:
    """Return what becomes of each after the document was sent again: by its answer, by why it failed as a whole.

    None: writing was paused before it could be sent.
    """
    if answer is None:
        return _all(facts, Fate.WAIT, PAUSED_WAIT_SECONDS)
    if isinstance(answer, WriteResult):
        return [_after_answer(facts, intent, answer) for intent in facts.intents]
    is_alone = len(facts.intents) == 1
    if is_refused(answer):
        # That says nothing of the first sending, but two look-ups have found nothing of it.
        return _all(facts, Fate.VOID)
    if answer.scope is Scope.TRANSPORT:
        # It is the record's own where it fails alone, while others are answered; an outage costs no attempt.
        fate = Fate.FAIL if is_alone and facts.others_answered else Fate.LOOK_AGAIN
        return _all(facts, fate, facts.wait_seconds, answer.sentence)
    return _all(facts, Fate.WAIT, facts.wait_seconds)


def _after_answer(facts: UnconfirmedCreates, intent: Intent, answer: WriteResult) -> CreatePlan:
    """Return the plan of a create after its second sending; a replay has the result of the first one."""
    written = answer.by_alias[intent.alias]
    if not isinstance(written, MondayError):
        return CreatePlan(intent, Fate.LINK, written)
    if written.outcome_unknown and not answer.replayed:
        return CreatePlan(intent, Fate.FAIL, wait_seconds=facts.wait_seconds, detail=written.sentence)
    return CreatePlan(intent, Fate.VOID)


def after_own_fault(intents: Sequence[Intent], reason: str) -> list[CreatePlan]:
    """Return what becomes of a document that NPD Sync itself failed on: looked for once more, then made anew.

    It counts as an attempt of a record that is alone in its document, or where it fails again.
    """
    counts = len(intents) == 1 or any(intent.lookups for intent in intents)
    fate = Fate.FAIL if counts else Fate.LOOK_AGAIN
    return [CreatePlan(intent, fate, wait_seconds=FAULT_WAIT_SECONDS, detail=reason) for intent in intents]


def may_link(record: SyncedModel | None, record_id: UUID, owner: UUID | None) -> bool:
    """Whether an item that was made for a record is linked with it, as the two are now; `owner` has the item.

    Its webhook may have linked it. Else the record is deleted, or either of them is another's.
    """
    return owner == record_id or (owner is None and record is not None and record.monday_id is None)


def _all(facts: UnconfirmedCreates, fate: Fate, wait_seconds: float = 0, detail: str = "") -> list[CreatePlan]:
    return [CreatePlan(intent, fate, None, wait_seconds, detail) for intent in facts.intents]


# What a write without an answer left on Monday after all: late writes, and what a create gave its item. It is
# remembered for a day, so that it is known as ours, unless an event names another user.


def late_bases(board: BoardContext, facts: RecordFacts) -> dict[str, dict[str, Any]]:
    """Return the bases of fields whose value on Monday is a write of ours that was thought to have come to nothing.

    The newest event that tells this value may name another user than the token's: then it is an edit.
    """
    item = facts.item
    landed = dict[str, tuple[dict[str, Any], Side]]()
    for intent in facts.history.void:
        for mapping in board.mappings:
            entry = intent.values.get(mapping.key)
            if item is None or intent.item_id != item.id or not entry or not mapping.is_current(entry):
                continue
            base = field_plan.base_of(facts.ledger, mapping, item.id)
            # A list that was united holds what somebody on Monday added, so it is merged as any other (act.py).
            if base is None or entry.get("united"):
                continue
            convert = board.converter(mapping, facts.record)
            cell = field_plan.cell_of(convert, mapping, item)
            sides = field_plan.sides_of(convert, base, local=stored_values(facts.record, mapping), remote=cell)
            sent = field_plan.sides_of(convert, None, local=entry["local"], remote=cell)
            # The cell says what this intent sent, and neither the base nor NPD does.
            if sent.equal and sides.remote_changed and sides.differ:
                landed[mapping.key] = (field_plan.new_base(mapping, item.id, entry["local"], cell), sides.remote)
    user = facts.history.token_user
    if not landed or not user:
        return {key: base for key, (base, _) in landed.items()}
    # As they came: of several at one time the last one counts.
    events = sorted(facts.history.events, key=lambda received: received.pk)
    changes = change_events(board, facts.record, events)
    users: dict[tuple[str, Side], str] = {(event.key, event.value): event.user_id for event in changes}
    return {key: base for key, (base, value) in landed.items() if users.get((key, value), "") in ("", user)}


def lacks_base(board: BoardContext, facts: RecordFacts) -> bool:
    """Whether a field of the record's item has no base, which a create without an answer may have left."""
    item = facts.item
    return item is not None and any(
        field_plan.base_of(facts.ledger, mapping, item.id) is None for mapping in board.mapped
    )


def unconfirmed_creates(facts: RecordFacts) -> list[Intent]:
    """Creates of unknown outcome: linked with an item since, given up, or found with another item than the record's."""
    linked = [intent for intent in facts.intents if intent.item_id]
    return [intent for intent in (*linked, *facts.history.ended_creates) if is_create(intent)]


def wants_maker(board: BoardContext, facts: RecordFacts) -> bool:
    """Whether it matters who made the item: it bears the NPD ID of a create that knows no item.

    An item that a change of ours met without any base was linked by its match or a person, and bears the NPD ID since.
    What a create had made had its base by then, so its NPD ID says nothing of who made it.
    """
    item = facts.item
    if item is None or all(intent.item_id for intent in unconfirmed_creates(facts)):
        return False
    is_adopted = any(
        change.item_id == item.id
        and not is_create(change)
        and not any(entry.get("base") for entry in change.values.values())
        for change in facts.history.changes
    )
    return not is_adopted and npd_id_of(board, item) == str(facts.id)


def create_bases(board: BoardContext, facts: RecordFacts) -> dict[str, dict[str, Any]]:
    """Return what a create of ours without an answer gave the record's item, as the bases of its fields."""
    item = facts.item
    may_have_made = [intent for intent in unconfirmed_creates(facts) if _may_be_created_by(board, facts, intent)]
    if item is None or not may_have_made:
        return {}
    lacking = [mapping for mapping in board.mappings if field_plan.base_of(facts.ledger, mapping, item.id) is None]
    bases = {m.key: _base_from_creates(board, facts, item, m, may_have_made) for m in lacking}
    return {key: base for key, base in bases.items() if base}


def _may_be_created_by(board: BoardContext, facts: RecordFacts, intent: Intent) -> bool:
    """Whether the item can be this create's: the one it was linked with, or one with its NPD ID that no other made."""
    if intent.item_id:
        return facts.item is not None and intent.item_id == facts.item.id
    # What our creates make bears its NPD ID from the beginning: it was not typed into it.
    maker = facts.history.maker
    us = facts.history.token_user
    is_ours = not maker or not us or maker == us
    return wants_maker(board, facts) and not facts.history.is_npd_id_typed and is_ours


def _base_from_creates(
    board: BoardContext, facts: RecordFacts, item: Item, mapping: FieldMapping, creates: Sequence[Intent]
) -> dict[str, Any] | None:
    """Return the base that these creates leave: what the cell says and one of them sent, else what all of them sent."""
    convert = board.converter(mapping, facts.record)
    entries = [intent.values.get(mapping.key) for intent in creates]
    if any(entry is not None and not mapping.is_current(entry) for entry in entries):
        return None
    try:
        remote_raw = convert.stored_value(item.reading(mapping.column_id)) if mapping.column_id else None
        current = convert.remote(remote_raw)
        sent = [(entry["local"], convert.local(entry["local"])) if entry else (None, None) for entry in entries]
    except UnknownValue:
        return None
    same = next((raw for raw, value in sent if raw and value == current), None)
    if same is not None:
        return field_plan.new_base(mapping, item.id, same, remote_raw)
    raw, value = sent[0]
    is_unanimous = raw is not None and all(other == value for _, other in sent)
    return field_plan.new_base(mapping, item.id, raw, remote_raw) | {field_plan.AS_SENT: True} if is_unanimous else None


def with_earlier_bases(facts: PassFacts, plan: RecordPlan) -> RecordPlan:
    """Return it with what writes of ours that had no answer left as the bases of its fields."""
    if plan.unlink:
        return plan
    if plan.id in facts.histories:
        plan = plan.with_facts(history=facts.histories[plan.id])
    bases = create_bases(facts.board, plan.facts) if lacks_base(facts.board, plan.facts) else {}
    if plan.facts.history.void:
        bases |= late_bases(facts.board, plan.facts)
    return plan.with_state(base={**plan.ledger.base, **bases}) if bases else plan
