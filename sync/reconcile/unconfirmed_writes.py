"""Creates whose answer was lost: found by their NPD ID, or sent again under their own key, never made twice blindly.

An idempotency key lets Monday replay its answer for 30 minutes (developer.monday.com/api-reference/docs/idempotency).

Sending again is an attempt like any: it is made when the record's row is due, and where it fails for the record's own
sake it counts. What failed so twice under one key is made anew under another, when its job is due the next time.
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
from sync.connectors.base.errors import AnswerWithoutData, ConnectorError, Scope
from sync.kernel.db import retry_on_lock_timeout
from sync.limits import breaker
from sync.models import Intent, IntentState, SyncedModel, SyncQueue
from sync.outbox import finish
from sync.outbox.claim import claim_records
from sync.outbox.lease import Lease
from sync.outbox.pauses import active_pause
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.act import IDEMPOTENCY_MINUTES, Executor
from sync.reconcile.board_filter import may_have_new_item
from sync.reconcile.field_values import BoardContext
from sync.reconcile.gather import items_with_npd_ids
from sync.reconcile.lookups import load_board
from sync.records.tombstones import set_late_item

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
    board = load_board(lease.link)
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
