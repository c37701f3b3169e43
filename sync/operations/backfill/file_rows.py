"""Which records go into a file, each one's row, and the intents committed before the file is sent."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, QuerySet

from sync import connectors
from sync.choices import Cause, Priority, SyncDirection
from sync.clock import SyncNow
from sync.connectors.base.board_items import NotImportable
from sync.kernel.db import retry_on_lock_timeout
from sync.models import Backfill, Intent, IntentState, SyncedModel
from sync.models.synced_model import unsynced
from sync.operations.backfill.deferral import record_heartbeat
from sync.outbox.claim import Claim
from sync.outbox.lease import Lease
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.batch import Batch, FieldPlan, RecordSync, value_to_send
from sync.reconcile.board_filter import may_have_new_item
from sync.reconcile.field_plan import plan
from sync.reconcile.field_values import BoardContext
from sync.reconcile.sides import load

CHUNK_SIZE = 500


def records_to_import(board: BoardContext) -> QuerySet[SyncedModel]:
    """Return the records, the oldest first, without those that have an unconfirmed create."""
    open_creates = Intent.objects.filter(entity_id=OuterRef("pk"), state=IntentState.OPEN)
    records = board.model._default_manager.filter(monday_id=None).exclude(unsynced())
    records = records.exclude(sync_direction=SyncDirection.MONDAY_TO_NPD).exclude(Exists(open_creates))
    return records.order_by("created_at", "pk")


def id_chunks(ids: Iterable[UUID], size: int = CHUNK_SIZE) -> Iterable[list[UUID]]:
    """Cut ids into lists of at most `size`."""
    found = list(ids)
    return [found[start : start + size] for start in range(0, len(found), size)]


# One record: a row of the file with its intent, or why it can't be one.


@dataclass(frozen=True)
class BackfillRow:
    """A record to create.

    `invalid` says why Monday certainly rejects it; `import_problem` why a file can't carry it, so that a pass
    creates it; `blocked_fields` are left out, each with its reason.
    """

    record_sync: RecordSync
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    invalid: str = ""
    import_problem: str = ""
    blocked_fields: dict[str, str] = field(default_factory=dict)


def plan_row(batch: Batch, record_sync: RecordSync) -> BackfillRow:
    """Plan a record's row as a pass plans a create: a blocked field is left out, the others are kept."""
    plan(batch, record_sync, None)
    field_plans = list(record_sync.field_plans.values())
    name = next((p for p in field_plans if p.mapping.column_id == "name"), None)
    if name is None or name.blocked_reason or name.send_raw is None:
        return BackfillRow(record_sync, invalid=(name.blocked_reason if name else "") or "no name is mapped")
    blocked_fields = {p.mapping.label: p.blocked_reason for p in field_plans if p.blocked_reason}
    values: dict[str, dict[str, Any]] = {}
    for one in field_plans:
        if one.send_raw is not None and not one.blocked_reason:
            try:
                values[one.mapping.key] = _intent_value(one)
            except NotImportable as reason:
                return BackfillRow(
                    record_sync, import_problem=f"{one.mapping.label}: {reason}", blocked_fields=blocked_fields
                )
    return BackfillRow(record_sync, values, blocked_fields=blocked_fields)


def _intent_value(field_plan: FieldPlan) -> dict[str, Any]:
    mapping = field_plan.mapping
    column_type = field_plan.convert.column_type
    if not connectors.get().can_be_imported(column_type):
        raise NotImportable(f"Monday's bulk import takes no columns of the type {column_type}")
    value = value_to_send(field_plan)
    settings = mapping.options.get("settings") or {}
    return {
        "local": field_plan.send_raw,
        "sent": value,
        "read": None,
        "base": None,
        "column": mapping.column_id,
        "version": mapping.version,
        "cell": connectors.get().import_cell(column_type, value, settings),
    }


