"""Mutations without an answer: whether they took effect after all, creates above all, so that nothing is made twice.

It decides this row of docs/reference/merge.md (“After a write”):

- An intent without an answer: R equal to the value sent is our own write: the base takes it, and an L that moved on is
  pushed (so also for a create found by NPD ID). It is remembered for a day, so that a late write is known as ours,
  unless an event names another user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import Q

from sync.choices import Cause, Priority, QueueDirection, QueueStatus
from sync.clock import SyncNow, sync_now
from sync.connectors.base.board_items import Item, WriteResult
from sync.connectors.base.conversion import UnknownValue
from sync.connectors.base.errors import AnswerWithoutData, ConnectorError, Scope
from sync.kernel.db import retry_on_lock_timeout
from sync.limits import breaker
from sync.merge import FieldSides, Side
from sync.models import FieldMapping, Intent, IntentState, SyncedModel, SyncQueue
from sync.outbox import finish
from sync.outbox.claim import claim_records
from sync.outbox.lease import Lease
from sync.outbox.pauses import active_pause
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile import gather
from sync.reconcile.act import IDEMPOTENCY_MINUTES, Executor
from sync.reconcile.batch import Batch
from sync.reconcile.board_filter import may_have_new_item
from sync.reconcile.facts import RecordFacts, change_events, is_create
from sync.reconcile.field_plan import AS_SENT, base_of, cell_of, new_base, sides_of
from sync.reconcile.field_values import BoardContext, npd_id_of, stored_values
from sync.reconcile.reads import items_with_npd_ids
from sync.records.tombstones import set_late_item

# What a mutation without an answer left on Monday after all: late writes, and what a create gave its item.


def late_writes(board: BoardContext, facts: RecordFacts) -> dict[str, dict[str, Any]]:
    """Return the fields whose value on Monday is a write of ours that was thought to have come to nothing: its entry.

    The newest event that tells this value may name another user than the token's: then it is an edit.
    """
    found, user = landed_writes(board, facts), facts.history.token_user
    if not found or not user:
        return {key: entry for key, (entry, _) in found.items()}
    # As they came: of several at one time the last one counts.
    events = sorted(facts.history.events, key=lambda received: received.pk)
    changes = change_events(board, facts.record, events)
    users: dict[tuple[str, Side], str] = {(event.key, event.value): event.user_id for event in changes}
    return {key: entry for key, (entry, value) in found.items() if users.get((key, value), "") in ("", user)}


def landed_writes(board: BoardContext, facts: RecordFacts) -> dict[str, tuple[dict[str, Any], Side]]:
    """Return what void intents seem to have written after all, with the value, before any event is asked."""
    found = {}
    for intent in facts.history.void:
        for mapping in board.mappings:
            entry = intent.values.get(mapping.key)
            if entry and (sides := _landed(board, facts, intent, mapping, entry)):
                found[mapping.key] = (entry, sides.remote)
    return found


def _landed(
    board: BoardContext, facts: RecordFacts, intent: Intent, mapping: FieldMapping, entry: dict[str, Any]
) -> FieldSides | None:
    """Both sides, where the cell says what this intent sent, and neither the base nor NPD does.

    A list that was united holds what somebody on Monday added, so it is merged as any other (act.py).
    """
    item, convert = facts.item, board.converter(mapping, facts.record)
    base = base_of(facts.ledger, mapping, item.id) if item is not None else None
    is_same = mapping.is_current(entry) and not entry.get("united")
    if item is None or base is None or intent.item_id != item.id or not is_same:
        return None
    cell, local_raw = cell_of(convert, mapping, item), stored_values(facts.record, mapping)
    sides = sides_of(convert, base, local=local_raw, remote=cell)
    sent = sides_of(convert, None, local=entry["local"], remote=cell)
    return sides if sent.equal and sides.remote_changed and sides.differ else None


def lacks_base(board: BoardContext, facts: RecordFacts) -> bool:
    """Whether a field of the record's item has no base, which a create without an answer may have left."""
    item = facts.item
    return item is not None and any(
        mapping.column_id and base_of(facts.ledger, mapping, item.id) is None for mapping in board.mappings
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
    bases = {m.key: _base_from_creates(board, facts, item, m, may_have_made) for m in board.mappings}
    return {key: base for key, base in bases.items() if base}


def _may_be_created_by(board: BoardContext, facts: RecordFacts, intent: Intent) -> bool:
    """Whether the item can be this create's: the one it was linked with, or one with its NPD ID that no other made."""
    if intent.item_id:
        return facts.item is not None and intent.item_id == facts.item.id
    # What our creates make bears its NPD ID from the beginning: it was not typed into it.
    maker, us = facts.history.maker, facts.history.token_user
    is_ours = not maker or not us or maker == us
    return wants_maker(board, facts) and not facts.history.is_npd_id_typed and is_ours


def _base_from_creates(
    board: BoardContext, facts: RecordFacts, item: Item, mapping: FieldMapping, creates: Sequence[Intent]
) -> dict[str, Any] | None:
    """The base that these creates leave: what the cell says and one of them sent, else what all of them sent."""
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
        return new_base(mapping, item.id, same, remote_raw)
    raw, value = sent[0]
    is_unanimous = raw is not None and all(other == value for _, other in sent)
    return new_base(mapping, item.id, raw, remote_raw) | {AS_SENT: True} if is_unanimous else None


# The old sequence, which still passes a batch from step to step.


def note_late_writes(batch: Batch) -> None:
    """Note on every record which values on Monday are writes of ours that were thought to have come to nothing."""
    with_void = [s for s in batch.open_records if s.history.void]
    landed = [facts for s in with_void if landed_writes(batch.board, facts := s.facts)]
    batch.add_history(gather.with_recent_events(batch.board, landed))
    for record_sync in with_void:
        record_sync.late_writes = late_writes(batch.board, record_sync.facts)


def note_create_bases(batch: Batch) -> None:
    """Note on every record what a create of ours without an answer gave its item, where a field has no base."""
    board = batch.board
    without_base = [record_sync for record_sync in batch.open_records if lacks_base(board, record_sync.facts)]
    batch.add_history(gather.with_ended_creates([record_sync.facts for record_sync in without_base]))
    batch.add_history(gather.with_changes([f for s in without_base if wants_maker(board, f := s.facts)]))
    batch.add_history(gather.with_makers(board, [f for s in without_base if wants_maker(board, f := s.facts)]))
    for record_sync in without_base:
        record_sync.create_bases = create_bases(board, record_sync.facts)


# Creates whose answer was lost: found by their NPD ID, or sent again under their own key, never
# made twice blindly.
#
# An idempotency key lets Monday replay its answer for 30 minutes (developer.monday.com/api-
# reference/docs/idempotency).
#
# Sending again is an attempt like any: it is made when the record's row is due, and where it fails
# for the record's own sake it counts. What failed so twice under one key is made anew under
# another, when its job is due the next time.


log = structlog.get_logger(__name__)

PAUSED_WAIT_SECONDS = 600
"""Seconds between two look-ups while writing is paused: each costs a call of the day, and a pause may last for days."""


def settle_unconfirmed_creates(lease: Lease) -> None:
    """Find out about every create without an answer whose deadline is over; raises LeaseLost, ConnectorError."""
    unconfirmed = Intent.objects.filter(
        entity_type=lease.link.entity_type, state=IntentState.OPEN, item_id="", deadline__lte=SyncNow()
    )
    keys = list(unconfirmed.order_by().values_list("idempotency_key", flat=True).distinct())
    if not keys:
        return
    board = BoardContext.load(lease.link)
    for key in keys:
        intents = list(Intent.objects.filter(idempotency_key=key, state=IntentState.OPEN, item_id="").order_by("pk"))
        if intents:
            _settle_document(lease, board, intents)


def _settle_document(lease: Lease, board: BoardContext, intents: Sequence[Intent]) -> None:
    found = _find_created(board, intents)
    if found is None:
        _defer_intents(lease, intents)
        return
    log.info("create without answer", board=lease.link.entity_type, records=len(intents), found=len(found))
    if found:
        _link_found(lease, board, intents, found)
        missing = [i for i in intents if str(i.entity_id) not in found]
        _look_again(lease, [intent for intent in missing if intent.lookups == 0])
        _void_creates(lease, [intent for intent in missing if intent.lookups > 0])
    elif active_pause(lease.link.entity_type, QueueDirection.TO_MONDAY):
        _defer_intents(lease, intents, PAUSED_WAIT_SECONDS)
    elif _may_resend(board, intents) and _are_jobs_due(intents):
        _resend(lease, board, intents)
    else:
        _void_creates(lease, intents)


def _find_created(board: BoardContext, intents: Sequence[Intent]) -> dict[str, Item] | None:
    """The items that bear the records' NPD IDs: record id → item; None where an NPD ID can't be read."""
    return items_with_npd_ids(board, [str(intent.entity_id) for intent in intents])


def _link_found(lease: Lease, board: BoardContext, intents: Sequence[Intent], found: dict[str, Item]) -> None:
    """Link what was made; the next pass takes what the intent sent as the base, for the intent stays open till then."""
    items, records = [item.id for item in found.values()], board.model._default_manager
    owners = dict(records.filter(monday_id__in=items).values_list("monday_id", "pk"))
    with lease.transaction():
        for intent in intents:
            item = found.get(str(intent.entity_id))
            if item is not None:
                link_created(board, intent, item, owners.get(item.id))
        # Its pass settles the rest, whatever its job waits for or has ended as.
        existing = sorted(records.filter(pk__in=list(found)).values_list("pk", flat=True))
        enqueue_many(board.link.entity_type, existing, cause=Cause.DEPENDENCY, priority=Priority.EDIT)


def link_created(board: BoardContext, intent: Intent, item: Item, owner: UUID | None) -> None:
    """Link one record, if its webhook has not done it; of a record that was deleted, the tombstone learns the item."""
    records = board.model._default_manager.filter(pk=intent.entity_id)
    linked = owner == intent.entity_id or (owner is None and records.filter(monday_id=None).update(monday_id=item.id))
    if linked:
        Intent.objects.filter(pk=intent.pk).update(item_id=item.id, deadline=SyncNow())
        return
    Intent.objects.filter(pk=intent.pk).update(state=IntentState.CONFIRMED, settled_at=SyncNow())
    if owner is None:
        set_late_item(intent.entity_type, intent.entity_id, item.id)


def _look_again(lease: Lease, intents: Sequence[Intent]) -> None:
    """Look for them once more after the time in which the call may land; then each is made anew, as its job says."""
    _update_intents(lease, intents, lookups=1, deadline=SyncNow() + timedelta(seconds=settings.MONDAY_SETTLE_SECONDS))


def _defer_intents(lease: Lease, intents: Sequence[Intent], seconds: float | None = None) -> None:
    """Nothing can be told yet: the records stay unclaimed, and are looked for again."""
    wait = settings.MONDAY_SETTLE_SECONDS if seconds is None else seconds
    _update_intents(lease, intents, deadline=SyncNow() + timedelta(seconds=wait))


def _void_creates(lease: Lease, intents: Sequence[Intent]) -> None:
    """Certainly not made: the next pass makes each anew, from what its record says then, under a key of its own."""
    _update_intents(lease, intents, state=IntentState.VOID, lookups=1, settled_at=SyncNow())


def _update_intents(lease: Lease, intents: Sequence[Intent], **values: Any) -> None:
    with lease.transaction():
        Intent.objects.filter(pk__in=[intent.pk for intent in intents]).update(**values)


def _may_resend(board: BoardContext, intents: Sequence[Intent]) -> bool:
    whole = Intent.objects.filter(idempotency_key=intents[0].idempotency_key).count()
    records = board.model._default_manager.in_bulk([intent.entity_id for intent in intents])
    return is_resendable(board, intents, records, whole, sync_now())


def is_resendable(
    board: BoardContext, intents: Sequence[Intent], records: Mapping[UUID, SyncedModel], whole: int, now: datetime
) -> bool:
    """Whether a document of so many creates may be sent again, of which these are without an answer.

    Only within the replay time, and only while every record of the document may still be created.
    """
    young = intents[0].created_at + timedelta(minutes=IDEMPOTENCY_MINUTES) > now
    creatable = all(
        (record := records.get(intent.entity_id)) is not None
        and record.may_sync
        and record.monday_id is None
        and record.sync_direction != "monday_to_npd"
        and may_have_new_item(board, record)
        for intent in intents
    )
    has_body = any(intent.body for intent in intents)
    return whole == len(intents) and young and creatable and has_body and intents[0].lookups == 0


def _are_jobs_due(intents: Sequence[Intent]) -> bool:
    """Whether each record has a row whose time has come, or that a worker which died has left."""
    ids = {intent.entity_id for intent in intents}
    due = Q(status=QueueStatus.PENDING, next_retry__lte=SyncNow()) | Q(status=QueueStatus.IN_PROGRESS)
    return ids <= set(SyncQueue.objects.filter(due, entity_id__in=ids).values_list("entity_id", flat=True))


@dataclass(frozen=True)
class ResentCreates:
    """What a create that was sent again has come to: items by NPD ID, and creates by what becomes of them.

    `void` were certainly not made; of the others, each with the reason, nothing is known yet.
    """

    made: Mapping[str, Item]
    void: Sequence[Intent]
    unknown: Sequence[tuple[Intent, str]]


def resent_creates(intents: Sequence[Intent], result: WriteResult) -> ResentCreates:
    """Return what the answer says; a replay says what became of the first sending, and nothing was carried out."""
    written = [(intent, result.by_alias[intent.alias]) for intent in intents]
    failed = [(intent, error) for intent, error in written if isinstance(error, ConnectorError)]
    return ResentCreates(
        {str(intent.entity_id): item for intent, item in written if isinstance(item, Item)},
        [intent for intent, error in failed if result.replayed or not error.outcome_unknown],
        [(intent, error.sentence) for intent, error in failed if not result.replayed and error.outcome_unknown],
    )


def _resend(lease: Lease, board: BoardContext, intents: Sequence[Intent]) -> None:
    try:
        result = Executor(lease, board).resend(intents, PAUSED_WAIT_SECONDS)
    except AnswerWithoutData as error:
        _defer_failed_resend(lease, intents, error.sentence, counts_attempt=len(intents) == 1)
        return
    except ConnectorError as error:
        _end_failed_resend(lease, board, intents, error)
        raise
    if result is None:
        return
    resent = resent_creates(intents, result)
    _link_found(lease, board, intents, dict(resent.made))
    _void_creates(lease, resent.void)
    for intent, sentence in resent.unknown:
        _defer_failed_resend(lease, [intent], sentence, counts_attempt=True)


def _end_failed_resend(lease: Lease, board: BoardContext, intents: Sequence[Intent], error: ConnectorError) -> None:
    """The document as a whole failed: refused, not taken because of account or board, or with no known outcome."""
    # A refused document says nothing of the first sending, but two look-ups have found nothing of it.
    if error.scope is Scope.DOCUMENT:
        _void_creates(lease, intents)
    elif not error.outcome_unknown:
        _defer_intents(lease, intents)
    elif error.scope is Scope.TRANSPORT:
        # This document fails and Monday doesn't: alone after a good probe, or while others are answered.
        answered = Intent.objects.filter(
            board_id=board.link.board_id, state=IntentState.APPLIED, settled_at__gt=intents[0].created_at
        )
        if (len(intents) == 1 and breaker.batch_size() == 1) or answered.exists():
            _defer_failed_resend(lease, intents, error.sentence, counts_attempt=len(intents) == 1)
        breaker.shrink_batches(min(len(intents), breaker.batch_size()))


def _defer_failed_resend(lease: Lease, intents: Sequence[Intent], detail: str, *, counts_attempt: bool) -> None:
    _look_again(lease, intents)
    claims = claim_records(lease, [intent.entity_id for intent in intents]) if counts_attempt else []

    def count_attempt() -> None:
        with lease.transaction():
            for claim in claims:
                if claim.rows:
                    finish.fail_unsettled(claim.rows, lease.token, detail)

    if claims:
        retry_on_lock_timeout(count_attempt)
