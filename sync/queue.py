"""The queue for code outside of sync: sync a record now, work due jobs, try jobs again, count them, end a pause.

`cancel`, `discard` and `pause`, which start no work, are in sync/outbox.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from sync.boards import availability
from sync.choices import Cause, Priority, QueueDirection, SyncDirection
from sync.kernel.acts import ActionError
from sync.limits import probes
from sync.models import SyncedModel, SyncMetadata, SyncQueue
from sync.models.records_and_items import INACTIVE, OFF_BOARD_STATES
from sync.operations.worker import WorkSummary, work
from sync.outbox import enqueue, operate, pauses
from sync.outbox.operate import BulkResult
from sync.words.message import Message

# Codes of the reasons why nothing is sent, or not now.
PUSH_REASONS = ("direction", "item_removed", "board")

# States of an item, in the sync state, in which nothing can be written to it.
UNWRITABLE_STATES = (*OFF_BOARD_STATES, INACTIVE)


class SyncQueueService:
    def enqueue(
        self,
        entity_type: str,
        entity_id: UUID,
        *,
        cause: Cause = Cause.PERSON,
        priority: Priority | None = None,
        direction: QueueDirection = QueueDirection.TO_MONDAY,
    ) -> None:
        """Enqueue a record that may differ, by default as if a person asked; merges with its job of that direction."""
        enqueue(entity_type, [entity_id], cause=cause, priority=priority, direction=direction)

    def process(
        self, entity_type: str | None = None, *, seconds: float | None = None, wait_for_lease: bool = False
    ) -> WorkSummary:
        """Work due jobs of one type or of all, until none is due or the time is over."""
        return work(entity_type, seconds=seconds, wait_for_lease=wait_for_lease)

    def manual_retry(self, job_id: int, by: str) -> SyncQueue:
        """Make a failed or pending job due now, ahead of others, with all attempts; raises NotPossible."""
        job = operate.operate_one(job_id, by, "retry")
        probes.try_again_after_commit(by)
        return job

    def get_queue_stats(self) -> dict[str, Any]:
        """Return the number of jobs by status, how many are due, and how long the oldest has waited."""
        return availability.queue_stats()


@dataclass(frozen=True)
class PushResult:
    triggered: bool  # whether a pass that sends was enqueued
    message: str  # for the person
    reason_code: str = ""  # why nothing is sent; if `triggered`, why not now


def push_record(record: SyncedModel, by: str) -> PushResult:
    """Enqueue a pass of a record, ahead of other work; raises ActionError if Monday or the board is not set up.

    The request overrides `sync_enabled` once, but neither the direction nor the filter, and it waits for the end of a
    pause.
    """
    # A stop that may be over is probed at once.
    probes.try_again_after_commit(by)
    board = availability.displayed(record.entity_type())
    if board.link is None or not board.is_set_up:
        raise ActionError(board.detail, code="not_configured")
    if record.sync_direction in (SyncDirection.NONE, SyncDirection.MONDAY_TO_NPD):
        label = SyncDirection(record.sync_direction).label
        message = Message("not_sent_one_way", record=str(record), direction=label)
        return PushResult(False, message, "direction")
    sync_state = SyncMetadata.objects.of(record.entity_type(), [record.pk]).first()
    payload = {"sync_pressed": True, "by": by}  # for this record alone: overrides `sync_enabled`
    enqueue(record.entity_type(), [record.pk], cause=Cause.PERSON, payload=payload)
    if board.detail:
        return PushResult(True, Message("it_waits", why=board.detail), "board")
    if sync_state is not None and sync_state.remote_state in UNWRITABLE_STATES:
        reason = sync_state.note or Message("item_not_writable", state=sync_state.remote_state)
        return PushResult(True, Message("it_waits", why=reason), "item_removed")
    code = "sent_now_by_filter" if board.link.sync_filter else "sent_now"
    if record.monday_id is None and (board.link.creates_held or board.link.npd_id_problem):
        code = "sent_now_if_found"
    return PushResult(True, Message(code, record=str(record)))


def retry_all(jobs: QuerySet[SyncQueue], by: str) -> BulkResult:
    """Make failed or pending jobs due now, behind others; raises NotPossible if saves keep them locked."""
    result = operate.retry(jobs, by)
    probes.try_again_after_commit(by)
    return result


def resume(by: str, *, entity_type: str = "") -> bool:
    """End a pause and wake its boards; return whether there was one. Raises NotPossible like `pauses.pause`."""
    is_ended = pauses.resume(by, entity_type=entity_type)
    probes.try_again_after_commit(by)
    return is_ended
