"""Creates whose answer was lost: found by their NPD ID, or sent again under their own key, never made twice blindly.

An idempotency key lets Monday replay its answer for 30 minutes
(developer.monday.com/api-reference/docs/idempotency).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from django.conf import settings

from sync import account
from sync.budget import sending
from sync.choices import QueueDirection
from sync.clock import SyncNow, sync_now
from sync.connectors.monday.errors import MondayError, Scope
from sync.connectors.monday.items import Item, parse_written
from sync.engine.intents import IDEMPOTENCY_MINUTES
from sync.engine.reading import items_bearing
from sync.engine.subjects import Board
from sync.graveyard import learned_item
from sync.lease import Lease
from sync.models import Intent, IntentState
from sync.pausing import is_paused, paused_for_writers

log = structlog.get_logger(__name__)

PAUSED_WAIT = 600
"""Seconds between two look-ups while writing is paused: each costs a call of the day, and a pause may last for days."""


def settle_lost_creates(lease: Lease) -> None:
    """Find out about every create without an answer whose deadline is over; raises LeaseLost, MondayError."""
    board = Board.of(lease.link)
    for key in _documents(lease):
        intents = list(
            Intent.objects.filter(idempotency_key=key, state=IntentState.OPEN, item_id="").order_by("pk")
        )
        if intents:
            _settle_document(lease, board, intents)


def _documents(lease: Lease) -> list[str]:
    # The rows of a backfill are its own business (sync/backfill).
    lost = Intent.objects.filter(
        entity_type=lease.link.entity_type,
        state=IntentState.OPEN,
        item_id="",
        deadline__lte=SyncNow(),
        backfill=None,
    )
    return list(lost.order_by().values_list("idempotency_key", flat=True).distinct())


def _settle_document(lease: Lease, board: Board, intents: Sequence[Intent]) -> None:
    found = _look_up(board, intents)
    if found is None:
        _look_later(lease, intents)
        return
    log.info("create without answer", board=lease.link.entity_type, records=len(intents), found=len(found))
    if found:
        _link(lease, board, intents, found)
        _wait_once_more(lease, [i for i in intents if str(i.entity_id) not in found])
    elif is_paused(lease.link.entity_type, QueueDirection.TO_MONDAY):
        _look_later(lease, intents, PAUSED_WAIT)
    elif _may_be_sent_again(board, intents):
        _send_again(lease, board, intents)
    else:
        _give_up(lease, intents)


def _look_up(board: Board, intents: Sequence[Intent]) -> dict[str, Item] | None:
    """The items that bear the records' NPD IDs: record id → item; None where an NPD ID can't be read."""
    return items_bearing(board, [str(intent.entity_id) for intent in intents])


def _link(lease: Lease, board: Board, intents: Sequence[Intent], found: dict[str, Item]) -> None:
    """Link what was made; the next look takes what the intent sent as the base, for the intent stays open till then."""
    items = [item.id for item in found.values()]
    owners = dict(board.model._default_manager.filter(monday_id__in=items).values_list("monday_id", "pk"))
    with lease.held():
        for intent in intents:
            item = found.get(str(intent.entity_id))
            if item is not None:
                link_one(board, intent, item, owners.get(item.id))


def link_one(board: Board, intent: Intent, item: Item, owner: UUID | None) -> None:
    """Link one record, if its webhook has not done it; of a record that is gone, the tombstone learns the item."""
    records = board.model._default_manager.filter(pk=intent.entity_id)
    linked = owner == intent.entity_id or (
        owner is None and records.filter(monday_id=None).update(monday_id=item.id)
    )
    if linked:
        Intent.objects.filter(pk=intent.pk).update(item_id=item.id, deadline=SyncNow())
        return
    Intent.objects.filter(pk=intent.pk).update(state=IntentState.LANDED, settled_at=SyncNow())
    if owner is None:
        learned_item(intent.entity_type, intent.entity_id, item.id)


def _wait_once_more(lease: Lease, missing: Sequence[Intent]) -> None:
    """Some of a document's items are there: the rest is looked for once more, then made anew one by one."""
    late = [intent.pk for intent in missing if intent.looks == 0]
    with lease.held():
        Intent.objects.filter(pk__in=late).update(
            looks=1, deadline=SyncNow() + timedelta(seconds=settings.MONDAY_SETTLE_SECONDS)
        )
    _give_up(lease, [intent for intent in missing if intent.looks > 0])


def _look_later(lease: Lease, intents: Sequence[Intent], seconds: float | None = None) -> None:
    """Nothing can be told yet: the records stay unclaimed, and are looked for again."""
    wait = settings.MONDAY_SETTLE_SECONDS if seconds is None else seconds
    with lease.held():
        Intent.objects.filter(pk__in=[intent.pk for intent in intents]).update(
            deadline=SyncNow() + timedelta(seconds=wait)
        )


def _give_up(lease: Lease, intents: Sequence[Intent]) -> None:
    """Certainly not made: the next look makes each anew, from what its record says then, under a key of its own."""
    with lease.held():
        Intent.objects.filter(pk__in=[intent.pk for intent in intents]).update(
            state=IntentState.VOID, looks=1, settled_at=SyncNow()
        )


def _may_be_sent_again(board: Board, intents: Sequence[Intent]) -> bool:
    """Only within the replay time, and only while every record of the document may still be created."""
    whole = Intent.objects.filter(idempotency_key=intents[0].idempotency_key).count() == len(intents)
    young = intents[0].created_at + timedelta(minutes=IDEMPOTENCY_MINUTES) > sync_now()
    records = board.model._default_manager.in_bulk([intent.entity_id for intent in intents])
    creatable = all(
        (record := records.get(intent.entity_id)) is not None
        and record.may_sync
        and record.monday_id is None
        and record.sync_direction != "monday_to_npd"
        for intent in intents
    )
    return whole and young and creatable and any(intent.body for intent in intents) and intents[0].looks == 0


def _send_again(lease: Lease, board: Board, intents: Sequence[Intent]) -> None:
    body = next(intent.body for intent in intents if intent.body)
    hard = settings.MONDAY_TIMEOUT_SECONDS + settings.MONDAY_SETTLE_SECONDS
    lease.renew(hard + settings.MONDAY_TIMEOUT_SECONDS)
    with lease.held():
        stopped = QueueDirection.TO_MONDAY in paused_for_writers(lease.link.entity_type)
        wait = PAUSED_WAIT if stopped else hard
        Intent.objects.filter(pk__in=[i.pk for i in intents]).update(
            deadline=SyncNow() + timedelta(seconds=wait)
        )
    if stopped:
        return
    try:
        with sending(board.link, len(intents), writes=True):
            answer = account.client().execute(
                body["text"], body["variables"], idempotency_key=intents[0].idempotency_key
            )
    except MondayError as error:
        # A refused document says nothing of the first sending, but two look-ups have found nothing of it.
        if error.scope is Scope.DOCUMENT:
            _give_up(lease, intents)
        elif not error.outcome_unknown:
            _look_later(lease, intents)
        raise
    aliases = {intent.alias: intent for intent in intents}
    written = parse_written(answer, list(aliases), board.columns)
    made = {str(aliases[a].entity_id): item for a, item in written.items() if isinstance(item, Item)}
    _link(lease, board, intents, made)
    failed = {alias: result for alias, result in written.items() if isinstance(result, MondayError)}
    _give_up(lease, [aliases[alias] for alias, error in failed.items() if not error.outcome_unknown])
    _look_later(lease, [aliases[alias] for alias, error in failed.items() if error.outcome_unknown])
