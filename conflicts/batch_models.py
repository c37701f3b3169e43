"""Many conflicts settled at once by one side: what was shown before, and what became of each."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.clock import SyncNow


class BatchState(models.TextChoices):
    """How far a batch is; one that is prepared has only been shown."""

    PREPARED = "prepared", _("Not confirmed yet")
    RUNNING = "running", _("Being stored")
    DONE = "done", _("Stored")
    UNDOING = "undoing", _("Being undone")
    UNDONE = "undone", _("Undone")


class Outcome(models.TextChoices):
    """What became of one conflict of a batch when its choice was to be stored."""

    READY = "ready", _("Waits")
    STORED = "stored", _("Stored")
    CHANGED = "changed", _("Changed since")
    REFUSED = "refused", _("Refused")
    LEFT_OUT = "left_out", _("Left out")


class Undoing(models.TextChoices):
    """What became of one conflict of a batch that is to be undone."""

    WANTED = "wanted", _("To be undone")
    ASKED = "asked", _("Being undone")
    DONE = "done", _("Undone")
    REFUSED = "refused", _("Not undone")


class ConflictBatch(models.Model):
    """One side chosen for all that matched. `plan` counts what will be written where.

    `address` is the list's filter as the query of an address, `matches` the same in words.
    `total` is how many can be settled so: the number that a person confirms.
    """

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    made_at = models.DateTimeField(db_default=SyncNow())
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    resolution_type = models.CharField(max_length=50)
    state = models.CharField(max_length=20, choices=BatchState.choices, db_default=BatchState.PREPARED)
    address = models.TextField(blank=True, db_default="")
    matches = models.TextField(blank=True, db_default="")
    total = models.IntegerField(db_default=0)
    plan: models.JSONField[Any, Any] = models.JSONField(default=dict)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    undo_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    undo_asked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_conflict_batches"
        # Who may see and settle conflicts may do so with many: one pair of permissions for both.
        default_permissions = ()
        ordering: ClassVar[list[str]] = ["-made_at", "id"]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the job that carries on what a worker left, every ten seconds.
            models.Index(
                fields=["made_at"],
                condition=models.Q(state__in=["running", "undoing"]),
                name="sync_conflict_batches_at_work",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.resolution_type} of {self.total} conflicts"


class BatchEntry(models.Model):
    """One conflict of a batch: the values shown before it was confirmed (`seen`), and what became of it.

    `chosen_at` is when its choice was stored, by which an undo knows that it is still that choice which stands.
    """

    id = models.BigAutoField(primary_key=True)
    batch = models.ForeignKey(ConflictBatch, on_delete=models.CASCADE, related_name="entries")
    conflict = models.ForeignKey("conflicts.SyncConflict", on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    seen: models.JSONField[Any, Any] = models.JSONField()
    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    reason = models.TextField(blank=True, db_default="")
    chosen_at = models.CharField(max_length=40, blank=True, db_default="")
    undo = models.CharField(max_length=20, choices=Undoing.choices, blank=True, db_default="")
    undo_reason = models.TextField(blank=True, db_default="")

    class Meta:
        db_table = "sync_conflict_batch_entries"
        default_permissions = ()
        ordering: ClassVar[list[str]] = ["id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["batch", "conflict"], name="sync_conflict_batch_entries_one_a_conflict"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome}"
