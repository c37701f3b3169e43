"""A backfill: records put on a board in bulk, resumable at any point of death."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models

from sync.clock import SyncNow

EMPTY = models.Value({}, models.JSONField())


class BackfillState(models.TextChoices):
    """How far a backfill came."""

    STARTED = "started", "Started: its rows are announced"
    UPLOADED = "uploaded", "Uploaded: Monday works on it"
    LISTED = "listed", "Monday is done: items are linked"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class Backfill(models.Model):
    """One bulk import job of Monday's; its rows are open intents that name it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField(max_length=50)
    board_id = models.CharField(max_length=50)
    job_id = models.CharField(max_length=100, blank=True, db_default="")
    state = models.CharField(max_length=20, choices=BackfillState.choices, db_default=BackfillState.STARTED)
    rows = models.IntegerField(db_default=0)
    counts: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    problem = models.TextField(blank=True, db_default="")
    started_by = models.CharField(max_length=150, blank=True, db_default="")
    created_at = models.DateTimeField(db_default=SyncNow())
    seen_at = models.DateTimeField("last sign of life", db_default=SyncNow())
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_backfills"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type"],
                condition=~models.Q(state__in=["done", "failed"]),
                name="sync_backfills_one_open_a_board",
            )
        ]

    def __str__(self) -> str:
        return f"{self.rows} {self.entity_type} records · {self.state}"
