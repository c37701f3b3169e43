"""What NPD knows of the records that were claimed: what is open about them, and what happened to them before.

In a fixed number of queries, and some more where an event or a write asks.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

from django.db import models

from conflicts.reports import KIND_IDENTITY
from conflicts.store import open_conflicts
from sync import choices
from sync.clock import SyncNow, sync_now
from sync.kernel import grouped
from sync.models import Intent, IntentState, SyncedModel, SyncMetadata, SyncQueue, Tombstone, WebhookEvent, WriteLoop
from sync.monday.board import EventKind
from sync.monday.board_events import EVENT_TYPES
from sync.outbox.claim import Claim
from sync.reconcile import field_values, identity, lookups, pass_plan, sides, unconfirmed_writes
from sync.reconcile.facts import (
    EVENT_WINDOW,
    LOOP_WINDOW,
    STALE_READ_WINDOW,
    AnswerFacts,
    ChangeEvent,
    Pair,
    RecordFacts,
    RecordHistory,
    change_events,
    new_ledger,
)
from sync.reconcile.field_plan import base_of
from sync.reconcile.gather.owners import answer_facts, deleted_facts
from sync.records import authors
from sync.records.tombstones import rebuild_records

# The newest events of a pass that count; a field that is rewritten more often is a loop, and shown as one.
MAX_EVENTS = 2_000

_EFFECTIVE_STATES = (IntentState.APPLIED, IntentState.CONFIRMED)


def claimed(
    board: field_values.BoardContext,
    claims: Sequence[Claim],
    planned: Mapping[UUID, SyncedModel] = MappingProxyType({}),
) -> pass_plan.PassFacts:
    """Read what NPD knows of what was claimed, in a fixed number of queries.

    `planned` are what an earlier pass of a dry run would have made of records, which stand in for what is stored.
    """
    now = sync_now()
    model = board.model
    items = [claim.remote_id for claim in claims if claim.entity_id is None]
    linked_items = dict(model._default_manager.filter(monday_id__any_of=items).values_list("monday_id", "pk"))
    item_claims: list[Claim] = []
    rows: dict[UUID, list[SyncQueue]] = {}
    for claim in claims:
        owner = claim.entity_id or linked_items.get(claim.remote_id)
        if owner is None:
            item_claims.append(claim)
        else:
            rows.setdefault(owner, []).extend(claim.rows)
    relations = board.joined_relations
    # Without a name select_related would follow every relation.
    manager = model._default_manager.select_related(*relations) if relations else model._default_manager.all()
    stored = {record.id: record for record in manager.filter(pk__any_of=list(rows))} | dict(planned)
    merged = {entity_id: Claim(entity_id, None, jobs) for entity_id, jobs in rows.items()}
    missing = [key for key in merged if key not in stored]
    remembered = Tombstone.objects.filter(entity_type=board.link.entity_type, entity_id__in=missing) if missing else ()
    tombstones = {tombstone.entity_id: tombstone for tombstone in remembered}
    all_records = stored | (rebuild_records(model, list(tombstones.values())) if tombstones else {})
    claimed_records = {key: claim for key, claim in merged.items() if key in all_records}
    of_all = facts_of_records(board, now, claimed_records, all_records, tombstones)
    records = tuple(record for record in of_all if record.id in stored)
    answers = [answer for record in records for answer in identity.answers_of(record)]
    return pass_plan.PassFacts(
        board,
        now,
        records=records,
        deleted=deleted_facts(board, of_all, tombstones) if tombstones else (),
        unknown=tuple(merged[key] for key in missing if key not in tombstones),
        item_claims=tuple(item_claims),
        linked_items=tuple(map(str, linked_items)),
        answers=answer_facts(board, answers) if answers else AnswerFacts(),
    )


def facts_of_records(
    board: field_values.BoardContext,
    now: datetime,
    claims: Mapping[UUID, Claim],
    records: Mapping[UUID, SyncedModel],
    tombstones: Mapping[UUID, Tombstone] = MappingProxyType({}),
) -> list[RecordFacts]:
    """Return what is open about these records, deleted ones among them, and what happened before.

    A fixed number of queries, and one more where an event or a write asks.
    """
    entity_type = board.link.entity_type
    ledgers = {ledger.entity_id: ledger for ledger in SyncMetadata.objects.of(entity_type, claims)}
    for key in claims:
        # A dry run's, of an item that would become a record.
        is_planned = records[key]._state.adding and key not in tombstones
        if is_planned or str(key) not in ledgers:
            ledgers[str(key)] = new_ledger(entity_type, key)
            ledgers[str(key)].made_from_item = is_planned
    conflicts = open_conflicts(entity_type, claims)
    failed = SyncQueue.objects.filter(
        entity_type=entity_type, entity_id__any_of=list(claims), status=choices.QueueStatus.FAILED
    )
    with_failed_job = set(failed.values_list("entity_id", flat=True))
    questions = [conflict for of_record in conflicts.values() for conflict in of_record]
    asked_items = {conflict.monday_item_id for conflict in questions if conflict.kind == KIND_IDENTITY}
    owned: frozenset[str] = frozenset()
    if asked_items:
        linked = board.model._default_manager.filter(monday_id__in=asked_items)
        owned = frozenset(map(str, linked.values_list("monday_id", flat=True)))
    items = {key: (tombstones.get(key) or records[key]).monday_id or "" for key in claims}
    # Events that no pass has checked, as they came.
    new = WebhookEvent.objects.filter(
        processed_at=None, item_id__any_of=list(filter(None, items.values())), board_id=board.link.board_id
    )
    events = lookups.events_by_item(new.order_by("id"))
    # All intents count where something new was told, or where a create without an answer may have left the base.
    whole = [
        key
        for key, item_id in items.items()
        if item_id in events
        or not item_id
        or any(base_of(ledgers[str(key)], mapping, item_id) is None for mapping in board.mapped)
    ]
    intents = _intents_of(claims, whole)
    write_loops = WriteLoop.objects.filter(entity_type=entity_type, entity_id__any_of=list(claims))
    loops = grouped(write_loops, lambda loop: loop.entity_id)
    histories = {key: _history(board, of_record, now) for key, of_record in intents.items()}
    with_news = {items[key] for key, history in histories.items() if history.void} | events.keys()
    of_late = WebhookEvent.objects.filter(
        item_id__in=with_news, board_id=board.link.board_id, received_at__gt=SyncNow() - EVENT_WINDOW
    )
    recent = lookups.events_by_item(of_late.order_by("-received_at")[:MAX_EVENTS])
    facts = []
    for key, claim in claims.items():
        item_id = items[key]
        new_events = tuple(events.get(item_id, ()))
        history = histories.get(key, NO_HISTORY)
        if key in loops:
            history = replace(history, loops={loop.key: loop for loop in loops[key]})
        if item_id in with_news:
            # An event that no pass has checked counts however old it is.
            of_item = {event.pk: event for event in (*recent.get(item_id, ()), *new_events)}
            history = replace(history, events=tuple(of_item.values()), token_user=board.settings.token_user)
        facts.append(
            RecordFacts(
                claim,
                records[key],
                ledgers[str(key)],
                intents=tuple(intent for intent in intents.get(key, ()) if intent.state == IntentState.OPEN),
                conflicts=tuple(conflicts.get(key, ())),
                events=new_events,
                has_failed_job=key in with_failed_job,
                owned_items=owned,
                history=history,
            )
        )
    return facts


NO_HISTORY = RecordHistory()


def _intents_of(ids: Collection[UUID], whole: Collection[UUID]) -> dict[UUID, tuple[Intent, ...]]:
    """Read our intents for these records, the oldest first: open ones and those of late; of the `whole`, all."""
    recent = models.Q(state=IntentState.OPEN) | models.Q(created_at__gt=SyncNow() - LOOP_WINDOW)
    recent |= models.Q(settled_at__gt=SyncNow() - STALE_READ_WINDOW)
    recent |= models.Q(state=IntentState.VOID, settled_at__gt=SyncNow() - EVENT_WINDOW)
    rows = Intent.objects.filter(recent | models.Q(entity_id__any_of=list(whole)), entity_id__any_of=list(ids))
    return by_record(rows.defer("body").order_by("created_at"))


def _history(board: field_values.BoardContext, intents: Sequence[Intent], now: datetime) -> RecordHistory:
    """Return what a record's intents say of what happened before."""
    applied = list[Intent]()
    void = list[Intent]()
    ended = list[Intent]()
    last_writes = dict[str, Intent]()
    oldest_write = now - timedelta(days=board.settings.journal_days)
    for intent in intents:
        is_recent = intent.created_at > now - EVENT_WINDOW
        if intent.state in _EFFECTIVE_STATES and intent.created_at > now - LOOP_WINDOW:
            last_writes |= dict.fromkeys(intent.values, intent)
        if not intent.item_id:
            is_lost = intent.state == IntentState.VOID and intent.lookups > 0
            is_ended = is_lost or intent.state == IntentState.CONFIRMED
            ended += [intent] if is_recent and is_ended else []
        elif intent.state == IntentState.APPLIED and intent.settled_at and intent.settled_at > now - STALE_READ_WINDOW:
            applied.append(intent)
        # Its outcome was unknown, and a pass found it void; an intent known to have failed ended before its deadline.
        elif intent.state == IntentState.VOID and intent.settled_at and intent.settled_at >= intent.deadline:
            void += [intent] if intent.settled_at > now - EVENT_WINDOW else []
    return RecordHistory(
        writes=tuple(i for i in intents if i.state != IntentState.REJECTED and i.created_at > oldest_write),
        applied=tuple(applied),
        void=tuple(void),
        ended_creates=tuple(ended),
        changes=tuple(intent for intent in intents if intent.item_id),
        last_writes=last_writes,
        token_user=board.settings.token_user,
    )


