"""What settling records, items and deletions shares: the pass and its locks."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import models

from sync.choices import Cause, QueueStatus
from sync.fields.field_values import BoardContext
from sync.kernel.db import run_sql
from sync.models import ActivityLine, SyncedModel, SyncMetadata, SyncQueue
from sync.models.activity_lines import fold_alike
from sync.outbox import enqueue, enqueue_unmatched
from sync.outbox.claim import Lease
from sync.reconcile import pass_plan
from sync.reconcile.settle.activity import PassHistory


class PassRun:
    """What all rows of one pass have in common; with `writes_wait_seconds`, unsent writes wait for that time."""

    def __init__(
        self, lease: Lease, board: BoardContext, batch_id: UUID, started: float, *, writes_wait_seconds: float = 0
    ) -> None:
        self.lease = lease
        self.board = board
        self.link = board.link
        self.entity_type = board.link.entity_type
        self.records: models.Manager[SyncedModel] = board.model.objects
        self.batch_id = batch_id
        self.started = started  # monotonic
        self.writes_wait_seconds = writes_wait_seconds
        self.calls = 0  # made to Monday
        self.read_request_id = ""  # of the call that read the items

    def enqueue(self, ids: Iterable[UUID], **job: Any) -> None:
        """Queue a pass for these records, caused by this one unless `job` has another cause."""
        enqueue(self.entity_type, ids, **{"cause": Cause.DEPENDENCY, **job})

    def enqueue_items(self, ids: Iterable[str], **job: Any) -> None:
        """Queue a pass for these items, likewise."""
        enqueue_unmatched(self.entity_type, ids, **{"cause": Cause.DEPENDENCY, **job})

    def log_line(
        self, entity_id: UUID, item_id: str, kind: str, sentence: str, *, cause: dict[str, Any], **columns: Any
    ) -> None:
        """Write a line into a record's history that isn't in the log of its plan."""
        entry = ActivityLine(
            entity_type=self.entity_type,
            entity_id=entity_id,
            remote_id=item_id,
            kind=kind,
            sentence=sentence,
            batch_id=self.batch_id,
            cause=cause,
            **columns,
        )
        ActivityLine.objects.bulk_create(fold_alike([entry]))

    def store_history(self, plans: Sequence[pass_plan.EntityPlan]) -> None:
        history = PassHistory(self.board, plans, self.batch_id, self.read_request_id)
        ActivityLine.objects.bulk_create(fold_alike(history.rows()))


def lock_failed_jobs(run: PassRun, plan: pass_plan.Plan) -> None:
    """Lock the jobs of records with a failed one, in the order of their ids and before the sync states.

    Retries and discards lock in this order too; a different one would make them time out against a pass.
    """
    failed = [record_plan.id for record_plan in plan.records.values() if record_plan.facts.has_failed_job]
    if failed:
        states = (QueueStatus.FAILED, QueueStatus.PENDING)
        jobs = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id__in=failed, status__in=states)
        list(jobs.select_for_update().order_by("pk").values_list("pk"))


def mark_settling(ids: Iterable[UUID]) -> None:
    """Tell the triggers of these records' table that their pass is writing (sync/kernel/triggers.py)."""
    run_sql("SELECT set_config('npd.settling', %s, true)", [",".join(map(str, ids))])


def lock_sync_states(entity_type: str, ids: Sequence[UUID]) -> dict[str, SyncMetadata]:
    """Lock the records' sync states in the order of their ids; missing ones are created."""
    rows = SyncMetadata.objects.of(entity_type, ids).select_for_update().order_by("entity_id")
    locked = {row.entity_id: row for row in rows}
    # Only missing rows are inserted: inserting all took a quarter of a pass over unchanged records.
    if missing := [key for key in map(str, ids) if key not in locked]:
        new_rows = [SyncMetadata(entity_type=entity_type, entity_id=key, system="monday") for key in missing]
        SyncMetadata.objects.bulk_create(new_rows, ignore_conflicts=True)
        locked = {row.entity_id: row for row in rows.all()}
    return locked
