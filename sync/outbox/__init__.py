"""The outbox: jobs are enqueued (jobs.py), claimed, finished, operated by people, paused; workers are woken.

A pending job is claimed from its `next_retry` on, once its board may be synced (sync/limits), and no call about its
record is without an outcome. `Overview` of sync/boards/availability.py tells when that is (`next_attempt`), and
why it isn't now (`reason_of`, or the board's `detail`).
"""

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
