"""SyncQueueService: how code outside of sync enqueues records, works what is due, tries a job again, and counts.

The rows are the truth; Celery carries wake-ups only. What people do to many jobs is `retry_all` and `resume` here, and
`cancel`, `discard` and `pause` of the outbox.
"""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from sync.choices import Cause, Priority, QueueDirection
from sync.limits import breaker
from sync.models import SyncQueue
from sync.operations.worker import WorkSummary, work
from sync.outbox import operate, pauses
from sync.outbox.operate import BulkResult
from sync.outbox.queue_rows import enqueue
from sync.records import availability


class SyncQueueService:
    def enqueue(
        self,
        entity_type: str,
        entity_id: UUID,
        *,
        cause: Cause,
        priority: Priority,
        direction: QueueDirection = QueueDirection.TO_MONDAY,
    ) -> None:
        """Say that a record may differ; coalesces with its waiting row of that direction."""
        enqueue(entity_type, [entity_id], cause=cause, priority=priority, direction=direction)

    def process(
        self, entity_type: str | None = None, *, seconds: float | None = None, wait_for_lease: bool = False
    ) -> WorkSummary:
        """Work due jobs, of one type or of all, until none is due or the time is over."""
        return work(entity_type, seconds=seconds, wait_for_lease=wait_for_lease)

    def manual_retry(self, row_id: int, by: str) -> SyncQueue:
        """Make a failed or pending job due now, with all its attempts, ahead of other work; raises Conflict."""
        row = operate.operate_one(row_id, by, "retry")
        _ask_again()
        return row

    def get_queue_stats(self) -> dict[str, Any]:
        """Return how many jobs there are by status, how many are due, and since when the oldest waits."""
        return availability.queue_stats()


def retry_all(rows: QuerySet[SyncQueue], by: str) -> BulkResult:
    """As `manual_retry`, of all of these, but behind other work; raises Conflict where saves hold on to them."""
    result = operate.retry(rows, by)
    _ask_again()
    return result


def resume(by: str, *, entity_type: str = "") -> bool:
    """End that pause and wake what waited; return whether there was one. Raises Conflict as `pauses.pause` does."""
    is_ended = pauses.resume(by, entity_type=entity_type)
    _ask_again()
    return is_ended


def _ask_again() -> None:
    """A person wants it done now: whether a stop is over is asked once, when nothing is locked any more."""
    transaction.on_commit(breaker.ask_again, robust=True)
