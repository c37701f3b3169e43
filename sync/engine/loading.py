"""What NPD knows of the claimed records, read in a handful of queries whatever their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sync.choices import Operation, QueueStatus, TombstoneState
from sync.claims import Claimed
from sync.clock import SyncNow
from sync.engine.subjects import Batch, Subject
from sync.hooks import KIND_IDENTITY, desk
from sync.models import Intent, IntentState, SyncMetadata, SyncQueue, Tombstone, WebhookEvent


def load(batch: Batch, claimed: Sequence[Claimed]) -> None:
    """Read what NPD knows of the claimed records, in a handful of queries whatever their number."""
    model, entity_type = batch.board.model, batch.board.link.entity_type
    items = [c.remote_id for c in claimed if c.entity_id is None]
    owners = {
        r.monday_id: r.pk for r in model._default_manager.filter(monday_id__in=items).only("id", "monday_id")
    }
    rows: dict[UUID, list[Any]] = {}
    for claim in claimed:
        owner = claim.entity_id or owners.get(claim.remote_id)
        if owner is None:
            batch.candidates.append(claim)
        else:
            rows.setdefault(owner, []).extend(claim.rows)
    joined = batch.board.joined
    # Without a name select_related would follow every relation.
    found = model._default_manager.select_related(*joined) if joined else model._default_manager.all()
    records = found.in_bulk(list(rows))
    ledgers = _ledgers(entity_type, list(records))
    for entity_id, claimed_rows in rows.items():
        claim = Claimed(entity_id, None, claimed_rows)
        if entity_id not in records:
            batch.gone.append(claim)
            continue
        ledger = ledgers.get(str(entity_id)) or SyncMetadata(
            entity_type=entity_type, entity_id=str(entity_id)
        )
        batch.subjects.append(Subject(claim, records[entity_id], _plain(ledger)))
    _attach(batch)
    _note_returned(batch)


def _ledgers(entity_type: str, ids: list[UUID]) -> dict[str, SyncMetadata]:
    found = SyncMetadata.objects.filter(
        entity_type=entity_type, system="monday", entity_id__in=[str(i) for i in ids]
    )
    return {ledger.entity_id: ledger for ledger in found}


def _plain(ledger: SyncMetadata) -> SyncMetadata:
    """A ledger row that is not stored yet holds database defaults; give it plain values."""
    if ledger.pk is None:
        for name in ("base", "held", "altered", "conflicts", "seen"):
            setattr(ledger, name, {})
        ledger.note = ledger.remote_state = ledger.last_error = ""
        ledger.error_count = ledger.gone_looks = 0
    return ledger


def _attach(batch: Batch) -> None:
    by_id = {subject.id: subject for subject in batch.subjects}
    for intent in Intent.objects.filter(entity_id__in=by_id, state=IntentState.OPEN).order_by("created_at"):
        by_id[intent.entity_id].intents.append(intent)
    for entity_id, conflicts in desk().open_of(batch.board.link.entity_type, by_id).items():
        by_id[entity_id].conflicts = list(conflicts)
    model, entity_type = batch.board.model, batch.board.link.entity_type
    dead = SyncQueue.objects.filter(entity_type=entity_type, entity_id__in=by_id, status=QueueStatus.FAILED)
    for dead_id in dead.values_list("entity_id", flat=True):
        if dead_id is not None:
            by_id[dead_id].has_dead_letter = True
    asked = {c.monday_item_id for s in batch.subjects for c in s.conflicts if c.kind == KIND_IDENTITY}
    if asked:
        owned = set(model._default_manager.filter(monday_id__in=asked).values_list("monday_id", flat=True))
        for subject in batch.subjects:
            subject.owned_items = {str(item) for item in owned}
    by_item = {subject.record.monday_id: subject for subject in batch.subjects if subject.record.monday_id}
    events = WebhookEvent.objects.filter(
        weighed_at=None, item_id__in=by_item, board_id=batch.board.link.board_id
    )
    for event in events.order_by("id"):
        if event.item_id in by_item:
            by_item[event.item_id].events.append(event)


def _note_returned(batch: Batch) -> None:
    """A record that was made again under the id of a deleted one: its tombstone sends nothing any more."""
    made = [s.id for s in batch.subjects if any(row.operation != Operation.UPDATE for row in s.claimed.rows)]
    if made:
        stones = Tombstone.objects.filter(entity_type=batch.board.link.entity_type, entity_id__in=made)
        stones.exclude(state=TombstoneState.RESTORED).update(
            state=TombstoneState.RESTORED, settled_at=SyncNow(), note="The record is there again."
        )
