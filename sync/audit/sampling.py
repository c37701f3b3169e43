"""One sample: drawn, read in one call, checked again, published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import Max, Sum
from django.utils.dateparse import parse_datetime

from sync import account, budget, registry
from sync.audit.comparing import Difference, NotKnown, Sampled, differences
from sync.boards import link_of
from sync.budget import sending
from sync.budget.boards import learned
from sync.choices import Cause, Priority, QueueStatus, RecordSyncStatus
from sync.clock import SyncNow, sync_now
from sync.connectors.monday.documents import look
from sync.connectors.monday.errors import BudgetExhausted, MondayError
from sync.connectors.monday.items import Item, parse_look
from sync.engine.board import Board
from sync.enqueue import enqueue_many
from sync.models import BoardLink, Intent, IntentState, SyncAudit, SyncMetadata, SyncQueue, WebhookEvent
from sync.standstill import workable

log = structlog.get_logger(__name__)

SAMPLE = 100
DAY = timedelta(days=1)
TOO_FRESH = timedelta(minutes=15)
"""A webhook may take so long; what was touched since is in flight, and no drift yet."""
DETAILS_KEPT = 20


def audit_when_due() -> SyncAudit | None:
    """Take the next sample where the day's calls, spread evenly, have one to spend and no change needs it."""
    if not _due() or not account.is_configured() or budget.forecast().ends_at is not None:
        return None
    for link in _by_turn():
        if workable(link) and (result := audit(link)) is not None:
            return result
    return None


def _due() -> bool:
    calls = settings.AUDIT_CALLS_A_DAY
    if calls <= 0:
        return False
    spent = SyncAudit.objects.filter(at__gt=SyncNow() - DAY).aggregate(calls=Sum("calls"), last=Max("at"))
    rested = spent["last"] is None or sync_now() - spent["last"] >= DAY / calls
    return (spent["calls"] or 0) < calls and rested


def _by_turn() -> list[BoardLink]:
    """Return the boards, the one whose last sample is oldest first."""
    last: dict[str, datetime] = dict(SyncAudit.objects.values_list("entity_type").annotate(Max("at")))
    links = [link for spec in registry.entities() if (link := link_of(spec.entity_type))]
    return sorted(links, key=lambda link: (link.entity_type in last, last.get(link.entity_type)))


def audit(link: BoardLink) -> SyncAudit | None:
    """Sample one board with one call, and publish what was found; None where there is nothing to sample, or no room."""
    board = Board.of(link)
    drawn = _settled(board, _draw(board))
    if not drawn:
        return None
    try:
        items = _read(board, [str(sampled.record.monday_id) for sampled in drawn.values()])
    except BudgetExhausted:
        return None
    except MondayError as error:
        log.warning("sample not read", board=link.entity_type, reason=error.sentence)
        return SyncAudit.objects.create(
            entity_type=link.entity_type, sampled=0, calls=1, details=[{"words": error.sentence}]
        )
    return _publish(board, *_weigh(board, drawn, items))


def _draw(board: Board) -> list[UUID]:
    synced = board.model._default_manager.filter(sync_status=RecordSyncStatus.SYNCED).exclude(monday_id=None)
    size = min(SAMPLE, learned(board.link.pk).size)
    return list(synced.order_by("?").values_list("pk", flat=True)[:size])


def _settled(board: Board, ids: Iterable[UUID]) -> dict[UUID, Sampled]:
    """Return those of these records that say `synced` now, and of which nothing is on its way."""
    entity_type = board.link.entity_type
    found = (
        board.model._default_manager.select_related(*board.joined)
        if board.joined
        else board.model._default_manager
    )
    records = found.filter(pk__in=list(ids), sync_status=RecordSyncStatus.SYNCED).exclude(monday_id=None)
    by_id = {record.pk: record for record in records}
    busy = _busy(entity_type, by_id.values())
    ledgers = SyncMetadata.objects.filter(
        entity_type=entity_type, system="monday", entity_id__in=[str(key) for key in by_id if key not in busy]
    )
    return {
        key: Sampled(by_id[key], ledger) for ledger in ledgers if (key := UUID(ledger.entity_id)) in by_id
    }


def _busy(entity_type: str, records: Iterable[Any]) -> set[UUID]:
    """Records with a row, an intent or a delivery on its way."""
    by_item = {record.monday_id: record.pk for record in records}
    ids = list(by_item.values())
    rows = SyncQueue.objects.filter(
        entity_type=entity_type, entity_id__in=ids, status__in=(QueueStatus.PENDING, QueueStatus.IN_PROGRESS)
    )
    intents = Intent.objects.filter(entity_id__in=ids, state=IntentState.OPEN)
    events = WebhookEvent.objects.filter(item_id__in=list(by_item), weighed_at=None)
    touched = {by_item[item] for item in events.values_list("item_id", flat=True) if item in by_item}
    return touched | {
        key for found in (rows, intents) for key in found.values_list("entity_id", flat=True) if key
    }


def _read(board: Board, item_ids: Sequence[str]) -> dict[str, Item]:
    """Read the items in one call, with whether the board itself is still there; raises MondayError."""
    link = board.link
    document = look(link.board_id, item_ids, board.columns, link.npd_id_column, [], None, [], board.types)
    with sending(link, len(item_ids)):
        answer = account.client().execute(*document)
    return parse_look(answer, board.columns).linked


def _weigh(
    board: Board, drawn: dict[UUID, Sampled], items: dict[str, Item]
) -> tuple[int, dict[UUID, list[Difference]], list[UUID]]:
    """Return how many records could be compared, what differs, and of which nothing could be said."""
    later, now = _settled(board, drawn), sync_now()
    compared, differing, unread = 0, {}, []
    for key, sampled in drawn.items():
        item = items.get(str(sampled.record.monday_id))
        try:
            found = differences(board, sampled, item)
        except NotKnown:
            unread.append(key)
            continue
        moved = key not in later or not sampled.unchanged(board, later[key]) or _fresh(sampled, item, now)
        if found and moved:
            continue
        compared += 1
        if found:
            differing[key] = found
    return compared, differing, unread


def _fresh(sampled: Sampled, item: Item | None, now: datetime) -> bool:
    """Whether something touched either side so lately that it may still be on its way."""
    edited = parse_datetime(item.updated_at) if item and item.updated_at else None
    moments = (edited, sampled.ledger.last_sync_attempt)
    return any(moment is not None and now - moment < TOO_FRESH for moment in moments)


def _publish(
    board: Board, compared: int, differing: dict[UUID, list[Difference]], unread: list[UUID]
) -> SyncAudit:
    """Store the result, and have what differs or can't be read looked at."""
    entity_type = board.link.entity_type
    if differing or unread:
        enqueue_many(entity_type, [*differing, *unread], cause=Cause.SWEEP, priority=Priority.SWEEP)
    if differing:
        log.error("drift", board=entity_type, sampled=compared, drifted=len(differing))
    names = board.model._default_manager.in_bulk(list(differing)[:DETAILS_KEPT])
    details = [
        {
            "record": str(key),
            "name": str(names.get(key, "")),
            "fields": [found.to_json() for found in differing[key]],
        }
        for key in names
    ]
    return SyncAudit.objects.create(
        entity_type=entity_type, sampled=compared, drifted=len(differing), calls=1, details=details
    )
