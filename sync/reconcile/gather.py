"""Gather: the queries and the calls by which a pass learns what is so. It decides nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q

from sync import connectors
from sync.clock import SyncNow
from sync.connectors.base.board import EventKind
from sync.models import Intent, IntentState, MondayAccount, WebhookEvent, WriteLoop
from sync.reconcile.facts import EVENT_WINDOW, LOOP_WINDOW, STALE_READ_WINDOW, ReceivedEvent, RecordFacts, RecordHistory
from sync.reconcile.field_values import BoardContext

# Records.

# Their history: recent events, writes of ours, loops.


MAX_EVENTS = 2_000
"""So many of a pass's newest events count; a field that is rewritten more often is a loop, and shown as one."""

_EFFECTIVE_STATES = (IntentState.APPLIED, IntentState.CONFIRMED)


def new_events(board_id: str, items: Collection[str]) -> dict[str, list[ReceivedEvent]]:
    """Read the events of these items that no pass has checked, by item, as they came."""
    found: dict[str, list[ReceivedEvent]] = {}
    rows = WebhookEvent.objects.filter(processed_at=None, item_id__in=items, board_id=board_id)
    for row in rows.order_by("id"):
        found.setdefault(row.item_id or "", []).append(ReceivedEvent.of(row))
    return found


def with_recent_events(board: BoardContext, wanted: Sequence[RecordFacts]) -> dict[UUID, RecordHistory]:
    """Read the items' events of the last day, and as whom we write."""
    if not wanted:
        return {}
    rows = WebhookEvent.objects.filter(
        item_id__in=[facts.record.monday_id for facts in wanted],
        board_id=board.link.board_id,
        received_at__gt=SyncNow() - EVENT_WINDOW,
    )
    found: dict[str | None, list[ReceivedEvent]] = {}
    for row in rows.order_by("-received_at")[:MAX_EVENTS]:
        found.setdefault(row.item_id, []).append(ReceivedEvent.of(row))
    user = _token_user()
    return {
        facts.id: replace(facts.history, events=tuple(found.get(facts.record.monday_id, ())), token_user=user)
        for facts in wanted
    }


def with_events_and_writes(board: BoardContext, wanted: Sequence[RecordFacts]) -> dict[UUID, RecordHistory]:
    """Read these, and our intents of the last days that may have taken effect; one that Monday refused has not.

    An event that no pass has checked counts however old it is.
    """
    histories = with_recent_events(board, wanted)
    rows = Intent.objects.filter(
        entity_id__in=histories, created_at__gt=SyncNow() - timedelta(days=settings.JOURNAL_DAYS)
    ).exclude(state=IntentState.REJECTED)
    writes = _by_record(rows.order_by("created_at"))
    found = {}
    for facts in wanted:
        history = histories[facts.id]
        events = {event.pk: event for event in (*history.events, *facts.events)}
        found[facts.id] = replace(history, events=tuple(events.values()), writes=tuple(writes.get(facts.id, ())))
    return found


def with_settled_writes(wanted: Sequence[RecordFacts]) -> dict[UUID, RecordHistory]:
    """Read what we wrote in the last minutes, and what was found void within the last day, of records with any."""
    histories = {facts.id: facts.history for facts in wanted}
    is_applied = Q(state=IntentState.APPLIED, settled_at__gt=SyncNow() - STALE_READ_WINDOW)
    # Of unknown outcome, and found void by a pass; one known not to be carried out ended before its deadline.
    is_void = Q(state=IntentState.VOID, settled_at__gt=SyncNow() - EVENT_WINDOW, settled_at__gte=F("deadline"))
    rows = Intent.objects.filter(is_applied | is_void, entity_id__in=histories).exclude(item_id="")
    found = {}
    for key, intents in _by_record(rows.order_by("created_at")).items():
        applied = tuple(intent for intent in intents if intent.state == IntentState.APPLIED)
        void = tuple(intent for intent in intents if intent.state == IntentState.VOID)
        found[key] = replace(histories[key], applied=applied, void=void)
    return found


def with_ended_creates(wanted: Sequence[RecordFacts]) -> dict[UUID, RecordHistory]:
    """Read which intents without an item were given up, or found to have made one, of records with any."""
    histories = {facts.id: facts.history for facts in wanted}
    rows = Intent.objects.filter(
        Q(state=IntentState.VOID, lookups__gt=0) | Q(state=IntentState.CONFIRMED),
        entity_id__in=histories,
        item_id="",
        created_at__gt=SyncNow() - EVENT_WINDOW,
    )
    ended = _by_record(rows.order_by("created_at"))
    return {key: replace(histories[key], ended_creates=tuple(intents)) for key, intents in ended.items()}


def with_changes(wanted: Sequence[RecordFacts]) -> dict[UUID, RecordHistory]:
    """Read all our intents about an item of these records."""
    histories = {facts.id: facts.history for facts in wanted}
    changes = _by_record(Intent.objects.filter(entity_id__in=histories).exclude(item_id=""))
    return {key: replace(histories[key], changes=tuple(intents)) for key, intents in changes.items()}


def with_makers(board: BoardContext, wanted: Sequence[RecordFacts]) -> dict[UUID, RecordHistory]:
    """Read, as far as events tell, who made these records' items, whether NPD IDs were typed, and as whom we write."""
    items = {facts.id: facts.item.id for facts in wanted if facts.item}
    if not items:
        return {}
    creation_types = connectors.get().event_types[EventKind.CREATED]
    npd_id_told = Q(board_id=board.link.board_id, column_id=board.link.npd_id_column)
    rows = WebhookEvent.objects.filter(npd_id_told | Q(type__in=creation_types), item_id__in=set(items.values()))
    makers: dict[str | None, str] = {}
    typed = set()
    for row in rows.order_by("id"):
        if row.type in creation_types:
            makers.setdefault(row.item_id, row.user_id)
        if (row.board_id, row.column_id) == (board.link.board_id, board.link.npd_id_column):
            typed.add(row.item_id)
    user = _token_user() if any(maker and item_id not in typed for item_id, maker in makers.items()) else ""
    return {
        facts.id: replace(
            facts.history,
            maker=makers.get(items[facts.id], ""),
            is_npd_id_typed=items[facts.id] in typed,
            token_user=user,
        )
        for facts in wanted
        if facts.id in items
    }


def write_loops(entity_type: str, ids: Collection[UUID]) -> dict[UUID, dict[str, WriteLoop]]:
    """Read the write loops of these records, by field."""
    found: dict[UUID, dict[str, WriteLoop]] = {}
    for row in WriteLoop.objects.filter(entity_type=entity_type, entity_id__in=ids):
        found.setdefault(row.entity_id, {})[row.key] = row
    return found


def last_writes(ids: Collection[UUID]) -> dict[UUID, dict[str, Intent]]:
    """Read our last write of each field of these records within the hour."""
    rows = Intent.objects.filter(
        entity_id__in=ids, state__in=_EFFECTIVE_STATES, created_at__gt=SyncNow() - LOOP_WINDOW
    ).order_by("created_at")
    return {key: {name: row for row in found for name in row.values} for key, found in _by_record(rows).items()}


def _token_user() -> str:
    return MondayAccount.objects.filter(id=1).values_list("user_id", flat=True).first() or ""


def _by_record(intents: Iterable[Intent]) -> Mapping[UUID, Sequence[Intent]]:
    found: dict[UUID, list[Intent]] = {}
    for intent in intents:
        found.setdefault(intent.entity_id, []).append(intent)
    return found


# Relations and edit times.

# Identity: who could be whose.

# Removed items and deleted records.

# Items without a record.