def longer_histories(board: field_values.BoardContext, pairs: Sequence[Pair]) -> dict[UUID, RecordHistory]:
    """Read when fields were edited that both sides may have changed under the rule “newest”, and who made items."""
    histories = {record.id: record.history for record, _ in pairs}
    edited = {record.id: record.record for record, item in pairs if sides.needs_edit_times(board, record, item)}
    without_base = [(record, item) for record, item in pairs if unconfirmed_writes.lacks_base(board, record)]
    made = {record.id: item.id for record, item in without_base if unconfirmed_writes.wants_maker(board, record)}
    npd_edits = authors.latest_edits(board.model, edited) if edited else {}
    monday_edits = _monday_edits(board, edited) if edited else {}
    makers = _makers_of(board, made) if made else {}
    for key in edited:
        histories[key] = replace(histories[key], npd_edits=npd_edits.get(key, ()), monday_edits=monday_edits[key])
    for key, (maker, is_typed) in makers.items():
        histories[key] = replace(histories[key], maker=maker, is_npd_id_typed=is_typed)
    return {key: histories[key] for key in edited.keys() | makers.keys()}


def _makers_of(board: field_values.BoardContext, items: Mapping[UUID, str]) -> dict[UUID, tuple[str, bool]]:
    """Read, as far as events tell, who made these records' items, and whether somebody typed the NPD ID."""
    here = (board.link.board_id, board.link.npd_id_column)
    sets_npd_id = models.Q(board_id=here[0], column_id=here[1])
    is_of_maker = sets_npd_id | models.Q(type__in=EVENT_TYPES[EventKind.CREATED])
    events = lookups.events_by_item(WebhookEvent.objects.filter(is_of_maker, item_id__in=items.values()).order_by("id"))
    makers = {}
    for key, item_id in items.items():
        of_item = events.get(item_id, [])
        makers[key] = (maker_of(of_item), any((event.board_id, event.column_id) == here for event in of_item))
    return makers


def maker_of(events: Iterable[WebhookEvent]) -> str:
    """Return who made the item that these events are about, the oldest first; an empty text where that wasn't told."""
    return next((event.user_id for event in events if event.type in EVENT_TYPES[EventKind.CREATED]), "")


def by_record(intents: Iterable[Intent]) -> dict[UUID, tuple[Intent, ...]]:
    by_record = grouped(intents, lambda intent: intent.entity_id)
    return {key: tuple(of_record) for key, of_record in by_record.items()}


def _monday_edits(
    board: field_values.BoardContext, records: Mapping[UUID, SyncedModel]
) -> dict[UUID, list[ChangeEvent]]:
    """Read when the fields of these records' items were edited, as far as events told of late."""
    items = [record.monday_id for record in records.values() if record.monday_id]
    events = WebhookEvent.objects.filter(
        item_id__in=items,
        board_id=board.link.board_id,
        received_at__gt=SyncNow() - timedelta(days=board.settings.journal_days),
    )
    by_item = lookups.events_by_item(events) if items else {}
    return {pk: change_events(board, record, by_item.get(record.monday_id or "", ())) for pk, record in records.items()}
