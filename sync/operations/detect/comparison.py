"""The nightly comparison of every linked item with its base and with NPD. Whatever differs gets a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import structlog

from sync import registry
from sync.boards import schema_drift
from sync.boards.board_listing import enqueue_unmatched, item_pages, unmatched_items
from sync.choices import Cause, Priority, QueueDirection, QueueStatus, RecordSyncStatus, SyncDirection
from sync.clock import SyncNow
from sync.connectors.base.board_items import Item
from sync.connectors.base.errors import BoardNotFound, ConnectorError, Scope, ShuttingDown
from sync.limits import breaker
from sync.merge import FieldDirection
from sync.models import BoardLink, SyncedModel, SyncMetadata, SyncQueue
from sync.models.synced_model import unsynced
from sync.operations.detect.sweep_schedule import boards_to_compare
from sync.outbox.claim import Claim
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.batch import RecordSync
from sync.reconcile.field_plan import base_of, cell_of, sides_of, way_of
from sync.reconcile.field_values import BoardContext, stored_values
from sync.reconcile.sides import clear_column_problems

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ComparisonResult:
    """What a comparison found on one board; `problem` says why it could not be finished."""

    items: int = 0
    linked: int = 0
    differing: int = 0
    unlisted: int = 0
    without_record: int = 0
    without_item: int = 0
    problem: str = ""

    @property
    def summary(self) -> str:
        """Return the result as a sentence."""
        if self.problem:
            return f"The comparison could not be finished. {self.problem} It is made again the next night."
        return (
            f"{self.items:,} items on the board, {self.linked:,} of them linked: {self.differing:,} differed from what "
            f"was last agreed on; {self.unlisted:,} linked items were not listed; {self.without_record:,} items had no "
            f"record, {self.without_item:,} records no item."
        )


def compare_due_boards() -> list[ComparisonResult]:
    """Compare the boards that are due."""
    return [compare_board(link) for link in boards_to_compare()]


def compare_board(link: BoardLink) -> ComparisonResult:
    """Compare every item with its record and base, enqueue a pass for what differs, store the result."""
    try:
        result = _BoardComparison(link).run()
    except ShuttingDown as end:
        # As if it had not begun: it is due again, and the differences found so far are in the queue.
        BoardLink.objects.filter(pk=link.pk).update(compared_at=link.compared_at, compared=link.compared)
        return ComparisonResult(problem=end.sentence)
    except ConnectorError as error:
        if error.scope in (Scope.ACCOUNT, Scope.LIMIT, Scope.TRANSPORT, Scope.UNREACHABLE):
            breaker.trip_account(error)
        result = ComparisonResult(problem=error.sentence)
    BoardLink.objects.filter(pk=link.pk).update(compared_at=SyncNow(), compared=result.summary)
    log.info("compared", board=link.entity_type, result=result.summary)
    return result


@dataclass
class _BoardComparison:
    """One comparison; it keeps ids only, and never more than a page of anything else."""

    link: BoardLink
    listed: set[str] = field(default_factory=set)
    unmatched_ids: list[str] = field(default_factory=list)
    result: ComparisonResult = field(default_factory=ComparisonResult)

    def run(self) -> ComparisonResult:
        structure = schema_drift.inspect_board(self.link)
        if structure is None:
            raise BoardNotFound("The board is missing, or not active")
        self.board = BoardContext.load(self.link)
        columns, types = self.board.columns, self.board.types
        for page in item_pages(self.link, columns, types, expected=structure.items_count):
            self._compare_page(page)
        self._check_unlisted(complete=structure.items_count is None or len(self.listed) >= structure.items_count)
        without_item = self._enqueue_unlinked()
        # Items without a record get a pass where it could create one or match one.
        if self.unmatched_ids and (self.link.creates_records or without_item):
            enqueue_unmatched(registry.entity(self.link.entity_type), self.unmatched_ids)
        return replace(
            self.result, items=len(self.listed), without_record=len(self.unmatched_ids), without_item=without_item
        )

    def _compare_page(self, items: Sequence[Item]) -> None:
        clear_column_problems(self.board, list(items))
        # A listing that is read again, after an expired cursor, shows items twice.
        fresh = {item.id: item for item in items if item.id not in self.listed}
        self.listed |= set(fresh)
        records = self.board.model._default_manager.filter(monday_id__in=fresh)
        if joined := self.board.joined_relations:
            records = records.select_related(*joined)
        rows = SyncMetadata.objects.of(self.link.entity_type, [record.pk for record in records])
        ledgers = {row.entity_id: row for row in rows}
        differing = [
            record.pk
            for record in records
            if record.may_sync and _has_changed(self.board, record, ledgers.get(str(record.pk)), fresh)
        ]
        self._enqueue_passes(differing)
        owned = {record.monday_id for record in records}
        self.unmatched_ids += unmatched_items(registry.entity(self.link.entity_type), set(fresh) - owned)
        self.result = replace(
            self.result, linked=self.result.linked + len(records), differing=self.result.differing + len(differing)
        )

    def _check_unlisted(self, *, complete: bool) -> None:
        # A listing doesn't tell whether an item is gone: linked records that it lacks are asked for by id.
        # In a shortened listing items are missing that are still on the board.
        if not complete:
            return
        linked = self.board.model._default_manager.exclude(monday_id=None).exclude(unsynced())
        missing_ids: list[UUID] = []
        for pk, item_id in linked.order_by("pk").values_list("pk", "monday_id").iterator(chunk_size=2_000):
            if item_id not in self.listed:
                missing_ids.append(pk)
        self._enqueue_passes(missing_ids)
        self.result = replace(self.result, unlisted=len(missing_ids))

    def _enqueue_unlinked(self) -> int:
        """Enqueue records that should have an item and don't wait for a job, a person or a direction."""
        rows = SyncQueue.objects.filter(entity_type=self.link.entity_type, entity_id__isnull=False)
        busy = rows.exclude(status=QueueStatus.COMPLETED).values("entity_id")
        unlinked = self.board.model._default_manager.filter(monday_id=None, sync_status=RecordSyncStatus.PENDING)
        unlinked = unlinked.exclude(unsynced()).exclude(sync_direction=SyncDirection.MONDAY_TO_NPD)
        ids = list(unlinked.exclude(pk__in=busy).values_list("pk", flat=True))
        self._enqueue_passes(ids)
        return len(ids)

    def _enqueue_passes(self, ids: Sequence[Any]) -> None:
        if ids:
            enqueue_many(
                self.link.entity_type,
                sorted(ids),
                cause=Cause.SWEEP,
                priority=Priority.SWEEP,
                direction=QueueDirection.TO_NPD,
            )


def _has_changed(board: BoardContext, record: SyncedModel, ledger: SyncMetadata | None, items: dict[str, Item]) -> bool:
    """Whether a side differs from its half of the base, and no blocked field or conflict explains it."""
    item = items[str(record.monday_id)]
    if ledger is None:
        return True
    open_keys = {*ledger.held, *(key for keys in ledger.conflicts.values() for key in keys)}
    record_sync = RecordSync(Claim(record.pk, None, []), record, ledger)
    for mapping in board.mappings:
        if not mapping.column_id or mapping.problem or mapping.key in open_keys:
            continue
        if way_of(record_sync, mapping) is FieldDirection.NONE:
            continue
        base, convert = base_of(ledger, mapping, item.id), board.converter(mapping, record)
        cell = cell_of(convert, mapping, item)
        if not sides_of(convert, base, local=stored_values(record, mapping), remote=cell).stand:
            return True
    npd_id = item.reading(board.link.npd_id_column)
    return npd_id.known and (npd_id.text or "").strip() != str(record.pk)
