"""NPD's side of a pass: what is known of the claimed records, and the end of a pass that has nothing to ask Monday."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sync import connectors
from sync.choices import Cause, Operation, QueueStatus, TombstoneState
from sync.clock import SyncNow
from sync.connectors.base.conversion import UnknownValue
from sync.connectors.base.events import EventKind, InvalidEvent, ItemEvent
from sync.kernel.conflict_store import KIND_IDENTITY, current_store
from sync.models import FieldMapping, Intent, IntentState, SyncQueue, Tombstone, WebhookEvent
from sync.outbox.claim import Claim
from sync.reconcile.batch import Batch, Outcome, RecordSync, WorkUnit, ledgers_of, new_ledger
from sync.reconcile.field_plan import AS_SENT, base_of, sides_of
from sync.reconcile.field_values import BoardContext, stored_values
from sync.reconcile.settlement import has_blocked_field
from sync.records.item_links import UNLINK_KEY


def load(batch: Batch, claims: Sequence[Claim]) -> None:
    """Read what NPD knows of the claimed records, in a handful of queries whatever their number."""
    model, entity_type = batch.board.model, batch.entity_type
    items = [c.remote_id for c in claims if c.entity_id is None]
    owners = {r.monday_id: r.pk for r in model._default_manager.filter(monday_id__in=items).only("id", "monday_id")}
    rows: dict[UUID, list[Any]] = {}
    for claim in claims:
        owner = claim.entity_id or owners.get(claim.remote_id)
        if owner is None:
            batch.unmatched_claims.append(WorkUnit(claim))
        else:
            rows.setdefault(owner, []).extend(claim.rows)
    relations = batch.board.joined_relations
    # Without a name select_related would follow every relation.
    found = model._default_manager.select_related(*relations) if relations else model._default_manager.all()
    records = found.in_bulk(list(rows))
    ledgers = {ledger.entity_id: ledger for ledger in ledgers_of(entity_type, records)}
    for entity_id, jobs in rows.items():
        claim = Claim(entity_id, None, jobs)
        if entity_id not in records:
            batch.deleted_claims.append(claim)
            continue
        ledger = ledgers.get(str(entity_id)) or new_ledger(entity_type, entity_id)
        batch.record_syncs.append(RecordSync(claim, records[entity_id], ledger))
    _attach_details(batch)
    # A record that was made again under the id of a deleted one: its tombstone sends nothing any more.
    created = [s.id for s in batch.record_syncs if any(row.operation != Operation.UPDATE for row in s.claim.rows)]
    if created:
        tombstones = Tombstone.objects.filter(entity_type=entity_type, entity_id__in=created)
        tombstones.exclude(state=TombstoneState.RESTORED).update(
            state=TombstoneState.RESTORED, settled_at=SyncNow(), note="The record is there again.", reason_code=""
        )


def _attach_details(batch: Batch) -> None:
    by_id = {record_sync.id: record_sync for record_sync in batch.record_syncs}
    by_item = {s.record.monday_id: s for s in batch.record_syncs if s.record.monday_id}
    for intent in Intent.objects.filter(entity_id__in=by_id, state=IntentState.OPEN).order_by("created_at"):
        by_id[intent.entity_id].intents.append(intent)
    for entity_id, conflicts in current_store().open_conflicts(batch.entity_type, by_id).items():
        by_id[entity_id].conflicts = list(conflicts)
    failed = SyncQueue.objects.filter(entity_type=batch.entity_type, entity_id__in=by_id, status=QueueStatus.FAILED)
    for failed_id in failed.values_list("entity_id", flat=True):
        if failed_id is not None:
            by_id[failed_id].has_failed_job = True
    asked_items = {c.monday_item_id for s in batch.record_syncs for c in s.conflicts if c.kind == KIND_IDENTITY}
    if asked_items:
        owned = set(map(str, batch.records.filter(monday_id__in=asked_items).values_list("monday_id", flat=True)))
        for record_sync in batch.record_syncs:
            record_sync.owned_items = owned
    events = WebhookEvent.objects.filter(weighed_at=None, item_id__in=by_item, board_id=batch.link.board_id)
    for event in events.order_by("id"):
        if event.item_id in by_item:
            by_item[event.item_id].events.append(event)


# Passes that end without a call: nothing left its half of the base, so there is nothing to ask
# Monday.


def skip_unchanged(board: BoardContext, record_syncs: Iterable[RecordSync]) -> None:
    """End every record that needs no call: an unchanged save, a record without sync, our own echo."""
    for record_sync in record_syncs:
        is_unlink = bool(record_sync.claim.payload.get(UNLINK_KEY))
        if not record_sync.record.may_sync and not record_sync.is_push_by_name and not is_unlink:
            # What Monday says meanwhile is not read: the first pass after it is on again reads the item.
            record_sync.ledger.remote_state = ""
            record_sync.end(Outcome.SETTLED, "Sync is off for this record.", reason="")
        elif record_sync.causes == Cause.SAVE and not record_sync.events and _is_local_unchanged(board, record_sync):
            record_sync.end(Outcome.SETTLED, "Nothing that is synced changed.")
        elif record_sync.is_webhook_only and _is_echo(board, record_sync):
            record_sync.processed = True
            record_sync.end(Outcome.SETTLED, "Monday told what was known already.")


def _is_local_unchanged(board: BoardContext, record_sync: RecordSync) -> bool:
    """Whether NPD's half of every base is what the record says now, and nothing else is open."""
    item_id, ledger = record_sync.record.monday_id, record_sync.ledger
    open_work = (
        record_sync.conflicts
        or record_sync.intents
        or record_sync.lost_updates
        or has_blocked_field(ledger.held)
        or record_sync.has_failed_job
    )
    if not item_id or open_work or ledger.note or ledger.remote_state != "active":
        return False
    for mapping in [mapping for mapping in board.mappings if mapping.column_id]:
        base, convert = base_of(ledger, mapping, item_id), board.converter(mapping, record_sync.record)
        if base is None or base.get(AS_SENT):
            return False
        if not sides_of(convert, base, local=stored_values(record_sync.record, mapping)).local_stands:
            return False
    return True