# Committing a backfill's rows: an open intent each, under the board's lease, before anything is sent.
#
# From then on claims skip these records, for only the backfill learns the outcome of their create.


def commit_rows(lease: Lease, backfill: Backfill, ids: Sequence[UUID]) -> int:
    """Commit the rows of those records that may still be created; return how many. Raises LeaseLost."""
    board = BoardContext.load(lease.link)
    for chunk in id_chunks(ids, CHUNK_SIZE):
        lease.renew()
        retry_on_lock_timeout(lambda chunk=chunk: _commit_chunk(lease, board, backfill, chunk))  # type: ignore[misc]
        record_heartbeat(backfill)
    backfill.refresh_from_db()
    return backfill.rows


def _commit_chunk(lease: Lease, board: BoardContext, backfill: Backfill, ids: Sequence[UUID]) -> None:
    batch = Batch(lease, board, uuid.uuid4())
    with lease.transaction():
        # Settings are read here again; what was linked, switched off or deleted meanwhile is left out.
        eligible_ids = set(records_to_import(board).filter(pk__in=ids).values_list("pk", flat=True))
        load(batch, [Claim(entity_id, None, []) for entity_id in ids if entity_id in eligible_ids])
        creatable = [s for s in batch.record_syncs if may_have_new_item(board, s.record)]
        rows = [plan_row(batch, record_sync) for record_sync in creatable]
        # Each stays open until the row's outcome is known.
        intents = [
            Intent(
                id=uuid.uuid4(),
                entity_type=board.link.entity_type,
                entity_id=row.record_sync.id,
                board_id=board.link.board_id,
                item_id="",
                lease_token=lease.token,
                idempotency_key=backfill.pk.hex,
                values=row.values,
                state=IntentState.OPEN,
                deadline=SyncNow(),
                backfill=backfill,
            )
            for row in rows
            if not (row.invalid or row.import_problem)
        ]
        Intent.objects.bulk_create(intents)
        Backfill.objects.filter(pk=backfill.pk).update(rows=F("rows") + len(intents))
        # A pending job each: should this process end, the board's worker finds out what became of them.
        enqueue_many(
            board.link.entity_type,
            [intent.entity_id for intent in intents],
            cause=Cause.SWEEP,
            priority=Priority.BACKFILL,
        )


def build_file(backfill: Backfill, board: BoardContext) -> tuple[bytes, int]:
    """Return the file of the rows that are still to be sent, and their number.

    Rows whose records may not be created any more are voided.
    """
    npd_id = board.link.npd_id_column
    columns: dict[str, None] = {npd_id: None}
    rows, obsolete_ids = [], []
    intents = open_intents(backfill)
    records = board.model._default_manager.in_bulk([intent.entity_id for intent in intents])
    for intent in intents:
        record = records.get(intent.entity_id)
        may_create = record is not None and record.may_sync and record.monday_id is None
        may_create = may_create and record is not None and may_have_new_item(board, record)
        if record is None or not may_create or record.sync_direction == SyncDirection.MONDAY_TO_NPD:
            obsolete_ids.append(intent.pk)
            continue
        cells = {entry["column"]: str(entry["cell"]) for entry in intent.values.values()}
        columns |= dict.fromkeys(cells)
        rows.append(cells | {npd_id: str(intent.entity_id)})
    void_rows(obsolete_ids)
    return connectors.get().import_file(list(columns), rows), len(rows)


def open_intents(backfill: Backfill) -> list[Intent]:
    """Return the rows whose outcome isn't known."""
    found = Intent.objects.filter(backfill=backfill, state=IntentState.OPEN, item_id="")
    return list(found.order_by("created_at", "pk"))


def void_rows(intent_ids: Sequence[UUID]) -> None:
    """Mark these rows as never carried out: the next passes over their records begin afresh."""
    Intent.objects.filter(pk__in=intent_ids, state=IntentState.OPEN).update(
        state=IntentState.VOID, settled_at=SyncNow()
    )
