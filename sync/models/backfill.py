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
    """One bulk import job of Monday's; its rows are open intents that name it.

    Started, without rows: it asks for the board, to announce them. `key` is the idempotency key under which the job
    was started at `job_at`; `put_at` says that the file was about to be sent. The file's address is kept nowhere.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField(max_length=50)
    board_id = models.CharField(max_length=50)
    group_id = models.CharField(max_length=50, blank=True, db_default="")
    job_id = models.CharField(max_length=100, blank=True, db_default="")
    key = models.CharField("idempotency key", max_length=64, blank=True, db_default="")
    job_at = models.DateTimeField("job started", null=True, blank=True)
    put_at = models.DateTimeField("file about to be sent", null=True, blank=True)
    look_at = models.DateTimeField("Monday is asked again", null=True, blank=True)
    polls = models.SmallIntegerField(db_default=0)
    tries = models.SmallIntegerField("files refused", db_default=0)
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

    @property
    def open(self) -> bool:
        """Whether something is left to do for it."""
        return self.state not in (BackfillState.DONE, BackfillState.FAILED)

    def __str__(self) -> str:
        return f"{self.rows} {self.entity_type} records · {self.state}"