def _is_echo(board: BoardContext, record_sync: RecordSync) -> bool:
    """Whether every value that webhooks told is the base's: our own write, mostly. No payload is written."""
    if not record_sync.events or not _is_local_unchanged(board, record_sync):
        return False
    try:
        told = [_event_values(board, connectors.get().parse_event(event.body)) for event in record_sync.events]
    except InvalidEvent:
        return False
    if any(values is None for values in told):
        return False
    for mapping, value, column_type in [one for values in told for one in values or ()]:
        base = base_of(record_sync.ledger, mapping, record_sync.record.monday_id or "")
        convert = board.converter(mapping, record_sync.record)
        try:
            stored = convert.from_event(value, column_type or convert.column_type)
            if base is None or stored != convert.remote(base["remote"]):
                return False
        except UnknownValue:
            return False
    return True


def _event_values(board: BoardContext, event: ItemEvent) -> list[tuple[FieldMapping, object, str]] | None:
    """The mapped values that an event tells; None where it tells more than values (archived, restored …)."""
    by_column = {mapping.column_id: mapping for mapping in board.mappings if mapping.column_id}
    if event.kind in (EventKind.COLUMN, EventKind.RENAMED):
        column = "name" if event.kind is EventKind.RENAMED else event.column_id or ""
        if column == board.link.npd_id_column:
            return None
        return [(by_column[column], event.value, event.column_type or "")] if column in by_column else []
    if event.kind is EventKind.CREATED:
        values = dict(event.column_values or {}) | {"name": {"name": event.item_name}}
        return [(mapping, values.get(column), "") for column, mapping in by_column.items()]
    return [] if event.kind in (EventKind.MOVED, EventKind.OTHER) else None
