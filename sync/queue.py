"""The queue for code outside of sync: enqueue a record, work due jobs, try jobs again, count them, end a pause.

`cancel`, `discard` and `pause`, which start no work, are in sync/outbox.
"""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from sync.choices import Cause, Priority, QueueDirection
from sync.limits import breaker
from sync.models import SyncQueue
from sync.operations.worker import WorkSummary, work
from sync.outbox import enqueue, operate, pauses
from sync.outbox.operate import BulkResult
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
        """Enqueue a record that may differ; merges with its pending job of that direction."""
        enqueue(entity_type, [entity_id], cause=cause, priority=priority, direction=direction)

    def process(
        self, entity_type: str | None = None, *, seconds: float | None = None, wait_for_lease: bool = False
    ) -> WorkSummary:
        """Work due jobs of one type or of all, until none is due or the time is over."""
        return work(entity_type, seconds=seconds, wait_for_lease=wait_for_lease)

    def manual_retry(self, row_id: int, by: str) -> SyncQueue:
        """Make a failed or pending job due now, ahead of others, with all attempts; raises NotPossible."""
        row = operate.operate_one(row_id, by, "retry")
        breaker.ask_again_after_commit()
        return row

    def get_queue_stats(self) -> dict[str, Any]:
        """Return the number of jobs by status, how many are due, and how long the oldest has waited."""
        return availability.queue_stats()


def retry_all(rows: QuerySet[SyncQueue], by: str) -> BulkResult:
    """Make failed or pending jobs due now, behind others; raises NotPossible if saves keep them locked."""
    result = operate.retry(rows, by)
    breaker.ask_again_after_commit()
    return result


def resume(by: str, *, entity_type: str = "") -> bool:
    """End a pause and wake its boards; return whether there was one. Raises NotPossible like `pauses.pause`."""
    is_ended = pauses.resume(by, entity_type=entity_type)
    breaker.ask_again_after_commit()
    return is_ended
