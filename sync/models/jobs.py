"""The outbox: one pending job for each record and direction says “this record may differ”."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.db import models

from sync import choices
from sync.clock import SyncNow
from sync.kernel.db import EMPTY_OBJECT

# Minutes between attempts; the first attempt is immediate, the one after the last wait is final.
BACKOFF_MINUTES = (1, 5, 15, 60)

# A pending job counts as failing from its second failed attempt.
FAILING_ATTEMPTS = 2

# In a job's payload: the number of passes in a row that could not decide with the data they read.
ROUNDS_KEY = "rounds"


def backoff(failures: int) -> timedelta:
    """Return the wait after this many failures in a row; later failures wait as long as the last."""
    return timedelta(minutes=BACKOFF_MINUTES[min(max(failures, 1), len(BACKOFF_MINUTES)) - 1])


class SyncQueue(models.Model):
    """A job: a pass is due for a record, or for an item without a record (then `entity_id` is null)."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.UUIDField("NPD ID", null=True, blank=True)
    remote_id = models.CharField("Monday item", max_length=50, null=True, blank=True)
    direction = models.CharField(
        max_length=20, choices=choices.QueueDirection.choices, db_default=choices.QueueDirection.TO_MONDAY
    )
    operation = models.CharField(max_length=20, choices=choices.Operation.choices, db_default=choices.Operation.UPDATE)
    # What a pass has to know beside the record: `by`, who asked, and `by_name` if for this record alone; the request,
    # under keys of records/item_links.py and `approval_payload_key`; ROUNDS_KEY; `retried`
    # (outbox/operate.py); a deleted record's `monday_id`.
    payload: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY_OBJECT, blank=True)
    status = models.CharField(
        max_length=20, choices=choices.QueueStatus.choices, db_default=choices.QueueStatus.PENDING
    )
    priority = models.SmallIntegerField(choices=choices.Priority.choices, db_default=choices.Priority.EDIT)
    # A bitmask of choices.Cause.
    causes = models.SmallIntegerField("who wrote it", db_default=int(choices.Cause.SAVE))
    attempts = models.SmallIntegerField(db_default=0)
    max_attempts = models.SmallIntegerField(db_default=len(BACKOFF_MINUTES) + 1)
    last_attempt = models.DateTimeField(null=True, blank=True)
    next_retry = models.DateTimeField("next attempt", db_default=SyncNow())
    error_message = models.TextField(blank=True, db_default="")
    reason = models.TextField("why it waits", blank=True, db_default="")
    waits_for = models.CharField(
        max_length=20, choices=choices.WaitsFor.choices, blank=True, db_default=choices.WaitsFor.NOTHING
    )
    created_at = models.DateTimeField(db_default=SyncNow())
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField("worker that has it", null=True, blank=True)
    counted = models.BooleanField("the present attempt counts", db_default=False)
    # If a worker dies, its records are claimed again in parts: one of them may have killed it.
    claim_size = models.SmallIntegerField("records synced with it", db_default=0)
    claim_at_most = models.SmallIntegerField("records synced together next (0: no limit)", db_default=0)

    class Meta:
        db_table = "sync_queue"
        default_permissions = ("view",)
        verbose_name = "job"
        verbose_name_plural = "jobs"
        permissions = (
            ("retry_syncqueue", "Can retry jobs"),
            ("cancel_syncqueue", "Can cancel pending jobs"),
            ("discard_syncqueue", "Can discard failed jobs"),
            ("pause_syncqueue", "Can pause and resume the sync"),
        )
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # The upsert's conflict target: a hundred saves become one pass.
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "direction"],
                condition=models.Q(status="pending", entity_id__isnull=False),
                name="sync_queue_one_waiting",
            ),
            models.UniqueConstraint(
                fields=["entity_type", "remote_id"],
                condition=models.Q(status="pending", entity_id__isnull=True),
                name="sync_queue_one_unmatched_item",
            ),
            models.CheckConstraint(
                condition=models.Q(entity_id__isnull=False) | models.Q(remote_id__isnull=False),
                name="sync_queue_names_something",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=choices.QueueStatus.values), name="sync_queue_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(direction__in=choices.QueueDirection.values), name="sync_queue_direction_known"
            ),
            models.CheckConstraint(
                condition=models.Q(operation__in=choices.Operation.values), name="sync_queue_operation_known"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the claim, and "which boards have due rows"; failed and finished rows are not in it.
            models.Index(
                fields=["entity_type", "priority", "next_retry"],
                condition=models.Q(status="pending"),
                name="sync_queue_due",
            ),
            # Serves the recovery of a dead worker's rows and the fenced finish.
            models.Index(
                fields=["entity_type", "lease_token"],
                condition=models.Q(status="in_progress"),
                name="sync_queue_in_air",
            ),
            # Serves "the jobs of this record" on its page, and the closing of its failed jobs.
            models.Index(fields=["entity_id", "status"], name="sync_queue_of_record"),
            # Serves the list of failed jobs.
            models.Index(models.F("created_at").desc(), condition=models.Q(status="failed"), name="sync_queue_dead"),
            # Serves "finished in the last 24 hours, by hour and board" from the index alone.
            models.Index(
                fields=["finished_at", "entity_type"],
                condition=models.Q(status="completed"),
                name="sync_queue_finished",
            ),
        ]

    def __str__(self) -> str:
        return f"Job {self.pk}"

    @property
    def is_unmatched_item(self) -> bool:
        """Whether no record had the item when the job was written."""
        return self.entity_id is None
