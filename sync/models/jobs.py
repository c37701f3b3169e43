"""The outbox: one pending job for each record and direction says “this record may differ”.

Beside it what is sent to Monday, and the changes that Monday reports. Their closed rows are kept for JOURNAL_DAYS,
completed jobs for QUEUE_DAYS.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar

from django.db import models

from sync import choices
from sync.clock import SyncNow
from sync.kernel.db import EMPTY_OBJECT
from sync.monday.board_events import InvalidEvent, ItemEvent, parse_event
from sync.words.message import MessageField

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
    # The side that caused it; a pass compares both sides anyway.
    direction = models.CharField(
        max_length=20, choices=choices.QueueDirection.choices, db_default=choices.QueueDirection.TO_MONDAY
    )
    operation = models.CharField(max_length=20, choices=choices.OPERATIONS, db_default=choices.UPDATE)
    # What a pass has to know beside the record: `by`, who asked; `sync_pressed`, true if *Sync now* was pressed on this
    # record itself, so that it is sent even with its sync off; the request, under keys of records/item_links.py and
    # `approval_payload_key`; ROUNDS_KEY; `retried` (outbox/operate.py); a deleted record's `monday_id`.
    payload: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY_OBJECT, blank=True)
    status = models.CharField(
        max_length=20, choices=choices.QueueStatus.choices, db_default=choices.QueueStatus.PENDING
    )
    priority = models.SmallIntegerField(choices=choices.Priority.choices, db_default=choices.Priority.EDIT)
    # A bitmask of choices.Cause.
    causes = models.SmallIntegerField("what caused it", db_default=int(choices.Cause.SAVE))
    attempts = models.SmallIntegerField(db_default=0)
    max_attempts = models.SmallIntegerField(db_default=len(BACKOFF_MINUTES) + 1)
    last_attempt = models.DateTimeField(null=True, blank=True)
    next_retry = models.DateTimeField("next attempt", db_default=SyncNow())
    error_message = MessageField(blank=True, db_default="")
    reason = MessageField("why it waits", blank=True, db_default="")
    # It is made due once a write succeeds, or a person tries again.
    waits_for_writes = models.BooleanField("waits until Monday stores what is sent", db_default=False)
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
                condition=models.Q(operation__in=dict(choices.OPERATIONS)), name="sync_queue_operation_known"
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


class IntentState(models.TextChoices):
    OPEN = "open", "Not confirmed yet"  # about to be sent, or without an answer
    APPLIED = "applied", "Done"
    CONFIRMED = "confirmed", "Done, confirmed afterwards"
    REJECTED = "rejected", "Not written"  # Monday refused it
    # Closed without a proof that it was written; may still land late, and counts as a failed write (failed_writes.py).
    VOID = "void", "Probably not written"


# The key in an entry of an intent's `values` that fills in a cell that nobody emptied: when both sides agreed last.
REFILLED_SINCE = "refilled_since"


class Intent(models.Model):
    """A write of one item, committed before its call is sent; a call may write many items."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.UUIDField("NPD ID")
    board_id = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50, blank=True, db_default="")  # empty until a create is answered
    idempotency_key = models.CharField(max_length=64)  # of the call
    alias = models.CharField("name in the request", max_length=20, blank=True, db_default="")
    # By a mapping's key: the value sent (`local`), Monday's before (`read`, `read_at`), the `base`, the mapping's
    # `column` and `version`, whether the value unites both sides' lists (`united`), and `refilled_since`.
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY_OBJECT)
    # Of the first intent of a create call: its document with its variables, which may be sent again under the same key.
    # Of the removal of an item: the policy, as {removes}.
    body: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    state = models.CharField(max_length=20, choices=IntentState.choices, db_default=IntentState.OPEN)
    created_at = models.DateTimeField(db_default=SyncNow())
    deadline = models.DateTimeField()
    # Of an unanswered create.
    was_searched = models.BooleanField("searched for in vain", db_default=False)
    # The values in Monday's answer, by a mapping's key.
    answer: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    request_id = models.CharField(max_length=100, blank=True, db_default="")
    settled_at = models.DateTimeField("done at", null=True, blank=True)

    class Meta:
        db_table = "sync_intents"
        default_permissions = ()
        verbose_name = "API write"
        verbose_name_plural = "API writes"
        indexes: ClassVar[list[models.Index]] = [
            # Serves the claim, which skips records with an open intent before its deadline.
            models.Index(fields=["entity_id", "deadline"], condition=models.Q(state="open"), name="sync_intents_open"),
            models.Index(fields=["idempotency_key"], name="sync_intents_document"),
            models.Index(fields=["created_at"], name="sync_intents_age"),
            # Serves "our recent writes to this record", for the detection of lost updates.
            models.Index(fields=["entity_id", "-created_at"], name="sync_intents_record"),
        ]

    def __str__(self) -> str:
        return f"API write for a {self.entity_type}: {self.get_state_display()}"


class WebhookEvent(models.Model):
    """A change as Monday delivered it, or as a sweep found it; stored once, processed under the board's lease."""

    id = models.BigAutoField(primary_key=True)
    # Monday's id, or a hash of a body without one. A sweep's rows have `log:` and the entry's id.
    trigger_id = models.CharField(max_length=64)
    board_id = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50, null=True, blank=True)
    column_id = models.CharField(max_length=50, null=True, blank=True)
    type = models.CharField(max_length=50)
    body: models.JSONField[Any, Any] = models.JSONField()
    received_at = models.DateTimeField(db_default=SyncNow())
    processed_at = models.DateTimeField(null=True, blank=True)
    # Why it led to nothing, or what a pass did with it; empty before.
    outcome = models.CharField(max_length=200, blank=True, db_default="")

    class Meta:
        db_table = "sync_webhook_events"
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["trigger_id", "item_id", "column_id", "type"],
                nulls_distinct=False,
                name="sync_webhook_events_once",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the processing of all unprocessed events of an item together.
            models.Index(
                fields=["board_id", "item_id"], condition=models.Q(processed_at=None), name="sync_webhook_events_new"
            ),
            # Serves "when did this item last change", for the quiet time of a new item.
            models.Index(fields=["item_id", "-received_at"], name="sync_webhook_events_item"),
            # Serves "when did the board's last webhook arrive" on Home.
            models.Index(fields=["board_id", "-received_at"], name="sync_webhook_events_board"),
        ]

    def __str__(self) -> str:
        return f"Webhook {self.pk} about item {self.item_id}"

    @cached_property
    def event(self) -> ItemEvent | None:
        """The delivery's event, or None if it can't be parsed."""
        with suppress(InvalidEvent):
            return parse_event(self.body)
        return None

    @property
    def user_id(self) -> str:
        """The id of Monday's user, or an empty text if the delivery has none."""
        return (self.event and self.event.user_id) or ""

    @property
    def happened_at(self) -> datetime:
        """When it happened on Monday, or when it arrived if the delivery has no time."""
        return (self.event and self.event.happened_at) or self.received_at
