"""SyncQueueService: the queue's door for everything else. The rows are the truth; Celery carries wake-ups only."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from sync.kernel.messages import Conflict
from sync.limits import breaker
from sync.models import SyncQueue
from sync.models.jobs import QueueAction
from sync.operations.worker import WorkSummary, work
from sync.outbox import operate, pauses
from sync.outbox.operate import BulkResult
from sync.outbox.queue_rows import enqueue_many
from sync.records import availability

__all__ = ["BulkResult", "Conflict", "SyncQueueService", "WorkSummary"]


def _ask_again() -> None:
    """A person wants it done now: whether a stop is over is asked once, when nothing is locked any more."""
    transaction.on_commit(breaker.ask_again, robust=True)


class SyncQueueService:
    """Write waiting rows, work them, steer them, count them.

    A face and nothing more: what stands here without a body is the function of the outbox, the worker or the
    counts that does it, and its documentation stands there. How a worker claims and ends rows is the outbox's own.
    """

    process = staticmethod(work)
    pause = staticmethod(pauses.pause)
    cancel_all = staticmethod(operate.cancel)
    discard_all = staticmethod(operate.discard)
    get_queue_stats = staticmethod(availability.queue_stats)

    def enqueue(self, entity_type: str, entity_id: UUID, **reason: Any) -> None:
        """Say that a record may differ; coalesces with its waiting row of that direction. As `enqueue_many`."""
        enqueue_many(entity_type, [entity_id], **reason)

    def manual_retry(self, row_id: int, by: str) -> SyncQueue:
        """Make a failed or pending job due now, with all its attempts, ahead of other work; raises Conflict."""
        row = operate.operate_one(row_id, QueueAction.RETRY, by)
        _ask_again()
        return row

    def retry_all(self, rows: QuerySet[SyncQueue], by: str) -> BulkResult:
        """As `manual_retry`, of all of these, but behind other work; raises Conflict where saves hold on to them."""
        result = operate.retry(rows, by)
        _ask_again()
        return result

    def resume(self, by: str, *, entity_type: str = "") -> bool:
        """End that pause and wake what waited; return whether there was one. Raises Conflict as `pause` does."""
        is_ended = pauses.resume(by, entity_type=entity_type)
        _ask_again()
        return is_ended

    def cancel(self, row_id: int, by: str) -> SyncQueue:
        """End a pending job without a pass; raises Conflict for any other."""
        return operate.operate_one(row_id, QueueAction.CANCEL, by)

    def discard(self, row_id: int, by: str) -> SyncQueue:
        """Throw a failed job away; raises Conflict for any other."""
        return operate.operate_one(row_id, QueueAction.DISCARD, by)
