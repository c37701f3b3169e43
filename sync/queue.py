"""SyncQueueService: the queue's door for everything else. The rows are the truth; Celery carries wake-ups only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from sync import queue_stats, registry, wake
from sync.choices import Cause, Operation, Priority, QueueDirection, QueueStatus
from sync.clock import SyncNow
from sync.enqueue import enqueue_item, enqueue_many
from sync.hooks import desk
from sync.models import SyncQueue
from sync.working import Run, Summary

__all__ = ["QueueError", "Summary", "SyncQueueService"]


class QueueError(RuntimeError):
    """A row can't be steered that way; the message says why and what to do."""


class SyncQueueService:
    """Write waiting rows, work them, steer them, count them."""

    def enqueue(
        self,
        entity_type: str,
        entity_id: UUID,
        *,
        direction: QueueDirection = QueueDirection.TO_MONDAY,
        operation: Operation = Operation.UPDATE,
        cause: Cause,
        priority: Priority,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """Say that a record may differ; coalesces with its waiting row of that direction."""
        enqueue_many(
            entity_type,
            [entity_id],
            cause=cause,
            priority=priority,
            direction=direction,
            operation=operation,
            payload=payload,
        )

    def enqueue_item(
        self, entity_type: str, remote_id: str, *, cause: Cause, priority: Priority, due_in_seconds: float
    ) -> None:
        """Say that an item no record has may be new; coalesces with its waiting row."""
        enqueue_item(entity_type, remote_id, cause=cause, priority=priority, due_in_seconds=due_in_seconds)

    def process(
        self,
        entity_type: str | None = None,
        *,
        seconds: float | None = None,
        wait_for_lease: bool = False,
        linger: bool = False,
    ) -> Summary:
        """Work due rows, of one type or of all, until none is due or the time is over.

        A board that another worker holds is left to it, or waited for with `wait_for_lease`. With `linger` the
        board is held a second longer, for wake-ups that found it taken.
        """
        limit = seconds if seconds is not None else settings.CELERY_TASK_TIME_LIMIT / 2
        run = Run(Summary(), time.monotonic() + limit, wait_for_lease, linger)
        for spec in list(registry.entities()):
            if entity_type in (None, spec.entity_type):
                run.board(spec.entity_type)
        run.summary.waiting = self._waiting(entity_type)
        return run.summary

    def _waiting(self, entity_type: str | None) -> int:
        rows = SyncQueue.objects.filter(status=QueueStatus.PENDING)
        return rows.filter(entity_type=entity_type).count() if entity_type else rows.count()

    def manual_retry(self, row_id: int, by: str) -> SyncQueue:
        """Make a dead letter or a waiting row due now, with all its attempts; raises QueueError."""
        with transaction.atomic():
            row = self._steerable(row_id)
            if row.status == QueueStatus.COMPLETED:
                raise QueueError(
                    f"Row {row_id} is completed; save the record or use “Sync now” to look at it again."
                )
            SyncQueue.objects.filter(pk=row.pk, status=QueueStatus.FAILED).update(
                status=QueueStatus.COMPLETED, finished_at=SyncNow(), error_message=f"retried by {by}"
            )
            self._renew(row, by)
        wake.send(row.entity_type)
        return self._waiting_row(row)

    def _renew(self, row: SyncQueue, by: str) -> None:
        if row.entity_id is None:
            enqueue_item(
                row.entity_type,
                str(row.remote_id),
                cause=Cause.PERSON,
                priority=Priority.PERSON,
                due_in_seconds=0,
            )
        else:
            enqueue_many(
                row.entity_type,
                [row.entity_id],
                cause=Cause.PERSON,
                priority=Priority.PERSON,
                direction=QueueDirection(row.direction),
                operation=Operation(row.operation),
                payload=row.payload | {"by": by},
            )
        self._same(row).update(attempts=0, next_retry=SyncNow(), error_message="", reason="")

    def _same(self, row: SyncQueue) -> Any:
        rows = SyncQueue.objects.filter(entity_type=row.entity_type, status=QueueStatus.PENDING)
        if row.entity_id is None:
            return rows.filter(entity_id=None, remote_id=row.remote_id)
        return rows.filter(entity_id=row.entity_id, direction=row.direction)

    def _waiting_row(self, row: SyncQueue) -> SyncQueue:
        return self._same(row).first() or SyncQueue.objects.get(pk=row.pk)

    def cancel(self, row_id: int, by: str) -> SyncQueue:
        """End a waiting row or a dead letter without looking; raises QueueError for one in flight."""
        with transaction.atomic():
            row = self._steerable(row_id)
            SyncQueue.objects.filter(pk=row.pk).exclude(status=QueueStatus.COMPLETED).update(
                status=QueueStatus.COMPLETED, finished_at=SyncNow(), error_message=f"cancelled by {by}"
            )
            if row.entity_id is not None:
                desk().hand_back(
                    row.entity_type, [row.entity_id], f"{by} cancelled the look that was to carry it out."
                )
        return SyncQueue.objects.get(pk=row_id)

    def _steerable(self, row_id: int) -> SyncQueue:
        row = SyncQueue.objects.select_for_update().filter(pk=row_id).first()
        if row is None:
            raise QueueError(f"There is no queue row {row_id}.")
        if row.status == QueueStatus.IN_PROGRESS:
            raise QueueError(f"Row {row_id} is being worked on right now; wait until it is done.")
        return row

    def get_queue_stats(self) -> dict[str, Any]:
        """Count rows by state; `pending` holds those in backoff or snooze too, `due` those that could go now."""
        return queue_stats.stats()

    def oldest_due_seconds(self) -> float:
        """Return for how many seconds the row that is due longest has been due; 0 when none is."""
        return queue_stats.oldest_due_seconds()
