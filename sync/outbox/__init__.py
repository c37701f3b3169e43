"""The outbox: jobs are enqueued (jobs.py), claimed, finished, operated by people, paused; workers are woken."""

from sync.outbox.jobs import (
    ITEM_UPSERT,
    RECORD_UPSERT,
    enqueue,
    enqueue_comparison,
    enqueue_unmatched,
    mark_pending,
    mark_pending_with_jobs,
)

__all__ = [
    "ITEM_UPSERT", "RECORD_UPSERT", "enqueue", "enqueue_comparison", "enqueue_unmatched", "mark_pending",
    "mark_pending_with_jobs",
]  # fmt: skip
