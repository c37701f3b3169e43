"""SyncQueueService: the queue's door for everything else. The rows are the truth; Celery carries wake-ups only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from sync import claims, finish, pausing, queue_stats, registry, steering
from sync.choices import Cause, Operation, Priority, QueueDirection, QueueStatus
from sync.enqueue import enqueue_item, enqueue_many
from sync.lease import Lease, giving_way
from sync.log_context import of_board
from sync.marks import mark_failed
from sync.models import QueuePause, SyncQueue
from sync.queue_errors import CountChanged, QueueError
from sync.steering import Steered
from sync.working import Run, Summary

__all__ = ["CountChanged", "QueueError", "Steered", "Summary", "SyncQueueService"]


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
                with of_board(spec.entity_type):
                    run.board(spec.entity_type)
        run.summary.waiting = self._waiting(entity_type)
        return run.summary

    def _waiting(self, entity_type: str | None) -> int:
        rows = SyncQueue.objects.filter(status=QueueStatus.PENDING)
        return rows.filter(entity_type=entity_type).count() if entity_type else rows.count()

    def claim(self, lease: Lease, n: int) -> list[claims.Claimed]:
        """Claim up to n records with a due row, each with all its waiting rows; raises LeaseLost."""
        return claims.claim(lease, n)

    def complete(self, lease: Lease, rows: Iterable[SyncQueue], words: str = "") -> int:
        """End claimed rows; return how many were still this lease's. Raises LeaseLost."""
        ended = list(rows)

        def end() -> int:
            with lease.held():
                return finish.complete(ended, lease.token, words)

        return giving_way(end)

    def fail(self, lease: Lease, rows: Sequence[SyncQueue], error: str) -> bool:
        """Count a failure of one record, whose claimed rows these are; return whether it was the last one.

        Raises LeaseLost.
        """

        def end() -> bool:
            with lease.held():
                dead = finish.fail(rows, lease.token, error)
                mark_failed(lease.link.entity_type, rows[0].entity_id, error, dead=dead)
                return dead

        return giving_way(end)

    def snooze(self, lease: Lease, rows: Iterable[SyncQueue], seconds: float, reason: str) -> None:
        """Return claimed rows with their attempts, to be looked at after a wait; raises LeaseLost."""
        returned = list(rows)

        def end() -> None:
            with lease.held():
                finish.snooze(returned, lease.token, seconds, reason)

        giving_way(end)

    def pause(self, by: str, *, entity_type: str = "", direction: str = "", why: str = "") -> QueuePause:
        """Pause everything, one board, one direction, or one direction of one board; raises QueueError."""
        return pausing.pause(by, entity_type=entity_type, direction=direction, why=why)

    def resume(self, by: str, *, entity_type: str = "", direction: str = "") -> bool:
        """End a pause; return whether there was one. Raises QueueError."""
        return pausing.resume(by, entity_type=entity_type, direction=direction)

    def manual_retry(self, row_id: int, by: str) -> SyncQueue:
        """Make a dead letter or a waiting row due now, with all its attempts, ahead of other work.

        Raises QueueError.
        """
        row = self._steerable(row_id, "save the record or use “Sync now” to look at it again.")
        self._one(steering.retry(self._only(row_id), by, priority=Priority.PERSON), row_id)
        return self._same(row).first() or SyncQueue.objects.get(pk=row_id)

    def cancel(self, row_id: int, by: str) -> SyncQueue:
        """End a waiting row without looking; raises QueueError for any other."""
        self._steerable(row_id, "there is nothing to cancel.", dead="Discard it, or retry it.")
        self._one(steering.cancel(self._only(row_id), by), row_id)
        return SyncQueue.objects.get(pk=row_id)

    def discard(self, row_id: int, by: str) -> SyncQueue:
        """Throw a dead letter away; raises QueueError for any other row."""
        self._steerable(row_id, "there is nothing to discard.", waiting="Cancel it instead.")
        self._one(steering.discard(self._only(row_id), by), row_id)
        return SyncQueue.objects.get(pk=row_id)

    def retry_all(self, rows: QuerySet[SyncQueue], by: str) -> Steered:
        """Make all dead letters and waiting rows among these due now, beside fresh edits and not ahead of them."""
        return steering.retry(rows, by)

    def cancel_all(self, rows: QuerySet[SyncQueue], by: str) -> Steered:
        """End all waiting rows among these without looking."""
        return steering.cancel(rows, by)

    def discard_all(self, rows: QuerySet[SyncQueue], by: str) -> Steered:
        """Throw away all dead letters among these."""
        return steering.discard(rows, by)

    def _only(self, row_id: int) -> QuerySet[SyncQueue]:
        return SyncQueue.objects.filter(pk=row_id)

    def _steerable(self, row_id: int, done: str, *, waiting: str = "", dead: str = "") -> SyncQueue:
        """Return the row as it is now; raises QueueError with what to do instead where it can't be steered so."""
        row = SyncQueue.objects.filter(pk=row_id).first()
        if row is None:
            raise QueueError(f"There is no queue row {row_id}.")
        if row.status == QueueStatus.COMPLETED:
            raise QueueError(f"Row {row_id} is completed; {done}")
        if row.status == QueueStatus.PENDING and waiting:
            raise QueueError(f"Row {row_id} waits, and was not given up. {waiting}")
        if row.status == QueueStatus.FAILED and dead:
            raise QueueError(f"Row {row_id} was given up after its last attempt, and waits no more. {dead}")
        return row

    def _one(self, steered: Steered, row_id: int) -> None:
        if steered.in_flight:
            raise QueueError(f"Row {row_id} is being worked on right now; wait until it is done.")
        if not steered.done:
            raise QueueError(f"Row {row_id} changed at the same moment. Look at it again.")

    def _same(self, row: SyncQueue) -> QuerySet[SyncQueue]:
        rows = SyncQueue.objects.filter(entity_type=row.entity_type, status=QueueStatus.PENDING)
        if row.entity_id is None:
            return rows.filter(entity_id=None, remote_id=row.remote_id)
        return rows.filter(entity_id=row.entity_id, direction=row.direction)

    def get_queue_stats(self) -> dict[str, Any]:
        """Count rows by state; `pending` holds those in backoff or snooze too, `due` those that could go now."""
        return queue_stats.stats()

    def oldest_due_seconds(self) -> float:
        """Return for how many seconds the row that is due longest has been due; 0 when none is."""
        return queue_stats.oldest_due_seconds()
