"""The outbox: "this record may differ", one waiting row a record and direction."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from sync.choices import Cause, Operation, Priority, QueueDirection, QueueStatus
from sync.clock import SyncNow
from sync.queue_permissions import PERMISSIONS


class SyncQueue(models.Model):
    """A reason to look at a record, or at an item that no record has yet (then `entity_id` is null)."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField(null=True, blank=True)
    remote_id = models.CharField(_("Monday item"), max_length=50, null=True, blank=True)
    direction = models.CharField(
        max_length=20, choices=QueueDirection.choices, db_default=QueueDirection.TO_MONDAY
    )
    operation = models.CharField(max_length=20, choices=Operation.choices, db_default=Operation.UPDATE)
    payload: models.JSONField[Any, Any] = models.JSONField(
        db_default=models.Value({}, models.JSONField()), blank=True
    )
    status = models.CharField(max_length=20, choices=QueueStatus.choices, db_default=QueueStatus.PENDING)
    priority = models.SmallIntegerField(choices=Priority.choices, db_default=Priority.EDIT)
    causes = models.SmallIntegerField(_("who wrote it"), db_default=int(Cause.SAVE))
    attempts = models.SmallIntegerField(db_default=0)
    max_attempts = models.SmallIntegerField(db_default=5)
    last_attempt = models.DateTimeField(null=True, blank=True)
    next_retry = models.DateTimeField(db_default=SyncNow())
    error_message = models.TextField(blank=True, db_default="")
    reason = models.TextField(_("why it waits"), blank=True, db_default="")
    created_at = models.DateTimeField(db_default=SyncNow())
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    counted = models.BooleanField(_("the attempt in the air counts"), db_default=False)
    claim_size = models.SmallIntegerField(_("records claimed with it"), db_default=0)
    claim_alone = models.BooleanField(_("claim alone next"), db_default=False)

    class Meta:
        db_table = "sync_queue"
        verbose_name = _("queue row")
        verbose_name_plural = _("queue rows")
        permissions = PERMISSIONS
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # The target of the outbox's upsert: what coalesces a hundred saves into one look.
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "direction"],
                condition=Q(status="pending", entity_id__isnull=False),
                name="sync_queue_one_waiting",
            ),
            models.UniqueConstraint(
                fields=["entity_type", "remote_id"],
                condition=Q(status="pending", entity_id__isnull=True),
                name="sync_queue_one_candidate",
            ),
            models.CheckConstraint(
                condition=Q(entity_id__isnull=False) | Q(remote_id__isnull=False),
                name="sync_queue_names_something",
            ),
            models.CheckConstraint(
                condition=Q(status__in=QueueStatus.values), name="sync_queue_status_known"
            ),
            models.CheckConstraint(
                condition=Q(direction__in=QueueDirection.values), name="sync_queue_direction_known"
            ),
            models.CheckConstraint(
                condition=Q(operation__in=Operation.values), name="sync_queue_operation_known"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the claim, and "which boards have due rows": dead and finished rows are not in it.
            models.Index(
                fields=["entity_type", "priority", "next_retry"],
                condition=Q(status="pending"),
                name="sync_queue_due",
            ),
            # Serves the recovery of a dead worker's rows and the fenced finish.
            models.Index(
                fields=["entity_type", "lease_token"],
                condition=Q(status="in_progress"),
                name="sync_queue_in_air",
            ),
            # Serves "the rows of this record" on its page and the closing of its dead letters.
            models.Index(fields=["entity_id", "status"], name="sync_queue_of_record"),
            # Serves the list of dead letters.
            models.Index(F("created_at").desc(), condition=Q(status="failed"), name="sync_queue_dead"),
            # Serves "finished in the last 24 hours, by hour and board" by the index alone, whatever else is kept.
            models.Index(
                fields=["finished_at", "entity_type"],
                condition=Q(status="completed"),
                name="sync_queue_finished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_id or 'item ' + str(self.remote_id)} · {self.status}"

    @property
    def is_candidate(self) -> bool:
        """Whether this row is about an item that no record had when it was written."""
        return self.entity_id is None
