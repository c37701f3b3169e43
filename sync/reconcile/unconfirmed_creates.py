"""What becomes of creates whose answer was lost: rules over what is so, of one document at a time.

merge.md, "An intent without an answer", for new items. Found by their NPD ID they are linked. A document of which
nothing is found goes again as it is under its own key, for which Monday replays its answer; of one that was made in
part, or can't go again, what is still missing is made anew by the records' passes, each under a key of its own.

Sending again is an attempt like any: it is made when the records' jobs are due, and where it fails for a record's own
sake it counts. What failed so twice under one key is made anew under another, when its job is due the next time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sync.choices import SyncDirection
from sync.connectors.base.board_items import Item, WriteResult
from sync.connectors.base.errors import AnswerWithoutData, ConnectorError, Scope
from sync.models import Intent, SyncedModel
from sync.reconcile.board_filter import may_have_new_item
from sync.reconcile.field_values import BoardContext
from sync.reconcile.writes import is_refused

IDEMPOTENCY_MINUTES = 30
"""How long Monday replays an answer (developer.monday.com/api-reference/docs/idempotency)."""

PAUSED_WAIT_SECONDS = 600
"""Seconds between two look-ups while writing is paused: each costs a call of the day, and a pause may last for days."""

FAULT_WAIT_SECONDS = 300
"""Seconds until a document that NPD Sync itself failed on is taken up again, longer than a call may take to land."""


@dataclass(frozen=True)
class UnconfirmedCreates:
    """The creates of one document that are without an answer after their deadline.

    `items` are those that bear the records' NPD IDs, by these; None where an NPD ID can't be read. `sent` is of how
    many creates the document was, `records` which of the records are there, `due` whose jobs' time has come, or were
    left by a worker that died. `others_answered`: Monday has answered other writes to the board since. `batch_size` is
    how many records a document may have after failures of the account.
    """

    board: BoardContext
    intents: Sequence[Intent]
    items: Mapping[str, Item] | None
    sent: int
    records: Mapping[UUID, SyncedModel]
    due: frozenset[UUID]
    is_paused: bool
    others_answered: bool
    batch_size: int
    settle_seconds: float
    now: datetime


class Fate(StrEnum):
    """What becomes of a create without an answer."""

    LINK = "link"
    """Its item is the record's. The intent stays open: the record's next pass takes what was sent as the base."""

    WAIT = "wait"
    """Nothing can be told yet. The record stays unclaimed, and its item is looked for again."""

    LOOK_AGAIN = "look again"
    """Looked for in vain: once more after the time in which the call may land, then it is made anew."""

    FAIL = "fail"
    """The same, and it counts as an attempt of the record's."""

    RESEND = "resend"
    """With its whole document, under its own key."""

    VOID = "void"
    """Certainly not made: the next pass makes it anew, from what its record says then, under a key of its own."""


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
    found = facts.items
    if found is None:
        return _all(facts, Fate.WAIT, facts.settle_seconds)
    if found:
        return [_after_look(facts, intent, found.get(str(intent.entity_id))) for intent in facts.intents]
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
        return CreatePlan(intent, Fate.LOOK_AGAIN, wait_seconds=facts.settle_seconds)
    return CreatePlan(intent, Fate.VOID)


def is_resendable(facts: UnconfirmedCreates) -> bool:
    """Whether the document may be sent again: within the time of its replay, and only as it was.

    All of it is without an answer, and every record in it may still be created.
    """
    first = facts.intents[0]
    is_young = first.created_at + timedelta(minutes=IDEMPOTENCY_MINUTES) > facts.now
    has_body = any(intent.body for intent in facts.intents)
    is_whole = facts.sent == len(facts.intents) and first.lookups == 0
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


def after_resending(facts: UnconfirmedCreates, answer: WriteResult | ConnectorError | None) -> list[CreatePlan]:
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
        # This document fails and Monday doesn't: alone after a good probe, or while others are answered.
        is_its_own = isinstance(answer, AnswerWithoutData) or facts.others_answered
        if is_its_own or (is_alone and facts.batch_size == 1):
            fate = Fate.FAIL if is_alone else Fate.LOOK_AGAIN
            return _all(facts, fate, facts.settle_seconds, answer.sentence)
    return _all(facts, Fate.WAIT, facts.settle_seconds)


def _after_answer(facts: UnconfirmedCreates, intent: Intent, answer: WriteResult) -> CreatePlan:
    """A replay says what became of the first sending, and nothing was carried out."""
    said = answer.by_alias[intent.alias]
    if not isinstance(said, ConnectorError):
        return CreatePlan(intent, Fate.LINK, said)
    if said.outcome_unknown and not answer.replayed:
        return CreatePlan(intent, Fate.FAIL, wait_seconds=facts.settle_seconds, detail=said.sentence)
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
