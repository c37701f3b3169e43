"""Announce a backfill's rows: an open intent a record, committed under the board's lease before anything is sent.

From then on claims pass over these records, for the outcome of their create is unknown until the backfill knows it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from uuid import UUID

from django.db.models import F

from sync.backfill.candidates import CHUNK, chunks, considered
from sync.backfill.holding import touch
from sync.backfill.rows import intent_of, row_of
from sync.choices import Cause, Priority
from sync.claims import Claimed
from sync.clock import SyncNow
from sync.connectors.monday.cells import as_csv
from sync.engine.loading import load
from sync.engine.subjects import Batch, Board
from sync.enqueue import enqueue_many
from sync.lease import Lease, giving_way
from sync.models import Backfill, Intent, IntentState


def announce(lease: Lease, backfill: Backfill, ids: Sequence[UUID]) -> int:
    """Commit the rows of those records that may still be created, and return how many; raises LeaseLost."""
    board = Board.of(lease.link)
    for chunk in chunks(ids, CHUNK):
        lease.renew()
        giving_way(lambda chunk=chunk: _announce(lease, board, backfill, chunk))  # type: ignore[misc]
        touch(backfill)
    backfill.refresh_from_db()
    return backfill.rows


def _announce(lease: Lease, board: Board, backfill: Backfill, ids: Sequence[UUID]) -> None:
    batch = Batch(lease, board, uuid.uuid4())
    with lease.held():
        # Settings are read here again; whatever was linked, switched off or deleted meanwhile is left out.
        still = set(considered(board).filter(pk__in=ids).values_list("pk", flat=True))
        load(batch, [Claimed(entity_id, None, []) for entity_id in ids if entity_id in still])
        rows = [row_of(batch, subject) for subject in batch.subjects]
        intents = [intent_of(batch, backfill, row) for row in rows if not (row.invalid or row.ordinary)]
        Intent.objects.bulk_create(intents)
        Backfill.objects.filter(pk=backfill.pk).update(rows=F("rows") + len(intents))
        # A waiting row each: should this process end, the board's worker finds out what became of them.
        enqueue_many(
            board.link.entity_type,
            [intent.entity_id for intent in intents],
            cause=Cause.SWEEP,
            priority=Priority.BACKFILL,
        )


def file_of(backfill: Backfill, board: Board) -> tuple[bytes, int]:
    """Return the file of the rows that are still to be sent, and their number."""
    npd_id = board.link.npd_id_column
    columns: dict[str, None] = {npd_id: None}
    rows = []
    for intent in sendable(backfill, board):
        cells = {entry["column"]: str(entry["cell"]) for entry in intent.values.values()}
        columns |= dict.fromkeys(cells)
        rows.append(cells | {npd_id: str(intent.entity_id)})
    return as_csv(list(columns), rows), len(rows)


def open_rows(backfill: Backfill) -> list[Intent]:
    """Return the rows of which it isn't known what became of them."""
    found = Intent.objects.filter(backfill=backfill, state=IntentState.OPEN, item_id="")
    return list(found.order_by("created_at", "pk"))


def sendable(backfill: Backfill, board: Board) -> list[Intent]:
    """Return the rows whose records may still be created; those of the others are taken back."""
    rows = open_rows(backfill)
    records = board.model._default_manager.in_bulk([intent.entity_id for intent in rows])
    allowed = [
        intent
        for intent in rows
        if (record := records.get(intent.entity_id)) is not None
        and record.may_sync
        and record.monday_id is None
        and record.sync_direction != "monday_to_npd"
    ]
    take_back(list({i.pk for i in rows} - {i.pk for i in allowed}))
    return allowed


def take_back(intent_ids: Sequence[UUID]) -> None:
    """These rows were not carried out: the next looks at their records begin anew."""
    Intent.objects.filter(pk__in=intent_ids, state=IntentState.OPEN).update(
        state=IntentState.VOID, settled_at=SyncNow()
    )
